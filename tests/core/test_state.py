"""What counts make of groups and waves: when nothing more can come, and what is still exposed."""

from dataclasses import replace
from math import inf

import pytest
from support.plans import build

from rollout.core import events as ev
from rollout.core.budget import group_exposure, job_exposure
from rollout.core.campaign import CallLimit, JobSpec, Limits, Scope, TaskRetry
from rollout.core.commands import UnderWay
from rollout.core.counting import ENROL_S, Numbers, is_news, tasks_counted
from rollout.core.decide import BLIND_MAX_S, decide
from rollout.core.fold import fold
from rollout.core.lifecycle import BatchStatus
from rollout.core.polling import GROUP_MAX, PERIOD_MIN_S, SIGHT_S, Pace, group_size, next_period
from rollout.core.reasons import HaltReason
from rollout.core.state import GroupState, State, WaveState
from rollout.core.tally import Tally

SPEC = JobSpec(platform={"versionNumbers": ["1.0"]}, maximum_concurrency=10)


def opened(*waves, **campaign):
    """A state whose first wave is open and whose batches of it have jobs, created at 100 s."""
    plan, _ = build(*waves, **campaign)
    state = State.initial(plan)
    fold(state, ev.CampaignStarted(1.0, "c1", plan.digest, plan.devices, len(plan.batches), len(plan.waves)))
    fold(state, ev.EngineStarted(1.0, "test", "0", 60.0, 5.0))
    fold(state, ev.WaveAudited(1.0, 0, 1.0, 0))
    fold(state, ev.WaveOpened(1.0, 0))
    for index in range(plan.waves[0].last):
        fold(state, ev.BatchCreateSent(100.0, index, 1, f"n{index}"))
        fold(state, ev.BatchJobCreated(100.0, index, 1, f"j{index}"))
    return state


def count(state, at, *numbers, group=0):
    """Fold a count of `group` asked at `at`: enrolled, in progress, succeeded, failed."""
    jobs = len(state.groups[group].batches)
    event = tasks_counted(state, state.groups[group], Numbers(*numbers), jobs=jobs, asked_at=at, now=at)
    news = is_news(state, event)
    fold(state, event)
    return news


def test_a_group_settles_when_every_device_has_ended():
    """All tasks there, all ended: nothing is exposed any more and it is not asked about again."""
    state = opened(("all", [20], None, SPEC))
    assert state.exposure == 10
    assert count(state, 105.0, 20, 10, 4, 1)
    assert (state.exposure, state.groups[0].settled) == (10, False)
    count(state, 110.0, 20, 5, 14, 1)
    assert state.exposure == 5
    count(state, 115.0, 20, 0, 19, 1)
    assert (state.exposure, state.waves[0].settled) == (0, True)
    assert len(state.counts) == 0
    assert state.tally().failed_final == 1


def test_devices_that_match_nothing_are_waited_for_only_so_long():
    """Eighteen of twenty enrolled: final once it has stood still; the two are open, not failed."""
    state = opened(("all", [20], None, SPEC))
    count(state, 105.0, 18, 0, 18, 0)
    assert not state.groups[0].settled, "more tasks may still appear"
    count(state, 100.0 + ENROL_S, 18, 0, 18, 0)
    assert state.groups[0].settled
    tally = state.tally()
    assert (tally.planned, tally.enrolled, tally.open) == (20, 18, 2)


def test_failures_are_not_final_while_the_platform_may_retry():
    """With EnOS's retries a failed device counts as open until the interval has passed in quiet."""
    spec = replace(SPEC, retry=TaskRetry(enabled=True, interval_s=600, count=2))
    state = opened(("all", [20], None, spec))
    count(state, 200.0, 20, 0, 15, 5)
    assert (state.tally().resolved, state.tally().failed, state.exposure) == (15, 5, 5)
    count(state, 500.0, 20, 3, 15, 2)
    count(state, 900.0, 20, 0, 18, 2)
    assert not state.groups[0].settled
    assert not count(state, 905.0, 20, 0, 18, 2), "the same again is no news"
    assert count(state, 900.0 + 600.0 + ENROL_S, 20, 0, 18, 2), "but that quiet lasted long enough is"
    assert state.groups[0].settled
    assert state.tally().failed_final == 2


def test_an_older_read_never_overwrites_a_newer_one():
    """Counts that come back out of order are dropped."""
    state = opened(("all", [20], None, SPEC))
    count(state, 120.0, 20, 2, 18, 0)
    fold(state, ev.TasksCounted(121.0, 0, 110.0, 1, 20, 10, 5, 0))
    assert state.tally().succeeded == 18


def test_a_scope_wave_learns_its_size_from_the_platform():
    """EnOS picks the devices: exposed is the job's concurrency, planned is what was enrolled."""
    plan, _ = build(("tagged", [0], None, SPEC))
    wave = replace(plan.campaign.waves[0], size=Scope("partial", "tags", {"rev": ["a"]}))
    plan = replace(plan, campaign=replace(plan.campaign, waves=(wave,)))
    state = State.initial(plan)
    for event in (
        ev.CampaignStarted(1.0, "c1", "d", 0, 1, 1),
        ev.EngineStarted(1.0, "t", "0", 60.0, 5.0),
        ev.WaveAudited(1.0, 0, 1.0, 0),
        ev.WaveOpened(1.0, 0),
        ev.BatchCreateSent(100.0, 0, 1, "n"),
        ev.BatchJobCreated(100.0, 0, 1, "j"),
    ):
        fold(state, event)
    assert state.exposure == 10
    count(state, 105.0, 30, 10, 0, 0)
    assert (state.tally().planned, state.exposure) == (30, 10)
    count(state, 112.0, 30, 4, 25, 0)
    assert state.exposure == 5
    count(state, 120.0, 30, 0, 30, 0)
    assert state.waves[0].settled


def test_a_parked_batch_that_is_found_after_its_wave_passed_is_counted():
    """Parked, the wave went on; found later, its devices are counted like all others."""
    state = opened(("one", [5, 5], None, SPEC), ("two", [5], None, SPEC))
    plan = state.plan
    state = State.initial(plan)
    for event in (
        ev.CampaignStarted(1.0, "c1", "d", 15, 3, 2),
        ev.EngineStarted(1.0, "t", "0", 60.0, 5.0),
        ev.WaveAudited(1.0, 0, 1.0, 0),
        ev.WaveOpened(1.0, 0),
        ev.BatchCreateSent(2.0, 0, 1, "n0"),
        ev.BatchJobCreated(2.0, 0, 1, "j0"),
        ev.BatchCreateSent(2.0, 1, 1, "n1"),
        ev.BatchOutcomeUnknown(3.0, 1, 1, "reset"),
        ev.BatchParked(70.0, 1, "not found"),
    ):
        fold(state, event)
    assert (state.unknown, state.exposure, state.waves[0].created) == (0, 5, True)
    fold(state, ev.CampaignResumed(80.0, "ana"))
    assert (state.unknown, state.exposure, state.waves[0].created) == (1, 10, False)
    assert state.status_of(1) is BatchStatus.UNKNOWN
    fold(state, ev.BatchJobCreated(90.0, 1, 1, "j1", adopted=True))
    assert (state.unknown, state.exposure, state.waves[0].created, state.parked) == (0, 10, True, set())


def test_group_sizes_follow_the_read_budget():
    """One job at a time where reads allow it, more together where they do not, never above the bound."""
    few, _ = build(("all", [5] * 10, None, SPEC))
    many, _ = build(("all", [5] * 400, None, SPEC))
    fast = Limits(read=CallLimit(10.0))
    assert group_size(few, 0, fast) == 1
    assert group_size(many, 0, fast) == 11
    assert group_size(many, 0, Limits(read=CallLimit(0.1))) == GROUP_MAX
    capped = Limits(read=CallLimit(10.0), devices_in_progress=50)
    assert group_size(many, 0, capped) == 1, "only eleven jobs can be open at once"


def test_exposure_is_what_a_job_can_have_in_progress():
    """The smaller of concurrency and devices; the concurrency where EnOS picks the devices."""
    assert job_exposure(SPEC, 500) == 10
    assert job_exposure(SPEC, 4) == 4
    assert job_exposure(SPEC, 0) == 10
    assert group_exposure(30, 12) == 12
    verification = replace(SPEC, maximum_concurrency=None)
    assert job_exposure(verification, 4) == 4
    with pytest.raises(
        AssertionError, match=r"^a job whose devices the platform picks has a maximum_concurrency$"
    ):
        job_exposure(verification, 0)


WATCHED = {"devices": 500, "still_open": 500, "in_progress": 0, "age_s": 86_400.0}


def test_counting_slows_down_while_nothing_is_heard():
    """From five seconds to two minutes, while all are open never longer than creation may go on blindly."""
    period = PERIOD_MIN_S
    for _ in range(10):
        period = next_period(Pace(period, news=0, **WATCHED))
    assert period == SIGHT_S == BLIND_MAX_S


@pytest.mark.parametrize(
    ("age_s", "still_open", "period_s"),
    [(0.0, 499, 5.0), (125.0, 499, 5.0), (600.0, 499, 24.0), (600.0, 500, 60.0), (86_400.0, 500, 120.0)],
)
def test_news_are_late_by_a_share_of_their_age(age_s, still_open, period_s):
    """However quiet a group is: what took ten minutes to happen is told 24 s later at most, its first end a minute."""
    assert (
        next_period(
            Pace(100.0, news=0, **{**WATCHED, "still_open": still_open, "in_progress": 1, "age_s": age_s})
        )
        == period_s
    )


@pytest.mark.parametrize(("news", "period_s"), [(1, 90.0), (20, 60.0), (40, 30.0), (500, 5.0)])
def test_the_pace_of_a_group_says_when_to_look_again(news, period_s):
    """When a twenty-fifth of its devices should have ended; no faster than reads can follow."""
    assert next_period(Pace(60.0, news=news, **WATCHED)) == period_s


@pytest.mark.parametrize(
    ("still_open", "in_progress", "period_s"),
    [(500, 0, 120.0), (250, 0, 240.0), (5, 0, 1800.0), (0, 0, 1800.0), (5, 1, 120.0)],
)
def test_the_few_that_sleep_are_looked_for_seldom(still_open, in_progress, period_s):
    """The less a group can still change its wave's figures, the fewer reads it takes; not while devices are at work."""
    watched = {**WATCHED, "still_open": still_open, "in_progress": in_progress, "age_s": 864_000.0}
    assert next_period(Pace(9000.0, news=0, **watched)) == period_s


def test_the_last_one_is_looked_for_as_seldom_as_its_group_is_large():
    """One of ten is open and asleep: ten times as long as where all are open; two of ten: five times."""
    watched = {"devices": 10, "in_progress": 0, "age_s": 864_000.0}
    waits = [next_period(Pace(9000.0, news=0, still_open=still_open, **watched)) for still_open in (0, 1, 2)]
    assert waits == [1200.0, 1200.0, 600.0]


def test_a_group_nobody_knows_the_size_of_is_watched_like_a_full_one():
    """Where EnOS picks the devices and has made no task yet."""
    unknown = {"devices": 0, "still_open": 0, "in_progress": 0, "age_s": 86_400.0}
    assert next_period(Pace(9000.0, news=0, **unknown)) == SIGHT_S


@pytest.mark.parametrize("unknown", [0, 1])
def test_a_large_batch_is_not_overtaken_by_smaller_ones(unknown):
    """Plan order holds under the cap, and a create in doubt keeps its share of it."""
    limits = Limits(CallLimit(100.0, in_flight=8), CallLimit(100.0), devices_in_progress=12)
    plan, _ = build(("all", [5, 10, 2], None, SPEC), limits=limits)
    state = State.initial(plan)
    for event in (
        ev.CampaignStarted(1.0, "c1", "d", 17, 3, 1),
        ev.EngineStarted(1.0, "t", "0", 60.0, 5.0),
        ev.WaveAudited(1.0, 0, 1.0, 0),
        ev.WaveOpened(1.0, 0),
        ev.BatchCreateSent(2.0, 0, 1, "n0"),
        ev.BatchOutcomeUnknown(3.0, 0, 1, "reset") if unknown else ev.BatchJobCreated(3.0, 0, 1, "j0"),
    ):
        fold(state, event)
    assert not [c for c in decide(state, 3.0, UnderWay()).commands if type(c).__name__ == "CreateJob"]


def test_a_waves_cursor_passes_what_was_sent_and_what_an_audit_found():
    """Whoever looks for the next batch begins there: in a long campaign all before it would be walked again and again."""
    state = opened(("total", [5] * 4, None, None))
    assert (state.waves[0].cursor, state.next_batch()) == (4, None)
    plan, _ = build(("total", [5] * 4, None, None))
    found = State.initial(plan)
    for event in (
        ev.CampaignStarted(1.0, "c1", plan.digest, plan.devices, 4, 1),
        ev.EngineStarted(1.0, "test", "0", 60.0, 5.0),
        ev.WaveAudited(1.0, 0, 1.0, 0),
        ev.WaveOpened(1.0, 0),
        ev.BatchJobCreated(100.0, 0, 0, "j0", adopted=True),
        ev.BatchJobCreated(100.0, 2, 0, "j2", adopted=True),
    ):
        fold(found, event)
    assert (found.waves[0].cursor, found.next_batch()) == (1, 1)


def test_a_new_state_has_the_waves_of_its_plan():
    """Their batches and devices, untouched; those whose devices EnOS picks are marked."""
    plan, _ = build(("one", [5, 5], None, SPEC), ("two", [0], None, SPEC))
    waves = (plan.campaign.waves[0], replace(plan.campaign.waves[1], size=Scope("total")))
    state = State.initial(replace(plan, campaign=replace(plan.campaign, waves=waves)))
    assert state.waves == [
        WaveState(0, 0, 2, 10, scoped=False, cursor=0),
        WaveState(1, 2, 3, 0, scoped=True, cursor=2),
    ]


def test_a_stop_has_a_reason_as_a_code():
    """That of a halt, `paused` or `aborted`; none while nothing stops the campaign."""
    state = opened(("one", [5], None, SPEC))
    assert (state.reason, state.closed) == ("", False)
    for event, reason in (
        (ev.CampaignPaused(200.0, "ana"), "paused"),
        (ev.CampaignHalted(201.0, HaltReason.DEADLINE, 0, gate=True), "deadline"),
        (ev.CampaignResumed(202.0, "ana"), ""),
        (ev.CampaignAbortRequested(203.0, "ana"), "aborted"),
        (ev.CampaignAborted(204.0), "aborted"),
    ):
        fold(state, event)
        assert state.reason == reason
    assert state.closed


def test_the_next_job_has_room_or_not():
    """To be repeated goes before untried; a job fits as long as it does not pass the cap."""
    for cap, full in ((19, True), (20, False), (None, False)):
        plan, _ = build(("all", [20] * 3, None, SPEC), limits=Limits(devices_in_progress=cap))
        state = State.initial(plan)
        for event in (
            ev.CampaignStarted(1.0, "c1", "d", 60, 3, 1),
            ev.WaveAudited(1.0, 0, 1.0, 0),
            ev.WaveOpened(1.0, 0),
            ev.BatchCreateSent(2.0, 0, 1, "n"),
            ev.BatchCreateSent(3.0, 2, 1, "n"),
            ev.BatchCreateUnsent(4.0, 2, 1, "no route", 9.0),
        ):
            fold(state, event)
        assert (state.next_batch(), state.full) == (2, full)
        fold(state, ev.BatchCreateSent(10.0, 2, 2, "n"))
        assert state.next_batch() == 1


def test_a_stall_is_over_with_the_first_thing_that_moves():
    """Told, and true until a count, a doubt, a pause or room for the next job says otherwise."""
    for event in (
        None,
        ev.TasksCounted(501.0, 0, 501.0, 1, 20, 9, 11, 0, True, True, 550.0),
        ev.CampaignPaused(501.0, "ana"),
        ev.BatchCreateSent(501.0, 1, 1, "n"),
    ):
        plan, _ = build(("all", [20] * 3, None, SPEC), limits=Limits(devices_in_progress=15))
        state = State.initial(plan)
        for before in (
            ev.CampaignStarted(1.0, "c1", "d", 60, 3, 1),
            ev.WaveAudited(1.0, 0, 1.0, 0),
            ev.WaveOpened(1.0, 0),
            ev.BatchCreateSent(2.0, 0, 1, "n"),
            ev.BatchJobCreated(400.0, 0, 1, "j0"),
        ):
            fold(state, before)
        assert not state.stalled
        fold(state, ev.CampaignStalled(400.0, 0, 10))
        assert (state.moved_at, state.stalled) == (400.0, True)
        if event is not None:
            fold(state, event)
            if isinstance(event, ev.BatchCreateSent):
                fold(state, ev.BatchOutcomeUnknown(502.0, 1, 1, "reset"))
            assert not state.stalled


def test_what_moved_last_is_known_of_waves_and_of_the_whole():
    """The newest of a number, a job and the clock of the gate; the start, before any wave."""
    plan, _ = build(("one", [20], None, SPEC), ("two", [5], None, SPEC))
    state = State.initial(plan)
    fold(state, ev.CampaignStarted(7.0, "c1", "d", 25, 2, 2))
    assert state.moved_at == 7.0
    state = opened(("one", [20], None, SPEC), ("two", [5], None, SPEC))
    assert (state.moved_at, state.waves[0].moved_at) == (100.0, 100.0)
    count(state, 110.0, 20, 10, 0, 0)
    assert state.waves[0].moved_at == 110.0
    count(state, 120.0, 20, 10, 0, 0)
    assert state.waves[0].moved_at == 110.0, "the same again moves nothing"
    fold(state, ev.CampaignResumed(130.0, "ana"))
    assert state.moved_at == 130.0


def test_a_wave_is_seen_since_its_oldest_count_in_this_life():
    """Groups that are settled need no count; one that this life has not counted hides the whole wave."""
    state = opened(("one", [20, 20, 20], None, SPEC))
    wave = state.waves[0]
    assert len(wave.groups) == 3
    for group, at in enumerate((110.0, 105.0, 120.0)):
        count(state, at, 20, 10, 0, 0, group=group)
    assert state.seen_at(wave) == 105.0
    count(state, 130.0, 20, 0, 20, 0, group=1)
    assert state.seen_at(wave) == 110.0
    fold(state, ev.EngineStarted(110.0, "t", "0", 60.0, 5.0))
    assert state.seen_at(wave) == 110.0
    fold(state, ev.EngineStarted(115.0, "t", "0", 60.0, 5.0))
    assert state.seen_at(wave) == -inf
    assert (state.vouched(100.0), state.vouched(116.0)) == (115.0, 116.0)
    for group in (0, 2):
        count(state, 140.0, 20, 0, 20, 0, group=group)
    assert state.seen_at(wave) == inf


def test_a_wave_whose_devices_enos_picks_is_known_when_all_its_tasks_are():
    """Every batch has its job, and no further task will appear in any group."""
    state = opened(("one", [20, 20], None, SPEC))
    wave = state.waves[0]
    assert state.is_known(wave)
    wave.scoped = True
    assert not state.is_known(wave)
    count(state, 110.0, 20, 10, 0, 0, group=0)
    assert not state.is_known(wave)
    count(state, 110.0, 20, 10, 0, 0, group=1)
    assert state.is_known(wave)
    wave.settled_batches -= 1
    assert not state.is_known(wave)


def test_a_groups_open_devices():
    """Those of the plan, or those that have tasks once no more can come; less what ended for good, never below none."""
    group = GroupState(0, 0, devices=20, enrolled=18, succeeded=5, failed=3)
    assert (group.planned, group.open, group.tally.failed_final) == (20, 15, 0)
    group.retries_over = True
    assert (group.open, group.tally) == (12, Tally(20, 18, 0, 5, 3, 3))
    group.enrolled_final = True
    assert group.open == 10
    assert group.open_of(18, 30, final=True) == 0
    scoped = GroupState(0, 0, scoped=True, enrolled=18, succeeded=5)
    assert (scoped.planned, scoped.open) == (18, None)
    scoped.enrolled_final = True
    assert scoped.open == 13
