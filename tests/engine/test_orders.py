"""Orders from people: whole, in order, once, and never more than an order."""

import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.engine import orders
from rollout.engine.orders import Abort, Approve, Inbox, Pause, Resume

TEXT = st.text(st.characters(exclude_categories=()), max_size=200)
ORDERS = st.one_of(
    st.builds(Pause, by=TEXT, reason=TEXT),
    st.builds(Resume, by=TEXT, reason=TEXT),
    st.builds(Approve, by=TEXT, wave=TEXT, reason=TEXT),
    st.builds(Abort, by=TEXT, reason=TEXT, stop_jobs=st.booleans(), cancel_pending=st.booleans()),
)
GOOD = {"verb": "pause", "by": "ana", "reason": "", "id": "1"}


@pytest.fixture
def inbox(tmp_path):
    return Inbox(tmp_path)


@given(orders=st.lists(ORDERS, max_size=5))
def test_orders_come_back_as_given_and_in_order(tmp_path_factory, orders):
    """What was submitted is pending, equal and oldest first, until it is done."""
    inbox = Inbox(tmp_path_factory.mktemp("campaign"))
    paths = [inbox.submit(order) for order in orders]
    assert inbox.pending() == list(zip(paths, orders, strict=True))
    for path in paths[:1]:
        inbox.done(path)
        inbox.done(path)
    assert [order for _, order in inbox.pending()] == orders[1:]


def test_no_inbox_no_orders(inbox):
    """A campaign nobody gave an order has none, and looking makes no directory."""
    assert inbox.pending() == []
    assert not inbox.directory.exists()


def test_each_order_has_an_identity_of_its_own():
    """Two people may ask for the same thing; the facts tell their orders apart."""
    first, second = Pause("ana"), Pause("ana")
    assert first.id != second.id
    assert len(first.id) == 32


def test_orders_of_one_instant_do_not_replace_each_other(inbox, monkeypatch):
    """A clock that stands still or goes back loses no order."""
    monkeypatch.setattr(orders, "time", SimpleNamespace(time_ns=lambda: 5))
    given_ids = {inbox.submit(Pause("ana")).name.split("-")[1].removesuffix(".json") for _ in range(20)}
    assert {order.id for _, order in inbox.pending()} == given_ids
    assert len(given_ids) == 20


def test_an_order_half_written_is_not_seen(inbox):
    """Until it has its name an order is not one; a writer that died leaves nothing to act on."""
    path = inbox.submit(Pause("ana"))
    draft = path.with_name(f".{path.stem}x.draft")
    draft.write_text('{"verb": "abort"')
    assert [found for found, _ in inbox.pending()] == [path]
    assert draft.exists()


def test_files_are_the_owners_alone(inbox):
    """Who can write here steers the campaign: the inbox is its owner's."""
    inbox.submit(Pause("ana"))
    assert inbox.directory.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not JSON",
        "null",
        "[]",
        '"pause"',
        "[" * 10_000,
        json.dumps({**GOOD, "verb": "explode"}),
        json.dumps({**GOOD, "verb": ["pause"]}),
        json.dumps({k: v for k, v in GOOD.items() if k != "verb"}),
        json.dumps({k: v for k, v in GOOD.items() if k != "by"}),
        json.dumps({k: v for k, v in GOOD.items() if k != "id"}),
        json.dumps({**GOOD, "by": 7}),
        json.dumps({**GOOD, "by": None}),
        json.dumps({**GOOD, "stop_jobs": True}),
        json.dumps({**GOOD, "verb": "approve"}),
        json.dumps({**GOOD, "verb": "abort", "stop_jobs": "yes"}),
        json.dumps({**GOOD, "verb": "abort", "cancel_pending": 1}),
        json.dumps({**GOOD, "reason": "x" * orders.ORDER_BYTES_MAX}),
    ],
)
def test_what_is_no_order_is_set_aside(inbox, text):
    """A file that is no order is kept for people under another name, once, and holds up no order behind it."""
    inbox.submit(Pause("ana", id="0"))
    (inbox.directory / "00000000000000000001-bad.json").write_text(text)
    assert [order for _, order in inbox.pending()] == [Pause("ana", id="0")]
    refused = inbox.directory / "00000000000000000001-bad.refused"
    assert refused.read_text() == text
    assert len(inbox.pending()) == 1


def test_bytes_that_are_no_text_are_set_aside(inbox):
    """Not even UTF-8: refused like any other."""
    inbox.directory.mkdir()
    (inbox.directory / "1-bad.json").write_bytes(b'{"verb": "\xff\xfe')
    assert inbox.pending() == []
    assert [path.name for path in inbox.directory.iterdir()] == ["1-bad.refused"]
