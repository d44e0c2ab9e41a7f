"""What is wrong with a document: a collector that tells all of it at once.

A reader that stops at the first fault makes its user run it once per fault. So readers here never raise on
their own: they `add` to a `Complaints` and go on with what still stands, and one `settle` at the end refuses
the document or hands out the warnings. Whether a code refuses or only warns is a property of the code: see
`rollout.codes`.

Memory is bounded whatever the document holds: a fleet file with ten million bad rows costs a counter.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rollout.codes import CATALOGUE, Severity
from rollout.errors import Complaint, PlanError

__all__ = ["COMPLAINTS_SHOWN_MAX", "Complaints", "Loc", "Place", "Places", "quoted"]

COMPLAINTS_SHOWN_MAX = 20
"""Faults told in full; the others are counted. More than a screenful is not read."""

_KEPT_MAX = 1000
"""Faults kept for sorting by place before the first 20 are chosen; a plan file of 1 MiB rarely has more."""

_VALUE_CHARS_MAX = 40
"""Characters of a refused value that are shown."""

Loc = tuple[str | int, ...]
"""Where something stands in a document's tree: keys and list indices from the root, as written in the file."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands, counted from 1; `plain` if it is a scalar without quotes.

    `key` is line and column of the mapping key it belongs to, or of the value itself in a list.
    """

    line: int
    column: int
    plain: bool = False
    key: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Places:
    """All places of one document, and how its list items are called in messages."""

    at: Mapping[Loc, Place] = field(default_factory=dict)
    names: Mapping[Loc, str] = field(default_factory=dict)

    def of(self, loc: Loc) -> Place | None:
        """Return the place of `loc`, or of the nearest thing around it that has one."""
        for length in range(len(loc), -1, -1):
            if (place := self.at.get(loc[:length])) is not None:
                return place
        return None

    def path(self, loc: Loc) -> str:
        """Return how people call `loc`: `waves.canary.gate.success.min`, `waves[2].size`."""
        text = ""
        for length, part in enumerate(loc, start=1):
            name = self.names.get(loc[:length], part)
            text += f"[{name + 1}]" if isinstance(name, int) else f".{name}" if text else name
        return text


class Complaints:
    """Collects the faults of one or several documents until `settle`."""

    def __init__(self, file: str = "", places: Places | None = None) -> None:
        self.file = file
        self.places = places or Places()
        self._kept: dict[Complaint, None] = {}
        self._errors_more = 0

    def add(
        self, code: str, message: str, *, loc: Loc | None = None, hint: str = "", at_key: bool = False
    ) -> None:
        """Add a fault of this collector's own document at `loc`; the path is put before the message."""
        line = column = 0
        path = ""
        if loc is not None:
            path = self.places.path(loc)
            if (place := self.places.of(loc)) is not None:
                line, column = place.key if at_key and place.key[0] else (place.line, place.column)
        text = f"{path}: {message}" if path else message
        self.add_at(code, text, file=self.file, line=line, column=column, hint=hint, field=path)

    def add_at(
        self,
        code: str,
        message: str,
        *,
        file: str,
        line: int = 0,
        column: int = 0,
        hint: str = "",
        field: str = "",
    ) -> None:
        """Add a fault of any file; equal ones count once."""
        severity = CATALOGUE[code].severity
        complaint = Complaint(file, line, column, code, message, hint, severity, field)
        if complaint in self._kept:
            return
        if len(self._kept) < _KEPT_MAX:
            self._kept[complaint] = None
        elif severity is Severity.ERROR:
            self._errors_more += 1

    def extend(self, complaints: Iterable[Complaint]) -> None:
        """Add complaints made elsewhere."""
        for complaint in complaints:
            self._kept.setdefault(complaint)

    @property
    def failed(self) -> bool:
        """Whether the document is to be refused."""
        return any(complaint.severity is Severity.ERROR for complaint in self._kept)

    def settle(self) -> tuple[Complaint, ...]:
        """Return the warnings, by place. Raises `PlanError` with up to 20 faults and a count of the others."""
        files = {complaint.file: order for order, complaint in reversed(list(enumerate(self._kept)))}
        ordered = sorted(self._kept, key=lambda c: (files[c.file], c.line, c.column))
        if not self.failed:
            return tuple(ordered)
        errors = [c for c in ordered if c.severity is Severity.ERROR]
        more = max(0, len(errors) - COMPLAINTS_SHOWN_MAX) + self._errors_more
        shown = set(itertools.islice(errors, COMPLAINTS_SHOWN_MAX))
        told = [c for c in ordered if c in shown or c.severity is Severity.WARNING]
        if more:
            told.append(Complaint(ordered[-1].file, 0, 0, "R199", f"and {more:,} more faults"))
        raise PlanError(*told)


def quoted(value: object) -> str:
    """Return a refused value for a message: printable, on one line, at most 40 characters."""
    if isinstance(value, list):
        return "a list"
    if isinstance(value, Mapping):
        return "a mapping"
    text = ascii(value) if not str(value).isprintable() else repr(value)
    return text if len(text) <= _VALUE_CHARS_MAX + 2 else text[:_VALUE_CHARS_MAX] + "…'"
