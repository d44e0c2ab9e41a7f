"""Turns pydantic's errors into complaints for the person who wrote the document: place, code, the likely key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rollout.intake.complaints import Complaints, Loc, quoted
from rollout.intake.scalars import Block
from rollout.intake.units import Unreadable

SECRETS = re.compile(r"secret|password|passwd|token|credential|private.?key|(app|access).?key", re.IGNORECASE)
"""Names of keys under which people write secrets, which no document here may hold."""


def add_errors(
    complaints: Complaints, invalid: ValidationError, root: type[Block], *, misplaced: Mapping[str, str]
) -> None:
    """Add a complaint for each of pydantic's errors.

    Args:
        root: the model of the whole document.
        misplaced: keys that people write in the wrong place, with what to write instead.
    """
    for error in invalid.errors(include_url=False):
        _complain(complaints, error, root, misplaced)


def _complain(
    complaints: Complaints, error: ErrorDetails, root: type[Block], misplaced: Mapping[str, str]
) -> None:
    loc: Loc = error["loc"]
    kind = error["type"]
    context = error.get("ctx", {})
    match kind:
        case "value_error":
            fault = context["error"]
            assert isinstance(fault, Unreadable), "readers here raise nothing else"
            complaints.add(fault.code, fault.message, loc=loc, hint=fault.hint)
        case "extra_forbidden":
            name = str(loc[-1])
            if SECRETS.search(name):
                hint = "keys and secrets come from the environment or a profile, never from a plan"
                complaints.add("R122", "a secret does not belong in a plan", loc=loc, hint=hint, at_key=True)
            else:
                hint = misplaced.get(name) or _likely(name, _keys_at(root, loc[:-1]), loc)
                complaints.add("R103", "unknown key", loc=loc, hint=hint, at_key=True)
        case "missing":
            complaints.add("R106", f"{complaints.places.path(loc)} is missing", loc=loc[:-1])
        case "too_long":
            complaints.add(
                "R102", f"{context['actual_length']} entries, at most {context['max_length']}", loc=loc
            )
        case "too_short":
            complaints.add("R102", "is empty", loc=loc)
        case "model_type" | "dict_type":
            complaints.add("R105", f"expected a mapping of keys, got {quoted(error['input'])}", loc=loc)
        case "list_type":
            complaints.add(
                "R105", f"expected a list, got {quoted(error['input'])}", loc=loc, hint="[one, two]"
            )
        case _:
            raise AssertionError(f"pydantic finds {kind}, which no model here can cause")


def _likely(name: str, known: Sequence[str], loc: Loc) -> str:
    lowered = {key.lower(): key for key in known}
    close = difflib.get_close_matches(name.lower().replace("_", ""), lowered, n=1, cutoff=0.6)
    if not close:
        return f"known here: {', '.join(known)}"
    return f"EnOS calls it {lowered[close[0]]!r}" if "job" in loc else f"did you mean {lowered[close[0]]!r}?"


def _keys_at(root: type[Block], loc: Loc) -> list[str]:
    """Return the keys that the block at `loc` may have."""
    block = root
    for part in loc:
        field = next((f for n, f in block.model_fields.items() if part in (f.alias, n)), None)
        inner = None if field is None else _block_in(field.annotation)
        block = inner or block  # a list index stays in the block its list was of
    return [field.alias or name for name, field in block.model_fields.items()]


def _block_in(annotation: object) -> type[Block] | None:
    if isinstance(annotation, type) and issubclass(annotation, Block):
        return annotation
    return next((found for part in get_args(annotation) if (found := _block_in(part))), None)
