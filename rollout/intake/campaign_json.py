"""A campaign as JSON and back, exactly: shares stay fractions, nothing is added and nothing left out.

The keys are the field names of `core.campaign`. Its types are read from the classes themselves, so a field
added there is stored here; a file with other fields than the classes have is refused, never half understood.
The five kinds of a wave's size are told apart by a `kind`; everything else by its field.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from fractions import Fraction
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from rollout.core.campaign import Campaign, Size

__all__ = ["campaign_from_json", "campaign_to_json"]

_SIZES: Mapping[str, type] = {kind.__name__.lower(): kind for kind in get_args(Size)}


def campaign_to_json(campaign: Campaign) -> dict[str, Any]:
    """Return the campaign as values that `json` writes."""
    encoded = _encode(campaign)
    assert isinstance(encoded, dict)
    return encoded


def campaign_from_json(data: object) -> Campaign:
    """Return the campaign that `campaign_to_json` wrote. Raises ValueError for anything else."""
    try:
        campaign = _decode(Campaign, data)
    except (TypeError, KeyError, AttributeError, ZeroDivisionError) as error:
        raise ValueError(f"not a campaign: {error}") from error
    assert isinstance(campaign, Campaign)
    return campaign


def _encode(value: object) -> object:
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if is_dataclass(value) and not isinstance(value, type):
        encoded = {field.name: _encode(getattr(value, field.name)) for field in fields(value)}
        kind = type(value).__name__.lower()
        return {"kind": kind, **encoded} if kind in _SIZES else encoded
    if isinstance(value, tuple | list):
        return [_encode(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _encode(item) for key, item in value.items()}
    return value


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _decode(kind: Any, raw: Any) -> object:
    if kind == Size:
        rest = dict(raw)
        return _decode(_SIZES[rest.pop("kind")], rest)
    if get_origin(kind) in (Union, types.UnionType):
        return _decode_either(get_args(kind), raw)
    if get_origin(kind) is tuple:
        return tuple(_decode(get_args(kind)[0], item) for item in raw)
    if is_dataclass(kind) and isinstance(kind, type):
        hints = _hints(kind)
        if raw.keys() != hints.keys():
            raise ValueError(f"{kind.__name__} has other fields: {', '.join(raw.keys() ^ hints.keys())}")
        return kind(**{name: _decode(hint, raw[name]) for name, hint in hints.items()})
    if isinstance(kind, type) and issubclass(kind, Fraction | StrEnum):
        return kind(raw)
    return raw


def _decode_either(kinds: tuple[Any, ...], raw: Any) -> object:
    if raw is None:
        return None
    # a share is text, a number of devices a number
    wanted = [
        kind for kind in kinds if kind is not type(None) and (kind is not Fraction or isinstance(raw, str))
    ]
    return _decode(wanted[0], raw)
