"""The real engine against the emulator over real sockets, in one process and one loop."""

import asyncio
from contextlib import asynccontextmanager
from random import Random

from rollout.emulator.http.faults import FaultPlan
from rollout.emulator.http.server import EmulatorConfig, serve
from rollout.emulator.platform.population import Population
from rollout.engine.clock import Clock
from rollout.engine.pacing import Pacers
from rollout.engine.runner import EngineSettings, Runner
from rollout.enos.caller import Caller
from rollout.enos.service import EnosService
from rollout.enos.signing import Secret
from rollout.enos.transport import Transport
from rollout.journal.memory import MemoryJournal
from rollout.journal.sqlite import JOURNAL_NAME, SqliteJournal
from rollout.ports import EnginePorts

QUICK = Population(work_s_median=300.0, work_s_sigma=0.2)


class Collector:
    """Keeps every event it is told."""

    def __init__(self):
        self.events = []

    def notice(self, event, state):
        self.events.append(event)

    def kinds(self):
        return [event.kind for event in self.events]


@asynccontextmanager
async def platform(*faults, speed=600.0, population=QUICK, clock=None, **config):
    """A running emulator; `faults` as text (`commit_then_drop=0.2`)."""
    plan = FaultPlan.parse(faults) if faults else FaultPlan()
    async with serve(
        EmulatorConfig(speed=speed, population=population, faults=plan, org_id="o1", **config), clock
    ) as running:
        yield running


@asynccontextmanager
async def engine(
    running, plan, manifest, *, directory=None, journal=None, speed=600.0, latest_s=0.4, lag_s=0.2, **settings
):
    """A runner of the plan against the emulator; L and S in real seconds."""
    if journal is None:
        journal = MemoryJournal("c1", plan.digest) if directory is None else open_journal(directory, plan)
    collector = Collector()
    last = max((event.at for event in journal.read()), default=0.0)
    pacers = Pacers.of(plan.campaign.limits)
    service = EnosService(
        Caller(
            Transport(running.url),
            org_id="o1",
            app_key=running.config.credentials.access_key,
            app_secret=Secret(running.config.credentials.secret_key.reveal()),
            read_permit=pacers.read.permit,
            steer_permit=pacers.brake.permit,
        )
    )
    runner = Runner(
        plan=plan,
        ports=EnginePorts(
            manifest=manifest,
            journal=journal,
            service=service,
            observers=(collector,),
        ),
        pacers=pacers,
        clock=Clock(not_before=last, speed=speed),
        settings=EngineSettings("test", "0", latest_s * speed, lag_s * speed, **settings),
        rng=Random(1),
    )
    runner.collector = collector
    try:
        yield runner
    finally:
        await service.aclose()
        await journal.aclose()


def open_journal(directory, plan):
    """Open the campaign's journal, or make it."""
    if (directory / JOURNAL_NAME).exists():
        return SqliteJournal.open(directory)
    return SqliteJournal.create(directory, plan.campaign.id, plan.digest)


async def run(running, plan, manifest, **given):
    """Run to the end; return (leave, state, collector)."""
    async with engine(running, plan, manifest, **given) as runner:
        leave = await asyncio.wait_for(runner.run(), 120)
        return leave, runner.state, runner.collector
