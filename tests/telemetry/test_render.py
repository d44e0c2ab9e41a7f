"""Every event becomes one record with its own name, its place in the campaign, and a level that fits."""

from types import NoneType
from typing import get_args, get_type_hints

import pytest

from rollout.core import events as e
from rollout.core.reasons import BatchReason, HaltReason
from rollout.core.tally import Tally
from rollout.journal.format_1 import FIELDS
from rollout.telemetry.render import level, render

SAMPLES = {
    float: 2.0,
    int: 1,
    str: "text",
    bool: True,
    tuple[int, ...]: (1,),
    tuple[str, ...]: ("text",),
    Tally: Tally(10, 10, 0, 5, 1),
}


def sample(kind):
    """Return an event of this kind with every field set to something."""
    event = e.EVENTS[kind]
    values = {}
    for name, hint in get_type_hints(event).items():
        if name == "kind":
            continue
        inner = (
            next(part for part in (*get_args(hint), hint) if part is not NoneType)
            if NoneType in get_args(hint)
            else hint
        )
        values[name] = SAMPLES[inner] if inner in SAMPLES else next(iter(inner))
    if event is e.BatchParked:
        values["reason"] = BatchReason.PARK_ASKED
    return event(**values)


EPHEMERAL = {"tasks.count_failed": ("group",), "wave.audit_failed": ("wave",)}


def fields_of_old(kind):
    """Return the fields a record of this kind has had since 0.1.0, by the names of that time."""
    if kind in EPHEMERAL:
        return ("at", *EPHEMERAL[kind], "reason", "retry_at")
    required, optional = FIELDS[kind]
    return (*required, *optional)


@pytest.mark.parametrize("kind", e.EVENTS)
def test_every_event_is_told_with_its_name_and_place(plan, kind):
    """Name and campaign always; wave and batch by their names wherever the event has them; all fields flat."""
    event = sample(kind)
    record = render(event, plan, seq=7)
    assert record.name == kind
    assert record.at == 2.0
    assert record.fields["campaignId"] == "demo"
    assert record.fields["seq"] == 7
    if hasattr(event, "batch"):
        assert (record.fields["wave"], record.fields["batch"]) == ("canary", "canary/0002")
    elif hasattr(event, "wave"):
        assert record.fields["wave"] == "total"
    for name in fields_of_old(kind):
        if name not in ("at", "campaign_id", "elapsed_s"):
            first, *rest = name.split("_")
            assert first + "".join(word.capitalize() for word in rest) in record.fields
    assert not [value for value in record.fields.values() if isinstance(value, Tally)]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (e.TasksCounted(1.0, 0, 0.0, 1, 5, 0, 5, 0), "debug"),
        (e.BatchJobCreated(1.0, 0, 1, "j"), "info"),
        (e.BatchOutcomeUnknown(1.0, 0, 1, "lost"), "warning"),
        (e.BatchCreateThrottled(1.0, 0, 1, 2.0), "warning"),
        (e.BatchCreateRejected(1.0, 0, 1, 24404, "no such firmware"), "error"),
        (e.BatchCreateRejected(1.0, 0, 1, 24610, "not verified", retry_at=9.0), "warning"),
        (e.BatchParked(1.0, 0, BatchReason.PARK_ASKED), "error"),
        (e.CampaignHalted(1.0, HaltReason.STOP_RULE), "error"),
        (e.EngineStarted(1.0, "r", "1", 60.0, 5.0), "info"),
        (e.EngineStarted(1.0, "r", "1", 60.0, 5.0, paranoid=True), "warning"),
        (e.JobStopFailed(1.0, 0, "j", "lost", 5.0), "warning"),
        (e.JobStopFailed(1.0, 0, "j", "lost", None), "error"),
        (e.WaveAudited(1.0, 0, 0.5, 2), "info"),
        (e.WaveAudited(1.0, 0, 0.5, 2, foreign=("x",)), "error"),
    ],
)
def test_the_level_says_who_must_act(event, expected):
    """Info happened, warning is tried or looked at again, error needs a person."""
    assert level(event) == expected


def test_a_created_job_carries_what_support_asks_for(plan):
    """Job, request, attempt, devices and the call's time in milliseconds; empty fields are left out, zeros are not."""
    event = e.BatchJobCreated(1.0, 0, 2, "job-1", "req-1", elapsed_s=0.184)
    assert render(event, plan).fields == {
        "campaignId": "demo",
        "wave": "canary",
        "batch": "canary/0001",
        "devices": 5,
        "attempt": 2,
        "jobId": "job-1",
        "requestId": "req-1",
        "ms": 184,
    }
    assert render(e.TasksCounted(1.0, 0, 0.0, 1, 5, 0, 5, 0), plan).fields["failed"] == 0


def test_every_refusal_has_its_code(plan):
    """Flow control has no code of the service: its code is the HTTP status, as with other refusals of the gateway."""
    assert render(e.BatchCreateThrottled(1.0, 0, 3, 2.0, 7.0, 429), plan).fields == {
        "campaignId": "demo",
        "wave": "canary",
        "batch": "canary/0001",
        "attempt": 3,
        "retryAt": 2.0,
        "retryAfterS": 7.0,
        "code": 429,
    }
