"""One count of a poll group → what it shows, and when to count next.

A count is four numbers, read one after the other. What they mean is decided here, once, and written into the event:
whether every task that will exist exists, whether EnOS may still bring a failed device back, and when to ask again.
`core.fold` takes it from the event.
"""

from __future__ import annotations

from typing import NamedTuple

from rollout.core import events as ev
from rollout.core.polling import Pace, next_period
from rollout.core.state import GroupState, State

ENROL_S = 10.0
"""How long after its last job was made a group's number of tasks is taken as final. EnOS advises 2 s for
reads after writes and does not say whether tasks exist when create returns. Seconds."""


class Numbers(NamedTuple):
    """Devices by status, over the jobs that were counted. `enrolled`: tasks that exist."""

    enrolled: int
    in_progress: int
    succeeded: int
    failed: int


def tasks_counted(
    state: State, group: GroupState, numbers: Numbers, *, jobs: int, asked_at: float, now: float
) -> ev.TasksCounted:
    """Return the fact of a count of the group's first `jobs` jobs that was asked for from `asked_at` on, seconds."""
    enrolled_final = _enrolled_final(state, group, numbers, jobs=jobs, asked_at=asked_at)
    retries_over = _retries_over(state, group, numbers, asked_at=asked_at)
    gone = numbers.succeeded + (numbers.failed if retries_over else 0)
    still_open = group.open_of(numbers.enrolled, gone, final=enrolled_final)
    planned = group.planned_of(numbers.enrolled)
    pace = Pace(
        last_s=asked_at - max(group.asked_at, group.grown_at),
        news=max(0, numbers.succeeded + numbers.failed - group.succeeded - group.failed),
        devices=planned,
        still_open=planned if still_open is None else still_open,
        in_progress=numbers.in_progress,
        age_s=asked_at - group.grown_at,
    )
    next_at = now + next_period(pace)
    return ev.TasksCounted(now, group.index, asked_at, jobs, *numbers, enrolled_final, retries_over, next_at)


def is_news(state: State, event: ev.TasksCounted) -> bool:
    """Return whether a count tells anything that the state does not hold already; else it need not be kept."""
    group = state.groups[event.group]
    if Numbers(event.enrolled, event.in_progress, event.succeeded, event.failed) != _numbers_of(group):
        return True
    settled = (
        event.jobs == len(group.batches)
        and event.enrolled_final
        and event.retries_over
        and event.succeeded + event.failed >= event.enrolled
    )
    flags = (event.enrolled_final, event.retries_over, settled)
    return flags != (group.enrolled_final, group.retries_over, group.settled)


def _numbers_of(group: GroupState) -> Numbers:
    return Numbers(group.enrolled, group.in_progress, group.succeeded, group.failed)


def _patience_s(state: State, numbers: Numbers) -> float:
    """Return for how long numbers must stand still before they are taken as final, seconds."""
    patience_s = max(ENROL_S, 2 * state.search_lag_s)
    if not numbers.enrolled:
        # no task at all is more likely late than final: nothing is given back for it any sooner than to stragglers
        return max(patience_s, state.campaign.stragglers_after_s)
    return patience_s


def _enrolled_final(state: State, group: GroupState, numbers: Numbers, *, jobs: int, asked_at: float) -> bool:
    """Return whether no further task will appear in the group."""
    if jobs != len(group.batches):
        return False
    if not group.scoped and numbers.enrolled >= group.devices:
        return True
    if numbers.enrolled != group.enrolled:
        return False
    waited = asked_at >= state.vouched(group.grown_at) + _patience_s(state, numbers)
    return waited or group.enrolled_final


def _retries_over(state: State, group: GroupState, numbers: Numbers, *, asked_at: float) -> bool:
    """Return whether EnOS will bring no failed device of the group back."""
    retry = state.spec_of(state.plan.batches[group.batches[0]]).retry
    if not retry.enabled:
        return True
    if numbers.succeeded + numbers.failed < numbers.enrolled:
        return False
    if not numbers.failed:
        return True
    # a failed task may come back for as long as the platform's interval; only quiet proves it will not
    quiet_from = state.vouched(group.changed_at) + retry.interval_s + _patience_s(state, numbers)
    return numbers == _numbers_of(group) and asked_at >= quiet_from
