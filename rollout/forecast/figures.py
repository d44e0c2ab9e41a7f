"""The statistics of a forecast: quantiles, proportions with their interval, binomial probabilities."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, exp, fsum, lgamma, log, log1p, sqrt

Z_95 = 1.959964
"""Standard normal deviate of a two-sided 95 % interval."""


def quantile(values: Iterable[float], share: float) -> float | None:
    """Return the `share` quantile: the least value that at least this share of the values do not exceed.

    Args:
        share: 0 to 1; 0.5 is the median.
    Returns: one of the values; None if there are no values.
    """
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else None


@dataclass(frozen=True, slots=True)
class Proportion:
    """`hits` of `of` cases, with the 95 % interval of the true proportion.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """

    hits: int
    of: int

    @property
    def value(self) -> float:
        """The observed proportion, 0 to 1; 0 if there are no cases."""
        return self.hits / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """The low and the high end, 0 to 1; (0, 1) if there are no cases."""
        if not self.of:
            return 0.0, 1.0
        p, n, z = self.value, self.of, Z_95
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        # at 0 and at 1 a rounding error must not move the end inwards
        return 0.0 if self.hits == 0 else middle - half, 1.0 if self.hits == n else middle + half


def chance_of_at_most(hits: int, draws: int, rate: float) -> float:
    """Return the binomial probability of at most `hits` in `draws` independent draws, each a hit with probability `rate`."""
    if hits >= draws or rate <= 0.0:
        return 1.0
    if rate >= 1.0:
        return 0.0
    # in logarithms: the number of combinations overflows a float at a thousand draws
    start = lgamma(draws + 1)
    terms = (
        exp(start - lgamma(k + 1) - lgamma(draws - k + 1) + k * log(rate) + (draws - k) * log1p(-rate))
        for k in range(hits + 1)
    )
    return min(1.0, fsum(terms))
