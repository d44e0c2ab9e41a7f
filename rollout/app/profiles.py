"""Which platform is called."""

from __future__ import annotations

import os
from pathlib import Path

from rollout.errors import SettingsError
from rollout.settings import Profile, load_profile

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NETRC")
"""Environment variables that name a proxy. This program ignores them and calls the gateway directly."""


def platform_profile(
    name: str | None, *, config: Path | None, url: str | None, ca_file: Path | None, instead: str = ""
) -> Profile:
    """Return the profile that the arguments and the environment name; see `settings.load_profile`.

    Args:
        instead: what a user without a profile can do; the first words of the hint.
    Raises: SettingsError, R404 where nothing names a profile.
    """
    profile = load_profile(name, config=config, url=url, ca_file=ca_file)
    if profile is None:
        raise SettingsError(
            "no profile says where to run",
            code="R404",
            hint=f"{instead}--profile NAME, --url or ENOS_URL name a gateway",
        )
    return profile


def check_org(profile: Profile, org_id: str) -> None:
    """Raise SettingsError if the profile names another organisation than the plan."""
    if not profile.in_process and profile.org_id not in (None, org_id):
        raise SettingsError(
            f"profile {profile.name} is for organisation {profile.org_id}, the plan for {org_id}",
            code="R405",
            hint="choose the other profile, or correct the plan's orgId",
        )


def ignored_proxies(profile: Profile) -> list[str]:
    """Return the names of the proxy variables that are set; calls do not use them. Empty for a local platform."""
    if profile.is_local:
        return []
    return [name for name in PROXIES if os.environ.get(name) or os.environ.get(name.lower())]
