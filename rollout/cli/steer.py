"""`pause`, `resume`, `approve`, `abort`: an order is put into the campaign's inbox; a runner carries it out.

A living runner takes an order within a second, and this command waits to see it taken. Without a runner the
order stays, and counts first thing when the campaign is run again: the line that does so is printed.
"""

from __future__ import annotations

import getpass
import socket
import time
from pathlib import Path

import click

from rollout.cli.campaigns import Campaign, Reader, find_campaign, run_line
from rollout.cli.command_line import about
from rollout.cli.common import Common, command
from rollout.core.lifecycle import CampaignStatus, WaveStatus
from rollout.engine.control import Abort, Approve, Inbox, Order, Pause, Resume
from rollout.errors import RolloutError
from rollout.text import counted, safe
from rollout.views.progress import devices_moving

__all__ = ["abort", "approve", "pause", "resume"]

TAKEN_WAIT_S = 5.0
"""How long to wait for a living runner to take an order; it looks twice a second. Our choice."""

POLL_S = 0.05
"""How often to look whether the order was taken. Our choice."""

TEXT_MAX = 500
"""Characters of a reason or comment. Our choice."""


class Refused(RolloutError):
    """The order makes no sense for the campaign as it stands."""

    exit_code = 2


@command("pause")
@click.argument("campaign", required=False)
@click.option("--reason", default="", help="Recorded with the order.")
def pause(common: Common, *, campaign: str | None, reason: str) -> None:
    """Create no new jobs of CAMPAIGN from now on; jobs that exist go on in EnOS.

    Example: rollout pause inverter-2-1-0 --reason "storm in Bavaria"
    """
    seen = _steerable(common, campaign)
    _give(common, seen, Pause(_who(), _text(reason)), "paused", _running(seen))


@command("resume")
@click.argument("campaign", required=False)
@click.option("--reason", default="", help="Recorded with the order.")
def resume(common: Common, *, campaign: str | None, reason: str) -> None:
    """Go on with CAMPAIGN after a pause or a halt; refused and parked batches are taken up again.

    Example: rollout resume inverter-2-1-0
    """
    seen = _steerable(common, campaign)
    _give(common, seen, Resume(_who(), _text(reason)), "resumed", "")


@command("approve")
@click.argument("campaign", required=False)
@click.option("--wave", required=True, metavar="NAME", help="Whose gate may open.")
@click.option("--comment", default="", help="Recorded with the order.")
def approve(common: Common, *, campaign: str | None, wave: str, comment: str) -> None:
    """Let the gate of one wave of CAMPAIGN open.

    Example: rollout approve inverter-2-1-0 --wave canary --comment CHG-1042
    """
    seen = _steerable(common, campaign)
    names = [planned.name for planned in seen.plan.waves]
    if wave not in names:
        raise click.UsageError(f"--wave: no wave {wave!r}; there are {', '.join(names)}")
    note = _what_opens(seen, names.index(wave))
    _give(common, seen, Approve(_who(), wave, _text(comment)), f"approved {wave}", note)


@command("abort")
@click.argument("campaign", required=False)
@click.option("--reason", default="", help="Recorded with the order.")
@click.option("--stop-jobs", is_flag=True, help="Stop its jobs: no further device is pushed to.")
@click.option("--cancel-pending", is_flag=True, help="Cancel tasks that have not begun.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def abort(
    common: Common,
    *,
    campaign: str | None,
    reason: str,
    stop_jobs: bool,
    cancel_pending: bool,
    yes: bool,
) -> None:
    """End CAMPAIGN for good. Devices that are upgrading cannot be called back, and EnOS has no downgrade.

    Example: rollout abort inverter-2-1-0 --stop-jobs --cancel-pending
    """
    seen = _steerable(common, campaign)
    name = seen.plan.campaign.id
    if not yes:
        if not common.console.can_ask:
            raise click.UsageError("an abort is for good: repeat it with --yes")
        if common.console.ask(f"End {name} for good? Type the campaign id to go on:") != name:
            raise Refused("not aborted")
    notes = []
    if under_way := devices_moving(seen.state):
        verb = "is" if under_way == 1 else "are"
        notes.append(f"note     {counted(under_way, 'device')} {verb} in progress; EnOS has no downgrade")
    if seen.holder is not None and (stop_jobs or cancel_pending):
        notes.append(f"follow   {about(seen.directory, 'status')}")
    _give(common, seen, Abort(_who(), _text(reason), stop_jobs, cancel_pending), "aborted", "\n".join(notes))


def _who() -> str:
    """Return who gives the order: `ana@ops-1`."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        name = "somebody"
    return safe(f"{name}@{socket.gethostname()}")


def _text(text: str) -> str:
    if len(text) > TEXT_MAX:
        raise click.UsageError(f"at most {TEXT_MAX} characters of reason or comment")
    return safe(text)


def _steerable(common: Common, campaign: str | None) -> Campaign:
    seen = Reader(find_campaign(common.state_dir, campaign)).look()
    if seen.state.status is CampaignStatus.NEW:
        raise Refused(f"{seen.plan.campaign.id} was never run", hint=run_line(seen.directory))
    if seen.state.closed:
        raise Refused(f"{seen.plan.campaign.id} is {seen.state.status.value}; nothing can change that")
    return seen


def _what_opens(seen: Campaign, index: int) -> str:
    """Return what an approval of the wave's gate lets begin, or why it changes nothing."""
    state, wave = seen.state, seen.state.waves[index]
    gate = state.gate_of(index)
    if wave.status in {WaveStatus.PASSED, WaveStatus.FINISHED}:
        return "note     this gate has opened already"
    if not (state.halted_by_gate and state.halted_wave == index) and (gate is None or not gate.approval):
        return "note     this gate does not wait for an approval"
    if index + 1 == len(state.waves):
        return ""
    planned = seen.plan.waves[index + 1]
    jobs = counted(planned.last - planned.first, "job")
    return f"next     {planned.name}: {counted(planned.devices, 'device')} in {jobs}"


def _running(seen: Campaign) -> str:
    still = seen.state.tally().open - sum(wave.devices for wave in seen.state.waves if not wave.opened_at)
    return (
        f"note     jobs that exist go on in EnOS ({counted(still, 'device')} not yet finished)"
        if still > 0
        else ""
    )


def _give(common: Common, seen: Campaign, order: Order, done: str, note: str) -> None:
    """Submit the order, see whether a runner takes it, and tell."""
    path = Inbox(seen.directory).submit(order)
    taken = seen.holder is not None and _is_taken(path)
    line = run_line(seen.directory)
    if common.console.is_json:
        common.console.json(
            "order",
            campaignId=seen.plan.campaign.id,
            order=type(order).__name__.lower(),
            id=order.id,
            by=order.by,
            taken=taken,
            next="" if taken else line,
        )
        return
    if taken:
        text = f"{done} by {order.by}"
    elif seen.holder is not None:
        text = f"queued   {done}: the runner (pid {seen.holder.pid}) has not taken it yet"
    else:
        text = f"queued   {done}: no runner lives; it takes effect first thing with\n         {line}"
    common.console.result(f"{text}\n{note}" if note else text)


def _is_taken(path: Path) -> bool:
    until = time.monotonic() + TAKEN_WAIT_S
    while time.monotonic() < until:
        if not path.exists():
            return True
        time.sleep(POLL_S)
    return False
