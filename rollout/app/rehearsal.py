"""How the devices of an emulator behave: read from a fleet file, changed by arguments.

A run that rehearses, a forecast and an emulator beside this process all begin with `open_fleet` and `population_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rollout.core.campaign import Scope
from rollout.core.plan import Plan
from rollout.errors import WrongArgument

if TYPE_CHECKING:
    from rollout.app.planning import Prepared
    from rollout.emulator.platform.population import Population
    from rollout.emulator.population_file import FleetDescription
    from rollout.intake.document import PlanDocument
    from rollout.intake.fleet_file import Source
    from rollout.intake.saved_plan import PlanningReport

FLEET_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The emulator inside this process: how its devices behave.

    `columns` are the values that the population's strata look at: column to device key to value. `seed` draws
    every device's fate.
    """

    population: Population
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    seed: int = 0


def open_fleet(path: Path | None, note: Callable[[str], None]) -> FleetDescription | None:
    """Return the fleet file's content, or None without a file. `note` gets each of its warnings.

    Raises: PlanError; WrongArgument where the file is no YAML file.
    """
    if path is None:
        return None
    if path.suffix not in FLEET_SUFFIXES:
        raise WrongArgument("fleet", f"{path} is no YAML file; a list of devices goes to --devices")
    from rollout.emulator.population_file import (  # noqa: PLC0415 - building the models takes a tenth of a second
        load_fleet_description,
    )

    fleet = load_fleet_description(path)
    for warning in fleet.warnings:
        note(str(warning))
    return fleet


def population_of(
    fleet: FleetDescription | None, *, failed: float | None, offline: float | None
) -> Population:
    """Return the fleet's population, or the standard one without a fleet.

    Args:
        failed: share of all upgrades that fail, instead of the fleet's own; None leaves them.
        offline: share of all devices that are away when first wanted; None leaves it.
    """
    from rollout.emulator.platform.population import Population  # noqa: PLC0415 - only rehearsals need the emulator

    population = Population() if fleet is None else fleet.population
    if offline is not None:
        population = replace(population, offline_ratio=offline)
    return population if failed is None else population.with_failed_ratio(failed)


def rehearsal_of(
    prepared: Prepared,
    fleet: FleetDescription | None,
    population: Population,
    *,
    devices: tuple[str, ...],
    bad_site: tuple[tuple[str, float], ...],
    seed: int,
) -> Rehearsal:
    """Return the emulator that a run rehearses on.

    Strata and bad sites look at columns of the plan's device lists, which are then read again.

    Args:
        devices: device lists instead of the plan's.
        bad_site: values of the site column, each with its own share of failures.
        seed: draws every device's fate.
    Raises: WrongArgument, PlanError.
    """
    if not bad_site and not population.strata:
        return Rehearsal(population, seed=seed)
    argument = "bad-site" if bad_site else "fleet"
    sources, key = device_lists(prepared.document, prepared.saved.report, devices, argument)
    wanted = columns_to_read(fleet, sources, key)
    site_column = _site_column(prepared) if bad_site else ""
    columns = read_columns(sources, key, dict.fromkeys([*wanted, *([site_column] if bad_site else [])]))
    for site, share in bad_site:
        if site not in columns[site_column].values():
            raise WrongArgument("bad-site", f"no device has {site_column} {site!r}")
        population = population.with_stratum(site_column, site, failed_ratio=share)
    return Rehearsal(population, columns, seed)


def _site_column(prepared: Prepared) -> str:
    """Return the column by which a wave of the plan is spread. Raises WrongArgument if there is none."""
    for wave in prepared.saved.plan.campaign.waves:
        if wave.spread_by:
            return wave.spread_by
    raise WrongArgument("bad-site", "no wave of the plan has spreadBy, so no column holds sites")


def columns_to_read(fleet: FleetDescription | None, sources: Iterable[Source], key: str) -> tuple[str, ...]:
    """Return the columns to take from the device lists for the fleet's strata.

    A column that the fleet also gives by weight is left out where a list does not have it; every other column is
    returned, and reading fails if it is not there.
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
    document: PlanDocument | None, report: PlanningReport, devices: Sequence[str], argument: str
) -> tuple[list[Source], str]:
    """Return the device lists `devices`, or else the plan's, and the name of their key column.

    Args:
        document: None where a saved plan was given.
        report: of the planning; knows the lists that were asked of EnOS.
        argument: why the lists are read, named in the message if they cannot be.
    Raises: WrongArgument where the lists cannot be read again; PlanError.
    """
    from rollout.intake.complaints import Complaints  # noqa: PLC0415 - only parts of a fleet are looked up
    from rollout.intake.saved_plan import fleet_sources  # noqa: PLC0415 - as above

    if document is None:
        raise WrongArgument(argument, "give the plan file; a saved plan does not keep the devices' columns")
    if "-" in (devices or document.devices.files):
        raise WrongArgument(argument, "standard input cannot be read twice")
    complaints = Complaints(str(document.path), document.places)
    sources = fleet_sources(document, devices or None, report.listings, complaints)
    complaints.raise_if_failed()
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
    complaints.raise_if_failed()
    return columns


def strata_columns(
    fleet: FleetDescription | None,
    report: PlanningReport,
    document: PlanDocument | None,
    devices: tuple[str, ...],
) -> Mapping[str, Mapping[str, str]]:
    """Return the values that the fleet's strata look at, from the device lists: column to device key to value.

    Empty where the fleet gives all of them by chance and the lists cannot be read again. Raises WrongArgument, PlanError.
    """
    if fleet is None or not fleet.stratified_by:
        return {}
    by_chance = all(column in fleet.population.columns for column in fleet.stratified_by)
    if by_chance and (document is None or "-" in (devices or document.devices.files)):
        return {}
    sources, key = device_lists(document, report, devices, "fleet")
    return read_columns(sources, key, columns_to_read(fleet, sources, key))


def made_up_keys(plan: Plan, fleet: FleetDescription | None) -> Iterable[str]:
    """Return the keys of the fleet's own devices for a plan with waves whose devices EnOS picks; else none."""
    scoped = any(isinstance(wave.size, Scope) for wave in plan.campaign.waves)
    return fleet.devices if scoped and fleet is not None and fleet.devices is not None else ()


def emulator_devices(
    wanted: int | Path | None, fleet: FleetDescription | None, key: str, columns: Iterable[str]
) -> Iterator[tuple[str, Mapping[str, str]]] | None:
    """Return key and columns of each device of an emulator, or None where any key will do.

    Args:
        wanted: so many made-up devices, or a device list; None takes the fleet's own.
        key: the key column of a device list, `columns` further columns of it.
    Raises: PlanError.
    """
    nothing: Mapping[str, str] = {}
    if isinstance(wanted, Path):
        return _listed(wanted, fleet, key, columns)
    if wanted is not None:
        return ((f"emu-{number:07d}", nothing) for number in range(1, wanted + 1))
    if fleet is None or fleet.devices is None:
        return None
    return ((made_up, nothing) for made_up in fleet.devices)


def _listed(
    path: Path, fleet: FleetDescription | None, key: str, columns: Iterable[str]
) -> Iterator[tuple[str, Mapping[str, str]]]:
    from rollout.intake.complaints import Complaints  # noqa: PLC0415 - only a given list is read
    from rollout.intake.fleet_file import Source, read_rows  # noqa: PLC0415 - as above

    complaints = Complaints(str(path))
    source = Source(str(path), path, trusted=True)
    wanted = tuple(dict.fromkeys([*columns, *columns_to_read(fleet, (source,), key)]))
    rows = list(read_rows(source, key, wanted, complaints))
    complaints.raise_if_failed()
    return ((device, dict(zip(wanted, values, strict=True))) for device, values, _ in rows)


def _has_column(source: Source, key: str, column: str) -> bool:
    from rollout.intake.complaints import Complaints  # noqa: PLC0415 - only lists beside a fleet are looked into
    from rollout.intake.fleet_file import read_rows  # noqa: PLC0415 - as above

    complaints = Complaints(source.label)
    for _ in read_rows(source, key, (column,), complaints):
        if not source.listed:  # a file's header tells; a listing's devices each tell for themselves
            break
    return not complaints.failed
