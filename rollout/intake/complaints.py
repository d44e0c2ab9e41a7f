"""Faults of a document, collected so that all of them are reported at once.

A reader that stops at the first fault makes its user run it once for each fault. So the readers in this room do
not raise for a fault: they `add` it to a `Complaints` and go on with the rest. `raise_if_failed` at the end refuses the
document, or returns the warnings. `rollout.codes` says which codes refuse and which only warn.

Memory is bounded: of a fleet file with ten million bad rows, 1,000 faults are kept and the others are counted.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rollout.codes import CATALOGUE, Severity
from rollout.errors import Complaint, PlanError

COMPLAINTS_SHOWN_MAX = 20
"""Faults reported in full; the others are counted. Nobody reads more than a screenful."""

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
    """The places of all values of one document, and the names of its list items in messages."""

    at: Mapping[Loc, Place] = field(default_factory=dict)
    names: Mapping[Loc, str] = field(default_factory=dict)

    def of(self, loc: Loc) -> Place | None:
        """Return the place of `loc`, or of the innermost block around it that has one; None if there is none."""
        for length in range(len(loc), -1, -1):
            if (place := self.at.get(loc[:length])) is not None:
                return place
        return None

    def path(self, loc: Loc) -> str:
        """Return the path to `loc` as people write it: `waves.canary.gate.success.min`, `waves[2].size`."""
        text = ""
        for length, part in enumerate(loc, start=1):
            name = self.names.get(loc[:length], part)
            text += f"[{name + 1}]" if isinstance(name, int) else f".{name}" if text else name
        return text


class Complaints:
    """Collects the faults of one or several documents until `raise_if_failed`."""

    def __init__(self, file: str = "", places: Places | None = None) -> None:
        self.file = file
        self.places = places or Places()
        self._kept: dict[Complaint, None] = {}
        self._errors_more = 0

    def add(
        self, code: str, message: str, *, loc: Loc | None = None, hint: str = "", at_key: bool = False
    ) -> None:
        """Add a fault of this collector's own document at `loc`; the message begins with the path.

        `at_key` points at the key of the value, not at the value.
        """
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
        """Add a fault of any file. A fault that was added before is not added again."""
        severity = CATALOGUE[code].severity
        complaint = Complaint(file, line, column, code, message, hint, severity, field)
        if complaint in self._kept:
            return
        if len(self._kept) < _KEPT_MAX:
            self._kept[complaint] = None
        elif severity is Severity.ERROR:
            self._errors_more += 1

    def extend(self, complaints: Iterable[Complaint]) -> None:
        """Add complaints that another reader made."""
        for complaint in complaints:
            self._kept.setdefault(complaint)

    @property
    def failed(self) -> bool:
        """Whether the document is to be refused."""
        return any(complaint.severity is Severity.ERROR for complaint in self._kept)

    def raise_if_failed(self) -> tuple[Complaint, ...]:
        """Return the warnings, by place. Raises `PlanError` with up to 20 faults and a count of the others."""
        files = {complaint.file: place for place, complaint in reversed(list(enumerate(self._kept)))}
        ordered = sorted(self._kept, key=lambda c: (files[c.file], c.line, c.column))
        if not self.failed:
            return tuple(ordered)
        errors = [c for c in ordered if c.severity is Severity.ERROR]
        more = max(0, len(errors) - COMPLAINTS_SHOWN_MAX) + self._errors_more
        shown = set(itertools.islice(errors, COMPLAINTS_SHOWN_MAX))
        raised = [c for c in ordered if c in shown or c.severity is Severity.WARNING]
        if more:
            raised.append(Complaint(ordered[-1].file, 0, 0, "R199", f"and {more:,} more faults"))
        raise PlanError(*raised)


def quoted(value: object) -> str:
    """Return a refused value for a message: printable, on one line, at most 40 characters."""
    if isinstance(value, list):
        return "a list"
    if isinstance(value, Mapping):
        return "a mapping"
    text = ascii(value) if not str(value).isprintable() else repr(value)
    return text if len(text) <= _VALUE_CHARS_MAX + 2 else text[:_VALUE_CHARS_MAX] + "…'"
