"""The platform's timers: callbacks with the time at which each is due, run in the order of their times."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Timers:
    """A queue of callbacks. Callbacks of equal time run in the order in which they were added.

    `now`: seconds since the epoch. The time of the last callback that ran; the model also sets it forward.
    """

    def __init__(self, start: float) -> None:
        self.now = start
        self._due: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._added = 0

    def call_at(self, at: float, callback: Callable[..., None], *args: Any) -> None:
        """Have `callback(at, *args)` called when the time `at` is reached."""
        # the running number keeps the order of equal times, and keeps heapq from comparing callbacks
        self._added += 1
        heapq.heappush(self._due, (at, self._added, callback, args))

    def next_due(self) -> float | None:
        """Return when the next callback is due; None if there is none."""
        return self._due[0][0] if self._due else None

    def run(self, until: float, most: int) -> bool:
        """Run the callbacks that are due up to and at `until`, at most `most` of them.

        Returns: whether none is left that is due.
        """
        due = self._due
        for _ in range(most):
            if not due or due[0][0] > until:
                return True
            at, _, callback, args = heapq.heappop(due)
            self.now = at
            callback(at, *args)
        return False
