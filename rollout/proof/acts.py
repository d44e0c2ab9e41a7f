"""What is done to a world from outside, as values: a trial's script, a state machine's rules and a crash list alike.

Acts go one after another; each lets time pass or changes something at once. Whatever they did, `conclude` then mends
everything, attends to the campaign as a person would, and tells how it ended.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, assert_never

from rollout.core.campaign import JobType
from rollout.core.gate import HoldReason
from rollout.core.lifecycle import CampaignStatus, WaveStatus
from rollout.core.names import batch_name
from rollout.emulator.http.faults import Fault, FaultPlan
from rollout.emulator.platform.refusal import Refusal
from rollout.engine.control import Approve, Order, Resume
from rollout.engine.runner import GRACE_S
from rollout.simulation.wires import Wires
from rollout.simulation.world import World

__all__ = [
    "Act",
    "Ending",
    "Give",
    "Kill",
    "Live",
    "PowerCut",
    "Quit",
    "Rest",
    "Stall",
    "Tamper",
    "Weather",
    "conclude",
    "perform",
]

VISITS_MAX = 30
"""How often a person looks after a campaign before it is called stuck, however much happens in it."""
VISIT_S = 900.0
"""How long a campaign is left alone between two visits. Seconds."""
FRUITLESS_MAX = 2
"""How often parked batches are taken up again in vain before they are left to the person."""


@dataclass(frozen=True, slots=True)
class Live:
    """A process runs, started if there is none, for at most `seconds`; it may die at its `crash_in`-th step from now.

    `wall_error_s`: how wrong the machine's clock is if it is started now.
    """

    seconds: float
    crash_in: int | None = None
    wall_error_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Quit:
    """The process is asked to leave in good order, as by SIGTERM, and does."""


@dataclass(frozen=True, slots=True)
class Kill:
    """The process ends where it stands."""


@dataclass(frozen=True, slots=True)
class PowerCut:
    """The process ends where it stands, and a disk that lied loses its last commits."""

    commits: int


@dataclass(frozen=True, slots=True)
class Rest:
    """No process runs."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Stall:
    """Everything that is due waits: a paused process, a frozen machine."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Give:
    """A person gives an order."""

    order: Order


@dataclass(frozen=True, slots=True)
class Tamper:
    """Somebody else is at the platform: stops or deletes our `number`-th job, or makes a job with a similar name."""

    what: Literal["stop", "delete", "imitate"]
    number: int = 0


@dataclass(frozen=True, slots=True)
class Weather:
    """Platform and network behave like this from now on."""

    faults: tuple[Fault, ...] = ()
    wires: Wires = field(default_factory=Wires)

    def __str__(self) -> str:
        return f"Weather({', '.join(map(str, self.faults)) or 'no faults'}; {self.wires})"


Act = Live | Quit | Kill | PowerCut | Rest | Stall | Give | Tamper | Weather


def perform(world: World, act: Act) -> None:
    """Do it. An act for which there is no occasion (nobody to kill, no job to stop) does nothing."""
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
        case Rest():
            if not alive:
                world.rest(act.seconds)
        case Stall():
            world.loop.stall(act.seconds)
        case Give():
            world.order(act.order)
        case Tamper():
            _tamper(world, act)
        case Weather():
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
        if job.definition.name and not job.definition.name.default.startswith(COPY)
    ]
    if not ours:
        return
    args = {"jobId": ours[act.number % len(ours)].id}
    for name in ("stop", "delete")[: 1 + (act.what == "delete")]:
        try:
            service.apply(name, args)
        except Refusal:
            continue  # stopped already


COPY = "copy of "
"""How the names of jobs begin that somebody made after ours."""


def _imitation(name: str) -> dict[str, Any]:
    """Return the body of a job whose name contains one of ours, for a device that is not."""
    return {
        "name": {"defaultValue": COPY + name},
        "type": JobType.UPGRADE.value,
        "upgradeScope": {"type": "partial", "deviceKeys": ["stranger"], "productKey": "other"},
        "upgradePolicy": "snapshot",
        "enableUpgradeRequest": False,
    }


class Ending(StrEnum):
    """How a campaign ended that was looked after."""

    FINISHED = "finished"
    ABORTED = "aborted"
    PARKED = "parked"
    FULL = "full"  # devices that never end fill the budget of devices in progress; only a person can decide about them
    STUCK = "stuck"


def conclude(world: World) -> Ending:
    """Mend platform and network, then visit the campaign as a person does until it is over.

    A halt is answered: a failed gate by approving its wave, anything else by resuming. What stays parked is left.
    """
    perform(world, Weather())
    asked = Counter[str]()
    for visit in range(VISITS_MAX):
        before = len(world.disk.commits)
        perform(world, Live(VISIT_S))
        if world.end is not None:
            return Ending.FINISHED if world.end is CampaignStatus.FINISHED else Ending.ABORTED
        state = world.state
        asked[state.reason] += 1
        if state.status is CampaignStatus.HALTED and state.parked and asked[state.reason] > FRUITLESS_MAX:
            return Ending.PARKED
        order = _answer(world, f"visit-{visit}")
        if order is not None:
            perform(world, Give(order))
        elif len(world.disk.commits) == before:
            return Ending.FULL if world.state.stalled else Ending.STUCK
    return Ending.STUCK


def _answer(world: World, order_id: str) -> Order | None:
    """Return what a person does about the campaign as it stands, or None."""
    state, names = world.state, [wave.name for wave in world.scenario.plan.waves]
    if state.status is CampaignStatus.HALTED and state.halted_by_gate and state.halted_wave is not None:
        return Approve("visitor", names[state.halted_wave], id=order_id)
    if state.status in {CampaignStatus.HALTED, CampaignStatus.PAUSED}:
        return Resume("visitor", id=order_id)
    asking = (w for w in state.waves if w.status is WaveStatus.OPEN and w.held == HoldReason.APPROVAL)
    return next((Approve("visitor", names[wave.index], id=order_id) for wave in asking), None)
