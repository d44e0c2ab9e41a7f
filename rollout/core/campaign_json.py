"""A campaign as JSON values and back, in a format that can grow.

The keys are the field names of `core.campaign`, whose types are read from the classes themselves. Shares are
exact fractions (`"1/20"`). The five kinds of a wave's size are told apart by `kind`. Digests are taken over what
is written here (`canonical`), never over the shape of a class. Three rules let the classes change while
campaigns are running:

1. *A field at its default is not written.* So a field that was added later is absent from every campaign that
   does not use it, and no digest of an older plan changes.
2. *An absent field means what the format it was written in says*, not what the class says today. `CAMPAIGN_DEFAULTS` pins
   that for each format. A field that is not pinned there has its empty value: None, False, no items.
3. *A field that this program does not know is refused* (`NewerFormat`), never half understood.

To add an optional field: add it to its class; where its default is not its empty value, add that to the newest entry of
`CAMPAIGN_DEFAULTS` too. To change a default: begin a new format, which is a copy of the newest entry with the new value, and
the next number in `PLAN_FORMAT`. What an entry says is never changed: older formats stay as they are
for ever. Format 1 wrote every field and had another shape: see `intake.format_1`.
"""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from fractions import Fraction
from functools import cache
from typing import Any, Final, NamedTuple, Union, get_args, get_origin, get_type_hints

from rollout.core.campaign import Campaign, Count, Keys, Rest, Scope, Share, Size

PLAN_FORMAT: Final = 2
"""The format that is written."""

CAMPAIGN_DEFAULTS: Final[Mapping[int, Mapping[str, Mapping[str, Any]]]] = {
    2: {
        "Localized": {"i18n": {}},
        "TaskRetry": {"enabled": False, "interval_s": 0, "count": 0},
        "PushSchedule": {"repeat_daily": None},
        "Scope": {"selector": None, "value": None},
        "JobSpec": {
            "upgrade_timeout_s": 7200,
            "maximum_concurrency": 300,
            "retry": {},
            "schedule": None,
            "grows": False,
            "platform": {},
        },
        "StopRule": {"of": "resolved", "min_sample": 1},
        "Gate": {
            "success": None,
            "resolved": None,
            "stop": None,
            "min_sample": 1,
            "soak_s": 0.0,
            "deadline_s": None,
            "on_fail": "pause",
            "approval": False,
        },
        "Wave": {"gate": None, "spread_by": None},
        "CallLimit": {"burst": 1, "in_flight": 4},
        "Limits": {
            "create": {"rate": 2.0},
            "read": {"rate": 10.0, "burst": 5},
            "devices_in_progress": None,
        },
        "ApiRetry": {"attempts": 6, "first_s": 0.5, "max_s": 60.0, "when_unsure": "resend"},
        "Campaign": {"per_job": 500, "limits": {}, "api_retry": {}, "stragglers_after_s": 7200.0},
    },
}
"""What an absent field means, as it would be written: by format, class and field. Never change a value."""

_SIZES: Final[Mapping[str, type]] = {
    "count": Count,
    "share": Share,
    "rest": Rest,
    "keys": Keys,
    "scope": Scope,
}
_KINDS: Final = {kind: name for name, kind in _SIZES.items()}


class NewerFormat(ValueError):
    """The campaign says something that only a newer program knows; the text names it."""


def campaign_to_json(campaign: Campaign) -> dict[str, Any]:
    """Return the campaign as JSON values of format `PLAN_FORMAT`; fields at their default are left out."""
    encoded = _encode(campaign)
    assert isinstance(encoded, dict)
    return encoded


def campaign_from_json(data: object, written_in: int = PLAN_FORMAT) -> Campaign:
    """Return the campaign that was written in the format `written_in`.

    Raises: NewerFormat for a field or word that this program does not know, ValueError for anything else that
        is no campaign.
    """
    try:
        campaign = _decode(Campaign, data, written_in, "campaign")
    except (TypeError, KeyError, AttributeError, ZeroDivisionError) as error:
        raise ValueError(f"not a campaign: {error}") from error
    assert isinstance(campaign, Campaign)
    return campaign


def canonical(content: object) -> bytes:
    """Return the same bytes for the same JSON values on any machine."""
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


class _Missing:
    """No value: the field is never left out, or may not be absent."""


_NONE: Final = _Missing()


class _Field(NamedTuple):
    """A field's type, the value at which it is left out, and the value that its absence means."""

    hint: Any
    left_out: Any
    absent: Any


@cache
def _fields_of(kind: type, written_in: int) -> Mapping[str, _Field]:
    hints = get_type_hints(kind)
    pinned = CAMPAIGN_DEFAULTS[written_in].get(kind.__name__, {})
    found = {}
    for each in fields(kind):
        hint = hints[each.name]
        made = each.default_factory() if each.default_factory is not MISSING else each.default
        if each.name in pinned:
            left_out = absent = pinned[each.name]
        elif made is MISSING:
            left_out = absent = _NONE
        else:
            left_out = _empty(hint)
            absent = _encode(made) if left_out is _NONE else left_out
        found[each.name] = _Field(hint, left_out, absent)
    return found


def _empty(hint: Any) -> Any:
    """Return the empty value of a type as it would be written, `_NONE` if it has none."""
    origin = get_origin(hint)
    if type(None) in get_args(hint):
        return None
    if hint is bool:
        return False
    if origin is tuple:
        return []
    return {} if origin is Mapping else _NONE


def _encode(value: object) -> object:
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        written: dict[str, object] = {"kind": _KINDS[kind]} if kind in _KINDS else {}
        for name, field in _fields_of(kind, PLAN_FORMAT).items():
            encoded = _encode(getattr(value, name))
            if type(encoded) is not type(field.left_out) or encoded != field.left_out:
                written[name] = encoded
        return written
    if isinstance(value, tuple | list):
        return [_encode(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _encode(item) for key, item in value.items()}
    return value.value if isinstance(value, StrEnum) else value


def _decode(kind: Any, raw: Any, written_in: int, path: str) -> object:
    if kind == Size:
        rest = dict(raw)
        name = rest.pop("kind")
        if name not in _SIZES:
            raise NewerFormat(f"{path}.kind {name!r}")
        return _decode(_SIZES[name], rest, written_in, path)
    if get_origin(kind) in (Union, types.UnionType):
        return _decode_either(get_args(kind), raw, written_in, path)
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        return tuple(_decode(inner, item, written_in, f"{path}[{n}]") for n, item in enumerate(raw, 1))
    if is_dataclass(kind) and isinstance(kind, type):
        return _decode_object(kind, raw, written_in, path)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        if raw not in set(kind):
            raise NewerFormat(f"{path} {raw!r}")
        return kind(raw)
    if isinstance(kind, type) and issubclass(kind, Fraction):
        return Fraction(raw)
    return raw


def _decode_object(kind: type, raw: Any, written_in: int, path: str) -> object:
    known = _fields_of(kind, written_in)
    if unknown := sorted(raw.keys() - known.keys()):
        raise NewerFormat(", ".join(f"{path}.{name}" for name in unknown))
    values = {}
    for name, field in known.items():
        value = raw.get(name, field.absent)
        if value is _NONE:
            raise ValueError(f"{path}.{name} is missing")
        values[name] = _decode(field.hint, value, written_in, f"{path}.{name}")
    return kind(**values)


def _decode_either(kinds: tuple[Any, ...], raw: Any, written_in: int, path: str) -> object:
    if raw is None:
        return None
    # a share is text, a number of devices a number
    wanted = [
        kind for kind in kinds if kind is not type(None) and (kind is not Fraction or isinstance(raw, str))
    ]
    return _decode(wanted[0], raw, written_in, path)
