"""`rollout jobs`: the jobs that were created, with their ids in EnOS, and what went wrong with the others."""

from __future__ import annotations

import click

from rollout.cli.command_line import command_line
from rollout.cli.common import Common, command
from rollout.cli.console import Output, document
from rollout.core.lifecycle import BatchStatus
from rollout.views.jobs import job_rows, jobs_csv, jobs_table


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
    seen = common.reader(campaign).look()
    names = [planned.name for planned in seen.plan.waves]
    if wave is not None and wave not in names:
        raise click.UsageError(f"--wave: no wave {wave!r}; there are {', '.join(names)}")
    rows = job_rows(seen.state, wave=None if wave is None else names.index(wave), status=wanted)
    console = common.console
    match console.output:
        case Output.JSON:
            console.json("jobs", campaignId=seen.plan.campaign.id, jobs=list(rows))
        case Output.NDJSON:
            for row in rows:
                console.result(document(row, indent=None))
        case Output.CSV:
            console.result(jobs_csv(rows, raw=raw_csv))
        case Output.TEXT:
            shown = list(rows)
            console.result("\n".join(jobs_table(shown)))
            if any(row["code"] is not None for row in shown):
                console.note(f"What a code means:  {command_line('explain', 'CODE')}")
