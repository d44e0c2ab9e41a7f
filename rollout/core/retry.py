"""Outcome + attempt + draw → what to do about one batch. The rules that make creation safe.

EnOS's create is neither idempotent nor keyed, so "at most one job per batch" rests on two bounds:

* L, `latest_effect_s`: a request takes effect at most this long after the end of its attempt;
* S, `search_lag_s`: a job is found by a complete search at most this long after it exists.

A search that found nothing proves absence only if it was complete and *began* no earlier than L + S after
the *end* of the attempt: counted from its start, a slow connection would use up the margin. Found by its exact,
unique name, a job is ours at any time. If absence is proved, but the devices have tasks in a job that
is not ours, a person must look, and the batch is parked. Everything else is asked again.

Proof sketch: let attempts i < j of one batch both take effect. Attempt j starts from PLANNED, reached after
i only by a definite "nothing was sent" or by such a search; in the first case i had no effect, in the
second i's job existed L after its end, was visible S later, and the search would have found it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from rollout.core import events as ev
from rollout.core.campaign import ApiRetry, WhenUnsure
from rollout.core.outcome import Accepted, Found, Lookup, Outcome, Rejected, Throttled, Unknown, Unsent
from rollout.core.reasons import BatchReason, LookupReason

THROTTLES_MAX = 100
"""Refusals by flow control in a row, of one batch, before a person is asked. Calls."""
CANCEL_PASSES_MAX = 3
"""Passes over one job's waiting tasks at most. Reads lag behind writes, so one pass may miss tasks."""
NAMED_MAX = 3
"""Jobs named at most as the reason why a batch is parked or a campaign halted; the search or the audit found more."""


def backoff(attempt: int, policy: ApiRetry, draw: float) -> float:
    """Return how long to wait before the next attempt, seconds.

    Args:
        attempt: attempts made so far, counted from 1.
        draw: uniform in [0, 1), supplied by the caller; full jitter.
    Returns: at least 0, at most `policy.max_s`.
    Raises: ValueError if `attempt` is below 1.
    Source: exponential backoff with full jitter, AWS Architecture Blog, 2015.
    """
    if attempt < 1:
        raise ValueError(f"attempt {attempt} is below 1")
    # 2.0 ** 60 s is beyond any cap; the exponent is bounded so that it cannot overflow
    return draw * min(policy.max_s, policy.first_s * 2.0 ** min(attempt - 1, 60))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One create call of one batch. `number` counts the batch's attempts from 1, over all lives.

    `tries`: definite failures in a row, this one included.
    """

    batch: int
    number: int
    tries: int


def after_create(
    outcome: Outcome, attempt: Attempt, policy: ApiRetry, *, search_lag_s: float, draw: float, now: float
) -> ev.Event:
    """Return the event that records how one create attempt ended.

    Args:
        search_lag_s: S, seconds.
        draw: uniform in [0, 1), supplied by the caller.
        now: the end of the attempt.
    """
    batch, number = attempt.batch, attempt.number
    match outcome:
        case Accepted():
            return ev.BatchJobCreated(
                now,
                batch,
                number,
                outcome.job_id,
                outcome.request_id,
                elapsed_s=outcome.elapsed_s,
            )
        case Unsent():
            wait = 0.0 if outcome.withheld else backoff(attempt.tries, policy, draw)
            return ev.BatchCreateUnsent(now, batch, number, outcome.reason, now + wait, outcome.withheld)
        case Throttled():
            asked = outcome.retry_after_s
            wait = backoff(attempt.tries, policy, draw) if asked is None else asked
            return ev.BatchCreateThrottled(now, batch, number, now + wait, asked, outcome.code)
        case Rejected():
            again = outcome.retryable and number < policy.attempts
            return ev.BatchCreateRejected(
                now,
                batch,
                number,
                outcome.code,
                outcome.message,
                outcome.request_id,
                # the outside condition changes slowly, so the full wait is used, without jitter
                now + policy.max_s if again else None,
                outcome.credentials,
            )
        case Unknown():
            return ev.BatchOutcomeUnknown(
                now,
                batch,
                number,
                outcome.reason,
                outcome.code,
                outcome.http_status,
                outcome.request_id,
                first_look_at(now, search_lag_s),
            )
        case _:
            assert_never(outcome)


def first_look_at(ended_at: float, search_lag_s: float) -> float:
    """Return when an unknown batch is looked up first: as soon as its job should be visible."""
    return ended_at + search_lag_s


def _earliest(jobs: tuple[Found, ...]) -> tuple[Found, ...]:
    return tuple(sorted(jobs, key=lambda job: (job.create_time_ms or 0, job.job_id)))


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is known of a batch whose create may have taken effect. Times in seconds on the engine's clock.

    `attempt`: the number of the last attempt. `doubts`: attempts that may have had an effect, the last one included.
    `looks`: searches made since then. `ended_at`: the end of the last attempt, or the start of the life that found it
    in doubt. `latest_effect_s` is L, `search_lag_s` S.
    """

    batch: int
    attempt: int
    doubts: int
    looks: int
    ended_at: float
    latest_effect_s: float
    search_lag_s: float

    @property
    def proven_at(self) -> float:
        """A complete search that began at this time or later and finds nothing proves that there is no job."""
        return self.ended_at + self.latest_effect_s + self.search_lag_s


def after_lookup(
    lookup: Lookup, doubt: Doubt, policy: ApiRetry, *, began_at: float, draw: float, now: float
) -> ev.Event:
    """Return the event that records what a search for an unknown batch proved.

    Args:
        began_at: when this search began.
        draw: uniform in [0, 1), supplied by the caller.
    """
    batch = doubt.batch
    if len(lookup.found) == 1:
        return ev.BatchJobCreated(now, batch, doubt.attempt, lookup.found[0].job_id, adopted=True)
    if lookup.found:
        first, *others = _earliest(lookup.found)
        return ev.BatchJobDuplicated(now, batch, first.job_id, tuple(job.job_id for job in others))
    if began_at < doubt.proven_at:
        # look at S, 2 S, 4 S … after the end, and exactly when absence can be proved
        step = max(doubt.search_lag_s, now - doubt.ended_at)
        look_at = min(now + step, max(doubt.proven_at, now))
        return ev.BatchLookupInconclusive(now, batch, LookupReason.TOO_EARLY, look_at)
    if not lookup.complete:
        wait = policy.first_s + backoff(doubt.looks + 1, policy, draw)
        return ev.BatchLookupInconclusive(now, batch, LookupReason.INCOMPLETE, now + wait)
    if lookup.witness:
        return ev.BatchParked(
            now, batch, BatchReason.WITNESSED, exposed=True, jobs=lookup.witness[:NAMED_MAX]
        )
    if policy.when_unsure is WhenUnsure.PARK:
        return ev.BatchParked(now, batch, BatchReason.PARK_ASKED)
    if doubt.doubts >= policy.attempts:
        return ev.BatchParked(now, batch, BatchReason.TOO_OFTEN, doubts=doubt.doubts)
    return ev.BatchResendAllowed(now, batch, began_at, now)


def cancel_again_at(cancelled: int, passes: int, *, search_lag_s: float, now: float) -> float | None:
    """Return when to look again for waiting tasks of a job; None if that is not needed.

    Args:
        cancelled: tasks cancelled in this pass: if there were any, more may have appeared.
        passes: passes over the job, this one included.
        search_lag_s: S, seconds.
    """
    return now + search_lag_s if cancelled and passes < CANCEL_PASSES_MAX else None
