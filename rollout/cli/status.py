"""`rollout status`: where a campaign stands, read from its journal, whether or not a runner lives."""

from __future__ import annotations

import sys
import time

import click

from rollout.app.campaigns import Snapshot
from rollout.app.next_steps import next_steps
from rollout.app.waiting import Waited, wait_for
from rollout.cli.common import Common, command
from rollout.cli.steps import run_line, step_views
from rollout.cli.types import DURATION
from rollout.core.orders import Approve, Order, verb_of
from rollout.views.progress import marks_for
from rollout.views.status import OrderView, RunnerView, StatusView

EXIT_CODES = {
    Waited.REACHED: 0,
    Waited.UNREACHABLE: 3,
    Waited.FOR_A_PERSON: 6,
    Waited.TIMED_OUT: 1,
    Waited.NO_RUNNER: 1,
}
"""The exit code of `--wait`."""


@command("status")
@click.argument("campaign", required=False)
@click.option("--wait", is_flag=True, help="Return only when the goal of --for is reached.")
@click.option(
    "--for", "goal", default="finished", metavar="GOAL", help="finished, approval, or wave:NAME; with --wait."
)
@click.option("--timeout", type=DURATION, help="Wait no longer than this.")
def status(common: Common, *, campaign: str | None, wait: bool, goal: str, timeout: float | None) -> int:
    """Show where CAMPAIGN stands.

    With --wait: 0 when the goal is reached, 3 when it can no longer be reached, 6 when the time runs out and a
    person is waited for, 1 when it runs out otherwise or no runner lives.

    Example: rollout status inverter-2-1-0 --wait --for=approval --timeout 2h
    """
    reader = common.reader(campaign)
    code = 0
    if wait:
        waited, seen = wait_for(goal, reader, timeout)
        code = EXIT_CODES[waited]
        if waited is Waited.NO_RUNNER:
            line = run_line(seen.store, seen.name)
            common.console.warn(f"error: no runner lives\nhint: {line}")
    else:
        seen = reader.look()
    if common.console.is_json:
        common.console.json("status", **_view(seen).document())
    else:
        marks = marks_for(getattr(sys.stdout, "encoding", None))
        common.console.result("\n".join(_view(seen).lines(marks)))
    return code


def _view(seen: Snapshot) -> StatusView:
    """Return what is shown of the campaign, with its next steps as lines of this command line."""
    holder = seen.holder
    steps = next_steps(seen.state, alive=holder is not None, ordered=bool(seen.orders))
    return StatusView(
        seen.state,
        None if holder is None else RunnerView(holder.host, holder.pid, holder.since, holder.beat_at),
        [_order(order) for order in seen.orders],
        step_views(steps, seen.store, seen.name, run_line(seen.store, seen.name)),
        time.time(),
    )


def _order(order: Order) -> OrderView:
    return OrderView(verb_of(order), order.by, order.id, order.wave if isinstance(order, Approve) else "")
