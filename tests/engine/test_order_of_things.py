"""What must have happened before a call leaves, seen from the other side of the port."""

import asyncio
from random import Random

import pytest
from support.campaigns import Collector
from support.plans import build

from rollout.core import events as ev
from rollout.core.campaign import CallLimit, Limits
from rollout.core.fold import fold
from rollout.core.names import WaveNames
from rollout.core.outcome import Accepted, Found, Listing, Throttled, Unknown, Unsent
from rollout.core.records import TaskState
from rollout.engine.clock import Clock
from rollout.engine.pacing import Pacers
from rollout.engine.runner import EngineSettings, Leave, Runner, _first
from rollout.errors import Failure, JournalError, Phase, ServiceError
from rollout.journal.memory import MemoryJournal
from rollout.ports import EnginePorts, NotNow

pytestmark = pytest.mark.anyio

LIMITS = Limits(CallLimit(500.0, burst=4, in_flight=4), CallLimit(500.0, burst=50, in_flight=4))
PLAN, MANIFEST = build(("total", [2] * 6, None, None), limits=LIMITS)


class Service:
    """A platform that does at once what it is asked; `on_create` may look at the world, or answer itself."""

    def __init__(self, on_create=None):
        self.on_create = on_create
        self.jobs = {}
        self.calls = []

    async def create(self, order, guard):
        said = self.on_create(order) if self.on_create else None
        try:
            await guard()
        except NotNow:
            return Unsent("withheld", withheld=True)
        if said is not None:
            return said
        job_id = f"{len(self.jobs):024x}"
        self.jobs[order.name] = job_id
        return Accepted(job_id)

    async def find_jobs(self, *, firmware_id, spec, names):
        self.calls.append("find")
        found = [
            Found(job, n, firmware_id, spec.platform.get("type", "upgrade"), "started", 1)
            for n, job in self.jobs.items()
            if (names.includes(n) if isinstance(names, WaveNames) else n == names)
        ]
        return Listing(tuple(found), complete=True)

    async def find_witnesses(self, *, firmware_id, device_keys, known):
        return ()

    async def count_tasks(self, job_ids, states=()):
        return 2 * len(job_ids) if not states or TaskState.SUCCEEDED in states else 0

    async def stop_job(self, job_id):
        self.calls.append("stop")

    async def aclose(self):
        pass


def runner(service, journal, *observers, speed=600.0):
    return Runner(
        plan=PLAN,
        ports=EnginePorts(
            manifest=MANIFEST,
            journal=journal,
            service=service,
            observers=observers,
        ),
        pacers=Pacers.of(PLAN.campaign.limits),
        clock=Clock(speed=speed),
        settings=EngineSettings("test", "0", 1.0, 1.0),
        rng=Random(1),
    )


async def test_the_intent_is_durable_before_anything_leaves():
    """R1: when the platform's side sees a create, the journal already holds its intent, and no outcome."""
    journal = MemoryJournal("c1", PLAN.digest)
    seen = []

    def look(order):
        told = [e for e in journal.read() if getattr(e, "name", None) == order.name]
        seen.append([type(e) for e in told])

    assert await runner(Service(look), journal).run() is Leave.FINISHED
    assert seen == [[ev.BatchCreateSent]] * 6


@pytest.mark.parametrize("fail_at", range(3, 12))
async def test_nothing_leaves_after_the_journal_failed(fail_at):
    """R10: whichever append fails, no create leaves without its intent and the run ends with the journal's error."""
    journal = MemoryJournal("c1", PLAN.digest, fail_at=fail_at)
    creates = []
    service = Service(lambda order: creates.append(order.name))
    with pytest.raises(JournalError):
        await asyncio.wait_for(runner(service, journal).run(), 30)
    intents = {e.name for e in journal.read() if isinstance(e, ev.BatchCreateSent)}
    assert set(creates) <= intents


@pytest.mark.parametrize("answer", [Throttled(0.2), Unknown("slow down!", throttled=True)])
async def test_flow_control_slows_the_creates_down(answer):
    """Refused in the gateway's words or in others: the pace is halved, and the campaign comes to its end."""
    refusals = [answer]
    service = Service(lambda order: refusals.pop() if refusals else None)
    engine = runner(service, MemoryJournal("c1", PLAN.digest))
    rates = []

    class Watch:
        def notice(self, event, state):
            rates.append(engine._pacers.create.rate)

    engine.observe(Watch())
    assert await asyncio.wait_for(engine.run(), 30) is Leave.FINISHED
    assert min(rates) == LIMITS.create.rate / 2
    assert set(service.jobs) == {e.name for e in engine._journal.read() if isinstance(e, ev.BatchCreateSent)}


async def test_a_brake_does_not_wait_behind_counts():
    """Counts are told to come back in five minutes; the stop order goes out at once, at a pace of its own."""

    class Busy(Service):
        async def count_tasks(self, job_ids, states=()):
            raise ServiceError("slower", phase=Phase.REFUSED, failure=Failure.THROTTLED, retry_after_s=300.0)

        refusals = 1

        async def stop_job(self, job_id):
            await engine._pacers.brake.permit()
            if self.refusals:
                self.refusals -= 1
                raise ServiceError(
                    "slower", phase=Phase.REFUSED, failure=Failure.THROTTLED, retry_after_s=0.1
                )
            rates.append(engine._pacers.brake.rate)
            await super().stop_job(job_id)

    service = Busy()
    rates = []
    told = Collector()
    engine = runner(service, MemoryJournal("c1", PLAN.digest), told)

    class AbortOnceBlind:
        task = None

        def notice(self, event, state):
            if isinstance(event, ev.TasksCountFailed) and self.task is None:
                order = ev.CampaignAbortRequested(engine._clock(), "ana", stop_jobs=True)
                self.task = asyncio.create_task(engine.record([order]))

    engine.observe(AbortOnceBlind())
    assert await asyncio.wait_for(engine.run(), 30) is Leave.ABORTED
    assert engine._pacers.read.rate < LIMITS.read.rate
    assert min(rates) == LIMITS.read.rate / 2, "a refused brake slows the brakes, and they go on"
    assert service.calls.count("stop") == len(service.jobs)


async def test_a_crash_does_not_begin_the_waits_anew():
    """The number of failures in a row is part of the history: the next life waits as long as this one would."""
    state = runner(Service(), MemoryJournal("c1", PLAN.digest)).state
    for event in (
        ev.CampaignStarted(1.0, "c1", PLAN.digest, 12, 6, 1),
        ev.EngineStarted(1.0, "t", "0", 1.0, 1.0),
        ev.WaveAudited(1.0, 0, 1.0, 0),
        ev.WaveOpened(1.0, 0),
        *(
            fact
            for n in (1, 2, 3)
            for fact in (ev.BatchCreateSent(n, 0, n, "n"), ev.BatchCreateUnsent(n, 0, n, "refused", n))
        ),
        ev.EngineStarted(9.0, "t", "0", 1.0, 1.0),
    ):
        fold(state, event)
    assert state.batches[0].failures == 3
    fold(state, ev.BatchCreateSent(10.0, 0, 4, "n"))
    fold(state, ev.BatchJobCreated(10.0, 0, 4, "j"))
    assert state.batches[0].failures == 0


def test_of_several_errors_ours_is_told():
    """Raised at once in several tasks: one of ours before any other, however deep it lies, else the first."""
    ours, odd = JournalError("disk full"), ValueError("odd")
    nested = BaseExceptionGroup("inner", [KeyError("x"), ours])
    assert _first(BaseExceptionGroup("outer", [odd, nested])) is ours
    assert _first(BaseExceptionGroup("outer", [odd, KeyError("x")])) is odd
