"""`rollout doctor`: what stands between this machine and the platform, one line a look, nothing changed."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import click

from rollout.assembly import caller_of
from rollout.cli.campaigns import PLAN_NAME
from rollout.cli.common import Common, ca_file_option, command, url_option
from rollout.cli.profiles import ignored_proxies, platform_profile
from rollout.cli.types import ORG
from rollout.core.campaign import Campaign
from rollout.enos.caller import Caller
from rollout.enos.checkup import Finding, Health, Target, examine
from rollout.enos.codes import Code
from rollout.errors import RolloutError
from rollout.journal.space import bytes_needed
from rollout.settings import Profile
from rollout.text import counted

__all__ = ["doctor"]

BATCHES_AHEAD = 50_000
"""There should be room for a campaign of so many jobs; a run asks for what its own plan needs. Ours."""

SYNC_S_NOTED = 0.1
"""A disk slower than this to keep a few bytes makes every create wait for it. Ours."""


@command("doctor")
@click.argument("plan", type=click.Path(path_type=Path), required=False)
@url_option
@ca_file_option
@click.option("--org", type=ORG, metavar="ID", help="Organisation, where neither plan nor profile names one.")
def doctor(
    common: Common, *, plan: Path | None, url: str | None, ca_file: Path | None, org: str | None
) -> int:
    """Look at all that a run needs: disk, name, connection, TLS, clock, keys, token and permissions.

    With PLAN also at the firmware it names, and whether its jobs can be searched for. Every look is ok, a warning or failed; the exit code is that of the first failure: 1 out of reach,
    2 plan or configuration, 4 credentials. Nothing is created or changed.

    Example: rollout doctor plans/x.yaml --profile eu-prod
    """
    profile = platform_profile(common, url=url, ca_file=ca_file)
    campaign = None if plan is None else _campaign(plan)
    if org is not None and campaign is not None and campaign.org_id != org:
        raise click.UsageError(f"--org: the plan is for {campaign.org_id}")
    org_id = org or (campaign.org_id if campaign else None) or profile.org_id
    console = common.console
    found: list[Finding] = []

    async def look() -> None:
        async for finding in _findings(common, profile, org_id, campaign):
            found.append(finding)
            if not console.is_json:
                console.result("\n".join(_lines(finding)))

    asyncio.run(look())
    code = next((finding.exit_code for finding in found if finding.exit_code), 0)
    if console.is_json:
        console.json(
            "doctor",
            profile=profile.name,
            url=profile.url,
            orgId=org_id,
            exitCode=code,
            checks=[_row(finding) for finding in found],
        )
    else:
        console.result(_summary(found))
    return code


async def _findings(
    common: Common, profile: Profile, org_id: str | None, campaign: Campaign | None
) -> AsyncIterator[Finding]:
    """Yield what is found on this machine, then what is found on the way to the platform."""
    yield _program()
    yield _state(common.state_dir)
    yield _profile(profile, org_id, campaign)
    if profile.in_process:
        return
    if proxies := ignored_proxies(profile):
        yield Finding(
            "proxy",
            Health.WARNING,
            f"{', '.join(proxies)} is set and not used",
            "calls go straight to the gateway; there must be a way without a proxy",
        )
    keys = _keys(profile)
    yield keys
    caller = None if keys.exit_code else _caller(profile, org_id or "")
    target = Target(profile.url, profile.ca_file, caller, profile.search_by_name, campaign)
    try:
        async for finding in examine(target):
            yield _made_up(finding) if profile.is_local else finding
    finally:
        if caller is not None:
            await caller.aclose()


def _campaign(plan: Path) -> Campaign:
    """Return what a plan file or a saved plan orders, without its device lists."""
    if plan.name == PLAN_NAME:
        from rollout.intake.saved_plan import open_saved_plan  # noqa: PLC0415 - one of the two is needed

        return open_saved_plan(plan).plan.campaign
    from rollout.intake.plan_file import load_plan_file  # noqa: PLC0415 - as above

    return load_plan_file(plan, fleet_given=True).campaign


def _caller(profile: Profile, org_id: str) -> Caller | None:
    """Return what calls the platform; None where the profile's certificates cannot be used, which `tls` then tells."""
    try:
        return caller_of(profile, org_id)
    except RolloutError:
        return None


def _made_up(finding: Finding) -> Finding:
    """Return the finding as it counts on an emulator, which makes firmware up when a job first names it."""
    if finding.name != "plan firmware" or finding.facts.get("code") != Code.NOT_FOUND:
        return finding
    remedy = "an emulator makes it up when a job first names it; a real platform refuses the job (24404)"
    return replace(finding, health=Health.WARNING, remedy=remedy, exit_code=0)


# --- this machine -------------------------------------------------------------------------------------------


def _program() -> Finding:
    """Tell what a report of a fault should name."""
    parts = {
        "rollout": version("enos-rollout"),
        "python": platform.python_version(),
        "aiohttp": version("aiohttp"),
        "sqlite": sqlite3.sqlite_version,
    }
    return Finding(
        "program", Health.OK, ", ".join(f"{name} {number}" for name, number in parts.items()), facts=parts
    )


def _state(state_dir: Path) -> Finding:
    """Write a few bytes where journals are kept, or will be, down to the disk; nothing of it stays."""
    place = state_dir
    while not place.exists() and place != place.parent:
        place = place.parent
    place = place.resolve()
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".doctor-") as file:
            began = time.monotonic()
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            sync_s = time.monotonic() - began
        free = shutil.disk_usage(place).free
    except OSError as error:
        remedy = "choose another place: --state-dir DIR"
        return Finding(
            "state", Health.FAILED, f"{place}: cannot be written: {error.strerror}", remedy, exit_code=2
        )
    seen = f"{place}: writable, {free / 1e9:,.1f} GB free, {sync_s * 1000:.1f} ms to the disk"
    facts = {"path": str(place), "freeBytes": free, "syncMs": round(sync_s * 1000, 1)}
    if free < bytes_needed(BATCHES_AHEAD):
        return Finding(
            "state", Health.WARNING, seen, "make room: a campaign stops when its disk is full", facts
        )
    if sync_s > SYNC_S_NOTED:
        remedy = "put the state directory on a local disk: every create waits for this one"
        return Finding("state", Health.WARNING, seen, remedy, facts)
    return Finding("state", Health.OK, seen, facts=facts)


# --- the profile --------------------------------------------------------------------------------------------


def _profile(profile: Profile, org_id: str | None, campaign: Campaign | None) -> Finding:
    """Tell where calls go and for whom."""
    if profile.in_process:
        return Finding(
            "profile", Health.OK, f"{profile.name}: the emulator inside this process; nothing else to look at"
        )
    seen = f"{profile.name}: {profile.url}, org {org_id or 'not named'}" + (
        ", protected" if profile.protected else ""
    )
    facts = {"origin": dict(profile.origin or {})}
    if campaign is not None and profile.org_id not in (None, campaign.org_id):
        return Finding(
            "profile",
            Health.FAILED,
            f"{profile.name} is for organisation {profile.org_id}, the plan for {campaign.org_id}",
            "choose the other profile, or correct the plan's orgId",
            facts,
            2,
        )
    if org_id is None:
        remedy = "name it: PLAN, --org ID, or org_id in the profile; without it no call can be made"
        return Finding("profile", Health.FAILED, seen, remedy, facts, 2)
    return Finding("profile", Health.OK, seen, facts=facts)


def _keys(profile: Profile) -> Finding:
    """Follow the references to the keys; no value is shown."""
    try:
        profile.credentials()
    except RolloutError as error:
        return Finding("keys", Health.FAILED, error.message, error.hint, exit_code=error.exit_code)
    if profile.access_key is None and profile.secret_key is None:
        return Finding("keys", Health.OK, "the emulator's own, for a platform on this machine")
    return Finding(
        "keys", Health.OK, f"access_key from {profile.access_key}, secret_key from {profile.secret_key}"
    )


# --- showing ------------------------------------------------------------------------------------------------


def _lines(finding: Finding) -> Iterator[str]:
    yield f"{finding.health:<8} {finding.name:<13} {finding.seen}"
    if finding.remedy:
        yield f"{'':<8} {'':<13} hint: {finding.remedy}"


def _row(finding: Finding) -> dict[str, object]:
    return {
        "check": finding.name,
        "status": str(finding.health),
        "seen": finding.seen,
        "hint": finding.remedy,
        "facts": finding.facts,
        "exitCode": finding.exit_code,
    }


def _summary(found: list[Finding]) -> str:
    number = {health: sum(finding.health is health for finding in found) for health in Health}
    return (
        f"{number[Health.OK]} ok, {counted(number[Health.WARNING], 'warning')}, "
        f"{number[Health.FAILED]} failed, {number[Health.SKIPPED]} skipped"
    )
