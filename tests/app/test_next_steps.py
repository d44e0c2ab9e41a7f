"""What an operator is told to do next."""

import pytest
from support.plans import build

from rollout.app.next_steps import next_steps
from rollout.app.waiting import waits_for_person
from rollout.core import events as ev
from rollout.core.campaign import CallLimit, Limits
from rollout.core.fold import fold
from rollout.core.state import State


@pytest.fixture
def stalled():
    """A campaign whose one job has taken the room of the next, and whose devices are silent."""
    plan, _ = build(
        ("total", [20, 20], None, None),
        limits=Limits(CallLimit(1.0), CallLimit(1.0), devices_in_progress=30),
    )
    state = State.initial(plan)
    for event in (
        ev.CampaignStarted(1.0, "c1", plan.digest, 40, 2, 1),
        ev.EngineStarted(1.0, "r", "1", 60.0, 5.0),
        ev.WaveAudited(1.0, 0, 1.0, 0),
        ev.WaveOpened(1.0, 0),
        ev.BatchCreateSent(2.0, 0, 1, "n"),
        ev.BatchJobCreated(3.0, 0, 1, "job-0"),
        ev.CampaignStalled(9_000.0, 0, 20),
    ):
        fold(state, event)
    return state


@pytest.mark.parametrize("alive", [True, False])
def test_a_stall_is_a_persons_to_end(stalled, alive):
    """Going on changes nothing by itself; the way out is named, and the run line follows where no runner lives."""
    first, *rest = next_steps(stalled, alive=alive)
    assert (first.verb, first.words) == ("abort", ("--cancel-pending",))
    assert [step.verb for step in rest] == ([] if alive else ["run"])


def test_a_campaign_that_goes_on_by_itself_needs_nobody(stalled):
    """Counted anew, its devices move; who waits with `status --for` waits for a person before that and not after."""
    assert waits_for_person(stalled)
    fold(stalled, ev.TasksCounted(9_100.0, 0, 9_099.0, 1, 20, 5, 5, 0))
    assert next_steps(stalled, alive=True) == []
    assert not waits_for_person(stalled)


def test_what_is_being_aborted_needs_no_second_order(stalled):
    """The stall is over with the campaign's running."""
    fold(stalled, ev.CampaignAbortRequested(9_100.0, "ana", "enough", stop_jobs=True))
    assert next_steps(stalled, alive=True) == []
    assert [step.verb for step in next_steps(stalled, alive=False)] == ["run"]
