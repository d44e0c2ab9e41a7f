"""Sorts rows into the fleet in plan order: each device once, filtered, without the excluded devices.

Ten million keys do not fit into memory as objects, so they are sorted in parts. Each row is written into one of
64 buckets on disk, chosen by the first bits of its key's place, as one line that begins with the place and the
key. Then one bucket at a time is read and sorted as text. All rows of a device are then neighbours, so repeats
and exclusions are found by comparing a row with the one before. The sorted buckets, one after the other, are the
fleet in plan order. Memory holds one bucket, and four bytes for each device's stratum.

An excluded device is a row too, with a mark that sorts it before the row it excludes.
"""

from __future__ import annotations

import bisect
from array import array
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TypeVar

from rollout.core.campaign import Keys, Wave
from rollout.core.plan import Strata, draw_places, spread_columns
from rollout.intake.complaints import Complaints, quoted
from rollout.intake.document import DeviceSelection
from rollout.intake.files import unnamed_file
from rollout.intake.fleet_file import Source, read_rows

BUCKETS = 64
"""Parts of the fleet, one in memory at a time: 160,000 rows of ten million. A divisor of 256. Ours."""

FLUSH_ROWS = 65_536
"""Rows gathered in memory before they are written to the buckets' files. Ours."""

EXAMPLES_MAX = 5
"""Devices named in a warning, the first ones in the order of the files. Ours."""

_T = TypeVar("_T", bound=tuple[int | str, ...])

_EXCLUDED = "!"  # sorts before every stratum's code


@dataclass(slots=True)
class Counts:
    """How many rows were read, and what became of them: `rows` is the sum of the others, `devices` are in scope."""

    rows: int = 0
    duplicates: int = 0
    excluded: int = 0
    filtered: int = 0
    devices: int = 0


@dataclass(frozen=True, slots=True)
class SortedFleet:
    """The fleet in plan order. `fixed` maps the position of each device that a wave names to that wave."""

    counts: Counts
    strata: Strata
    fixed: Mapping[int, int]
    _keys: IO[bytes]
    _lengths: Sequence[int]

    def chunks(self) -> Iterator[list[str]]:
        """Yield all keys in plan order, one bucket at a time."""
        self._keys.seek(0)
        for length in self._lengths:
            if length:
                yield self._keys.read(length).decode().split("\n")


def sort_fleet(
    selection: DeviceSelection,
    waves: Sequence[Wave],
    seed: int,
    *,
    sources: Sequence[Source],
    exclude: Sequence[Source],
    scratch: Path,
    stack: ExitStack,
    complaints: Complaints,
    progress: Callable[[int], None] | None = None,
) -> SortedFleet | None:
    """Read, check and sort the fleet.

    Args:
        scratch: directory for unnamed temporary files of about twice the fleet's size; `stack` closes them.
        progress: called with the number of rows read so far, every 65,536 rows.
    Returns: None if the files have faults, which are in `complaints`.
    """
    buckets = _Buckets(scratch, stack, seed)
    codes: dict[tuple[str, ...], int] = {}
    counts = Counts()
    columns = spread_columns(waves)
    reader = _Reader(
        selection=selection,
        spread=columns,
        buckets=buckets,
        counts=counts,
        codes=codes,
        complaints=complaints,
        progress=progress,
    )
    for number, source in enumerate(sources):
        reader.read(number, source)
    for number, source in enumerate(exclude, start=len(sources)):
        reader.read_exclude(number, source)
    buckets.flush()
    if complaints.failed:
        return None
    reader.warn_of_missed_filters()
    labels = [source.label for source in (*sources, *exclude)]
    listed = {number for number, source in enumerate((*sources, *exclude)) if source.listed}
    named = {
        key: (index, item)
        for index, wave in enumerate(waves)
        if isinstance(wave.size, Keys)
        for item, key in enumerate(wave.size.keys)
    }
    merger = _Merger(
        counts,
        labels=labels,
        listed=listed,
        named=named,
        complaints=complaints,
        columns=columns,
        strata=tuple(codes),
    )
    keys = unnamed_file(scratch, stack)
    lengths = [merger.merge(records, keys) for records in buckets.sorted()]
    merger.add_warnings()
    return SortedFleet(counts, Strata(columns, merger.cells, tuple(codes)), merger.fixed, keys, lengths)


class _Buckets:
    """64 files, each with the records whose places begin with the same bits."""

    def __init__(self, scratch: Path, stack: ExitStack, seed: int) -> None:
        self.place = draw_places(seed)
        self._files = [unnamed_file(scratch, stack) for _ in range(BUCKETS)]
        self._pending: list[list[str]] = [[] for _ in range(BUCKETS)]
        # by the first two hex digits of a place
        self.put = {f"{byte:02x}": self._pending[byte * BUCKETS // 256].append for byte in range(256)}

    def flush(self) -> None:
        for file, pending in zip(self._files, self._pending, strict=True):
            if pending:
                pending.append("")
                file.write("\n".join(pending).encode())
                pending.clear()

    def sorted(self) -> Iterator[list[str]]:
        for file in self._files:
            file.seek(0)
            records = file.read().decode().split("\n")
            records.pop()
            records.sort()
            yield records


@dataclass(slots=True)
class _Reader:
    """Reads the rows of files and writes them as records into buckets: `place key cell file:line`."""

    selection: DeviceSelection
    spread: tuple[str, ...]
    buckets: _Buckets
    counts: Counts
    codes: dict[tuple[str, ...], int]
    complaints: Complaints
    progress: Callable[[int], None] | None
    missed: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.missed = {column: set(values) for column, values in self.selection.where.items()}

    def read(self, number: int, source: Source) -> None:
        spread = len(self.spread)
        wanted = [
            (spread + at, column, frozenset(v)) for at, (column, v) in enumerate(self.selection.where.items())
        ]
        columns = (*self.spread, *self.selection.where)
        place, put, codes = self.buckets.place, self.buckets.put, self.codes
        rows = filtered = 0
        base = self.counts.rows
        # with nothing to filter or spread by all rows share the code of the empty stratum
        code = codes.setdefault((), 0) if not spread else 0
        for key, values, line in read_rows(source, self.selection.key, columns, self.complaints):
            rows += 1
            if columns:
                if wanted and not self._is_wanted(values, wanted):
                    filtered += 1
                    continue
                if spread:
                    code = codes.setdefault(values[:spread], len(codes))
            drawn = place(key)
            put[drawn[:2]](f"{drawn}{key} {code} {number}:{line}")
            if not rows % FLUSH_ROWS:
                self.buckets.flush()
                if self.progress is not None:
                    self.progress(base + rows)
        self.counts.rows += rows
        self.counts.filtered += filtered
        if not rows and not self.complaints.failed:
            self.complaints.add_at("R151", "lists no devices", file=source.label)

    def read_exclude(self, number: int, source: Source) -> None:
        place, put = self.buckets.place, self.buckets.put
        rows = 0
        for key, _, line in read_rows(source, self.selection.key, (), self.complaints):
            rows += 1
            drawn = place(key)
            put[drawn[:2]](f"{drawn}{key} {_EXCLUDED} {number}:{line}")
            if not rows % FLUSH_ROWS:
                self.buckets.flush()
        # a search may find none to leave out; a list that somebody wrote was meant to have some
        if not rows and not source.listed and not self.complaints.failed:
            self.complaints.add_at("R205", "excludes no devices", file=source.label)

    def warn_of_missed_filters(self) -> None:
        for column, values in self.missed.items():
            for value in sorted(values):
                at = self.selection.where[column].index(value)
                message = f"no device has {column} {quoted(value)}"
                self.complaints.add("R204", message, loc=("devices", "where", column, at))

    def _is_wanted(self, values: tuple[str, ...], wanted: Sequence[tuple[int, str, frozenset[str]]]) -> bool:
        is_wanted = True
        for at, column, accepted in wanted:
            if values[at] in accepted:
                self.missed[column].discard(values[at])
            else:
                is_wanted = False
        return is_wanted


class _Merger:
    """Merges sorted buckets, one after the other, into distinct keys in plan order."""

    def __init__(
        self,
        counts: Counts,
        *,
        labels: Sequence[str],
        listed: Container[int],
        named: Mapping[str, tuple[int, int]],
        complaints: Complaints,
        columns: Sequence[str],
        strata: Sequence[tuple[str, ...]],
    ) -> None:
        self.cells = array("I")
        self.fixed: dict[int, int] = {}
        self._counts = counts
        self._labels = labels
        self._listed = listed
        self._named = named
        self._complaints = complaints
        self._columns = columns
        self._strata = strata
        self._met: set[str] = set()
        self._excluded_named: set[str] = set()
        self._repeats: list[tuple[int, int, str, str]] = []
        self._idle = 0
        self._idle_examples: list[tuple[int, int, str]] = []

    def merge(self, records: Sequence[str], keys: IO[bytes]) -> int:
        """Append the bucket's distinct keys to `keys`, one a line, and return how many bytes that are."""
        kept: list[str] = []
        last = last_cell = last_where = barred = barred_where = ""
        base = self._counts.devices
        for record in records:
            name, cell, where = record.split(" ")
            if cell == _EXCLUDED:
                if name != barred:
                    self._note_idle(barred, barred_where)
                    barred, barred_where = name, where
            elif name == last:
                self._note_repeat(name, (last_cell, last_where), (cell, where))
            else:
                last, last_cell, last_where = name, cell, where
                if name == barred:
                    self._counts.excluded += 1
                    barred_where = ""
                    if name[16:] in self._named:
                        self._excluded_named.add(name[16:])
                    continue
                key = name[16:]
                if key in self._named:
                    self._met.add(key)
                    self.fixed[base + len(kept)] = self._named[key][0]
                kept.append(key)
                if self._columns:
                    self.cells.append(int(cell))
        self._note_idle(barred, barred_where)
        self._counts.devices += len(kept)
        return keys.write("\n".join(kept).encode())

    def add_warnings(self) -> None:
        """Add complaints about repeated rows, idle exclusions, and named devices that are missing or excluded."""
        if self._repeats:
            listed = "; ".join(
                f"{self._labels[source]}:{line} {key} (also {other})"
                for source, line, key, other in self._repeats
            )
            self._warn("R202", f"{self._counts.duplicates:,} repeated rows are left out: {listed}")
        if self._idle:
            listed = "; ".join(
                f"{self._labels[source]}:{line} {key}" for source, line, key in self._idle_examples
            )
            self._warn("R203", f"{self._idle:,} excluded devices are not in the fleet: {listed}")
        for key, (wave, item) in self._named.items():
            if key in self._excluded_named:
                hint = "take it out of the wave or of the exclude file"
                message = f"{quoted(key)} is excluded"
                self._complaints.add("R146", message, loc=("waves", wave, "keys", item), hint=hint)
            elif key not in self._met:
                message = f"{quoted(key)} is not in the fleet"
                self._complaints.add("R145", message, loc=("waves", wave, "keys", item))

    def _warn(self, code: str, message: str) -> None:
        self._complaints.add_at(code, message, file=self._complaints.file)

    def _note_idle(self, name: str, where: str) -> None:
        # a search may well exclude more than the fleet has; a list that somebody wrote should not
        if where and _placed(where)[0] not in self._listed:
            self._idle += 1
            _keep_first(self._idle_examples, (*_placed(where), name[16:]))

    def _note_repeat(self, name: str, first: tuple[str, str], second: tuple[str, str]) -> None:
        self._counts.duplicates += 1
        (cell, where), (other_cell, other_where) = sorted((first, second), key=lambda seen: _placed(seen[1]))
        source, line = _placed(other_where)
        other_source, other_line = _placed(where)
        other = f"{self._labels[other_source]}:{other_line}"
        if cell == other_cell:
            _keep_first(self._repeats, (source, line, name[16:], other))
            return
        here, there = self._strata[int(other_cell)], self._strata[int(cell)]
        column, value, earlier = next(
            (c, v, e) for c, v, e in zip(self._columns, here, there, strict=True) if v != e
        )
        self._complaints.add_at(
            "R164",
            f"{quoted(name[16:])} has {column} {quoted(value)} here and {quoted(earlier)} at {other}",
            file=self._labels[source],
            line=line,
            column=1,
        )


def _placed(where: str) -> tuple[int, int]:
    source, line = where.split(":")
    return int(source), int(line)


def _keep_first(kept: list[_T], item: _T) -> None:
    """Insert the item into the sorted list, which keeps only its `EXAMPLES_MAX` smallest items."""
    if len(kept) < EXAMPLES_MAX or item < kept[-1]:
        bisect.insort(kept, item)
        del kept[EXAMPLES_MAX:]
