"""Which platform a profile means, and what the program asks of a platform besides the engine's calls.

A second platform is a package beside `enos/` with a class that has these methods, and a line in each function here.
What only EnOS has is no part of it: `rollout request`, the shown requests and the emulator call `enos/` directly.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Protocol

from rollout.core.campaign import Campaign, JobSpec
from rollout.core.records import DeviceFilter
from rollout.ports import Finding, JobService, Permit, Repeat
from rollout.settings import DEMO_ACCESS_KEY, DEMO_SECRET_KEY, Account, Profile
from rollout.telemetry.redact import REDACTOR

if TYPE_CHECKING:
    from rollout.intake.platform import PlatformPlan


class Platform(Protocol):
    """One platform. Methods raise SettingsError where the account's url or certificates cannot be used."""

    def check_job(self, spec: JobSpec) -> None:
        """Raise PlanError where a saved plan's job has settings that this program cannot read."""
        ...

    def connect(self, account: Account, *, read_permit: Permit, brake_permit: Permit) -> JobService:
        """Return the client that the engine calls; nothing is sent yet."""
        ...

    def list_devices(
        self, account: Account, devices: DeviceFilter, *, read_permit: Permit, repeat: Repeat
    ) -> AsyncIterator[tuple[str, Mapping[str, str]]]:
        """Yield key and columns of every device of the organisation that the filter lets pass, each once.

        Raises: ServiceError, also after devices were yielded: the list is then not complete.
        """
        ...

    def check_up(
        self, profile: Profile, account: Account | None, campaign: Campaign | None
    ) -> AsyncIterator[Finding]:
        """Yield what is found on the way to the platform. Nothing is changed, nothing raised for what is found.

        Args:
            account: None where the profile's keys cannot be had.
            campaign: of a plan, whose firmware and job names are looked up too; None without a plan.
        """
        ...


def platform_of(profile: Profile) -> Platform:  # noqa: ARG001 - EnOS is the only one so far
    """Return the platform that the profile means."""
    from rollout.enos.platform import Enos  # noqa: PLC0415 - only who calls a platform loads its client

    return Enos()


def plan_format() -> PlatformPlan:
    """Return what the platform adds to the plan file."""
    from rollout.enos.job_plan import ENOS  # noqa: PLC0415 - building the models takes a tenth of a second

    return ENOS


def account_of(profile: Profile, org_id: str, *, url: str | None = None) -> Account:
    """Return the profile with its keys followed; `url` stands in for the profile's if it is given.

    From now on no output of this process shows the keys, except the emulator's demo keys, which are public.

    Raises: CredentialsMissing, SettingsError.
    """
    keys = profile.credentials()
    secrets = {keys.access_key.get_secret_value(), keys.secret_key.get_secret_value()}
    REDACTOR.learn(*secrets - {DEMO_ACCESS_KEY, DEMO_SECRET_KEY})
    return Account(url or profile.url, org_id, keys, profile.ca_file, profile.search_by_name)
