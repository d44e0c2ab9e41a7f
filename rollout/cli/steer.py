"""`pause`, `resume`, `approve`, `abort`: an order is put into the campaign's inbox, where a runner takes it.

A living runner takes an order within a second, and this command waits to see it taken. Without a runner the
order waits, and is taken first when the campaign is run again; the command line for that is printed.
"""

from __future__ import annotations

import click

from rollout.app.campaigns import Snapshot
from rollout.app.orders import check_steerable, give, reason_text, wave_number, who
from rollout.cli.command_line import about
from rollout.cli.common import Common, command
from rollout.cli.steps import run_line
from rollout.core.lifecycle import CampaignStatus, WaveStatus
from rollout.core.orders import Abort, Approve, Order, Pause, Resume
from rollout.errors import OrderRefused
from rollout.text import counted
from rollout.views.progress import devices_moving


@command("pause")
@click.argument("campaign", required=False)
@click.option("--reason", default="", help="Recorded with the order.")
def pause(common: Common, *, campaign: str | None, reason: str) -> None:
    """Create no new jobs of CAMPAIGN from now on; jobs that exist go on in EnOS.

    Example: rollout pause inverter-2-1-0 --reason "storm in Bavaria"
    """
    seen = _steerable(common, campaign)
    _give(common, seen, Pause(who(), reason_text(reason)), "paused", _running(seen))


@command("resume")
@click.argument("campaign", required=False)
@click.option("--reason", default="", help="Recorded with the order.")
def resume(common: Common, *, campaign: str | None, reason: str) -> None:
    """Go on with CAMPAIGN after a pause or a halt; refused and parked batches are taken up again.

    Example: rollout resume inverter-2-1-0
    """
    seen = _steerable(common, campaign)
    _give(common, seen, Resume(who(), reason_text(reason)), "resumed", "")


@command("approve")
@click.argument("campaign", required=False)
@click.option("--wave", required=True, metavar="NAME", help="Whose gate may open.")
@click.option("--comment", default="", help="Recorded with the order.")
def approve(common: Common, *, campaign: str | None, wave: str, comment: str) -> None:
    """Let the gate of one wave of CAMPAIGN open.

    Example: rollout approve inverter-2-1-0 --wave canary --comment CHG-1042
    """
    seen = _steerable(common, campaign)
    note = _what_opens(seen, wave_number(seen, wave))
    _give(common, seen, Approve(who(), wave, reason_text(comment)), f"approved {wave}", note)


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
            raise OrderRefused("not aborted")
    notes = []
    if under_way := devices_moving(seen.state):
        verb = "is" if under_way == 1 else "are"
        notes.append(f"note     {counted(under_way, 'device')} {verb} in progress; EnOS has no downgrade")
    if seen.holder is not None and (stop_jobs or cancel_pending):
        notes.append(f"follow   {about(seen.store.address, seen.name, 'status')}")
    _give(
        common,
        seen,
        Abort(who(), reason_text(reason), stop_jobs, cancel_pending),
        "aborted",
        "\n".join(notes),
    )


def _steerable(common: Common, campaign: str | None) -> Snapshot:
    """Return the campaign if it can be given orders. Raises NoCampaign, OrderRefused."""
    seen = common.reader(campaign).look()
    try:
        check_steerable(seen)
    except OrderRefused as refusal:
        if seen.state.status is CampaignStatus.NEW:
            refusal.hint = run_line(seen.store, seen.name)
        raise
    return seen


def _what_opens(seen: Snapshot, index: int) -> str:
    """Return what begins after an approval of the wave's gate, or why the approval changes nothing."""
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


def _running(seen: Snapshot) -> str:
    still = seen.state.tally().open - sum(wave.devices for wave in seen.state.waves if not wave.opened_at)
    return (
        f"note     jobs that exist go on in EnOS ({counted(still, 'device')} not yet finished)"
        if still > 0
        else ""
    )


def _give(common: Common, seen: Snapshot, order: Order, done: str, note: str) -> None:
    """Give the order, and print whether a runner took it. `done` says what it does, `note` what follows from it."""
    taken = give(seen, order)
    line = run_line(seen.store, seen.name)
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
