"""What every journal promises, in code: see `rollout.ports.Journal`."""

import asyncio
import gc

import pytest

from rollout.core import events as ev
from rollout.errors import JournalError
from rollout.journal.memory import MemoryJournal
from rollout.journal.sqlite import SqliteJournal

pytestmark = pytest.mark.anyio


class InMemory:
    """Lives of a journal in memory."""

    def __init__(self, directory):
        self.journal = MemoryJournal("c1", "d1")

    def first(self):
        return self.journal

    def next(self):
        self.journal = self.journal.reopen()
        return self.journal

    def failing(self):
        self.journal._fail_at = self.journal._appends + 1


class OnDisk:
    """Lives of a journal in a file, without lingering."""

    def __init__(self, directory):
        self.directory = directory

    def first(self):
        self.journal = SqliteJournal.create(self.directory, "c1", "d1", linger_s=0)
        return self.journal

    def next(self):
        self.journal = SqliteJournal.open(self.directory, linger_s=0)
        return self.journal

    def failing(self):
        # a table that refuses everything, as a full disk does, for this connection only
        self.journal._connection.execute(
            "CREATE TEMP TRIGGER full BEFORE INSERT ON main.events BEGIN SELECT raise(ABORT, 'disk full'); END"
        )


class OnDiskLingering(OnDisk):
    """The same, gathering for a while."""

    def first(self):
        self.journal = SqliteJournal.create(self.directory, "c1", "d1", linger_s=0.001)
        return self.journal


@pytest.fixture(params=[InMemory, OnDisk, OnDiskLingering])
def lives(request, tmp_path):
    """One journal through several lives."""
    return request.param(tmp_path)


def sent(batch, attempt=1):
    return ev.BatchCreateSent(1.5 + batch, batch, attempt, f"c1-w01-b{batch:06d}-abcdefabcdef.")


async def test_reads_what_was_appended(lives):
    """Events come back equal and in order, in the same life and in the next."""
    journal = lives.first()
    assert list(journal.read()) == []
    story = [
        ev.CampaignStarted(1.0, "c1", "d1", 10, 2, 1),
        sent(0),
        ev.BatchJobDuplicated(2.0, 0, "j1", ("j2", "j3")),
    ]
    await journal.append(story[:1])
    await journal.append([])
    await journal.append(story[1:])
    assert list(journal.read()) == story
    await journal.aclose()
    again = lives.next()
    assert list(again.read()) == story
    assert (again.campaign_id, again.plan_digest) == ("c1", "d1")
    await again.append([sent(1)])
    assert list(again.read()) == [*story, sent(1)]
    await again.aclose()


async def test_appends_keep_the_order_they_were_called_in(lives):
    """Many callers at once: the history is in call order, and no caller is answered before those before it."""
    journal = lives.first()
    answered = []

    async def one(n):
        await journal.append([sent(n, 1), sent(n, 2)])
        answered.append(n)

    await asyncio.gather(*(one(n) for n in range(700)))
    assert list(journal.read()) == [sent(n, attempt) for n in range(700) for attempt in (1, 2)]
    assert answered == list(range(700))
    await journal.aclose()


async def test_tells_how_many_are_durable(lives):
    """What `append` returns counts the events of this life: the caller's own are in it, and it never runs ahead."""
    journal = lives.first()
    assert await journal.append([sent(0), sent(1)]) == 2
    assert await journal.append([]) == 2
    await journal.aclose()
    journal = lives.next()
    told = []

    async def one(n):
        durable = await journal.append([sent(n)])
        told.append((n, durable, len(list(journal.read()))))

    await asyncio.gather(*(one(n) for n in range(300)))
    assert all(n + 1 <= durable <= stored - 2 for n, durable, stored in told)
    assert told[-1][1] == 300
    lives.failing()
    with pytest.raises(JournalError):
        await journal.append([sent(300)])
    await journal.aclose()


async def test_one_append_may_be_larger_than_a_commit(lives):
    """An append of any length is stored whole and in order."""
    journal = lives.first()
    story = [sent(n) for n in range(2_500)]
    await asyncio.gather(journal.append(story), journal.append([sent(9_999)]))
    assert list(journal.read()) == [*story, sent(9_999)]
    await journal.aclose()


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
async def test_a_cancelled_append_is_stored_all_the_same(lives, turns):
    """Cancelling the caller loses the answer, never the event and never the order of others."""
    journal = lives.first()
    tasks = [asyncio.create_task(journal.append([sent(n)])) for n in range(9)]
    await asyncio.sleep(0)  # every append is called
    for _ in range(turns):
        await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await journal.append([sent(9)])
    assert list(journal.read()) == [sent(n) for n in range(10)]
    await journal.aclose()


async def test_closing_stores_what_is_pending(lives):
    """`aclose` lets every append that was called come to its end."""
    journal = lives.first()
    tasks = [asyncio.create_task(journal.append([sent(n)])) for n in range(5)]
    await asyncio.sleep(0)
    await journal.aclose()
    await asyncio.gather(*tasks)
    again = lives.next()
    assert list(again.read()) == [sent(n) for n in range(5)]
    assert again.was_clean
    await again.aclose()


async def test_closing_is_idempotent_and_final(lives):
    """A second `aclose` does nothing; an append afterwards is refused."""
    journal = lives.first()
    await journal.aclose()
    await journal.aclose()
    with pytest.raises(JournalError, match="closed"):
        await journal.append([sent(0)])


async def test_a_failure_is_for_good(lives):
    """After one append failed nothing more is stored in this life; what was acknowledged is there in the next."""
    journal = lives.first()
    await journal.append([sent(0)])
    lives.failing()
    with pytest.raises(JournalError) as caught:
        await journal.append([sent(1)])
    assert caught.value.code == "R709"
    assert caught.value.hint
    for _ in range(2):
        with pytest.raises(JournalError):
            await journal.append([sent(2)])
    await journal.aclose()
    again = lives.next()
    assert list(again.read()) == [sent(0)]
    assert not again.was_clean
    await again.append([sent(3)])
    assert list(again.read()) == [sent(0), sent(3)]
    await again.aclose()


async def test_waiting_appends_fail_with_the_one_before_them(lives):
    """All appends after the failed one raise, also those already called; none of them is stored."""
    journal = lives.first()
    await journal.append([sent(0)])
    lives.failing()
    answers = await asyncio.gather(*(journal.append([sent(n)]) for n in range(1, 6)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [JournalError] * 5
    await journal.aclose()
    again = lives.next()
    assert list(again.read()) == [sent(0)]
    await again.aclose()


async def test_a_life_says_how_the_last_one_ended(lives):
    """Clean after a good end; not after an end that was not one; and a new journal had no bad end."""
    journal = lives.first()
    assert journal.was_clean
    assert not journal.older_than_lock
    await journal.append([sent(0)])
    await journal.aclose()
    journal = lives.next()
    assert journal.was_clean
    assert not journal.older_than_lock
    await journal.aclose(clean=False)
    journal = lives.next()
    assert not journal.was_clean
    assert not journal.older_than_lock
    await journal.append([sent(1)])
    await journal.aclose()
    journal = lives.next()
    assert journal.was_clean
    await journal.aclose()


async def test_doubt_is_handed_on_until_it_is_told(lives):
    """A life that found no clean mark and stored nothing leaves none, however well it ended."""
    journal = lives.first()
    await journal.append([sent(0)])
    await journal.aclose(clean=False)
    for _ in range(2):
        journal = lives.next()
        assert not journal.was_clean
        await journal.aclose()
    journal = lives.next()
    await journal.append([sent(1)])
    await journal.aclose()
    journal = lives.next()
    assert journal.was_clean
    await journal.aclose()


async def test_what_is_no_history_is_refused(lives):
    """An ephemeral event in an append is a fault of the caller; nothing of that append is stored."""
    journal = lives.first()
    with pytest.raises(AssertionError):
        await journal.append([sent(0), ev.TasksCountFailed(1.0, 0, "r", 2.0)])
    await journal.append([sent(1)])
    assert list(journal.read()) == [sent(1)]
    await journal.aclose()


async def test_reading_while_writing_sees_a_prefix(lives):
    """A reader never sees a gap, and a reader that is dropped half-way leaves nothing behind."""
    journal = lives.first()
    await journal.append([sent(n) for n in range(1_500)])
    reader = journal.read()
    assert next(reader) == sent(0)
    await journal.append([sent(n) for n in range(1_500, 1_600)])
    seen = [sent(0), *reader]
    assert seen == [sent(n) for n in range(len(seen))]
    assert len(seen) >= 1_500
    dropped = journal.read()
    next(dropped)
    del dropped
    gc.collect()
    await journal.aclose()
