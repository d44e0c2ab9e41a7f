"""What single devices do: the draws that make a population's habits one device's life.

A device has traits for life (is it ever online, and at which hours?) and a course for every attempt (how long until it
first reports, how long it works, whether and where it fails). Both follow from the seed, the device's key and
the number of the attempt alone: the same device does the same in any run, whatever else happens and in whatever order
it is asked.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from statistics import NormalDist
from typing import NamedTuple

from rollout.emulator.platform.chance import Lots
from rollout.emulator.platform.population import Habits, Population
from rollout.emulator.platform.window import DAY_S, Daily, moment_after, next_open

WORK_S_MIN, WORK_S_MAX = 1.0, 7 * 86_400.0
"""Bounds of a drawn work time, seconds; a log-normal draw has none of its own."""

Column = Callable[[str], str | None]
"""Gives a device's value of a fleet column."""

_quantile = NormalDist().inv_cdf


class Course(NamedTuple):
    """What one attempt comes to, if nobody interferes; seconds while the device is on.

    `first_report_s` runs from the announcement, infinite for a device that never reports; `work_s` from the first
    report to success or failure. `step` is 100 on success, else the negative step the device reports. `day`: when
    the device is on; None if always.
    """

    first_report_s: float
    work_s: float
    step: int
    day: Daily | None

    def reports_at(self, announced_at: float) -> float:
        """Return when the first report comes, infinite if never."""
        if self.day is None or math.isinf(self.first_report_s):
            return announced_at + self.first_report_s
        return moment_after(self.day, announced_at, self.first_report_s)

    def ends_at(self, reported_at: float) -> float:
        """Return when the device is done, counted from its first report."""
        if self.day is None:
            return reported_at + self.work_s
        return moment_after(self.day, reported_at, self.work_s)


class Behaviour:
    """A population at work, with one seed."""

    def __init__(self, population: Population, seed: int) -> None:
        self.population = population
        self._lots = Lots(seed)
        self._common = _Draws(population.habits)
        self._strata = [(stratum.where, _Draws(stratum.habits)) for stratum in population.strata]
        self._columns = [(name, _Weighted(weights)) for name, weights in population.columns.items()]
        self._always_online = not any(draws.leaves for draws in self._all_draws())

    def course(self, key: str, attempt: int, column: Column) -> Course:
        """Return what attempt `attempt` (counted from 1) of the device comes to."""
        draws = self._draws(column)
        mute, report, work, failed, step, reached, *_ = self._lots.draw(f"{key}/{attempt}")
        habits = draws.habits
        low, high = habits.first_report_s
        first_report_s = math.inf if mute < habits.mute_ratio else low + (high - low) * report
        work_s = habits.work_s_median * math.exp(habits.work_s_sigma * _quantile(work))
        end = 100
        if failed < habits.failed_ratio:
            end = int(draws.steps.pick(step))
            # a failing device gives up somewhere on the way
            work_s *= reached
        day = self._day(draws, key) if draws.leaves else None
        return Course(first_report_s, min(max(work_s, WORK_S_MIN), WORK_S_MAX), end, day)

    def absence_s(self, key: str, column: Column) -> float:
        """Return how long the device stays away once it is wanted: 0 if it does not, infinite if it never comes."""
        if self._always_online:
            return 0.0
        habits = self._draws(column).habits
        asleep, away, back, *_ = self._lots.draw(f"{key}/away")
        if asleep < habits.sleeper_ratio:
            return math.inf
        if away >= habits.offline_ratio:
            return 0.0
        low, high = habits.offline_s
        return low + (high - low) * back

    def on_from(self, key: str, column: Column, at: float) -> float:
        """Return the first moment, not before `at`, at which the device is switched on."""
        if self._always_online or math.isinf(at):
            return at
        day = self._day(self._draws(column), key)
        opens_at = at if day is None else next_open(day, at)
        assert opens_at is not None, "a day comes again"
        return opens_at

    def first_request_s(self, key: str, column: Column) -> float:
        """Return after what time the device first asks for an upgrade by itself."""
        return self._lots.draw(f"{key}/asks")[0] * self.request_s(column)

    def request_s(self, column: Column) -> float:
        """Return how long the device waits before it asks again."""
        return self._draws(column).habits.request_s

    def columns(self, key: str) -> Iterator[tuple[str, str]]:
        """Yield the columns the device has by chance, with their values."""
        for name, values in self._columns:
            yield name, values.pick(self._lots.draw(f"{key}/column/{name}")[0])

    def _day(self, draws: _Draws, key: str) -> Daily | None:
        habits = draws.habits
        if not habits.daily_ratio:
            return None
        rhythm, shift, *_ = self._lots.draw(f"{key}/daily")
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
    """Values of which one is picked, by weight."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._values = list(weights)
        self._up_to = list(itertools.accumulate(weights.values()))

    def pick(self, draw: float) -> str:
        """Return the value that a number between 0 and 1 stands for."""
        return self._values[bisect.bisect_right(self._up_to, draw * self._up_to[-1])]


class _Draws:
    """Habits, with what every draw would otherwise compute anew."""

    __slots__ = ("habits", "leaves", "steps")

    def __init__(self, habits: Habits) -> None:
        self.habits = habits
        self.leaves = bool(habits.sleeper_ratio or habits.offline_ratio or habits.daily_ratio)
        self.steps = _Weighted({str(step): weight for step, weight in habits.failure_steps.items()})
