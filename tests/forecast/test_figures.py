"""The figures results are told in, against values from tables."""

import pytest

from rollout.forecast.figures import Proportion, chance_of_at_most, quantile


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.5, 5), (0.51, 6), (0.9, 9), (0.91, 10), (1.0, 10)]
)
def test_a_quantile_is_a_value_that_was_seen(share, expected):
    """The least value that enough of them do not exceed; no value in between is made up."""
    assert quantile(range(10, 0, -1), share) == expected
    assert quantile([], share) is None


@pytest.mark.parametrize(
    ("hits", "runs", "low", "high"),
    [(0, 20, 0.0, 0.1611), (20, 20, 0.8389, 1.0), (10, 20, 0.2993, 0.7007), (38, 100, 0.2910, 0.4779)],
)
def test_intervals_are_wilsons(hits, runs, low, high):
    """Intervals at 0 and at 1 have a width; the normal approximation gives none there."""
    assert Proportion(hits, runs).interval == pytest.approx((low, high), abs=1e-4)


def test_nothing_tried_is_nothing_known():
    """Without runs the interval is 0 to 1."""
    assert Proportion(0, 0).interval == (0.0, 1.0)


@pytest.mark.parametrize(
    ("hits", "draws", "rate", "chance"),
    [(1, 10, 0.2, 0.3758), (0, 5, 0.2, 0.3277), (5, 50, 0.2, 0.0480), (10, 10, 0.5, 1.0), (0, 3, 1.0, 0.0)],
)
def test_binomial_chances(hits, draws, rate, chance):
    """Binomial probabilities, against a table."""
    assert chance_of_at_most(hits, draws, rate) == pytest.approx(chance, abs=1e-4)


def test_binomial_chances_of_large_canaries():
    """Ten thousand draws neither overflow nor vanish."""
    assert chance_of_at_most(2000, 10_000, 0.2) == pytest.approx(0.5, abs=0.01)
