"""structlog, set up once: every log event goes through one chain to every outlet.

    event + fields ─► time ─► redact, escape ─► outlets: JSON or text line ─► sink (own thread)

Standard-library logging is not involved (it doubles the cost of a line); libraries that log through it stay
silent, which also keeps their debug texts, full of headers, off our streams. The chain is the same for all
outlets, so no outlet can leak what another hides.

Nearly every record is harmless, and there may be thousands a second. So the JSON line is made first and checked as a
whole: printable ASCII alone, no form of a secret in it, only flat values under field names that are known to be
harmless. Such a line is finished. Any other record is cleaned value by value, and its line is made again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import structlog

from rollout.telemetry.redact import REDACTOR, Redactor
from rollout.telemetry.sink import LineSink
from rollout.text import iso_utc, safe

try:
    import orjson
except ImportError:  # the `speed` extra is not installed
    orjson = None  # type: ignore[assignment]  # the module's name stands for its absence

Fields = Mapping[str, Any]


class LogFormat(StrEnum):
    """How a log record is written."""

    CONSOLE = "console"
    JSON = "json"


def json_line(fields: Fields) -> bytes:
    """Return the record as one JSON object on one line."""
    if orjson is not None:
        try:
            return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
        except orjson.JSONEncodeError:
            pass  # an integer beyond 64 bits, which only the slower encoder below can write
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def console_line(fields: Fields) -> bytes:
    """Return the record for people: time, level from warning on, name, then `key=value` pairs.

    Times are written as dates here; the JSON form keeps them as epoch seconds.
    """
    rest = dict(fields)
    name = str(rest.pop("event", ""))
    level = str(rest.pop("level", "info"))
    moment = str(rest.pop("timestamp", ""))
    for known in ("campaignId", "seq", "ts"):
        rest.pop(known, None)
    mark = "" if level in ("info", "debug") else f" {level.upper()}"
    pairs = " ".join(
        f"{key}={_plain(_moment(key, value))}" for key, value in rest.items() if value is not None
    )
    return f"{moment}{mark} {name:<22} {pairs}".rstrip().encode("utf-8", "backslashreplace") + b"\n"


def _moment(key: str, value: Any) -> Any:
    """Return the value of a field whose name says that it is a time (`until`, `retryAt`) as a date, others as they are."""
    return iso_utc(value) if isinstance(value, float) and (key == "until" or key.endswith("At")) else value


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return json.dumps(text, ensure_ascii=False) if text == "" or any(c in ' "=' for c in text) else text


_RANK = {level: rank for rank, level in enumerate(("debug", "info", "warning", "error", "critical"))}
_PLAIN = frozenset({str, int, float, bool, type(None)})


@dataclass(frozen=True, slots=True)
class Outlet:
    """One place that log lines go to, in which form, and from which level on."""

    sink: LineSink
    format: LogFormat
    least: str = "debug"

    def put(self, fields: Fields, line: bytes) -> None:
        """Pass the record to the sink; `line` is its JSON. Never waits, and does not raise if the line cannot be written."""
        if _RANK[fields["level"]] >= _RANK[self.least]:
            self.sink.write(line if self.format is LogFormat.JSON else console_line(fields))


class _Fan:
    """The logger that structlog calls: it gives the finished record to every outlet."""

    def __init__(self, outlets: tuple[Outlet, ...]) -> None:
        self._outlets = outlets

    def put(self, fields: Fields, line: bytes) -> None:
        for outlet in self._outlets:
            outlet.put(fields, line)

    debug = info = warning = error = critical = msg = put


class _Processors:
    """The two processors of the chain, `moment` and then `finish`, with what they need."""

    def __init__(self, redactor: Redactor, clock: Callable[[], float]) -> None:
        self._redactor = redactor
        self._clock = clock
        self._harmless: set[str] = set()

    def moment(self, _logger: Any, level: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        at = fields.pop("at", None)
        at = self._clock() if at is None else at
        event = fields.pop("event", "")
        # the observer hands its fields over as one value: as keywords they would be copied at every step
        record = fields.pop("fields", None) or {}
        return {
            "timestamp": iso_utc(at),
            "ts": round(at * 1000),
            "level": level,
            "event": event,
            **record,
            **fields,
        }

    def finish(
        self, _logger: Any, _level: str, fields: MutableMapping[str, Any]
    ) -> tuple[tuple[Fields, bytes], dict[str, Any]]:
        if self._flat(fields):
            line = json_line(fields)
            # a backslash may be an escaped line feed or ESC: harmless in JSON, not in the text form on a terminal
            escaped = b"\\" in line or b"\x7f" in line
            if line.isascii() and not escaped and not self._redactor.finds(line):
                return (fields, line), {}
        clean = {safe(key): _escaped(value) for key, value in self._redactor.value(fields).items()}
        return (clean, json_line(clean)), {}

    def _flat(self, fields: MutableMapping[str, Any]) -> bool:
        """Return whether all values are plain and all names harmless; harmless names are remembered."""
        if not self._harmless.issuperset(fields):
            self._harmless |= {name for name in fields if self._redactor.is_harmless_name(name)}
            if not self._harmless.issuperset(fields):
                return False
        return _PLAIN.issuperset(map(type, fields.values()))


def _escaped(value: Any) -> Any:
    match value:
        case str():
            return safe(value)
        case list():
            return [_escaped(item) for item in value]
        case dict():
            return {safe(key): _escaped(item) for key, item in value.items()}
        case _:
            return value


def configure(
    outlets: Iterable[Outlet],
    *,
    redactor: Redactor = REDACTOR,
    clock: Callable[[], float] = time.time,
) -> None:
    """Send every structlog record of this process to `outlets`, redacted and escaped.

    Args:
        clock: epoch seconds for records that bring no `at` of their own.
    """
    chain = _Processors(redactor, clock)
    fan = _Fan(tuple(outlets))
    structlog.configure(
        processors=[chain.moment, chain.finish],
        wrapper_class=structlog.make_filtering_bound_logger("debug"),
        logger_factory=lambda *_: fan,
        cache_logger_on_first_use=False,
    )
