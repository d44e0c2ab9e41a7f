"""How devices behave: a small seeded model of a fleet in the field.

A device has traits for life (does it ever come online?) and a course for every attempt (how long until it first
reports, how long it works, whether and where it fails). Both are drawn from dice of their own, seeded
with the population's seed, the device's key and the number of the attempt: the same device does the same in
any run, whatever else happens and in whatever order it is asked.

Work times are log-normal around `work_s_median`: long tails to the right, as downloads over field links have.
Of a stratum (a bad site, a weak radio) the first that fits a device replaces the shares it names.
Failure steps are those of the device protocol: -1 upgrade failed, -2 download failed, -3 signature check failed,
-4 writing failed, -5 ignored by the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rollout.emulator.chance import dice

__all__ = ["FAILURE_TEXTS", "Course", "Population", "Stratum"]

FAILURE_TEXTS: Mapping[int, str] = {
    -1: "upgrade failed",
    -2: "firmware download failed",
    -3: "firmware signature verification failed",
    -4: "writing firmware failed",
    -5: "upgrade ignored by the device",
}
"""What our devices say for a step of the protocol; the words are ours, the steps are documented."""

WORK_S_MIN, WORK_S_MAX = 1.0, 7 * 86_400.0
"""Bounds of a drawn work time, seconds; a log-normal draw has none of its own."""


@dataclass(frozen=True, slots=True)
class Course:
    """What one attempt comes to, if nobody interferes; seconds.

    `first_report_s` runs from the announcement, infinite for a device that never reports; `work_s` from the first
    report to success or failure. `step` is 100 on success, else the negative step the device reports.
    """

    first_report_s: float
    work_s: float
    step: int


@dataclass(frozen=True, slots=True)
class Stratum:
    """Devices whose `column` has `value`, and the shares that differ for them; None leaves the common share."""

    column: str
    value: str
    failed_ratio: float | None = None
    offline_ratio: float | None = None
    slowness: float = 1.0


@dataclass(frozen=True, slots=True)
class Population:
    """A fleet's habits. Ratios are in [0, 1], times in seconds.

    `offline_ratio` of the devices are away when first wanted and come back after a time drawn from
    `offline_s`; `sleeper_ratio` of those that are away never come. `mute_ratio` of the attempts are
    announced and never heard of. `failed_ratio` is the chance of one attempt. Devices that ask for
    upgrades by themselves do so every `request_s`.
    """

    work_s_median: float = 600.0
    work_s_sigma: float = 0.35
    first_report_s: tuple[float, float] = (1.0, 20.0)
    failed_ratio: float = 0.0
    offline_ratio: float = 0.0
    offline_s: tuple[float, float] = (60.0, 3600.0)
    sleeper_ratio: float = 0.0
    mute_ratio: float = 0.0
    request_s: float = 600.0
    failure_steps: Mapping[int, float] = field(
        default_factory=lambda: {-1: 0.30, -2: 0.35, -3: 0.10, -4: 0.10, -5: 0.15}
    )
    strata: tuple[Stratum, ...] = ()

    def __post_init__(self) -> None:
        for name in ("failed_ratio", "offline_ratio", "sleeper_ratio", "mute_ratio"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie in 0 to 1, not {getattr(self, name)}")
        if self.work_s_median <= 0 or self.request_s <= 0 or self.work_s_sigma < 0:
            raise ValueError("work_s_median and request_s must be above 0, work_s_sigma not below")
        for name in ("first_report_s", "offline_s"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"{name} must be two times in rising order, not {low}, {high}")
        if not self.failure_steps or any(step >= 0 for step in self.failure_steps):
            raise ValueError("failure_steps needs at least one step, all negative")

    def course(self, seed: int, key: str, attempt: int, column: Callable[[str], str | None]) -> Course:
        """Return what attempt `attempt` (counted from 1) of the device comes to.

        Args:
            column: gives the device's value of a fleet column.
        """
        chance = dice(seed, key, attempt)
        stratum = self._stratum(column)
        first_report_s = (
            math.inf if chance.random() < self.mute_ratio else chance.uniform(*self.first_report_s)
        )
        slowness = 1.0 if stratum is None else stratum.slowness
        work_s = chance.lognormvariate(math.log(self.work_s_median), self.work_s_sigma) * slowness
        failed_ratio = self.failed_ratio
        if stratum is not None and stratum.failed_ratio is not None:
            failed_ratio = stratum.failed_ratio
        step = 100
        if chance.random() < failed_ratio:
            step = chance.choices(list(self.failure_steps), list(self.failure_steps.values()))[0]
            # a failing device gives up somewhere on the way
            work_s *= chance.random()
        return Course(first_report_s, min(max(work_s, WORK_S_MIN), WORK_S_MAX), step)

    def absence_s(self, seed: int, key: str, column: Callable[[str], str | None]) -> float:
        """Return how long the device stays away once it is wanted: 0 if online, infinite if it never comes."""
        chance = dice(seed, key, "away")
        stratum = self._stratum(column)
        offline_ratio = self.offline_ratio
        if stratum is not None and stratum.offline_ratio is not None:
            offline_ratio = stratum.offline_ratio
        if chance.random() >= offline_ratio:
            return 0.0
        if chance.random() < self.sleeper_ratio:
            return math.inf
        return chance.uniform(*self.offline_s)

    def first_request_s(self, seed: int, key: str) -> float:
        """Return after what time the device first asks for an upgrade by itself."""
        return dice(seed, key, "asks").uniform(0.0, self.request_s)

    def _stratum(self, column: Callable[[str], str | None]) -> Stratum | None:
        return next((s for s in self.strata if column(s.column) == s.value), None)
