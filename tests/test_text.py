"""Foreign text is shown on one line and undisguised; numbers and times read as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.text import clipped, count, duration, iso_utc, safe


@given(st.text(st.characters()))
def test_no_control_or_direction_mark_passes(text):
    """Whatever comes in, what goes out is one line without control, bidirectional or invisible characters."""
    shown = safe(text)
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) <= 0x9F for c in shown)
    assert not set(shown) & set("\u202a\u202e\u2066\u2069\u200b\u200d\u2028\u2029\ufeff\u061c\xad")
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, 逆变器", "plain text, 逆变器"),
        ("a\nforged line", "a\\x0aforged line"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b31m", "\\x9b31m"),
        ("abc\u202edcb", "abc\\u202edcb"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("tag\U000e0041", "tag\\U000e0041"),
    ],
)
def test_what_is_unsafe_is_seen_as_its_escape(text, shown):
    """The reader sees that something was there, and what."""
    assert safe(text) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0s"),
        (0.4, "0s"),
        (49, "49s"),
        (61, "1m01s"),
        (3600, "1h"),
        (4320, "1h12m"),
        (259_200, "3d"),
        (110_472, "1d 06:41:12"),
    ],
)
def test_durations_read_as_people_write_them(seconds, shown):
    """Two units are enough below a day; a day's clock above."""
    assert duration(seconds) == shown


def test_numbers_names_and_times():
    """Thousands are grouped, long words are cut visibly, times carry milliseconds and their zone."""
    assert count(48_000) == "48,000"
    assert clipped("abcdefgh", 6) == "abc..."
    assert clipped("abc", 6) == "abc"
    assert iso_utc(1_795_429_452.1024) == "2026-11-23T10:24:12.102Z"
