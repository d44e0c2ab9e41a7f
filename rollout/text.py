r"""How texts, numbers and times are written for people: one form each for the whole program.

Names, messages and codes come from plan files, device lists and the platform. Shown raw, an escape sequence could
repaint a terminal, a line feed could forge a log record, and a bidirectional or invisible character could make one
id look like another. `safe` shows every such character as its escape (`\x1b`, `\u202e`).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from fractions import Fraction
from functools import lru_cache

# C0, DEL and C1; soft hyphen, Arabic letter mark, Mongolian separator; zero-width and bidirectional marks,
# line and paragraph separators, invisible operators, byte order mark, interlinear marks, lone surrogates, tags
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def _escape(match: re.Match[str]) -> str:
    point = ord(match.group())
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def safe(text: str) -> str:
    """Return `text` on one line with control, bidirectional and invisible characters escaped."""
    return text if text.isascii() and text.isprintable() else _UNSAFE.sub(_escape, text)


def clipped(text: str, width: int) -> str:
    """Return `text` cut to `width` characters; three dots show the cut. For words only: an id is never cut."""
    return text if len(text) <= width else text[: max(width - 3, 0)] + "..."


def count(number: int) -> str:
    """Return the number with thousands separators: `48,000`."""
    return f"{number:,}"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return the number with its noun: `1 job`, `2 jobs`. `plural` is given where it is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def percent(value: Fraction) -> str:
    """Return a share as people write it: `99%`, `99.6%`; rounded down, so that 99.999% is never shown as 100%."""
    whole, hundredths = divmod(int(value * 10_000), 100)
    return f"{whole}%" if not hundredths else f"{whole}.{hundredths:02d}".rstrip("0") + "%"


def duration(seconds: float) -> str:
    """Return a length of time as people write it: `49s`, `1h12m`, `1d 06:41:12`. Negative counts as 0."""
    whole = max(0, round(seconds))
    minutes, s = divmod(whole, 60)
    hours, m = divmod(minutes, 60)
    days, h = divmod(hours, 24)
    if days:
        return f"{days}d {h:02d}:{m:02d}:{s:02d}" if h or m or s else f"{days}d"
    if hours:
        return f"{h}h{m:02d}m" if m else f"{h}h"
    if minutes:
        return f"{m}m{s:02d}s" if s else f"{m}m"
    return f"{s}s"


def iso_utc(at: float) -> str:
    """Return epoch seconds as `2026-11-23T08:00:01.102Z`."""
    second, rest = divmod(round(at * 1000), 1000)
    return f"{_iso_second(second)}.{rest:03d}Z"


@lru_cache(maxsize=8)
def _iso_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat(timespec="seconds").removesuffix("+00:00")


def local_time(at: float) -> str:
    """Return epoch seconds as `2026-11-23 11:24:10+01:00`, in the machine's time zone."""
    return datetime.fromtimestamp(at, UTC).astimezone().isoformat(" ", timespec="seconds")
