"""`status` is made from the state and a few values: the same picture for a terminal and for a page."""

import json

from rollout.core import events as e
from rollout.views.progress import ASCII_MARKS, MARKS
from rollout.views.status import OrderView, RunnerView, StatusView, StepView

BEGUN = (
    e.CampaignStarted(100.0, "demo", "d", 30, 3, 2),
    e.EngineStarted(100.0, "r", "1", 60.0, 5.0),
    e.WaveAudited(100.0, 0, 100.0, 0),
    e.WaveOpened(100.0, 0),
    e.BatchCreateSent(110.0, 0, 1, "n"),
    e.BatchJobCreated(110.0, 0, 1, "job-0"),
)
RUNNER = RunnerView("ops-1", 77, 100.0, 190.0)


def view(state, *, runner=None, orders=(), steps=()):
    return StatusView(state, runner, orders, steps, 200.0)


def test_a_campaign_that_was_never_run_says_so(folded):
    """No times, no runner, every wave with its devices and jobs."""
    lines = view(folded()).lines(ASCII_MARKS)
    assert lines[0] == "demo  planned, never run"
    assert lines[1] == "runner      none yet"
    assert lines[2:] == [" [  ] canary  10 planned - 2 jobs", " [  ] total   20 planned - 1 job"]


def test_the_runner_is_shown_with_its_age_and_missed_when_it_died(folded):
    """A living runner has host, process and last sign of life; a dead one is told apart from one that left."""
    state = folded(*BEGUN)
    assert view(state, runner=RUNNER).lines(MARKS)[1] == "runner      ops-1 pid 77, wrote last 10s ago"
    assert view(state, runner=RUNNER).standing() == "running, waiting for jobs to be created"
    assert view(state).lines(MARKS)[1] == "runner      none alive; the last one died"
    assert view(state).standing() == "unfinished, waiting for jobs to be created"


def test_orders_and_next_steps_stand_below_the_waves(folded):
    """An order names who gave it; the first step has the label, the others stand below it."""
    orders = [OrderView("approve", "ana@ops-1", "o1", "canary"), OrderView("pause", "bo\x1b", "o2")]
    steps = [StepView("Go on with", "rollout run x"), StepView("Then", "rollout resume x")]
    lines = view(folded(*BEGUN), orders=orders, steps=steps).lines(MARKS)
    assert lines[-4:] == [
        "queued      approve canary by ana@ops-1 (not taken yet)",
        "queued      pause by bo\\x1b (not taken yet)",
        "next        go on with:  rollout run x",
        "            then:  rollout resume x",
    ]


def test_the_document_is_json_with_both_forms_of_every_time(folded):
    """Times are epoch milliseconds and ISO 8601, both null where there is none; the next line to run is there."""
    steps = [StepView("Go on with", "rollout run x")]
    found = view(
        folded(*BEGUN), runner=RUNNER, orders=[OrderView("pause", "bo", "o2")], steps=steps
    ).document()
    assert json.loads(json.dumps(found)) == found
    assert (found["startedAt"], found["startedAtIso"]) == (100_000, "1970-01-01T00:01:40.000Z")
    assert (found["endedAt"], found["endedAtIso"]) == (None, None)
    assert found["runner"]["beatAt"] == 190_000
    assert found["orders"] == [{"order": "pause", "by": "bo", "id": "o2"}]
    assert found["next"] == "rollout run x"
    assert view(folded()).document()["next"] == ""
