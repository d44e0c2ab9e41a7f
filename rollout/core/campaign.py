"""What the operator asked for: a campaign and its values.

A *campaign* brings a firmware to a *fleet* in *waves*. Everything here is a frozen value. `rollout.intake` reads
it from a plan file, `core.plan` splits the fleet by it, `core.campaign_json` writes it into the saved plan and
reads it back. Durations are seconds, points in time are epoch milliseconds where the platform takes them so.

Here stands what every platform has. What only one platform knows (EnOS's job type, upgrade policy, source
versions, ...) is `JobSpec.platform`: one mapping of JSON values, which that platform's part of the house writes,
checks and sends. Nothing in `core/` looks into it.

A field may be added at any time, if it has a default: see `core.campaign_json` for what that default means to
plans that were saved before. A field whose value the create call sends belongs into `JobSpec`; one that is not
sent belongs anywhere else, because every field of `JobSpec` is part of the digest in the names of jobs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Any, Final

DAY_S: Final = 86_400.0
"""Seconds of a day."""


@dataclass(frozen=True, slots=True)
class Localized:
    """A name in several languages. Set by the plan file."""

    default: str
    """The text where no locale fits, 1 to 256 characters."""
    i18n: Mapping[str, str] = field(default_factory=dict)
    """Locale (`en_US`) to text of 1 to 256 characters."""


@dataclass(frozen=True, slots=True)
class TaskRetry:
    """The platform's own retry of a failed task. Set by the plan file."""

    enabled: bool = False
    """Whether the platform retries at all. The two numbers are 0 where it does not."""
    interval_s: int = 0
    """Seconds from a failure to the next attempt, 0 to 86,400."""
    count: int = 0
    """Retries of one device at most, 1 to 5."""


@dataclass(frozen=True, slots=True)
class PushSchedule:
    """The platform's push window of a job: nothing is pushed outside it. Set by the plan file."""

    start_ms: int
    """Epoch milliseconds from which devices are pushed to."""
    end_ms: int
    """Epoch milliseconds until which devices are pushed to; later than `start_ms`."""
    repeat_daily: bool | None = None
    """Whether the window comes again every day; None: not sent, the platform's own default holds."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The platform picks the devices: all of the product, or those that one selector matches.

    A wave with a scope is one create call. Set by the plan file, checked by the platform's part of the house.
    """

    type: str
    """`total` or `partial`."""
    selector: str | None = None
    """The platform's name of the selector (EnOS: `attributes`, `tags`, `assetTrees`, ...); None for `total`."""
    value: Any = None
    """The selector's JSON value; None for `total`."""


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What a create call sends besides its name, its devices and the firmware. Set by the plan file's `job`."""

    upgrade_timeout_s: int = 7200
    """Seconds one attempt of one device may take before the platform calls it failed; EnOS: 300 to 172,800."""
    maximum_concurrency: int | None = 300
    """Devices of one job in progress at once, 1 or more; None: the platform works on all of them at once."""
    retry: TaskRetry = TaskRetry()
    """How the platform retries failed devices by itself."""
    schedule: PushSchedule | None = None
    """When the platform pushes; None: at any time."""
    grows: bool = False
    """Whether devices may join the job after its creation, so that its number of tasks is never final."""
    platform: Mapping[str, Any] = field(default_factory=dict)
    """What only the platform knows, as JSON values under its own names. Read and checked by that platform's
    part of the house alone (EnOS: `enos.job_settings`); what is not in it is not sent."""


class Denominator(StrEnum):
    """What a share is a share of: devices planned for the wave, or devices that came to an end."""

    PLANNED = "planned"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Threshold:
    """A share of the devices that must be reached. Set by the plan file's gate."""

    min: Fraction
    """The share, 0 to 1."""
    of: Denominator
    """What it is a share of."""


@dataclass(frozen=True, slots=True)
class StopRule:
    """Halts the campaign when more devices than this have failed. Set by the plan file's gate."""

    failed: Fraction | int
    """A share of `of`, 0 to 1; or a number of devices as an int, for which `min_sample` does not count."""
    of: Denominator = Denominator.RESOLVED
    """What a share is a share of."""
    min_sample: int = 1
    """Devices that must be resolved before a share counts, 1 or more."""


class OnFail(StrEnum):
    """What a failed gate does: create nothing more, or end the campaign and stop its jobs."""

    PAUSE = "pause"
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class Gate:
    """What must hold before the next wave opens. Every part is optional; all parts must hold together.

    Set by the plan file; `core.gate` weighs it.
    """

    success: Threshold | None = None
    """Devices that must have succeeded; None: not asked for."""
    resolved: Threshold | None = None
    """Devices that must have come to an end, well or not; None: not asked for."""
    stop: StopRule | None = None
    """How many failures halt the campaign; None: no number does."""
    min_sample: int = 1
    """Devices that must be resolved before the gate can open, 1 or more."""
    soak_s: float = 0.0
    """Seconds to wait from the moment the thresholds hold, 0 or more."""
    deadline_s: float | None = None
    """Seconds from the opening of the wave after which an unsatisfied gate has failed; None: it never does."""
    on_fail: OnFail = OnFail.PAUSE
    """What happens when the gate fails."""
    approval: bool = False
    """Whether a person must let the next wave open."""


@dataclass(frozen=True, slots=True)
class Count:
    """A wave of this many devices."""

    devices: int
    """1 or more."""


@dataclass(frozen=True, slots=True)
class Share:
    """A wave of this share of all devices in scope, rounded up."""

    of_fleet: Fraction
    """Above 0, at most 1."""


@dataclass(frozen=True, slots=True)
class Rest:
    """A wave of all devices that no other wave takes."""


@dataclass(frozen=True, slots=True)
class Keys:
    """A wave of exactly these devices."""

    keys: tuple[str, ...]
    """Device keys, each once, in the order of the plan file."""


Size = Count | Share | Rest | Keys | Scope


@dataclass(frozen=True, slots=True)
class Wave:
    """One step of the campaign. Set by the plan file."""

    name: str
    """Unique in the campaign, 1 to 32 letters, digits, `-` and `_`."""
    size: Size
    """Which devices, or how many."""
    job: JobSpec
    """What the create calls of this wave send."""
    gate: Gate | None = None
    """What must hold before the next wave opens; None: nothing."""
    spread_by: str | None = None
    """Fleet column of which every value gets a fair share of the wave; None: devices are drawn without regard."""


@dataclass(frozen=True, slots=True)
class CallLimit:
    """How fast and how many at once calls of one kind may go out. Set by the plan file's `limits`."""

    rate: float
    """Calls per second, above 0."""
    burst: int = 1
    """Calls that may go out at once after a time without calls, 1 or more."""
    in_flight: int = 4
    """Calls open at once, 1 or more."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The campaign's budgets. Set by the plan file's `limits`."""

    create: CallLimit = CallLimit(rate=2.0)
    """Create calls."""
    read: CallLimit = CallLimit(rate=10.0, burst=5)
    """Search calls."""
    devices_in_progress: int | None = None
    """Devices upgrading at once over all jobs of the campaign together, 1 or more; None: no cap."""


class WhenUnsure(StrEnum):
    """What to do with a create that may have taken effect and is not found: see `core.retry`."""

    RESEND = "resend"
    PARK = "park"


@dataclass(frozen=True, slots=True)
class ApiRetry:
    """How a call that may be repeated is repeated: exponential backoff with full jitter. Set by the plan file."""

    attempts: int = 6
    """Attempts at most, 1 to 20, the first one counted."""
    first_s: float = 0.5
    """Seconds of the first wait at most."""
    max_s: float = 60.0
    """Seconds of any wait at most."""
    when_unsure: WhenUnsure = WhenUnsure.RESEND
    """What to do with a create that may have taken effect and is not found."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """Which firmware goes to whom, in which waves, under which limits. Set by the plan file."""

    id: str
    """1 to 32 of a-z, 0-9 and `-`; part of every job's name."""
    name: Localized
    """What people see in the platform's console."""
    org_id: str
    """The platform's organisation."""
    firmware_id: str
    """The platform's id of the firmware."""
    waves: tuple[Wave, ...]
    """The steps in order, 1 to 50."""
    per_job: int = 500
    """Devices per create call at most, 1 to 10,000."""
    limits: Limits = Limits()
    """How fast, and how much at once."""
    api_retry: ApiRetry = ApiRetry()
    """How a failed call is repeated."""
    stragglers_after_s: float = 7200.0
    """Seconds without any movement in a wave that has passed its gate, after which its open devices are stragglers
    and no longer waited for. A gate that is not satisfied waits for its own deadline instead."""
