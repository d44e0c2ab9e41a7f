"""How the emulator's fleet behaves, from a fleet file and the flags that change it; shared by all that rehearse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rollout.cli.console import Console

if TYPE_CHECKING:
    from rollout.emulator.platform.population import Population
    from rollout.emulator.population_file import FleetDescription
    from rollout.intake.document import PlanDocument
    from rollout.intake.fleet_file import Source
    from rollout.intake.saved_plan import PlanningReport

FLEET_SUFFIXES = (".yaml", ".yml", ".json")


def open_fleet(path: Path | None, console: Console) -> FleetDescription | None:
    """Return what the fleet file says, its warnings told; None without one. Raises: PlanError."""
    if path is None:
        return None
    if path.suffix not in FLEET_SUFFIXES:
        raise click.UsageError(f"--fleet: {path} is no YAML file; a list of devices goes to --devices")
    from rollout.emulator.population_file import (  # noqa: PLC0415 - building the models takes a tenth of a second
        load_fleet_description,
    )

    fleet = load_fleet_description(path)
    for warning in fleet.warnings:
        console.note(str(warning))
    return fleet


def population_of(
    fleet: FleetDescription | None, *, failed: float | None, offline: float | None
) -> Population:
    """Return the fleet's population, or the standard one; a share of failures given by flag is that of all devices."""
    from rollout.emulator.platform.population import Population  # noqa: PLC0415 - only rehearsals need the emulator

    population = Population() if fleet is None else fleet.population
    if offline is not None:
        population = replace(population, offline_ratio=offline)
    return population if failed is None else population.with_failed_ratio(failed)


def columns_to_read(fleet: FleetDescription | None, sources: Iterable[Source], key: str) -> tuple[str, ...]:
    """Return the columns to take from device lists for the fleet's strata.

    A column that the fleet also gives by weight is taken where every list has it; any other must be there.
    """
    if fleet is None:
        return ()
    by_chance = fleet.population.columns
    lists = tuple(sources)
    return tuple(
        column
        for column in fleet.stratified_by
        if column not in by_chance or all(_has_column(source, key, column) for source in lists)
    )


def device_lists(
    document: PlanDocument | None, report: PlanningReport, devices: Sequence[str], flag: str
) -> tuple[list[Source], str]:
    """Return the device lists given, or else the plan's, and the name of their key column.

    Args:
        document: None where a saved plan was given.
        report: of the planning; knows the lists that were asked of EnOS.
        flag: who asks, for the message if there is no way.
    """
    from rollout.intake.complaints import Complaints  # noqa: PLC0415 - only parts of a fleet are looked up
    from rollout.intake.saved_plan import fleet_sources  # noqa: PLC0415 - as above

    if document is None:
        raise click.UsageError(f"{flag}: give the plan file; a saved plan does not keep the devices' columns")
    if "-" in (devices or document.devices.files):
        raise click.UsageError(f"{flag}: standard input cannot be read twice")
    complaints = Complaints(str(document.path), document.places)
    sources = fleet_sources(document, devices or None, report.listings, complaints)
    complaints.settle()
    return sources, document.devices.key


def read_columns(
    sources: Iterable[Source], key: str, wanted: Iterable[str]
) -> Mapping[str, Mapping[str, str]]:
    """Return each device's value of the columns wanted, read again from the device lists."""
    from rollout.intake.complaints import Complaints  # noqa: PLC0415 - only parts of a fleet are looked up
    from rollout.intake.fleet_file import read_rows  # noqa: PLC0415 - as above

    columns: dict[str, dict[str, str]] = {name: {} for name in wanted}
    complaints = Complaints()
    for source in sources:
        for device, row, _ in read_rows(source, key, tuple(columns), complaints):
            for column, value in zip(columns, row, strict=True):
                columns[column][device] = value
    complaints.settle()
    return columns


def _has_column(source: Source, key: str, column: str) -> bool:
    from rollout.intake.complaints import Complaints  # noqa: PLC0415 - only lists beside a fleet are looked into
    from rollout.intake.fleet_file import read_rows  # noqa: PLC0415 - as above

    complaints = Complaints(source.label)
    for _ in read_rows(source, key, (column,), complaints):
        if not source.listed:  # a file's header tells; a listing's devices each tell for themselves
            break
    return not complaints.failed
