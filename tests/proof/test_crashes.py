"""A crash at every step of a small campaign: every journal append, every await between intent and outcome.

`ROLLOUT_ALL_CRASHES=1` runs each trouble, lag and gap, as `python -m rollout.proof --enumerate` does.
"""

import os

import pytest

from rollout.proof.explore import enumerate_crashes, list_crashes
from rollout.proof.trials import ENUMERATED, GAPS_S, Crash

ALL = os.environ.get("ROLLOUT_ALL_CRASHES") == "1"
LAGS_S = (0.0, 2.0, 30.0) if ALL else (2.0,)
GAPS = GAPS_S if ALL else (0.05,)

BETWEEN_INTENT_AND_OUTCOME = {
    "after commit of batch.create_sent",
    "before the guard",
    "before the first byte",
    "after the last byte",
}


@pytest.mark.parametrize("trouble", ENUMERATED)
def test_no_crash_at_any_step_breaks_a_rule(trouble):
    """One death at each step, then a second one, then a power cut that loses commits: nothing twice, nothing lost."""
    crashes = list(list_crashes(LAGS_S, GAPS, troubles=(trouble,)))
    results = list(enumerate_crashes(crashes))
    assert not [(crash, r.violations) for crash, r in zip(crashes, results, strict=True) if r.violations]
    assert {where for result in results for where in result.died_at} >= BETWEEN_INTENT_AND_OUTCOME


def test_every_step_is_enumerated():
    """The crashes of one trouble, lag and gap are the steps of the undisturbed campaign, three times over."""
    crashes = list(list_crashes((0.0,), (0.0,), troubles=("none",)))
    steps = len(crashes) // 3
    assert steps > 50
    assert {crash.at for crash in crashes} == set(range(1, steps + 1))
    assert Crash("none", 0.0, at=steps) in crashes
