"""What will happen by itself, in the order of its times."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Agenda:
    """Happenings to come: a method for each, called with its time. Equal times keep the order of their planning.

    `now`: the time of the latest happening, seconds since the epoch.
    """

    def __init__(self, start: float) -> None:
        self.now = start
        self._due: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._planned = 0

    def plan(self, at: float, happen: Callable[..., None], *about: Any) -> None:
        """Let `happen(at, *about)` be called when `at` is reached."""
        # the running number keeps equal times in order, and methods from being compared
        self._planned += 1
        heapq.heappush(self._due, (at, self._planned, happen, about))

    def next_due(self) -> float | None:
        """Return when something happens next; None if nothing does."""
        return self._due[0][0] if self._due else None

    def run(self, until: float, most: int) -> bool:
        """Let happen what is due up to and at `until`, but no more than `most`; return whether that was all."""
        due = self._due
        for _ in range(most):
            if not due or due[0][0] > until:
                return True
            at, _, happen, about = heapq.heappop(due)
            self.now = at
            happen(at, *about)
        return False
