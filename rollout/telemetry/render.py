"""Event → log record: its name, its level, and its data as flat fields.

The record's name is the event's kind. Levels: *info* happened, *warning* will be tried again or looked at again,
*error* needs a person. Every record says which campaign, and, where it applies, which wave, batch, attempt, job,
request and code. No event holds a device key, so no log does.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, NamedTuple, assert_never

from rollout.core import events as e
from rollout.core.plan import Plan, batch_label
from rollout.views.words import (
    abort_by,
    abort_text,
    evidence_text,
    halt_text,
    hold_text,
    lookup_text,
    parked_text,
    stop_text,
)


class LogRecord(NamedTuple):
    """One log record: `at` in epoch seconds, `fields` flat and JSON-like."""

    name: str
    level: str
    at: float
    fields: dict[str, Any]


def level(event: e.Event) -> str:
    """Return `debug`, `info`, `warning` or `error`."""
    match event:
        # the two most frequent events stand first
        case e.BatchCreateSent() | e.TasksCounted():
            # too many for a person to follow; what they lead to is logged as well
            return "debug"
        case e.BatchJobCreated():
            return "info"
        case e.BatchCreateRejected():
            return "error" if event.retry_at is None else "warning"
        case e.JobStopFailed():
            return "error" if event.retry_at is None else "warning"
        case e.WaveAudited():
            return "error" if event.missing or event.foreign else "info"
        case e.EngineStarted():
            return "warning" if event.paranoid else "info"
        case e.BatchParked() | e.BatchJobDuplicated() | e.CampaignHalted():
            return "error"
        case (
            e.BatchCreateUnsent()
            | e.BatchCreateThrottled()
            | e.BatchOutcomeUnknown()
            | e.BatchLookupInconclusive()
            | e.BatchResendAllowed()
            | e.TasksCountFailed()
            | e.WaveAuditFailed()
            | e.GateUnsatisfied()
            | e.CampaignPaused()
            | e.CampaignStalled()
            | e.CampaignAbortRequested()
        ):
            return "warning"
        case (
            e.CampaignStarted()
            | e.EngineStopped()
            | e.WaveOpened()
            | e.GateHeld()
            | e.GateSatisfied()
            | e.GatePassed()
            | e.WaveFinished()
            | e.ApprovalGiven()
            | e.CampaignResumed()
            | e.JobStopped()
            | e.JobTasksCancelled()
            | e.CampaignAborted()
            | e.CampaignFinished()
        ):
            return "info"
        case _:
            assert_never(event)


def _json_name(name: str) -> str:
    """Return a field's name as logs and JSON results write it: `job_id` is `jobId`, as EnOS has it."""
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


_REASONS = frozenset(
    {
        e.BatchCreateUnsent.kind,
        e.BatchOutcomeUnknown.kind,
        e.TasksCountFailed.kind,
        e.WaveAuditFailed.kind,
        e.JobStopFailed.kind,
    }
)
"""Events whose `message` is logged as `reason`."""
_REASONED = frozenset({e.GateHeld.kind, e.CampaignHalted.kind})
"""Events whose reason and evidence are logged first."""
_LEFT_OUT = {
    e.CampaignStarted.kind: {"group_sizes", "first_count_s"},
    e.EngineStopped.kind: {"message"},
    e.BatchOutcomeUnknown.kind: {"look_at"},
    e.BatchLookupInconclusive.kind: {"message"},
    e.BatchParked.kind: {"jobs", "doubts", "message"},
    e.TasksCounted.kind: {"enrolled_final", "retries_over", "next_at"},
    e.WaveAudited.kind: {"retry_at"},
    e.GateHeld.kind: {"tally", "overridden"},
    e.GateSatisfied.kind: {"tally"},
    e.GateUnsatisfied.kind: {"tally"},
    e.GatePassed.kind: {"tally", "overridden"},
    e.CampaignHalted.kind: {
        *("tally", "settled", "number", "names"),
        *("code", "message", "request_id"),
    },
    e.CampaignStalled.kind: {"exposure"},
    e.CampaignAbortRequested.kind: {"halt", "tally", "settled", "evidence"},
    e.JobTasksCancelled.kind: {"again_at", "decided"},
}
"""Fields that are not logged: when to look again, and the numbers of which `_words` makes a sentence."""


def _names(event: type[e.Event]) -> tuple[tuple[str, str], ...]:
    """Return the fields of an event that are logged, each with its name in the record."""
    left_out = {"at", "campaign_id", *_LEFT_OUT.get(event.kind, ())}
    logged = [
        (f.name, "reason" if f.name == "message" and event.kind in _REASONS else _json_name(f.name))
        for f in fields(event)
        if f.name not in left_out
    ]
    if event.kind not in _REASONED:
        return tuple(logged)
    first = ("wave", "reason", "evidence")
    return tuple(sorted(logged, key=lambda pair: first.index(pair[0]) if pair[0] in first else len(first)))


_NAMES = {kind: _names(event) for kind, event in e.EVENTS.items()}


def _words(event: e.Event, plan: Plan) -> dict[str, str]:
    """Return the fields of an event that are logged as sentences, made of its codes and numbers."""
    match event:
        case e.EngineStopped():
            return {"reason": stop_text(event)}
        case e.BatchLookupInconclusive():
            return {"reason": lookup_text(event)}
        case e.BatchParked():
            return {"reason": parked_text(event)}
        case e.GateHeld():
            return {"reason": hold_text(event.reason), "evidence": evidence_text(event, plan)}
        case e.GateSatisfied() | e.GateUnsatisfied() | e.GatePassed() | e.CampaignStalled():
            return {"evidence": evidence_text(event, plan)}
        case e.CampaignHalted():
            return {"reason": halt_text(event.reason), "evidence": evidence_text(event, plan)}
        case e.CampaignAbortRequested():
            return {"by": abort_by(event, plan), "reason": abort_text(event, plan)}
        case _:
            return {}


_NUMBERS = (int, float)
"""Types whose zero is shown. None, False, an empty text and an empty list are left out."""


def render(event: e.Event, plan: Plan, *, seq: int | None = None) -> LogRecord:
    """Return the log record of `event`; `seq` counts the records of one run, from 1."""
    data: dict[str, Any] = {"campaignId": plan.campaign.id}
    if seq is not None:
        data["seq"] = seq
    words = _words(event, plan) if event.kind in _LEFT_OUT else {}
    values: dict[str, Any] = {
        shown: value
        for name, shown in _NAMES[event.kind]
        if (value := words.get(shown) or getattr(event, name)) or type(value) in _NUMBERS
    }
    batch = values.pop("batch", None)
    wave = values.pop("wave", None)
    if batch is not None:
        planned = plan.batches[batch]
        data["wave"] = plan.waves[planned.wave].name
        data["batch"] = batch_label(plan, batch)
        if isinstance(event, e.BatchJobCreated):
            data["devices"] = planned.devices
    elif wave is not None:
        data["wave"] = plan.waves[wave].name
    if isinstance(event, e.BatchJobCreated):
        elapsed_s = values.pop("elapsedS")
        if not event.adopted:  # a job that was found by a search has no create call to be timed
            values["ms"] = round(elapsed_s * 1000)
    if "missing" in values:
        values["missing"] = [batch_label(plan, index) for index in values["missing"]]
    data |= values
    return LogRecord(event.kind, level(event), event.at, data)
