"""A world: one platform, one network, one disk, and the lives of the processes that run the campaign.

Steps go by hand, from outside the loop: `boot` a process, `run` until it leaves, dies or time is over, `kill` it, give
an `order`, cut the power, `boot` the next. Everything a scenario does not fix is drawn from its seed, each matter
from dice of its own, so that the same scenario and the same steps give the same world to the last byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from random import Random
from typing import Self

from rollout.core.events import CampaignAborted, CampaignFinished
from rollout.core.fold import fold
from rollout.core.lifecycle import CampaignStatus
from rollout.core.plan import Plan
from rollout.core.state import State
from rollout.emulator.http.faults import FaultPlan, Faults
from rollout.emulator.http.gateway import Gateway, GatewayRules, KeyPair
from rollout.emulator.http.service import Service
from rollout.emulator.platform.history import HistoryEntry
from rollout.emulator.platform.knobs import Knobs
from rollout.emulator.platform.model import Platform
from rollout.emulator.platform.population import Population
from rollout.engine.clock import Clock
from rollout.engine.control import Order, Orders
from rollout.engine.pacing import Pacers
from rollout.engine.runner import EngineSettings, Leave, Runner
from rollout.enos import limits
from rollout.errors import RolloutError
from rollout.ports import Journal, Manifest, Observer
from rollout.simulation.disk import Disk, SimJournal
from rollout.simulation.loop import SimLoop
from rollout.simulation.power import Power
from rollout.simulation.wires import Network, SimService, Wires

__all__ = ["START", "Life", "Scenario", "World"]

START = 1_767_225_600.0
"""When a world begins unless it is told: 2026-01-01 00:00:00 UTC."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a world is made of. `latest_effect_s` (L) and `search_lag_s` (S) are what the engine is told to rely on.

    `devices`: key and fleet columns of every device the platform knows. `page_size`: rows a search asks for at once.
    `keeps_journal` false: no process is ever started anew, so nobody needs what a journal would keep.
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


class _Desk(Orders):
    """Orders that are handed over in person: nobody needs to keep looking."""

    look_every_s = inf

    def __init__(self) -> None:
        self._orders: dict[Path, Order] = {}

    def put(self, order: Order) -> None:
        self._orders[Path(order.id)] = order

    def pending(self) -> list[tuple[Path, Order]]:
        return list(self._orders.items())

    def done(self, path: Path) -> None:
        del self._orders[path]


@dataclass(slots=True)
class Life:
    """One process. It ended with `leave`, with `error`, or, with neither, by death."""

    number: int
    power: Power
    runner: Runner
    task: asyncio.Task[None] | None = None
    leave: Leave | None = None
    error: RolloutError | None = None


@dataclass(slots=True)
class World:
    """The scenario, going on. `lives` are all processes so far, `paranoid` how many of them had to doubt."""

    scenario: Scenario
    observers: tuple[Observer, ...] = ()
    lives: list[Life] = field(default_factory=list)
    paranoid: int = 0
    loop: SimLoop = field(init=False)
    disk: Disk = field(init=False)
    platform: Platform = field(init=False)
    network: Network = field(init=False)
    _desk: _Desk = field(init=False, default_factory=_Desk)

    def __post_init__(self) -> None:
        scenario = self.scenario
        self.loop = SimLoop()
        self.disk = Disk(self.now, blank=not scenario.keeps_journal)
        self.platform = Platform(
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
        """Return the world's true time, seconds since the epoch."""
        return self.scenario.start + self.loop.time()

    @property
    def life(self) -> Life:
        """The newest process."""
        return self.lives[-1]

    @property
    def end(self) -> CampaignStatus | None:
        """How the campaign ended, as the disk has it; None while it goes on."""
        # a count that was under way may still be told after it
        kinds = (kind for commit in reversed(self.disk.commits) for kind, _ in commit)
        return next((_ENDS[kind] for kind in kinds if kind in _ENDS), None)

    @property
    def state(self) -> State:
        """What the newest process believes; after its end, what it last believed."""
        return self.life.runner.state

    def boot(self, *, crash_at: int | None = None, wall_error_s: float = 0.0) -> Life:
        """Start a process; it does nothing before `run`.

        Args:
            crash_at: dies at this crash point, counted from 1.
            wall_error_s: how wrong the machine's clock is when it starts.
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
            manifest=self.scenario.manifest,
            journal=journal,
            service=service,
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
            inbox=self._desk,
            observers=self.observers,
        )
        life = Life(number, power, runner)
        life.task = self.loop.create_task(self._live(life, journal))
        self.lives.append(life)
        return life

    def run(self, seconds: float) -> bool:
        """Let time pass until the process is over, at most `seconds`; tell whether it is over.

        Raises: what is no `RolloutError`, since that is a fault of the program.
        """
        return self.loop.run(self._until(seconds))

    def kill(self) -> None:
        """End the process where it stands."""
        self.life.power.cut()
        self.run(0.0)

    def order(self, order: Order) -> None:
        """Give an order to the process that runs, or to the next one."""
        self._desk.put(order)
        if self.lives and self.life.task is not None:
            self.life.runner.look()

    def rest(self, seconds: float) -> None:
        """Let time pass while no process runs."""
        self.loop.run(asyncio.sleep(seconds))

    def replayed(self) -> State:
        """Return the state that the events on the disk amount to."""
        state = State.initial(self.scenario.plan)
        for event in self.disk.read():
            fold(state, event)
        return state

    def close(self) -> None:
        """End the world, and with it a process that still lives."""
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
