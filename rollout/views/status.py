"""Where a campaign stands, for people and for programs: what `status` shows.

Made of the state and a few plain values (who carries the campaign out, which orders wait, what to do next), so that
a page shows the same as the command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rollout.core.lifecycle import CampaignStatus, WaveStatus
from rollout.core.state import State, WaveState
from rollout.core.tally import Tally
from rollout.text import count, counted, duration, iso_utc, local_time, percent, safe
from rollout.views.progress import (
    Marks,
    device_counts,
    devices_moving,
    in_doubt,
    waiting_for,
    waits_for_approval,
    wave_mark,
    wave_name,
    wave_rows,
    without_task,
)
from rollout.views.words import STATUSES, state_evidence, state_reason

NAME_WIDTH_MIN = 8
"""Columns of the first column at least: its labels `runner` and `queued` must fit."""


@dataclass(frozen=True, slots=True)
class RunnerView:
    """The process that carries the campaign out now. `since` and `beat_at`, its last sign of life, in epoch seconds."""

    host: str
    pid: int
    since: float
    beat_at: float


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order that no runner has taken yet. `kind` is its verb; `wave` is empty where the order is for no wave."""

    kind: str
    by: str
    id: str
    wave: str = ""


@dataclass(frozen=True, slots=True)
class StepView:
    """One thing to do next: what for, and the command line that does it."""

    purpose: str
    line: str

    def __str__(self) -> str:
        return f"{self.purpose}:  {self.line}"


@dataclass(frozen=True, slots=True)
class StatusView:
    """All that `status` shows. `runner` is None when no runner lives; `now` in epoch seconds, on people's clock."""

    state: State
    runner: RunnerView | None
    orders: Sequence[OrderView]
    steps: Sequence[StepView]
    now: float

    def standing(self) -> str:
        """Return in one phrase where the campaign stands."""
        state = self.state
        match state.status:
            case CampaignStatus.NEW:
                return "planned, never run"
            case CampaignStatus.RUNNING if waits_for_approval(state):
                return "waiting for approval"
            case CampaignStatus.RUNNING:
                how = "unfinished" if self.runner is None else "running"
                return f"{how}, waiting for {waiting_for(state, state.last_at)}"
            case _:
                same = state.reason == state.status.value
                reason, evidence = "" if same else state_reason(state), state_evidence(state)
                reason = f": {safe(reason)}" if reason else ""
                evidence = f" ({safe(evidence)})" if evidence else ""
                return f"{STATUSES[state.status]}{reason}{evidence}"

    def lines(self, marks: Marks) -> list[str]:
        """Return the status as lines of text: head, runner, one line a wave, what needs a person, orders, next steps."""
        state = self.state
        width = max(NAME_WIDTH_MIN, *(len(wave_name(state, wave)) for wave in state.waves))

        def row(label: str, text: str) -> str:
            return f"{label:<{width + 4}}{text}"

        lines = [f"{state.campaign.id}  {self.standing()}", row("runner", self._runner())]
        if state.started_at:
            lines.append(row("last", f"{local_time(state.last_at)} (on the campaign's clock)"))
        lines += [
            f" {wave_mark(state, wave, marks):<2} {wave_name(state, wave):<{width}}{_counts(wave)}"
            for wave in state.waves
        ]
        if state.unknown:
            lines.append(row("", f"{counted(state.unknown, 'create')} of unknown outcome"))
        lines += [row("", line) for line in in_doubt(state)]
        lines += [row("queued", f"{order_text(order)} (not taken yet)") for order in self.orders]
        lines += [
            row("" if place else "next", f"{step.purpose.lower()}:  {step.line}")
            for place, step in enumerate(self.steps)
        ]
        return [line.replace("·", marks.dot) for line in lines]

    def document(self) -> dict[str, Any]:
        """Return the status as the content of a JSON document."""
        state = self.state
        runner = self.runner
        total = state.tally()
        return {
            "campaignId": state.campaign.id,
            "status": state.status.value,
            "standing": self.standing(),
            "waitingFor": "approval" if waits_for_approval(state) else waiting_for(state, state.last_at),
            "reason": state_reason(state),
            "reasonCode": state.reason or None,
            "evidence": state_evidence(state),
            "planDigest": state.plan.digest,
            **_moment("startedAt", state.started_at),
            **_moment("lastEventAt", state.last_at),
            **_moment("endedAt", state.ended_at),
            **_moment("asOf", state.last_count_at),
            "runner": None
            if runner is None
            else {
                "host": runner.host,
                "pid": runner.pid,
                **_moment("since", runner.since),
                **_moment("beatAt", runner.beat_at),
            },
            "leftInGoodOrder": state.clean or state.closed,
            "jobs": {
                "planned": len(state.plan.batches),
                "created": state.jobs,
                "unknown": state.unknown,
                "parked": len(state.parked),
                "rejected": len(state.rejected),
                "adopted": state.adopted,
                "duplicated": len(state.duplicated),
                "notStopped": len(state.brakes_failed),
            },
            "devices": device_counts(total) | {"inProgress": devices_moving(state)},
            "waves": list(wave_rows(state)),
            "orders": [{"order": order.kind, "by": order.by, "id": order.id} for order in self.orders],
            "next": next((step.line for step in self.steps), ""),
        }

    def _runner(self) -> str:
        state, runner = self.state, self.runner
        if runner is not None:
            return (
                f"{safe(runner.host)} pid {runner.pid}, wrote last {duration(self.now - runner.beat_at)} ago"
            )
        if state.status is CampaignStatus.NEW:
            return "none yet"
        if state.clean or state.closed:
            return "none alive; the last one left in good order"
        return "none alive; the last one died"


def order_text(order: OrderView) -> str:
    """Return an order in words: `approve canary by ana@ops-1`."""
    wave = f" {safe(order.wave)}" if order.wave else ""
    return f"{order.kind}{wave} by {safe(order.by)}"


def _counts(wave: WaveState) -> str:
    tally = wave.tally
    if wave.status is WaveStatus.WAITING:
        return f"{count(wave.devices)} planned · {counted(wave.last - wave.first, 'job')}"
    parts = [f"{count(tally.planned)} planned"]
    if tally.planned:
        share = percent(Tally.share(tally.resolved, tally.planned))
        parts.append(f"{count(tally.resolved)} resolved {share}")
    if tally.resolved:
        share = percent(Tally.share(tally.succeeded, tally.resolved))
        parts.append(f"{count(tally.succeeded)} ok {share} of resolved")
    parts += [f"{count(tally.failed)} failed", f"{count(tally.open)} open"]
    if missing := without_task(wave):
        parts.append(f"{count(missing)} without a task")
    return " · ".join(parts)


def _moment(name: str, at: float | None) -> dict[str, Any]:
    """Return a moment as two fields, epoch milliseconds and ISO 8601; both None where there is none."""
    if not at:
        return {name: None, f"{name}Iso": None}
    return {name: round(at * 1000), f"{name}Iso": iso_utc(at)}
