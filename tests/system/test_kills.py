"""`kill -9` at any moment, again and again: the same line finishes the campaign, no job twice, no device lost."""

import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from campaigns_at_hand import SPEED, assert_exact, held, lay_out
from processes import creates

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


FAULTS = ("commit_then_drop=0.2", "drop_before_commit=0.1", "delay=0.1,seconds=240")
"""A create's answer is lost, the create is lost, or it is done most of a real second after everybody gave it up."""


@pytest.mark.parametrize("faults", [(), FAULTS], ids=["healthy", "troubled"])
def test_twenty_kills(desk, faults):
    """200 batches, killed 20 times: exit 0, one job a batch, every device once, sums that add up to the fleet."""
    emulator = desk.emulator("--speed", SPEED, *(f"--fault={fault}" for fault in faults))
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


def test_the_readme_line_killed_half_way(desk):
    """Runner and emulator die as one; the same line again finishes the 2,000 devices, each in exactly one job."""
    shutil.copytree(Path(__file__).parents[2] / "plans", desk.path / "plans")
    line = ("run", "plans/canary-then-total.yaml", "--emulator", "--speed", "600", "--fail", "2%", "--yes")
    life = desk.start(*line)
    life.err.expect("batch.job_created", 10)
    assert life.kill_after(0)
    done = desk.run(*line)
    assert done.code == 0, done.err
    sums = done.sums
    assert sums["OK"] + sums["FAILED"] + sums["OPEN"] == sums["TOTAL"] == 2000
    log = desk.campaign("inverter-2-1-0") / "emulator.ndjson"
    assert len(creates(log)) == sums["JOBS"] == 20
    devices = held(log)
    assert (len(devices), set(devices.values())) == (2000, {1})
