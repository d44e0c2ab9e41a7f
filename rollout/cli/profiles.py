"""Which platform a command calls: the profile's, or the one named by a flag."""

from __future__ import annotations

import os
from pathlib import Path

from rollout.cli.common import Common
from rollout.errors import SettingsError
from rollout.settings import Profile, load_profile

__all__ = ["ignored_proxies", "platform_profile"]

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NETRC")


def platform_profile(common: Common, *, url: str | None, ca_file: Path | None, instead: str = "") -> Profile:
    """Return the profile the common flags, the environment and these two name.

    Args:
        instead: another way out for who has none, told in the hint.
    Raises: SettingsError, R404 where nothing names one.
    """
    profile = load_profile(common.profile, config=common.config, url=url, ca_file=ca_file)
    if profile is None:
        raise SettingsError(
            "no profile says where to run",
            code="R404",
            hint=f"{instead}--profile NAME, --url or ENOS_URL name a gateway",
        )
    return profile


def ignored_proxies(profile: Profile) -> list[str]:
    """Return the proxy variables that are set; calls do not use them."""
    if profile.is_local:
        return []
    return [name for name in PROXIES if os.environ.get(name) or os.environ.get(name.lower())]
