"""All knobs by name: those of the platform and those of the gateway. Users set both in the same way.

A change of a platform knob is part of the platform's history (`oplog`). The gateway has no history.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from rollout.emulator.http.gateway import WHAT_RULES_DO, GatewayRules
from rollout.emulator.platform.knobs import WHAT_KNOBS_DO, Knobs, with_settings

EXPLAINED: Mapping[str, str] = {**WHAT_KNOBS_DO, **WHAT_RULES_DO}
"""Each knob in one line."""

_PLATFORM = frozenset(field.name for field in dataclasses.fields(Knobs))
_GATEWAY = frozenset(field.name for field in dataclasses.fields(GatewayRules))

KNOB_NAMES = _PLATFORM | _GATEWAY


def with_knobs(knobs: Knobs, rules: GatewayRules, settings: Mapping[str, Any]) -> tuple[Knobs, GatewayRules]:
    """Return knobs and rules with some of them changed by name; a setting is a value or its text.

    Raises: ValueError naming the knob that cannot be set.
    """
    for name in settings:
        if name not in KNOB_NAMES:
            raise ValueError(f"no knob is called {name!r}; there are {', '.join(sorted(KNOB_NAMES))}")
    return (
        with_settings(knobs, {name: value for name, value in settings.items() if name in _PLATFORM}),
        with_settings(rules, {name: value for name, value in settings.items() if name in _GATEWAY}),
    )


def knob_values(knobs: Knobs, rules: GatewayRules) -> dict[str, Any]:
    """Return all knobs with their values, ready for JSON."""
    values = {name: getattr(knobs, name) for name in WHAT_KNOBS_DO}
    values |= {name: getattr(rules, name) for name in WHAT_RULES_DO}
    return values | {"quota": None if rules.quota is None else str(rules.quota)}


def choices(name: str) -> tuple[str, ...]:
    """Return the values that a knob can have, the default first; empty if it is a number or an optional limit."""
    kind = get_type_hints(Knobs if name in _PLATFORM else GatewayRules)[name]
    if kind is bool:
        return ("false", "true")
    return get_args(kind) if get_origin(kind) is Literal else ()
