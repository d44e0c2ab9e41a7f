"""A small plan, and its states, that the tests of views and of the log look at."""

from fractions import Fraction

import pytest

from rollout.core.campaign import (
    Campaign,
    Denominator,
    Gate,
    JobSpec,
    Localized,
    Rest,
    Share,
    Threshold,
    Wave,
)
from rollout.core.fold import fold
from rollout.core.plan import Batch, Plan, PlannedWave
from rollout.core.state import State


@pytest.fixture(name="plan")
def plan_fixture():
    """The small plan."""
    return make_plan()


@pytest.fixture
def folded(plan):
    """Return a function that folds events into a new state of the plan."""
    return lambda *events: state_after(plan, *events)


def make_plan():
    """Two waves: canary with 2 batches of 5 devices and a gate that soaks, total with 1 batch of 20."""
    gate = Gate(resolved=Threshold(Fraction(9, 10), Denominator.PLANNED), soak_s=3600.0, approval=True)
    job = JobSpec(maximum_concurrency=5)
    waves = (Wave("canary", Share(Fraction(1, 3)), job, gate), Wave("total", Rest(), job))
    campaign = Campaign("demo", Localized("Demo"), "o1", "f1", waves, per_job=20)
    return Plan(
        campaign,
        1,
        (PlannedWave(0, "canary", 10, 0, 2), PlannedWave(1, "total", 20, 2, 3)),
        (
            Batch(0, 0, 1, 5, 0, 1, "aaaaaaaaaaaa"),
            Batch(1, 0, 2, 5, 1, 2, "bbbbbbbbbbbb"),
            Batch(2, 1, 1, 20, 2, 3, "cccccccccccc"),
        ),
        30,
        "ab" * 32,
    )


def state_after(plan, *events):
    """Return a new state of the plan with the events folded into it."""
    state = State.initial(plan)
    for event in events:
        fold(state, event)
    return state
