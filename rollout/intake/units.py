"""Readers of shares, durations, rates, sizes and times, one for each unit: text becomes an exact value.

A number without its unit is refused where it could be read in two ways: `5` as a share may mean 5 % or 500 %,
and to misread a limit is worse than to refuse it. Shares are exact fractions: 0.99 is 99/100, not the nearest
float.
"""

from __future__ import annotations

import re
from datetime import datetime
from fractions import Fraction

from rollout.core.campaign import Count, Rest, Share
from rollout.intake.complaints import quoted

COUNT_MAX = 10_000_000
"""Devices in a campaign: the most that planner and manifest were built for. Ours."""

DURATION_S_MAX = 366 * 86_400
"""Seconds. A longer wait than a year is taken for a mistake. Ours."""

RATE_PER_S_MAX = 1000
"""Calls per second: more than any gateway allows, and about what one process can send. Ours."""

SHARE_PATTERN = r"^([0-9]{1,3}(\.[0-9]{1,9})?%|[01]\.[0-9]{1,9})$"
DURATION_PATTERN = r"^([0-9]{1,9}(\.[0-9]{1,3})?(ms|s|m|h|d))+$"
RATE_PATTERN = r"^[0-9]{1,6}(\.[0-9]{1,6})?/(s|min|h)$"
SIZE_PATTERN = r"^([0-9]{1,9}|[0-9]{1,3}(\.[0-9]{1,9})?%|rest)$"

_INTEGER = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)
_PART = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)", re.ASCII)
_UNIT_S = {
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
    "d": Fraction(86400),
}
_PER_S = {"s": 1, "min": 60, "h": 3600}


class Unreadable(ValueError):
    """The text cannot be read. `code` is one of `rollout.codes`, `hint` says what to write instead, or is empty."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


def read_count(text: str, *, low: int = 0, high: int = COUNT_MAX, unit: str = "") -> int:
    """Return a whole number in `low` to `high`. Raises Unreadable (R105, R102)."""
    tail = f" ({unit})" if unit else ""
    if not _INTEGER.fullmatch(text):
        if re.fullmatch(r"-[0-9]{1,18}", text, re.ASCII):
            raise Unreadable("R102", f"{text} is below {low}{tail}")
        if re.fullmatch(r"[1-9][0-9]{18,}", text, re.ASCII):
            raise Unreadable("R102", f"{quoted(text)} is above {high}{tail}")
        hint = f"a plain number of {unit}" if unit and _PART.match(text) else ""
        raise Unreadable("R105", f"expected a whole number{tail}, got {quoted(text)}", hint)
    number = int(text)
    if number < low:
        raise Unreadable("R102", f"{number} is below {low}{tail}")
    if number > high:
        raise Unreadable("R102", f"{number} is above {high}{tail}")
    return number


def read_flag(text: str) -> bool:
    """Return what `true` or `false` says; no other spelling is read. Raises Unreadable (R105)."""
    if text not in ("true", "false"):
        raise Unreadable("R105", f"expected true or false, got {quoted(text)}")
    return text == "true"


def read_share(text: str) -> Fraction:
    """Return a share in 0 to 1, exactly: `99%`, `99.5%` or `0.995`. Raises Unreadable (R104)."""
    share = _share(text)
    if share is None:
        hint = f"did you mean {text}%?" if _INTEGER.fullmatch(text) else ""
        raise Unreadable("R104", f"{quoted(text)} is not a share; write 99% or 0.99", hint)
    if share > 1:
        raise Unreadable("R104", f"{quoted(text)} is more than 100%")
    return share


def read_duration(text: str) -> float:
    """Return seconds: `2h`, `30m`, `500ms`, `1h30m`, `2d`. Raises Unreadable (R108)."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        hint = f"did you mean {text}s?" if _INTEGER.fullmatch(text) else ""
        raise Unreadable("R108", f"{quoted(text)} is not a duration; write 2h, 30m, 1h30m or 500ms", hint)
    seconds = sum((Fraction(number) * _UNIT_S[unit] for number, unit in parts), Fraction())
    if seconds > DURATION_S_MAX:
        raise Unreadable("R102", f"{quoted(text)} is longer than 366 days")
    return float(seconds)


def read_rate(text: str) -> float:
    """Return calls per second, above 0 and at most 1000: `2/s`, `30/min`. Raises Unreadable (R109, R102)."""
    number, slash, unit = text.partition("/")
    if not slash or unit not in _PER_S or not _DECIMAL.fullmatch(number) or len(number) > 13:
        hint = f"did you mean {text}/s?" if _DECIMAL.fullmatch(text) else ""
        raise Unreadable("R109", f"{quoted(text)} is not a rate; write 2/s or 30/min", hint)
    rate = Fraction(number) / _PER_S[unit]
    if not 0 < rate <= RATE_PER_S_MAX:
        raise Unreadable("R102", f"{quoted(text)} is not above 0 and at most {RATE_PER_S_MAX}/s")
    return float(rate)


def read_size(text: str) -> Count | Share | Rest:
    """Return a wave's size: devices `10`, a share of the fleet `5%`, or `rest`. Raises Unreadable (R104, R102)."""
    if text == "rest":
        return Rest()
    if _INTEGER.fullmatch(text):
        return Count(read_count(text, low=1, unit="devices"))
    share = _share(text) if text.endswith("%") else None
    if share is None:
        hint = ""
        if (decimal := _share(text)) is not None and decimal <= 1:
            hint = f"did you mean {float(decimal * 100):g}%?"
        raise Unreadable(
            "R104", f"{quoted(text)} is not a size; write 10 (devices), 5% (of the fleet) or rest", hint
        )
    if not 0 < share <= 1:
        raise Unreadable("R104", f"{quoted(text)} is not above 0% and at most 100%")
    return Share(share)


def read_stop(text: str) -> Fraction | int:
    """Return how many failures stop a wave: a share, or a number of devices. Raises Unreadable (R104)."""
    return int(text) if _INTEGER.fullmatch(text) and len(text) < 9 else read_share(text)


def read_timestamp_ms(text: str) -> int:
    """Return epoch milliseconds from themselves or from RFC 3339 with a zone. Raises Unreadable (R123)."""
    if _INTEGER.fullmatch(text):
        number = int(text)
        # the same instant in seconds is a thousand times smaller: nobody plans for January 1970
        if number < 100_000_000_000:
            raise Unreadable("R123", f"{text} is not in milliseconds", f"did you mean {text}000?")
        if number > 32_503_680_000_000:
            raise Unreadable("R123", f"{text} is after the year 2999")
        return number
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or len(text) <= len("2026-11-23"):
        wanted = "write epoch milliseconds or 2026-11-23T09:00:00+01:00"
        raise Unreadable("R123", f"{quoted(text)} is not a point in time; {wanted}")
    if moment.tzinfo is None:
        raise Unreadable("R123", f"{quoted(text)} has no zone", f"did you mean {text}Z?")
    return round(moment.timestamp() * 1000)


def _share(text: str) -> Fraction | None:
    """Return the share that a text spells, which may be above 1; None for any other text, a plain integer included."""
    percent = text.endswith("%")
    number = text.removesuffix("%")
    if not _DECIMAL.fullmatch(number) or len(number) > 16 or not (percent or "." in number):
        return None
    return Fraction(number) / 100 if percent else Fraction(number)
