"""When a job may push: what `schedulePolicy` and its older form mean.

Without daily repetition the policy is one span of time. With it, only the times of day of start and end count, in the
zone that `timezoneOffsetInMinutes` gives (UTC if absent); a start later than the end means a span across midnight. The
pages name the fields and do not explain them; this is the plainest reading. The older fields `startSchedule` and
`endSchedule` are seconds of the day.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import assert_never

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Always:
    """No restriction; the documented default."""


@dataclass(frozen=True, slots=True)
class Span:
    """Once, from `start` to `end`, both included; seconds since the epoch."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Daily:
    """Every day from `start_s` to `end_s`, both included: seconds of the day in a zone `offset_s` east of UTC.

    Only between `since` and `until`, seconds since the epoch. The times of day are whole seconds, so that the moment
    `next_open` returns is never too early by a rounding error.
    """

    start_s: int
    end_s: int
    offset_s: int = 0
    since: float = -math.inf
    until: float = math.inf


Window = Always | Span | Daily


def is_open(window: Window, at: float) -> bool:
    """Return whether the job may push at `at`, seconds since the epoch."""
    match window:
        case Always():
            return True
        case Span(start, end):
            return start <= at <= end
        case Daily(start_s, end_s, offset_s, since, until):
            if not since <= at <= until:
                return False
            second = (at + offset_s) % DAY_S
            if start_s <= end_s:
                return start_s <= second <= end_s
            return second >= start_s or second <= end_s
        case _:
            assert_never(window)


def next_open(window: Window, at: float) -> float | None:
    """Return the first moment at or after `at` when the job may push; None if there is none."""
    if is_open(window, at):
        return at
    match window:
        case Always():
            return at
        case Span(start, _):
            return start if at < start else None
        case Daily(start_s, _, offset_s, since, until):
            if at < since:
                return next_open(window, since)
            midnight = (at + offset_s) // DAY_S * DAY_S
            start_today = midnight + start_s - offset_s
            opens_at = start_today if start_today >= at else start_today + DAY_S
            return opens_at if opens_at <= until else None
        case _:
            assert_never(window)


def moment_after(day: Daily, at: float, open_s: float) -> float:
    """Return the moment at which `day` has been open for `open_s` seconds since `at`."""
    first = next_open(day, at)
    assert first is not None, "the hours come again every day"
    left_s = (day.end_s - first - day.offset_s) % DAY_S
    if open_s <= left_s:
        return first + open_s
    length_s = (day.end_s - day.start_s) % DAY_S
    # whole days; one that is used up ends at its own end, not at the next day's start
    days, rest_s = divmod(open_s - left_s, length_s)
    if not rest_s:
        days, rest_s = days - 1, float(length_s)
    opens_again = first + left_s + (day.start_s - day.end_s) % DAY_S
    return opens_again + days * DAY_S + rest_s
