"""Checks before a run: this machine, the profile, and the way to the platform. Nothing is changed."""

from __future__ import annotations

import platform
import sqlite3
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path

from rollout.app.platforms import account_of, plan_format, platform_of
from rollout.app.profiles import ignored_proxies
from rollout.core.campaign import Campaign
from rollout.errors import RolloutError
from rollout.ports import PLAN_NAME, Finding, Health, Store
from rollout.settings import Profile

BATCHES_AHEAD = 50_000
"""The check-up asks for disk space for a campaign of so many jobs; a run asks for what its own plan needs. Ours."""

SYNC_S_NOTED = 0.1
"""A disk that takes longer than this to store a few bytes delays every create call. Ours."""


async def check_up(
    store: Store, profile: Profile, org_id: str | None, campaign: Campaign | None
) -> AsyncIterator[Finding]:
    """Yield what is found on this machine, then what is found on the way to the platform, each as it is known.

    Args:
        org_id: the organisation calls are made for; None if neither plan nor profile names one, which is a finding.
        campaign: of a plan, whose firmware and job names are looked up too; None without a plan.
    """
    yield _program()
    yield _state(store)
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
    account = None if keys.exit_code else account_of(profile, org_id or "")
    async for finding in platform_of(profile).check_up(profile, account, campaign):
        yield finding


def campaign_of(plan: Path) -> Campaign:
    """Return the campaign of a plan file or of a saved plan; device lists are not read. Raises PlanError."""
    if plan.name == PLAN_NAME:
        from rollout.intake.saved_plan import open_saved_plan  # noqa: PLC0415 - one of the two is needed

        return open_saved_plan(plan).plan.campaign
    from rollout.intake.plan_file import load_plan_file  # noqa: PLC0415 - as above

    return load_plan_file(plan, plan_format(), fleet_given=True).campaign


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


def _state(store: Store) -> Finding:
    """See whether campaigns can be kept, and how long a few bytes take until they are durable."""
    found = store.check(BATCHES_AHEAD)
    if found.problem:
        remedy = "choose another place: --state-dir DIR"
        return Finding("state", Health.FAILED, f"{found.place}: {found.problem}", remedy, exit_code=2)
    room = "" if found.free_bytes is None else f"{found.free_bytes / 1e9:,.1f} GB free, "
    seen = f"{found.place}: writable, {room}{found.sync_s * 1000:.1f} ms to the disk"
    facts = {
        "path": found.place,
        "freeBytes": found.free_bytes,
        "syncMs": round(found.sync_s * 1000, 1),
    }
    if not found.has_room:
        return Finding(
            "state", Health.WARNING, seen, "make room: a campaign stops when its disk is full", facts
        )
    if found.sync_s > SYNC_S_NOTED:
        remedy = "put the state directory on a local disk: every create waits for this one"
        return Finding("state", Health.WARNING, seen, remedy, facts)
    return Finding("state", Health.OK, seen, facts=facts)


# --- the profile --------------------------------------------------------------------------------------------


def _profile(profile: Profile, org_id: str | None, campaign: Campaign | None) -> Finding:
    """Return where calls go, and for which organisation."""
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
