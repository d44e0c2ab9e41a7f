"""Reads device lists row by row: CSV, TSV, plain lines, NDJSON and JSON, plain or gzipped.

A row has only what the plan asks for: the key, and the columns the plan filters or spreads by. Nothing is
repaired silently: a key that lost its zeros in a spreadsheet is another device, blanks around a value show that
two systems disagree, and an unclosed quote takes in the rest of the file. Such a row is refused with its line.

A good row costs one regular expression. Only for a bad row is it worked out what is wrong with it.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import itertools
import json
import os
import re
import sys
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from rollout.intake.complaints import Complaints, quoted
from rollout.intake.files import Unopened, open_regular
from rollout.intake.listing import DamagedListing, read_listing
from rollout.text import counted

FLEET_BYTES_MAX = 4 << 30
"""Bytes of one device file once unpacked: 10 million rows of 400 bytes. Ours."""

JSON_BYTES_MAX = 64 << 20
"""Bytes of a `.json` list, which is held in memory; NDJSON is streamed instead. Ours."""

LINE_CHARS_MAX = 65_536
"""Characters of one line. Ours."""

GZIP_RATIO_MAX = 100
"""Unpacked to packed size; device lists reach about 10. Counted beyond 16 MiB. Ours."""

_GZIP_FREE_BYTES = 16 << 20
_KEY_WORDING = "a device key: 4 to 64 of A-Z a-z 0-9 - _ ."

# Source of the key's form: EnOS limitations page. The look-ahead refuses what spreadsheets and databases leave.
_SOUND_KEY = re.compile(
    r"(?![0-9]+\.0+$|[0-9]\.[0-9]+[eE][0-9]+$|[0-9](?:\.[0-9]+)?[eE]-[0-9]+$|(?i:null|none|undefined|#n/a)$)[A-Za-z0-9_.-]{4,64}"
)
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.-]{4,64}")
_DAMAGED = re.compile(r"[0-9]+[.,]0+|[0-9](?:[.,][0-9]+)?[eE][+-]?[0-9]+")
_PLACEHOLDERS = frozenset({"null", "none", "nan", "n/a", "#n/a", "undefined", "-", "nil"})
_FORMS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "txt",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "json",
}
_DELIMITERS = {"csv": ",", "tsv": "\t"}

FleetRow = tuple[str, tuple[str, ...], int]
"""Device key, the values of the columns asked for, and the row's line in the file, counted from 1."""


@dataclass(frozen=True, slots=True)
class Source:
    """One device file. `path` None is standard input; `trusted` if the operator typed it, not the plan.

    `listed` if it is a listing of EnOS's devices (see `intake.listing`) under the name of its search.
    """

    label: str
    path: Path | None
    trusted: bool = False
    listed: bool = False


def read_rows(source: Source, key: str, columns: Sequence[str], complaints: Complaints) -> Iterator[FleetRow]:
    """Yield the rows of a device file in its order; faults go to `complaints` and the row is left out.

    Args:
        key: column of the device key; a `.txt` file has no columns and no other than the key.
        columns: further columns wanted, in the order of a row's values.
    """
    if source.listed:
        yield from _read_listed(source, columns, complaints)
        return
    with ExitStack() as stack:
        try:
            text, form, raw = _open_text(source, stack)
            before = os.fstat(raw.fileno()) if source.path is not None else None
            lines = _Lines(source.label, text, complaints)
            match form or _guess_form(lines, key):
                case "csv" | "tsv" as delimited:
                    yield from _read_csv(lines, _DELIMITERS[delimited], key, columns)
                case "ndjson":
                    yield from _read_ndjson(lines, key, columns)
                case "json":
                    yield from _read_json(lines, key, columns)
                case _:
                    yield from _read_txt(lines, columns)
            after = os.fstat(raw.fileno()) if source.path is not None else None
        except Unopened as refusal:
            complaints.add_at("R150", str(refusal), file=source.label)
            return
        except _Refused as refusal:
            complaints.add_at(
                refusal.code,
                str(refusal),
                file=source.label,
                line=refusal.line,
                column=min(refusal.line, 1),
                hint=refusal.hint,
            )
            return
        except (OSError, EOFError, zlib.error) as error:
            # gzip tells a damaged file in each of these ways
            packed = isinstance(error, EOFError | zlib.error | gzip.BadGzipFile)
            message = f"the compressed data is damaged: {error}" if packed else f"cannot be read: {error}"
            complaints.add_at("R165" if packed else "R150", message, file=source.label)
            return
    if before is not None and after is not None and _version(before) != _version(after):
        complaints.add_at("R167", "changed while it was read; try again", file=source.label)


def _version(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


class _Refused(Exception):
    """The whole file cannot be used, from `line` on."""

    def __init__(self, code: str, message: str, *, hint: str = "", line: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint
        self.line = line


# Opening: bytes, perhaps unpacked, within bounds, as text


def _open_text(source: Source, stack: ExitStack) -> tuple[io.TextIOWrapper, str, BinaryIO]:
    """Return the text, its form by the file's name ("" if the name does not tell), and the raw file."""
    form = ""
    if source.path is None:
        raw = sys.stdin.buffer
    else:
        raw = stack.enter_context(open_regular(source.path, pipes=source.trusted, follow=source.trusted))
        suffix = Path(source.path.name.lower().removesuffix(".gz")).suffix
        if suffix in (".xlsx", ".xls", ".ods", ".parquet", ".zip"):
            raise _Refused("R150", f"{suffix} files cannot be read", hint="save the sheet as CSV, UTF-8")
        form = _FORMS.get(suffix, "")
    limit = JSON_BYTES_MAX if form == "json" else FLEET_BYTES_MAX
    bounded = io.BufferedReader(_Bounded(raw, limit), 1 << 18)
    # bytes that are not UTF-8 become lone surrogates, which `_inspected` finds with their place
    text = io.TextIOWrapper(bounded, encoding="utf-8-sig", errors="surrogateescape", newline="")
    return text, form, raw


class _Bounded(io.RawIOBase):
    """The file's bytes, unpacked if they are gzip. Raises `_Refused` beyond a size or a ratio."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._packed = 0
        self._total = 0
        self._file = file
        self._head = file.read(2)
        self._gzip = gzip.GzipFile(fileobj=self) if self._head == b"\x1f\x8b" else None

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return bytes as they are in the file. Called by the gzip reader."""
        head, self._head = self._head, b""
        data = head or self._file.read(size)
        self._packed += len(data)
        return data

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer with unpacked bytes."""
        data = self.read(len(buffer)) if self._gzip is None else self._gzip.read1(len(buffer))
        self._total += len(data)
        if self._total > self._limit:
            raise _Refused("R111", f"larger than {self._limit >> 20:,} MiB")
        if self._total > _GZIP_FREE_BYTES and self._total > GZIP_RATIO_MAX * self._packed:
            raise _Refused("R165", f"expands to more than {GZIP_RATIO_MAX} times its size")
        buffer[: len(data)] = data
        return len(data)


class _Lines:
    """Iterates over the lines of a text, line ends included. `number` and `text` are those of the last line."""

    def __init__(self, file: str, text: io.TextIOWrapper, complaints: Complaints) -> None:
        self.file = file
        self.number = 0
        self.text = ""
        self._read = partial(text.readline, LINE_CHARS_MAX)
        self._held: list[str] = []
        self._complaints = complaints

    def peek(self) -> str:
        """Return the first line without using it up; "" if there is none."""
        self._held = [self._read()]
        return self._held[0]

    def __iter__(self) -> Iterator[str]:
        held, self._held = self._held, []
        for line in itertools.chain(filter(None, held), iter(self._read, "")):
            self.number += 1
            self.text = line
            if len(line) == LINE_CHARS_MAX:
                raise _Refused("R166", f"line longer than {LINE_CHARS_MAX:,} characters", line=self.number)
            if line.isascii() and "\0" not in line:
                yield line
            else:
                yield self._inspected(line)

    def fault(self, code: str, message: str, column: int = 1, *, line: int = 0, hint: str = "") -> None:
        """Add a fault of the last line, or of `line`."""
        self._complaints.add_at(
            code, message, file=self.file, line=line or self.number, column=column, hint=hint
        )

    def _inspected(self, line: str) -> str:
        """Return the line without NULs and bytes that are not UTF-8, after adding a fault for each."""
        if (at := line.find("\0")) >= 0:
            self.fault("R161", "NUL character", at + 1)
        if (bad := _SURROGATE.search(line)) is not None:
            hint = "save the file as UTF-8"
            self.fault("R113", f"not UTF-8: byte 0x{ord(bad[0]) - 0xDC00:02X}", bad.start() + 1, hint=hint)
        return _SURROGATE.sub("", line.replace("\0", ""))


_SURROGATE = re.compile("[\udc80-\udcff]")


def _guess_form(lines: _Lines, key: str) -> str:
    """Return the form of a stream, judged by its first line; called if the file's name does not tell it."""
    first = lines.peek().strip()
    if first.startswith("["):
        return "json"
    if first.startswith(("{", '"{', '["')):
        return "ndjson"
    if "\t" in first:
        return "tsv"
    return "csv" if first == key or any(mark in first for mark in ",;") else "txt"


# Forms


def _read_csv(lines: _Lines, delimiter: str, key: str, columns: Sequence[str]) -> Iterator[FleetRow]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    last = 0
    header: list[str] | None = None
    take: tuple[int, ...] = ()
    key_at = 0
    sound_values: set[str] = set()
    sound_key = _SOUND_KEY.fullmatch
    while True:
        try:
            for row in reader:
                start, last = last + 1, lines.number
                if header is None:
                    header = row
                    if not _check_header(lines, header, delimiter, (key, *columns)):
                        return
                    key_at, *others = (header.index(name) for name in (key, *columns))
                    take = tuple(others)
                    continue
                if len(row) != len(header):
                    if row:
                        message = f"{counted(len(row), 'field')}, the header has {len(header)}"
                        lines.fault("R156", message, line=start)
                    continue
                name = row[key_at]
                if sound_key(name) is None:
                    _diagnose_key(lines, name, start, _field_column(lines, start, delimiter, key_at))
                    continue
                if take:
                    values = tuple([row[at] for at in take])
                    if not sound_values.issuperset(values):
                        for at, value in zip(take, values, strict=True):
                            _check_value(lines, value, start, _field_column(lines, start, delimiter, at))
                        sound_values.update(values)
                    yield name, values, start
                else:
                    yield name, (), start
        except csv.Error as error:
            start, last = last + 1, lines.number
            text = str(error)
            ended = "unexpected end" in text or "field limit" in text
            if ended or lines.number > start:
                # a bad row of several lines: its quote was closed by the opening quote of a later row
                hint = "everything up to the next quote becomes one field"
                lines.fault("R154", f"unclosed quote from line {start}", line=start, hint=hint)
            else:
                lines.fault(
                    "R155", f"malformed: {text}", line=start, hint='a quote inside quotes is written ""'
                )
            if ended:
                return
        else:
            return


def _check_header(lines: _Lines, header: Sequence[str], delimiter: str, wanted: Sequence[str]) -> bool:
    sound = True
    for name in dict.fromkeys(wanted):
        if header.count(name) == 1:
            continue
        sound = False
        if name in header:
            lines.fault("R152", f"column {quoted(name)} stands in the header twice", line=1)
            continue
        other = next(
            (mark for mark in ",;\t|" if mark != delimiter and name in "".join(header).split(mark)), None
        )
        if other is not None:
            hint = "name the file .tsv" if other == "\t" else "save it with commas"
            lines.fault("R153", f"separator looks like {quoted(other)}", line=1, hint=hint)
            return False
        close = difflib.get_close_matches(name, header, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "the first line names the columns"
        known = ", ".join(quoted(column) for column in header[:20])
        lines.fault("R152", f"no column {quoted(name)}; the columns are {known}", line=1, hint=hint)
    return sound


def _field_column(lines: _Lines, start: int, delimiter: str, index: int) -> int:
    """Return the column, from 1, where a field begins; 1 in a row of several lines, where it is not known."""
    if lines.number != start:
        return 1
    position, inside = 0, False
    for at, char in enumerate(lines.text):
        if index == 0:
            position = at
            break
        if char == '"':
            inside = not inside
        elif char == delimiter and not inside:
            index -= 1
    return position + (2 if lines.text[position : position + 1] == '"' else 1)


def _read_txt(lines: _Lines, columns: Sequence[str]) -> Iterator[FleetRow]:
    if columns:
        lines.fault("R152", f"no column {quoted(columns[0])}; a list of plain lines has none", line=1)
        return
    for line in lines:
        name = line.rstrip("\r\n")
        if _SOUND_KEY.fullmatch(name):
            yield name, (), lines.number
        elif name.strip() and not name.lstrip().startswith("#"):
            _diagnose_key(lines, name, lines.number, 1)


def _read_ndjson(lines: _Lines, key: str, columns: Sequence[str]) -> Iterator[FleetRow]:
    for line in lines:
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except (ValueError, RecursionError) as error:
            column = error.colno if isinstance(error, json.JSONDecodeError) else 1
            lines.fault(
                "R163",
                f"malformed JSON: {error.msg if isinstance(error, json.JSONDecodeError) else error}",
                column,
            )
            continue
        row = _json_row(lines, item, key, columns, (lines.number, line))
        if row is not None:
            yield row


def _read_json(lines: _Lines, key: str, columns: Sequence[str]) -> Iterator[FleetRow]:
    text = "".join(lines)
    decode = json.JSONDecoder().raw_decode
    counted, line = 0, 1
    position = _after_blanks(text, 0)
    expected = "["
    while True:
        mark = text[position : position + 1]
        if not mark or mark not in expected:
            line += text.count("\n", counted, position)
            column = position - text.rfind("\n", 0, position)
            lines.fault("R163", f"malformed JSON: expected {' or '.join(expected)}", column, line=line)
            return
        if mark == "]":
            return
        position = _after_blanks(text, position + 1)
        if expected == "[" and text[position : position + 1] == "]":
            return
        line += text.count("\n", counted, position)
        counted = position
        try:
            item, end = decode(text, position)
        except (ValueError, RecursionError) as error:
            column = position - text.rfind("\n", 0, position)
            if isinstance(error, json.JSONDecodeError):
                line, column = error.lineno, error.colno
            lines.fault("R163", "malformed JSON", column, line=line)
            return
        begin = text.rfind("\n", 0, position) + 1
        row = _json_row(lines, item, key, columns, (line, text[begin:end]))
        if row is not None:
            yield row
        position = _after_blanks(text, end)
        expected = ",]"


def _after_blanks(text: str, position: int) -> int:
    while text[position : position + 1] in (" ", "\t", "\r", "\n"):
        position += 1
    return position


def _json_row(
    lines: _Lines, item: object, key: str, columns: Sequence[str], place: tuple[int, str]
) -> FleetRow | None:
    """Return the row of one JSON item, or None after adding its fault. `place`: its line and that line's text."""
    number, text = place
    if isinstance(item, str) and not columns:
        item = {key: item}
    if not isinstance(item, dict):
        wanted = "a string or an object" if not columns else "an object"
        lines.fault("R162", f"expected {wanted}, got {_kind(item)}", line=number)
        return None
    values = []
    for name in (key, *columns):
        value = item.get(name)
        column = _member_column(text, name)
        if name not in item:
            known = ", ".join(quoted(member) for member in list(item)[:20])
            lines.fault("R152", f"no member {quoted(name)}; there are {known}", line=number)
            return None
        if not isinstance(value, str):
            message = f"{name}: expected a string, got {_kind(value)}"
            lines.fault(
                "R162", message, column, line=number, hint="a number loses its leading zeros: quote it"
            )
            return None
        values.append(value)
        if name != key:
            _check_value(lines, value, number, column)
    if not _SOUND_KEY.fullmatch(values[0]):
        _diagnose_key(lines, values[0], number, _member_column(text, key))
        return None
    return values[0], tuple(values[1:]), number


def _member_column(text: str, name: str) -> int:
    found = re.search(re.escape(json.dumps(name)) + r"\s*:\s*\"?", text)
    return found.end() + 1 if found else 1


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a truth value"
        case int() | float():
            return f"the number {quoted(str(value)).strip(chr(39))}"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"


def _read_listed(source: Source, columns: Sequence[str], complaints: Complaints) -> Iterator[FleetRow]:
    """Yield the rows of a listing; `line` counts devices. Keys and values are taken as EnOS gave them.

    A field that one device lacks is empty; a field that all devices lack is a fault.
    """
    assert source.path is not None, "a listing is a file"
    met: set[str] = set()
    rows = 0
    try:
        for key, fields in read_listing(source.path):
            rows += 1
            met.update(fields)
            if not _PLAIN_KEY.fullmatch(key):
                message = f"{quoted(key)} is not {_KEY_WORDING}, and so cannot be named in a job"
                complaints.add_at("R157", message, file=source.label, line=rows, column=1)
                continue
            yield key, tuple([fields.get(column, "") for column in columns]), rows
    except DamagedListing as damage:
        hint = "ask EnOS again: --refresh"
        complaints.add_at("R172", str(damage), file=source.label, hint=hint)
        return
    for column in columns if rows else ():
        if column not in met:
            known = ", ".join(sorted(met)[:20])
            close = difflib.get_close_matches(column, met, n=1)
            hint = (
                f"did you mean {close[0]!r}?"
                if close
                else "an attribute the plan did not name before: --refresh"
            )
            message = f"no device has the field {quoted(column)}; there are {known}"
            complaints.add_at("R152", message, file=source.label, hint=hint)


# Why a value is not sound


def _diagnose_key(lines: _Lines, name: str, line: int, column: int) -> None:
    """Add one fault for a bad device key: the most specific one that fits."""
    if not name:
        lines.fault("R157", "the device key is empty", column, line=line)
    elif not _check_value(lines, name, line, column):
        return
    elif not name.isascii():
        at, char = next((at, char) for at, char in enumerate(name) if not char.isascii())
        called = unicodedata.name(char, "unnamed")
        message = f"U+{ord(char):04X} {called} in device key {quoted(name)}"
        lines.fault("R168", message, column + at, line=line, hint="device keys are plain ASCII")
    elif _DAMAGED.fullmatch(name):
        hint = "export again with the column as text"
        lines.fault("R158", f"{quoted(name)} was damaged by a spreadsheet", column, line=line, hint=hint)
    elif name.lower() in _PLACEHOLDERS:
        lines.fault("R157", f"{quoted(name)} stands for no device", column, line=line)
    else:
        hint = "a list with columns is a .csv file" if "," in name else ""
        lines.fault("R157", f"{quoted(name)} is not {_KEY_WORDING}", column, line=line, hint=hint)


def _check_value(lines: _Lines, value: str, line: int, column: int) -> bool:
    """Return whether the value has no blanks around it and no invisible characters; if not, add a fault."""
    if value != value.strip():
        lines.fault("R159", f"blanks around {quoted(value)}", column, line=line)
        return False
    for at, char in enumerate(value):
        # C: controls, formats such as zero-width joiners, surrogates, private use; Z: blanks other than a space
        if unicodedata.category(char)[0] in "CZ" and char != " ":
            called = unicodedata.name(char, "control character")
            lines.fault("R160", f"invisible character U+{ord(char):04X} ({called})", column + at, line=line)
            return False
    return True
