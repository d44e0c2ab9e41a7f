"""`rollout schema`: the JSON Schema that editors complete and check plan files with."""

from __future__ import annotations

import click

from rollout.cli.common import Common, command
from rollout.cli.console import document

__all__ = ["schema"]


@command("schema")
@click.argument("what", type=click.Choice(["plan"]))
def schema(common: Common, *, what: str) -> None:  # noqa: ARG001 - one schema so far, named all the same
    """Print the JSON Schema (2020-12) of WHAT.

    Example: rollout schema plan > .rollout/plan.schema.json
    """
    from rollout.intake.plan_file import plan_schema  # noqa: PLC0415 - building the models takes a tenth of a second

    common.console.result(document(plan_schema()))
