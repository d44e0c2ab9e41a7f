"""All random numbers of the emulator. What a number is for decides its value, so no draw changes another one.

A draw depends on the seed and on its own name alone, not on how many draws came before it or in which order.
`NamedDraws` gives the many small draws of a fleet: one hash per name, cut into uniform numbers. `dice` gives a whole
random generator where one is needed; it costs fifteen times as much, because a generator must be seeded first.
"""

from __future__ import annotations

import hashlib
import random
import struct

DRAWS = 8
"""Independent numbers that one name gives."""

_HASH_BYTES = 4 * DRAWS
_WORDS = struct.Struct(f"<{DRAWS}I").unpack
_STEP = 2.0**-32


class NamedDraws:
    """Uniform numbers by name. `about` is what all of them depend on beside their names, such as a seed."""

    __slots__ = ("_start",)

    def __init__(self, *about: object) -> None:
        self._start = hashlib.blake2b(f"{_text(about)}/".encode(), digest_size=_HASH_BYTES)

    def draw(self, name: str) -> tuple[float, ...]:
        """Return `DRAWS` numbers, uniform in (0, 1), ends excluded; the same ones each time for this name."""
        state = self._start.copy()
        state.update(name.encode())
        # the middle of each step: an inverse distribution function is not defined at 0 and 1
        return tuple([(word + 0.5) * _STEP for word in _WORDS(state.digest())])


def dice(*about: object) -> random.Random:
    """Return a random generator that depends on `about` alone."""
    return random.Random(_text(about))  # noqa: S311 - repeatable chance is the purpose, not secrets


def _text(about: tuple[object, ...]) -> str:
    return "/".join(map(str, about))
