"""EnOS as `app.platforms.Platform`: what the program asks of a platform, answered for EnOS.

The engine's calls are `EnosService`. Here stands the rest: how to connect, the devices, the check-up. A second
platform has a module like this one in a package of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from rollout.core.campaign import Campaign, JobSpec
from rollout.core.records import DeviceFilter
from rollout.enos.caller import Caller, at_once
from rollout.enos.checkup import Target, examine
from rollout.enos.codes import Code
from rollout.enos.devices import EnosDevices, Version
from rollout.enos.job_settings import JobSettings
from rollout.enos.service import EnosService
from rollout.enos.signing import Secret
from rollout.enos.translate import device_expression
from rollout.enos.transport import Transport
from rollout.errors import RolloutError
from rollout.ports import Finding, Health, JobService, Permit, Repeat
from rollout.settings import Account, Profile


class Enos:
    """The EnOS platform. It has no state: every method is given the account to use."""

    def check_job(self, spec: JobSpec) -> None:
        """Raise PlanError where the job has settings that this program cannot read."""
        JobSettings.of(spec)

    def connect(self, account: Account, *, read_permit: Permit, brake_permit: Permit) -> JobService:
        """Return the client that the engine calls; nothing is sent yet. Raises SettingsError."""
        caller = caller_of(account, read_permit=read_permit, steer_permit=brake_permit)
        return EnosService(caller, search_by_name=account.search_by_name)

    async def list_devices(
        self, account: Account, devices: DeviceFilter, *, read_permit: Permit, repeat: Repeat
    ) -> AsyncIterator[tuple[str, Mapping[str, str]]]:
        """Yield key and columns of every device of the organisation that the filter lets pass, each once.

        Raises: ServiceError, also after devices were yielded: the list is then not complete; SettingsError.
        """
        caller = caller_of(account, read_permit=read_permit)
        # V2.4 came with the release that can search jobs by name, but for a correction
        version: Version = "v2.4" if account.search_by_name else "v2.1"
        found = EnosDevices(caller, version=version, repeat=repeat).search(device_expression(devices))
        try:
            async for key, columns in found:
                yield key, columns
        finally:
            await caller.aclose()

    async def check_up(
        self, profile: Profile, account: Account | None, campaign: Campaign | None
    ) -> AsyncIterator[Finding]:
        """Yield what is found on the way to the platform. Nothing is changed, nothing raised for what is found.

        Args:
            account: None where the profile's keys cannot be had.
            campaign: of a plan, whose firmware and job names are looked up too; None without a plan.
        """
        caller = None if account is None else _caller_if_trusted(account)
        target = Target(profile.url, profile.ca_file, caller, profile.search_by_name, campaign)
        try:
            async for finding in examine(target):
                yield _on_an_emulator(finding) if profile.is_local else finding
        finally:
            if caller is not None:
                await caller.aclose()


def caller_of(
    account: Account, *, read_permit: Permit = at_once, steer_permit: Permit | None = None
) -> Caller:
    """Return what signs and sends the account's calls. Raises SettingsError.

    `rollout request` uses it as it is.
    """
    return Caller(
        Transport(account.url, ca_file=account.ca_file),
        org_id=account.org_id,
        app_key=account.keys.access_key.get_secret_value(),
        app_secret=Secret(account.keys.secret_key.get_secret_value()),
        read_permit=read_permit,
        steer_permit=steer_permit,
    )


def _caller_if_trusted(account: Account) -> Caller | None:
    """Return what calls the platform; None where the certificates cannot be used, which the look `tls` then tells."""
    try:
        return caller_of(account)
    except RolloutError:
        return None


def _on_an_emulator(finding: Finding) -> Finding:
    """Return the finding as it counts on an emulator, which makes firmware up when a job first names it."""
    if finding.name != "plan firmware" or finding.facts.get("code") != Code.NOT_FOUND:
        return finding
    remedy = "an emulator makes it up when a job first names it; a real platform refuses the job (24404)"
    return replace(finding, health=Health.WARNING, remedy=remedy, exit_code=0)
