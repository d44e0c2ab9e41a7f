"""How people write quantities: exact values, and refusals where a number could be taken two ways."""

import contextlib
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.core.campaign import Count, Rest, Share
from rollout.intake.units import (
    Unreadable,
    read_count,
    read_duration,
    read_rate,
    read_share,
    read_size,
    read_stop,
    read_timestamp_ms,
)

READ = [
    (read_share, "99%", Fraction(99, 100)),
    (read_share, "99.95%", Fraction(9995, 10_000)),
    (read_share, "0.995", Fraction(995, 1000)),
    (read_share, "0%", Fraction(0)),
    (read_share, "1.0", Fraction(1)),
    (read_duration, "2h", 7200.0),
    (read_duration, "1h30m", 5400.0),
    (read_duration, "500ms", 0.5),
    (read_duration, "2d", 172_800.0),
    (read_duration, "1.5h", 5400.0),
    (read_duration, "0s", 0.0),
    (read_rate, "2/s", 2.0),
    (read_rate, "30/min", 0.5),
    (read_rate, "0.5/s", 0.5),
    (read_rate, "3600/h", 1.0),
    (read_size, "10", Count(10)),
    (read_size, "5%", Share(Fraction(1, 20))),
    (read_size, "rest", Rest()),
    (read_stop, "3", 3),
    (read_stop, "5%", Fraction(1, 20)),
    (read_timestamp_ms, "1795420800000", 1795420800000),
    (read_timestamp_ms, "2026-11-23T09:00:00+01:00", 1795420800000),
    (read_timestamp_ms, "2026-11-23T08:00:00Z", 1795420800000),
]

REFUSED = [
    (read_share, "5", "R104"),
    (read_share, "1", "R104"),
    (read_share, "1e-2", "R104"),
    (read_share, "nan", "R104"),
    (read_share, "inf%", "R104"),
    (read_share, "-5%", "R104"),
    (read_share, "100.1%", "R104"),
    (read_share, "\u0665%", "R104"),
    (read_duration, "7200", "R108"),
    (read_duration, "2 h", "R108"),
    (read_duration, "-2h", "R108"),
    (read_duration, "2h!", "R108"),
    (read_duration, "1000d", "R102"),
    (read_rate, "2", "R109"),
    (read_rate, "2/d", "R109"),
    (read_rate, "0/s", "R102"),
    (read_rate, "1001/s", "R102"),
    (read_rate, "1e3/s", "R109"),
    (read_size, "0.05", "R104"),
    (read_size, "0%", "R104"),
    (read_size, "101%", "R104"),
    (read_size, "all", "R104"),
    (read_size, "99999999999", "R102"),
    (read_count, "\u0663", "R105"),
    (read_count, "010", "R105"),
    (read_count, "1_000", "R105"),
    (read_timestamp_ms, "1795420800", "R123"),
    (read_timestamp_ms, "2026-11-23T09:00:00", "R123"),
    (read_timestamp_ms, "2026-11-23", "R123"),
    (read_timestamp_ms, "tomorrow", "R123"),
    (read_timestamp_ms, "99999999999999", "R123"),
]


@pytest.mark.parametrize(("reader", "text", "value"), READ)
def test_quantities_are_exact(reader, text, value):
    """A quantity means exactly what it says."""
    assert reader(text) == value
    assert type(reader(text)) is type(value)


@pytest.mark.parametrize(("reader", "text", "code"), REFUSED)
def test_doubtful_quantities_are_refused(reader, text, code):
    """What could be taken two ways, or is no finite quantity, is refused with its code."""
    with pytest.raises(Unreadable) as refused:
        reader(text)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("reader", "text", "hint"),
    [
        (read_share, "5", "5%"),
        (read_duration, "7200", "7200s"),
        (read_rate, "2", "2/s"),
        (read_size, "0.05", "5%"),
    ],
)
def test_forgotten_units_are_hinted_at(reader, text, hint):
    """A forgotten unit comes with the spelling that was probably meant."""
    with pytest.raises(Unreadable) as refused:
        reader(text)
    assert hint in refused.value.hint


@given(
    text=st.text(max_size=12),
    reader=st.sampled_from(
        [read_share, read_duration, read_rate, read_size, read_stop, read_count, read_timestamp_ms]
    ),
)
def test_no_text_breaks_a_reader(text, reader):
    """Any text is either read or refused; nothing else comes out."""
    with contextlib.suppress(Unreadable):
        reader(text)
