"""The SQLite journal: bad files, lost marks, other runners, and what a crash leaves."""

import asyncio
import fcntl
import os
import shutil
import sqlite3
import stat
import threading
import time
from contextlib import closing

import pytest

from rollout.core import events as ev
from rollout.errors import JournalCorrupt, JournalError, JournalHeld
from rollout.journal import lock, sqlite
from rollout.journal.codec import JOURNAL_FORMAT
from rollout.journal.lock import LOCK_NAME, Lock, read_holder
from rollout.journal.sqlite import JOURNAL_NAME, SqliteJournal, read_events
from rollout.version import __version__

pytestmark = pytest.mark.anyio


def opened(wave):
    return ev.WaveOpened(float(wave), wave)


STORY = [ev.CampaignStarted(0.0, "c1", "d1", 10, 2, 1), *(opened(n) for n in range(1, 400))]


@pytest.fixture
async def directory(tmp_path):
    """A campaign's directory with a journal of 400 events, closed in good order."""
    journal = SqliteJournal.create(tmp_path, "c1", "d1", linger_s=0)
    await journal.append(STORY)
    await journal.aclose()
    return tmp_path


def alter(directory, *statements):
    with closing(sqlite3.connect(directory / JOURNAL_NAME, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


# --- J01 to J13 --------------------------------------------------------------------------------------------


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("plan: 1\n" * 1_000)


def foreign(path):
    path.unlink()
    alter(path.parent, "CREATE TABLE bookmarks (url TEXT)", "PRAGMA application_id = 7")


def newer(path):
    alter(path.parent, "PRAGMA user_version = 3")


def older(path):
    alter(path.parent, "PRAGMA user_version = 0")


def truncated(path):
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)


def cut_inside_a_page(path):
    os.truncate(path, path.stat().st_size - 1_000)


def flipped_in_a_body(path):
    data = path.read_bytes()
    assert data.count(b'"wave":271}') == 1
    path.write_bytes(data.replace(b'"wave":271}', b'"wave":272}'))


def not_utf8_in_the_schema(path):
    content = path.read_bytes()
    assert content.count(b"kind TEXT NOT NULL") == 1
    path.write_bytes(content.replace(b"kind TEXT NOT NULL", b"k\xcbnd TEXT NOT NULL"))


def not_utf8_in_a_body(path):
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"wave":271}', b'"wav\xcb":271}'))


def flipped_in_a_page_header(path):
    data = bytearray(path.read_bytes())
    data[3 * 4096 : 3 * 4096 + 8] = b"\xff" * 8
    path.write_bytes(data)


def hole(path):
    alter(path.parent, "DELETE FROM events WHERE seq = 17")


def trigger(path):
    alter(
        path.parent,
        "CREATE TRIGGER t AFTER INSERT ON events BEGIN UPDATE events SET kind = 'wave.finished' WHERE seq = 1; END",
    )


def view(path):
    alter(path.parent, "CREATE VIEW v AS SELECT * FROM events")


def other_column(path):
    alter(path.parent, "ALTER TABLE events ADD COLUMN note TEXT")


def two_campaigns(path):
    body = '{"at":0.0,"campaign_id":"c2","plan_digest":"d1","devices":1,"batches":1,"waves":1}'
    crc = sqlite._crc(401, "campaign.started", body)
    alter(path.parent, f"INSERT INTO events VALUES (401, 0.0, 'campaign.started', '{body}', {crc})")


def negative_attempt(path):
    body = '{"at":0.0,"batch":7,"attempt":-1,"name":"n"}'
    crc = sqlite._crc(401, "batch.create_sent", body)
    alter(path.parent, f"INSERT INTO events VALUES (401, 0.0, 'batch.create_sent', '{body}', {crc})")


def kind_not_in_the_list(path):
    crc = sqlite._crc(401, "wave.exploded", "{}")
    alter(path.parent, f"INSERT INTO events VALUES (401, 0.0, 'wave.exploded', '{{}}', {crc})")


def no_identity(path):
    alter(path.parent, "DELETE FROM meta WHERE key = 'plan_digest'")


def odd_epoch(path):
    alter(path.parent, "UPDATE meta SET value = 'many' WHERE key = 'epoch'")


def missing(path):
    path.unlink()


def is_directory(path):
    path.unlink()
    path.mkdir()


def symlink(path):
    path.rename(path.with_name("elsewhere.db"))
    path.symlink_to("elsewhere.db")


def fifo(path):
    path.unlink()
    os.mkfifo(path)


BAD_FILES = [
    # case, code, words, class
    (empty, "R702", "not a journal", JournalCorrupt),  # J01
    (text, "R702", "not a journal", JournalCorrupt),  # J02
    (foreign, "R702", "not a journal", JournalCorrupt),  # J03
    (newer, "R703", "journal format 3, this program reads up to 2", JournalCorrupt),  # J04
    (older, "R705", "format 0", JournalCorrupt),  # J04
    (truncated, "R705", "damaged", JournalCorrupt),  # J05
    (cut_inside_a_page, "R705", "damaged", JournalCorrupt),  # J05
    (flipped_in_a_body, "R705", "event 272", JournalCorrupt),  # J06
    (not_utf8_in_a_body, "R705", "not UTF-8", JournalCorrupt),  # J06
    (not_utf8_in_the_schema, "R705", "not UTF-8", JournalCorrupt),  # J06
    (flipped_in_a_page_header, "R705", "damaged", JournalCorrupt),  # J06
    (hole, "R705", "event 17 is missing", JournalCorrupt),  # J06
    (trigger, "R704", "tables", JournalCorrupt),  # J08
    (view, "R704", "tables", JournalCorrupt),  # J08
    (other_column, "R704", "tables", JournalCorrupt),  # J08
    (two_campaigns, "R705", "c2", JournalCorrupt),  # J09
    (negative_attempt, "R705", "attempt is -1", JournalCorrupt),  # J10
    (kind_not_in_the_list, "R703", "wave.exploded", JournalCorrupt),  # J10
    (no_identity, "R705", "meta", JournalCorrupt),
    (odd_epoch, "R705", "meta", JournalCorrupt),
    (missing, "R706", "No such file", JournalError),  # J11
    (is_directory, "R706", "not a regular file", JournalError),  # J11
    (symlink, "R706", "symbolic link", JournalError),
    (fifo, "R706", "not a regular file", JournalError),
]


@pytest.mark.parametrize(
    ("spoil", "code", "words", "kind"), BAD_FILES, ids=[case[0].__name__ for case in BAD_FILES]
)
async def test_a_bad_file_is_refused_with_a_reason(directory, spoil, code, words, kind):
    """Opened or read, a file that is not a sound journal is refused, named, and left as it is."""
    path = directory / JOURNAL_NAME
    spoil(path)
    before = path.read_bytes() if path.is_file() else None

    def is_as_told(error):
        assert type(error) is kind
        assert error.code == code
        assert words in error.message
        assert str(path) in error.message
        assert error.hint

    try:
        journal = SqliteJournal.open(directory)
    except JournalError as error:
        is_as_told(error)
        assert (path.read_bytes() if path.is_file() else None) == before
        assert read_holder(directory) is None, "the lock was kept"
    else:
        with pytest.raises(JournalError) as caught:
            list(journal.read())
        is_as_told(caught.value)
        await journal.aclose()
    with pytest.raises(JournalError) as caught:
        list(read_events(directory))
    is_as_told(caught.value)


async def test_an_earlier_format_is_read_as_it_is_and_marked_when_written_to(directory):
    """Looking at a journal of format 1 changes nothing; once this program writes to it, an older one refuses it."""
    alter(directory, "PRAGMA user_version = 1")
    before = [event for _, event in read_events(directory)]
    assert marked(directory) == 1
    journal = SqliteJournal.open(directory)
    assert list(journal.read()) == before
    await journal.aclose()
    assert marked(directory) == JOURNAL_FORMAT == 2


async def test_a_newer_journal_says_which_version_reads_it(directory):
    """The version that opened it for writing stands in the file, and the refusal names it."""
    await SqliteJournal.open(directory).aclose()
    alter(directory, "PRAGMA user_version = 3")
    with pytest.raises(JournalCorrupt) as caught:
        SqliteJournal.open(directory)
    assert f"rollout {__version__} or newer" in caught.value.hint
    alter(directory, "DELETE FROM meta WHERE key = 'version'")
    with pytest.raises(JournalCorrupt, match="journal format 3") as caught:
        list(read_events(directory))
    assert "a newer one" in caught.value.hint


def marked(directory):
    """Return the format the file says it has."""
    with closing(sqlite3.connect(directory / JOURNAL_NAME)) as connection:
        ((version,),) = connection.execute("PRAGMA user_version")
    return version


async def test_the_log_left_by_a_deleted_journal_is_not_replayed(directory):
    """J07: SQLite would replay any log of the right name into a new journal; `create` refuses to start there."""
    (directory / JOURNAL_NAME).unlink()
    (directory / f"{JOURNAL_NAME}-wal").write_bytes(b"remains")
    with pytest.raises(JournalError) as caught:
        SqliteJournal.create(directory, "c1", "d1")
    assert caught.value.code == "R708"
    assert not (directory / JOURNAL_NAME).exists()


async def test_a_journal_without_its_log_is_known_to_be_older(directory):
    """J07: the events in a lost write-ahead log are gone, and the lock file tells that they were."""
    journal = SqliteJournal.open(directory, linger_s=0)
    await journal.append([opened(400)])
    copy = directory / "copy"
    copy.mkdir()
    for name in (JOURNAL_NAME, LOCK_NAME):  # the log stays behind
        shutil.copy(directory / name, copy / name)
    await journal.aclose()
    revived = SqliteJournal.open(copy, linger_s=0)
    assert revived.older_than_lock
    assert list(revived.read()) == STORY
    await revived.aclose()


async def test_a_restored_backup_is_known_to_be_older(directory):
    """A copy brought back over a later journal has a clean mark and is sound: only the lock file knows better."""
    backup = (directory / JOURNAL_NAME).read_bytes()
    journal = SqliteJournal.open(directory, linger_s=0)
    await journal.append([opened(400)])
    await journal.aclose()
    (directory / JOURNAL_NAME).write_bytes(backup)
    journal = SqliteJournal.open(directory, linger_s=0)
    assert journal.was_clean
    assert journal.older_than_lock
    await journal.append([opened(401)])
    await journal.aclose()
    journal = SqliteJournal.open(directory)
    assert not journal.older_than_lock, "the next life is the latest again"
    await journal.aclose()


async def test_a_life_that_stored_nothing_counts_too(directory):
    """An opening alone is remembered: a backup from before it is older, though no event is missing."""
    backup = (directory / JOURNAL_NAME).read_bytes()
    journal = SqliteJournal.open(directory)
    await journal.aclose(clean=False)
    (directory / JOURNAL_NAME).write_bytes(backup)
    journal = SqliteJournal.open(directory)
    assert journal.older_than_lock
    await journal.aclose()


async def test_a_new_file_is_not_clean_until_closed(tmp_path):
    """The mark of an unfinished life is in the file from its birth, not first written at the start."""
    sqlite._build(tmp_path / JOURNAL_NAME, "c1", "d1")
    journal = SqliteJournal.open(tmp_path)
    assert not journal.was_clean
    await journal.aclose()


async def test_a_copy_of_the_same_life_with_fewer_events_is_older(directory):
    """Events taken off the end leave a sound file; the lock file remembers how many there were."""
    alter(directory, "DELETE FROM events WHERE seq > 300")
    journal = SqliteJournal.open(directory)
    assert journal.was_clean
    assert journal.older_than_lock
    assert list(journal.read()) == STORY[:300]
    await journal.aclose()


@pytest.mark.parametrize(
    "record",
    [
        None,
        b"",
        b"\0" * 512,
        b"[1]",
        b"{}",
        b'{"host":"h","pid":1,"since":0,"beat_at":NaN,"epoch":9,"seq":9}',
        b"[" * 600,
    ],
)
async def test_a_lock_file_that_tells_nothing_makes_the_journal_doubtful(directory, record):
    """Without a readable record nobody knows whether the journal is the latest, so it counts as older."""
    (directory / LOCK_NAME).unlink()
    if record is not None:
        (directory / LOCK_NAME).write_bytes(record)
    journal = SqliteJournal.open(directory)
    assert journal.older_than_lock
    await journal.aclose()
    journal = SqliteJournal.open(directory)
    assert not journal.older_than_lock
    assert not journal.was_clean, "the doubt was handed on"
    await journal.aclose()


async def test_a_journal_deleted_under_its_lock_file_is_older(directory):
    """A new journal where the lock file remembers another life does not pass for a first one."""
    (directory / JOURNAL_NAME).unlink()
    journal = SqliteJournal.create(directory, "c1", "d1")
    assert journal.older_than_lock
    await journal.aclose()


async def test_files_are_the_owners_alone(directory):
    """J13: all files are made 0600; a journal others could read is closed to them, and says so."""
    journal = SqliteJournal.open(directory)
    assert not journal.was_exposed
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}
    await journal.aclose()
    (directory / JOURNAL_NAME).chmod(0o644)
    journal = SqliteJournal.open(directory)
    assert journal.was_exposed
    assert stat.S_IMODE((directory / JOURNAL_NAME).stat().st_mode) == 0o600
    await journal.aclose()


@pytest.mark.parametrize(
    ("device", "name"), [("8:1", "ext4"), ("0:52", "nfs4"), ("0:53", "cifs"), ("0:9", ""), ("1", "")]
)
def test_file_systems_are_told_apart_by_device(device, name):
    """J12: the type stands after the dash of the device's line, whatever optional fields come before."""
    mounts = (
        "26 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "88 26 0:52 / /srv/data rw shared:7 master:2 - nfs4 server:/data rw,vers=4.2\n"
        "89 26 0:53 / /mnt/a\\040b rw - cifs //server/share rw\n"
    )
    assert sqlite._file_system(device, mounts) == name


def test_network_file_systems_are_refused(tmp_path, monkeypatch):
    """J12: neither made nor opened where locks cannot be trusted."""
    monkeypatch.setattr(sqlite, "_file_system", lambda device, mounts: "nfs4")
    with pytest.raises(JournalError) as caught:
        SqliteJournal.create(tmp_path, "c1", "d1")
    assert caught.value.code == "R707"
    assert list(tmp_path.iterdir()) == []


def test_no_directory_no_journal(tmp_path):
    """Neither `create` nor `open` makes the campaign's directory."""
    for attempt in (
        lambda: SqliteJournal.create(tmp_path / "no", "c", "d"),
        lambda: SqliteJournal.open(tmp_path / "no"),
    ):
        with pytest.raises(JournalError) as caught:
            attempt()
        assert caught.value.code == "R706"
    assert list(tmp_path.iterdir()) == []


async def test_create_never_replaces(directory):
    """A second `create` is refused and the journal is as it was."""
    with pytest.raises(JournalError) as caught:
        SqliteJournal.create(directory, "c2", "d2")
    assert caught.value.code == "R708"
    journal = SqliteJournal.open(directory)
    assert journal.campaign_id == "c1"
    assert list(journal.read()) == STORY
    await journal.aclose()


async def test_a_creation_that_died_half_way_can_be_repeated(tmp_path):
    """What an interrupted `create` leaves is under another name and is not in the way of the next."""
    (tmp_path / f"{JOURNAL_NAME}.new").write_bytes(b"half of it")
    journal = SqliteJournal.create(tmp_path, "c1", "d1", linger_s=0)
    assert not journal.older_than_lock
    await journal.append(STORY)
    assert list(journal.read()) == STORY
    await journal.aclose()
    assert sorted(path.name for path in tmp_path.iterdir()) == [JOURNAL_NAME, LOCK_NAME]


async def test_settings_that_durability_rests_on(directory):
    """The writing connection has the settings the module's docstring reasons from."""
    journal = SqliteJournal.open(directory)
    wanted = {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "trusted_schema": 0,
        "cell_size_check": 1,
    }
    found = {name: journal._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in wanted}
    assert found == wanted
    # where SQLite has no memory mapping at all, it answers nothing
    assert journal._connection.execute("PRAGMA mmap_size").fetchone() in {(0,), None}
    await journal.aclose()


# --- commits -----------------------------------------------------------------------------------------------


async def test_appends_that_wait_together_share_a_commit(tmp_path):
    """A thousand callers at once cost a handful of commits, one statement each, none larger than its bound."""
    journal = SqliteJournal.create(tmp_path, "c1", "d1")
    statements = []
    journal._connection.set_trace_callback(statements.append)
    full = sqlite.COMMIT_EVENTS_MAX
    assert full * sqlite.EVENT_COLUMNS <= 999, "more values than every build of SQLite can bind"
    await asyncio.gather(*(journal.append([opened(n)]) for n in range(5 * full + 7)))
    assert [statement.count(f"'{opened(0).kind}'") for statement in statements] == [*[full] * 5, 7]
    journal._connection.set_trace_callback(None)
    await journal.aclose()


async def test_an_idle_loop_waits_for_no_company(tmp_path):
    """However long an append may wait: nobody is there who could come."""
    journal = SqliteJournal.create(tmp_path, "c1", "d1", linger_s=3600.0)
    async with asyncio.timeout(60):
        for n in range(3):
            await journal.append([opened(n)])
    await journal.aclose()


async def test_what_a_busy_loop_appends_shares_a_commit(tmp_path):
    """Turn after turn, until there is nothing else to do."""
    journal = SqliteJournal.create(tmp_path, "c1", "d1", linger_s=3600.0)
    statements = []
    journal._connection.set_trace_callback(statements.append)
    tasks = []
    for n in range(20):
        tasks.append(asyncio.create_task(journal.append([opened(n)])))
        time.sleep(20 * sqlite.IDLE_S)  # noqa: ASYNC251 - the loop is kept busy
        await asyncio.sleep(0)
    assert not statements
    await asyncio.gather(*tasks)
    assert len(statements) == 1
    journal._connection.set_trace_callback(None)
    await journal.aclose()


async def test_a_loop_that_is_always_busy_holds_a_commit_up_for_a_while_only(tmp_path):
    """`linger_s` is the bound."""
    journal = SqliteJournal.create(tmp_path, "c1", "d1", linger_s=0.01)
    stored = asyncio.create_task(journal.append([opened(1)]))
    for _ in range(3_000):
        time.sleep(20 * sqlite.IDLE_S)  # noqa: ASYNC251 - the loop is kept busy
        await asyncio.sleep(0)
        if in_time := stored.done():
            break
    await journal.aclose()
    assert in_time


async def test_what_comes_while_the_disk_works_is_gathered(tmp_path):
    """However slow a commit is, only one more is made of all that came meanwhile."""
    journal = SqliteJournal.create(tmp_path, "c1", "d1", linger_s=0)
    gate, write, sizes = threading.Event(), journal._write, []

    def slow_write(commit):
        gate.wait()
        sizes.append(len(commit.values) // sqlite.EVENT_COLUMNS)
        write(commit)

    journal._write = slow_write
    tasks = []
    for n in range(50):
        tasks.append(asyncio.create_task(journal.append([opened(n)])))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*tasks)
    assert len(sizes) == 2
    assert sum(sizes) == 50
    await journal.aclose()


async def test_a_commit_after_a_failed_one_is_not_written(tmp_path):
    """What waits behind a failed commit fails too, though the disk would take it: history has no gaps."""
    journal = SqliteJournal.create(tmp_path, "c1", "d1", linger_s=0)
    journal._connection.execute(
        "CREATE TEMP TRIGGER once BEFORE INSERT ON main.events WHEN new.seq = 1 BEGIN SELECT raise(ROLLBACK, 'no'); END"
    )
    first = [journal.append([opened(n)]) for n in range(sqlite.COMMIT_EVENTS_MAX)]
    answers = await asyncio.gather(*first, journal.append([opened(5_000)]), return_exceptions=True)
    assert {type(answer) for answer in answers} == {JournalError}
    await journal.aclose()
    assert list(read_events(tmp_path)) == []


async def test_no_thread_and_no_file_is_left(directory):
    """A closed journal leaves no thread, no lock, and no side file."""
    journal = SqliteJournal.open(directory)
    await journal.append([opened(400)])
    assert [thread for thread in threading.enumerate() if thread.name.startswith("journal")]
    await journal.aclose()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("journal")]
    assert sorted(path.name for path in directory.iterdir()) == [JOURNAL_NAME, LOCK_NAME]


async def test_closing_comes_to_its_end_though_cancelled(directory):
    """A cancelled `aclose` has begun: pending events are stored, the mark is left, the lock goes."""
    journal = SqliteJournal.open(directory)
    pending = asyncio.create_task(journal.append([opened(400)]))
    await asyncio.sleep(0)
    closing_task = asyncio.create_task(journal.aclose())
    await asyncio.sleep(0)
    closing_task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing_task
    await journal.aclose()
    await pending
    again = SqliteJournal.open(directory)
    assert again.was_clean
    assert list(again.read())[-1] == opened(400)
    await again.aclose()


async def test_a_fault_of_ours_is_not_called_a_disk_error(directory):
    """An exception that is not the disk's reaches the caller as it is, and stops the journal all the same."""
    journal = SqliteJournal.open(directory, linger_s=0)

    def beat(*_):
        raise ZeroDivisionError

    journal._lock.beat = beat
    with pytest.raises(ZeroDivisionError):
        await journal.append([opened(400)])
    with pytest.raises(JournalError):
        await journal.append([opened(401)])
    await journal.aclose()
    again = SqliteJournal.open(directory)
    assert not again.was_clean
    await again.aclose()


# --- onlookers and other runners -----------------------------------------------------------------------------


async def test_a_second_runner_is_refused_and_told_who_holds_it(directory):
    """R701 names the process; the holder is not disturbed; afterwards the way is free."""
    journal = SqliteJournal.open(directory, linger_s=0)
    for attempt in (
        lambda: SqliteJournal.open(directory),
        lambda: SqliteJournal.create(directory, "c1", "d1"),
    ):
        with pytest.raises(JournalHeld) as caught:
            attempt()
        assert caught.value.code == "R701"
        assert f"process {os.getpid()} on {os.uname().nodename} since 20" in caught.value.holder
        assert caught.value.exit_code == 7
    await journal.append([opened(400)])
    await journal.aclose()
    await SqliteJournal.open(directory).aclose()


async def test_the_holder_is_known_as_long_as_it_lives(directory):
    """`read_holder` tells who runs the campaign and how far it has come, and nobody once it ended."""
    assert read_holder(directory) is None
    journal = SqliteJournal.open(directory, linger_s=0)
    await journal.append([opened(400)])
    holder = read_holder(directory)
    assert (holder.pid, holder.host, holder.seq, holder.epoch) == (os.getpid(), os.uname().nodename, 401, 2)
    assert holder.since <= holder.beat_at
    await journal.aclose()
    assert read_holder(directory) is None
    assert read_holder(directory / "nowhere") is None


async def test_the_lock_follows_now_and_then_and_never_runs_ahead(directory):
    """The record is not written with every commit, and is exact once closed."""
    journal = SqliteJournal.open(directory, linger_s=0)
    told = []
    for n in range(4):
        if n == 2:
            journal._next_beat = 0.0  # the time has come
        await journal.append([opened(400 + n)])
        told.append(read_holder(directory).seq)
    assert told == [401, 401, 403, 403]
    await journal.aclose()
    held = Lock.acquire(directory)
    assert held.previous.seq == 404
    held.release()


async def test_looking_does_not_keep_a_runner_out(directory, monkeypatch):
    """A look at the lock holds it for an instant; a runner that starts just then tries again and gets in."""
    look = os.open(directory / LOCK_NAME, os.O_RDONLY)
    fcntl.flock(look, fcntl.LOCK_SH)
    answers, really = [], lock._lock_now

    def lock_now(descriptor, mode):
        answers.append(really(descriptor, mode))
        if len(answers) == 1:
            os.close(look)
        return answers[-1]

    monkeypatch.setattr(lock, "_lock_now", lock_now)
    Lock.acquire(directory).release()
    assert answers == [False, True]


async def test_onlookers_follow_a_running_campaign(directory):
    """`read_events` gives what is committed, from any number on, while the runner goes on writing."""
    journal = SqliteJournal.open(directory, linger_s=0)
    *_, (last, event) = read_events(directory)
    assert (last, event) == (400, STORY[-1])
    assert list(read_events(directory, last)) == []
    await journal.append([opened(400), opened(401)])
    assert list(read_events(directory, last)) == [(401, opened(400)), (402, opened(401))]
    await journal.aclose()
    assert len(list(read_events(directory))) == 402


async def test_a_lock_file_that_is_a_link_is_refused(directory):
    """Nobody gets us to write our record over another file."""
    victim = directory / "victim"
    victim.write_text("precious")
    (directory / LOCK_NAME).unlink()
    (directory / LOCK_NAME).symlink_to(victim)
    with pytest.raises(JournalError) as caught:
        SqliteJournal.open(directory)
    assert caught.value.code == "R706"
    with pytest.raises(JournalError):
        read_holder(directory)
    assert victim.read_text() == "precious"
