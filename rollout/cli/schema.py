"""`rollout schema`: the JSON Schemas that editors complete and check plan, fleet and emulator files with."""

from __future__ import annotations

import click

from rollout.app.platforms import plan_format
from rollout.cli.common import Common, command
from rollout.cli.console import document


@command("schema")
@click.argument("what", type=click.Choice(["plan", "fleet", "emulator"]))
def schema(common: Common, *, what: str) -> None:
    """Print the JSON Schema (2020-12) of WHAT.

    Example: rollout schema plan > .rollout/plan.schema.json
    """
    # building the models takes a tenth of a second
    if what == "emulator":
        from rollout.cli.emulator import emulator  # noqa: PLC0415 - as said
        from rollout.cli.flags_file import flags_schema  # noqa: PLC0415 - as said

        schema_id = "urn:enos-rollout:schema:emulator:1"
        common.console.result(document(flags_schema(emulator, "Flags of rollout emulator", schema_id)))
    elif what == "fleet":
        from rollout.emulator.population_file import fleet_schema  # noqa: PLC0415 - as said

        common.console.result(document(fleet_schema()))
    else:
        from rollout.intake.plan_model import plan_schema  # noqa: PLC0415 - as said

        common.console.result(document(plan_schema(plan_format())))
