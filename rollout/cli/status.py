"""`rollout status`: where a campaign stands, from its journal, whether or not a runner lives."""

from __future__ import annotations

import sys
import time

import click

from rollout.app.campaigns import Snapshot
from rollout.app.next_steps import next_steps
from rollout.cli.common import Common, command
from rollout.cli.steps import run_line, step_line
from rollout.cli.types import DURATION
from rollout.core.lifecycle import CampaignStatus, WaveStatus
from rollout.core.orders import Approve, Order, verb_of
from rollout.core.state import State
from rollout.views.progress import marks_for, waits_for_approval
from rollout.views.status import OrderView, RunnerView, StatusView, StepView

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
    reader = common.reader(campaign)
    seen = reader.look()
    code = REACHED
    if wait:
        _check_goal(goal, seen.state)
        until = None if timeout is None else time.monotonic() + timeout
        while (verdict := _verdict(goal, seen)) is None:
            if until is None and seen.holder is None:
                # Without a limit nobody would ever learn that the runner is gone.
                common.console.warn(f"error: no runner lives\nhint: {run_line(seen.store, seen.name)}")
                verdict = NEVER
                break
            if until is not None and time.monotonic() >= until:
                verdict = STILL if _waits_for_person(seen.state) else NEVER
                break
            time.sleep(POLL_S)
            seen = reader.look()
        code = verdict
    if common.console.is_json:
        common.console.json("status", **_view(seen).document())
    else:
        marks = marks_for(getattr(sys.stdout, "encoding", None))
        common.console.result("\n".join(_view(seen).lines(marks)))
    return code


def _check_goal(goal: str, state: State) -> None:
    names = [wave.name for wave in state.plan.waves]
    if goal in ("finished", "approval") or (goal.startswith("wave:") and goal.removeprefix("wave:") in names):
        return
    raise click.UsageError(
        f"--for: {goal!r} is not finished, approval or one of {', '.join(f'wave:{n}' for n in names)}"
    )


def _verdict(goal: str, seen: Snapshot) -> int | None:
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


def _view(seen: Snapshot) -> StatusView:
    holder = seen.holder
    steps = next_steps(seen.state, alive=holder is not None, ordered=bool(seen.orders))
    run = run_line(seen.store, seen.name)
    return StatusView(
        seen.state,
        None if holder is None else RunnerView(holder.host, holder.pid, holder.since, holder.beat_at),
        [_order(order) for order in seen.orders],
        [StepView(step.purpose, step_line(step, seen.store, seen.name, run)) for step in steps],
        time.time(),
    )


def _order(order: Order) -> OrderView:
    return OrderView(verb_of(order), order.by, order.id, order.wave if isinstance(order, Approve) else "")
