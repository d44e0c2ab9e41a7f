"""`rollout plan`: what a campaign would do, shown and saved; nothing is sent."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

import click

from rollout.cli.campaigns import Reader
from rollout.cli.command_line import command_line
from rollout.cli.common import Common, command
from rollout.cli.console import Output, document
from rollout.cli.planning import Prepared, open_or_compile
from rollout.cli.preview import Preview
from rollout.cli.types import SEED, check_output_file
from rollout.core.campaign import Gate, Scope
from rollout.core.lifecycle import WaveStatus
from rollout.core.plan import batch_name
from rollout.core.state import State, WaveState
from rollout.ports import CreateOrder
from rollout.settings import Profile, load_profile

__all__ = ["make_preview", "plan"]

WORK_TO_DO = 10


def make_preview(prepared: Prepared, profile: Profile | None, speed: float = 1.0) -> Preview:
    """Return the preview of a prepared plan for a profile; without one, L and S have their defaults."""
    state = Reader(prepared.directory).look().state
    to_come = [
        (wave, gate)
        for wave in state.waves
        if wave.status in {WaveStatus.WAITING, WaveStatus.OPEN} and (gate := state.gate_of(wave.index))
    ]
    bounds = profile or Profile(name="", url="")
    target = "" if profile is None else f"{'the emulator' if profile.in_process else profile.url} · "
    return Preview(
        plan=prepared.saved.plan,
        report=prepared.saved.report,
        path=prepared.path,
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
@click.option(
    "--waves-csv",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write which device is in which wave.",
)
@click.option("--show-requests", metavar="WAVE/NNNN", help="Print what would be sent for one batch.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit 10 if there are jobs to create.")
def plan(
    common: Common,
    *,
    plan_file: Path,
    devices: tuple[str, ...],
    seed: int | None,
    waves_csv: Path | None,
    show_requests: str | None,
    detailed_exitcode: bool,
) -> int:
    """Show what a campaign for PLAN would do, and save it so that exactly this can be run.

    Example: rollout plan plans/canary-then-total.yaml --waves-csv waves.csv
    """
    if waves_csv is not None:
        check_output_file(waves_csv, plan_file, *(Path(name) for name in devices if name != "-"))
    profile = load_profile(common.profile, config=common.config)
    prepared = open_or_compile(plan_file, common.state_dir, devices=devices, seed=seed)
    console = common.console
    if show_requests is not None:
        console.result(_request(prepared, show_requests))
        return 0
    preview = make_preview(prepared, profile)
    if waves_csv is not None:
        from rollout.intake.saved_plan import write_waves_csv  # noqa: PLC0415 - only for those who ask

        write_waves_csv(prepared.saved, waves_csv)
    if console.output is Output.JSON:
        console.json("preview", **preview.document())
    else:
        written = [f"Wrote {waves_csv}"] if waves_csv is not None else []
        following = [] if preview.closed else [f"Run exactly this:  {_run_line(common, prepared, profile)}"]
        lines = preview.lines(console.columns(sys.stdout))
        console.result("\n".join([*lines, *written, *following]))
    return WORK_TO_DO if detailed_exitcode and preview.jobs_left else 0


def _run_line(common: Common, prepared: Prepared, profile: Profile | None) -> str:
    """Return the line that runs the saved plan where this preview says; without a profile only a rehearsal can be."""
    flags = [] if common.config is None else ["--config", str(common.config)]
    if profile is None:
        flags.append("--emulator")
    elif common.profile is not None:
        flags += ["--profile", common.profile]
    return command_line("run", str(prepared.path), *flags)


def _request(prepared: Prepared, wanted: str) -> str:
    """Return the body of the create call of batch `WAVE/NNNN`, with its query, as JSON."""
    from rollout.enos.translate import create_body, create_query  # noqa: PLC0415 - loads the wire models

    name, _, number = wanted.rpartition("/")
    plan = prepared.saved.plan
    wave = next((planned for planned in plan.waves if planned.name == name), None)
    jobs = 0 if wave is None else wave.last - wave.first
    if wave is None or not re.fullmatch(r"[0-9]{1,9}", number) or not 1 <= int(number) <= jobs:
        known = ", ".join(
            f"{planned.name}/0001 to {planned.last - planned.first:04d}" for planned in plan.waves
        )
        raise click.UsageError(f"--show-requests: no batch {wanted!r}; there are {known}")
    batch = plan.batches[wave.first + int(number) - 1]
    campaign = plan.campaign
    ordered = campaign.waves[batch.wave]
    order = CreateOrder(
        campaign.firmware_id,
        batch_name(campaign.id, batch),
        campaign.name,
        ordered.job,
        prepared.saved.manifest.json_slice(batch.start, batch.stop),
        ordered.size if isinstance(ordered.size, Scope) else None,
    )
    request = {
        "method": "POST",
        "path": "/connect-service/v2.1/ota-jobs",
        "query": dict(create_query(campaign.org_id, order)),
        "body": json.loads(create_body(order)),
    }
    return document(request)
