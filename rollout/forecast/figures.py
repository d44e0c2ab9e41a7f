"""The few figures that results are told in: quantiles, shares with their interval, binomial chances."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, exp, fsum, lgamma, log, log1p, sqrt

__all__ = ["Share", "chance_of_at_most", "quantile"]

Z_95 = 1.959964
"""Standard normal deviate of a two-sided 95 % interval."""


def quantile(values: Iterable[float], share: float) -> float | None:
    """Return the least value that at least `share` of the values do not exceed; None of nothing."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else None


@dataclass(frozen=True, slots=True)
class Share:
    """`hits` of `runs`, and between which shares the truth lies, 19 times of 20.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """

    hits: int
    runs: int

    @property
    def value(self) -> float:
        """The share, 0 to 1; 0 of nothing."""
        return self.hits / self.runs if self.runs else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Low and high end, 0 to 1; all of it where nothing is known."""
        if not self.runs:
            return 0.0, 1.0
        p, n, z = self.value, self.runs, Z_95
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        # at the ends rounding must not leave a rest
        return 0.0 if self.hits == 0 else middle - half, 1.0 if self.hits == n else middle + half


def chance_of_at_most(hits: int, draws: int, rate: float) -> float:
    """Return the chance of at most `hits` in `draws` independent draws that each hit with `rate`."""
    if hits >= draws or rate <= 0.0:
        return 1.0
    if rate >= 1.0:
        return 0.0
    # in logarithms: the number of combinations leaves the range of floats at a thousand draws
    start = lgamma(draws + 1)
    terms = (
        exp(start - lgamma(k + 1) - lgamma(draws - k + 1) + k * log(rate) + (draws - k) * log1p(-rate))
        for k in range(hits + 1)
    )
    return min(1.0, fsum(terms))
