"""One trial: a plan carried out once, in virtual time, against a fleet of which the truth is known.

The engine sees what it would see of EnOS: counts, late. What became of the devices is read from the platform itself,
at the moment a rule stops the campaign, when the campaign ends, and once more when nothing happens any more: jobs that
exist go on in EnOS after a stop, and sleepers wake up when nobody watches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from rollout.core import events as ev
from rollout.core.gate import HoldReason
from rollout.core.lifecycle import CampaignStatus
from rollout.core.plan import Plan
from rollout.core.state import State
from rollout.emulator.platform.knobs import Knobs
from rollout.emulator.platform.model import Platform
from rollout.emulator.platform.population import Population
from rollout.emulator.platform.tasks import IN_PROGRESS, Status
from rollout.engine.control import Approve
from rollout.intake.saved_plan import open_saved_plan
from rollout.ports import Manifest
from rollout.simulation.wires import Wires
from rollout.simulation.world import START, Scenario, World

__all__ = ["Bench", "Ending", "Sight", "Stop", "Toll", "Trial", "WaveTimes", "open_bench", "try_once"]

DAY_S = 86_400.0

STEP_S = 6 * 3600.0
"""How often a trial is looked at whether anything can still happen. Seconds of its own time."""
AFTERWARDS_S = 30 * DAY_S
"""How long the platform is watched after the campaign has ended. Seconds."""
SIGHTS_MAX = 400
"""Points of a trial's curve; every second one is dropped when there are more."""

READ_LAG_S = 2.0
"""How long the platform's reads lag behind, as EnOS's pages say, unless the engine is told to rely on less. Seconds."""

APPROVER = "simulation"


NO_ROOM = "room"
"""What a trial waits for whose devices that do not report have taken all places among those in progress."""


class Ending:
    """How a trial ended: its words in results."""

    FINISHED = "finished"
    STOPPED = "stopped"
    WAITING = "waiting"


class Toll(NamedTuple):
    """Devices by what has become of them. `reached`: the firmware was pushed to them at least once."""

    reached: int = 0
    succeeded: int = 0
    failed: int = 0
    at_work: int = 0
    waiting: int = 0


class Sight(NamedTuple):
    """What the engine knew at a moment, seconds after the start: devices that ended, one way or the other."""

    at_s: float
    succeeded: int
    failed: int


class Stop(NamedTuple):
    """A rule stopped the campaign: which wave's (None: no gate's), why, and what had become of the devices."""

    at_s: float
    wave: int | None
    reason: str
    evidence: str
    toll: Toll


class WaveTimes(NamedTuple):
    """When a wave opened, passed its gate and was through; seconds after the start, None if it never did."""

    opened_s: float | None = None
    passed_s: float | None = None
    finished_s: float | None = None


@dataclass(frozen=True, slots=True)
class Bench:
    """What all trials of one question share.

    `columns`: of the plan's devices, column to device key to value. `made_up`: keys of devices that are not in the
    plan, for waves whose devices EnOS picks. `approve_after_s`: how long a gate that asks for a person waits.
    `within_s`: a campaign not over by then is left waiting. `start`: seconds since the epoch.
    """

    plan: Plan
    manifest: Manifest
    population: Population = field(default_factory=Population)
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    made_up: Iterable[str] = ()
    latest_effect_s: float = 60.0
    search_lag_s: float = 5.0
    approve_after_s: float = 3600.0
    within_s: float = 60 * DAY_S
    start: float = START

    def devices(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        """Yield every device with the columns that matter, of the product its wave asks for."""
        waves = self.plan.campaign.waves
        for batch in self.plan.batches:
            product = waves[batch.wave].job.product_key
            common: Mapping[str, str] = {"productKey": product} if product else {}
            for key in self.manifest.keys(batch.start, batch.stop):
                own = {name: values[key] for name, values in self.columns.items() if key in values}
                yield key, {**common, **own} if own else common
        for key in self.made_up:
            yield key, {}


def open_bench(plan: Path, **settings: Any) -> Bench:
    """Return the bench of a saved plan. Raises: PlanError."""
    saved = open_saved_plan(plan)
    return Bench(saved.plan, saved.manifest, **settings)


@dataclass(frozen=True, slots=True)
class Trial:
    """How one trial went. `rate` None: the fleet as it is described.

    `took_s`: from start to the end, the stop, or the last thing that happened. `planned`: devices of the plan,
    where EnOS picks them those it picked. `ended`: the devices' fate then; `later`: when nothing happened any more.
    `stragglers`: devices the engine gave up waiting for. Peaks are calls in the busiest minute.
    """

    rate: float | None
    seed: int
    ending: str
    took_s: float
    planned: int
    stop: Stop | None
    hold: str
    waves: tuple[WaveTimes, ...]
    ended: Toll
    later: Toll
    stragglers: int
    creates: int
    creates_peak: int
    reads: int
    reads_peak: int
    at_once: int
    curve: tuple[Sight, ...]


def try_once(bench: Bench, rate: float | None, seed: int) -> Trial:
    """Carry the plan out once, with the fleet's own share of failures or one true `rate` for all devices."""
    population = bench.population if rate is None else bench.population.with_failed_ratio(rate)
    scenario = Scenario(
        seed,
        bench.plan,
        bench.manifest,
        bench.devices(),
        population=population,
        # a platform that keeps the bounds the engine relies on
        knobs=Knobs(read_lag_s=min(READ_LAG_S, bench.search_lag_s / 2)),
        # milliseconds on the way decide nothing in a campaign of hours
        wires=Wires(connect_s=(0.0, 0.0), transit_s=(0.0, 0.0)),
        latest_effect_s=bench.latest_effect_s,
        search_lag_s=bench.search_lag_s,
        start=bench.start,
        keeps_journal=False,
    )
    watcher = _Watcher(bench)
    with World(scenario, observers=(watcher,)) as world:
        watcher.world = world
        world.boot()
        over = _run_out(world, bench)
        if world.life.error is not None:
            raise world.life.error
        state, platform = world.state, world.platform
        platform.advance(world.now())
        ended = _toll(platform)
        took_s = world.loop.time() if over else watcher.last_s
        platform.advance(world.now() + AFTERWARDS_S)
        meters, calls = platform.meters, world.network.meters
        hold = next((wave.held for wave in state.begun_waves() if not over and wave.held), "")
        if state.stalled and not over:
            hold = NO_ROOM
        return Trial(
            rate,
            seed,
            Ending.STOPPED if watcher.stop else Ending.FINISHED if over else Ending.WAITING,
            took_s if watcher.stop is None else watcher.stop.at_s,
            state.tally().planned,
            watcher.stop,
            hold,
            tuple(watcher.waves),
            ended,
            _toll(platform),
            sum(wave.stragglers for wave in state.waves),
            calls.creates.total(),
            max(calls.creates.values(), default=0),
            calls.reads.total(),
            max(calls.reads.values(), default=0),
            meters.in_progress_max,
            tuple(watcher.curve),
        )


def _run_out(world: World, bench: Bench) -> bool:
    """Let the campaign go on until it is over, or nothing can happen any more; tell whether it is over."""
    gates = [wave.gate for wave in bench.plan.campaign.waves if wave.gate is not None]
    longest_s = max([gate.soak_s + (gate.deadline_s or 0.0) for gate in gates], default=0.0)
    patience_s = longest_s + bench.plan.campaign.stragglers_after_s + bench.approve_after_s + DAY_S
    still_s = 0.0
    while world.loop.time() < bench.within_s and still_s <= patience_s:
        commits = len(world.disk.commits)
        if world.run(STEP_S):
            return True
        moved = len(world.disk.commits) > commits or world.platform.next_due() is not None
        still_s = 0.0 if moved else still_s + STEP_S
    return False


def _toll(platform: Platform) -> Toll:
    counts = [sum(job.counts[status] for job in platform.all_jobs) for status in Status]
    return Toll(
        sum(1 for attempts in platform.devices.attempts if attempts),
        counts[Status.SUCCEEDED],
        counts[Status.FAILED],
        sum(counts[status] for status in IN_PROGRESS),
        counts[Status.INIT] + sum(len(job.matched) for job in platform.all_jobs if not job.deleted),
    )


class _Watcher:
    """Keeps what a trial tells, and plays the person who approves."""

    world: World

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.waves = [WaveTimes() for _ in bench.plan.waves]
        self.stop: Stop | None = None
        self.curve: list[Sight] = [Sight(0.0, 0, 0)]
        self.last_s = 0.0
        self._every = 1
        self._seen = 0

    def notice(self, event: ev.Event, state: State) -> None:
        """Take note of an event."""
        at_s = event.at - self.bench.start
        if isinstance(event, ev.TasksCounted):
            self._see(at_s, state)
            return
        self.last_s = at_s
        match event:
            case ev.WaveOpened():
                self.waves[event.wave] = WaveTimes(at_s)
            case ev.GatePassed():
                self.waves[event.wave] = self.waves[event.wave]._replace(passed_s=at_s)
            case ev.WaveFinished():
                self.waves[event.wave] = self.waves[event.wave]._replace(finished_s=at_s)
            case ev.GateHeld(reason=HoldReason.APPROVAL):
                name = self.bench.plan.waves[event.wave].name
                order = Approve(APPROVER, name, id=f"approve-{event.wave}")
                self.world.loop.call_later(self.bench.approve_after_s, self._approve, order)
            case ev.CampaignHalted():
                self._stop(at_s, event.wave, event.reason, event.evidence)
            case ev.CampaignAbortRequested():
                reason, _, evidence = event.reason.partition(": ")
                by_gate = event.by.removeprefix("gate of wave ")
                wave = next((w.index for w in self.bench.plan.waves if w.name == by_gate), None)
                self._stop(at_s, wave, reason, evidence)
            case _:
                return

    def _approve(self, order: Approve) -> None:
        if self.world.state.status is CampaignStatus.RUNNING:
            self.world.order(order)

    def _stop(self, at_s: float, wave: int | None, reason: str, evidence: str) -> None:
        if self.stop is None:
            self.world.platform.advance(self.world.now())
            self.stop = Stop(at_s, wave, reason, evidence, _toll(self.world.platform))

    def _see(self, at_s: float, state: State) -> None:
        """Keep a point of the curve; the more there are, the fewer are kept."""
        self._seen += 1
        if self._seen % self._every:
            return
        tally = state.tally()
        if (tally.succeeded, tally.failed) == self.curve[-1][1:]:
            return
        self.curve.append(Sight(at_s, tally.succeeded, tally.failed))
        self.last_s = at_s
        if len(self.curve) > SIGHTS_MAX:
            del self.curve[1:-1:2]
            self._every *= 2
