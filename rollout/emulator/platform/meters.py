"""Figures for tests and the admin page: the most devices busy at once, and how fast create calls arrived.

The real platform shows none of this. Times are the emulator's clock, except `arrivals`: the HTTP side fills it with
times of the monotonic clock.
"""

from __future__ import annotations

from collections import Counter, deque

ARRIVALS_MAX = 1_000_000
"""Create calls whose arrival is remembered. Ours: 8 MB, and far above the 5,000 jobs the emulator is built for."""


class Meters:
    """Counters that the model updates at every change.

    `in_progress`: tasks in published or upgrading now, over all jobs. `in_progress_max`: the most there ever were.
    `jobs_by_name`: jobs ever made, by the default text of their name. `arrivals`: when create calls came in, seconds.
    """

    def __init__(self, start: float) -> None:
        self.in_progress = 0
        self.in_progress_max = 0
        self.jobs_by_name: Counter[str] = Counter()
        self.arrivals: deque[float] = deque(maxlen=ARRIVALS_MAX)
        self._integral = 0.0
        self._since = start

    def change(self, at: float, delta: int) -> None:
        """Count `delta` more tasks in progress from `at` on; a negative `delta` counts fewer."""
        self._integral += self.in_progress * (at - self._since)
        self._since = at
        self.in_progress += delta
        self.in_progress_max = max(self.in_progress_max, self.in_progress)

    def device_seconds(self, at: float) -> float:
        """Return `in_progress` integrated over the time from the start to `at`, in device-seconds."""
        return self._integral + self.in_progress * (at - self._since)


def most_in_any_second(arrivals: list[float]) -> int:
    """Return the largest number of arrivals within one second, its end excluded; `arrivals` must be sorted."""
    most = 0
    first = 0
    for last, at in enumerate(arrivals):
        while arrivals[first] <= at - 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most
