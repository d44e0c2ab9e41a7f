"""What can be wrong with a document: one table of codes, and a collector that tells all of it at once.

A reader that stops at the first fault makes its user run it once per fault. So readers here never raise on
their own: they `add` to a `Complaints` and go on with what still stands, and one `settle` at the end refuses
the document or hands out the warnings. Codes are stable and mean one thing for good; whether a code refuses
or only warns is a property of the code, kept in the table, so the same fault cannot be both.

Memory is bounded whatever the document holds: a fleet file with ten million bad rows costs a counter.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from rollout.errors import Complaint, PlanError, Severity

__all__ = ["CODES", "COMPLAINTS_SHOWN_MAX", "Complaints", "Loc", "Place", "Places", "quoted"]

COMPLAINTS_SHOWN_MAX = 20
"""Faults told in full; the others are counted. More than a screenful is not read."""

_KEPT_MAX = 1000
"""Faults kept for sorting by place before the first 20 are chosen; a plan file of 1 MiB rarely has more."""

_VALUE_CHARS_MAX = 40
"""Characters of a refused value that are shown."""

Loc = tuple[str | int, ...]
"""Where something stands in a document's tree: keys and list indices from the root, as written in the file."""

_E, _W = Severity.ERROR, Severity.WARNING

CODES: Mapping[str, tuple[Severity, str]] = MappingProxyType(
    {
        # the file itself
        "R100": (_E, "the file cannot be read"),
        "R111": (_E, "the file is too large"),
        "R112": (_E, "the file is empty"),
        "R113": (_E, "the file is not UTF-8"),
        "R114": (_E, "a control character stands in the file"),
        "R115": (_E, "the file is not well-formed YAML"),
        "R116": (_E, "more than one YAML document"),
        "R117": (_E, "a key is given twice"),
        "R118": (_E, "an anchor or alias"),
        "R119": (_E, "a YAML tag"),
        "R120": (_E, "a merge key"),
        "R121": (_E, "nested too deep"),
        # single values
        "R101": (_E, "not one of the words allowed here"),
        "R102": (_E, "outside the range allowed here"),
        "R103": (_E, "a key that does not exist here"),
        "R104": (_E, "not a share"),
        "R105": (_E, "not the kind of value wanted here"),
        "R106": (_E, "a key that is needed is missing"),
        "R107": (_E, "an id or name with characters that are not allowed"),
        "R108": (_E, "not a duration"),
        "R109": (_E, "not a rate"),
        "R122": (_E, "a secret in a plan file"),
        "R123": (_E, "not a point in time"),
        # values that do not go together
        "R124": (_E, "extra would replace a field that has a key of its own"),
        "R130": (_E, "not exactly one selector of devices"),
        "R131": (_E, "a scope that EnOS does not allow for this type of job"),
        "R132": (_E, "too many asset trees"),
        "R135": (_E, "two waves with the same name"),
        "R136": (_E, "nothing can be left for this wave"),
        "R137": (_E, "the shares of the waves are more than the fleet"),
        "R138": (_E, "a minimum sample that the wave can never reach"),
        "R139": (_E, "a wave without devices, or with more than there are"),
        "R140": (_E, "one job may have more devices in progress than the budget allows"),
        "R141": (_E, "a deadline that passes before the gate can be satisfied"),
        "R142": (_E, "a retry policy without its numbers"),
        "R143": (_E, "a schedule that ends before it starts"),
        "R144": (_E, "a wave lists a device key twice, or two waves list the same one"),
        "R145": (_E, "a wave names a device that is not in the fleet"),
        "R146": (_E, "a wave names a device that is excluded"),
        "R149": (_E, "devices that are in no wave"),
        # device files
        "R148": (_E, "a device file outside the plan's directory"),
        "R150": (_E, "a device file that cannot be read"),
        "R151": (_E, "no devices"),
        "R152": (_E, "a column that the device file does not have"),
        "R153": (_E, "fields separated by something else"),
        "R154": (_E, "a quote that is never closed"),
        "R155": (_E, "malformed CSV"),
        "R156": (_E, "a row with too few or too many fields"),
        "R157": (_E, "not a device key"),
        "R158": (_E, "a device key damaged by a spreadsheet"),
        "R159": (_E, "blanks around a value"),
        "R160": (_E, "an invisible character in a value"),
        "R161": (_E, "a NUL character"),
        "R162": (_E, "a JSON value where a string is wanted"),
        "R163": (_E, "malformed JSON"),
        "R164": (_E, "a device that stands in two strata"),
        "R165": (_E, "a compressed file that is damaged or expands too far"),
        "R166": (_E, "a line that is too long"),
        "R167": (_E, "a file that changed while it was read"),
        "R168": (_E, "a letter that only looks like a plain one"),
        # saved plans
        "R180": (_E, "not a saved plan"),
        "R181": (_E, "a saved plan of a newer program"),
        "R182": (_E, "a damaged saved plan"),
        "R183": (_E, "a plan that cannot be saved"),
        "R199": (_E, "more faults than are shown"),
        # warnings: other readers
        "R110": (_W, "a value that other YAML readers change"),
        # warnings: the fleet
        "R201": (_W, "strata too small to be in a sample"),
        "R202": (_W, "devices listed more than once"),
        "R203": (_W, "excluded devices that are not in the fleet"),
        "R204": (_W, "a filter value that no device has"),
        "R205": (_W, "an exclude file without devices"),
        # warnings: the plan
        "R301": (_W, "more devices in a verification than EnOS's console allows"),
        "R302": (_W, "a deadline that slow devices cannot meet"),
        "R303": (_W, "a locale EnOS does not know"),
        "R304": (_W, "undocumented fields passed through"),
        "R305": (_W, "a wave that nothing stops"),
        "R306": (_W, "a device budget that cannot be used fully"),
        "R307": (_W, "devices that only EnOS's own scope can reach"),
        "R308": (_W, "a schedule that is over"),
        "R309": (_W, "a schedule shorter than EnOS's console allows"),
        "R310": (_W, "a job whose devices may grow by themselves"),
        "R311": (_W, "a retry policy that is switched off"),
        "R312": (_W, "a gate that waits for no result"),
    }
)


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
        severity = CODES[code][0]
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
