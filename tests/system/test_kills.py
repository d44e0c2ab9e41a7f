"""`kill -9` at any moment, again and again: the same line finishes the campaign, no job twice, no device lost."""

import random
from dataclasses import dataclass

import pytest
from campaigns_at_hand import SPEED, assert_exact, lay_out

KILLS = {
    # what the life must have said before, how often at most, and how long after that the kill comes at most
    "planning": (3, "", 1, 0.7),
    "opening": (3, "engine.started", 1, 0.2),
    "creating": (10, "batch.job_created", 12, 0.06),
    "counting": (4, "tasks.counted", 6, 0.1),
}
LINE = ("run", "plan.yaml", "--yes", "--speed", SPEED, "-v")


@dataclass(frozen=True)
class Moment:
    """`seconds` after the life has said `text` for the `nth` time; without a text, after its start."""

    phase: str
    text: str
    nth: int
    seconds: float


def moments(seed):
    """Return 20 moments in an order of chance."""
    rng = random.Random(seed)
    drawn = [
        Moment(phase, text, rng.randint(1, most), rng.uniform(0, seconds))
        for phase, (kills, text, most, seconds) in KILLS.items()
        for _ in range(kills)
    ]
    rng.shuffle(drawn)
    return drawn


@pytest.mark.parametrize(
    "faults", [(), ("--fault", "commit_then_drop=0.2", "--fault", "drop_before_commit=0.1")]
)
def test_twenty_kills(desk, faults):
    """200 batches, killed 20 times: exit 0, one job a batch, every device once, sums that add up to the fleet."""
    emulator = desk.emulator("--speed", SPEED, *faults)
    lay_out(desk, emulator.url, devices=1000, per_job=5, canary="20%", rest="apiRetry: {attempts: 20}")
    hits = []
    for moment in moments(seed=20):
        life = desk.start(*LINE)
        if not moment.text or life.err.find(moment.text, moment.nth):
            hits.append(life.kill_after(moment.seconds))
    done = desk.run(*LINE)
    print(f"{sum(hits)} of 20 kills landed inside a life")
    assert (done.code, "Traceback" in done.err) == (0, False), done.err
    assert done.sums == {"JOBS": 200, "OK": 1000, "FAILED": 0, "OPEN": 0, "TOTAL": 1000}
    assert_exact(desk, emulator)
    assert sum(hits) >= 15
