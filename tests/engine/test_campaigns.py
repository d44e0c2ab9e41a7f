"""Whole campaigns: the real engine, the real client, the emulator, real sockets."""

import asyncio
from collections import Counter

import pytest
from support.campaigns import engine, platform, run
from support.plans import build, gate

from rollout.core import events as ev
from rollout.core.campaign import CallLimit, JobSpec, Limits
from rollout.core.lifecycle import CampaignStatus, WaveStatus
from rollout.core.names import batch_name
from rollout.core.outcome import Accepted
from rollout.core.reasons import BatchReason, HaltReason
from rollout.emulator.http.faults import FaultPlan
from rollout.emulator.platform.meters import most_in_any_second
from rollout.emulator.platform.population import Population
from rollout.engine.runner import Leave
from rollout.enos.caller import Caller
from rollout.enos.service import EnosService
from rollout.enos.signing import Secret
from rollout.enos.transport import Transport
from rollout.errors import ServiceError
from rollout.journal.memory import MemoryJournal
from rollout.ports import CreateCall
from rollout.simulation.world import Scenario, World
from rollout.views.words import state_evidence

pytestmark = pytest.mark.anyio

FAST = Limits(CallLimit(500.0, burst=8, in_flight=8), CallLimit(500.0, burst=50, in_flight=8))
TWO_WAVES = (("canary", [20, 20], gate(soak_s=600.0), None), ("total", [25] * 12, None, None))


def assert_exact(running, plan, manifest):
    """One job for each batch, under its name, and every device in exactly one job."""
    names = running.platform.meters.jobs_by_name
    assert names == Counter(batch_name("c1", batch) for batch in plan.batches)
    keys = [key for batch in plan.batches for key in manifest.keys(batch.start, batch.stop)]
    assert {key: running.platform.jobs_holding(key) for key in keys} == dict.fromkeys(keys, 1)


async def test_canary_then_total():
    """A healthy campaign ends with every device succeeded, one job a batch."""
    plan, manifest = build(*TWO_WAVES, limits=FAST)
    async with platform() as running:
        leave, state, told = await run(running, plan, manifest)
        assert leave is Leave.FINISHED
        assert_exact(running, plan, manifest)
    assert state.tally().succeeded == plan.devices
    passed, opened = (
        next(e for e in told.events if e.kind == k and e.wave == w)
        for k, w in (("gate.passed", 0), ("wave.opened", 1))
    )
    assert told.events.index(passed) < told.events.index(opened)


@pytest.mark.parametrize(
    "fault",
    [
        "commit_then_drop=0.2",
        "commit_then_reset=0.2",
        "commit_then_500=0.2",
        "commit_then_24500=0.2",
        "truncated=0.2",
        "half_closed=0.2",
        "drop_before_commit=0.2",
        "error_503=0.2",
        "error_24500=0.2",
        "http_429=0.2",
        "unauthorized=0.05",
        "delay=0.2,seconds=120",
    ],
)
async def test_no_fault_of_the_platform_makes_a_job_twice_or_loses_a_device(fault):
    """One call in five goes wrong: each unknown outcome is looked up, none is repeated blindly."""
    plan, manifest = build(*TWO_WAVES, limits=FAST)
    async with platform(fault, seed=3) as running:
        leave, state, told = await run(running, plan, manifest)
        assert leave is Leave.FINISHED
        assert_exact(running, plan, manifest)
    assert state.tally().succeeded == plan.devices
    unknown = {e.batch for e in told.events if e.kind == "batch.outcome_unknown"}
    settled = {
        e.batch
        for e in told.events
        if e.kind == "batch.resend_allowed" or (e.kind == "batch.job_created" and e.adopted)
    }
    assert unknown == settled
    if not fault.startswith(("http_429", "unauthorized")):
        assert unknown, "the fault must have struck, or this proves nothing"


async def test_fifty_creates_a_second_are_never_more():
    """The emulator counts at most 50 in any second, whatever second one takes."""
    limits = Limits(CallLimit(50.0, in_flight=8), CallLimit(500.0, burst=50, in_flight=4))
    plan, manifest = build(("total", [2] * 200, None, None), limits=limits)
    async with platform() as running:
        await run(running, plan, manifest)
        arrivals = list(running.platform.meters.arrivals)
    assert len(arrivals) == 200
    assert most_in_any_second(arrivals) <= 50
    assert (len(arrivals) - 1) / (arrivals[-1] - arrivals[0]) > 30


def test_devices_in_progress_is_kept_over_all_jobs_and_used():
    """Never above the cap at any instant, at least 95 % of it used while work is left; in virtual time, so exactly."""
    limits = Limits(CallLimit(20.0, in_flight=8), CallLimit(10.0, burst=5, in_flight=8), 200)
    spec = JobSpec(platform={"versionNumbers": ["1.0"]}, maximum_concurrency=5)
    plan, manifest = build(("total", [10] * 110, None, spec), limits=limits)
    slow = Population(work_s_median=900.0, work_s_sigma=0.35, first_report_s=(1.0, 20.0))
    devices = [(key, {}) for batch in plan.batches for key in manifest.keys(batch.start, batch.stop)]
    marks = {}

    class Marks:
        def notice(self, event, state):
            if isinstance(event, ev.BatchJobCreated) and state.jobs in {45, 110}:
                world.network.service.advance()
                marks[state.jobs] = (world.now(), meters.device_seconds(world.now()))

    with World(Scenario(1, plan, manifest, devices, population=slow), observers=(Marks(),)) as world:
        meters = world.platform.meters
        world.boot()
        assert world.run(86_400.0)
    assert meters.in_progress_max <= 200
    (t0, used0), (t1, used1) = marks[45], marks[110]
    assert (used1 - used0) / (t1 - t0) / 200 >= 0.95


async def test_a_bad_firmware_is_stopped_in_the_canary():
    """20 % of devices fail: the campaign halts and the emulator holds no job of the next wave."""
    plan, manifest = build(
        ("canary", [50, 50], gate(soak_s=600.0), None), ("total", [100] * 5, None, None), limits=FAST
    )
    async with platform(population=Population(work_s_median=300.0, failed_ratio=0.2)) as running:
        leave, state, _ = await run(running, plan, manifest)
        assert set(running.platform.meters.jobs_by_name) <= {
            batch_name("c1", plan.batches[i]) for i in (0, 1)
        }
    assert leave is Leave.HALTED
    assert state.waves[1].status is WaveStatus.WAITING
    assert "stop above 10%" in state_evidence(state)


async def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    """stop() in the middle, then the same journal again: nothing twice, nothing lost."""
    limits = Limits(CallLimit(60.0, in_flight=4), CallLimit(500.0, burst=50, in_flight=8))
    plan, manifest = build(*TWO_WAVES, limits=limits)
    async with platform("commit_then_drop=0.2") as running:
        async with engine(running, plan, manifest, directory=tmp_path) as runner:

            class StopAt:
                def notice(self, event, state):
                    if state.jobs == 7:
                        runner.stop()

            runner.observe(StopAt())
            assert await runner.run() is Leave.STOPPED
            assert runner.state.jobs < len(plan.batches)
        leave, state, _ = await run(running, plan, manifest, directory=tmp_path)
        assert leave is Leave.FINISHED
        assert state.lives == 2
        assert_exact(running, plan, manifest)


async def test_refused_credentials_end_the_run_and_leave_the_campaign_whole():
    """Exit with the reason; nothing is lost, the next run with a good key goes on."""
    plan, manifest = build(*TWO_WAVES, limits=FAST)
    async with platform(denied=frozenset({"create"})) as running:
        with pytest.raises(ServiceError) as caught:
            await run(running, plan, manifest)
        assert caught.value.exit_code == 4
        assert not running.platform.meters.jobs_by_name


async def test_an_unreachable_platform_ends_the_run_within_the_retry_budget(tmp_path):
    """Nobody listens: attempts are counted, the run says so, the journal keeps the plan."""
    plan, manifest = build(*TWO_WAVES, limits=FAST)
    async with platform() as running:
        url = running
    with pytest.raises(ServiceError, match="refused"):
        async with engine(url, plan, manifest, directory=tmp_path, speed=6000.0) as runner:
            await asyncio.wait_for(runner.run(), 60)


async def test_abort_cancels_what_waits_then_stops_the_jobs():
    """Cancel first (a stopped job's tasks cannot be cancelled), then stop; what upgrades goes on."""
    spec = JobSpec(platform={"versionNumbers": ["1.0"]}, maximum_concurrency=5)
    plan, manifest = build(("total", [20] * 4, None, spec), limits=FAST)
    long = Population(work_s_median=7200.0)
    async with platform(population=long) as running:
        all_at_work = asyncio.Event()

        class Watch:
            def notice(self, event, state):
                if state.jobs == 4 and state.tally().in_progress == 20:
                    all_at_work.set()

        async with engine(running, plan, manifest) as runner:
            runner.observe(Watch())
            work = asyncio.create_task(runner.run())
            await asyncio.wait_for(all_at_work.wait(), 60)
            await runner.record([ev.CampaignAbortRequested(runner._clock(), "ana", "bad", True, True)])
            assert await asyncio.wait_for(work, 60) is Leave.ABORTED
            told = runner.collector
        assert not any(job.started for job in running.platform.jobs.values())
    cancelled = [e for e in told.events if isinstance(e, ev.JobTasksCancelled)]
    stopped = [e for e in told.events if isinstance(e, ev.JobStopped)]
    assert sum(e.cancelled for e in cancelled) >= 60
    assert len(stopped) == 4
    assert {e.batch for e in cancelled} == {e.batch for e in stopped}


async def test_a_second_campaign_of_the_same_id_does_not_start():
    """Its prefix is taken: halted before the first create."""
    plan, manifest = build(*TWO_WAVES, limits=FAST)
    async with platform() as running:
        await run(running, plan, manifest)
        leave, state, _ = await run(running, plan, manifest)
        assert leave is Leave.HALTED
        assert state.status is CampaignStatus.HALTED
        assert state.reason == HaltReason.FOREIGN_JOBS
        assert_exact(running, plan, manifest)


async def test_naive_client_makes_duplicates_in_the_same_harness():
    """Retry on any error, no journal, no search: under the same fault the emulator holds jobs twice."""
    plan, manifest = build(*TWO_WAVES, limits=FAST)

    async with platform("commit_then_drop=0.2", seed=3) as running:
        keys = running.config.credentials
        service = EnosService(
            Caller(
                Transport(running.url),
                org_id="o1",
                app_key=keys.access_key,
                app_secret=Secret(keys.secret_key.reveal()),
            )
        )
        for batch in plan.batches:
            order = CreateCall.of_batch(plan.campaign, batch, manifest)
            while not isinstance(await service.create(order, at_once), Accepted):
                pass
        await service.aclose()
        assert max(running.platform.meters.jobs_by_name.values()) > 1


async def test_a_pause_stops_creates_that_already_stand_at_the_door():
    """Connected and waiting for their permit, they are withheld: nothing leaves after the pause."""
    limits = Limits(CallLimit(4.0, in_flight=4), CallLimit(500.0, burst=50, in_flight=4))
    plan, manifest = build(("total", [2] * 40, None, None), limits=limits)
    async with platform() as running:
        async with engine(running, plan, manifest) as runner:

            class PauseAt:
                task = None

                def notice(self, event, state):
                    if isinstance(event, ev.BatchJobCreated) and state.jobs == 3:
                        self.task = asyncio.create_task(
                            runner.record([ev.CampaignPaused(runner._clock(), "ana")])
                        )
                    if isinstance(event, ev.BatchCreateUnsent) and state.status is CampaignStatus.PAUSED:
                        runner.stop()

            pause = PauseAt()
            runner.observe(pause)
            await asyncio.wait_for(runner.run(), 60)
            events = runner.collector.events
        made = len(running.platform.jobs)
    paused_at = next(i for i, e in enumerate(events) if isinstance(e, ev.CampaignPaused))
    # an intent may share its commit with the pause; then the door closes on it
    intended = {e.batch for e in events[paused_at:] if isinstance(e, ev.BatchCreateSent)}
    withheld = [e for e in events[paused_at:] if isinstance(e, ev.BatchCreateUnsent)]
    assert withheld
    assert all(e.withheld for e in withheld)
    assert intended <= {e.batch for e in withheld}
    assert made == sum(isinstance(e, ev.BatchJobCreated) for e in events)


async def test_devices_that_never_report_fill_the_budget_and_that_is_told():
    """Half of each job's devices sleep for good: the third has no room, and who may not wait leaves though counts go on."""
    limits = Limits(FAST.create, FAST.read, devices_in_progress=30)
    plan, manifest = build(("total", [20] * 6, None, None), limits=limits, stragglers_after_s=600.0)
    asleep = Population(sleeper_ratio=0.5, work_s_median=60.0, work_s_sigma=0.1)
    async with platform(population=asleep) as running:
        journal = MemoryJournal("c1", plan.digest)
        leave, state, told = await run(running, plan, manifest, exit_on_wait=True, journal=journal)
        assert leave is Leave.WAITING
        assert state.stalled
        assert 1 <= len(running.platform.jobs) < 6
        assert sum(isinstance(e, ev.CampaignStalled) for e in told.events) == 1
        # the next run looks first: what has come back meanwhile would be news
        leave, state, told = await run(running, plan, manifest, exit_on_wait=True, journal=journal.reopen())
        assert leave is Leave.WAITING
        assert not state.unsighted
        assert any(isinstance(e, ev.TasksCounted) for e in told.events)


async def test_a_create_not_found_by_name_is_not_sent_again_where_its_devices_are_at_work():
    """Somebody else's job of this firmware has these devices: parked with its id, never repeated."""
    plan, manifest = build(("total", [3], None, None), limits=FAST)
    async with platform("drop_before_commit=1") as running:
        async with engine(running, plan, manifest) as runner:
            order = CreateCall(
                "fw1",
                "by-hand",
                plan.campaign.name,
                plan.campaign.waves[0].job,
                manifest.json_slice(plan.batches[0].start, plan.batches[0].stop),
            )

            class ByHand:
                def notice(self, event, state):
                    if isinstance(event, ev.BatchOutcomeUnknown):
                        running.service.faults.change(FaultPlan())
                        self.task = asyncio.create_task(runner._performer._service.create(order, at_once))

            runner.observe(ByHand())
            await asyncio.wait_for(runner.run(), 60)
            assert runner.state.parked == {0}
        assert dict(running.platform.meters.jobs_by_name) == {"by-hand": 1}
    parked = next(e for e in runner.collector.events if isinstance(e, ev.BatchParked))
    assert parked.reason is BatchReason.WITNESSED


async def at_once():
    """A guard that lets everything pass."""
