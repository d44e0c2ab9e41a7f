"""Fixtures of this room."""

import pytest
from telemetry_plan import make_plan

from rollout.core.fold import fold
from rollout.core.state import State


@pytest.fixture
def plan():
    return make_plan()


@pytest.fixture
def folded(plan):
    """Return a function that folds events into a new state of the plan."""

    def state_after(*events):
        state = State.initial(plan)
        for event in events:
            fold(state, event)
        return state

    return state_after
