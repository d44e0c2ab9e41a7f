"""Names of jobs: written one way, read whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.plans import build

from rollout.core.names import JobName, batch_name, wave_prefix

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
        name.startswith(wave_prefix("demo", batch.wave))
        for name, batch in zip(names, plan.batches, strict=True)
    )
