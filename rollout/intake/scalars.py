"""Types of scalars in YAML documents: how the text of each is read, and its JSON Schema for editors.

All scalars arrive as text (see `yaml_text`), so each type has a reader of text from `units`. The schema beside it
also accepts numbers where an editor, which reads numbers as numbers, would see one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import CoreSchema, core_schema

from rollout.intake.complaints import quoted
from rollout.intake.units import (
    COUNT_MAX,
    DURATION_PATTERN,
    DURATION_S_MAX,
    SHARE_PATTERN,
    Unreadable,
    read_count,
    read_duration,
    read_flag,
    read_share,
)


class Read:
    """Annotation of a scalar's type for pydantic: how its text is read, and its JSON Schema for editors."""

    def __init__(self, reader: Callable[[str], object], schema: Mapping[str, Any]) -> None:
        self.reader = reader
        self.schema = schema

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._read)

    def __get_pydantic_json_schema__(self, core: object, handler: object) -> dict[str, Any]:
        return dict(self.schema)

    def _read(self, value: object) -> object:
        if not isinstance(value, str):
            raise Unreadable("R105", f"expected one value, got {quoted(value)}")
        if not value:
            raise Unreadable("R105", "has no value")
        return self.reader(value)


def text_like(pattern: str, what: str, *, examples: Sequence[str] = ()) -> Read:
    """Return the type of texts that match the whole `pattern`; complaints call them `what`."""
    compiled = re.compile(pattern, re.ASCII)

    def read(text: str) -> str:
        if not compiled.fullmatch(text):
            raise Unreadable("R107", f"{quoted(text)} is not {what}")
        return text

    # editors see an unquoted 1.10 as a number: the file is right, so the schema must not object
    schema: dict[str, Any] = {
        "anyOf": [{"type": "string", "pattern": f"^(?:{pattern})$"}, {"type": "number"}]
    }
    return Read(read, schema | ({"examples": list(examples)} if examples else {}))


def whole(low: int, high: int = COUNT_MAX, unit: str = "") -> Read:
    """Return the type of whole numbers from `low` to `high`."""
    return Read(
        lambda text: read_count(text, low=low, high=high, unit=unit),
        {
            "anyOf": [
                {"type": "integer", "minimum": low, "maximum": high},
                {"type": "string", "pattern": "^[0-9]{1,18}$"},
            ]
        },
    )


def choice(*words: str) -> Read:
    """Return the type of texts that are one of `words`."""

    def read(text: str) -> str:
        if text not in words:
            close = difflib.get_close_matches(text.lower(), words, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else ""
            raise Unreadable("R101", f"{quoted(text)} is not one of {', '.join(words)}", hint)
        return text

    return Read(read, {"enum": list(words)})


def seconds(low_s: float = 0.0, high_s: float = DURATION_S_MAX) -> Read:
    """Return the type of durations from `low_s` to `high_s` seconds."""

    def read(text: str) -> float:
        length_s = read_duration(text)
        if not low_s <= length_s <= high_s:
            raise Unreadable("R102", f"{quoted(text)} is not from {low_s:g}s to {high_s:g}s")
        return length_s

    return Read(read, {"type": "string", "pattern": DURATION_PATTERN, "examples": ["2h", "30m", "1h30m"]})


FLAG = Read(read_flag, {"enum": [True, False, "true", "false"]})
FRACTION = Read(
    read_share,
    {
        "anyOf": [
            {"type": "string", "pattern": SHARE_PATTERN},
            {"type": "number", "minimum": 0, "maximum": 1},
        ],
        "examples": ["99%", "0.99"],
    },
)
ID = text_like(r"[A-Za-z0-9_-]{1,64}", "an id: letters, digits, - and _, at most 64")
WORD = text_like(r"[^\x00-\x1f\x7f]{1,256}", "text of 1 to 256 characters", examples=["2.1.0"])


class Block(BaseModel):
    """A mapping in a document. It is immutable, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def without_null(node: object) -> object:
    """Return the schema without the null that pydantic allows for optional keys: a key is left out, never null."""
    if isinstance(node, list):
        return [without_null(item) for item in node if item != {"type": "null"}]
    if not isinstance(node, dict):
        return node
    # a whole block as default says less than the defaults of its keys
    kept = {
        key: without_null(value)
        for key, value in node.items()
        if key != "default" or not (value is None or isinstance(value, dict))
    }
    only = kept.get("anyOf")
    if isinstance(only, list) and len(only) == 1:
        del kept["anyOf"]
        return only[0] | kept
    return kept
