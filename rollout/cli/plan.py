"""`rollout plan`: what a campaign would do, shown and saved; nothing is sent."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from rollout.app.planning import DeviceSource, Prepared, open_or_compile
from rollout.app.previewing import preview_of
from rollout.cli.command_line import command_line
from rollout.cli.common import Common, command, refresh_option, url_option
from rollout.cli.console import Output, document
from rollout.cli.types import SEED, check_output_file
from rollout.settings import Profile, load_profile

WORK_TO_DO = 10

FORMS = ("json", "curl", "postman")

REQUESTS_SHOWN = "3"
"""Create calls shown if no number is given."""


@command("plan")
@click.argument("plan_file", metavar="PLAN", type=click.Path(path_type=Path))
@click.option(
    "--devices",
    multiple=True,
    metavar="FILE",
    help="Device list instead of the plan's own ('-': standard input).",
)
@click.option("--seed", type=SEED, help="Draw the waves with this seed instead of the plan's.")
@url_option
@refresh_option
@click.option(
    "--waves-csv",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write which device is in which wave.",
)
@click.option(
    "--show-requests",
    is_flag=False,
    flag_value=REQUESTS_SHOWN,
    metavar="[N|WAVE/NNNN]",
    help=f"Print the first N create calls as they would be sent, or that of one batch.  [default: {REQUESTS_SHOWN}]",
)
@click.option("--wave", metavar="NAME", help="With --show-requests: those of this wave.")
@click.option(
    "--as",
    "form",
    type=click.Choice(FORMS),
    help="With --show-requests: as JSON, as a shell script that signs and sends, or to be imported by Postman.",
)
@click.option("--detailed-exitcode", is_flag=True, help="Exit 10 if there are jobs to create.")
@click.pass_context
def plan(
    ctx: click.Context,
    common: Common,
    *,
    plan_file: Path,
    devices: tuple[str, ...],
    seed: int | None,
    url: str | None,
    refresh: bool,
    waves_csv: Path | None,
    show_requests: str | None,
    wave: str | None,
    form: str | None,
    detailed_exitcode: bool,
) -> int:
    """Show what a campaign for PLAN would do, and save it so that exactly this can be run.

    Example: rollout plan plans/canary-then-total.yaml --waves-csv waves.csv
    """
    if waves_csv is not None:
        check_output_file(waves_csv, plan_file, *(Path(name) for name in devices if name != "-"))
    if show_requests is None and (wave is not None or form is not None):
        raise click.UsageError("--wave and --as go with --show-requests")
    console = common.console
    profile = load_profile(common.profile, config=common.config, url=url)
    source = DeviceSource(profile, refresh, console.note)
    prepared = open_or_compile(
        plan_file, common.open_store(), devices=devices, seed=seed, devices_from=source
    )
    if show_requests is not None:
        arguments = list(ctx.find_root().obj or ())
        _show_requests(
            common, prepared, profile, wanted=show_requests, wave=wave, form=form, arguments=arguments
        )
        return 0
    preview = preview_of(prepared, profile)
    if waves_csv is not None:
        from rollout.intake.saved_plan import write_waves_csv  # noqa: PLC0415 - only for those who ask

        write_waves_csv(prepared.saved, waves_csv)
    if console.output is Output.JSON:
        console.json("preview", **preview.document())
    else:
        written = [f"Wrote {waves_csv}"] if waves_csv is not None else []
        following = (
            [] if preview.closed else [f"Run exactly this:  {_run_line(common, prepared, profile, url)}"]
        )
        lines = preview.lines(console.columns(sys.stdout))
        console.result("\n".join([*lines, *written, *following]))
    return WORK_TO_DO if detailed_exitcode and preview.jobs_left else 0


def _run_line(common: Common, prepared: Prepared, profile: Profile | None, url: str | None) -> str:
    """Return the command line that runs the saved plan at this preview's platform; without a profile, on the emulator."""
    flags = [] if common.config is None else ["--config", str(common.config)]
    if profile is None:
        flags.append("--emulator")
    elif common.profile is not None:
        flags += ["--profile", common.profile]
    if url is not None:
        flags += ["--url", url]
    return command_line("run", str(prepared.path), *flags)


def _show_requests(
    common: Common,
    prepared: Prepared,
    profile: Profile | None,
    *,
    wanted: str,
    wave: str | None,
    form: str | None,
    arguments: Sequence[str],
) -> None:
    """Print the create calls of the batches asked for. Long bodies are shortened on a screen, never in a file."""
    from rollout.app import create_calls  # noqa: PLC0415 - loads the wire models

    plan, manifest = prepared.saved.plan, prepared.saved.manifest
    console = common.console
    whole = console.columns(sys.stdout) is None
    chosen = [
        create_calls.shown(plan.campaign, batch, manifest)
        for batch in create_calls.batches_asked_for(plan, wanted, wave)
    ]
    form = create_calls.As(form or create_calls.As.JSON)
    match form:
        case create_calls.As.CURL if console.is_json:
            raise click.UsageError("--as curl is a shell script: leave out --output json")
        case create_calls.As.CURL:
            lines = create_calls.curl_script(chosen, plan.campaign.id, profile, whole=whole)
            console.result("\n".join(lines))
        case create_calls.As.POSTMAN:
            console.result(document(create_calls.postman_collection(chosen, plan.campaign.id, profile)))
            return
        case create_calls.As.JSON:
            url = create_calls.base_url(profile)
            requests = [create_calls.create_call_json(request, url, whole=whole) for request in chosen]
            console.json(
                "requests", campaignId=plan.campaign.id, batches=len(plan.batches), requests=requests
            )
    if not whole and (form is create_calls.As.JSON or any(request.is_long for request in chosen)):
        console.note(f"note: shortened for the screen; whole with  {command_line(*arguments)} > FILE")
