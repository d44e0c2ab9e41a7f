"""Transition tables of campaign, wave and batch.

Every state has a row; a final state has an empty one. A row maps the kind of event to the next state; an
event that a row lacks is a programming error in that state; it is never ignored. The *reason* for a state is a
field of the event, not a state of its own.

A batch's table is the creation protocol. `SENT` means: the intent is durable and the outcome is not known
yet. It leads back to `PLANNED` only through a definite answer that nothing took effect (unsent, throttled,
a refusal that waits) and never through doubt; doubt leads to `UNKNOWN`, and from there back to `PLANNED`
only by `batch.resend_allowed`, whose conditions are in `core.retry`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from rollout.core import events as ev


class CampaignStatus(StrEnum):
    """Where the campaign as a whole stands."""

    NEW = "new"
    RUNNING = "running"
    PAUSED = "paused"
    HALTED = "halted"
    ABORTING = "aborting"
    ABORTED = "aborted"
    FINISHED = "finished"


class WaveStatus(StrEnum):
    """Where one wave stands; `PASSED` lets the next one open, `FINISHED` awaits nothing more."""

    WAITING = "waiting"
    OPEN = "open"
    PASSED = "passed"
    FINISHED = "finished"


class BatchStatus(StrEnum):
    """Where one batch stands."""

    PLANNED = "planned"
    SENT = "sent"
    UNKNOWN = "unknown"
    CREATED = "created"
    REJECTED = "rejected"
    PARKED = "parked"
    DUPLICATED = "duplicated"


S = TypeVar("S", bound=StrEnum)

_C, _W, _B = CampaignStatus, WaveStatus, BatchStatus

CAMPAIGN: Mapping[CampaignStatus, Mapping[str, CampaignStatus]] = {
    _C.NEW: {ev.CampaignStarted.kind: _C.RUNNING},
    _C.RUNNING: {
        ev.CampaignPaused.kind: _C.PAUSED,
        ev.CampaignResumed.kind: _C.RUNNING,
        ev.CampaignHalted.kind: _C.HALTED,
        ev.CampaignAbortRequested.kind: _C.ABORTING,
        ev.CampaignFinished.kind: _C.FINISHED,
    },
    _C.PAUSED: {
        ev.CampaignPaused.kind: _C.PAUSED,
        ev.CampaignResumed.kind: _C.RUNNING,
        ev.CampaignHalted.kind: _C.HALTED,
        ev.CampaignAbortRequested.kind: _C.ABORTING,
    },
    _C.HALTED: {
        ev.CampaignPaused.kind: _C.HALTED,
        ev.ApprovalGiven.kind: _C.RUNNING,  # a person lets the gate pass that halted the campaign
        ev.CampaignResumed.kind: _C.RUNNING,
        ev.CampaignHalted.kind: _C.HALTED,
        ev.CampaignAbortRequested.kind: _C.ABORTING,
    },
    _C.ABORTING: {
        ev.CampaignAbortRequested.kind: _C.ABORTING,
        ev.CampaignAborted.kind: _C.ABORTED,
    },
    _C.ABORTED: {},
    _C.FINISHED: {},
}

WAVE: Mapping[WaveStatus, Mapping[str, WaveStatus]] = {
    _W.WAITING: {ev.WaveOpened.kind: _W.OPEN},
    _W.OPEN: {ev.GatePassed.kind: _W.PASSED},
    _W.PASSED: {ev.WaveFinished.kind: _W.FINISHED},
    # a parked batch is tried again, so the wave waits for it again
    _W.FINISHED: {ev.EngineStarted.kind: _W.PASSED, ev.CampaignResumed.kind: _W.PASSED},
}

BATCH: Mapping[BatchStatus, Mapping[str, BatchStatus]] = {
    _B.PLANNED: {
        ev.BatchCreateSent.kind: _B.SENT,
        # an audit after a lost journal finds a job that this journal does not have
        ev.BatchJobCreated.kind: _B.CREATED,
        ev.BatchJobDuplicated.kind: _B.DUPLICATED,
    },
    _B.SENT: {
        ev.BatchJobCreated.kind: _B.CREATED,
        ev.BatchCreateUnsent.kind: _B.PLANNED,
        ev.BatchCreateThrottled.kind: _B.PLANNED,
        ev.BatchCreateRejected.kind: _B.REJECTED,  # to PLANNED instead where the refusal waits for a condition
        ev.BatchOutcomeUnknown.kind: _B.UNKNOWN,
        ev.EngineStarted.kind: _B.UNKNOWN,
    },
    _B.UNKNOWN: {
        ev.BatchJobCreated.kind: _B.CREATED,
        ev.BatchJobDuplicated.kind: _B.DUPLICATED,
        ev.BatchLookupInconclusive.kind: _B.UNKNOWN,
        ev.BatchResendAllowed.kind: _B.PLANNED,
        ev.BatchParked.kind: _B.PARKED,
        ev.EngineStarted.kind: _B.UNKNOWN,
    },
    # a new life may bring other credentials; any other refusal waits for a person
    _B.REJECTED: {ev.CampaignResumed.kind: _B.PLANNED, ev.EngineStarted.kind: _B.PLANNED},
    _B.PARKED: {
        ev.CampaignResumed.kind: _B.UNKNOWN,
        ev.EngineStarted.kind: _B.UNKNOWN,
        ev.BatchJobCreated.kind: _B.CREATED,
        ev.BatchJobDuplicated.kind: _B.DUPLICATED,
    },
    _B.CREATED: {ev.BatchJobDuplicated.kind: _B.DUPLICATED},
    _B.DUPLICATED: {ev.BatchJobDuplicated.kind: _B.DUPLICATED},
}


def step(table: Mapping[S, Mapping[str, S]], now: S, kind: str) -> S:
    """Return the state after an event of `kind`. Raises AssertionError for a transition the table lacks."""
    after = table[now].get(kind)
    assert after is not None, f"{kind} cannot happen in state {now}"
    return after
