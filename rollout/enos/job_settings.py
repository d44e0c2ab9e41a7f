"""The job settings that only EnOS knows: the opaque part of a `JobSpec`, as values.

A plan's `job` is read by `enos.job_plan`, which writes these settings into `JobSpec.platform`; the saved plan
keeps that mapping as it is. Here it is read back by those who send it or need one of its values. Everything that
is sent is written out, so that a later default changes no campaign that was saved before.

A new parameter of the create call: a field here, its key in the plan in `enos.job_plan`, its place in the body
in `enos.translate`, and its explanation in `plans/README.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Self

from rollout.core.campaign import JobSpec
from rollout.errors import Complaint, PlanError


class JobType(StrEnum):
    """What an EnOS job is for."""

    UPGRADE = "upgrade"
    VERIFY = "verify"


UPGRADE_POLICIES: Final = ("snapshot", "incremental")


@dataclass(frozen=True, slots=True)
class JobSettings:
    """EnOS's own settings of a job. Source: create_ota_job page, 2.4.4. Set by the plan file's `job`."""

    type: JobType = JobType.UPGRADE
    """What the job is for."""
    version_numbers: tuple[str, ...] = ()
    """Versions to upgrade from, at most 1,000; empty: from any."""
    upgrade_policy: str = "snapshot"
    """`snapshot`: the devices are settled at creation; `incremental`: more may join. Upgrade jobs only."""
    enable_upgrade_request: bool = False
    """Whether devices may ask for the upgrade themselves. Upgrade jobs only."""
    product_key: str | None = None
    """The product whose devices are meant; None: the firmware is tied to a product already."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Undocumented fields of the create call, sent as they are."""

    @classmethod
    def of(cls, spec: JobSpec) -> Self:
        """Return the settings in a `JobSpec`. Raises PlanError for a setting that is not known here, or no setting."""
        given = spec.platform
        if unknown := sorted(given.keys() - _KEYS):
            raise _refused("R181", f"has settings of a newer program: {', '.join(unknown)}")
        if (kind := given.get("type", JobType.UPGRADE)) not in set(JobType):
            raise _refused("R181", f"has a type of a newer program: {kind}")
        try:
            settings = cls(
                type=JobType(kind),
                version_numbers=tuple(given.get("versionNumbers", ())),
                upgrade_policy=given.get("upgradePolicy", "snapshot"),
                enable_upgrade_request=given.get("enableUpgradeRequest", False),
                product_key=given.get("productKey"),
                extra=given.get("extra", {}),
            )
        except (TypeError, ValueError) as error:
            raise _refused("R182", f"is damaged: {error}") from error
        if settings.upgrade_policy not in UPGRADE_POLICIES:
            raise _refused("R181", f"has an upgradePolicy of a newer program: {settings.upgrade_policy}")
        return settings

    @property
    def grows(self) -> bool:
        """Whether devices may join the job after its creation."""
        return self.type is JobType.UPGRADE and self.upgrade_policy == "incremental"

    def to_platform(self) -> dict[str, Any]:
        """Return what `JobSpec.platform` holds: all that is sent, under EnOS's names."""
        written: dict[str, Any] = {"type": self.type.value}
        if self.type is JobType.UPGRADE:
            written["upgradePolicy"] = self.upgrade_policy
            written["enableUpgradeRequest"] = self.enable_upgrade_request
        if self.version_numbers:
            written["versionNumbers"] = list(self.version_numbers)
        if self.product_key is not None:
            written["productKey"] = self.product_key
        if self.extra:
            written["extra"] = dict(self.extra)
        return written


_KEYS: Final = frozenset(
    {"type", "versionNumbers", "upgradePolicy", "enableUpgradeRequest", "productKey", "extra"}
)


def _refused(code: str, message: str) -> PlanError:
    hint = "use the program that saved it" if code == "R181" else ""
    return PlanError(Complaint("plan.json", 0, 0, code, f"a job {message}", hint))
