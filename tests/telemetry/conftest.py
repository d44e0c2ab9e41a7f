"""Fixtures of this room."""

import pytest
from support.watched import make_plan, state_after


@pytest.fixture
def plan():
    return make_plan()


@pytest.fixture
def folded(plan):
    """Return a function that folds events into a new state of the plan."""
    return lambda *events: state_after(plan, *events)
