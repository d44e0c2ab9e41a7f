"""What journals of format 1 do not say: decisions that their program made while it folded, with its rules.

Since format 2 an event says what was decided. For an event of format 1 `core.fold` asks here. Rules and constants are
copies of those of that time and never change: they belong to what was written, not to what this program would do.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from rollout.core import events as ev
from rollout.core.budget import job_exposure
from rollout.core.campaign import Limits
from rollout.core.plan import Plan
from rollout.core.state import GroupState, State

FIRST_COUNT_S = 5.0
ENROL_S = 10.0
CANCEL_PASSES_MAX = 3
ROUND_S = 15.0
CALLS_PER_COUNT = 4
GROUP_MAX = 100
PERIOD_MIN_S = 5.0
PERIOD_MAX_S = 1800.0
SIGHT_S = 120.0
GROWTH = 1.5
LATE = 1 / 25
FIRST = 1 / 10


class Decided(NamedTuple):
    """What `TasksCounted` says since format 2, under the same names."""

    enrolled_final: bool
    retries_over: bool
    next_at: float


def group_size(plan: Plan, wave: int, limits: Limits) -> int:
    """Return how many jobs of the wave are counted together."""
    planned = plan.waves[wave]
    jobs = planned.last - planned.first
    if limits.devices_in_progress is not None:
        spec = plan.campaign.waves[wave].job
        largest = max((plan.batches[i].devices for i in range(planned.first, planned.last)), default=0)
        jobs = min(jobs, ceil(limits.devices_in_progress / job_exposure(spec, largest)) + 1)
    return max(1, min(GROUP_MAX, ceil(jobs * CALLS_PER_COUNT / (limits.read.rate * ROUND_S))))


def look_at(event: ev.BatchOutcomeUnknown, search_lag_s: float) -> float:
    """Return when the batch's job is looked for first."""
    return event.at + search_lag_s


def retry_audit_at(event: ev.WaveAudited, search_lag_s: float) -> float:
    """Return when a wave with missing jobs is listed again."""
    return event.at + 2 * search_lag_s


def cancel_again_at(event: ev.JobTasksCancelled, passes: int, search_lag_s: float) -> float | None:
    """Return when waiting tasks are looked for once more, None if not at all; `passes` includes this one."""
    return event.at + search_lag_s if event.cancelled and passes < CANCEL_PASSES_MAX else None


def decide_count(state: State, group: GroupState, event: ev.TasksCounted) -> Decided:
    """Return what was decided after the count `event`, which is not folded yet."""
    spec = state.spec_of(state.plan.batches[group.batches[0]])
    whole = event.jobs == len(group.batches)
    full = not group.scoped and event.enrolled >= group.devices
    patience_s = max(ENROL_S, 2 * state.search_lag_s)
    if not event.enrolled:
        patience_s = max(patience_s, state.campaign.stragglers_after_s)
    waited = event.asked_at >= state.vouched(group.grown_at) + patience_s and event.enrolled == group.enrolled
    enrolled_final = whole and (full or waited or (group.enrolled_final and event.enrolled == group.enrolled))
    ended = event.succeeded + event.failed >= event.enrolled
    retries_over = True
    if spec.retry.enabled:
        numbers = (event.enrolled, event.in_progress, event.succeeded, event.failed)
        still = numbers == (group.enrolled, group.in_progress, group.succeeded, group.failed)
        quiet_from = state.vouched(group.changed_at) + spec.retry.interval_s + patience_s
        retries_over = ended and (event.failed == 0 or (still and event.asked_at >= quiet_from))
    gone = event.succeeded + (event.failed if retries_over else 0)
    still_open = group.open_of(event.enrolled, gone, final=enrolled_final)
    planned = group.planned_of(event.enrolled)
    wait_s = _next_period(
        event.asked_at - max(group.asked_at, group.grown_at),
        news=max(0, event.succeeded + event.failed - group.succeeded - group.failed),
        devices=planned,
        still_open=planned if still_open is None else still_open,
        in_progress=event.in_progress,
        age_s=event.asked_at - group.grown_at,
    )
    return Decided(enrolled_final, retries_over, event.at + wait_s)


def _next_period(
    last_s: float, *, news: int, devices: int, still_open: int, in_progress: int, age_s: float
) -> float:
    aim = max(1.0, devices * LATE)
    wait = last_s * (min(GROWTH, aim / news) if news else GROWTH)
    few = 1.0 if in_progress else max(1.0, devices / max(1, still_open))
    late = FIRST if still_open == devices else LATE
    return max(PERIOD_MIN_S, min(wait, SIGHT_S * few, PERIOD_MAX_S, age_s * late))
