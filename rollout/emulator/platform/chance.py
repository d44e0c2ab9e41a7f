"""The emulator's only dice. What a draw is about decides it: no draw is moved by another, asked in whatever order.

`Lots` gives the many small draws of a fleet's life: one hash per question, sliced into uniform numbers. `dice`
gives a whole generator where one is needed, at fifteen times the price (a generator must be seeded first).
"""

from __future__ import annotations

import hashlib
import random
import struct

DRAWS = 8
"""Independent numbers that one question gives."""

_HASH_BYTES = 4 * DRAWS
_WORDS = struct.Struct(f"<{DRAWS}I").unpack
_STEP = 2.0**-32


class Lots:
    """Draws by name, all owed to what the whole is about, such as a seed."""

    __slots__ = ("_start",)

    def __init__(self, *about: object) -> None:
        self._start = hashlib.blake2b(f"{_text(about)}/".encode(), digest_size=_HASH_BYTES)

    def draw(self, question: str) -> tuple[float, ...]:
        """Return `DRAWS` numbers, uniform and strictly between 0 and 1, that this question always has."""
        state = self._start.copy()
        state.update(question.encode())
        # from the middle of its step: an inverse distribution is never asked for its ends
        return tuple([(word + 0.5) * _STEP for word in _WORDS(state.digest())])


def dice(*about: object) -> random.Random:
    """Return a generator that depends on `about` alone."""
    return random.Random(_text(about))  # noqa: S311 - repeatable chance is the purpose, not secrets


def _text(about: tuple[object, ...]) -> str:
    return "/".join(map(str, about))
