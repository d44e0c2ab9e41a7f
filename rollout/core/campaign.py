"""What the operator asked for: a campaign and its values.

A *campaign* brings a firmware to a *fleet* in *waves*. Everything here is a frozen value; reading it
from a file is `rollout.intake`'s work, splitting the fleet is `core.plan`'s.
Durations are seconds, times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Any

__all__ = [
    "ApiRetry",
    "CallLimit",
    "Campaign",
    "Count",
    "Denominator",
    "Gate",
    "JobSpec",
    "JobType",
    "Keys",
    "Limits",
    "Localized",
    "OnFail",
    "Rest",
    "RetryPolicy",
    "SchedulePolicy",
    "Scope",
    "Share",
    "Size",
    "StopRule",
    "Threshold",
    "Wave",
    "WhenUnsure",
]


@dataclass(frozen=True, slots=True)
class Localized:
    """A name in several languages, EnOS's StringI18n; `i18n` maps locale (`en_US`) to text."""

    default: str
    i18n: Mapping[str, str] = field(default_factory=dict)


class JobType(StrEnum):
    """What an EnOS job is for."""

    UPGRADE = "upgrade"
    VERIFY = "verify"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """EnOS's own retry of a failed task: up to `count` times (1-5), `interval_s` (0-86,400) after a failure."""

    enabled: bool = False
    interval_s: int = 0
    count: int = 0


@dataclass(frozen=True, slots=True)
class SchedulePolicy:
    """EnOS's push window of a job; epoch milliseconds, as the platform wants them."""

    start_ms: int
    end_ms: int
    repeat_daily: bool | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """An upgradeScope that lets EnOS pick the devices: `total`, or `partial` with one selector.

    `selector` is EnOS's field name (`attributes`, `tags`, `assetTrees`, `deviceGroupIds`, `assetIds`),
    `value` its JSON value. A wave with a scope is one create call.
    """

    type: str
    selector: str | None = None
    value: Any = None


@dataclass(frozen=True, slots=True)
class JobSpec:
    """Everything of a create call but its devices and its name. Source: create_ota_job page, 2.4.4."""

    type: JobType = JobType.UPGRADE
    version_numbers: tuple[str, ...] = ()
    upgrade_policy: str = "snapshot"
    enable_upgrade_request: bool = False
    upgrade_timeout_s: int = 7200
    maximum_concurrency: int = 300
    retry: RetryPolicy = RetryPolicy()
    schedule: SchedulePolicy | None = None
    product_key: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


class Denominator(StrEnum):
    """What a share is a share of: devices planned for the wave, or devices that came to an end."""

    PLANNED = "planned"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Threshold:
    """At least `min` (0-1) of the denominator."""

    min: Fraction
    of: Denominator


@dataclass(frozen=True, slots=True)
class StopRule:
    """Halt when more than `failed` have failed, once `min_sample` devices are resolved.

    `failed` is a share of `of` as a Fraction, or a plain number of devices as an int (then no sample is needed).
    """

    failed: Fraction | int
    of: Denominator = Denominator.RESOLVED
    min_sample: int = 1


class OnFail(StrEnum):
    """What a failed gate does: create nothing more, or end the campaign and stop its jobs."""

    PAUSE = "pause"
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class Gate:
    """What must hold before the next wave opens. Every part is optional; together they are a conjunction.

    `soak_s` runs from the moment the thresholds hold; `deadline_s` from the opening of the wave.
    """

    success: Threshold | None = None
    resolved: Threshold | None = None
    stop: StopRule | None = None
    min_sample: int = 1
    soak_s: float = 0.0
    deadline_s: float | None = None
    on_fail: OnFail = OnFail.PAUSE
    approval: bool = False


@dataclass(frozen=True, slots=True)
class Count:
    """A wave of this many devices."""

    devices: int


@dataclass(frozen=True, slots=True)
class Share:
    """A wave of this share of all devices in scope, rounded up."""

    of_fleet: Fraction


@dataclass(frozen=True, slots=True)
class Rest:
    """A wave of all devices no other wave takes."""


@dataclass(frozen=True, slots=True)
class Keys:
    """A wave of exactly these devices."""

    keys: tuple[str, ...]


Size = Count | Share | Rest | Keys | Scope


@dataclass(frozen=True, slots=True)
class Wave:
    """One step of the campaign. `spread_by` names the fleet column whose strata get a fair share."""

    name: str
    size: Size
    job: JobSpec
    gate: Gate | None = None
    spread_by: str | None = None


@dataclass(frozen=True, slots=True)
class CallLimit:
    """How fast and how many at once calls of one kind may go out. `rate` is calls per second."""

    rate: float
    burst: int = 1
    in_flight: int = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """The campaign's budgets. `devices_in_progress` caps devices upgrading over all its jobs together."""

    create: CallLimit = CallLimit(rate=2.0)
    read: CallLimit = CallLimit(rate=10.0, burst=5)
    devices_in_progress: int | None = None


class WhenUnsure(StrEnum):
    """What to do with a create that may have taken effect and is not found: see `core.retry`."""

    RESEND = "resend"
    PARK = "park"


@dataclass(frozen=True, slots=True)
class ApiRetry:
    """How a call that may be repeated is repeated: exponential backoff with full jitter."""

    attempts: int = 6
    first_s: float = 0.5
    max_s: float = 60.0
    when_unsure: WhenUnsure = WhenUnsure.RESEND


@dataclass(frozen=True, slots=True)
class Campaign:
    """A whole order: which firmware, to whom, in which steps, under which limits.

    `stragglers_after_s`: once a wave has passed its gate, devices still open after nothing in it has moved for
    this long are stragglers and no longer waited for. A gate that is not satisfied waits for its own deadline.
    """

    id: str
    name: Localized
    org_id: str
    firmware_id: str
    waves: tuple[Wave, ...]
    per_job: int = 500
    limits: Limits = Limits()
    api_retry: ApiRetry = ApiRetry()
    stragglers_after_s: float = 7200.0
