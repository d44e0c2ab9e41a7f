"""Values of flags, read strictly: plain ASCII digits in a fixed shape, within named bounds.

Python's own `int` and `float` accept ` 1_0 `, Arabic digits, `nan` and `1e400`; a limit read
from such a text would limit nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


class NumberParam(click.ParamType[float]):
    """A decimal number between two bounds, both included."""

    def __init__(self, name: str, least: float, most: float, *, whole: bool = False, digits: int = 9) -> None:
        self.name = name
        self._least = least
        self._most = most
        self._shape = re.compile(rf"[0-9]{{1,{digits}}}" + ("" if whole else r"(\.[0-9]{1,6})?"))
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


class ShareParam(click.ParamType[float]):
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


class SiteShare(click.ParamType[tuple[str, float]]):
    """A value of the fleet's site column with a share: `site-113:20%`."""

    name = "SITE:SHARE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, float]:
        """Return site and share."""
        if isinstance(value, tuple):
            return value
        site, separator, share = value.rpartition(":")
        if not separator or not site:
            self.fail(f"expected {self.name}, got {value[:40]!r}", param, ctx)
        return site, SHARE.convert(share, param, ctx)


class StoreAddress(click.ParamType[str]):
    """Where campaigns are kept: a directory, or another kind of store by its scheme. It must outlast the command."""

    name = "directory"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the address. A path that is no directory is refused, and a store that ends with the command."""
        from rollout.app.stores import scheme_of  # noqa: PLC0415 - help needs no store

        text = str(value)
        scheme = scheme_of(text)
        if scheme == "memory":
            self.fail(
                f"{text!r} is for scripts: a command's campaigns would be gone when it ends", param, ctx
            )
        if not scheme:
            click.Path(file_okay=False).convert(text, param, ctx)
            text = str(Path(text))
        return text


class Parsed(click.ParamType[Any]):
    """A value that is read by a function of another room; the text of its ValueError becomes the flag's error message."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value that the function returns for the text."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _org_id(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text) is None:
        raise ValueError(f"an organisation's id has letters, digits, - and _, not {text[:40]!r}")
    return text


ORG = Parsed("ID", _org_id)
SHARE = ShareParam()
DURATION = Duration()
SEED = NumberParam("seed", 0, 999_999_999, whole=True)
PORT = NumberParam("port", 0, 65_535, whole=True)
SPEED = NumberParam("speed", 1, 100_000)
"""Times faster than real time at which an emulator runs. Beyond this its clock moves too far during one call."""
SITE_SHARE = SiteShare()
STORE = StoreAddress()


def check_output_file(path: Path, *inputs: Path) -> None:
    """Refuse an output file before any work is done: a directory, one of the inputs, or in a directory that is missing."""
    if path.is_dir():
        raise click.UsageError(f"{path}: is a directory")
    if not path.parent.is_dir():
        raise click.UsageError(f"{path}: its directory does not exist")
    if path.exists() and any(source.exists() and path.samefile(source) for source in inputs):
        raise click.UsageError(f"{path}: is an input of this command")
