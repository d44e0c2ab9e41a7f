"""What a count is taken for, by the rules of today and by those of format 1: one table for both.

The group has two jobs of 20 devices, the second made at 100 s; S is 5 s. Should a rule of today change, its rows get
results of their own: those of format 1 belong to the journals that were written then.
"""

from dataclasses import replace

import pytest
from support.plans import build

from rollout.core import events as ev
from rollout.core import format_1
from rollout.core.campaign import CallLimit, JobSpec, Limits, Scope, TaskRetry
from rollout.core.counting import Numbers, is_news, tasks_counted
from rollout.core.fold import fold
from rollout.core.polling import group_size, started
from rollout.core.state import State

PLAIN = JobSpec(maximum_concurrency=10)
RETRYING = replace(PLAIN, retry=TaskRetry(enabled=True, interval_s=600, count=2))


def grouped(spec=PLAIN, *before, scoped=False, life_at=2.0, lag_s=5.0):
    """A group of two jobs, after these counts as well: (asked at, jobs, four numbers, and what was decided)."""
    plan, _ = build(("all", [0, 0] if scoped else [20, 20], None, spec))
    if scoped:
        wave = replace(plan.campaign.waves[0], size=Scope("total"))
        plan = replace(plan, campaign=replace(plan.campaign, waves=(wave,)))
    state = State.initial(plan)
    for event in (
        ev.CampaignStarted(1.0, "c1", "d", 40, 2, 1, (2,), 5.0),
        ev.EngineStarted(2.0, "t", "0", 60.0, lag_s),
        ev.WaveAudited(3.0, 0, 2.5, 0),
        ev.WaveOpened(4.0, 0),
        ev.BatchCreateSent(50.0, 0, 1, "n"),
        ev.BatchJobCreated(50.0, 0, 1, "j0"),
        ev.BatchCreateSent(100.0, 1, 1, "n"),
        ev.BatchJobCreated(100.0, 1, 1, "j1"),
        *(ev.TasksCounted(at, 0, at, jobs, *rest) for at, jobs, *rest in before),
        *([ev.EngineStarted(life_at, "t", "0", 60.0, 5.0)] if life_at != 2.0 else []),
    ):
        fold(state, event)
    return state


HALF = (200.0, 2, 40, 10, 20, 0, True, True, 230.0)
QUIET = (200.0, 2, 40, 0, 36, 4, True, False, 230.0)
EMPTY = (105.0, 2, 0, 0, 0, 0, False, True, 110.0)
SHORT = (105.0, 2, 38, 0, 0, 0, False, True, 110.0)


@pytest.mark.parametrize(
    ("state", "asked_at", "jobs", "numbers", "final", "over", "wait_s"),
    [
        # all tasks are there; the wait grows with the age of the group while nothing has ended
        (grouped(), 106.0, 2, (40, 10, 0, 0), True, True, 5.0),
        (grouped(), 200.0, 2, (40, 10, 0, 0), True, True, 10.0),
        # one has ended: a twenty-fifth of the age instead of a tenth
        (grouped(), 500.0, 2, (40, 10, 1, 0), True, True, 16.0),
        # fewer tasks than devices: final only once they stood still, for 10 s or 2 S
        (grouped(PLAIN, SHORT), 109.9, 2, (38, 0, 0, 0), False, True, 5.0),
        (grouped(PLAIN, SHORT), 110.0, 2, (38, 0, 0, 0), True, True, 5.0),
        (grouped(PLAIN, SHORT), 120.0, 2, (39, 0, 0, 0), False, True, 5.0),
        (grouped(PLAIN), 109.9, 2, (38, 0, 0, 0), False, True, 5.0),
        # what was final stays so while the number stands, though a new life has not waited yet
        (grouped(PLAIN, (*SHORT[:6], True, True, 110.0), life_at=300.0), 301.0, 2, (38, 0, 0, 0), True, True, 8.04),
        (grouped(PLAIN, SHORT, life_at=300.0), 301.0, 2, (38, 0, 0, 0), False, True, 20.1),
        # a search that lags 20 s is waited for twice as long
        (grouped(PLAIN, SHORT, lag_s=20.0), 139.9, 2, (38, 0, 0, 0), False, True, 5.0),
        (grouped(PLAIN, SHORT, lag_s=20.0), 140.0, 2, (38, 0, 0, 0), True, True, 5.0),
        # no task at all is waited for as long as stragglers are
        (grouped(PLAIN, EMPTY), 7299.9, 2, (0, 0, 0, 0), False, True, 120.0),
        (grouped(PLAIN, EMPTY), 7300.0, 2, (0, 0, 0, 0), True, True, 288.0),
        # a job more than was counted: nothing is final
        (grouped(), 200.0, 1, (40, 10, 0, 0), False, True, 10.0),
        # EnOS brings failed devices back until they stood still for its interval and 10 s
        (grouped(RETRYING), 200.0, 2, (40, 10, 0, 0), True, False, 10.0),
        (grouped(RETRYING), 200.0, 2, (40, 0, 40, 0), True, True, 5.0),
        (grouped(RETRYING), 200.0, 2, (40, 0, 36, 4), True, False, 5.0),
        (grouped(RETRYING, QUIET), 809.9, 2, (40, 0, 36, 4), True, False, 28.396),
        (grouped(RETRYING, QUIET), 810.0, 2, (40, 0, 36, 4), True, True, 28.4),
        (grouped(RETRYING, QUIET), 810.0, 2, (40, 0, 35, 5), True, False, 28.4),
        (grouped(RETRYING, QUIET, life_at=300.0), 909.9, 2, (40, 0, 36, 4), True, False, 32.396),
        (grouped(RETRYING, QUIET, life_at=300.0), 910.0, 2, (40, 0, 36, 4), True, True, 32.4),
        # failed devices that may come back are still open: 20 of 40, not 10
        (grouped(RETRYING, (9500.0, 2, 40, 0, 20, 10, True, False, 1e4)), 1e4, 2, (40, 0, 20, 10), True, False, 240.0),
        # as fast as the news come: two ends in 100 s, 1.6 of 40 are to be seen
        (grouped(PLAIN, HALF), 300.0, 2, (40, 10, 22, 0), True, True, 8.0),
        (grouped(PLAIN, HALF), 3000.0, 2, (40, 10, 20, 9), True, True, 116.0),
        (grouped(PLAIN, HALF), 3000.0, 2, (40, 10, 20, 100), True, True, 44.8),
        (grouped(PLAIN, (200.0, 2, 40, 10, 16, 4, True, True, 230.0)), 3000.0, 2, (40, 10, 16, 104), True, True, 44.8),
        # nothing ended: half as long again as the last wait, in a small group too; numbers that went down are no news
        (grouped(PLAIN, (9950.0, 2, 20, 10, 0, 0, False, True, 1e4), scoped=True), 1e4, 2, (20, 10, 0, 0), True, True, 75.0),
        (grouped(PLAIN, HALF), 8000.0, 2, (40, 10, 10, 0), True, True, 120.0),
        # nobody at work, 10 of 40 open: looked at four times as seldom as those that are all open
        (grouped(PLAIN, HALF), 80_000.0, 2, (40, 0, 30, 0), True, True, 480.0),
        (grouped(PLAIN, HALF), 80_000.0, 2, (40, 0, 27, 3), True, True, 480.0),
        (grouped(PLAIN, HALF), 80_000.0, 2, (40, 1, 30, 0), True, True, 120.0),
        # EnOS picks the devices: as many are planned as have tasks, and all are open until they stand still
        (grouped(scoped=True), 200.0, 2, (40, 10, 30, 0), False, True, 16 / 3),
        (grouped(PLAIN, HALF, scoped=True), 300.0, 2, (40, 10, 22, 0), True, True, 8.0),
    ],
)  # fmt: skip
def test_a_count_is_taken_for_what_it_proves(state, asked_at, jobs, numbers, final, over, wait_s):  # noqa: PLR0917
    """Whether all tasks exist, whether failed devices may come back, and how long until the next count."""
    group, now = state.groups[0], asked_at + 1.0
    event = tasks_counted(state, group, Numbers(*numbers), jobs=jobs, asked_at=asked_at, now=now)
    said = (event.enrolled_final, event.retries_over, event.next_at - now)
    assert said == (final, over, pytest.approx(wait_s))
    whole = ev.TasksCounted(now, 0, asked_at, jobs, *numbers, final, over, event.next_at)
    assert event == whole
    silent = replace(event, enrolled_final=False, retries_over=False, next_at=None)
    assert format_1.decide_count(state, group, silent) == (final, over, event.next_at)


@pytest.mark.parametrize(
    ("numbers", "decided", "news"),
    [
        ((40, 10, 20, 0), (True, True), False),
        ((41, 10, 20, 0), (True, True), True),
        ((40, 11, 20, 0), (True, True), True),
        ((40, 10, 21, 0), (True, True), True),
        ((40, 10, 20, 1), (True, True), True),
        ((40, 10, 20, 0), (False, True), True),
        ((40, 10, 20, 0), (True, False), True),
    ],
)
def test_only_news_are_kept(numbers, decided, news):
    """Another number, or another thing that was decided."""
    state = grouped(PLAIN, HALF)
    assert is_news(state, ev.TasksCounted(300.0, 0, 300.0, 2, *numbers, *decided, 310.0)) is news


def test_that_a_group_is_through_is_news():
    """The same numbers for fewer jobs did not settle it; for all of them they do."""
    state = grouped(PLAIN, (200.0, 1, 40, 0, 38, 2, False, True, 230.0))
    assert is_news(state, ev.TasksCounted(300.0, 0, 300.0, 2, 40, 0, 38, 2, True, True, 310.0))
    state.groups[0].enrolled_final = True
    assert is_news(state, ev.TasksCounted(300.0, 0, 300.0, 2, 40, 0, 38, 2, True, True, 310.0))
    assert not is_news(state, ev.TasksCounted(300.0, 0, 300.0, 1, 40, 0, 38, 2, True, True, 310.0))


@pytest.mark.parametrize(
    ("sizes", "limits", "together"),
    [
        ([5] * 10, Limits(read=CallLimit(10.0)), 1),
        ([5] * 38, Limits(read=CallLimit(10.0)), 2),
        ([5] * 400, Limits(read=CallLimit(10.0)), 11),
        ([5] * 400, Limits(read=CallLimit(0.1)), 100),
        # at most 16 jobs can be open at once: 75 devices of 5 a job, and one that is about to end
        ([5] * 400, Limits(read=CallLimit(0.5), devices_in_progress=75), 9),
        ([1, 5] * 200, Limits(read=CallLimit(0.5), devices_in_progress=75), 9),
        ([5] * 3, Limits(read=CallLimit(0.5), devices_in_progress=75), 2),
        ([20] * 400, Limits(read=CallLimit(0.5), devices_in_progress=75), 5),
        ([20] * 400, Limits(read=CallLimit(0.5), devices_in_progress=80), 5),
        ([20] * 400, Limits(read=CallLimit(0.5), devices_in_progress=81), 6),
    ],
)
def test_jobs_are_counted_together_as_the_read_rate_allows(sizes, limits, together):
    """A round over all jobs that can be open takes fifteen seconds of four calls each; by both rules."""
    plan, _ = build(("first", [7], None, PLAIN), ("all", sizes, None, PLAIN), limits=limits)
    assert group_size(plan, 1, limits) == format_1.group_size(plan, 1, limits) == together
    begun = ev.CampaignStarted(9.0, "c1", plan.digest, plan.devices, len(sizes) + 1, 2, (1, together), 5.0)
    assert replace(started(plan, 9.0), group_sizes=(1, together)) == begun
    assert started(plan, 9.0).group_sizes[1] == together


def test_format_1_looks_again_when_it_said():
    """After an unknown outcome S later, after missing jobs 2 S, after cancelled tasks S and three times at most."""
    assert format_1.look_at(ev.BatchOutcomeUnknown(100.0, 0, 1, "reset"), 5.0) == 105.0
    assert format_1.retry_audit_at(ev.WaveAudited(100.0, 0, 99.0, 1, (0,)), 5.0) == 110.0
    asked = [(1, 1), (9, 2), (9, 3), (0, 1)]
    again = [
        format_1.cancel_again_at(ev.JobTasksCancelled(100.0, 0, "j", cancelled, 0), passes, 5.0)
        for cancelled, passes in asked
    ]
    assert again == [105.0, 105.0, None, None]
    asleep = {"news": 0, "in_progress": 0, "age_s": 864_000.0}
    waits = [format_1._next_period(9000.0, devices=10, still_open=few, **asleep) for few in (0, 1, 2)]
    assert waits == [1200.0, 1200.0, 600.0]
    assert format_1._next_period(9000.0, devices=500, still_open=5, **asleep) == 1800.0
