"""Event ↔ JSON text: what a journal keeps of an event, for good.

An event becomes one JSON object; its `kind` stands beside the object. Each row says by `v` in which *format* it was written; one
that does not is of format 1. A journal outlives the program that wrote it by these rules:

* a field at its default is not written, and an absent field means the default *of the row's format*: `EVENT_DEFAULTS` pins
  those of each format, `journal.format_1` those of the first. What a dataclass of `core.events` has as its default
  counts for neither, so it may change without changing what was written;
* rows of an older format are read into the events of today;
* a format, kind, field or code we do not know is refused by name: a newer program wrote it, and to drop it would be to
  forget a fact.

To add a field: give it a default in its class, and the same one in the newest entry of `EVENT_DEFAULTS`, where it says what
rows without the field mean. To change a default: add an entry, a copy of the newest with the new value, under the next
`JOURNAL_FORMAT`. Older entries stay as they are. A field or code never changes its meaning: it gets another name.

Text is decoded on a fast path that trusts it. If it does not fit, a careful path reads it once more with the
standard library, which can hold what orjson cannot (integers beyond 64 bits, lone surrogates out of a foreign
error message), and only then complains. Both backends read what the other wrote.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from math import isfinite
from types import NoneType, UnionType
from typing import Any, Never, get_args, get_origin, get_type_hints

from rollout.core.events import EPHEMERAL, EVENTS, Event
from rollout.core.tally import Tally
from rollout.errors import JournalCorrupt
from rollout.journal import format_1

try:
    import orjson
except ImportError:  # the `speed` extra is not installed
    _FAST = False
else:
    _FAST = True

JOURNAL_FORMAT = 2
"""Version of the text and of the tables around it; a journal, or a row, of a higher one is refused."""

EVENT_DEFAULTS: Mapping[int, Mapping[str, Mapping[str, Any]]] = {
    2: {
        "campaign.started": {"group_sizes": (), "first_count_s": None},
        "engine.started": {"paranoid": False},
        "engine.stopped": {"message": ""},
        "batch.job_created": {"request_id": "", "adopted": False, "elapsed_s": 0.0},
        "batch.create_unsent": {"withheld": False},
        "batch.create_throttled": {"retry_after_s": None, "code": None},
        "batch.create_rejected": {"request_id": "", "retry_at": None, "credentials": False},
        "batch.outcome_unknown": {"code": None, "http_status": None, "request_id": "", "look_at": None},
        "batch.lookup_inconclusive": {"message": ""},
        "batch.parked": {"exposed": False, "jobs": (), "doubts": 0, "message": ""},
        "tasks.counted": {"enrolled_final": False, "retries_over": False, "next_at": None},
        "wave.audited": {"missing": (), "foreign": (), "retry_at": None},
        "gate.held": {"tally": None, "until": None, "overridden": False, "evidence": ""},
        "gate.satisfied": {"tally": None, "evidence": ""},
        "gate.unsatisfied": {"tally": None, "evidence": ""},
        "gate.passed": {"tally": None, "overridden": False, "evidence": ""},
        "approval.given": {"comment": "", "request": ""},
        "campaign.paused": {"reason": "", "request": ""},
        "campaign.resumed": {"reason": "", "request": ""},
        "campaign.halted": {
            "wave": None,
            "gate": False,
            "tally": None,
            "settled": False,
            "number": 0,
            "names": (),
            "code": None,
            "message": "",
            "request_id": "",
            "evidence": "",
        },
        "campaign.stalled": {"exposure": 0, "evidence": ""},
        "campaign.abort_requested": {
            "by": "",
            "reason": "",
            "stop_jobs": False,
            "cancel_pending": False,
            "request": "",
            "halt": None,
            "wave": None,
            "tally": None,
            "settled": False,
            "evidence": "",
        },
        "job.tasks_cancelled": {"again_at": None, "decided": True},
    },
}
"""What an absent field means, by format and kind. Pinned: what stands here was relied on when rows were written."""

_UPGRADED_TO = 2
"""The format that rows of format 1 are read into."""

_UNFIT = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError)
"""What text that is not one of our events does to a reader."""

Reader = Callable[[Any], Any]
Writer = Callable[[Any], Any]


class _UnknownCode(ValueError):
    """A code that this program does not know."""


def encode(event: Event) -> str:
    """Return the event's fields as one line of compact JSON; `kind` is not among them.

    An event that could not be read back (a value of another type, a float that is not finite) or is no history
    is a fault of the caller: AssertionError. Stored, it would make the whole journal unreadable.
    """
    assert event.kind not in EPHEMERAL, f"{event.kind} is not history"
    shape = _SHAPES[event.kind]
    record: dict[str, Any] = {"v": JOURNAL_FORMAT}
    name = ""
    try:
        for name, write in shape.required:
            record[name] = write(getattr(event, name))
        for name, write, default in shape.optional:
            value = getattr(event, name)
            if value != default:
                record[name] = write(value)
    except _UNFIT as error:
        message = f"{event.kind}: {name} is {getattr(event, name)!r:.80}, expected {error}"
        raise AssertionError(message) from None
    return _dumps(record)


def decode(kind: str, body: str) -> Event:
    """Return the event that `encode` turned into `body`. Raises JournalCorrupt, naming what does not fit."""
    shape = _SHAPES.get(kind)
    if shape is None:
        _refuse_newer(f"unknown event {kind!r}")
    try:
        return shape.build(_loads(body))
    except _UNFIT:
        return _decode_carefully(kind, shape, body)


@dataclass(frozen=True, slots=True)
class _Shape:
    """How one kind of event is written and read.

    `required`: fields without a default and how each is written; `optional`: the others, each with its default.
    `readers`: how each field is read. `defaults`: what absent ones mean, by format.
    """

    event: type[Event]
    required: tuple[tuple[str, Writer], ...]
    optional: tuple[tuple[str, Writer, Any], ...]
    readers: Mapping[str, Reader]
    defaults: Mapping[int, Mapping[str, Any]]

    def build(self, record: dict[str, Any]) -> Event:
        version = record.pop("v", 1)
        if version == 1:
            record, version = self.upgraded(record), _UPGRADED_TO
        readers = self.readers
        return self.event(
            **{**self.defaults[version], **{name: readers[name](value) for name, value in record.items()}}
        )

    def upgraded(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return a row of format 1 as one of `_UPGRADED_TO`."""
        required, optional = format_1.FIELDS[self.event.kind]
        if not record.keys() <= {*required, *optional}:
            raise ValueError("fields of format 1")
        return format_1.upgrade(self.event.kind, record)

    def missing(self, record: Mapping[str, Any], version: int) -> list[str]:
        """Return the fields that a row of the format must have and has not."""
        if version == 1:
            required, _ = format_1.FIELDS[self.event.kind]
            return sorted(set(required) - record.keys())
        return sorted(self.readers.keys() - self.defaults[version].keys() - record.keys())

    def known(self, version: int) -> set[str]:
        """Return the fields a row of the format may have."""
        if version == 1:
            required, optional = format_1.FIELDS[self.event.kind]
            return {*required, *optional}
        return set(self.readers)


def _decode_carefully(kind: str, shape: _Shape, body: str) -> Event:
    try:
        record = json.loads(body)
    except _UNFIT as error:
        raise _corrupt(f"{kind}: not JSON: {error}") from None
    if not isinstance(record, dict):
        raise _corrupt(f"{kind}: not an object")
    version = record.pop("v", 1)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise _corrupt(f"{kind}: v is {version!r:.80}, expected a format")
    if version > JOURNAL_FORMAT:
        _refuse_newer(f"{kind}: journal format {version}, this program reads up to {JOURNAL_FORMAT}")
    if unknown := record.keys() - shape.known(version):
        _refuse_newer(f"{kind}: unknown field {', '.join(sorted(unknown))}")
    if missing := shape.missing(record, version):
        raise _corrupt(f"{kind}: no {', '.join(missing)}")
    if version == 1:
        version = _UPGRADED_TO
        try:
            record = format_1.upgrade(kind, record)
        except _UNFIT as error:
            raise _corrupt(f"{kind}: reason is {record.get('reason')!r:.80}, expected {error}") from None
    for name, value in record.items():
        try:
            shape.readers[name](value)
        except _UnknownCode:
            _refuse_newer(f"{kind}: unknown {name} {value!r:.80}")
        except _UNFIT as error:
            raise _corrupt(f"{kind}: {name} is {value!r:.80}, expected {error}") from None
    return shape.build({"v": version, **record})


def _corrupt(message: str) -> JournalCorrupt:
    return JournalCorrupt(message, code="R705", hint="restore the campaign's directory from a backup")


def _refuse_newer(message: str) -> Never:
    raise JournalCorrupt(
        f"{message}: written by a newer version",
        code="R703",
        hint="upgrade rollout to the version that wrote the journal, or later",
    )


# --- readers, one for each type that occurs in an event: they check a value on its way in, too ---------------------------------------------------


def _whole(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("a whole number")


def _index(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError("a whole number, 0 or more")


def _number(value: Any) -> float:
    if isinstance(value, (float, int)) and not isinstance(value, bool) and isfinite(value):
        return float(value)
    raise ValueError("a finite number")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("text")


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError("true or false")


def _optional(reader: Reader) -> Reader:
    return lambda value: None if value is None else reader(value)


def _tuple_of(reader: Reader) -> Reader:
    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)):
            raise TypeError("a list")
        return tuple(reader(item) for item in value)

    return read


def _code_of(codes: type[StrEnum]) -> Reader:
    members: Mapping[str, StrEnum] = {code.value: code for code in codes}

    def read(value: Any) -> StrEnum:
        if not isinstance(value, str):
            raise ValueError("a code")  # noqa: TRY004 - as every reader
        if value not in members:
            raise _UnknownCode("a code this program knows")
        return members[value]

    return read


def _tally(value: Any) -> Tally:
    if isinstance(value, list) and len(value) == len(fields(Tally)):
        return Tally(*map(_whole, value))
    raise ValueError("six whole numbers")


def _tally_out(value: Any) -> list[int]:
    if not isinstance(value, Tally):
        raise ValueError("a tally")  # noqa: TRY004 - as every reader
    return [_whole(getattr(value, f.name)) for f in fields(value)]


_READERS: Mapping[type, Reader] = {int: _whole, float: _number, str: _text, bool: _flag, Tally: _tally}
_INDICES = frozenset({"batch", "wave", "group", "attempt"})
"""Fields that point into the plan or count attempts; below 0 they would point somewhere else, silently."""


def _reader(hint: Any) -> Reader:
    if get_origin(hint) is UnionType:
        return _optional(_reader(_inner(hint)))
    if get_origin(hint) is tuple:
        item, _ = get_args(hint)
        return _tuple_of(_reader(item))
    if issubclass(hint, StrEnum):
        return _code_of(hint)
    return _READERS[hint]


def _inner(hint: Any) -> Any:
    (inner,) = (part for part in get_args(hint) if part is not NoneType)
    return inner


def _writer(hint: Any, read: Reader) -> Writer:
    """Return what turns a field's value into JSON and checks it; for most types the reader does both."""
    if get_origin(hint) is UnionType and _inner(hint) is Tally:
        return _optional(_tally_out)
    return read


def _shape(event: type[Event]) -> _Shape:
    hints = get_type_hints(event)
    defaults = {version: kinds.get(event.kind, {}) for version, kinds in EVENT_DEFAULTS.items()}
    written = defaults[JOURNAL_FORMAT]
    readers = {
        f.name: _index if f.name in _INDICES and hints[f.name] is int else _reader(hints[f.name])
        for f in fields(event)
    }
    writers = {name: _writer(hints[name], read) for name, read in readers.items()}
    return _Shape(
        event,
        tuple((name, write) for name, write in writers.items() if name not in written),
        tuple((name, write, written[name]) for name, write in writers.items() if name in written),
        readers,
        defaults,
    )


_SHAPES: Mapping[str, _Shape] = {
    kind: _shape(event) for kind, event in EVENTS.items() if kind not in EPHEMERAL
}


# --- the two backends -------------------------------------------------------------------------------------


def _dumps_plainly(record: Mapping[str, Any]) -> str:
    # ASCII only: a lone surrogate has an escape, but no UTF-8 in which SQLite could store it
    return json.dumps(record, separators=(",", ":"), allow_nan=False)


def _dumps_fast(record: Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(record).decode()
    except TypeError:  # a lone surrogate or an integer beyond 64 bits
        return _dumps_plainly(record)


def _loads_fast(body: str) -> Any:
    return orjson.loads(body)


_dumps: Callable[[Mapping[str, Any]], str] = _dumps_fast if _FAST else _dumps_plainly
_loads: Callable[[str], Any] = _loads_fast if _FAST else json.loads
