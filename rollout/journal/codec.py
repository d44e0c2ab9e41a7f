"""Event ↔ JSON text: what a journal keeps of an event, for good.

The dataclasses of `core.events` are the format. An event becomes one JSON object with *all* its fields, its
`kind` stands beside the object. Defaults are written too: what an old journal says must not depend on what a
later program takes for granted. So a journal outlives the program that wrote it by two rules:

* a field that is missing and has a default is filled: this is how an old journal gets a new field;
* a kind or field we do not know is refused by name: a newer program wrote it, and to drop it would be to
  forget a fact. Whoever changes the meaning of a field raises `FORMAT`.

Text is decoded on a fast path that trusts it. If it does not fit, a careful path reads it once more with the
standard library, which can hold what orjson cannot (integers beyond 64 bits, lone surrogates out of a foreign
error message), and only then complains. Both backends read what the other wrote.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from math import isfinite
from types import NoneType, UnionType
from typing import Any, Never, get_args, get_origin, get_type_hints

from rollout.core.events import EPHEMERAL, EVENTS, Event
from rollout.errors import JournalCorrupt

try:
    import orjson
except ImportError:  # the `speed` extra is not installed
    _FAST = False
else:
    _FAST = True

__all__ = ["FORMAT", "decode", "encode"]

FORMAT = 1
"""Version of the text and of the tables around it; a journal of a higher one is refused."""

_UNFIT = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError)
"""What text that is not one of our events does to a reader."""

Reader = Callable[[Any], Any]


def encode(event: Event) -> str:
    """Return the event's fields as one line of compact JSON; `kind` is not among them.

    An event that could not be read back (a value of another type, a float that is not finite) or is no history
    is a fault of the caller: AssertionError. Stored, it would make the whole journal unreadable.
    """
    assert event.kind not in EPHEMERAL, f"{event.kind} is not history"
    record = {}
    for name, read in _SHAPES[event.kind].readers.items():
        value = getattr(event, name)
        try:
            record[name] = read(value)
        except _UNFIT as error:
            raise AssertionError(f"{event.kind}: {name} is {value!r:.80}, expected {error}") from None
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
    """How one kind of event is read: a reader for each field, in order; which fields have no default."""

    event: type[Event]
    readers: Mapping[str, Reader]
    required: frozenset[str]

    def build(self, record: Mapping[str, Any]) -> Event:
        readers = self.readers
        return self.event(**{name: readers[name](value) for name, value in record.items()})


def _decode_carefully(kind: str, shape: _Shape, body: str) -> Event:
    try:
        record = json.loads(body)
    except _UNFIT as error:
        raise _corrupt(f"{kind}: not JSON: {error}") from None
    if not isinstance(record, dict):
        raise _corrupt(f"{kind}: not an object")
    if unknown := record.keys() - shape.readers.keys():
        _refuse_newer(f"{kind}: unknown field {', '.join(sorted(unknown))}")
    if missing := shape.required - record.keys():
        raise _corrupt(f"{kind}: no {', '.join(sorted(missing))}")
    for name, value in record.items():
        try:
            shape.readers[name](value)
        except _UNFIT as error:
            raise _corrupt(f"{kind}: {name} is {value!r:.80}, expected {error}") from None
    return shape.build(record)


def _corrupt(message: str) -> JournalCorrupt:
    return JournalCorrupt(message, code="R705", hint="restore the campaign's directory from a backup")


def _refuse_newer(message: str) -> Never:
    raise JournalCorrupt(
        f"{message}, written by a newer version", code="R703", hint="upgrade rollout, then run it again"
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


_READERS: Mapping[type, Reader] = {int: _whole, float: _number, str: _text, bool: _flag}
_INDICES = frozenset({"batch", "wave", "group", "attempt"})
"""Fields that point into the plan or count attempts; below 0 they would point somewhere else, silently."""


def _reader(hint: Any) -> Reader:
    if get_origin(hint) is UnionType:
        (inner,) = (part for part in get_args(hint) if part is not NoneType)
        return _optional(_reader(inner))
    if get_origin(hint) is tuple:
        item, _ = get_args(hint)
        return _tuple_of(_reader(item))
    return _READERS[hint]


def _shape(event: type[Event]) -> _Shape:
    hints = get_type_hints(event)
    known = fields(event)
    return _Shape(
        event=event,
        readers={
            f.name: _index if f.name in _INDICES and hints[f.name] is int else _reader(hints[f.name])
            for f in known
        },
        required=frozenset(f.name for f in known if f.default is MISSING),
    )


_SHAPES: Mapping[str, _Shape] = {kind: _shape(event) for kind, event in EVENTS.items()}


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
