"""All knobs by name: the platform's and the gateway's, which live apart and are turned alike.

What the platform's knobs change is part of its history (`oplog`); the gateway has none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from rollout.emulator.http.gateway import WHAT_RULES_DO, GatewayRules
from rollout.emulator.platform.knobs import WHAT_KNOBS_DO, Knobs, with_settings

EXPLAINED: Mapping[str, str] = {**WHAT_KNOBS_DO, **WHAT_RULES_DO}
"""Every knob in a line."""

_PLATFORM = frozenset(field.name for field in dataclasses.fields(Knobs))
_GATEWAY = frozenset(field.name for field in dataclasses.fields(GatewayRules))

KNOB_NAMES = _PLATFORM | _GATEWAY


def with_knobs(knobs: Knobs, rules: GatewayRules, settings: Mapping[str, Any]) -> tuple[Knobs, GatewayRules]:
    """Return knobs and rules with some of them set by name, each given as its value or as text.

    Raises: ValueError naming the one that cannot be set.
    """
    for name in settings:
        if name not in KNOB_NAMES:
            raise ValueError(f"no knob is called {name!r}; there are {', '.join(sorted(KNOB_NAMES))}")
    return (
        with_settings(knobs, {name: value for name, value in settings.items() if name in _PLATFORM}),
        with_settings(rules, {name: value for name, value in settings.items() if name in _GATEWAY}),
    )


def knob_values(knobs: Knobs, rules: GatewayRules) -> dict[str, Any]:
    """Return all knobs with their values, as JSON."""
    values = {name: getattr(knobs, name) for name in WHAT_KNOBS_DO}
    values |= {name: getattr(rules, name) for name in WHAT_RULES_DO}
    return values | {"quota": None if rules.quota is None else str(rules.quota)}


def choices(name: str) -> tuple[str, ...]:
    """Return the values a knob can have, the default first, if they are few."""
    kind = get_type_hints(Knobs if name in _PLATFORM else GatewayRules)[name]
    if kind is bool:
        return ("false", "true")
    return get_args(kind) if get_origin(kind) is Literal else ()
