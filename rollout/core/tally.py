"""Task counts by status, each with its denominator.

EnOS has five task states; a campaign needs four numbers. `failed` is not final while the platform's own
retries may bring the device back, so there are two readings of "resolved": the cautious one for opening
(`resolved`, only final results) and the alert one for stopping (`seen`, every failure as soon as it shows).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from rollout.core.campaign import Denominator


@dataclass(frozen=True, slots=True)
class Tally:
    """Devices of one wave, or of several together. N devices each.

    `planned`: devices the plan gave to the wave (for a scope wave: the tasks EnOS made).
    `enrolled`: tasks that exist. `failed_final`: failed with no retry to come.
    """

    planned: int = 0
    enrolled: int = 0
    in_progress: int = 0
    succeeded: int = 0
    failed: int = 0
    failed_final: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Return the counts of both together."""
        return Tally(
            self.planned + other.planned,
            self.enrolled + other.enrolled,
            self.in_progress + other.in_progress,
            self.succeeded + other.succeeded,
            self.failed + other.failed,
            self.failed_final + other.failed_final,
        )

    def __sub__(self, other: Tally) -> Tally:
        """Return these counts less the other's."""
        return Tally(
            self.planned - other.planned,
            self.enrolled - other.enrolled,
            self.in_progress - other.in_progress,
            self.succeeded - other.succeeded,
            self.failed - other.failed,
            self.failed_final - other.failed_final,
        )

    @property
    def resolved(self) -> int:
        """Devices that came to a final end."""
        return self.succeeded + self.failed_final

    @property
    def seen(self) -> int:
        """Devices that came to an end at least once, final or not."""
        return self.succeeded + self.failed

    @property
    def open(self) -> int:
        """Devices of the plan without a final end."""
        return self.planned - self.resolved

    def of(self, denominator: Denominator) -> int:
        """Return the number of devices that is 100% for this denominator."""
        return self.planned if denominator is Denominator.PLANNED else self.resolved

    @staticmethod
    def share(part: int, whole: int) -> Fraction:
        """Return part / whole; 0 if both are 0."""
        return Fraction(part, whole) if whole else Fraction(0)

    @staticmethod
    def compare(part: int, whole: int, share: Fraction) -> int:
        """Return a number below, at or above 0: part / whole is less than, equal to, or more than `share`.

        Exact, and faster than making a fraction; every decision uses it.
        """
        return part * share.denominator - whole * share.numerator if whole else -share.numerator
