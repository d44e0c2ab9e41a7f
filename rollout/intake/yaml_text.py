"""Reads YAML so that every scalar stays the text that was written.

Usual readers convert scalars: version `1.10` becomes 1.1, device `0012345` becomes 5349, `no` becomes false, and
the second of two equal keys replaces the first without a word. Here PyYAML only splits the file into events.
Scalars stay text, each with its place and whether it was quoted, and the models of the document convert them.
Whatever lets a small file mean something large or hidden is refused: anchors, aliases, merge keys, tags, several
documents, deep nesting, invisible characters.

JSON files are read by the same reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from rollout.intake.complaints import Complaints, Loc, Place, Places, quoted
from rollout.intake.files import Unopened, open_regular

DOCUMENT_BYTES_MAX = 1 << 20
"""Bytes of a plan file at most; about 50,000 explicit keys fit. Ours."""

DEPTH_MAX = 20
"""Levels of nesting at most; the deepest correct plan has 8. Ours."""

Data = str | list["Data"] | dict[str, "Data"]
"""A document's values: text, lists and mappings, nothing else."""

# C0 and C1 but tab and line ends; separators that some readers count as lines; controls that reorder text
_UNSHOWN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")

_JSON_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})", re.ASCII)
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,17}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Document:
    """One document: its text tree and all its places."""

    data: Data
    places: Places


def read_yaml(path: Path, complaints: Complaints) -> Document | None:
    """Read a file as one document; faults go to `complaints`.

    Returns: None if no tree that can be trusted came of it; with a duplicate key the first one stays.
    """
    text = _read_text(path, complaints)
    if text is None:
        return None
    composer = _Composer(complaints)
    try:
        data = composer.compose(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        assert isinstance(mark, yaml.Mark), "PyYAML marks every fault of its scanner and parser"
        hint = ""
        if error.context_mark is not None and error.context_mark.line != mark.line:
            hint = f"{error.context or 'it began'} at line {error.context_mark.line + 1}"
        elif "'\\t'" in (error.problem or ""):
            hint = "indent with spaces"
        composer.fault("R115", error.problem or "malformed", mark, hint=hint)
        return None
    except _TooDeep as deep:
        composer.fault("R121", f"nested deeper than {DEPTH_MAX} levels", deep.mark)
        return None
    if data is None or not composer.sound:
        return None
    return Document(data, Places(composer.places, {}))


def changes_elsewhere(text: str) -> bool:
    """Return whether other YAML readers make something else than this text of a plain scalar."""
    tag = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]  # stubs leave it open
    return tag != "tag:yaml.org,2002:str" or text.startswith("0o")


def as_json(document: Document, loc: Loc) -> object:
    """Return the part at `loc` as JSON: plain numbers, true, false and null typed, all else text.

    For the few places where EnOS itself wants values of any JSON type. A plain scalar that is not spelled
    like a JSON number (`0012`, `1e3`) stays text.
    """
    return _typed(document, _at(document, loc), loc)


def as_text(document: Document, loc: Loc) -> str:
    """Return the scalar at `loc` as it was written; a list or mapping has no text."""
    value = _at(document, loc)
    return value if isinstance(value, str) else ""


def _at(document: Document, loc: Loc) -> object:
    value: object = document.data
    for part in loc:
        value = value[part]  # type: ignore[index]  # loc comes from this very tree
    return value


_RESOLVER = yaml.resolver.Resolver()
_WORDS: dict[str, object] = {"true": True, "false": False, "null": None}


def _typed(document: Document, value: object, loc: Loc) -> object:
    if isinstance(value, dict):
        return {key: _typed(document, item, (*loc, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_typed(document, item, (*loc, index)) for index, item in enumerate(value)]
    assert isinstance(value, str)
    if not document.places.at[loc].plain:
        return value
    if value in _WORDS:
        return _WORDS[value]
    if _JSON_INTEGER.fullmatch(value):
        return int(value)
    return float(value) if _JSON_NUMBER.fullmatch(value) else value


def _read_text(path: Path, complaints: Complaints) -> str | None:
    try:
        with open_regular(path) as file:
            raw = file.read(DOCUMENT_BYTES_MAX + 1)
    except Unopened as refusal:
        complaints.add("R100", str(refusal))
        return None
    if len(raw) > DOCUMENT_BYTES_MAX:
        complaints.add("R111", "larger than 1 MiB", hint="long device lists go into files under `devices:`")
        return None
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        complaints.add("R113", "is UTF-16, not UTF-8", hint="save the file as UTF-8")
        return None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8", "replace")
        line, column = _count(before, len(before))
        message = f"not UTF-8 at byte {error.start + 1}"
        complaints.add_at(
            "R113", message, file=complaints.file, line=line, column=column, hint="save it as UTF-8"
        )
        return None
    bad = False
    for found in _UNSHOWN.finditer(text):
        bad = True
        line, column = _count(text, found.start())
        message = f"control character U+{ord(found[0]):04X}"
        complaints.add_at("R114", message, file=complaints.file, line=line, column=column)
    if bad:
        return None
    if not text.strip():
        complaints.add("R112", "is empty")
        return None
    return text


def _count(text: str, position: int) -> tuple[int, int]:
    """Return line and column, from 1, of a position in a text with any line ends."""
    lines = re.split("\r\n|\r|\n", text[:position])
    return len(lines), len(lines[-1]) + 1


class _TooDeep(Exception):
    """Raised inside the composer for too deep nesting, and caught in `read_yaml`."""

    def __init__(self, mark: yaml.Mark) -> None:
        super().__init__()
        self.mark = mark


@dataclass(slots=True)
class _Composer:
    """Builds data and places from events. `sound` is false once the tree is not what the file says."""

    complaints: Complaints
    places: dict[Loc, Place] = field(default_factory=dict)
    sound: bool = True

    def fault(self, code: str, message: str, mark: yaml.Mark, *, hint: str = "") -> None:
        self.complaints.add_at(
            code, message, file=self.complaints.file, line=mark.line + 1, column=mark.column + 1, hint=hint
        )

    def compose(self, events: Iterator[yaml.Event]) -> Data | None:
        data: Data | None = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.sound = False
                    self.fault("R116", "a second document begins here; one file is one plan", _mark(event))
                    return None
                data = self._node(next(events), events, (), (0, 0), 0)
        if data is None:
            self.sound = False
            self.complaints.add("R112", "is empty")
        return data

    def _node(
        self, event: yaml.Event, events: Iterator[yaml.Event], loc: Loc, key: tuple[int, int], depth: int
    ) -> Data:
        mark = _mark(event)
        if depth > DEPTH_MAX:
            raise _TooDeep(mark)
        if isinstance(event, yaml.AliasEvent):
            self._refuse("R118", "aliases are not allowed; write the value out", mark)
            return ""
        assert isinstance(event, yaml.NodeEvent)
        if event.anchor is not None:
            self._refuse("R118", "anchors are not allowed; write the value out", mark)
        if event.tag is not None:  # type: ignore[attr-defined]  # every event but an alias has one
            self._refuse("R119", "tags are not allowed; every value is text here", mark)
        plain = isinstance(event, yaml.ScalarEvent) and event.style is None
        self.places[loc] = Place(mark.line + 1, mark.column + 1, plain, key)
        if isinstance(event, yaml.ScalarEvent):
            return str(event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Data] = []
            while not isinstance(event := next(events), yaml.SequenceEndEvent):
                items.append(self._node(event, events, (*loc, len(items)), (0, 0), depth + 1))
            return items
        return self._mapping(events, loc, depth)

    def _mapping(self, events: Iterator[yaml.Event], loc: Loc, depth: int) -> dict[str, Data]:
        entries: dict[str, Data] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            mark = _mark(event)
            here = (mark.line + 1, mark.column + 1)
            scratch = (*loc, "\0")  # no key holds a NUL: a place that nobody asks for
            name = self._node(event, events, scratch, (0, 0), depth + 1)
            written = self.places.pop(scratch, None)
            if not isinstance(name, str):
                self._refuse("R105", "a key must be a word", mark)
                name = "\0"
            elif name == "<<" and written is not None and written.plain:
                self._refuse("R120", "merge keys are not allowed; write the values out", mark)
            if name in entries and name != "\0":
                first = self.places[*loc, name].key[0]
                self.fault("R117", f"duplicate key {quoted(name)}, first at line {first}", mark)
                _skip(next(events), events)
                continue
            entries[name] = self._node(next(events), events, (*loc, name), here, depth + 1)
        return entries

    def _refuse(self, code: str, message: str, mark: yaml.Mark) -> None:
        self.sound = False
        self.fault(code, message, mark)


def _mark(event: yaml.Event) -> yaml.Mark:
    mark = event.start_mark
    assert isinstance(mark, yaml.Mark), "the parser marks every event"
    return mark


def _skip(event: yaml.Event, events: Iterator[yaml.Event]) -> None:
    """Pass over one node without looking into it."""
    depth = 0
    while True:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth == 0:
            return
        event = next(events)
