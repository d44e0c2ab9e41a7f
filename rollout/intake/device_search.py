"""`enos:` sources: the devices that EnOS's device search finds, written as conditions on EnOS's fields.

    enos:productKey=inverter-x
    enos:productKey=inverter-x and firmwareVersion=1.8|1.9 and status=online
    enos:deviceTags.site in (berlin, 'Santiago de Chile') and not exists(deviceTags.spare)

The grammar is the part of EnOS's expressions that a fleet needs. Only values with blanks need quotes, and `a|b` means
any of several values. Conditions are joined by `and`; for `or`, name two sources. A field or sign that the search does
not have is refused here with its place in the file, before the platform is asked.
Source of fields and signs: search_device page, 3.0.0 and V2.4; of a tag's key: limitations page.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from rollout.core.records import Condition, DeviceFilter, Sign
from rollout.intake.complaints import quoted
from rollout.intake.units import Unreadable

PREFIX: Final = "enos:"

VALUES_MAX: Final = 100
"""Values of one condition; EnOS publishes no bound. Ours."""

_EQUAL: Final = frozenset({Sign.EQUAL})
_PRESENCE: Final = frozenset({Sign.EXISTS, Sign.MISSING})

SEARCH_FIELDS: Final[Mapping[str, frozenset[Sign]]] = MappingProxyType(
    {
        "productKey": _EQUAL,
        "deviceKey": _EQUAL,
        "assetId": _EQUAL,
        "firmwareVersion": _EQUAL,
        "status": _EQUAL,
        "productType": _EQUAL,
        "modelId": frozenset({Sign.EQUAL, Sign.UNEQUAL}),
        "deviceName": frozenset({Sign.LIKE}),
        "deviceTags.": frozenset({Sign.EQUAL, Sign.UNEQUAL}) | _PRESENCE,
        "deviceAttributes.": _EQUAL | _PRESENCE,
    }
)
"""Fields and the signs each can be compared by. After a dot comes a tag's key or an attribute's id."""

SINGLE: Final = frozenset({"status", "productType", "deviceTags."})
"""Fields that are compared with one value: EnOS has no `in` for them."""

FIELD_VALUES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"status": ("inactive", "online", "offline", "disable"), "productType": ("Device", "Gateway")}
)
"""Fields that take only these values."""

ALIASES: Final = {"tags": "deviceTags", "tag": "deviceTags", "attributes": "deviceAttributes"}
"""Other names of the fields, as a job's upgradeScope has them."""

_FIELD = r"[A-Za-z][A-Za-z0-9]*(?:\.[A-Za-z0-9_/-]*)?"
_VALUE = r"""'[^'"\\]*'|"[^'"\\]*"|[^\s'"\\()|,&=!]+"""
_CONDITION = re.compile(
    rf"(?P<no>not\s+)?exists\s*\(\s*(?P<present>{_FIELD})\s*\)"
    rf"|(?P<field>{_FIELD})(?:"
    rf"\s*(?P<sign>!=|=)\s*(?P<listed>(?:{_VALUE})(?:\s*\|\s*(?:{_VALUE}))*)"
    rf"|\s+like\s+(?P<part>{_VALUE})"
    rf"|\s+in\s*\(\s*(?P<any>(?:{_VALUE})(?:\s*,\s*(?:{_VALUE}))*)\s*\))",
    re.IGNORECASE,
)
_VALUES = re.compile(_VALUE)
_AND = re.compile(r"\s+and\s+|\s*&\s*", re.IGNORECASE)


def is_search(name: str) -> bool:
    """Return whether a source of devices is a search of EnOS's, and not a file."""
    return name[: len(PREFIX)].lower() == PREFIX


def read_search(text: str) -> DeviceFilter:
    """Return the filter that `enos:…` is. Raises Unreadable (R170)."""
    rest = text[len(PREFIX) :].strip()
    conditions = []
    position = 0
    while True:
        match = _CONDITION.match(rest, position)
        if match is None:
            raise _unreadable(rest[position:])
        conditions.append(_condition(match))
        position = match.end()
        if position == len(rest):
            return DeviceFilter(tuple(conditions))
        joint = _AND.match(rest, position)
        if joint is None:
            raise _unreadable(rest[position:])
        position = joint.end()


def _condition(match: re.Match[str]) -> Condition:
    if (field := match["present"]) is not None:
        return _checked(Condition(field, Sign.MISSING if match["no"] else Sign.EXISTS))
    field = match["field"]
    if (part := match["part"]) is not None:
        return _checked(Condition(field, Sign.LIKE, (part.strip("'\""),)))
    values = tuple(value.strip("'\"") for value in _VALUES.findall(match["listed"] or match["any"]))
    return _checked(Condition(field, Sign(match["sign"] or "="), values))


def _checked(condition: Condition) -> Condition:
    """Return the condition. Raises Unreadable (R170) if EnOS's search does not have it."""
    field, values = condition.field, condition.values
    stem, dot, key = field.partition(".")
    family = stem + dot
    if family not in SEARCH_FIELDS or (dot and not key):
        meant = ALIASES.get(stem, stem)
        close = difflib.get_close_matches(
            meant, [name.rstrip(".") for name in SEARCH_FIELDS], n=1, cutoff=0.5
        )
        known = ", ".join(f"{name}KEY" if name.endswith(".") else name for name in SEARCH_FIELDS)
        dotted = next(
            (f"{close[0]}.{key or 'KEY'}" for name in SEARCH_FIELDS if close and name == f"{close[0]}."), ""
        )
        hint = f"did you mean {dotted or close[0]!r}?" if close else f"known are {known}"
        raise Unreadable("R170", f"{quoted(field)} is no field of EnOS's device search", hint)
    if condition.sign not in SEARCH_FIELDS[family]:
        signs = ", ".join(sorted(SEARCH_FIELDS[family]))
        raise Unreadable("R170", f"{field} cannot be compared by {condition.sign}: EnOS has {signs} for it")
    if len(values) > 1 and (family in SINGLE or condition.sign is not Sign.EQUAL):
        hint = "name one source a value" if condition.sign is Sign.EQUAL else "write one condition a value"
        raise Unreadable("R170", f"{field} takes one value in EnOS's search, got {len(values)}", hint)
    if len(values) > VALUES_MAX:
        raise Unreadable("R170", f"{field}: {len(values)} values, at most {VALUES_MAX}")
    for value in values:
        if not value or not value.isprintable():
            raise Unreadable("R170", f"{field}: {quoted(value)} cannot be searched for")
        if value not in FIELD_VALUES.get(field, (value,)):
            message = f"{field}: {quoted(value)} is not one of {', '.join(FIELD_VALUES[field])}"
            raise Unreadable("R170", message)
    return condition


def _unreadable(rest: str) -> Unreadable:
    if not rest:
        return Unreadable("R170", "expected a condition", "such as enos:productKey=inverter-x")
    hint = "conditions are field=value, field=a|b, field like part, exists(field), joined by and"
    if re.match(r"\s*or\b", rest, re.IGNORECASE):
        hint = "there is no or: name two sources, and devices of either are in"
    return Unreadable("R170", f"cannot read {quoted(rest.strip())} as a condition", hint)
