"""A campaign run by the real runner and performer, in virtual time, on a platform of a few dozen lines.

The platform and the journal are small and open on purpose: a test lets devices fail, lets answers be lost, late or
throttled, makes the search lag, kills the process at any step, and changes what the journal holds. The emulator's model
stands behind `rollout.simulation.world`; here hypothesis goes through thousands of campaigns.
"""

import asyncio
from bisect import insort
from collections import Counter
from dataclasses import dataclass, field
from math import inf
from random import Random

from rollout.core.names import WaveNames, batch_name
from rollout.core.outcome import Accepted, Found, Listing, Rejected, Throttled, Unknown, Unsent
from rollout.core.records import TaskState
from rollout.engine.clock import Clock
from rollout.engine.pacing import Pacers
from rollout.engine.performer import TASKS_IN_PROGRESS
from rollout.engine.runner import EngineSettings, Runner
from rollout.errors import Failure, Phase, ServiceError
from rollout.ports import EnginePorts, NotNow
from rollout.simulation.loop import CLOCK_STEP_S, Deadlock, SimLoop
from rollout.simulation.power import Power

L, S = 20.0, 5.0
TINY_STEPS_MAX = 1000
"""Steps of the clock in a row, each too short for anything to happen, after which the engine is said to spin."""


class Crash(Exception):
    """The process dies here."""


@dataclass
class Job:
    job_id: str
    name: str
    at: float
    devices: int
    stopped_at: float = inf


@dataclass
class Platform:
    """Jobs in the order in which they take effect; devices end `duration` after that, a share of them failed."""

    duration: float = 600.0
    failing: float = 0.0
    silent: float = 0.0
    lag: float = 2.0
    jobs: list[Job] = field(default_factory=list)
    made: int = 0

    def create(self, name, devices, at):
        self.made += 1
        job = Job(f"{self.made:024x}", name, at, devices)
        insort(self.jobs, job, key=lambda known: known.at)
        return job.job_id

    def seen(self, now):
        return [job for job in self.jobs if job.at + self.lag <= now]

    def listing(self, match, now, firmware="fw1", kind="upgrade"):
        found = (
            Found(job.job_id, job.name, firmware, kind, "started", int(job.at * 1000))
            for job in self.seen(now)
            if match(job.name)
        )
        return Listing(tuple(found), True)

    def count(self, job_ids, now):
        """Return the numbers of tasks: all, in progress, succeeded, failed."""
        total = Counter()
        for job in self.seen(now):
            if job.job_id in job_ids:
                quiet = round(job.devices * self.silent)
                failed = round(job.devices * self.failing)
                total["all"] += job.devices
                if now >= job.at + self.duration:
                    total["failed"] += failed
                    total["succeeded"] += job.devices - failed - quiet
                else:
                    total["in_progress"] += job.devices - quiet
        return total["all"], total["in_progress"], total["succeeded"], total["failed"]


class World:
    """One campaign: its journal, its platform and the lives of its process. `now`: seconds."""

    def __init__(self, plan, manifest, *, seed=0, faults=(), **platform):
        self.plan, self.manifest = plan, manifest
        self.rng = Random(seed)
        self.platform = Platform(**platform)
        self.faults = dict(faults)
        self.journal = []
        self.now = 1000.0
        self.steps = 0
        self.crash_at = None
        self.creates = 0
        self.exposed_max = 0
        self.reached = Counter()
        self.counts_fail = False
        self.witness = ()

    # --- one life ------------------------------------------------------------------------------------------

    def live(self, *, until=inf, orders=()):
        """Run a process from the journal's end until it leaves, waits for nothing any more, or `until`.

        `orders` wait for it when it starts. Returns its state. Raises Crash where it was killed at a step.
        """
        self.now = max([self.now] + [event.at for event in self.journal])
        self.power = Power()
        loop = _Loop(self.now)
        try:
            loop.run(self._live(loop, orders, until))
        except Deadlock:
            pass  # nothing is due any more: only a person could bring it on
        finally:
            self.now = loop.time()
            died = self.power.dead
            self.power.cut()
            loop.end()
        if died:
            raise Crash
        return self.state

    async def _live(self, loop, orders, until):
        last = max((event.at for event in self.journal), default=0.0)
        pacers = Pacers.of(self.plan.campaign.limits)
        runner = Runner(
            plan=self.plan,
            ports=EnginePorts(
                manifest=self.manifest,
                journal=_Journal(self),
                service=_Service(self, loop),
                orders=_Orders(orders),
            ),
            pacers=pacers,
            clock=Clock(not_before=last, wall=loop.time, monotonic=loop.time),
            settings=EngineSettings("test", "0", L, S),
            rng=self.rng,
        )
        runner.observe(self)
        self.state = runner.state
        running = asyncio.ensure_future(runner.run())
        died = asyncio.ensure_future(self.power.gone.wait())
        patience = None if until == inf else max(0.0, until - self.now)
        await asyncio.wait({running, died}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()

    async def step(self, where):
        """Pass a crash point."""
        self.steps += 1
        if self.steps == self.crash_at:
            self.power.cut(where)
        await self.power.step(where)

    def notice(self, event, state):
        """Check what must hold after every event."""
        self.reached[event.kind] += 1
        cap = self.plan.campaign.limits.devices_in_progress
        self.exposed_max = max(self.exposed_max, state.exposure)
        assert cap is None or state.exposure <= cap
        assert state.tally().planned == self.plan.devices

    # --- what must hold ------------------------------------------------------------------------------------

    def crash_in(self, steps):
        self.crash_at = self.steps + steps

    def assert_one_job_each(self):
        names = Counter(job.name for job in self.platform.jobs)
        assert set(names.values()) <= {1}, {n: c for n, c in names.items() if c > 1}
        return set(names)

    def assert_complete(self):
        names = self.assert_one_job_each()
        assert names == {batch_name("c1", batch) for batch in self.plan.batches}


class _Loop(SimLoop):
    """Virtual time in which an engine that is woken for nothing, again and again, fails the test."""

    tiny_steps = 0

    def jump(self, timeout):
        before = self.time()
        super().jump(timeout)
        moved = self.time() - before
        if moved:
            self.tiny_steps = self.tiny_steps + 1 if moved <= CLOCK_STEP_S else 0
        assert self.tiny_steps < TINY_STEPS_MAX, "woken for nothing: the engine spins"

    def end(self):
        """Cancel what is left, and close."""
        tasks = asyncio.all_tasks(self)
        for task in tasks:
            task.cancel()
        if tasks:
            self.run(asyncio.wait(tasks))
        self.close()


class _Journal:
    """The world's list of events, with a crash point after every commit."""

    def __init__(self, world):
        self.world = world
        self.stored = 0

    async def append(self, events):
        self.world.journal += events
        self.stored += len(events)
        await self.world.step(f"after commit of {events[0].kind}")
        return self.stored

    def read(self):
        return iter(list(self.world.journal))


class _Orders:
    """Orders that are there from the start; nobody needs to look for more."""

    look_every_s = inf

    def __init__(self, orders):
        self.waiting = {order.id: order for order in orders}

    async def pending(self):
        return list(self.waiting.values())

    async def done(self, order_id):
        del self.waiting[order_id]


class _Service:
    """What the engine asks of the platform, with the faults of the world."""

    def __init__(self, world, loop):
        self.world, self.loop = world, loop
        self.creating = 0

    async def create(self, order, guard):
        world = self.world
        self.creating += 1
        most = world.plan.campaign.limits.create.in_flight
        unknown = world.state.unknown
        assert unknown + self.creating <= max(most, unknown)
        try:
            await asyncio.sleep(world.rng.uniform(0.0, 1.0))
            kinds, weights = zip(*({"ok": 1.0} | world.faults).items(), strict=True)
            fault = world.rng.choices(kinds, weights)[0]
            try:
                await guard()
            except NotNow:
                return Unsent("withheld", withheld=True)
            await world.step("before the first byte")
            world.creates += 1
            return await self._answer(fault, order)
        finally:
            self.creating -= 1

    async def _answer(self, fault, order):
        world, now = self.world, self.loop.time()
        devices = order.device_keys.count(b",") + 1
        job_id = ""
        if fault in {"ok", "answer_lost"}:
            job_id = world.platform.create(order.name, devices, now)
        if fault == "late":  # takes effect when the caller has long given up, but within L of its giving up
            world.platform.create(order.name, devices, now + world.rng.uniform(0.0, 2.0 + L))
        await asyncio.sleep(2.0 if fault == "late" else 0.1)
        match fault:
            case "ok":
                return Accepted(job_id)
            case "answer_lost" | "late" | "request_lost":
                return Unknown("no answer")
            case "unsent":
                return Unsent("no connection")
            case "throttled":
                return Throttled(None)
            case "rejected":
                return Rejected(24404, "Firmware not found")

    async def find_jobs(self, *, firmware_id, spec, names):
        listing = self.world.platform.listing(
            names.includes if isinstance(names, WaveNames) else (lambda known: known == names),
            self.loop.time(),
        )
        await self._travel()
        return listing

    async def find_witnesses(self, *, firmware_id, device_keys, known):
        return self.world.witness

    async def count_tasks(self, job_ids, states=()):
        everything, in_progress, succeeded, failed = self.world.platform.count(set(job_ids), self.loop.time())
        await self._travel()
        if self.world.counts_fail:
            raise ServiceError("no answer", phase=Phase.SENT, failure=Failure.UNREACHABLE)
        return {
            (): everything,
            TASKS_IN_PROGRESS: in_progress,
            (TaskState.SUCCEEDED,): succeeded,
            (TaskState.FAILED,): failed,
        }[tuple(states)]

    async def stop_job(self, job_id):
        for job in self.world.platform.jobs:
            if job.job_id == job_id:
                job.stopped_at = self.loop.time()

    async def _travel(self):
        await asyncio.sleep(self.world.rng.uniform(0.0, 0.2))
