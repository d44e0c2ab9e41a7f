"""A world: one platform, one network, one disk, and one campaign with the processes that run it, one after another.

The steps are taken from outside the loop: `boot` a process, `run` until it leaves, dies or time is over, `kill` it, give
an `order`, `boot` the next one. What a scenario does not fix is drawn from its seed; engine and network have random
generators of their own. So the same scenario and the same steps give the same world, byte for byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Self

from rollout.core.events import CampaignAborted, CampaignFinished
from rollout.core.fold import fold
from rollout.core.lifecycle import CampaignStatus
from rollout.core.orders import Order
from rollout.core.plan import Plan
from rollout.core.state import State
from rollout.emulator.http.faults import FaultPlan, Faults
from rollout.emulator.http.gateway import Gateway, GatewayRules, KeyPair
from rollout.emulator.http.service import Service
from rollout.emulator.platform.history import HistoryEntry
from rollout.emulator.platform.knobs import Knobs
from rollout.emulator.platform.model import EmulatedPlatform
from rollout.emulator.platform.population import Population
from rollout.engine.clock import Clock
from rollout.engine.pacing import Pacers
from rollout.engine.runner import EngineSettings, Leave, Runner
from rollout.enos import limits
from rollout.errors import RolloutError
from rollout.ports import EnginePorts, Journal, Manifest, Observer, Orders
from rollout.simulation.disk import Disk, SimJournal
from rollout.simulation.loop import SimLoop
from rollout.simulation.power import Power
from rollout.simulation.wires import Network, SimService, Wires

START = 1_767_225_600.0
"""Default start of a world, seconds since the epoch: 2026-01-01 00:00:00 UTC."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a world is made of.

    `devices`: key and attributes of every device that the platform knows. `latest_effect_s` (L), `search_lag_s` (S): what
    the engine relies on; the platform may break it. `start`: seconds since the epoch. `approve`: indexes of waves whose
    gates are approved beforehand. `page_size`: rows of a search page. `keeps_journal`: false if no second process will be
    started, so that the disk need not keep the events.
    """

    seed: int
    plan: Plan
    manifest: Manifest
    devices: Iterable[tuple[str, Mapping[str, str]]]
    population: Population = field(default_factory=Population)
    knobs: Knobs = field(default_factory=Knobs)
    faults: FaultPlan = field(default_factory=FaultPlan)
    rules: GatewayRules = field(default_factory=lambda: GatewayRules(signature="none"))
    wires: Wires = field(default_factory=Wires)
    latest_effect_s: float = 60.0
    search_lag_s: float = 5.0
    start: float = START
    approve: tuple[int, ...] = ()
    page_size: int = limits.PAGE_SIZE_MAX
    keeps_journal: bool = True


_ENDS = {CampaignFinished.kind: CampaignStatus.FINISHED, CampaignAborted.kind: CampaignStatus.ABORTED}


class _Inbox(Orders):
    """Orders in memory. The world tells the runner when one is there, so the runner never polls."""

    look_every_s = inf

    def __init__(self) -> None:
        self._orders: dict[str, Order] = {}

    def put(self, order: Order) -> None:
        self._orders[order.id] = order

    async def pending(self) -> list[Order]:
        return list(self._orders.values())

    async def done(self, order_id: str) -> None:
        del self._orders[order_id]


@dataclass(slots=True)
class Life:
    """One process.

    `task`: None once it is over. `leave`: how the runner left; `error`: what it raised; both None if it was killed.
    """

    number: int
    power: Power
    runner: Runner
    task: asyncio.Task[None] | None = None
    leave: Leave | None = None
    error: RolloutError | None = None


@dataclass(slots=True)
class World:
    """A scenario in progress.

    `lives`: all processes so far. `paranoid`: how many of them found no clean mark and distrusted the journal.
    """

    scenario: Scenario
    observers: tuple[Observer, ...] = ()
    lives: list[Life] = field(default_factory=list)
    paranoid: int = 0
    loop: SimLoop = field(init=False)
    disk: Disk = field(init=False)
    platform: EmulatedPlatform = field(init=False)
    network: Network = field(init=False)
    _inbox: _Inbox = field(init=False, default_factory=_Inbox)

    def __post_init__(self) -> None:
        scenario = self.scenario
        self.loop = SimLoop()
        self.disk = Disk(self.now, blank=not scenario.keeps_journal)
        self.platform = EmulatedPlatform(
            seed=scenario.seed,
            start=scenario.start,
            org_id=scenario.plan.campaign.org_id,
            population=scenario.population,
            knobs=scenario.knobs,
            devices=scenario.devices,
        )
        service = Service(
            self.platform,
            Gateway(KeyPair(), scenario.rules, scenario.seed),
            Faults(scenario.faults, scenario.seed),
            clock=self.now,
            wall=self.now,
            record=self._note_effect,
        )
        self.network = Network(
            self.loop,
            service,
            scenario.wires,
            self._dice("network"),
            now=self.now,
            intents=lambda name: self.disk.intents[name],
        )

    def now(self) -> float:
        """Return the true time of the world, seconds since the epoch."""
        return self.scenario.start + self.loop.time()

    @property
    def life(self) -> Life:
        """The newest process."""
        return self.lives[-1]

    @property
    def end(self) -> CampaignStatus | None:
        """How the campaign ended, by the events on the disk; None while it goes on."""
        # a count that was in flight may be stored after the end
        kinds = (kind for commit in reversed(self.disk.commits) for kind, _ in commit)
        return next((_ENDS[kind] for kind in kinds if kind in _ENDS), None)

    @property
    def state(self) -> State:
        """The state of the newest process; after its end its last state."""
        return self.life.runner.state

    def boot(self, *, crash_at: int | None = None, wall_error_s: float = 0.0) -> Life:
        """Start a process; it does nothing before `run`.

        Args:
            crash_at: the process dies at this crash point, counted from 1; None: it is not made to die.
            wall_error_s: error of the wall clock of its machine, seconds; positive: fast.
        """
        assert not self.lives or self.life.task is None, "the last process still lives"
        number = len(self.lives)
        power = Power(crash_at)
        last = max((event.at for event in self.disk.read()), default=0.0)
        journal = SimJournal(self.disk, power)
        clock = Clock(not_before=last, wall=lambda: self.now() + wall_error_s, monotonic=self.loop.time)
        self.paranoid += not journal.was_clean
        pacers = Pacers.of(self.scenario.plan.campaign.limits)
        service = SimService(
            self.network,
            power,
            number,
            org_id=self.scenario.plan.campaign.org_id,
            read_permit=pacers.read.permit,
            steer_permit=pacers.brake.permit,
            page_size=self.scenario.page_size,
        )
        runner = Runner(
            plan=self.scenario.plan,
            ports=EnginePorts(
                manifest=self.scenario.manifest,
                journal=journal,
                service=service,
                orders=self._inbox,
                observers=self.observers,
            ),
            pacers=pacers,
            clock=clock,
            settings=EngineSettings(
                f"life-{number}",
                "simulated",
                self.scenario.latest_effect_s,
                self.scenario.search_lag_s,
                paranoid=not journal.was_clean,
                approve=self.scenario.approve,
            ),
            rng=self._dice(f"engine/{number}"),
        )
        life = Life(number, power, runner)
        life.task = self.loop.create_task(self._live(life, journal))
        self.lives.append(life)
        return life

    def run(self, seconds: float) -> bool:
        """Let time pass until the process is over, at most `seconds`.

        Returns: whether the process is over.
        Raises: any error of the process but `RolloutError`, which stands in `life.error`.
        """
        return self.loop.run(self._until(seconds))

    def kill(self) -> None:
        """Kill the process at once, as SIGKILL does."""
        self.life.power.cut()
        self.run(0.0)

    def order(self, order: Order) -> None:
        """Give an order to the running process; if none runs, to the next one."""
        self._inbox.put(order)
        if self.lives and self.life.task is not None:
            self.life.runner.look()

    def rest(self, seconds: float) -> None:
        """Let time pass while no process runs."""
        self.loop.run(asyncio.sleep(seconds))

    def replayed(self) -> State:
        """Return the state after folding the events on the disk."""
        state = State.initial(self.scenario.plan)
        for event in self.disk.read():
            fold(state, event)
        return state

    def close(self) -> None:
        """End the world; a running process is killed."""
        if self.lives:
            self.kill()
        self.loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _note_effect(self, entry: HistoryEntry) -> None:
        if entry.name == "createLater":
            self.network.effect_delay_s = entry.args["delayS"]

    def _dice(self, about: str) -> Random:
        return Random(f"{self.scenario.seed}/{about}")  # noqa: S311 - repeatable chance is the purpose

    async def _live(self, life: Life, journal: Journal) -> None:
        try:
            life.leave = await life.runner.run()
        except RolloutError as error:
            life.error = error
        finally:
            await journal.aclose()

    async def _until(self, seconds: float) -> bool:
        life = self.life
        if life.task is None:
            return True
        gone = asyncio.ensure_future(life.power.gone.wait())
        await asyncio.wait({life.task, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if life.power.dead:
            life.task.cancel()
            await asyncio.wait({life.task})
        if not life.task.done():
            return False
        if not life.task.cancelled():
            life.task.result()
        life.task = None
        return True
