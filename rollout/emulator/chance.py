"""The emulator's only dice: a generator for every question, seeded with what the question is about."""

from __future__ import annotations

import random

__all__ = ["dice"]


def dice(*about: object) -> random.Random:
    """Return a generator that depends on `about` alone, so no draw is moved by another."""
    return random.Random("/".join(map(str, about)))  # noqa: S311 - repeatable chance is the purpose, not secrets
