"""`rollout validate`: every fault of a plan file and its device lists in one pass, nothing saved, nothing sent."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from rollout.app.planning import DeviceSource, compile_into, load_document
from rollout.cli.common import Common, command, refresh_option, url_option
from rollout.cli.failure import complaint_json, complaint_lines
from rollout.settings import load_profile


@command("validate")
@click.argument("plan", type=click.Path(path_type=Path))
@click.option(
    "--devices",
    "devices",
    multiple=True,
    metavar="FILE",
    help="Device list instead of the plan's own ('-' is standard input).",
)
@url_option
@refresh_option
@click.option("--plan-only", is_flag=True, help="Check the plan file alone, not its device lists.")
def validate(
    common: Common,
    *,
    plan: Path,
    devices: tuple[str, ...],
    url: str | None,
    refresh: bool,
    plan_only: bool,
) -> None:
    """Check PLAN and the device lists it names; exit 2 with every fault's place if there is any.

    Devices of enos: sources are those listed when the plan was saved; if it never was, EnOS is asked now.

    Example: rollout validate plans/canary-then-total.yaml
    """
    checked = load_document(plan, devices)
    warnings = tuple(checked.warnings)
    if not plan_only:
        profile = load_profile(common.profile, config=common.config, url=url)
        source = DeviceSource(profile, refresh, common.console.note)
        # Device lists can only be checked by planning with them; the plan is not kept.
        with tempfile.TemporaryDirectory(prefix="rollout-validate-") as scratch:
            saved = compile_into(
                Path(scratch), checked, common.open_store(), devices=devices, devices_from=source
            )
            warnings = tuple(saved.report.warnings)
    if common.console.is_json:
        found = [complaint_json(warning) for warning in warnings]
        common.console.json("validate", file=str(plan), valid=True, complaints=found)
    else:
        *lines, counts = complaint_lines(warnings)
        common.console.result("\n".join([*lines, f"{plan}: {counts}"]))
