"""`rollout jobs`: what was created, with the ids one pastes into the console, and what went wrong where."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

import click

from rollout.cli.campaigns import Reader, find_campaign
from rollout.cli.command_line import command_line
from rollout.cli.common import Common, command
from rollout.cli.console import Output, document
from rollout.core.lifecycle import BatchStatus
from rollout.core.names import batch_name
from rollout.core.plan import batch_label
from rollout.core.state import BatchState, State
from rollout.text import clipped, count, safe

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
MESSAGE_WIDTH = 40
"""Columns of a message in the table; the other forms give all of it."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a cell for a formula."""


@command("jobs", outputs=(Output.TEXT, Output.JSON, Output.NDJSON, Output.CSV))
@click.argument("campaign", required=False)
@click.option("--wave", metavar="NAME", help="Only this wave.")
@click.option(
    "--state",
    "wanted",
    type=click.Choice([str(state) for state in BatchStatus]),
    help="Only batches in this state.",
)
@click.option(
    "--raw-csv", is_flag=True, help="CSV for programs: no quote before cells a spreadsheet would compute."
)
def jobs(
    common: Common, *, campaign: str | None, wave: str | None, wanted: str | None, raw_csv: bool
) -> None:
    """List the batches of CAMPAIGN that were tried, each with its job; planned ones with --state planned.

    Example: rollout jobs inverter-2-1-0 --wave early --state rejected
    """
    seen = Reader(find_campaign(common.state_dir, campaign)).look()
    names = [planned.name for planned in seen.plan.waves]
    if wave is not None and wave not in names:
        raise click.UsageError(f"--wave: no wave {wave!r}; there are {', '.join(names)}")
    rows = _rows(seen.state, None if wave is None else names.index(wave), wanted)
    console = common.console
    match console.output:
        case Output.JSON:
            console.json("jobs", campaignId=seen.plan.campaign.id, jobs=list(rows))
        case Output.NDJSON:
            for row in rows:
                console.result(document(row, indent=None))
        case Output.CSV:
            console.result(_csv(rows, raw=raw_csv))
        case Output.TEXT:
            shown = list(rows)
            console.result("\n".join(_table(shown)))
            if any(row["code"] is not None for row in shown):
                console.note(f"What a code means:  {command_line('explain', 'CODE')}")


def _rows(state: State, wave: int | None, wanted: str | None) -> Iterator[dict[str, Any]]:
    """Yield one row a batch, in plan order."""
    indexes = range(len(state.plan.batches)) if wanted == BatchStatus.PLANNED else sorted(state.batches)
    untouched = BatchState()
    for index in indexes:
        planned = state.plan.batches[index]
        batch = state.batches.get(index, untouched)
        if (wave is not None and planned.wave != wave) or (wanted is not None and batch.status != wanted):
            continue
        yield {
            "batch": batch_label(state.plan, index),
            "wave": state.plan.waves[planned.wave].name,
            "name": batch_name(state.campaign.id, planned),
            "state": batch.status.value,
            "jobId": batch.job_id,
            "devices": planned.devices,
            "code": batch.code,
            "message": batch.reason,
            "attempts": batch.attempt,
            "requestId": batch.request_id,
            "adopted": batch.adopted,
        }


def _table(rows: Iterable[dict[str, Any]]) -> list[str]:
    head = ("BATCH", "STATE", "JOB ID", "DEVICES", "CODE", "MESSAGE", "ATTEMPTS", "REQUEST ID")
    cells = [
        (
            safe(row["batch"]),
            row["state"],
            safe(row["jobId"]) or "-",
            count(row["devices"]),
            "-" if row["code"] is None else str(row["code"]),
            clipped(safe(row["message"]), MESSAGE_WIDTH) or "-",
            str(row["attempts"]),
            safe(row["requestId"]) or "-",
        )
        for row in rows
    ]
    right = {3, 6}
    widths = [max(len(line[place]) for line in (head, *cells)) for place in range(len(head))]
    return [
        "  ".join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in (head, *cells)
    ]


def _csv(rows: Iterator[dict[str, Any]], *, raw: bool) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        cells = ["" if row[column] is None else safe(str(row[column])) for column in COLUMNS]
        writer.writerow(
            cells if raw else [f"'{cell}" if cell.startswith(FORMULA) else cell for cell in cells]
        )
    return text.getvalue().removesuffix("\n")
