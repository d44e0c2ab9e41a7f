"""`kill -9` at any moment and at any system call: the same command finishes the campaign, no job twice, no device lost.

A bounded number of kills, different ones each time; `kill_campaigns.py` runs as many as wanted.
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
    run_killed,
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
    """Killed six times, some milliseconds after a line of output: every batch is one job.

    Without trouble and with it, and also if each kill loses the last commits of the journal.
    """
    report = run_killed(desk, TROUBLES[trouble], killer, kills=KILLS, seed=seed)
    print(report)
    assert report.is_sound
    assert report.account.jobs == BATCHES
    # a life whose journal has lost a wave may halt over it before it is killed
    assert len(report.hits) >= KILLS - (KILLS // 2 if killer.forgets else 1)


@pytest.mark.parametrize("way", [AtACall, AtAFailure])
def test_killed_at_calls(desk, seed, watched, way):
    """Killed when it enters system calls of any kind, or with a failing disk, during creates: every batch is one job."""
    report = run_killed(desk, TROUBLES["slow answer"], way(*watched), kills=KILLS, seed=seed)
    print(report)
    assert report.is_sound
    assert report.account.jobs == BATCHES
    # the call is chosen at random; a life that makes fewer of them is killed all the same
    assert len(report.hits) >= KILLS - 1


def test_what_is_missing_is_seen(desk):
    """After a kill and no second life, the account counts every device without a job as lost."""
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
    """A platform that acts later than `latest_effect` makes jobs twice: exit code 8, and the account counts them."""
    later = Trouble(("delay=0.5,seconds=2400",), NEAR)
    report = run_killed(desk, later, AtAMoment(), kills=0, seed=seed)
    assert report.account.duplicates > 0
    assert not report.is_sound
    assert "ended with 8" in report.broken[0]


def test_the_readme_line_killed_half_way(desk):
    """Runner and emulator are killed together; the same command finishes the 2,000 devices, each in exactly one job."""
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
