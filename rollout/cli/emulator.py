"""`rollout emulator`: a platform of one's own to rehearse against, on this machine only."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from rollout.cli.common import Common, command
from rollout.cli.types import DURATION, PORT, SEED, SHARE, SITE_SHARE, SPEED, Number, Parsed
from rollout.emulator.faults import Fault, FaultPlan
from rollout.emulator.gateway import GatewayRules, Quota
from rollout.emulator.knobs import Knobs, with_settings
from rollout.emulator.population import Population
from rollout.emulator.server import EmulatorConfig, serve_forever

__all__ = ["emulator"]

DEVICES_MAX = 10_000_000
"""Devices the emulator makes up at most; memory is about 100 bytes each. Our choice."""


ORG_ID = EmulatorConfig().org_id
"""The organisation there is unless another is asked for."""


def _org_id(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text) is None:
        raise ValueError(f"an organisation's id has letters, digits, - and _, not {text[:40]!r}")
    return text


@command("emulator")
@click.option("--port", type=PORT, default="8484", show_default=True, help="0 takes a free one.")
@click.option(
    "--org", type=Parsed("ID", _org_id), default=ORG_ID, show_default=True, help="The orgId of your plans."
)
@click.option(
    "--devices",
    type=Number("devices", 1, DEVICES_MAX, whole=True),
    help="Make up devices emu-0000001 and so on.",
)
@click.option(
    "--fleet", type=click.Path(path_type=Path), metavar="FILE", help="Take the devices of a device list."
)
@click.option(
    "--key", default="deviceKey", show_default=True, metavar="COLUMN", help="Key column of --fleet."
)
@click.option("--site", metavar="COLUMN", help="Site column of --fleet, for --bad-site.")
@click.option("--speed", type=SPEED, default="1", show_default=True, help="Times faster than real time.")
@click.option("--fail", type=SHARE, default="0", show_default=True, help="Share of upgrades that fail.")
@click.option("--offline", type=SHARE, default="0", show_default=True, help="Share of devices that are away.")
@click.option(
    "--bad-site", type=SITE_SHARE, multiple=True, metavar="SITE:SHARE", help="A site with its own share."
)
@click.option(
    "--quota", type=Parsed("CALLS/s", Quota.parse), metavar="CALLS/s", help="Flow control over all calls."
)
@click.option("--read-lag", type=DURATION, default="2s", show_default=True, help="How late searches are.")
@click.option(
    "--fault",
    "faults",
    type=Parsed("NAME=P", Fault.parse),
    multiple=True,
    metavar="NAME=P",
    help="Let calls go wrong with this share.",
)
@click.option(
    "--knob", "knobs", multiple=True, metavar="NAME=VALUE", help="Read an open point of EnOS another way."
)
@click.option(
    "--seed", type=SEED, default="0", show_default=True, help="Everything by chance follows from it."
)
@click.option(
    "--log", type=click.Path(path_type=Path), metavar="FILE", help="Live on after a kill, from this file."
)
def emulator(
    common: Common,
    *,
    port: int,
    org: str,
    devices: int | None,
    fleet: Path | None,
    key: str,
    site: str | None,
    speed: float,
    fail: float,
    offline: float,
    bad_site: tuple[tuple[str, float], ...],
    quota: Quota | None,
    read_lag: float,
    faults: tuple[Fault, ...],
    knobs: tuple[str, ...],
    seed: int,
    log: Path | None,
) -> None:
    """Run an EnOS emulator on the loopback interface until it is interrupted.

    Without --devices and --fleet it takes any device key. Faults: commit_then_drop=0.2, delay=0.1,seconds=5 and
    more; a wrong name lists them all.

    Plans run against it with `rollout run PLAN --url http://127.0.0.1:8484 --speed 600`, if --org is their orgId.

    Example: rollout emulator --org o15724268424841 --speed 600 --fail 0.4% --quota 20/s
    """
    if devices is not None and fleet is not None:
        raise click.UsageError("--devices and --fleet exclude each other")
    if bad_site and (fleet is None or site is None):
        raise click.UsageError("--bad-site needs --fleet and --site, which say where a device is")
    named = dict(text.partition("=")[::2] for text in knobs)
    try:
        settings = with_settings(Knobs(), {"read_lag_s": read_lag, **named})
    except ValueError as error:
        raise click.UsageError(f"--knob: {error}") from None
    population = Population(failed_ratio=fail, offline_ratio=offline)
    for value, share in bad_site:
        population = population.with_stratum(site or "", value, failed_ratio=share)
    config = EmulatorConfig(
        port=port,
        org_id=org,
        rules=GatewayRules(quota=quota),
        seed=seed,
        speed=speed,
        population=population,
        knobs=settings,
        faults=FaultPlan(faults),
        devices=_devices(devices, fleet, key, site),
        log_path=log,
    )

    def announce(line: str) -> None:
        common.console.result(line)

    try:
        asyncio.run(serve_forever(config, announce))
    except OSError as error:
        raise click.UsageError(f"port {port}: {error.strerror or error}") from error


def _devices(
    made_up: int | None, fleet: Path | None, key: str, site: str | None
) -> Iterator[tuple[str, Mapping[str, str]]] | None:
    """Return key and columns of each device, or None where any key will do."""
    nothing: Mapping[str, str] = {}
    if made_up is not None:
        return ((f"emu-{number:07d}", nothing) for number in range(1, made_up + 1))
    if fleet is None:
        return None
    from rollout.intake.complaints import Complaints  # noqa: PLC0415 - only a given fleet is read
    from rollout.intake.fleet_file import Source, read_rows  # noqa: PLC0415 - as above

    complaints = Complaints(str(fleet))
    columns = () if site is None else (site,)
    rows = list(read_rows(Source(str(fleet), fleet, trusted=True), key, columns, complaints))
    complaints.settle()
    return ((device, dict(zip(columns, values, strict=True))) for device, values, _ in rows)
