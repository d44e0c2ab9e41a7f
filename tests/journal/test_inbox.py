"""Orders as files: whole, in order, once, and never more than an order."""

import asyncio
import json
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.core.orders import Abort, Approve, Pause, Resume
from rollout.errors import JournalError
from rollout.journal import inbox as inbox_module
from rollout.journal.inbox import Inbox
from rollout.journal.order_text import ORDER_BYTES_MAX

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


@settings(deadline=None)  # each order is forced to the disk
@given(orders=st.lists(ORDERS, max_size=5))
def test_orders_come_back_as_given_and_in_order(tmp_path_factory, orders):
    """What was posted waits, equal and oldest first, until it is done."""
    inbox = Inbox(tmp_path_factory.mktemp("campaign"))
    for order in orders:
        inbox.post(order)
    assert inbox.waiting() == orders
    for order in orders[:1]:
        asyncio.run(inbox.done(order.id))
        asyncio.run(inbox.done(order.id))
    assert inbox.waiting() == orders[1:]
    assert asyncio.run(inbox.pending()) == orders[1:]


def test_no_inbox_no_orders(inbox):
    """A campaign nobody gave an order has none, and looking makes no directory."""
    assert inbox.waiting() == []
    assert not inbox.directory.exists()


def test_each_order_has_an_identity_of_its_own():
    """Two people may ask for the same thing; the facts tell their orders apart."""
    first, second = Pause("ana"), Pause("ana")
    assert first.id != second.id
    assert len(first.id) == 32


def test_orders_of_one_instant_do_not_replace_each_other(inbox, monkeypatch):
    """A clock that stands still or goes back loses no order."""
    monkeypatch.setattr(inbox_module, "time", SimpleNamespace(time_ns=lambda: 5))
    given = [Pause("ana") for _ in range(20)]
    for order in given:
        inbox.post(order)
    assert {order.id for order in inbox.waiting()} == {order.id for order in given}


def test_an_order_half_written_is_not_seen(inbox):
    """Until it has its name an order is not one; a writer that died leaves nothing to act on."""
    order = Pause("ana")
    inbox.post(order)
    draft = inbox.directory / ".5-x.draft"
    draft.write_text('{"verb": "abort"')
    assert inbox.waiting() == [order]
    assert draft.exists()


def test_an_order_that_cannot_be_kept_is_told(tmp_path):
    """As an error of the journal, with the place."""
    (tmp_path / "inbox").write_text("a file in its way")
    with pytest.raises(JournalError, match="inbox"):
        Inbox(tmp_path).post(Pause("ana"))


def test_files_are_the_owners_alone(inbox):
    """Who can write here steers the campaign: the inbox is its owner's."""
    inbox.post(Pause("ana"))
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
        json.dumps({**GOOD, "reason": "x" * ORDER_BYTES_MAX}),
    ],
)
def test_what_is_no_order_is_set_aside(inbox, text):
    """A file that is no order is kept for people under another name, once, and holds up no order behind it."""
    inbox.post(Pause("ana", id="0"))
    (inbox.directory / "00000000000000000001-bad.json").write_text(text)
    assert inbox.waiting() == [Pause("ana", id="0")]
    refused = inbox.directory / "00000000000000000001-bad.refused"
    assert refused.read_text() == text
    assert len(inbox.waiting()) == 1


def test_bytes_that_are_no_text_are_set_aside(inbox):
    """Not even UTF-8: refused like any other."""
    inbox.directory.mkdir()
    (inbox.directory / "1-bad.json").write_bytes(b'{"verb": "\xff\xfe')
    assert inbox.waiting() == []
    assert [path.name for path in inbox.directory.iterdir()] == ["1-bad.refused"]
