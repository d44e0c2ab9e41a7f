"""`rollout emulator`: runs an emulator of EnOS on this machine, to rehearse against."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import click

from rollout.app.rehearsal import emulator_devices, open_fleet, population_of
from rollout.cli.common import Common, command
from rollout.cli.flags_file import config_option
from rollout.cli.types import DURATION, ORG, PORT, SEED, SHARE, SITE_SHARE, SPEED, Parsed
from rollout.emulator.http.faults import Fault, FaultPlan
from rollout.emulator.http.gateway import CallQuota, GatewayRules, KeyPair
from rollout.emulator.http.server import EmulatorConfig, serve_forever
from rollout.emulator.http.service import PERMISSIONS
from rollout.emulator.http.settings import with_knobs
from rollout.emulator.platform.knobs import Knobs
from rollout.enos.signing import Secret

DEVICES_MAX = 10_000_000
"""The most devices that the emulator makes up. Ours: each takes about 100 bytes of memory."""


ORG_ID = EmulatorConfig().org_id
"""The emulator's organisation, unless `--org` names another."""


def _devices_of(text: str) -> int | Path:
    if re.fullmatch(r"[1-9][0-9]{0,8}", text, re.ASCII) and int(text) <= DEVICES_MAX:
        return int(text)
    path = Path(text)
    if not path.is_file():
        raise ValueError(f"neither a number from 1 to {DEVICES_MAX:,} nor a device list: {text[:40]!r}")
    return path


def _knob(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    with_knobs(Knobs(), GatewayRules(), {name: value})
    return name, value


def _reference(text: str) -> str:
    if re.fullmatch(r"(env|file):.+", text) is None:
        # the text is not shown: it may be the key itself
        raise ValueError("expected a reference, env:NAME or file:PATH")
    return text


def _keys(access_key: str | None, secret_key: str | None) -> KeyPair:
    """Return the keys that the references name, or those of the demonstration if there are none."""
    if access_key is None and secret_key is None:
        return KeyPair()
    if access_key is None or secret_key is None:
        raise click.UsageError("--access-key and --secret-key go together")
    from rollout.settings import Profile  # noqa: PLC0415 - only references are followed

    followed = Profile(
        "emulator", "http://127.0.0.1", access_key=access_key, secret_key=secret_key
    ).credentials()
    return KeyPair(followed.access_key.get_secret_value(), Secret(followed.secret_key.get_secret_value()))


@command("emulator", config=config_option({"accessKey", "secretKey", "appKey", "appSecret", "credentials"}))
@click.option("--port", type=PORT, default="8484", show_default=True, help="0 takes a free one.")
@click.option("--org", type=ORG, default=ORG_ID, show_default=True, help="The orgId of your plans.")
@click.option(
    "--devices",
    type=Parsed("N|FILE", _devices_of),
    metavar="N|FILE",
    help="Make up so many devices, emu-0000001 and so on, or take those of a device list.",
)
@click.option(
    "--fleet",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="How devices behave, and which there are if --devices does not say (plans/fleets).",
)
@click.option(
    "--key", default="deviceKey", show_default=True, metavar="COLUMN", help="Key column of a device list."
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="COLUMN",
    help="Column to take from a device list, beside those that strata look at.",
)
@click.option("--site", metavar="COLUMN", help="Site column of a device list, for --bad-site.")
@click.option("--speed", type=SPEED, default="1", show_default=True, help="Times faster than real time.")
@click.option("--fail", type=SHARE, help="Share of upgrades that fail, of any device.")
@click.option("--offline", type=SHARE, help="Share of devices that are away when first wanted.")
@click.option(
    "--bad-site", type=SITE_SHARE, multiple=True, metavar="SITE:SHARE", help="A site with its own share."
)
@click.option(
    "--quota", type=Parsed("CALLS/s", CallQuota.parse), metavar="CALLS/s", help="Flow control over all calls."
)
@click.option("--read-lag", type=DURATION, default="2s", show_default=True, help="How late searches are.")
@click.option("--skew", type=DURATION, help="Refuse calls whose timestamp is further off.")
@click.option(
    "--access-key",
    type=Parsed("REF", _reference),
    metavar="REF",
    help="Key of the application: env:NAME or file:PATH.",
)
@click.option(
    "--secret-key", type=Parsed("REF", _reference), metavar="REF", help="Its secret: env:NAME or file:PATH."
)
@click.option(
    "--deny",
    "denied",
    type=click.Choice(sorted(PERMISSIONS)),
    multiple=True,
    metavar="ACTION",
    help="Refuse this action for lack of permission (99403), such as create or 'firmware search'.",
)
@click.option(
    "--fault",
    "faults",
    type=Parsed("NAME=P", Fault.parse),
    multiple=True,
    metavar="NAME=P",
    help="Let calls go wrong with this share.",
)
@click.option(
    "--knob",
    "knobs",
    type=Parsed("NAME=VALUE", _knob),
    multiple=True,
    metavar="NAME=VALUE",
    help="Read an open point of EnOS another way; a wrong name lists them all.",
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
    devices: int | Path | None,
    fleet: Path | None,
    key: str,
    columns: tuple[str, ...],
    site: str | None,
    speed: float,
    fail: float | None,
    offline: float | None,
    bad_site: tuple[tuple[str, float], ...],
    quota: CallQuota | None,
    read_lag: float,
    skew: float | None,
    access_key: str | None,
    secret_key: str | None,
    denied: tuple[str, ...],
    faults: tuple[Fault, ...],
    knobs: tuple[tuple[str, str], ...],
    seed: int,
    log: Path | None,
) -> None:
    """Run an EnOS emulator on the loopback interface until it is interrupted.

    Without --devices, and a --fleet that counts its own, it takes any device key. Faults: commit_then_drop=0.2,
    delay=0.1,seconds=5 and more; a wrong name lists them all.

    Plans run against it with `rollout run PLAN --url http://127.0.0.1:8484 --speed 600`, if --org is their orgId.

    All of this can stand in a YAML file too, each flag by its name; plans/emulators shows how.

    Example: rollout emulator --org o15724268424841 --speed 600 --fail 0.4% --quota 20/s
    """
    if bad_site and (not isinstance(devices, Path) or site is None):
        raise click.UsageError("--bad-site needs a list of --devices and --site, which say where a device is")
    if columns and not isinstance(devices, Path):
        raise click.UsageError("--column is of a list of --devices")
    described = open_fleet(fleet, common.console.note)
    shortcuts = {"read_lag_s": read_lag, "quota": quota, "skew_s_max": skew}
    settings, rules = with_knobs(Knobs(), GatewayRules(), {**shortcuts, **dict(knobs)})
    keys = _keys(access_key, secret_key)
    population = population_of(described, failed=fail, offline=offline)
    for value, share in bad_site:
        population = population.with_stratum(site or "", value, failed_ratio=share)
    config = EmulatorConfig(
        port=port,
        org_id=org,
        credentials=keys,
        denied=frozenset(denied),
        rules=rules,
        seed=seed,
        speed=speed,
        population=population,
        knobs=settings,
        faults=FaultPlan(faults),
        devices=emulator_devices(
            devices, described, key, dict.fromkeys([*columns, *([site] if site else [])])
        ),
        log_path=log,
    )

    def announce(line: str) -> None:
        common.console.result(line)

    try:
        asyncio.run(serve_forever(config, announce))
    except OSError as error:
        raise click.UsageError(f"port {port}: {error.strerror or error}") from error
