"""`rollout plan`: what a campaign would do, shown and saved; nothing is sent."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from rollout.app.campaigns import Reader
from rollout.app.planning import DeviceSource, Prepared, open_or_compile
from rollout.cli.command_line import command_line
from rollout.cli.common import Common, command, refresh_option, url_option
from rollout.cli.console import Output, document
from rollout.cli.types import SEED, check_output_file
from rollout.core.campaign import Gate
from rollout.core.lifecycle import WaveStatus
from rollout.core.plan import Batch, Plan
from rollout.core.state import State, WaveState
from rollout.intake.saved_plan import PlanningReport
from rollout.settings import EMULATOR_URL, Profile, load_profile
from rollout.views.preview import FleetView, Preview, SearchView

WORK_TO_DO = 10

FORMS = ("json", "curl", "postman")

REQUESTS_SHOWN = "3"
"""Create calls shown where no number is asked for."""


def make_preview(prepared: Prepared, profile: Profile | None, speed: float = 1.0) -> Preview:
    """Return the preview of a prepared plan for a profile; without one, L and S have their defaults."""
    state = Reader(prepared.store, prepared.name).look().state
    to_come = [
        (wave, gate)
        for wave in state.waves
        if wave.status in {WaveStatus.WAITING, WaveStatus.OPEN} and (gate := state.gate_of(wave.index))
    ]
    bounds = profile or Profile(name="", url="")
    target = "" if profile is None else f"{'the emulator' if profile.in_process else profile.url} · "
    return Preview(
        plan=prepared.saved.plan,
        fleet=_fleet(prepared.saved.report),
        warnings=prepared.saved.report.warnings,
        path=str(prepared.path),
        target=target,
        created=state.jobs,
        latest_effect_s=bounds.latest_effect_s,
        search_lag_s=bounds.search_lag_s,
        now=time.time(),
        soak_s=sum(_soak_left(state, wave, gate) for wave, gate in to_come),
        approvals=sum(gate.approval and not wave.approved for wave, gate in to_come),
        closed=state.status.value if state.closed else "",
        speed=speed,
    )


def _fleet(report: PlanningReport) -> FleetView:
    """Return the planning report as a preview shows it."""
    searches = [
        SearchView(
            listing.source,
            "the emulator" if listing.url == EMULATOR_URL else listing.url,
            listing.url,
            listing.found,
            listing.asked_at,
        )
        for listing in report.listings
    ]
    return FleetView(report.rows, report.duplicates, report.excluded, report.filtered, searches)


def _soak_left(state: State, wave: WaveState, gate: Gate) -> float:
    """Return how long the gate still soaks at least, seconds on the campaign's clock."""
    if wave.satisfied_at is None:
        return gate.soak_s
    return max(0.0, wave.satisfied_at + gate.soak_s - state.last_at)


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
    preview = make_preview(prepared, profile)
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
    """Return the line that runs the saved plan where this preview says; without a profile only a rehearsal can be."""
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
    """Print the create calls of the batches asked for; a screen gets long bodies shortened, a file never does."""
    from rollout.app import create_calls  # noqa: PLC0415 - loads the wire models

    plan, manifest = prepared.saved.plan, prepared.saved.manifest
    console = common.console
    whole = console.columns(sys.stdout) is None
    chosen = [
        create_calls.shown(plan.campaign, batch, manifest) for batch in _batches_asked_for(plan, wanted, wave)
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
            told = [create_calls.request_json(request, url, whole=whole) for request in chosen]
            console.json("requests", campaignId=plan.campaign.id, batches=len(plan.batches), requests=told)
    if not whole and (form is create_calls.As.JSON or any(request.is_long for request in chosen)):
        console.note(f"note: shortened for the screen; whole with  {command_line(*arguments)} > FILE")


def _batches_asked_for(plan: Plan, wanted: str, wave: str | None) -> Sequence[Batch]:
    """Return the batch `WAVE/NNNN`, or the first `N` of the plan or of one wave."""
    waves = {planned.name: planned for planned in plan.waves}
    if wave is not None and wave not in waves:
        raise click.UsageError(f"--wave: no wave {wave!r}; there are {', '.join(waves)}")
    if re.fullmatch(r"[1-9][0-9]{0,6}", wanted):
        planned = None if wave is None else waves[wave]
        batches = plan.batches if planned is None else plan.batches[planned.first : planned.last]
        return batches[: int(wanted)]
    name, _, number = wanted.rpartition("/")
    found = waves.get(name)
    jobs = 0 if found is None else found.last - found.first
    if found is None or not re.fullmatch(r"[0-9]{1,9}", number) or not 1 <= int(number) <= jobs:
        known = ", ".join(
            f"{planned.name}/0001 to {planned.last - planned.first:04d}" for planned in plan.waves
        )
        raise click.UsageError(
            f"--show-requests: {wanted[:80]!r} is neither a number of calls nor a batch; there are {known}"
        )
    if wave not in (None, name):
        raise click.UsageError(f"--wave {wave} and --show-requests {wanted} are two waves")
    return [plan.batches[found.first + int(number) - 1]]
