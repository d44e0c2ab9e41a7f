"""What becomes of a batch after a call or a search."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.core import events as ev
from rollout.core.campaign import ApiRetry, WhenUnsure
from rollout.core.outcome import Accepted, Found, Lookup, Rejected, Throttled, Unknown, Unsent
from rollout.core.reasons import BatchReason, LookupReason
from rollout.core.retry import (
    CANCEL_PASSES_MAX,
    Attempt,
    Doubt,
    after_create,
    after_lookup,
    backoff,
    cancel_again_at,
)

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


@pytest.mark.parametrize(
    ("outcome", "fact"),
    [
        (
            Accepted("j1", "r1", elapsed_s=0.3),
            ev.BatchJobCreated(100.0, 7, 2, "j1", "r1", elapsed_s=0.3),
        ),
        (Unsent("refused"), ev.BatchCreateUnsent(100.0, 7, 2, "refused", 104.0)),
        (
            Unsent("stopping", withheld=True),
            ev.BatchCreateUnsent(100.0, 7, 2, "stopping", 100.0, withheld=True),
        ),
        (Throttled(7.0, code=33100), ev.BatchCreateThrottled(100.0, 7, 2, 107.0, 7.0, 33100)),
        (Throttled(0.0), ev.BatchCreateThrottled(100.0, 7, 2, 100.0, 0.0)),
        (Throttled(), ev.BatchCreateThrottled(100.0, 7, 2, 104.0)),
        (
            Rejected(24404, "not found", "r1"),
            ev.BatchCreateRejected(100.0, 7, 2, 24404, "not found", "r1"),
        ),
        (
            Rejected(24610, "not verified", "r1", retryable=True),
            ev.BatchCreateRejected(100.0, 7, 2, 24610, "not verified", "r1", 160.0),
        ),
        (
            Rejected(24401, "who are you", "r1", credentials=True),
            ev.BatchCreateRejected(100.0, 7, 2, 24401, "who are you", "r1", credentials=True),
        ),
        (
            Unknown("reset", 24500, 502, "r1"),
            ev.BatchOutcomeUnknown(100.0, 7, 2, "reset", 24500, 502, "r1", 105.0),
        ),
    ],
)
def test_a_fact_brings_along_all_the_outcome_tells(outcome, fact):
    """Batch, number of the attempt, ids, codes and words; the wait grows with failures in a row, not with attempts."""
    told = after_create(outcome, Attempt(7, 2, 4), POLICY, search_lag_s=5.0, draw=0.5, now=100.0)
    assert told == fact


@pytest.mark.parametrize(
    ("lookup", "given", "fact"),
    [
        (Lookup((OURS,), complete=True), {}, ev.BatchJobCreated(170.0, 7, 2, "j1", adopted=True)),
        (Lookup((OURS, YOUNGER), complete=True), {}, ev.BatchJobDuplicated(170.0, 7, "j1", ("j0",))),
        (Lookup((), complete=True), {}, ev.BatchResendAllowed(170.0, 7, 165.0, 170.0)),
        (
            Lookup((), complete=True, witness=("a", "b", "c", "d")),
            {},
            ev.BatchParked(170.0, 7, BatchReason.WITNESSED, exposed=True, jobs=("a", "b", "c")),
        ),
        (
            Lookup((), complete=True),
            {"policy": ApiRetry(attempts=3, when_unsure=WhenUnsure.PARK)},
            ev.BatchParked(170.0, 7, BatchReason.PARK_ASKED),
        ),
        (
            Lookup((), complete=True),
            {"doubts": 4},
            ev.BatchParked(170.0, 7, BatchReason.TOO_OFTEN, doubts=4),
        ),
        # not everything was read: the third look waits for the first second and a jittered backoff on top
        (
            Lookup((), complete=False),
            {},
            ev.BatchLookupInconclusive(170.0, 7, LookupReason.INCOMPLETE, 170.0 + 1.0 + 2.0),
        ),
        # too early: as long again as it has been since the end of the attempt, or S
        (
            Lookup((), complete=True),
            {"began_at": 102.0, "now": 103.0},
            ev.BatchLookupInconclusive(103.0, 7, LookupReason.TOO_EARLY, 108.0),
        ),
        (
            Lookup((), complete=True),
            {"began_at": 119.0, "now": 120.0},
            ev.BatchLookupInconclusive(120.0, 7, LookupReason.TOO_EARLY, 140.0),
        ),
        # but not past the moment at which absence is proved, and at once if that came during the search
        (
            Lookup((), complete=True),
            {"began_at": 140.0, "now": 141.0},
            ev.BatchLookupInconclusive(141.0, 7, LookupReason.TOO_EARLY, 165.0),
        ),
        (
            Lookup((), complete=True),
            {"began_at": 164.0, "now": 166.0},
            ev.BatchLookupInconclusive(166.0, 7, LookupReason.TOO_EARLY, 166.0),
        ),
    ],
)
def test_a_search_leads_to_its_whole_fact(lookup, given, fact):
    """What was found and why nothing was, with the time to look again."""
    given = {"policy": POLICY, "doubts": 1, "began_at": 165.0, "now": 170.0} | given
    doubt = Doubt(7, 2, given.pop("doubts"), 2, 100.0, 60.0, 5.0)
    assert after_lookup(lookup, doubt, given.pop("policy"), draw=0.5, **given) == fact


def test_jobs_of_the_same_moment_are_ordered_by_id():
    """Where the platform tells the same time, or none, which counts as before any, every machine keeps the same job."""
    timed = Found("j0", "n", "fw1", "upgrade", create_time_ms=1)
    timeless = [Found(job_id, "n", "fw1", "upgrade") for job_id in ("j3", "j1", "j2")]
    doubt = Doubt(0, 1, 1, 0, 0.0, 60.0, 5.0)
    fact = after_lookup(
        Lookup((timed, *timeless, OURS), complete=True), doubt, POLICY, began_at=1.0, draw=0.5, now=1.0
    )
    assert (fact.kept, fact.others) == ("j1", ("j2", "j3", "j0", "j1"))


def test_a_wait_that_could_overflow_is_only_long():
    """The thousandth attempt waits no longer than the sixty-first, and is no error."""
    patient = ApiRetry(first_s=1.0, max_s=1e300)
    assert [backoff(n, patient, 1.0) for n in (60, 61, 62, 5000)] == [2.0**59, 2.0**60, 2.0**60, 2.0**60]
    with pytest.raises(ValueError, match=r"^attempt 0 is below 1$"):
        backoff(0, patient, 0.5)


def test_waiting_tasks_are_looked_for_a_few_times_only():
    """After a pass that cancelled some, S later; never after the third pass, nor after one that found none."""
    assert CANCEL_PASSES_MAX == 3
    asked = [(1, 1), (9, 2), (9, 3), (9, 4), (0, 1)]
    again = [cancel_again_at(cancelled, passes, search_lag_s=5.0, now=100.0) for cancelled, passes in asked]
    assert again == [105.0, 105.0, None, None, None]
