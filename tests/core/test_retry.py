"""What becomes of a batch after a call or a search."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.core.campaign import ApiRetry, WhenUnsure
from rollout.core.outcome import Accepted, Found, Lookup, Rejected, Throttled, Unknown, Unsent
from rollout.core.retry import Attempt, Doubt, after_create, after_lookup, backoff

POLICY = ApiRetry(attempts=3, first_s=1.0, max_s=60.0)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_backoff_is_bounded(attempt, draw):
    """At least nothing, at most the cap, however many attempts."""
    assert 0.0 <= backoff(attempt, POLICY, draw) <= 60.0


def test_backoff_doubles_until_the_cap():
    """Full jitter: the draw scales an exponential."""
    assert [backoff(n, POLICY, 0.5) for n in (1, 2, 3, 7, 99)] == [0.5, 1.0, 2.0, 30.0, 30.0]
    with pytest.raises(ValueError, match="below 1"):
        backoff(0, POLICY, 0.5)


@pytest.mark.parametrize(
    ("outcome", "kind", "retry_at"),
    [
        (Accepted("j1", "r1"), "batch.job_created", None),
        (Unsent("refused"), "batch.create_unsent", 100.5),
        (Unsent("stopping", withheld=True), "batch.create_unsent", 100.0),
        (Throttled(7.0), "batch.create_throttled", 107.0),
        (Throttled(), "batch.create_throttled", 100.5),
        (Rejected(24404, "Firmware not found"), "batch.create_rejected", None),
        (Rejected(24610, "not verified", retryable=True), "batch.create_rejected", 160.0),
        (Unknown("reset"), "batch.outcome_unknown", None),
    ],
)
def test_each_outcome_becomes_its_fact(outcome, kind, retry_at):
    """Five outcomes, one fact each; only the definite ones carry a time to try again."""
    fact = after_create(outcome, Attempt(0, 1, 1), POLICY, search_lag_s=5.0, draw=0.5, now=100.0)
    assert fact.kind == kind
    assert getattr(fact, "retry_at", None) == retry_at


def test_a_waiting_refusal_is_final_after_the_last_attempt():
    """24610 for ever is a refusal."""
    refusal = Rejected(24610, "not verified", retryable=True)
    fact = after_create(refusal, Attempt(0, 3, 3), POLICY, search_lag_s=5.0, draw=0.5, now=100.0)
    assert fact.retry_at is None


OURS = Found("j1", "n", "fw1", "upgrade", create_time_ms=5)
YOUNGER = Found("j0", "n", "fw1", "upgrade", create_time_ms=9)


@pytest.mark.parametrize(
    ("lookup", "began_at", "given", "kind"),
    [
        (Lookup((OURS,), complete=True), 101.0, {}, "batch.job_created"),
        (Lookup((OURS,), complete=False), 101.0, {}, "batch.job_created"),
        (Lookup((YOUNGER, OURS), complete=True), 101.0, {}, "batch.job_duplicated"),
        (Lookup((), complete=True), 164.9, {}, "batch.lookup_inconclusive"),
        (Lookup((), complete=False), 165.0, {}, "batch.lookup_inconclusive"),
        (Lookup((), complete=True), 165.0, {}, "batch.resend_allowed"),
        (Lookup((), complete=True, witness=("j9",)), 165.0, {}, "batch.parked"),
        (Lookup((), complete=True), 165.0, {"policy": ApiRetry(when_unsure=WhenUnsure.PARK)}, "batch.parked"),
        (Lookup((), complete=True), 165.0, {"doubts": 3}, "batch.parked"),
    ],
)
def test_each_search_settles_what_it_proves(lookup, began_at, given, kind):
    """Found is believed at any time; absence only complete, late enough, and without a witness."""
    doubt = Doubt(
        batch=0,
        attempt=1,
        doubts=given.get("doubts", 1),
        looks=0,
        ended_at=100.0,
        latest_effect_s=60.0,
        search_lag_s=5.0,
    )
    policy = given.get("policy", POLICY)
    fact = after_lookup(lookup, doubt, policy, began_at=began_at, draw=0.5, now=began_at + 0.1)
    assert fact.kind == kind


def test_the_earliest_of_several_jobs_is_kept():
    """The older job has the devices; the younger ones are to be stopped."""
    fact = after_lookup(
        Lookup((YOUNGER, OURS), complete=True),
        Doubt(0, 1, 1, 0, 0.0, 60.0, 5.0),
        POLICY,
        began_at=1.0,
        draw=0.5,
        now=1.0,
    )
    assert (fact.kept, fact.others) == ("j1", ("j0",))
