"""Names of jobs: written one way, read whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.plans import build

from rollout.core.names import JobName, WaveNames, batch_name

ids = st.from_regex(r"[a-z0-9][a-z0-9-]{0,31}", fullmatch=True)
parts = st.builds(
    JobName,
    ids,
    st.integers(0, 254),
    st.integers(1, 10_000_000),
    st.from_regex(r"[0-9a-f]{12}", fullmatch=True),
)


@given(name=parts)
def test_a_name_comes_back_whole(name):
    """What a name was made of is read out of it again, whatever the campaign is called."""
    assert JobName.parse(name.text) == name


@given(one=parts, other=parts)
def test_two_jobs_never_share_a_name(one, other):
    """Names are equal only if campaign, wave, batch and digest are."""
    assert (one.text == other.text) == (one == other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "demo",
        "demo-w01-b-something-else",
        "demo-w00-b000001-0123456789ab.",
        "demo-w1-b000001-0123456789ab.",
        "demo-w001-b000001-0123456789ab.",
        "demo-w01-b000000-0123456789ab.",
        "demo-w01-b0000001-0123456789ab.",
        "demo-w01-b000001-0123456789AB.",
        "demo-w01-b000001-0123456789ab",
        "demo-w01-b000001-0123456789ab.\n",
        "copy of demo-w01-b000001-0123456789ab.",
        "-w01-b000001-0123456789ab.",
        "demo-w\u06601-b000001-0123456789ab.",
    ],
)
def test_what_no_campaign_wrote_is_no_name(text):
    """A text that differs from a name in anything at all is not taken for one."""
    assert JobName.parse(text) is None


def test_no_name_is_part_of_another():
    """Job names are unique, of fixed width in their numbers and end in a dot, so no search confuses them."""
    plan, _ = build(("one", [5] * 12, None, None), ("two", [5] * 12, None, None))
    names = [batch_name("demo", batch) for batch in plan.batches]
    assert not [(a, b) for a in names for b in names if a is not b and a in b]
    assert names[0] == f"demo-w01-b000001-{plan.batches[0].digest}."
    assert all(
        name.startswith(WaveNames("demo", batch.wave).prefix)
        for name, batch in zip(names, plan.batches, strict=True)
    )


@pytest.mark.parametrize(
    ("text", "in_wave", "in_campaign"),
    [
        ("demo-w01-b000001-0123456789ab.", True, True),
        ("demo-w02-b000001-0123456789ab.", False, True),
        ("demo-w01-b-w01-b000001-0123456789ab.", False, False),
        ("demo-w01-b2-w02-b000001-0123456789ab.", False, False),
        ("demo-west-w01-b000001-0123456789ab.", False, False),
        ("demo-w01-b made by hand", True, True),
        ("demo", False, False),
    ],
)
def test_a_waves_names_are_compared_as_wholes(text, in_wave, in_campaign):
    """A campaign whose id begins as our names do has no job of ours; a name that nobody can read is not overlooked."""
    assert WaveNames("demo", 0).includes(text) is in_wave
    assert WaveNames("demo").includes(text) is in_campaign
