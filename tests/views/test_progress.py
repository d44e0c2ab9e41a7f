"""What people watch tells the state by words and marks, and its sums add up to the fleet."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.watched import make_plan

from rollout.core import events as e
from rollout.core.campaign import CallLimit, Limits
from rollout.core.fold import fold
from rollout.core.reasons import HaltReason, HoldReason
from rollout.core.state import State
from rollout.text import local_time
from rollout.views.progress import (
    ASCII_MARKS,
    MARKS,
    devices_moving,
    heartbeat,
    in_doubt,
    live_lines,
    marks_for,
    run_document,
    summary_lines,
    waiting_for,
    wave_mark,
)

STARTED = (
    e.CampaignStarted(100.0, "demo", "d", 30, 3, 2),
    e.EngineStarted(100.0, "r", "1", 60.0, 5.0),
    e.WaveAudited(100.0, 0, 100.0, 0),
    e.WaveOpened(100.0, 0),
)


def created(batch, at=110.0):
    return (e.BatchCreateSent(at, batch, 1, "n"), e.BatchJobCreated(at, batch, 1, f"job-{batch}"))


CANARY = (*STARTED, *created(0), *created(1), e.TasksCounted(120.0, 0, 119.0, 2, 10, 1, 8, 1))


@pytest.mark.parametrize(
    ("events", "marks"),
    [
        (STARTED, "●○"),
        ((*CANARY, e.GateHeld(120.0, 0, HoldReason.APPROVAL)), "‖○"),
        ((*CANARY, e.CampaignPaused(121.0, "ana")), "‖○"),
        ((*CANARY, e.CampaignHalted(121.0, HaltReason.STOP_RULE, wave=0)), "✗○"),
        (
            (
                *CANARY,
                e.GatePassed(121.0, 0),
                e.WaveAudited(122.0, 1, 122.0, 0),
                e.WaveOpened(122.0, 1),
            ),
            "✓●",
        ),
    ],
)
def test_a_wave_bears_a_mark_for_its_state(folded, events, marks):
    """Done, running, waiting, failed, held: told by a sign, never by colour."""
    state = folded(*events)
    assert "".join(wave_mark(state, wave, MARKS) for wave in state.waves) == marks


@pytest.mark.parametrize(
    ("encoding", "marks"),
    [("utf-8", MARKS), ("ascii", ASCII_MARKS), ("latin-1", ASCII_MARKS), (None, ASCII_MARKS)],
)
def test_marks_fall_back_to_ascii(encoding, marks):
    """Where the stream cannot show a sign, a word in brackets stands for it."""
    assert marks_for(encoding) is marks


def test_the_live_view_fits_a_screen(folded):
    """A head line, at most the given number of waves, calls and failures, in ASCII if need be."""
    state = folded(*CANARY)
    lines = live_lines(state, 130.0, MARKS)
    assert lines[0].startswith("demo · wave 1 of 2 · 30s · running, waiting for ")
    assert " ".join(lines[1].split()) == "● canary 9 of 10 2 of 2 jobs 90% resolved · 8 ok 88.88%"
    assert " ".join(lines[2].split()) == "○ total 20 1 job"
    assert "2 created · 0 unknown · 0 parked" in lines[3]
    assert lines[4] == " failed 1"
    assert "... 1 more" in live_lines(state, 130.0, MARKS, rows=1)[2]
    assert "\n".join(live_lines(state, 130.0, ASCII_MARKS)).isascii()


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ((), "its first run"),
        (STARTED, "jobs to be created"),
        (
            (*STARTED, e.BatchCreateSent(101.0, 0, 1, "n"), e.BatchOutcomeUnknown(102.0, 0, 1, "lost")),
            "1 create of unknown",
        ),
        ((*CANARY, e.GateHeld(120.0, 0, HoldReason.COVERAGE)), "devices"),
        ((*CANARY, e.GateHeld(120.0, 0, HoldReason.STALE)), "newer counts"),
        ((*CANARY, e.GateHeld(120.0, 0, HoldReason.SAMPLE)), "enough resolved devices"),
        ((*CANARY, e.GateSatisfied(120.0, 0), e.GateHeld(120.0, 0, HoldReason.SOAK)), "soak, 59m50s left"),
        ((*CANARY, e.CampaignHalted(121.0, HaltReason.STOP_RULE, wave=0)), "a person"),
        ((*CANARY, e.CampaignAbortRequested(121.0, "ana", stop_jobs=True)), "2 jobs to be stopped"),
    ],
)
def test_a_wait_always_has_a_reason(folded, events, reason):
    """A campaign that seems to stand still says what it waits for."""
    assert waiting_for(folded(*events), 130.0).startswith(reason)


def test_a_full_budget_says_how_full_and_since_when_nothing_has_moved():
    """Silent devices keep their places; the numbers tell what a bigger budget would have to be."""
    plan = make_plan()
    limits = Limits(CallLimit(1.0), CallLimit(1.0), devices_in_progress=7)
    state = State.initial(replace(plan, campaign=replace(plan.campaign, limits=limits)))
    for event in (*STARTED, *created(0)):
        fold(state, event)
    assert waiting_for(state, 260.0) == "room: 5 of 7 devices may be in progress"
    fold(state, e.CampaignStalled(250.0, 0, 5))
    since = local_time(110.0)
    assert (
        waiting_for(state, 260.0) == f"room: 5 of 7 devices may be in progress, none has moved since {since}"
    )
    assert "no room for its next job" in summary_lines(state, MARKS)[0]
    fold(state, e.TasksCounted(270.0, 0, 269.0, 1, 5, 2, 2, 1))
    assert "moved" not in waiting_for(state, 280.0)


@given(st.lists(st.tuples(st.integers(0, 10), st.integers(0, 10), st.integers(0, 10)), max_size=8))
def test_the_summary_adds_up_to_the_fleet(counts):
    """Whatever was counted, OK + FAILED + OPEN is TOTAL, and TOTAL is the fleet."""
    state = State.initial(make_plan())
    for event in (*STARTED, *created(0), *created(1)):
        fold(state, event)
    for step, (in_progress, succeeded, failed) in enumerate(counts):
        if in_progress + succeeded + failed <= 10:
            fold(state, e.TasksCounted(120.0 + step, 0, 119.0 + step, 2, 10, in_progress, succeeded, failed))
    last = summary_lines(state, MARKS)[-1]
    numbers = {name: int(value) for name, value in (pair.split("=") for pair in last.split()[1:])}
    assert numbers["OK"] + numbers["FAILED"] + numbers["OPEN"] == numbers["TOTAL"] == 30


def test_the_summary_says_how_it_ended(folded):
    """The head line tells the outcome with its reason; approvals are told with their giver."""
    state = folded(
        *CANARY,
        e.ApprovalGiven(121.0, 0, "ana@ops"),
        e.CampaignHalted(200.0, HaltReason.STOP_RULE, wave=0, evidence="failed 20%"),
    )
    lines = summary_lines(state, MARKS)
    assert lines[0] == "Halted demo in wave canary: stop rule (failed 20%)"
    assert lines[1].endswith("approved by ana@ops")
    assert lines[-1] == "Now. JOBS=2 OK=8 FAILED=1 OPEN=21 TOTAL=30"


def test_a_campaign_that_is_left_is_not_called_running_or_done(folded):
    """Who leaves it unfinished reads that; only a campaign that is over is done."""
    left = summary_lines(folded(*CANARY), MARKS)
    assert left[0] == "Left demo unfinished after 20s"
    assert left[-1].startswith("Now. JOBS=2 ")
    over = (e.CampaignAbortRequested(121.0, "ana"), e.CampaignAborted(122.0))
    assert summary_lines(folded(*CANARY, *over), MARKS)[-1].startswith("Done. JOBS=2 ")


def test_no_device_is_in_progress_in_a_wave_that_has_none_open(folded):
    """Counts are read one after the other; what they overlap by does not hide behind another wave's open devices."""
    state = folded(*STARTED, *created(0), *created(1), e.TasksCounted(120.0, 0, 119.0, 2, 10, 2, 9, 1))
    assert state.tally().open == 20
    assert devices_moving(state) == 0
    assert "in progress 0 " in live_lines(state, 130.0, MARKS)[3]


@pytest.mark.parametrize("marks", [MARKS, ASCII_MARKS])
def test_rows_of_the_live_view_stand_still_and_fit_80_columns(folded, marks):
    """Columns are as wide as they will ever be, whichever marks are shown."""
    early, late = live_lines(folded(*STARTED), 130.0, marks), live_lines(folded(*CANARY), 130.0, marks)
    assert max(map(len, (*early, *late))) <= 80
    assert early[1].index("0 of 2 jobs") == late[1].index("2 of 2 jobs") == late[2].index("1 job")
    assert early[1].index(" canary") == late[2].index(" total")


def test_the_heartbeat_has_the_numbers_that_move(folded):
    """One line a minute tells wave, counts and what is waited for."""
    assert heartbeat(folded(*CANARY, e.GateHeld(120.0, 0, HoldReason.COVERAGE)), 130.0) == {
        "campaignId": "demo",
        "wave": "canary",
        "resolved": "9/10",
        "failed": 1,
        "jobs": 2,
        "in_progress": 1,
        "unknown": 0,
        "waiting": "devices",
    }


def test_what_is_in_doubt_is_told_by_name(folded):
    """Parked, duplicated, not stopped: each kind has its line with the batches, and nothing else has one."""
    state = folded(*CANARY)
    assert in_doubt(state) == []
    state = folded(
        *CANARY,
        e.BatchJobDuplicated(121.0, 0, "job-0", ("job-9",)),
        e.CampaignAbortRequested(122.0, "ana", stop_jobs=True),
        e.JobStopFailed(130.0, 1, "job-1", "24500", None),
    )
    lines = in_doubt(state)
    assert [line.split()[0] for line in lines] == ["1", "1"]
    assert "canary/0001" in lines[0]
    assert "could not be stopped" in lines[1]
    assert "canary/0002" in lines[1]
    assert any("could not be stopped" in line for line in summary_lines(state, MARKS))


def test_the_end_of_a_run_is_a_document_for_programs(folded):
    """Result and exit code as they were given, the reason as a code and in words, and sums that add up to the fleet."""
    found = run_document(folded(*CANARY), result="finished", exit_code=5)
    assert (found["result"], found["exitCode"], found["status"]) == ("finished", 5, "running")
    assert (found["reason"], found["reasonCode"], found["evidence"]) == ("", None, "")
    devices = found["devices"]
    assert devices["succeeded"] + devices["failed"] + devices["open"] == devices["planned"] == 30
    assert [wave["name"] for wave in found["waves"]] == ["canary", "total"]
