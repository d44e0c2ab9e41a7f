"""The engine's clock: seconds since the epoch that never go backwards, perhaps faster than real ones.

Within one life it runs on the monotonic clock that keeps counting while the machine sleeps, so a wall clock
set back or forward changes no soak, deadline or quarantine. A new life starts no earlier than the last
recorded event. `speed` above 1 is for emulated platforms only: an engine second then lasts 1/speed real ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

_monotonic = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Clock:
    """Callable time: `clock()` is now, in seconds since the epoch.

    Args:
        wall: seconds since the epoch, asked once.
        monotonic: seconds that never go back; with `wall`, all the time there is in a simulation.
    """

    __slots__ = ("_began", "_monotonic", "_start", "speed")

    def __init__(
        self,
        *,
        not_before: float = 0.0,
        speed: float = 1.0,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = _monotonic,
    ) -> None:
        self.speed = speed
        self._monotonic = monotonic
        self._start = max(wall(), not_before)
        self._began = monotonic()

    def __call__(self) -> float:
        """Return now, seconds since the epoch."""
        return self._start + (self._monotonic() - self._began) * self.speed

    def real(self, engine_s: float) -> float:
        """Return how many real seconds `engine_s` seconds of this clock last."""
        return engine_s / self.speed
