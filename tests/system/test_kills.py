"""`kill -9` at any moment and at any system call: the same line finishes the campaign, no job twice, no device lost.

A bounded number of kills, other ones in every run; `kill_campaigns.py` runs as many as wanted.
"""

import shutil
from pathlib import Path

import pytest
from campaigns_at_hand import account, held
from kills import (
    BATCHES,
    LINE,
    NEAR,
    PER_JOB,
    TROUBLES,
    AtACall,
    AtAFailure,
    AtAMoment,
    AtAMomentAndDamaged,
    Trouble,
    calls_made,
    lay_out_for_kills,
    run_trial,
)
from processes import Desk, creates
from support.strace import find_strace

KILLS = 6


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """Where strace is, if it can be used here, and which calls a life makes."""
    strace, why_not = find_strace()
    if not strace:
        pytest.skip(why_not)
    desk = Desk(tmp_path_factory.mktemp("watched"))
    try:
        return strace, calls_made(desk, strace)
    finally:
        desk.clear_away()


@pytest.mark.parametrize(
    ("trouble", "killer"),
    [("none", AtAMoment()), ("all of these", AtAMoment()), ("answer lost", AtAMomentAndDamaged())],
    ids=["healthy", "troubled", "damaged"],
)
def test_killed_at_moments(desk, seed, trouble, killer):
    """Killed six times, some milliseconds after it has said something: done, exactly once.

    In health and in trouble, and also where each kill loses what the journal had stored last.
    """
    outcome = run_trial(desk, TROUBLES[trouble], killer, kills=KILLS, seed=seed)
    print(outcome)
    assert outcome.is_sound
    assert outcome.account.jobs == BATCHES
    # a life that forgot a wave may halt over it before it is killed
    assert len(outcome.hits) >= KILLS - (KILLS // 2 if killer.forgets else 1)


@pytest.mark.parametrize("way", [AtACall, AtAFailure])
def test_killed_at_calls(desk, seed, watched, way):
    """Killed on entering system calls of any kind, or with a disk that fails, while creates are under way: exactly once."""
    outcome = run_trial(desk, TROUBLES["slow answer"], way(*watched), kills=KILLS, seed=seed)
    print(outcome)
    assert outcome.is_sound
    assert outcome.account.jobs == BATCHES
    # which call it is, is chance; a life that makes fewer of them is killed all the same
    assert len(outcome.hits) >= KILLS - 1


def test_what_is_missing_is_seen(desk):
    """The account of a campaign that was killed and not gone on with has every device it did not come to as lost."""
    emulator = desk.emulator()
    lay_out_for_kills(desk, emulator, TROUBLES["none"])
    life = desk.start(*LINE)
    life.err.expect("batch.job_created", 3)
    assert life.kill_after(0)
    found = account(desk, emulator)
    assert found.jobs >= 3
    assert found.lost == (BATCHES - found.jobs) * PER_JOB > 0
    assert not found.is_exact


def test_what_is_made_twice_is_seen(desk, seed):
    """A platform later than it promised makes jobs twice: the program ends with 8, and the account tells how many."""
    later = Trouble(("delay=0.5,seconds=2400",), NEAR)
    outcome = run_trial(desk, later, AtAMoment(), kills=0, seed=seed)
    assert outcome.account.duplicates > 0
    assert not outcome.is_sound
    assert "ended with 8" in outcome.broken[0]


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
