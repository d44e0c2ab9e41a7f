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


_NAMES = {
    kind: tuple((f.name, _json_name(f.name)) for f in fields(event) if f.name not in {"at", "campaign_id"})
    for kind, event in e.EVENTS.items()
}


_NUMBERS = (int, float)
"""Types whose zero is shown. None, False, an empty text and an empty list are left out."""


def render(event: e.Event, plan: Plan, *, seq: int | None = None) -> LogRecord:
    """Return the log record of `event`; `seq` counts the records of one run, from 1."""
    data: dict[str, Any] = {"campaignId": plan.campaign.id}
    if seq is not None:
        data["seq"] = seq
    values = {
        shown: value
        for name, shown in _NAMES[event.kind]
        if (value := getattr(event, name)) or type(value) in _NUMBERS
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
    if isinstance(event, e.BatchCreateThrottled):
        values["code"] = 429  # flow control answers with nothing but this status
    if "missing" in values:
        values["missing"] = [batch_label(plan, index) for index in values["missing"]]
    data |= values
    return LogRecord(event.kind, level(event), event.at, data)
