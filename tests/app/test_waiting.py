"""Waiting until a campaign has come as far as somebody wants."""

import pytest
from support.plans import build

from rollout.app import waiting
from rollout.app.campaigns import Snapshot
from rollout.app.waiting import Waited, wait_for
from rollout.core import events as ev
from rollout.core.fold import fold
from rollout.core.state import State
from rollout.errors import WrongArgument
from rollout.ports import Holder

HOLDER = Holder("here", 1, 1.0, 1.0, 1, 1)


class Story:
    """A reader whose looks are told in advance: events that have happened, and whether a runner lives."""

    def __init__(self, *looks):
        plan, _ = build(("canary", [10], None, None), ("total", [10], None, None))
        self.plan = plan
        self.state = State.initial(plan)
        self._looks = [((ev.CampaignStarted(1.0, "c1", plan.digest, 20, 2, 2),), True), *looks]

    def look(self):
        events, alive = self._looks.pop(0) if self._looks else ((), False)
        for event in events:
            fold(self.state, event)
        return Snapshot(None, "c1", self.plan, self.state, HOLDER if alive else None, ())


@pytest.fixture(autouse=True)
def no_time_passes(monkeypatch):
    """A look is not waited for."""
    monkeypatch.setattr(waiting, "GOAL_POLL_S", 0.0)


def test_a_goal_is_reached():
    """As soon as a look shows it."""
    waited, seen = wait_for("finished", Story(((), True), ((ev.CampaignFinished(5.0),), True)), None)
    assert waited is Waited.REACHED
    assert seen.state.closed


def test_a_goal_that_cannot_be_reached_any_more():
    """An aborted campaign is never finished."""
    ended = (ev.CampaignAbortRequested(4.0, "ana", "enough"), ev.CampaignAborted(5.0))
    story = Story((ended, True))
    assert wait_for("finished", story, None)[0] is Waited.UNREACHABLE


def test_without_a_runner_and_without_a_limit_nobody_waits():
    """Nothing would ever change."""
    assert wait_for("wave:canary", Story(((), False)), None)[0] is Waited.NO_RUNNER


def test_time_runs_out():
    """And it is told apart whether a person is waited for."""
    assert wait_for("finished", Story(), 0.0)[0] is Waited.TIMED_OUT
    paused = Story()
    paused.look()
    paused._looks.append(((ev.CampaignPaused(2.0, "ana", "storm", "1"),), True))
    assert wait_for("finished", paused, 0.0)[0] is Waited.FOR_A_PERSON


@pytest.mark.parametrize("goal", ["", "wave:", "wave:nix", "canary", "done"])
def test_another_goal_is_refused(goal):
    """With the goals there are."""
    with pytest.raises(WrongArgument, match="wave:canary, wave:total"):
        wait_for(goal, Story(), None)
