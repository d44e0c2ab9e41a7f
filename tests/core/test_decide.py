"""The heart of the engine, driven through whole campaigns in virtual time."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plans import build, gate
from support.world import Crash, L, S, World

from rollout.core import events as ev
from rollout.core.campaign import (
    ApiRetry,
    CallLimit,
    JobSpec,
    Limits,
    OnFail,
    PushSchedule,
    StopRule,
    TaskRetry,
    WhenUnsure,
)
from rollout.core.decide import BLIND_MAX_S, may_create
from rollout.core.fold import fold
from rollout.core.lifecycle import BatchStatus, CampaignStatus, WaveStatus
from rollout.core.names import batch_name
from rollout.core.orders import Abort, Approve, Pause, Resume
from rollout.core.reasons import HaltReason, HoldReason
from rollout.core.state import State
from rollout.views.words import evidence_text, state_evidence

TWO_WAVES = [("canary", [20, 20], gate(soak_s=3600.0), None), ("total", [50] * 6, None, None)]
FAULTS = {"answer_lost": 0.3, "late": 0.2, "request_lost": 0.2, "unsent": 0.2, "throttled": 0.2}


def world(*waves, faults=(), seed=0, campaign=None, **platform):
    plan, manifest = build(*(waves or TWO_WAVES), **(campaign or {}))
    return World(plan, manifest, seed=seed, faults=faults, **platform)


def kinds(w):
    return [event.kind for event in w.journal]


def test_a_healthy_campaign_runs_to_its_end_in_order():
    """Canary, its soak, then the rest; each wave audited; every device counted."""
    w = world()
    state = w.live()
    assert state.status is CampaignStatus.FINISHED
    w.assert_complete()
    assert state.tally().succeeded == w.plan.devices
    opened = [e for e in w.journal if isinstance(e, ev.WaveOpened)]
    passed = next(e for e in w.journal if isinstance(e, ev.GatePassed))
    satisfied = next(e for e in w.journal if isinstance(e, ev.GateSatisfied))
    assert passed.at >= satisfied.at + 3600.0
    assert [e.wave for e in opened] == [0, 1]
    assert opened[1].at >= passed.at


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    crashes=st.lists(st.integers(1, 40), max_size=6),
    lag=st.floats(0.0, 5.0),
)
def test_no_crash_and_no_fault_makes_a_second_job_or_loses_a_batch(seed, crashes, lag):
    """At any step, with answers and requests lost and effects as late as allowed: one job a batch, all of them."""
    w = world(faults=FAULTS, seed=seed, lag=lag)
    for steps in crashes:
        w.crash_in(steps)
        try:
            w.live(until=w.now + 20_000.0)
        except Crash:
            w.now += w.rng.choice([0.0, 1.0, 30.0, 5000.0])
            w.witness = w.rng.choice([(), (), ("somebody's",)])
            w.counts_fail = w.rng.random() < 0.2
            w.platform.jobs.sort(key=lambda job: job.at)
    w.crash_at, w.witness, w.counts_fail = None, (), False
    state = w.live()
    for _ in range(5):
        if state.status is CampaignStatus.FINISHED and not state.parked:
            break
        state = w.live(orders=[Resume("ana")])
    if state.parked:
        assert state.status is CampaignStatus.HALTED
        w.assert_one_job_each()
    else:
        assert state.status is CampaignStatus.FINISHED
        w.assert_complete()


def test_pending_effects_of_a_dead_life_are_found_by_the_next_one():
    """A create that left just before the crash and took effect after it is adopted, not repeated."""
    w = world(("only", [5], None, None))
    w.crash_in(6)
    with pytest.raises(Crash):
        w.live()
    assert w.journal[-1].kind == "batch.create_sent"
    w.platform.create(batch_name("c1", w.plan.batches[0]), 5, w.now)
    w.crash_at = None
    state = w.live()
    w.assert_complete()
    assert state.adopted == 1


def test_a_request_that_never_arrived_is_sent_again_only_after_the_quarantine():
    """L + S after the end of the attempt, not after its start."""
    w = world(("only", [5], None, None), faults={"ok": 0.0, "request_lost": 1.0})
    w.live(until=w.now + 26.0)
    unknown = next(e for e in w.journal if e.kind == "batch.outcome_unknown")
    w.faults = {"ok": 1.0}
    w.live(until=unknown.at + 24.0)
    assert w.creates == 1
    w.live()
    second = [e for e in w.journal if e.kind == "batch.create_sent"][1]
    lives = [e for e in w.journal if e.kind == "engine.started"]
    assert second.at >= lives[-1].at + 25.0, "the last life counts anew, since it cannot know"
    w.assert_complete()


def test_a_cautious_plan_parks_what_it_cannot_find():
    """`whenUnsure: park` never sends again, ends loudly, and looks again when run again."""
    w = world(
        ("only", [5, 5], None, None),
        faults={"ok": 0.0, "request_lost": 1.0},
        campaign={"api_retry": ApiRetry(when_unsure=WhenUnsure.PARK)},
    )
    state = w.live()
    assert state.parked == {0, 1}
    assert w.creates == 2
    assert state.tally().open == 10
    assert (state.status, state.reason) == (CampaignStatus.HALTED, HaltReason.BATCHES_PARKED)
    for batch in w.plan.batches:
        w.platform.create(batch_name("c1", batch), 5, w.now)
    state = w.live(orders=[Resume("ana")])
    assert state.status is CampaignStatus.FINISHED
    assert state.adopted == 2


def test_duplicates_are_seen_stopped_and_halt_the_campaign():
    """Where the platform breaks its bounds the audit finds two jobs, stops the younger, and says so."""
    w = world(("canary", [5], gate(soak_s=3600.0), None), ("total", [5], None, None))
    w.live(until=w.now + 10.0)
    first = w.platform.jobs[0]
    w.platform.create(first.name, 5, w.now)
    state = w.live()
    assert state.status is CampaignStatus.HALTED
    assert state.reason == HaltReason.JOB_DUPLICATED
    assert w.platform.jobs[1].stopped_at < float("inf")
    assert first.stopped_at == float("inf")
    assert state.waves[1].status is WaveStatus.WAITING


def test_a_bad_firmware_is_stopped_in_the_canary():
    """20 % failing: the stop rule halts, nothing of the next wave is created."""
    w = world(failing=0.2)
    state = w.live()
    assert state.status is CampaignStatus.HALTED
    assert state.reason == HaltReason.STOP_RULE
    assert "20%" in state_evidence(state)
    assert {j.name[:7] for j in w.platform.jobs} == {"c1-w01-"}
    again = w.live(orders=[Resume("ana")])
    assert again.status is CampaignStatus.HALTED, "resuming does not blind the brake"


def test_a_person_may_pass_a_failed_gate_on_the_record():
    """Approving the halted wave overrides its gate and the campaign goes on."""
    w = world(failing=0.2)
    w.live()
    state = w.live(orders=[Approve("ana", "canary", "known flaky lab")])
    assert state.status is CampaignStatus.FINISHED
    assert state.waves[0].overridden
    assert state.tally().failed == round(0.2 * w.plan.devices)


def test_on_fail_abort_stops_the_jobs():
    """A gate that aborts ends the campaign and stops every job of it."""
    w = world(
        ("canary", [20, 20], gate(on_fail=OnFail.ABORT), None),
        ("total", [5], None, None),
        failing=0.5,
        silent=0.1,
    )
    state = w.live()
    assert state.status is CampaignStatus.ABORTED
    assert all(job.stopped_at < float("inf") for job in w.platform.jobs)
    assert len(w.platform.jobs) == 2


def test_silent_devices_hold_the_gate_until_the_deadline():
    """Half the canary never answers: coverage is not reached, the deadline halts, with the numbers."""
    w = world(("canary", [20], gate(deadline_s=7200.0), None), ("total", [5], None, None), silent=0.5)
    state = w.live()
    assert state.reason == HaltReason.DEADLINE
    assert "10 of 20 planned" in state_evidence(state)
    assert state.waves[1].status is WaveStatus.WAITING


def test_stragglers_do_not_keep_a_finished_campaign_open():
    """Once nothing has moved for `stragglersAfter`, what is open is reported as such and the campaign ends."""
    w = world(("total", [100], None, None), silent=0.05, campaign={"stragglers_after_s": 5000.0})
    state = w.live()
    assert state.status is CampaignStatus.FINISHED
    assert state.waves[0].stragglers == 5
    assert state.tally().open == 5
    finished = next(e for e in w.journal if isinstance(e, ev.WaveFinished))
    assert finished.at >= 1600.0 + 5000.0


def stalled_world(silent, failing=0.0, **job):
    """A wave of ten jobs of 20 devices, 50 of which may be in progress; a share never answers."""
    limits = Limits(CallLimit(1000.0), CallLimit(1000.0), devices_in_progress=50)
    return world(
        ("total", [20] * 10, None, JobSpec(platform={"versionNumbers": ["1.0"]}, **job)),
        silent=silent,
        failing=failing,
        campaign={"limits": limits, "stragglers_after_s": 5000.0},
    )


def test_a_budget_full_of_silent_devices_is_told_once_it_is_certain():
    """Four jobs leave ten silent devices each, a fifth has no room: said once, after the quiet, in each life's sight."""
    w = stalled_world(0.5)
    state = w.live(until=60_000.0)
    assert w.creates == 4
    (told,) = (e for e in w.journal if isinstance(e, ev.CampaignStalled))
    assert told.at >= state.waves[0].moved_at + 5000.0
    assert evidence_text(told, w.plan).startswith("40 of 50 devices")
    assert (state.stalled, state.full, state.status) == (True, True, CampaignStatus.RUNNING)
    state = w.live(until=120_000.0)
    assert kinds(w).count(told.kind) == 1
    assert state.stalled


def test_devices_that_come_back_end_a_stall():
    """Their places are free again: the campaign goes on by itself to its end."""
    w = stalled_world(0.5)
    assert w.live(until=60_000.0).stalled
    w.platform.silent = 0.0
    state = w.live()
    assert state.status is CampaignStatus.FINISHED
    assert not state.stalled
    w.assert_complete()


def test_a_full_budget_that_empties_is_no_stall():
    """Waiting for devices that end is the budget's work."""
    w = stalled_world(0.0)
    assert w.live().status is CampaignStatus.FINISHED
    assert w.exposed_max > 30
    assert ev.CampaignStalled.kind not in kinds(w)


def test_a_parked_create_that_takes_the_room_stalls_too():
    """Its devices may be at work, so its place is kept; there are no counts to wait for, but the quiet time is."""
    limits = Limits(CallLimit(1000.0), CallLimit(1000.0), devices_in_progress=30)
    w = world(
        ("total", [20, 20], None, None),
        faults={"request_lost": 1e9},
        campaign={"limits": limits, "stragglers_after_s": 5000.0},
    )
    w.witness = ("somebody-elses",)
    state = w.live(until=60_000.0)
    assert (w.creates, len(state.parked)) == (1, 1)
    (told,) = (e for e in w.journal if isinstance(e, ev.CampaignStalled))
    assert told.at >= state.moved_at + 5000.0


def test_no_stall_is_told_from_counts_that_fail():
    """Nobody can see whether the devices move."""
    w = stalled_world(0.5)
    w.live(until=w.now + 1_000.0)
    w.counts_fail = True
    state = w.live(until=60_000.0)
    assert state.full
    assert ev.CampaignStalled.kind not in kinds(w)


def test_failed_devices_that_enos_brings_back_are_no_stall():
    """Their places come free when the last retry is over, six hours later: the campaign goes on by itself."""
    w = stalled_world(0.0, retry=TaskRetry(True, 21_600, 1), failing=0.5)
    assert w.live().status is CampaignStatus.FINISHED
    assert ev.CampaignStalled.kind not in kinds(w)


def test_no_stall_is_told_before_the_window_opens():
    """Until EnOS may push at all, silence says nothing; where the window opens daily, a day more."""
    opens = 40_000.0
    for daily, earliest in ((False, opens + 5000.0), (True, opens + 5000.0 + 86_400.0)):
        w = stalled_world(0.5, schedule=PushSchedule(int(opens * 1000), 10**12, daily))
        w.live(until=400_000.0)
        (told,) = (e for e in w.journal if isinstance(e, ev.CampaignStalled))
        assert told.at >= earliest


def test_a_new_life_looks_for_as_long_before_it_tells_a_stall():
    """Its clock says nothing of the time before it; jobs without any task give their places back just as late."""
    w = stalled_world(0.0)
    w.platform.lag = 1e9
    w.live(until=w.now + 1_000.0)
    w.now += 50_000.0
    w.live(until=w.now + 20_000.0)
    assert ev.CampaignStalled.kind not in kinds(w)
    assert w.creates > 2


def test_approval_waits_for_a_person_and_counts_once_given():
    """The gate holds after the soak; the approval opens it."""
    w = world(("canary", [5], gate(approval=True), None), ("total", [5], None, None))
    state = w.live(until=50_000.0)
    assert state.waves[0].held == "approval"
    assert state.waves[1].status is WaveStatus.WAITING
    state = w.live(orders=[Approve("ana", "canary", "CHG-1")])
    assert state.status is CampaignStatus.FINISHED


def test_a_paused_campaign_watches_and_creates_nothing():
    """Pause withholds every create; resume brings the campaign to its end."""
    w = world()
    state = w.live(orders=[Pause("ana", "storm")], until=90_000.0)
    assert w.creates == 0
    assert state.status is CampaignStatus.PAUSED
    state = w.live(orders=[Resume("ana")])
    assert state.status is CampaignStatus.FINISHED


def test_a_refused_create_halts_and_is_tried_again_after_resume():
    """A definite refusal says which code; once mended, the same batches are created."""
    w = world(faults={"ok": 0.0, "rejected": 1.0})
    state = w.live()
    assert state.status is CampaignStatus.HALTED
    assert "24404" in state_evidence(state)
    w.faults = {}
    state = w.live(orders=[Resume("ana")])
    assert state.status is CampaignStatus.FINISHED
    w.assert_complete()


def test_foreign_jobs_under_our_prefix_stop_the_first_create():
    """A second journal for the same campaign id must not start beside the first."""
    w = world()
    w.platform.create(batch_name("c1", w.plan.batches[0]), 20, w.now - 100)
    state = w.live()
    assert state.reason == HaltReason.FOREIGN_JOBS
    assert w.creates == 0
    state = w.live(orders=[Resume("ana", "the journal was lost")])
    assert state.status is CampaignStatus.FINISHED
    w.assert_complete()


def test_a_campaign_whose_id_begins_like_our_names_is_left_alone():
    """Jobs of the campaign `c1-w01-b` begin like those of wave 1 of `c1`: they are neither ours nor in our way."""
    w = world()
    for batch in w.plan.batches:
        w.platform.create(batch_name("c1-w01-b", batch), 20, w.now - 100)
    state = w.live()
    assert state.status is CampaignStatus.FINISHED
    assert state.adopted == 0
    assert len(w.platform.jobs) == 2 * len(w.plan.batches)


def test_a_lost_journal_is_made_good_from_the_platform():
    """A paranoid life adopts every job its journal does not know, before it creates any."""
    w = world(("total", [5] * 6, None, None))
    w.live(until=w.now + 3.0)
    made = len(w.platform.jobs)
    assert made > 2
    opened = next(i for i, e in enumerate(w.journal) if e.kind == "wave.opened")
    del w.journal[opened + 1 :]
    w.journal.append(ev.EngineStarted(w.now, "test", "0", L, S, paranoid=True))
    state = w.live()
    w.assert_complete()
    assert state.adopted == made


def test_devices_in_progress_is_a_cap_over_all_jobs_and_is_used():
    """Exposure never passes the cap and reaches it while work is left."""
    limits = Limits(CallLimit(1000.0, in_flight=8), CallLimit(1000.0), devices_in_progress=100)
    spec = JobSpec(platform={"versionNumbers": ["1.0"]}, maximum_concurrency=10)
    w = world(("total", [15] * 40, None, spec), campaign={"limits": limits})
    state = w.live()
    assert state.status is CampaignStatus.FINISHED
    assert w.exposed_max == 100
    w.assert_complete()


def test_doubtful_creates_keep_their_call_slots_after_a_restart():
    """Two creates in doubt and two slots: nothing else is sent until they are settled."""
    limits = Limits(CallLimit(1000.0, in_flight=2), CallLimit(1000.0))
    w = world(
        ("total", [5] * 6, None, None), campaign={"limits": limits}, faults={"ok": 0.0, "request_lost": 1.0}
    )
    w.live(until=w.now + 2.0)
    assert w.creates == 2
    assert w.state.unknown == 2
    state = w.live(until=w.now + 20.0)
    assert w.creates == 2
    assert state.status_of(2) is BatchStatus.PLANNED


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_folding_the_journal_again_gives_the_living_state(seed):
    """Resume and replay are the same thing: no living state differs from its journal's."""
    w = world(faults=FAULTS, seed=seed)
    w.live(until=w.now + 400.0)
    replayed = State.initial(w.plan)
    for event in w.journal:
        fold(replayed, event)
    for name in ("status", "jobs", "unknown", "exposure", "parked", "rejected", "adopted"):
        assert getattr(replayed, name) == getattr(w.state, name), name
    assert replayed.tally() == w.state.tally()
    assert replayed.batches == w.state.batches


def test_counts_that_cannot_be_read_stop_creating():
    """Two minutes without a successful count: nothing more is created until one succeeds."""
    w = world()
    w.live(until=w.now + 1.0)
    assert w.state.groups
    fold(w.state, ev.TasksCountFailed(w.now, 0, "no answer", w.now + 1.0))
    assert may_create(w.state, 0, w.now + BLIND_MAX_S - 1.0)
    assert not may_create(w.state, 0, w.now + BLIND_MAX_S)
    numbers = (1, 40, 40, 0, 0)
    fold(w.state, ev.TasksCounted(w.now + 1.0, 0, w.now + 1.0, *numbers))
    assert may_create(w.state, 0, w.now + BLIND_MAX_S)


def test_a_job_that_vanished_is_reported_and_never_created_again():
    """An operator deleted a job: the audit misses it, halts, and after resume goes on without it."""
    w = world(("canary", [5, 5], None, None), ("total", [5], None, None))
    w.live(until=w.now + 3.0)
    gone = w.platform.jobs.pop(0)
    state = w.live()
    assert state.reason == HaltReason.JOBS_MISSING
    assert state.waves[1].status is WaveStatus.WAITING
    state = w.live(orders=[Resume("ana")])
    assert gone.name not in {job.name for job in w.platform.jobs}
    state = w.live(orders=[Resume("ana")])
    assert state.status is CampaignStatus.FINISHED
    assert state.tally().open == 5


def test_a_job_known_to_be_gone_halts_once_even_across_restarts():
    """What a person has seen and resumed over is not missed again, whenever the wave is audited anew."""
    slow = gate(soak_s=600.0, success=None, resolved=None)
    w = world(("canary", [5, 5], slow, None), ("total", [5], None, None), silent=0.2)
    w.live(until=w.now + 3.0)
    w.platform.jobs.pop(0)
    assert w.live().reason == HaltReason.JOBS_MISSING
    state = w.live(orders=[Resume("ana")])
    assert state.status is CampaignStatus.FINISHED
    assert w.reached["campaign.halted"] == 1


def test_stop_rules_watch_a_passed_wave_as_long_as_the_campaign_runs():
    """Failures that come late, after the gate opened, still stop the campaign."""
    lenient = gate(resolved=None, success=None, stop=StopRule(Fraction(1, 10), min_sample=5))
    w = world(("canary", [20], lenient, None), ("total", [50], None, None), failing=0.5)
    state = w.live()
    assert state.status is CampaignStatus.HALTED
    assert state.halted_wave == 0


def order_of(w, *wanted):
    """The first index in the journal of each kind asked for."""
    return [kinds(w).index(kind) for kind in wanted]


def test_a_new_life_counts_before_it_judges():
    """Nobody looked for a day and the canary went bad: the next life sees that before it opens anything."""
    w = world(("canary", [20, 20], gate(soak_s=7200.0), None), ("total", [50] * 4, None, None), silent=0.1)
    w.live(until=w.now + 2000.0)
    assert w.state.waves[0].satisfied_at is not None
    w.now += 86_400.0
    w.platform.silent, w.platform.failing = 0.0, 0.5
    state = w.live()
    assert state.status is CampaignStatus.HALTED
    assert state.reason == HaltReason.STOP_RULE
    assert state.waves[1].status is WaveStatus.WAITING


def test_a_gate_does_not_open_while_nobody_can_see():
    """Counts fail from the middle of the soak on: the gate holds, and opens once they come again."""
    w = world(("canary", [20], gate(soak_s=7200.0), None), ("total", [50], None, None), silent=0.05)
    w.live(until=w.now + 2000.0)
    w.counts_fail = True
    state = w.live(until=w.now + 50_000.0)
    assert state.waves[0].held is HoldReason.STALE
    assert state.waves[1].status is WaveStatus.WAITING
    w.counts_fail = False
    assert w.live().waves[1].status is not WaveStatus.WAITING


@pytest.mark.parametrize("silent", [0.05, 0.1])
def test_a_verdict_asks_for_the_counts_it_waits_for(silent):
    """However seldom a quiet wave is counted by then, gates and stragglers are judged seconds after their time."""
    soak_s, stragglers_s = 7200.0, 6000.0
    w = world(
        ("canary", [20, 20], gate(soak_s=soak_s), None),
        ("total", [50], None, None),
        campaign={"stragglers_after_s": stragglers_s},
        silent=silent,
    )
    state = w.live()
    at = {event.kind: event.at for event in w.journal}
    first = {event.kind: event.at for event in reversed(w.journal)}
    assert first["gate.passed"] - first["gate.satisfied"] - soak_s < 2 * S
    assert at["wave.finished"] - at["tasks.counted"] - stragglers_s < 2 * S
    assert state.waves[1].stragglers > 0


def test_a_deadline_that_passed_while_nobody_ran_is_judged_on_new_counts():
    """The engine was away across the deadline, the canary is fine: nothing is aborted."""
    aborting = gate(deadline_s=3600.0, on_fail=OnFail.ABORT)
    w = world(("canary", [20], aborting, None), ("total", [50], None, None))
    w.live(until=w.now + 100.0)
    w.now += 10_000.0
    assert w.live().status is CampaignStatus.FINISHED


def test_stragglers_are_declared_on_new_counts_only():
    """Away longer than stragglersAfter: what ended meanwhile is counted, not called open."""
    w = world(("total", [100], None, None), campaign={"stragglers_after_s": 3000.0})
    w.live(until=w.now + 100.0)
    w.now += 50_000.0
    state = w.live()
    assert state.waves[0].stragglers == 0
    assert state.tally().succeeded == 100


def test_nothing_is_created_before_this_life_has_seen_the_devices_at_work():
    """After a restart the first create comes after a count of every open group."""
    w = world(
        ("total", [20] * 8, None, None),
        campaign={"limits": Limits(CallLimit(1.0, in_flight=1), CallLimit(9.0))},
    )
    w.live(until=w.now + 3.0)
    assert 0 < w.creates < 8
    before = len(w.journal)
    w.counts_fail = True
    w.live(until=w.now + 500.0)
    assert not [e for e in w.journal[before:] if e.kind == "batch.create_sent"]


def test_approving_a_wave_that_was_halted_for_another_reason_keeps_its_gate():
    """A refused create is not the gate's verdict: the approval is noted, the brake stays."""
    w = world(
        ("canary", [20, 20], gate(approval=True), None),
        ("total", [50], None, None),
        faults={"ok": 0.0, "rejected": 1.0},
    )
    w.live()
    state = w.live(orders=[Approve("ana", "canary")])
    assert state.status is CampaignStatus.HALTED
    w.faults, w.platform.failing = {}, 0.5
    state = w.live(orders=[Resume("ana")])
    assert (state.status, state.reason) == (CampaignStatus.HALTED, HaltReason.STOP_RULE)
    assert not state.waves[0].overridden
    assert state.waves[1].status is WaveStatus.WAITING


def test_a_lost_journal_is_made_good_even_where_it_forgot_that_the_wave_opened():
    """The tail from wave.opened on is gone; a paranoid life waits, lists, adopts, and creates nothing twice."""
    w = world(("total", [5] * 6, None, None))
    w.live(until=w.now + 3.0)
    opened = kinds(w).index("wave.opened")
    del w.journal[opened:]
    w.journal.append(ev.EngineStarted(w.now, "test", "0", L, S, paranoid=True))
    state = w.live()
    assert state.reason == HaltReason.FOREIGN_JOBS
    state = w.live(orders=[Resume("ana", "the disk lied")])
    assert state.status is CampaignStatus.FINISHED
    w.assert_complete()


def test_what_a_person_said_of_foreign_jobs_outlives_a_kill():
    """Resumed, and killed before the wave opened: the next life, which knows nothing, adopts and finishes."""
    w = world()
    for batch in w.plan.batches[:2]:
        w.platform.create(batch_name("c1", batch), batch.devices, w.now - 100)
    assert w.live().reason == HaltReason.FOREIGN_JOBS
    w.journal += [ev.CampaignResumed(w.now, "ana"), ev.EngineStarted(w.now, "test", "0", L, S, paranoid=True)]
    assert w.live(until=w.now + 20_000).status is CampaignStatus.FINISHED
    w.assert_complete()


def test_foreign_jobs_nobody_was_asked_about_halt_after_a_kill_too():
    """A person has vouched for one job; another that is there in the next life is shown before the wave opens."""
    w = world()
    w.platform.create("c1-w01-b-something-else", 5, w.now - 100)
    assert w.live().reason == HaltReason.FOREIGN_JOBS
    w.journal += [ev.CampaignResumed(w.now, "ana"), ev.EngineStarted(w.now, "test", "0", L, S, paranoid=True)]
    w.platform.create("c1-w01-b-something-new", 5, w.now - 50)
    state = w.live(until=w.now + 20_000)
    assert (state.reason, "something-new" in state_evidence(state)) == (HaltReason.FOREIGN_JOBS, True)
    assert w.creates == 0


def test_an_abort_brakes_the_jobs_that_a_lost_journal_forgot():
    """The disk lied and the campaign is aborted at once: every wave is listed first, and all its jobs are stopped."""
    w = world(("canary", [5, 5], None, None), ("total", [5] * 4, None, None), duration=5000.0)
    w.live(until=w.now + 60.0)
    assert len(w.platform.jobs) == 6
    del w.journal[kinds(w).index("batch.job_created") :]
    w.journal.append(ev.EngineStarted(w.now, "test", "0", L, S, paranoid=True))
    state = w.live(orders=[Abort("ana", stop_jobs=True)])
    assert state.status is CampaignStatus.ABORTED
    assert all(job.stopped_at < float("inf") for job in w.platform.jobs)


def test_an_abort_after_jobs_were_shown_as_foreign_brakes_those_with_our_exact_names():
    """The journal forgot them, a person aborts instead of vouching for them: they are stopped, strangers are not."""
    w = world(("total", [5, 5], None, None), duration=5000.0)
    for name in (batch_name("c1", w.plan.batches[0]), "c1-w01-b-something-else"):
        w.platform.create(name, 5, w.now - 100)
    assert w.live().reason == HaltReason.FOREIGN_JOBS
    state = w.live(orders=[Abort("ana", stop_jobs=True)])
    assert state.status is CampaignStatus.ABORTED
    assert [job.stopped_at < float("inf") for job in w.platform.jobs] == [True, False]


def test_a_wall_clock_set_forward_between_two_lives_settles_nothing():
    """Tasks that are not there yet are late, not absent: how long they took is only known within one life."""
    w = world(("total", [5, 5], None, None), lag=4.0, campaign={"stragglers_after_s": 1e6})
    assert w.live(until=w.now + 3.0).jobs == 2
    w.now += 10_000.0
    for job in w.platform.jobs:
        job.at = w.now
    state = w.live(until=w.now + 1.0)
    assert state.groups
    assert not any(group.enrolled_final for group in state.groups)
    assert w.live().tally().succeeded == 10


def test_a_parked_batch_taken_up_after_its_wave_ended_is_finished_before_the_campaign():
    """Parked by a witness, resumed later, sent again: its devices are created and counted, none is left out."""
    w = world(
        ("one", [5, 5], None, None),
        ("two", [5], None, None),
        faults={"ok": 0.0, "request_lost": 1.0},
        campaign={"stragglers_after_s": 1000.0},
    )
    w.live(until=w.now + 2.0)
    w.faults, w.witness = {}, ("somebody's",)
    w.live(until=w.now + 4000.0, orders=[Pause("ana")])
    assert w.state.parked == {0, 1}
    w.witness = ()
    state = w.live(orders=[Resume("ana")])
    assert state.status is CampaignStatus.FINISHED
    w.assert_complete()
    assert state.tally().succeeded == w.plan.devices


def test_an_audit_is_asked_for_once_however_long_its_wave_is_incomplete():
    """Held for the audit, then a batch falls back into doubt: no storm of listings until it is settled."""
    w = world(("one", [5, 5], None, None), ("two", [5], None, None), faults={"ok": 0.0, "request_lost": 1.0})
    w.witness = ("somebody's",)
    w.live(until=w.now + 100.0)
    del w.journal[kinds(w).index("gate.held") + 1 :]
    assert w.journal[-1].reason == HoldReason.AUDIT
    before = kinds(w).count("wave.audited")
    w.live(until=w.now + 300.0, orders=[Pause("ana")])
    assert kinds(w).count("wave.audited") - before < 10


def test_a_finished_wave_still_stops_the_campaign():
    """The canary ended with stragglers; when they fail later, the waves after it stop."""
    lenient = gate(success=None, resolved=None, stop=StopRule(Fraction(1, 10), min_sample=5))
    w = world(
        ("canary", [20], lenient, None),
        ("pause", [5], gate(success=None, resolved=None, stop=None, soak_s=90_000.0), None),
        ("total", [50], None, None),
        silent=0.5,
        campaign={"stragglers_after_s": 3000.0},
    )
    w.live(until=w.now + 20_000.0)
    assert w.state.waves[0].status is WaveStatus.FINISHED
    w.platform.silent, w.platform.failing = 0.0, 0.5
    state = w.live()
    assert (state.status, state.halted_wave) == (CampaignStatus.HALTED, 0)


def test_a_job_without_a_single_task_gives_nothing_back():
    """Zero tasks is not an end: the budget stays taken as long as for any straggler."""
    limits = Limits(CallLimit(1000.0, in_flight=8), CallLimit(1000.0), devices_in_progress=20)
    w = world(
        ("total", [20, 20], None, JobSpec(maximum_concurrency=20)), campaign={"limits": limits}, lag=1e9
    )
    w.live(until=w.now + 5000.0)
    assert w.creates == 1
    w.live(until=w.now + 3000.0)
    assert w.creates == 1, "a new life cannot know how long ago that was, and counts anew"
    w.live(until=w.now + 7300.0)
    assert w.creates == 2


def test_a_second_abort_adds_to_the_first():
    """First only an end, then also stopping the jobs: the jobs are stopped."""
    w = world(("total", [20] * 3, None, None), faults={"request_lost": 1.0, "ok": 2.0}, seed=2)
    w.live(until=w.now + 3.0)
    w.live(until=w.now + 1.0, orders=[Abort("ana")])
    state = w.live(orders=[Abort("ana", "", True)])
    assert state.status is CampaignStatus.ABORTED
    assert w.platform.jobs
    assert all(job.stopped_at < float("inf") for job in w.platform.jobs)


def test_acknowledged_foreign_jobs_halt_once():
    """A stray name under our prefix is shown once; after a resume it is known."""
    w = world()
    w.platform.create("c1-w01-b-something-else", 5, w.now - 100)
    assert w.live().reason == HaltReason.FOREIGN_JOBS
    assert w.live(orders=[Resume("ana")]).status is CampaignStatus.FINISHED
    w.platform.jobs.pop(0)
    w.assert_complete()
