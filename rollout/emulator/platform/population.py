"""How a fleet behaves: the habits of its devices, and the parts of the fleet that have other habits. Pure values.

`behaviour` draws from these what a single device does. A population is made in code, from flags, or from a fleet file
(`plans/fleets/`, read by `population_file`), whose keys are the fields below in other units.

Work times are log-normal around `work_s_median`: some take much longer, as downloads over slow links do.
Failure steps are those of the device protocol: -1 upgrade failed, -2 download failed, -3 signature check failed,
-4 writing failed, -5 ignored by the device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

from rollout.emulator.platform.window import DAY_S

FAILURE_TEXTS: Mapping[int, str] = {
    -1: "upgrade failed",
    -2: "firmware download failed",
    -3: "firmware signature verification failed",
    -4: "writing firmware failed",
    -5: "upgrade ignored by the device",
}
"""What emulated devices report for each step. The steps are documented, the words are ours."""

STEP_MIN = -128
"""The lowest step a device can report: a record keeps it in one byte. Ours. Steps below -5 are the device maker's own."""

_RATIOS = ("failed_ratio", "mute_ratio", "offline_ratio", "sleeper_ratio", "daily_ratio")
_SPANS = ("first_report_s", "offline_s")


@dataclass(frozen=True, slots=True)
class Habits:
    """What devices do, as ratios in [0, 1] and times in seconds.

    Attempts. `failed_ratio` of them fail, at a step picked by the weights of `failure_steps`. `mute_ratio` of them are
    announced and the device never reports. The first report comes after a uniform time from `first_report_s`, the end
    after a further log-normal time (`work_s_median`, `work_s_sigma`).

    Presence. `sleeper_ratio` of the devices never come online. Of the others, `offline_ratio` are away when first wanted
    and come back after a uniform time from `offline_s`. `daily_ratio` are switched on only from `daily_s[0]` to `daily_s[1]`
    of every day (seconds of the day, UTC; across midnight if the first is later); each device's hours are moved by up to
    half of `daily_spread_s`, earlier or later. Work stands still while a device is off.

    Devices that ask for upgrades by themselves do so every `request_s`.
    """

    failed_ratio: float = 0.0
    failure_steps: Mapping[int, float] = field(
        default_factory=lambda: {-1: 0.30, -2: 0.35, -3: 0.10, -4: 0.10, -5: 0.15}
    )
    mute_ratio: float = 0.0
    first_report_s: tuple[float, float] = (1.0, 20.0)
    work_s_median: float = 600.0
    work_s_sigma: float = 0.35
    sleeper_ratio: float = 0.0
    offline_ratio: float = 0.0
    offline_s: tuple[float, float] = (60.0, 3600.0)
    daily_ratio: float = 0.0
    daily_s: tuple[int, int] = (6 * 3600, 20 * 3600)
    daily_spread_s: float = 0.0
    request_s: float = 600.0

    def __post_init__(self) -> None:
        for name in _RATIOS:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie in 0 to 1, not {getattr(self, name)}")
        if self.work_s_median <= 0 or self.request_s <= 0 or self.work_s_sigma < 0:
            raise ValueError("work_s_median and request_s must be above 0, work_s_sigma not below")
        for name in _SPANS:
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"{name} must be two times in rising order, not {low}, {high}")
        start, end = self.daily_s
        if not (0 <= start < DAY_S and 0 <= end < DAY_S and start != end):
            raise ValueError(f"daily_s must be two different times of the day, not {start}, {end}")
        if not 0 <= self.daily_spread_s < DAY_S:
            raise ValueError(f"daily_spread_s must be 0 to below a day, not {self.daily_spread_s}")
        if (
            not all(STEP_MIN <= step < 0 for step in self.failure_steps)
            or not sum(self.failure_steps.values()) > 0
        ):
            raise ValueError(f"failure_steps needs a step with weight, and all of them from {STEP_MIN} to -1")
        if any(weight < 0 for weight in self.failure_steps.values()):
            raise ValueError("failure_steps must have weights of at least 0")


@dataclass(frozen=True, slots=True)
class Stratum:
    """Part of a fleet, with habits of its own: the devices whose value of each column in `where` is one of those listed."""

    where: Mapping[str, tuple[str, ...]]
    habits: Habits


@dataclass(frozen=True, slots=True)
class Population(Habits):
    """A fleet: the habits of its devices, and `strata` with their own. The first stratum that fits a device counts.

    `columns`: values that a device gets at random where it is not given one: column → value → weight, such as
    `{"firmwareVersion": {"1.0": 0.8, "1.1": 0.2}}`.
    """

    strata: tuple[Stratum, ...] = ()
    columns: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # zero-argument super() does not survive the class being made anew for its slots
        Habits.__post_init__(self)
        for name, weights in self.columns.items():
            if any(weight < 0 for weight in weights.values()) or not sum(weights.values()) > 0:
                raise ValueError(f"column {name} needs values with weights of at least 0, not all of them 0")

    @property
    def habits(self) -> Habits:
        """The habits of the devices that are in no stratum."""
        return Habits(**{part.name: getattr(self, part.name) for part in fields(Habits)})

    def with_stratum(self, column: str, value: str, **changes: Any) -> Self:
        """Return this fleet with one more stratum, before all others: the common habits with `changes`."""
        stratum = Stratum({column: (value,)}, replace(self.habits, **changes))
        return replace(self, strata=(stratum, *self.strata))

    def with_failed_ratio(self, ratio: float) -> Self:
        """Return this fleet with the same `failed_ratio` for all devices, in strata too."""
        strata = tuple(
            replace(stratum, habits=replace(stratum.habits, failed_ratio=ratio)) for stratum in self.strata
        )
        return replace(self, failed_ratio=ratio, strata=strata)
