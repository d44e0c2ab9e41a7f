"""Acts: what is done to a world from outside, as values. Seeded trials, the state machine test and the crash list use them.

Acts go one after another. Each lets time pass or changes something at once. After the last act `conclude` ends all
faults, looks after the campaign as a person would, and returns how it ended.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, assert_never

from rollout.core.lifecycle import CampaignStatus, WaveStatus
from rollout.core.names import JobName, batch_name
from rollout.core.orders import Approve, Order, Resume
from rollout.core.reasons import HoldReason
from rollout.emulator.http.faults import Fault, FaultPlan
from rollout.emulator.platform.refusal import Refusal
from rollout.engine.runner import GRACE_S
from rollout.enos.job_settings import JobType
from rollout.simulation.wires import Wires
from rollout.simulation.world import World

VISITS_MAX = 30
"""Visits of the person after which a campaign is called stuck, whatever happens in it."""
VISIT_S = 900.0
"""Time between two visits. Virtual seconds."""
FRUITLESS_MAX = 2
"""How often a campaign with parked batches is resumed for one reason before it ends as parked."""


@dataclass(frozen=True, slots=True)
class Live:
    """A process runs for at most `seconds`; if none runs, one is started.

    `crash_in`: it dies at its so many-th crash point from now; None: it does not. `wall_error_s`: error of the wall clock
    of a process that is started now, seconds.
    """

    seconds: float
    crash_in: int | None = None
    wall_error_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Quit:
    """The process is asked to leave in good order, as by SIGTERM, and leaves."""


@dataclass(frozen=True, slots=True)
class Kill:
    """The process is killed, as by SIGKILL."""


@dataclass(frozen=True, slots=True)
class PowerCut:
    """The process is killed, and the disk loses its last `commits` commits although it acknowledged them."""

    commits: int


@dataclass(frozen=True, slots=True)
class Idle:
    """Time passes while no process runs. Does nothing if one runs."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Stall:
    """Time passes and nothing that is due happens: the machine is frozen."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Give:
    """A person gives an order."""

    order: Order


@dataclass(frozen=True, slots=True)
class Tamper:
    """Somebody else uses the platform: stops or deletes our `number`-th job, or makes a job with a similar name."""

    what: Literal["stop", "delete", "imitate"]
    number: int = 0


@dataclass(frozen=True, slots=True)
class FaultPhase:
    """From now on the platform has these faults and the network these conditions. Without arguments: no faults."""

    faults: tuple[Fault, ...] = ()
    wires: Wires = field(default_factory=Wires)

    def __str__(self) -> str:
        return f"FaultPhase({', '.join(map(str, self.faults)) or 'no faults'}; {self.wires})"


Act = Live | Quit | Kill | PowerCut | Idle | Stall | Give | Tamper | FaultPhase


def apply_act(world: World, act: Act) -> None:
    """Apply one act to the world. An act without an object (no process to kill, no job to stop) does nothing."""
    alive = bool(world.lives) and world.life.task is not None
    match act:
        case Live():
            if world.end is not None:
                return
            life = world.life if alive else world.boot(wall_error_s=act.wall_error_s)
            if act.crash_in is not None:
                life.power.cut_in(act.crash_in)
            world.run(act.seconds)
        case Quit():
            if alive:
                world.life.runner.stop()
                world.run(2 * GRACE_S)
        case Kill():
            if alive:
                world.kill()
        case PowerCut():
            if alive:
                world.kill()
            world.disk.lose(act.commits)
        case Idle():
            if not alive:
                world.rest(act.seconds)
        case Stall():
            world.loop.stall(act.seconds)
        case Give():
            world.order(act.order)
        case Tamper():
            _tamper(world, act)
        case FaultPhase():
            world.network.wires = act.wires
            world.network.service.faults.change(FaultPlan(act.faults))
        case _:
            assert_never(act)


def _tamper(world: World, act: Tamper) -> None:
    service = world.network.service
    service.advance()
    if act.what == "imitate":
        campaign, batches = world.scenario.plan.campaign, world.scenario.plan.batches
        batch = batches[act.number % len(batches)]
        service.apply(
            "create", {"firmwareId": campaign.firmware_id, "body": _imitation(batch_name(campaign.id, batch))}
        )
        return
    ours = [
        job
        for job in world.platform.jobs.values()
        if job.definition.name and JobName.parse(job.definition.name.default) is not None
    ]
    if not ours:
        return
    args = {"jobId": ours[act.number % len(ours)].id}
    for name in ("stop", "delete")[: 1 + (act.what == "delete")]:
        try:
            service.apply(name, args)
        except Refusal:
            continue  # it was stopped before


COPY = "copy of "
"""Beginning of the names of imitated jobs."""


def _imitation(name: str) -> dict[str, Any]:
    """Return the create body of a job whose name contains `name`, for a device that is not ours."""
    return {
        "name": {"defaultValue": COPY + name},
        "type": JobType.UPGRADE.value,
        "upgradeScope": {"type": "partial", "deviceKeys": ["stranger"], "productKey": "other"},
        "upgradePolicy": "snapshot",
        "enableUpgradeRequest": False,
    }


class TrialEnding(StrEnum):
    """How a trial ended.

    FULL: devices that never end fill the limit of devices in progress; only a person can decide about them. STUCK: none of
    the others, so a rule is broken.
    """

    FINISHED = "finished"
    ABORTED = "aborted"
    PARKED = "parked"
    FULL = "full"
    STUCK = "stuck"


def conclude(world: World) -> TrialEnding:
    """End all faults, then visit the campaign as a person does until it is over; return how it ended.

    A halt is answered: a failed gate by approving its wave, anything else by resuming. Batches that stay parked are left.
    """
    apply_act(world, FaultPhase())
    asked = Counter[str]()
    for visit in range(VISITS_MAX):
        before = len(world.disk.commits)
        apply_act(world, Live(VISIT_S))
        if world.end is not None:
            return TrialEnding.FINISHED if world.end is CampaignStatus.FINISHED else TrialEnding.ABORTED
        state = world.state
        asked[state.reason] += 1
        if state.status is CampaignStatus.HALTED and state.parked and asked[state.reason] > FRUITLESS_MAX:
            return TrialEnding.PARKED
        order = _answer(world, f"visit-{visit}")
        if order is not None:
            apply_act(world, Give(order))
        elif len(world.disk.commits) == before:
            return TrialEnding.FULL if world.state.stalled else TrialEnding.STUCK
    return TrialEnding.STUCK


def _answer(world: World, order_id: str) -> Order | None:
    """Return the order that a person gives in this state; None if there is nothing to answer."""
    state, names = world.state, [wave.name for wave in world.scenario.plan.waves]
    if state.status is CampaignStatus.HALTED and state.halted_by_gate and state.halted_wave is not None:
        return Approve("visitor", names[state.halted_wave], id=order_id)
    if state.status in {CampaignStatus.HALTED, CampaignStatus.PAUSED}:
        return Resume("visitor", id=order_id)
    awaiting = (w for w in state.waves if w.status is WaveStatus.OPEN and w.held is HoldReason.APPROVAL)
    return next((Approve("visitor", names[wave.index], id=order_id) for wave in awaiting), None)
