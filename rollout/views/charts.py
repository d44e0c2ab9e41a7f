"""Plots as inline SVG. The same data gives the same bytes, text stays text, and no library is needed.

Why no plotting library: its SVG turns every letter into a path, which is ten times the size and cannot be searched,
copied or read aloud; and its output changes with its version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

from rollout.core.campaign import DAY_S

Point = tuple[float, float]

TICKS = 5
TIME_STEPS = (
    (60.0, "s", 1.0, (5, 10, 15, 30)),
    (3600.0, "min", 60.0, (1, 2, 5, 10, 15, 20, 30)),
    (2 * DAY_S, "h", 3600.0, (1, 2, 3, 4, 6, 8, 12, 24)),
    (float("inf"), "d", DAY_S, (1, 2, 5, 10, 20, 50)),
)
"""Units of a time axis: for lengths up to so many seconds, the unit, its seconds, and the steps between marks."""


@dataclass(frozen=True, slots=True)
class Band:
    """One quantity over time: low, middle and high value, one for each of `times` (s). `css` is the class of its colour."""

    label: str
    css: str
    times: Sequence[float]
    low: Sequence[float]
    middle: Sequence[float]
    high: Sequence[float]


@dataclass(frozen=True, slots=True)
class Dots:
    """One quantity in several groups: every value is a dot, the middle value of a group a line."""

    label: str
    css: str
    groups: Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class _Frame:
    """The picture's size and the margins around the plot, in pixels."""

    width: int
    height: int
    left: int = 64
    right: int = 14
    top: int = 14
    bottom: int = 40

    @property
    def x1(self) -> int:
        return self.width - self.right

    @property
    def y1(self) -> int:
        return self.height - self.bottom


def bands(series: Sequence[Band], *, title: str, unit: str, width: int = 440, height: int = 250) -> str:
    """Return a plot of quantities over time as SVG: each is a line with its band. `unit` names the vertical axis."""
    frame = _Frame(width, height)
    last = max((one.times[-1] for one in series), default=1.0) or 1.0
    most = max((max(one.high) for one in series), default=1.0) or 1.0
    top, y_ticks = _count_ticks(most)
    x_ticks = list(_time_ticks(last))

    def at(time: float, value: float) -> Point:
        x = frame.left + (frame.x1 - frame.left) * time / last
        return x, frame.y1 - (frame.y1 - frame.top) * value / top

    parts = [*_axes(frame, [(at(0.0, y)[1], f"{y:,.0f}") for y in y_ticks], unit)]
    parts += [_tick(at(x, 0.0)[0], frame, text) for x, text in x_ticks]
    parts.append(_text((frame.left + frame.x1) / 2, height - 6, "time from the start", "axis", "middle"))
    for one in series:
        upper = [at(t, v) for t, v in zip(one.times, one.high, strict=True)]
        lower = [at(t, v) for t, v in zip(one.times, one.low, strict=True)]
        middle = [at(t, v) for t, v in zip(one.times, one.middle, strict=True)]
        parts.append(f'<path class="{one.css} band" d="{_path([*upper, *reversed(lower)])}Z"/>')
        parts.append(f'<path class="{one.css} line" d="{_path(middle)}"/>')
    return _svg(frame, title, parts)


def dots(
    series: Sequence[Dots],
    labels: Sequence[str],
    *,
    title: str,
    unit: str,
    under: str,
    width: int = 900,
    height: int = 330,
) -> str:
    """Return a plot of values by group as SVG. The vertical axis is logarithmic; zero stands half a decade below 1.

    Args:
        labels: one for each group, from left to right.
        under: what the groups are; stands below the labels.
    """
    frame = _Frame(width, height, left=78)
    most = max((value for one in series for group in one.groups for value in group), default=1.0)
    decades = max(1, ceil(log10(max(most, 2.0))))

    def y_at(value: float) -> float:
        # the logarithm of zero has no place: it stands half a decade below one
        place = 0.5 + log10(value) if value >= 1 else 0.0
        return frame.y1 - (frame.y1 - frame.top) * place / (decades + 0.5)

    ticks = [(y_at(0.0), "0"), *((y_at(10.0**power), f"{10**power:,}") for power in range(decades + 1))]
    parts = [*_axes(frame, ticks, unit)]
    step = (frame.x1 - frame.left) / max(1, len(labels))
    each = step / (len(series) + 1)
    for index, label in enumerate(labels):
        middle = frame.left + step * (index + 0.5)
        parts.append(_text(middle, frame.y1 + 17, label, "tick", "middle"))
        for place, one in enumerate(series):
            x = middle + each * (place - (len(series) - 1) / 2)
            values = sorted(one.groups[index])
            for number, value in enumerate(values):
                # spread sideways, always in the same way, so that equal values do not hide each other
                shift = (number * 0.618034 % 1 - 0.5) * each * 0.5
                parts.append(
                    f'<circle class="{one.css} dot" cx="{x + shift:.1f}" cy="{y_at(value):.1f}" r="3"/>'
                )
            if values:
                y = y_at(values[max(0, ceil(len(values) / 2) - 1)])
                parts.append(
                    f'<path class="{one.css} median" d="M{x - each * 0.36:.1f} {y:.1f}H{x + each * 0.36:.1f}"/>'
                )
    parts.append(_text((frame.left + frame.x1) / 2, height - 6, under, "axis", "middle"))
    return _svg(frame, title, parts)


def _svg(frame: _Frame, title: str, parts: Sequence[str]) -> str:
    name = escape(title, quote=True)
    body = "\n".join(parts)
    return (
        f'<svg viewBox="0 0 {frame.width} {frame.height}" role="img" aria-label="{name}"><title>{escape(title)}</title>\n'
        f"{body}\n</svg>"
    )


def _axes(frame: _Frame, ticks: Sequence[tuple[float, str]], unit: str) -> Iterator[str]:
    for y, text in ticks:
        yield f'<path class="grid" d="M{frame.left} {y:.1f}H{frame.x1}"/>'
        yield _text(frame.left - 7, y + 4, text, "tick", "end")
    yield f'<path class="foot" d="M{frame.left} {frame.y1}H{frame.x1}"/>'
    x, y = 13, (frame.top + frame.y1) / 2
    yield f'<text class="axis" text-anchor="middle" transform="translate({x} {y:.1f}) rotate(-90)">{escape(unit)}</text>'


def _tick(x: float, frame: _Frame, text: str) -> str:
    mark = f'<path class="foot" d="M{x:.1f} {frame.y1}v4"/>'
    return mark + _text(x, frame.y1 + 17, text, "tick", "middle")


def _text(x: float, y: float, text: str, css: str, anchor: str) -> str:
    return f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _count_ticks(most: float) -> tuple[float, list[float]]:
    """Return the end of an axis for whole numbers up to `most`, and its marks at round steps."""
    raw = most / TICKS
    power = 10.0 ** floor(log10(raw)) if raw > 0 else 1.0
    step = max(1.0, next(nice * power for nice in (1, 2, 5, 10) if nice * power >= raw))
    count = max(1, ceil(most / step))
    return count * step, [step * number for number in range(count + 1)]


def _time_ticks(last: float) -> Iterator[tuple[float, str]]:
    """Yield the marks of a time axis up to `last` seconds: the seconds, and how they are written."""
    unit, unit_s, steps = next(
        (name, each, allowed) for most, name, each, allowed in TIME_STEPS if last <= most
    )
    step = next((one for one in steps if last / unit_s / one <= TICKS + 1), steps[-1])
    for number in range(floor(last / unit_s / step) + 1):
        value = number * step
        yield value * unit_s, "0" if not number else f"{value} {unit}"


def sample(
    curves: Sequence[Sequence[Point]], times: Sequence[float], pick: Callable[[Sequence[float]], float]
) -> list[float]:
    """Return, for each of the rising `times`, what `pick` makes of the curves' values at that time.

    A curve keeps the value of its last point until its next one.
    """
    places = [0] * len(curves)
    found = []
    for time in times:
        values = []
        for number, curve in enumerate(curves):
            while places[number] + 1 < len(curve) and curve[places[number] + 1][0] <= time:
                places[number] += 1
            values.append(curve[places[number]][1])
        found.append(pick(values))
    return found
