"""Rows of journal format 1, read into the events of today.

Everything here is pinned: which fields a row of format 1 has, what an absent one means, and which sentence stands for which
code. It describes what was written between 0.1.0 and format 2 and does not change with the program.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Row = dict[str, Any]

FIELDS: Mapping[str, tuple[tuple[str, ...], Mapping[str, Any]]] = {
    "campaign.started": (("at", "campaign_id", "plan_digest", "devices", "batches", "waves"), {}),
    "engine.started": (("at", "runner", "version", "latest_effect_s", "search_lag_s"), {"paranoid": False}),
    "engine.stopped": (("at", "reason"), {}),
    "wave.opened": (("at", "wave"), {}),
    "batch.create_sent": (("at", "batch", "attempt", "name"), {}),
    "batch.job_created": (
        ("at", "batch", "attempt", "job_id"),
        {"request_id": "", "adopted": False, "elapsed_s": 0.0},
    ),
    "batch.create_unsent": (("at", "batch", "attempt", "reason", "retry_at"), {"withheld": False}),
    "batch.create_throttled": (("at", "batch", "attempt", "retry_at"), {"retry_after_s": None}),
    "batch.create_rejected": (
        ("at", "batch", "attempt", "code", "message"),
        {"request_id": "", "retry_at": None, "credentials": False},
    ),
    "batch.outcome_unknown": (
        ("at", "batch", "attempt", "reason"),
        {"code": None, "http_status": None, "request_id": ""},
    ),
    "batch.lookup_inconclusive": (("at", "batch", "reason", "retry_at"), {}),
    "batch.resend_allowed": (("at", "batch", "searched_at", "retry_at"), {}),
    "batch.parked": (("at", "batch", "reason"), {"exposed": False}),
    "batch.job_duplicated": (("at", "batch", "kept", "others"), {}),
    "tasks.counted": (
        ("at", "group", "asked_at", "jobs", "enrolled", "in_progress", "succeeded", "failed"),
        {},
    ),
    "wave.audited": (("at", "wave", "began_at", "seen"), {"missing": (), "foreign": ()}),
    "gate.held": (("at", "wave", "reason"), {"evidence": "", "until": None}),
    "gate.satisfied": (("at", "wave", "evidence"), {}),
    "gate.unsatisfied": (("at", "wave", "evidence"), {}),
    "gate.passed": (("at", "wave", "evidence"), {}),
    "wave.finished": (("at", "wave", "stragglers"), {}),
    "approval.given": (("at", "wave", "by"), {"comment": "", "request": ""}),
    "campaign.paused": (("at", "by"), {"reason": "", "request": ""}),
    "campaign.resumed": (("at", "by"), {"reason": "", "request": ""}),
    "campaign.halted": (("at", "reason"), {"evidence": "", "wave": None, "gate": False}),
    "campaign.stalled": (("at", "wave", "evidence"), {}),
    "campaign.abort_requested": (
        ("at", "by"),
        {"reason": "", "stop_jobs": False, "cancel_pending": False, "request": ""},
    ),
    "job.stopped": (("at", "batch", "job_id"), {}),
    "job.tasks_cancelled": (("at", "batch", "job_id", "cancelled", "moving"), {}),
    "job.stop_failed": (("at", "batch", "job_id", "reason", "retry_at"), {}),
    "campaign.aborted": (("at",), {}),
    "campaign.finished": (("at",), {}),
}
"""For each kind of event: fields that are always there, and the others with what their absence means."""

HOLDS = {
    "jobs are being created": "creating",
    "cannot tell: too few devices resolved": "sample",
    "devices": "coverage",
    "success": "success",
    "soak": "soak",
    "approval": "approval",
    "audit of the wave's jobs": "audit",
    "cannot tell: counts are old": "stale",
}
VERDICTS = {
    "stop rule": "stop_rule",
    "thresholds out of reach": "out_of_reach",
    "deadline": "deadline",
}
HALTS = VERDICTS | {
    "create refused": "create_refused",
    "batches parked": "batches_parked",
    "job duplicated": "job_duplicated",
    "foreign jobs": "foreign_jobs",
    "jobs missing": "jobs_missing",
}
STOPS = frozenset({"halted", "waiting", "reached", "interrupted"})
LOOKUPS = {"not found yet": "too_early", "the search was not complete": "incomplete"}
PARKED = (
    (re.compile(r"not found by name, but its devices have tasks in job .*", re.DOTALL), "witnessed"),
    (re.compile(r"not found, and the plan says park"), "park_asked"),
    (re.compile(r"not found after [0-9]+ doubtful attempts"), "too_often"),
)
GATE = "gate of wave "
"""How an order to abort names the gate it came from."""


def upgrade(kind: str, row: Row) -> Row:
    """Return a row of format 1 as one of today. Raises ValueError for a text that format 1 does not know.

    Fields it lacks are filled; fields it should not have are left for the caller to refuse.
    """
    _, optional = FIELDS[kind]
    return _UPGRADES.get(kind, _as_it_is)({**optional, **row})


def _as_it_is(row: Row) -> Row:
    return row


def _message(row: Row) -> Row:
    return _renamed(row, "reason", "message")


def _renamed(row: Row, old: str, new: str) -> Row:
    return {new if name == old else name: value for name, value in row.items()}


def _stopped(row: Row) -> Row:
    text = row["reason"]
    if text in STOPS:
        return row
    if text.startswith("signal "):
        return row | {"reason": "signal", "message": text.removeprefix("signal ")}
    return row | {"reason": "gave_up", "message": text}


def _looked(row: Row) -> Row:
    code = LOOKUPS.get(row["reason"])
    return row | ({"reason": "failed", "message": row["reason"]} if code is None else {"reason": code})


def _parked(row: Row) -> Row:
    text = row["reason"]
    for pattern, code in PARKED:
        if pattern.fullmatch(text):
            return row | {"reason": code, "message": text}
    raise ValueError("a reason of format 1")


def _code(row: Row, codes: Mapping[str, str]) -> Row:
    code = codes.get(row["reason"])
    if code is None:
        raise ValueError("a reason of format 1")
    return row | {"reason": code}


def _held(row: Row) -> Row:
    return _code(row, HOLDS)


def _halted(row: Row) -> Row:
    return _code(row, HALTS)


def _abort(row: Row) -> Row:
    """Tell a gate's verdict from a person's order: only a gate is named so, and only with these reasons."""
    reason, colon, evidence = row["reason"].partition(": ")
    if not row["by"].startswith(GATE) or not colon or reason not in VERDICTS:
        return row
    return row | {"reason": "", "halt": VERDICTS[reason], "evidence": evidence}


def _cancelled(row: Row) -> Row:
    return row | {"decided": False}


_UPGRADES: Mapping[str, Callable[[Row], Row]] = {
    "engine.stopped": _stopped,
    "batch.create_unsent": _message,
    "batch.outcome_unknown": _message,
    "batch.lookup_inconclusive": _looked,
    "batch.parked": _parked,
    "gate.held": _held,
    "campaign.halted": _halted,
    "campaign.abort_requested": _abort,
    "job.tasks_cancelled": _cancelled,
    "job.stop_failed": _message,
}
