"""The batches of a campaign with their jobs: rows, and the rows as a table or as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

from rollout.core.lifecycle import BatchStatus
from rollout.core.names import batch_name
from rollout.core.plan import batch_label
from rollout.core.state import BatchState, State
from rollout.text import clipped, count, safe
from rollout.views.words import BATCHES, batch_text

COLUMNS = (
    "batch",
    "wave",
    "name",
    "state",
    "jobId",
    "devices",
    "code",
    "message",
    "attempts",
    "requestId",
    "adopted",
)
"""The fields of a row, in the order of the CSV."""

HEAD = ("BATCH", "STATE", "JOB ID", "DEVICES", "CODE", "MESSAGE", "ATTEMPTS", "REQUEST ID")
NUMBERS = frozenset({"DEVICES", "ATTEMPTS"})
"""Columns of the table that are aligned to the right."""

MESSAGE_WIDTH = 40
"""Columns of a message in the table at most; the other forms give all of it. Our choice."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters that make a spreadsheet take a cell for a formula. Source: OWASP, CSV Injection."""


def job_rows(state: State, *, wave: int | None = None, status: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield one row a batch, in plan order: the batches that were tried, or those in `status` alone.

    Args:
        wave: index of the only wave that is shown; None shows all.
        status: a `BatchStatus`; planned batches, which nobody tried, are shown only where it asks for them.
    """
    indexes = range(len(state.plan.batches)) if status == BatchStatus.PLANNED else sorted(state.batches)
    untouched = BatchState()
    for index in indexes:
        planned = state.plan.batches[index]
        batch = state.batches.get(index, untouched)
        if (wave is not None and planned.wave != wave) or (status is not None and batch.status != status):
            continue
        yield {
            "batch": batch_label(state.plan, index),
            "wave": state.plan.waves[planned.wave].name,
            "name": batch_name(state.campaign.id, planned),
            "state": batch.status.value,
            "jobId": batch.job_id,
            "devices": planned.devices,
            "code": batch.code,
            "message": batch_text(batch),
            "reasonCode": None if batch.reason is None else batch.reason.value,
            "attempts": batch.attempt,
            "requestId": batch.request_id,
            "adopted": batch.adopted,
        }


def jobs_table(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Return the rows as lines of text, the columns' names first; each column is as wide as its widest cell."""
    cells = [
        (
            safe(row["batch"]),
            BATCHES[row["state"]],
            safe(row["jobId"]) or "-",
            count(row["devices"]),
            "-" if row["code"] is None else str(row["code"]),
            clipped(safe(row["message"]), MESSAGE_WIDTH) or "-",
            str(row["attempts"]),
            safe(row["requestId"]) or "-",
        )
        for row in rows
    ]
    widths = [max(len(line[place]) for line in (HEAD, *cells)) for place in range(len(HEAD))]
    return [
        "  ".join(
            cell.rjust(width) if name in NUMBERS else cell.ljust(width)
            for name, cell, width in zip(HEAD, line, widths, strict=True)
        ).rstrip()
        for line in (HEAD, *cells)
    ]


def jobs_csv(rows: Iterable[dict[str, Any]], *, raw: bool) -> str:
    """Return the rows as CSV with a header, without a last line feed.

    Args:
        raw: leave cells as they are; otherwise a quote stands before a cell that a spreadsheet would compute.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        cells = ["" if row[column] is None else safe(str(row[column])) for column in COLUMNS]
        writer.writerow(
            cells if raw else [f"'{cell}" if cell.startswith(FORMULA) else cell for cell in cells]
        )
    return text.getvalue().removesuffix("\n")
