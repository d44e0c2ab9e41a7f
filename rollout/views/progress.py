"""State → what people watch: one line a wave, the end summary, a heartbeat.

All of it is computed from the state alone, so `status` shows the same from a journal as a live view does from the
running engine. Nothing is shown by colour alone: every wave has a mark, and every share names what it is a share of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from rollout.core.lifecycle import CampaignStatus, WaveStatus
from rollout.core.plan import batch_label
from rollout.core.reasons import HoldReason
from rollout.core.state import State, WaveState
from rollout.core.tally import Tally
from rollout.text import clipped, count, counted, duration, local_time, percent, safe
from rollout.views.words import STATUSES, hold_text, state_evidence, state_reason, wait_text, wave_evidence


@dataclass(frozen=True, slots=True)
class Marks:
    """One sign for each state of a wave."""

    done: str
    running: str
    waiting: str
    failed: str
    held: str
    dot: str


MARKS = Marks("✓", "●", "○", "✗", "‖", "·")
ASCII_MARKS = Marks("[ok]", "[..]", "[  ]", "[FAIL]", "[hold]", "-")

NAME_WIDTH = 24
"""Columns of a wave's name at most; longer ones are cut in tables, never in JSON. Our choice."""


def marks_for(encoding: str | None) -> Marks:
    """Return the marks that a stream of this encoding can show; None counts as ASCII."""
    try:
        f"{MARKS.done}{MARKS.running}{MARKS.waiting}{MARKS.failed}{MARKS.held}".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII_MARKS
    return MARKS


def wave_mark(state: State, wave: WaveState, marks: Marks) -> str:
    """Return the wave's sign: done, running, waiting, failed or held."""
    stopped = state.status in {CampaignStatus.HALTED, CampaignStatus.ABORTING, CampaignStatus.ABORTED}
    match wave.status:
        case WaveStatus.FINISHED | WaveStatus.PASSED if state.halted_wave != wave.index:
            return marks.done if wave.status is WaveStatus.FINISHED or not stopped else marks.failed
        case WaveStatus.WAITING:
            return marks.waiting
        case _ if stopped:
            return marks.failed
        case _ if state.status is CampaignStatus.PAUSED or wave.held is HoldReason.APPROVAL:
            return marks.held
        case _:
            return marks.running


def moving(tally: Tally) -> int:
    """Return the devices in progress, at most those that are open.

    The platform's counts are read one after the other, this one first. A device that ends in between is in two of
    them, and must not be shown as in progress.
    """
    return min(tally.in_progress, tally.open)


def devices_moving(state: State) -> int:
    """Return the devices in progress over all waves; the limit of `moving` is applied to each wave by itself."""
    return sum(moving(wave.tally) for wave in state.waves)


def without_task(wave: WaveState) -> int:
    """Return how many devices of a created wave have no task: EnOS does not know them, or they do not match.

    0 while jobs of the wave are still to be created.
    """
    return max(wave.tally.planned - wave.tally.enrolled, 0) if wave.created else 0


def waits_for_approval(state: State) -> bool:
    """Return whether the campaign waits for nothing but a person's approval."""
    wave = current_wave(state)
    return (
        state.status is CampaignStatus.RUNNING
        and wave is not None
        and wave.status is WaveStatus.OPEN
        and wave.held is HoldReason.APPROVAL
    )


def current_wave(state: State) -> WaveState | None:
    """Return the wave to look at: the halted one, else the last open one, else the last begun; None before the first."""
    if state.halted_wave is not None:
        return state.waves[state.halted_wave]
    begun = list(state.begun_waves())
    unfinished = [wave for wave in begun if wave.status is WaveStatus.OPEN]
    known = unfinished or begun
    return known[-1] if known else None


def waiting_for(state: State, now: float) -> str:
    """Return what the campaign waits for, to stand after "waiting for"; never empty. `now` is on the engine's clock."""
    match state.status:
        case CampaignStatus.NEW:
            return "its first run"
        case CampaignStatus.FINISHED | CampaignStatus.ABORTED:
            return "nothing"
        case CampaignStatus.HALTED | CampaignStatus.PAUSED:
            return "a person"
        case CampaignStatus.ABORTING:
            return f"{counted(len(state.brakes), 'job')} to be stopped" if state.brakes else "calls under way"
        case CampaignStatus.RUNNING:
            pass
    wave = current_wave(state)
    if wave is None:
        return "the first wave's audit"
    gate = state.gate_of(wave.index)
    if state.unknown:
        return f"{counted(state.unknown, 'create')} of unknown outcome"
    if state.full:
        cap = state.campaign.limits.devices_in_progress
        room = f"room: {state.exposure:,} of {cap:,} devices may be in progress"
        return f"{room}, none has moved since {local_time(state.moved_at)}" if state.stalled else room
    if wave.status is WaveStatus.OPEN and wave.created:
        if wave.held is HoldReason.SOAK and wave.satisfied_at is not None and gate is not None:
            return f"soak, {duration(wave.satisfied_at + gate.soak_s - now)} left"
        return wait_text(wave.held or HoldReason.COVERAGE)
    return "devices" if wave.created else "jobs to be created"


def _share(part: int, whole: int) -> str:
    return percent(Fraction(part, whole)) if whole else "-"


def _wave_counts(tally: Tally) -> str:
    if not tally.resolved:
        return ""
    return (
        f"{_share(tally.resolved, tally.planned)} resolved · "
        f"{count(tally.succeeded)} ok {_share(tally.succeeded, tally.resolved)}"
    )


def wave_name(state: State, wave: WaveState) -> str:
    """Return a wave's name for a table: safe to show, at most `NAME_WIDTH` columns."""
    return clipped(safe(state.plan.waves[wave.index].name), NAME_WIDTH)


def _jobs(wave: WaveState) -> str:
    total = wave.last - wave.first
    if wave.status is WaveStatus.WAITING:
        return counted(total, "job")
    return f"{count(wave.settled_batches)} of {counted(total, 'job')}"


def _full(wave: WaveState) -> tuple[str, str]:
    """Return the texts of devices and jobs when all are done: the widest that the wave's row can have."""
    jobs = wave.last - wave.first
    return f"{wave.tally.planned:,} of {wave.tally.planned:,}", f"{count(jobs)} of {counted(jobs, 'job')}"


def live_lines(state: State, now: float, marks: Marks, *, rows: int = 40) -> list[str]:
    """Return the live view: head line, one line a wave, calls, failures.

    Args:
        now: on the engine's clock.
        rows: waves that are shown at most, at least one.
    """
    begun = sum(1 for _ in state.begun_waves())
    tally = state.tally()
    head = (
        f"{state.campaign.id} {marks.dot} wave {max(begun, 1)} of {len(state.waves)} {marks.dot} "
        f"{duration(now - state.started_at) if state.started_at else '0s'} {marks.dot} {STATUSES[state.status]}, "
        f"waiting for {waiting_for(state, now)}"
    )
    lines = [head]
    # each column has the width of its widest text to come: nothing moves while numbers grow, and 80 columns are enough
    mark_width = max(
        len(mark) for mark in (marks.done, marks.running, marks.waiting, marks.failed, marks.held)
    )
    width = max((len(wave_name(state, wave)) for wave in state.waves), default=0)
    devices_width = max((len(_full(wave)[0]) for wave in state.waves), default=0)
    jobs_width = max((len(_full(wave)[1]) for wave in state.waves), default=0)
    shown = state.waves[: max(rows, 1)]
    for wave in shown:
        planned = wave.tally.planned
        counts = _wave_counts(wave.tally) if wave.status is not WaveStatus.WAITING else ""
        begun_text = f"{wave.tally.resolved:,} of " if wave.status is not WaveStatus.WAITING else ""
        lines.append(
            f" {wave_mark(state, wave, marks):<{mark_width}} {wave_name(state, wave):<{width}}  "
            f"{begun_text + count(planned):>{devices_width}}  {_jobs(wave):<{jobs_width}}  "
            f"{counts or hold_text(wave.held)}".rstrip()
        )
    if len(state.waves) > len(shown):
        lines.append(f"   ... {len(state.waves) - len(shown)} more")
    age = f"counted {duration(now - state.last_count_at)} ago" if state.last_count_at is not None else ""
    lines.append(
        f" calls  {count(state.jobs)} created · {count(state.unknown)} unknown · {count(len(state.parked))} parked"
        f"   in progress {count(devices_moving(state))}   {age}".rstrip()
    )
    if tally.failed:
        lines.append(f" failed {count(tally.failed)}")
    return [line.replace("·", marks.dot) for line in lines]


def headline(state: State) -> str:
    """Return one line: where the campaign stands and why."""
    reason, evidence = state_reason(state), state_evidence(state)
    reason = f": {safe(reason)}" if reason else ""
    evidence = f" ({safe(evidence)})" if evidence else ""
    took = duration((state.ended_at or state.last_at) - state.started_at) if state.started_at else "0s"
    match state.status:
        case CampaignStatus.FINISHED:
            return f"Finished {state.campaign.id} in {took}"
        case CampaignStatus.ABORTED:
            return f"Aborted {state.campaign.id} after {took}{evidence}"
        case CampaignStatus.HALTED:
            where = (
                f" in wave {state.plan.waves[state.halted_wave].name}"
                if state.halted_wave is not None
                else ""
            )
            return f"Halted {state.campaign.id}{where}{reason}{evidence}"
        case _:
            how = "unfinished" if state.status is CampaignStatus.RUNNING else STATUSES[state.status]
            stalled = ": no room for its next job, and no device moves" if state.stalled else ""
            return f"Left {state.campaign.id} {how} after {took}{evidence}{stalled}"


BATCHES_NAMED_MAX = 5
"""Batches named in a line; `jobs --state` has them all. Our choice."""


def in_doubt(state: State) -> list[str]:
    """Return a line for each kind of batch that a person must look at: parked, duplicated, or with a job that goes on."""
    kinds = (
        (state.parked, "parked: whether a job was created is unknown"),
        (state.duplicated, "with more than one job: the younger jobs were to be stopped"),
        (state.brakes_failed, "whose job could not be stopped: it goes on in EnOS"),
    )
    lines = []
    for batches, what in kinds:
        if batches:
            named = [batch_label(state.plan, index) for index in sorted(batches)[:BATCHES_NAMED_MAX]]
            more = ", ..." if len(batches) > BATCHES_NAMED_MAX else ""
            lines.append(f"{counted(len(batches), 'batch', 'batches')} {what} ({', '.join(named)}{more})")
    return lines


def summary_lines(state: State, marks: Marks) -> list[str]:
    """Return the end summary: head line, one line a wave, and the sums. OK, FAILED and OPEN add up to TOTAL."""
    width = max((len(wave_name(state, wave)) for wave in state.waves), default=0)
    lines = [headline(state)]
    for wave in state.waves:
        tally = wave.tally
        note = f"   approved by {safe(wave.approved_by)}" if wave.approved else ""
        if missing := without_task(wave):
            note = f"   {count(missing)} without a task{note}"
        share = f"{_share(tally.succeeded, tally.resolved)} of resolved" if tally.resolved else "-"
        lines.append(
            f" {wave_mark(state, wave, marks)} {wave_name(state, wave):<{width}}  {count(tally.succeeded):>9} ok  "
            f"{count(tally.failed_final):>7} failed  {count(tally.open):>7} open    {share}{note}"
        )
    total = state.tally()
    lines += [f" {marks.failed} {line}" for line in in_doubt(state)]
    lines.append(
        f"{'Done.' if state.closed else 'Now.'} JOBS={count(state.jobs)} OK={count(total.succeeded)} FAILED={count(total.failed_final)} "
        f"OPEN={count(total.open)} TOTAL={count(total.planned)}"
    )
    return lines


def run_document(state: State, *, result: str, exit_code: int) -> dict[str, Any]:
    """Return how a run ended as the content of a JSON document; `result` is why the runner left."""
    total = state.tally()
    return {
        "campaignId": state.campaign.id,
        "result": result,
        "status": state.status.value,
        "exitCode": exit_code,
        "reason": state_reason(state),
        "reasonCode": state.reason or None,
        "evidence": state_evidence(state),
        "jobs": {
            "created": state.jobs,
            "adopted": state.adopted,
            "unknown": state.unknown,
            "parked": len(state.parked),
            "duplicated": len(state.duplicated),
            "notStopped": len(state.brakes_failed),
        },
        "devices": device_counts(total),
        "waves": list(wave_rows(state)),
    }


def device_counts(total: Tally) -> dict[str, int]:
    """Return the numbers of devices as a JSON object."""
    return {
        "planned": total.planned,
        "succeeded": total.succeeded,
        "failed": total.failed_final,
        "open": total.open,
    }


def heartbeat(state: State, now: float) -> dict[str, Any]:
    """Return the fields of the log line that is written once a minute where no live view is drawn."""
    wave = current_wave(state)
    fields: dict[str, Any] = {"campaignId": state.campaign.id}
    if wave is not None:
        fields["wave"] = state.plan.waves[wave.index].name
        fields["resolved"] = f"{wave.tally.resolved}/{wave.tally.planned}"
        fields["failed"] = wave.tally.failed
    return fields | {
        "jobs": state.jobs,
        "in_progress": devices_moving(state),
        "unknown": state.unknown,
        "waiting": waiting_for(state, now),
    }


def wave_rows(state: State) -> Iterator[dict[str, Any]]:
    """Yield the JSON object of each wave, for `status` and `run`."""
    for wave in state.waves:
        tally = wave.tally
        yield {
            "name": state.plan.waves[wave.index].name,
            "status": wave.status.value,
            "jobs": {"planned": wave.last - wave.first, "settled": wave.settled_batches},
            "counts": {
                "planned": tally.planned,
                "enrolled": tally.enrolled,
                "inProgress": moving(tally),
                "succeeded": tally.succeeded,
                "failed": tally.failed,
                "failedFinal": tally.failed_final,
                "resolved": tally.resolved,
                "open": tally.open,
            },
            "held": hold_text(wave.held),
            "heldCode": None if wave.held is None else wave.held.value,
            "evidence": wave_evidence(state, wave),
            "approvedBy": wave.approved_by,
        }
