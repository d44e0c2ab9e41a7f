"""`rollout status`: where a campaign stands, from its journal, whether or not a runner lives."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from rollout.cli.campaigns import Campaign, Reader, find_campaign, run_line
from rollout.cli.common import Common, command
from rollout.cli.next_steps import Step, next_steps
from rollout.cli.types import DURATION
from rollout.core.gate import percent
from rollout.core.lifecycle import CampaignStatus, WaveStatus
from rollout.core.state import State, WaveState
from rollout.core.tally import Tally
from rollout.engine.control import Order
from rollout.text import count, counted, duration, iso_utc, local_time, safe
from rollout.views.progress import (
    devices_moving,
    in_doubt,
    marks_for,
    waiting_for,
    waits_for_approval,
    wave_mark,
    wave_rows,
    without_task,
)

POLL_S = 0.5
"""How often `--wait` looks. The engine itself looks for orders as often. Our choice."""

REACHED, UNREACHABLE, STILL, NEVER = 0, 3, 6, 1


@command("status")
@click.argument("campaign", required=False)
@click.option("--wait", is_flag=True, help="Return only when the thing waited for has come.")
@click.option(
    "--for", "goal", default="finished", metavar="GOAL", help="finished, approval, or wave:NAME; with --wait."
)
@click.option("--timeout", type=DURATION, help="Wait no longer than this.")
def status(common: Common, *, campaign: str | None, wait: bool, goal: str, timeout: float | None) -> int:
    """Show where CAMPAIGN stands.

    With --wait: 0 when the goal is reached, 3 when it can no longer be, 6 when a person is waited for as the
    time runs out, 1 when it runs out otherwise or no runner lives.

    Example: rollout status inverter-2-1-0 --wait --for=approval --timeout 2h
    """
    reader = Reader(find_campaign(common.state_dir, campaign))
    seen = reader.look()
    code = REACHED
    if wait:
        _check_goal(goal, seen.state)
        until = None if timeout is None else time.monotonic() + timeout
        while (verdict := _verdict(goal, seen)) is None:
            if until is None and seen.holder is None:
                # Without a limit nobody would ever learn that the runner is gone.
                common.console.warn(f"error: no runner lives\nhint: {run_line(seen.directory)}")
                verdict = NEVER
                break
            if until is not None and time.monotonic() >= until:
                verdict = STILL if _waits_for_person(seen.state) else NEVER
                break
            time.sleep(POLL_S)
            seen = reader.look()
        code = verdict
    if common.console.is_json:
        common.console.json("status", **_document(seen))
    else:
        common.console.result("\n".join(_lines(seen)))
    return code


def _check_goal(goal: str, state: State) -> None:
    names = [wave.name for wave in state.plan.waves]
    if goal in ("finished", "approval") or (goal.startswith("wave:") and goal.removeprefix("wave:") in names):
        return
    raise click.UsageError(
        f"--for: {goal!r} is not finished, approval or one of {', '.join(f'wave:{n}' for n in names)}"
    )


def _verdict(goal: str, seen: Campaign) -> int | None:
    """Return the exit code once the question is settled, or None."""
    state = seen.state
    finished = state.status is CampaignStatus.FINISHED
    over = state.status is CampaignStatus.ABORTED or (
        state.status is CampaignStatus.HALTED and seen.holder is None
    )
    if goal == "finished":
        reached = finished
    elif goal == "approval":
        reached = waits_for_approval(state)
        over = over or finished
    else:
        name = goal.removeprefix("wave:")
        wave = next(wave for wave in state.waves if state.plan.waves[wave.index].name == name)
        reached = wave.status in {WaveStatus.PASSED, WaveStatus.FINISHED}
    return REACHED if reached else UNREACHABLE if over else None


def _waits_for_person(state: State) -> bool:
    stands = state.status in {CampaignStatus.PAUSED, CampaignStatus.HALTED}
    return stands or state.stalled or waits_for_approval(state)


def _standing(seen: Campaign) -> str:
    """Return the campaign's state in words."""
    state = seen.state
    match state.status:
        case CampaignStatus.NEW:
            return "planned, never run"
        case CampaignStatus.RUNNING if waits_for_approval(state):
            return "waiting for approval"
        case CampaignStatus.RUNNING:
            return f"{'unfinished' if seen.holder is None else 'running'}, waiting for {waiting_for(state, state.last_at)}"
        case _:
            reason = f": {safe(state.reason)}" if state.reason and state.reason != state.status.value else ""
            evidence = f" ({safe(state.evidence)})" if state.evidence else ""
            return f"{state.status.value}{reason}{evidence}"


def _counts(wave: WaveState) -> str:
    tally = wave.tally
    told = [f"{count(tally.planned)} planned"]
    if tally.planned:
        told.append(f"{count(tally.resolved)} resolved {percent(Tally.share(tally.resolved, tally.planned))}")
    if tally.resolved:
        told.append(
            f"{count(tally.succeeded)} ok {percent(Tally.share(tally.succeeded, tally.resolved))} of resolved"
        )
    told += [f"{count(tally.failed)} failed", f"{count(tally.open)} open"]
    if missing := without_task(wave):
        told.append(f"{count(missing)} without a task")
    return " · ".join(told)


def _runner(seen: Campaign) -> str:
    if seen.holder is None:
        how = "left in good order" if seen.state.clean or seen.state.closed else "died"
        return "none yet" if seen.state.status is CampaignStatus.NEW else f"none alive; the last one {how}"
    age = duration(time.time() - seen.holder.beat_at)
    return f"{safe(seen.holder.host)} pid {seen.holder.pid}, wrote last {age} ago"


def order_text(order: Order) -> str:
    """Return an order in words: `approve canary by ana@ops-1`."""
    wave = (
        f" {safe(order.wave)}"
        if (kind := type(order).__name__.lower()) == "approve" and hasattr(order, "wave")
        else ""
    )
    return f"{kind}{wave} by {safe(order.by)}"


def _next(seen: Campaign) -> list[Step]:
    alive, ordered = seen.holder is not None, bool(seen.orders)
    return next_steps(seen.state, seen.directory, run_line(seen.directory), alive=alive, ordered=ordered)


def _lines(seen: Campaign) -> list[str]:
    state = seen.state
    marks = marks_for(getattr(sys.stdout, "encoding", None))
    width = max(8, *(min(len(wave.name), 24) for wave in seen.plan.waves))
    lines = [
        f"{state.campaign.id}  {_standing(seen)}",
        f"{'runner':<{width + 4}}{_runner(seen)}",
    ]
    if state.started_at:
        lines.append(f"{'last':<{width + 4}}{local_time(state.last_at)} (on the campaign's clock)")
    for wave in state.waves:
        name = safe(seen.plan.waves[wave.index].name)[:width]
        if wave.status is WaveStatus.WAITING:
            counts = f"{count(wave.devices)} planned · {counted(wave.last - wave.first, 'job')}"
        else:
            counts = _counts(wave)
        lines.append(f" {wave_mark(state, wave, marks):<2} {name:<{width}}{counts}")
    if state.unknown:
        lines.append(f"{'':<{width + 4}}{counted(state.unknown, 'create')} of unknown outcome")
    lines += [f"{'':<{width + 4}}{line}" for line in in_doubt(state)]
    lines += [f"{'queued':<{width + 4}}{order_text(order)} (not taken yet)" for order in seen.orders]
    lines += [
        f"{'' if place else 'next':<{width + 4}}{step.purpose.lower()}:  {step.line}"
        for place, step in enumerate(_next(seen))
    ]
    return [line.replace("·", marks.dot) for line in lines]


def _document(seen: Campaign) -> dict[str, Any]:
    state = seen.state
    holder = seen.holder
    total = state.tally()

    def moment(name: str, at: float | None) -> dict[str, Any]:
        return (
            {name: None, f"{name}Iso": None}
            if not at
            else {name: round(at * 1000), f"{name}Iso": iso_utc(at)}
        )

    return {
        "campaignId": state.campaign.id,
        "status": state.status.value,
        "standing": _standing(seen),
        "waitingFor": "approval" if waits_for_approval(state) else waiting_for(state, state.last_at),
        "reason": state.reason,
        "evidence": state.evidence,
        "planDigest": seen.plan.digest,
        **moment("startedAt", state.started_at),
        **moment("lastEventAt", state.last_at),
        **moment("endedAt", state.ended_at),
        **moment("asOf", state.last_count_at),
        "runner": None
        if holder is None
        else {
            "host": holder.host,
            "pid": holder.pid,
            **moment("since", holder.since),
            **moment("beatAt", holder.beat_at),
        },
        "leftInGoodOrder": state.clean or state.closed,
        "jobs": {
            "planned": len(seen.plan.batches),
            "created": state.jobs,
            "unknown": state.unknown,
            "parked": len(state.parked),
            "rejected": len(state.rejected),
            "adopted": state.adopted,
            "duplicated": len(state.duplicated),
            "notStopped": len(state.brakes_failed),
        },
        "devices": {
            "planned": total.planned,
            "succeeded": total.succeeded,
            "failed": total.failed_final,
            "open": total.open,
            "inProgress": devices_moving(state),
        },
        "waves": list(wave_rows(state)),
        "orders": [
            {"order": type(order).__name__.lower(), "by": order.by, "id": order.id} for order in seen.orders
        ],
        "next": next((step.line for step in _next(seen)), ""),
    }
