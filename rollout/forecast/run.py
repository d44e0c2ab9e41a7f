"""One simulated run: the plan carried out once, in virtual time, on a fleet whose true outcomes are known.

The engine sees what EnOS would show it: counts, with a lag. The true outcome of each device is read from the emulated
platform, three times: when a rule stops the campaign, when the campaign ends, and 30 days later. The last one matters
because jobs go on in EnOS after a stop, and sleeping devices wake up after the campaign has ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from rollout.core import events as ev
from rollout.core.lifecycle import CampaignStatus
from rollout.core.orders import Approve
from rollout.core.plan import Plan
from rollout.core.reasons import HaltReason, HoldReason
from rollout.core.state import State
from rollout.emulator.platform.knobs import Knobs
from rollout.emulator.platform.model import EmulatedPlatform
from rollout.emulator.platform.population import Population
from rollout.emulator.platform.tasks import IN_PROGRESS, Status
from rollout.enos import limits
from rollout.enos.job_settings import JobSettings
from rollout.intake.saved_plan import open_saved_plan
from rollout.ports import Manifest
from rollout.simulation.wires import Wires
from rollout.simulation.world import START, Scenario, World

_DAY_S = 86_400.0

STEP_S = 6 * 3600.0
"""Interval of the check whether anything can still happen in a run. Virtual seconds."""
AFTERWARDS_S = 30 * _DAY_S
"""How long after the end of the campaign the outcomes are read a last time. Virtual seconds."""
CURVE_POINTS_MAX = 400
"""Most points of a run's curve. When there are more, every second point is dropped."""


APPROVER = "simulation"
"""Who gives the approvals of a simulated run, as its events name them."""

NO_ROOM = "room"
"""`hold` of a run whose silent devices fill the limit of devices in progress, so that no further job has room."""


class RunEnding(StrEnum):
    """How a run ended; the values stand in the JSON document.

    WAITING: nothing could happen any more, or `within_s` was over.
    """

    FINISHED = "finished"
    STOPPED = "stopped"
    WAITING = "waiting"


class OutcomeCounts(NamedTuple):
    """Numbers of devices by outcome. `reached`: the firmware was pushed to them at least once; the other four exclude each other."""

    reached: int = 0
    succeeded: int = 0
    failed: int = 0
    at_work: int = 0
    waiting: int = 0


class CurvePoint(NamedTuple):
    """What the engine knew at a moment: devices that had succeeded and failed. `at_s`: seconds after the start."""

    at_s: float
    succeeded: int
    failed: int


class Stop(NamedTuple):
    """A rule stopped the campaign.

    `at_s`: seconds after the start. `wave`: whose gate stopped it; None if no gate did. `counts`: true outcomes at that
    moment.
    """

    at_s: float
    wave: int | None
    reason: HaltReason
    counts: OutcomeCounts


class WaveTimes(NamedTuple):
    """When a wave opened, passed its gate and finished. Seconds after the start; None if that never happened."""

    opened_s: float | None = None
    passed_s: float | None = None
    finished_s: float | None = None


@dataclass(frozen=True, slots=True)
class ForecastSetup:
    """What all runs of one forecast share.

    `columns`: attributes of the plan's devices: column name to device key to value. `made_up`: keys of devices that
    are not in the plan, for waves whose devices EnOS picks. `latest_effect_s` (L) and `search_lag_s` (S): what the
    engine relies on. `approve_after_s`: how long a gate waits for its approval. `within_s`: virtual seconds after which
    a run is given up. `start`: seconds since the epoch.
    """

    plan: Plan
    manifest: Manifest
    population: Population = field(default_factory=Population)
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    made_up: Iterable[str] = ()
    latest_effect_s: float = 60.0
    search_lag_s: float = 5.0
    approve_after_s: float = 3600.0
    within_s: float = 60 * _DAY_S
    start: float = START

    def devices(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        """Yield key and attributes of every device. A planned device has the product that its wave asks for."""
        waves = self.plan.campaign.waves
        for batch in self.plan.batches:
            product = JobSettings.of(waves[batch.wave].job).product_key
            common: Mapping[str, str] = {"productKey": product} if product else {}
            for key in self.manifest.keys(batch.start, batch.stop):
                own = {name: values[key] for name, values in self.columns.items() if key in values}
                yield key, {**common, **own} if own else common
        for key in self.made_up:
            yield key, {}


def open_setup(plan: Path, **settings: Any) -> ForecastSetup:
    """Return the setup of a saved plan.

    Args:
        settings: the other fields of `ForecastSetup`.
    Raises: PlanError.
    """
    saved = open_saved_plan(plan)
    return ForecastSetup(saved.plan, saved.manifest, **settings)


@dataclass(frozen=True, slots=True)
class SimulatedRun:
    """How one run went.

    `rate`: the failure ratio of every device; None: as the fleet file says. `took_s`: virtual seconds from the start
    to the end or the stop; of a waiting run, to the last event. `planned`: number of devices; where EnOS picks them,
    those it picked. `hold`: what a waiting run waits for; "" if it is over. `ended`: outcomes at the end; `later`:
    outcomes 30 days after it. `stragglers`: devices the engine stopped waiting for. `creates_peak`, `reads_peak`: calls
    in the busiest minute. `at_once`: most devices in progress at one instant.
    """

    rate: float | None
    seed: int
    ending: RunEnding
    took_s: float
    planned: int
    stop: Stop | None
    hold: str
    waves: tuple[WaveTimes, ...]
    ended: OutcomeCounts
    later: OutcomeCounts
    stragglers: int
    creates: int
    creates_peak: int
    reads: int
    reads_peak: int
    at_once: int
    curve: tuple[CurvePoint, ...]


def simulate_once(setup: ForecastSetup, rate: float | None, seed: int) -> SimulatedRun:
    """Carry the plan out once. `run_study` calls this.

    Args:
        rate: the failure ratio of every device; None: as `setup.population` says.
    """
    population = setup.population if rate is None else setup.population.with_failed_ratio(rate)
    scenario = Scenario(
        seed,
        setup.plan,
        setup.manifest,
        setup.devices(),
        population=population,
        # the platform keeps the bounds that the engine relies on
        knobs=Knobs(read_lag_s=min(limits.READ_LAG_S, setup.search_lag_s / 2)),
        # a campaign takes hours: milliseconds of network time change nothing
        wires=Wires(connect_s=(0.0, 0.0), transit_s=(0.0, 0.0)),
        latest_effect_s=setup.latest_effect_s,
        search_lag_s=setup.search_lag_s,
        start=setup.start,
        keeps_journal=False,
    )
    watcher = _Watcher(setup)
    with World(scenario, observers=(watcher,)) as world:
        watcher.world = world
        world.boot()
        over = _run_out(world, setup)
        if world.life.error is not None:
            raise world.life.error
        state, platform = world.state, world.platform
        platform.advance(world.now())
        ended = _outcomes(platform)
        took_s = world.loop.time() if over else watcher.last_s
        platform.advance(world.now() + AFTERWARDS_S)
        meters, calls = platform.meters, world.network.meters
        hold = next((wave.held.value for wave in state.begun_waves() if not over and wave.held), "")
        if state.stalled and not over:
            hold = NO_ROOM
        return SimulatedRun(
            rate,
            seed,
            RunEnding.STOPPED if watcher.stop else RunEnding.FINISHED if over else RunEnding.WAITING,
            took_s if watcher.stop is None else watcher.stop.at_s,
            state.tally().planned,
            watcher.stop,
            hold,
            tuple(watcher.waves),
            ended,
            _outcomes(platform),
            sum(wave.stragglers for wave in state.waves),
            calls.creates.total(),
            max(calls.creates.values(), default=0),
            calls.reads.total(),
            max(calls.reads.values(), default=0),
            meters.in_progress_max,
            tuple(watcher.curve),
        )


def _run_out(world: World, setup: ForecastSetup) -> bool:
    """Run until the campaign is over, or nothing can happen any more, or `within_s` has passed; return whether it is over."""
    gates = [wave.gate for wave in setup.plan.campaign.waves if wave.gate is not None]
    longest_s = max([gate.soak_s + (gate.deadline_s or 0.0) for gate in gates], default=0.0)
    patience_s = longest_s + setup.plan.campaign.stragglers_after_s + setup.approve_after_s + _DAY_S
    still_s = 0.0
    while world.loop.time() < setup.within_s and still_s <= patience_s:
        commits = len(world.disk.commits)
        if world.run(STEP_S):
            return True
        moved = len(world.disk.commits) > commits or world.platform.next_due() is not None
        still_s = 0.0 if moved else still_s + STEP_S
    return False


def _outcomes(platform: EmulatedPlatform) -> OutcomeCounts:
    counts = [sum(job.counts[status] for job in platform.all_jobs) for status in Status]
    return OutcomeCounts(
        sum(1 for attempts in platform.devices.attempts if attempts),
        counts[Status.SUCCEEDED],
        counts[Status.FAILED],
        sum(counts[status] for status in IN_PROGRESS),
        counts[Status.INIT] + sum(len(job.matched) for job in platform.all_jobs if not job.deleted),
    )


class _Watcher:
    """Observer of one run: keeps wave times, the stop and the curve, and approves gates after `approve_after_s`."""

    world: World

    def __init__(self, setup: ForecastSetup) -> None:
        self.setup = setup
        self.waves = [WaveTimes() for _ in setup.plan.waves]
        self.stop: Stop | None = None
        self.curve: list[CurvePoint] = [CurvePoint(0.0, 0, 0)]
        self.last_s = 0.0
        self._every = 1
        self._seen = 0

    def notice(self, event: ev.Event, state: State) -> None:
        """Note an event; the runner calls this after it was folded."""
        at_s = event.at - self.setup.start
        if isinstance(event, ev.TasksCounted):
            self._note_counts(at_s, state)
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
                name = self.setup.plan.waves[event.wave].name
                order = Approve(APPROVER, name, id=f"approve-{event.wave}")
                self.world.loop.call_later(self.setup.approve_after_s, self._approve, order)
            case ev.CampaignHalted():
                self._stop(at_s, event.wave, event.reason)
            case ev.CampaignAbortRequested(halt=HaltReason() as reason):
                self._stop(at_s, event.wave, reason)
            case _:
                return

    def _approve(self, order: Approve) -> None:
        if self.world.state.status is CampaignStatus.RUNNING:
            self.world.order(order)

    def _stop(self, at_s: float, wave: int | None, reason: HaltReason) -> None:
        if self.stop is None:
            self.world.platform.advance(self.world.now())
            self.stop = Stop(at_s, wave, reason, _outcomes(self.world.platform))

    def _note_counts(self, at_s: float, state: State) -> None:
        """Add a point to the curve, at most `CURVE_POINTS_MAX` in all: later only every second, fourth, ... count adds one."""
        self._seen += 1
        if self._seen % self._every:
            return
        tally = state.tally()
        if (tally.succeeded, tally.failed) == self.curve[-1][1:]:
            return
        self.curve.append(CurvePoint(at_s, tally.succeeded, tally.failed))
        self.last_s = at_s
        if len(self.curve) > CURVE_POINTS_MAX:
            del self.curve[1:-1:2]
            self._every *= 2
