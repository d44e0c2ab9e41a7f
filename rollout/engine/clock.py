"""The engine's clock: seconds since the epoch that never go backwards. It may run faster than real time.

Within one process it runs on the monotonic clock that keeps counting while the machine sleeps, so setting the
machine's clock changes no soak, deadline or wait. A new process starts no earlier than the last recorded event.
`speed` above 1 is for emulated platforms only: an engine second then lasts 1/speed real seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

_monotonic = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Clock:
    """Callable time: `clock()` is now, in seconds since the epoch.

    Args:
        not_before: the clock starts no earlier than this, seconds since the epoch.
        speed: engine seconds for each real second.
        wall: returns seconds since the epoch; called once. A simulation passes its own, and its own `monotonic`.
        monotonic: returns seconds that never go back.
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
