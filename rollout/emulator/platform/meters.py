"""What tests need to know exactly: how many devices were ever at work at once, and how fast jobs arrived.

The platform itself shows none of this. All times are the emulator's clock, except `arrivals`, which the HTTP side
fills with its own monotonic one.
"""

from __future__ import annotations

from collections import Counter, deque

ARRIVALS_MAX = 1_000_000
"""Create calls remembered with their arrival; ours: 8 MB, and far above the 5,000 jobs we are built for."""


class Meters:
    """Counters kept by the model at every change.

    `in_progress`: tasks in published or upgrading over all jobs, now; `in_progress_max` ever; `jobs_by_name`
    counts every job ever made under its default name; `arrivals` holds when create calls came in, in seconds.
    """

    def __init__(self, start: float) -> None:
        self.in_progress = 0
        self.in_progress_max = 0
        self.jobs_by_name: Counter[str] = Counter()
        self.arrivals: deque[float] = deque(maxlen=ARRIVALS_MAX)
        self._integral = 0.0
        self._since = start

    def change(self, at: float, delta: int) -> None:
        """Take note that `delta` more devices are at work from `at` on."""
        self._integral += self.in_progress * (at - self._since)
        self._since = at
        self.in_progress += delta
        self.in_progress_max = max(self.in_progress_max, self.in_progress)

    def device_seconds(self, at: float) -> float:
        """Return the time integral of `in_progress` from the start to `at`, in device-seconds."""
        return self._integral + self.in_progress * (at - self._since)


def most_in_any_second(arrivals: list[float]) -> int:
    """Return the largest number of arrivals in any half-open second; `arrivals` in rising order."""
    most = 0
    first = 0
    for last, at in enumerate(arrivals):
        while arrivals[first] <= at - 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most
