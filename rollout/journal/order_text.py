"""Orders as text, for the stores that keep them: one JSON object, the kind under `verb`, its fields beside it."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import get_args

from rollout.core.orders import Order, verb_of

ORDER_BYTES_MAX = 16_384
"""Largest order read, in bytes; a reason is a sentence, not a document. Ours."""

_KINDS: dict[str, type[Order]] = {kind.__name__.lower(): kind for kind in get_args(Order)}


def encode_order(order: Order) -> str:
    """Return the order as text."""
    return json.dumps({"verb": verb_of(order), **asdict(order)})


def decode_order(text: bytes) -> Order | None:
    """Return the order, or None if the text is none: not JSON, other fields, other types, or too long."""
    try:
        body = json.loads(text[: ORDER_BYTES_MAX + 1])
    except (ValueError, RecursionError):
        return None
    kind = _KINDS.get(str(body.pop("verb", ""))) if isinstance(body, dict) else None
    if kind is None:
        return None
    types = {f.name: bool if f.type in {"bool", bool} else str for f in fields(kind)}
    if not {"by", "id"} <= body.keys() <= types.keys() or any(
        type(value) is not types[name] for name, value in body.items()
    ):
        return None
    try:
        return kind(**body)
    except TypeError:
        return None
