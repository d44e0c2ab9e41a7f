"""Plots: marks, lines and dots stand where the values say."""

import re

import pytest

from rollout.views.charts import Band, Dots, bands, dots, sample


def test_curves_are_sampled_as_steps():
    """A curve has the value of its latest point; before its first point it has the value of that one."""
    curves = [[(0.0, 0.0), (10.0, 5.0)], [(0.0, 0.0), (20.0, 1.0)]]
    assert sample(curves, [0.0, 9.9, 10.0, 20.0, 99.0], max) == [0.0, 0.0, 5.0, 5.0, 5.0]
    assert sample(curves, [15.0, 25.0], min) == [0.0, 1.0]


@pytest.mark.parametrize(
    ("last", "marks"),
    [
        (50.0, ["0", "10 s", "20 s", "30 s", "40 s", "50 s"]),
        (1500.0, ["0", "5 min", "10 min", "15 min", "20 min", "25 min"]),
        (15_000.0, ["0", "1 h", "2 h", "3 h", "4 h"]),
        (300_000.0, ["0", "1 d", "2 d", "3 d"]),
    ],
)
def test_time_axes_are_in_the_unit_people_would_use(last, marks):
    """Round steps, few of them, each with its unit."""
    one = Band("x", "good", [0.0, last], [0, 1], [0, 2], [0, 3])
    told = re.findall(
        r'<text class="tick"[^>]*text-anchor="middle">([^<]*)<', bands([one], title="t", unit="u")
    )
    assert told == marks


def test_a_band_reaches_from_low_to_high_and_zero_stands_on_the_foot():
    """The largest value lies within the frame; zero on its lower edge; labels say what is shown."""
    one = Band("x", "good", [0.0, 10.0], [0, 40], [0, 50], [0, 100])
    drawn = bands([one], title="A & B", unit="devices", width=400, height=250)
    line = re.search(r'class="good line" d="([^"]*)"', drawn)[1]
    first, last = [tuple(map(float, point.split())) for point in line.removeprefix("M").split("L")]
    assert first == (64.0, 210.0)
    assert last == (386.0, 112.0), "half of the highest mark"
    assert "<title>A &amp; B</title>" in drawn
    assert ">devices<" in drawn


def test_dots_show_every_run_and_none_is_lost_at_zero():
    """One dot for each value, the bar on the middle one, zero below one device."""
    drawn = dots([Dots("x", "out", [[0, 10, 1000]])], ["5%"], title="t", unit="u", under="rates")
    heights = [float(y) for y in re.findall(r'cy="([0-9.]+)"', drawn)]
    assert len(heights) == 3
    assert heights == sorted(heights, reverse=True), "larger values stand higher"
    assert heights[0] == 290.0
    bar = float(re.search(r'median" d="M[0-9.]+ ([0-9.]+)H', drawn)[1])
    assert bar == heights[1]


def test_nothing_to_show_is_an_empty_frame():
    """No runs, no division by zero."""
    assert "<circle" not in dots([Dots("x", "out", [[]])], ["5%"], title="t", unit="u", under="rates")
