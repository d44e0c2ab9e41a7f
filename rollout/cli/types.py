"""Values of flags, read strictly: plain ASCII digits in a fixed shape, within named bounds.

Python's own `int` and `float` accept ` 1_0 `, Arabic digits, `nan` and `1e400`; a limit read from those would be
no limit.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

__all__ = [
    "DURATION",
    "FAULT",
    "PORT",
    "RATE",
    "SEED",
    "SHARE",
    "SITE_SHARE",
    "SPEED",
    "Number",
    "check_output_file",
]


class Number(click.ParamType[float]):
    """A decimal number between two bounds, both included."""

    def __init__(self, name: str, least: float, most: float, *, whole: bool = False) -> None:
        self.name = name
        self._least = least
        self._most = most
        self._shape = re.compile(r"[0-9]{1,9}" if whole else r"[0-9]{1,9}(\.[0-9]{1,6})?")
        self._whole = whole

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        if not isinstance(value, str):
            return float(value)
        if self._shape.fullmatch(value) is None or not self._least <= float(value) <= self._most:
            kind = "a whole number" if self._whole else "a number"
            self.fail(
                f"expected {kind} from {self._least:g} to {self._most:,.10g}, got {value[:40]!r}", param, ctx
            )
        return int(value) if self._whole else float(value)


class Share(click.ParamType[float]):
    """A share between 0 and 1, written `0.4%` or `0.004`."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the share as a number from 0 to 1."""
        if not isinstance(value, str):
            return float(value)
        match = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)(%?)", value)
        share = float(match[1]) / (100 if match[2] else 1) if match else -1.0
        if not 0 <= share <= 1:
            self.fail(f"expected a share such as 5% or 0.05, got {value[:40]!r}", param, ctx)
        return share


class Duration(click.ParamType[float]):
    """A length of time such as `500ms`, `30s`, `2h`; in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        if not isinstance(value, str):
            return float(value)
        match = re.fullmatch(r"([0-9]{1,6})(ms|s|m|h|d)", value)
        if match is None:
            self.fail(f"expected a duration such as 500ms, 30s or 2h, got {value[:40]!r}", param, ctx)
        return int(match[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


class Rate(click.ParamType[float]):
    """Calls per second, written `20/s` or `600/min`."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return calls per second."""
        if not isinstance(value, str):
            return float(value)
        match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)/(s|min)", value)
        rate = float(match[1]) / (60 if match[2] == "min" else 1) if match else 0.0
        if rate <= 0:
            self.fail(f"expected a rate such as 20/s or 600/min, got {value[:40]!r}", param, ctx)
        return rate


class _Named(click.ParamType[tuple[str, float]]):
    """A name with a share: `site-113:20%`, `commit_then_drop=0.2`."""

    def __init__(self, name: str, separator: str) -> None:
        self.name = name
        self._separator = separator

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, float]:
        """Return name and share."""
        if isinstance(value, tuple):
            return value
        name, separator, share = value.rpartition(self._separator)
        if not separator or not name:
            self.fail(f"expected {self.name}, got {value[:40]!r}", param, ctx)
        return name, SHARE.convert(share, param, ctx)


SHARE = Share()
DURATION = Duration()
RATE = Rate()
SEED = Number("seed", 0, 999_999_999, whole=True)
PORT = Number("port", 0, 65_535, whole=True)
SPEED = Number("speed", 1, 100_000)
"""How many times faster than real time an emulated platform lives; beyond this its clock outruns any call."""
SITE_SHARE = _Named("SITE:SHARE", ":")
FAULT = _Named("NAME=P", "=")


def check_output_file(path: Path, *inputs: Path) -> None:
    """Refuse, before any work, an output that is a directory, one of the inputs, or in no directory."""
    if path.is_dir():
        raise click.UsageError(f"{path}: is a directory")
    if not path.parent.is_dir():
        raise click.UsageError(f"{path}: its directory does not exist")
    if path.exists() and any(source.exists() and path.samefile(source) for source in inputs):
        raise click.UsageError(f"{path}: is an input of this command")
