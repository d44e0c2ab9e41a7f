"""Outcome + attempt + draw → what to do about one batch. The rules that make creation safe.

EnOS's create is neither idempotent nor keyed, so "at most one job per batch" rests on two bounds:

* L, `latest_effect_s`: a request takes effect at most this long after the end of its attempt;
* S, `search_lag_s`: a job is found by a complete search at most this long after it exists.

A search that found nothing proves absence only if it was complete and *began* no earlier than L + S after
the *end* of the attempt: counted from its start, a slow connection eats the margin. Found by its exact,
unique name, a job is ours at any time. Absence is proved, yet the devices have tasks in a job we cannot
name: then somebody must look, and the batch is parked. Everything else is asked again.

Proof sketch: let attempts i < j of one batch both take effect. Attempt j starts from PLANNED, reached after
i only by a definite "nothing was sent" or by such a search; in the first case i had no effect, in the
second i's job existed L after its end, was visible S later, and the search would have found it.
"""

from __future__ import annotations

from typing import assert_never

from rollout.core import events as ev
from rollout.core.campaign import ApiRetry, WhenUnsure
from rollout.core.outcome import Accepted, Found, Lookup, Outcome, Rejected, Throttled, Unknown, Unsent

__all__ = ["THROTTLES_MAX", "after_create", "after_lookup", "backoff", "first_look_at"]

THROTTLES_MAX = 100
"""Consecutive refusals by flow control one batch bears before a person is asked. Calls."""


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


def after_create(
    outcome: Outcome, *, batch: int, attempt: int, tries: int, policy: ApiRetry, draw: float, now: float
) -> ev.Event:
    """Return the fact one create attempt came to.

    Args:
        attempt: the attempt's number, counted from 1 over all lives.
        tries: definite failures in a row, this one included.
        now: the end of the attempt.
    """
    match outcome:
        case Accepted():
            return ev.BatchJobCreated(
                now, batch, attempt, outcome.job_id, outcome.request_id, elapsed_s=outcome.elapsed_s
            )
        case Unsent():
            wait = 0.0 if outcome.withheld else backoff(tries, policy, draw)
            return ev.BatchCreateUnsent(now, batch, attempt, outcome.reason, now + wait, outcome.withheld)
        case Throttled():
            asked = outcome.retry_after_s
            wait = backoff(tries, policy, draw) if asked is None else asked
            return ev.BatchCreateThrottled(now, batch, attempt, now + wait, asked)
        case Rejected():
            again = outcome.retryable and attempt < policy.attempts
            return ev.BatchCreateRejected(
                now,
                batch,
                attempt,
                outcome.code,
                outcome.message,
                outcome.request_id,
                # an outside condition changes slowly: the full wait, not a jittered one
                now + policy.max_s if again else None,
                outcome.credentials,
            )
        case Unknown():
            return ev.BatchOutcomeUnknown(
                now, batch, attempt, outcome.reason, outcome.code, outcome.http_status, outcome.request_id
            )
        case _:
            assert_never(outcome)


def first_look_at(ended_at: float, search_lag_s: float) -> float:
    """Return when an unknown batch is looked up first: as soon as its job should be visible."""
    return ended_at + search_lag_s


def _earliest(jobs: tuple[Found, ...]) -> tuple[Found, ...]:
    return tuple(sorted(jobs, key=lambda job: (job.create_time_ms or 0, job.job_id)))


def after_lookup(
    lookup: Lookup,
    *,
    batch: int,
    attempt: int,
    doubts: int,
    looks: int,
    began_at: float,
    ended_at: float,
    latest_effect_s: float,
    search_lag_s: float,
    policy: ApiRetry,
    draw: float,
    now: float,
) -> ev.Event:
    """Return what a search for an unknown batch settled.

    Args:
        attempt: the number of the last attempt.
        doubts: attempts of this batch that may have had an effect, the last one included.
        looks: searches made since then, before this one.
        began_at: when this search began.
        ended_at: the end of the doubtful attempt, or the start of the life that found it in doubt.
    """
    if len(lookup.found) == 1:
        return ev.BatchJobCreated(now, batch, attempt, lookup.found[0].job_id, adopted=True)
    if lookup.found:
        first, *others = _earliest(lookup.found)
        return ev.BatchJobDuplicated(now, batch, first.job_id, tuple(job.job_id for job in others))
    proven_at = ended_at + latest_effect_s + search_lag_s
    if began_at < proven_at:
        # look at S, 2 S, 4 S … after the end, and exactly when absence can be proved
        step = max(search_lag_s, now - ended_at)
        return ev.BatchLookupInconclusive(now, batch, "not found yet", min(now + step, max(proven_at, now)))
    if not lookup.complete:
        return ev.BatchLookupInconclusive(
            now, batch, "the search was not complete", now + policy.first_s + backoff(looks + 1, policy, draw)
        )
    if lookup.witness:
        jobs = ", ".join(lookup.witness[:3])
        reason = f"not found by name, but its devices have tasks in job {jobs}"
        return ev.BatchParked(now, batch, reason, exposed=True)
    if policy.when_unsure is WhenUnsure.PARK:
        return ev.BatchParked(now, batch, "not found, and the plan says park")
    if doubts >= policy.attempts:
        return ev.BatchParked(now, batch, f"not found after {doubts} doubtful attempts")
    return ev.BatchResendAllowed(now, batch, began_at, now)
