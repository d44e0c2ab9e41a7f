"""What single devices do: random draws from the habits of their population.

Some draws hold for a device's whole life: whether it is ever online, and at which hours. Others are made for each
attempt: how long until the first report, how long the work takes, whether and at which step it fails. All of them
depend on the seed, the device's key and the number of the attempt alone. So the same device does the same in every
run, whatever else happens and in whatever order devices are asked.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from statistics import NormalDist
from typing import NamedTuple

from rollout.emulator.platform.chance import NamedDraws
from rollout.emulator.platform.population import Habits, Population
from rollout.emulator.platform.window import DAY_S, Daily, moment_after, next_open

WORK_S_MIN, WORK_S_MAX = 1.0, 7 * 86_400.0
"""Bounds of a drawn work time, seconds. Ours: a log-normal draw has no bounds."""

Column = Callable[[str], str | None]
"""Returns a device's value of a fleet column; None if it has none."""

_quantile = NormalDist().inv_cdf


class DrawnAttempt(NamedTuple):
    """How one attempt goes if nobody cancels it and no time limit ends it. Times count only while the device is on.

    `first_report_s`: seconds from the announcement to the first report, infinite if the device never reports. `work_s`:
    seconds from the first report to success or failure. `step`: 100 on success, else the negative step that the device
    reports. `day`: the hours at which the device is on; None if always.
    """

    first_report_s: float
    work_s: float
    step: int
    day: Daily | None

    def reports_at(self, announced_at: float) -> float:
        """Return when the first report comes, seconds since the epoch; infinite if never."""
        if self.day is None or math.isinf(self.first_report_s):
            return announced_at + self.first_report_s
        return moment_after(self.day, announced_at, self.first_report_s)

    def ends_at(self, reported_at: float) -> float:
        """Return when the device is done, seconds since the epoch, given the time of its first report."""
        if self.day is None:
            return reported_at + self.work_s
        return moment_after(self.day, reported_at, self.work_s)


class Behaviour:
    """The devices of a population, with one seed. Methods take the device's key and how to read its columns."""

    def __init__(self, population: Population, seed: int) -> None:
        self.population = population
        self._chance = NamedDraws(seed)
        self._common = _Draws(population.habits)
        self._strata = [(stratum.where, _Draws(stratum.habits)) for stratum in population.strata]
        self._columns = [(name, _Weighted(weights)) for name, weights in population.columns.items()]
        self._always_online = not any(draws.leaves for draws in self._all_draws())

    def attempt(self, key: str, attempt: int, column: Column) -> DrawnAttempt:
        """Return how attempt number `attempt`, counted from 1, of the device goes."""
        draws = self._draws(column)
        mute, report, work, failed, step, reached, *_ = self._chance.draw(f"{key}/{attempt}")
        habits = draws.habits
        low, high = habits.first_report_s
        first_report_s = math.inf if mute < habits.mute_ratio else low + (high - low) * report
        work_s = habits.work_s_median * math.exp(habits.work_s_sigma * _quantile(work))
        end = 100
        if failed < habits.failed_ratio:
            end = int(draws.steps.pick(step))
            # a failing device stops after part of the work
            work_s *= reached
        day = self._day(draws, key) if draws.leaves else None
        return DrawnAttempt(first_report_s, min(max(work_s, WORK_S_MIN), WORK_S_MAX), end, day)

    def absence_s(self, key: str, column: Column) -> float:
        """Return how many seconds the device is away when it is first wanted: 0 if it is there, infinite if it never comes."""
        if self._always_online:
            return 0.0
        habits = self._draws(column).habits
        asleep, away, back, *_ = self._chance.draw(f"{key}/away")
        if asleep < habits.sleeper_ratio:
            return math.inf
        if away >= habits.offline_ratio:
            return 0.0
        low, high = habits.offline_s
        return low + (high - low) * back

    def on_from(self, key: str, column: Column, at: float) -> float:
        """Return the first moment at or after `at` at which the device is switched on."""
        if self._always_online or math.isinf(at):
            return at
        day = self._day(self._draws(column), key)
        opens_at = at if day is None else next_open(day, at)
        assert opens_at is not None, "the hours come again every day"
        return opens_at

    def first_request_s(self, key: str, column: Column) -> float:
        """Return after how many seconds the device first asks for an upgrade by itself."""
        return self._chance.draw(f"{key}/asks")[0] * self.request_s(column)

    def request_s(self, column: Column) -> float:
        """Return how many seconds the device waits before it asks again."""
        return self._draws(column).habits.request_s

    def columns(self, key: str) -> Iterator[tuple[str, str]]:
        """Yield the columns that the population gives the device at random, with their values."""
        for name, values in self._columns:
            yield name, values.pick(self._chance.draw(f"{key}/column/{name}")[0])

    def _day(self, draws: _Draws, key: str) -> Daily | None:
        habits = draws.habits
        if not habits.daily_ratio:
            return None
        rhythm, shift, *_ = self._chance.draw(f"{key}/daily")
        if rhythm >= habits.daily_ratio:
            return None
        moved = round((shift - 0.5) * habits.daily_spread_s)
        start, end = habits.daily_s
        return Daily((start + moved) % DAY_S, (end + moved) % DAY_S)

    def _draws(self, column: Column) -> _Draws:
        for where, draws in self._strata:
            if all(column(name) in values for name, values in where.items()):
                return draws
        return self._common

    def _all_draws(self) -> Iterator[_Draws]:
        yield self._common
        yield from (draws for _, draws in self._strata)


class _Weighted:
    """Values with weights, of which one is picked."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._values = list(weights)
        self._up_to = list(itertools.accumulate(weights.values()))

    def pick(self, draw: float) -> str:
        """Return the value for `draw`, uniform in (0, 1)."""
        return self._values[bisect.bisect_right(self._up_to, draw * self._up_to[-1])]


class _Draws:
    """Habits, with what would otherwise be computed again at every draw.

    `leaves`: whether a device with these habits is ever unreachable. `steps`: the failure steps, ready to be picked from.
    """

    __slots__ = ("habits", "leaves", "steps")

    def __init__(self, habits: Habits) -> None:
        self.habits = habits
        self.leaves = bool(habits.sleeper_ratio or habits.offline_ratio or habits.daily_ratio)
        self.steps = _Weighted({str(step): weight for step, weight in habits.failure_steps.items()})
