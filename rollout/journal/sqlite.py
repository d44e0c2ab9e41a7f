"""The journal in one SQLite file: durable, ordered, refused when in doubt.

*Durable.* WAL with `synchronous=FULL`: a commit is on disk when it returns. There is one writing connection,
used by one thread at a time. A commit is expensive: each one syncs the disk. So appends share commits (group commit):
they are gathered while the event loop has other work, and while the commit before them is written. When the loop is
idle they are written at once.

*Ordered.* An append takes its numbers when it is called, not when it is written; commits go to a thread pool of
one thread in that order. A caller who is cancelled while waiting loses the answer, never the event.

*Fail-stop.* After an error nothing is written any more, whatever the disk says next. A commit that raised may
be stored or not, and only reading the file again tells which. Open the journal again, and fold anew.

*Doubt.* A file is refused with a reason, and never repaired, if it is not ours, of a newer version, damaged, on a
network file system, or has another schema than the one below (a trigger can rewrite history). Each event carries a
checksum, since SQLite's pages have none; numbers have no gaps. A journal can also be sound and yet not the latest one:
`was_clean` and `older_than_lock` say so, and the engine then goes on as if anything might have been sent.

Codes: R701 in use · R702 not a journal · R703 newer version · R704 foreign schema · R705 damaged ·
R706 cannot be opened · R707 network file system · R708 exists already · R709 cannot be written ·
R710 too little room (`space.py`).
Source: WAL and FULL, sqlite.org/wal.html and sqlite.org/pragma.html#pragma_synchronous; opening a file one does
not trust, sqlite.org/security.html.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Self
from urllib.parse import quote
from zlib import crc32

from rollout.core.events import CampaignStarted, Event
from rollout.errors import JournalCorrupt, JournalError
from rollout.journal.codec import JOURNAL_FORMAT, decode, encode
from rollout.journal.lock import Lock
from rollout.version import __version__

JOURNAL_NAME = "journal.db"
APPLICATION_ID = 0x524F4C4C
"""`ROLL` in ASCII: what makes a SQLite file a journal of ours."""
LINGER_S = 0.02
"""How long an append waits at most for others to share its commit, in seconds. It waits only while the event loop is
busy: a commit takes about as much of the loop's time for many events as for few. Measured beside a fixed wait of 2 ms,
with 32, 64, 128 and 256 calls in flight: 2.8, 1.8, 1.5 and 1.0 times as many journalled creates a second."""
IDLE_S = 0.00005
"""A turn of the event loop that took no longer had nothing else to do, in seconds."""
COMMIT_EVENTS_MAX = 190
"""Most events in one commit: as many as one statement can carry with 999 values, the least limit of any build of
SQLite (SQLITE_MAX_VARIABLE_NUMBER). One statement is a transaction of its own. Each statement gives the interpreter's
lock away once, and taking it back from a busy event loop costs far more than the rows; BEGIN and COMMIT would make
three of it."""
PAGE_EVENTS = 1_000
"""Events read in one query. A read transaction left open would keep the write-ahead log from being reset."""
BEAT_S = 0.5
"""How often, in seconds, the lock's record is written while events are stored. People look at it, nothing else: an older
journal is known by its epoch, which is on disk before the first event. It is written rarely, since each time the
writer's thread has to take the interpreter's lock back from a busy event loop."""
BUSY_S = 5.0
"""How long SQLite waits for a reader that recovers or closes the file, in seconds."""

TABLES = (
    "CREATE TABLE events (seq INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, crc INTEGER NOT NULL)",
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
)
"""`at` and `kind` repeat the event for people with a SQL prompt; `at` is read from the body only."""

META_KEYS = frozenset({"campaign_id", "plan_digest", "created_at", "epoch", "clean"})
"""Keys that every journal has. `version`, of the program that last opened it for writing, is missing from those of 0.1.0."""

NETWORK_FILE_SYSTEMS = frozenset({"cifs", "fuse.sshfs", "nfs", "nfs4", "smb3", "smbfs"})
"""As Linux calls them; elsewhere they are not recognised. Locks and shared memory are not to be relied on there.
Source: sqlite.org/wal.html, "WAL does not work over a network filesystem"."""

EVENT_COLUMNS = 5


@cache
def _insert(rows: int) -> str:
    return f"INSERT INTO events VALUES {', '.join(['(?, ?, ?, ?, ?)'] * rows)}"  # noqa: S608 - placeholders only


@dataclass(slots=True, eq=False)
class _Commit:
    """Events that will share a commit: their rows' values one after the other, and the number of the last event.

    Each waiting caller has a future of its own, so that one that is cancelled takes only its own away. Its result is
    None, or why the events may not be stored. `due`: the commit need not wait for more events.
    """

    waiters: list[asyncio.Future[JournalError | None]] = field(default_factory=list)
    last: int = 0
    values: list[int | float | str] = field(default_factory=list)
    due: bool = False


@dataclass(frozen=True, slots=True)
class _Found:
    """What opening found: `epoch` is the new life's, `last` the number of the last event."""

    path: Path
    campaign_id: str
    plan_digest: str
    clean: bool
    older: bool
    exposed: bool
    epoch: int
    last: int


class SqliteJournal:
    """A campaign's journal, held by this process. Made by `create` or `open`; keeps `ports.OpenedJournal`'s promises.

    Opening and reading are plain calls; `append` and `aclose` belong to one event loop.
    """

    def __init__(self, connection: sqlite3.Connection, lock: Lock, found: _Found, *, linger_s: float) -> None:
        self.path = found.path
        self.campaign_id = found.campaign_id
        self.plan_digest = found.plan_digest
        self.was_clean = found.clean
        """Whether the life before this one, if there was any, ended with a clean mark."""
        self.older_than_lock = found.older
        """Whether the lock file remembers more than this journal holds, or cannot remember anything."""
        self.was_exposed = found.exposed
        """Whether others than the owner could read or write the file; opening took that from them."""
        self._connection = connection
        self._lock = lock
        self.epoch = found.epoch
        """How many times the journal was opened, this time included."""
        self._linger_s = linger_s
        self._seq = found.last  # given to an event at `append`
        self._stored = found.last  # known to be durable
        self._next_beat = 0.0
        self._found = found
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._waiting: deque[_Commit] = deque()
        self._under_way = 0
        self._failure: JournalError | None = None
        self._closing: asyncio.Future[None] | None = None
        self._running: asyncio.AbstractEventLoop | None = None

    @classmethod
    def create(
        cls, directory: Path, campaign_id: str, plan_digest: str, *, linger_s: float = LINGER_S
    ) -> Self:
        """Make an empty journal in `directory`, which exists, and open it.

        It appears whole or not at all. Raises: JournalHeld; JournalError if there is one already, or none can
        be written here.
        """
        path = directory / JOURNAL_NAME
        _refuse_network(directory)
        lock = Lock.acquire(directory)
        try:
            with _explained(path):
                _build(path, campaign_id, plan_digest)
            return cls._open(path, lock, born=True, linger_s=linger_s)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(cls, directory: Path, *, linger_s: float = LINGER_S) -> Self:
        """Open the journal in `directory`, check it, and mark it as being written.

        Raises: JournalHeld; JournalCorrupt; JournalError if there is none or it cannot be written. Nothing is
        ever created but a missing lock file, whose journal then counts as `older_than_lock`.
        """
        path = directory / JOURNAL_NAME
        _refuse_irregular(path)
        _refuse_network(directory)
        lock = Lock.acquire(directory)
        try:
            return cls._open(path, lock, born=False, linger_s=linger_s)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def _open(cls, path: Path, lock: Lock, *, born: bool, linger_s: float) -> Self:
        with _explained(path):
            exposed = bool(os.lstat(path).st_mode & 0o077)
            path.chmod(0o600)  # a copy brought back by hand may have become readable by all
            connection = _connect(path, "rw")
            try:
                meta = _examine(connection, path)
                _prepare_for_writing(connection, path)
                (last,) = connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
                before = lock.previous
                known = before is not None and before.epoch > 0
                found = _Found(
                    path=path,
                    campaign_id=meta["campaign_id"],
                    plan_digest=meta["plan_digest"],
                    clean=born or meta["clean"] == "1",
                    older=(before.epoch, before.seq) > (int(meta["epoch"]), last)
                    if before and known
                    else not born,
                    exposed=exposed,
                    epoch=max(int(meta["epoch"]), before.epoch if before else 0) + 1,
                    last=last,
                )
                journal = cls(connection, lock, found, linger_s=linger_s)
                journal._mark(clean=False)
                lock.beat(found.epoch, last, durable=True)
            except BaseException:
                connection.close()
                raise
        return journal

    async def append(self, events: Sequence[Event]) -> int:
        """Store the events, in this order and after all appended before; return when they are durable.

        Returns how many of this life are durable by then. A caller cancelled here does not take the events
        back. Raises JournalError if they may not be stored; then, and once closed, every later call raises too.
        """
        if self._failure is not None:
            raise _again(self._failure)
        if self._closing is not None:
            raise JournalError(f"{self.path}: closed", code="R709", hint="open the journal again")
        bodies = [encode(event) for event in events]  # all or none: it may refuse one
        if not bodies:
            return self._stored - self._found.last
        for event, body in zip(events, bodies, strict=True):
            commit = self._commit_with_room()
            self._seq = commit.last = seq = self._seq + 1
            commit.values += (seq, event.at, event.kind, body, _crc(seq, event.kind, body))
        # the last commit answers for all of ours, since a failure is for good
        waiter: asyncio.Future[JournalError | None] = self._loop().create_future()
        self._waiting[-1].waiters.append(waiter)
        failure = await waiter
        if failure is not None:
            raise _again(failure)
        return self._stored - self._found.last

    def read(self) -> Iterator[Event]:
        """Yield all stored events in order. Raises JournalCorrupt."""
        for _, event in read_events(self.path.parent):
            yield event

    async def aclose(self, clean: bool = True) -> None:  # noqa: FBT001, FBT002 - read as `aclose(clean=False)`
        """Finish pending appends, leave a clean mark unless something failed, release the file; idempotent.

        `clean=False` says that the end was not a good one. A life that began in doubt (`was_clean`,
        `older_than_lock`) and stored nothing leaves no mark either. Once begun it comes to its end, even if
        the caller is cancelled. Raises JournalError if the mark could not be written; the file is released
        all the same.
        """
        if self._closing is None:
            for commit in self._waiting:
                self._submit(commit)
            self._waiting.clear()
            self._closing = asyncio.get_running_loop().run_in_executor(self._writer, self._shut, clean)
            self._writer.shutdown(wait=False)  # takes nothing new; the thread ends after `_shut`
        await asyncio.shield(self._closing)
        self._writer.shutdown()  # joins a thread that has nothing left to do

    # --- on the loop: gathering -------------------------------------------------------------------------

    def _loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop all appends belong to; asking for the running one costs a system call each time."""
        if self._running is None:
            self._running = asyncio.get_running_loop()
        return self._running

    def _commit_with_room(self) -> _Commit:
        if self._waiting and len(self._waiting[-1].values) < COMMIT_EVENTS_MAX * EVENT_COLUMNS:
            return self._waiting[-1]
        loop = self._loop()
        if self._waiting:
            self._ripen(self._waiting[-1])  # full: no reason to linger
        commit = _Commit()
        self._waiting.append(commit)
        now = time.monotonic()
        loop.call_soon(self._turn, commit, now, now + self._linger_s)
        return commit

    def _turn(self, commit: _Commit, last_turn: float, until: float) -> None:
        """Send the commit off once the loop has nothing else to do, or the commit has waited for long enough."""
        if commit.due:
            return  # full, and gone already
        now = time.monotonic()
        if now - last_turn > IDLE_S and now < until:
            self._loop().call_soon(self._turn, commit, now, until)
        else:
            self._ripen(commit)

    def _ripen(self, commit: _Commit) -> None:
        commit.due = True
        self._pump()

    def _pump(self) -> None:
        # one at a time: while a slow disk works, everything else gathers in the next commit
        if self._under_way == 0 and self._waiting and self._waiting[0].due:
            self._submit(self._waiting.popleft())

    def _submit(self, commit: _Commit) -> None:
        self._under_way += 1
        written = self._loop().run_in_executor(self._writer, self._write, commit)
        written.add_done_callback(partial(self._complete, commit))

    def _complete(self, commit: _Commit, written: asyncio.Future[None]) -> None:
        self._under_way -= 1
        error = written.exception()
        for waiter in commit.waiters:
            if waiter.done():
                continue  # its caller was cancelled
            if error is None or isinstance(error, JournalError):
                waiter.set_result(error)
            else:
                waiter.set_exception(error)  # a fault of ours, not of the disk: let it be seen as it is
        self._pump()

    # --- on the writer's thread -------------------------------------------------------------------------

    def _write(self, commit: _Commit) -> None:
        if self._failure is not None:
            raise self._failure
        try:
            with _explained(self.path):
                self._connection.execute(_insert(len(commit.values) // EVENT_COLUMNS), commit.values)
                self._stored = commit.last
                if (now := time.monotonic()) >= self._next_beat:
                    self._lock.beat(self.epoch, self._stored)
                    self._next_beat = now + BEAT_S
        except BaseException as error:
            self._failure = error if isinstance(error, JournalError) else _unwritten(self.path, error)
            raise

    def _shut(self, clean: bool) -> None:  # noqa: FBT001 - passed through an executor, by position
        try:
            with _explained(self.path):
                # doubt ends only by an event that tells of it: a life that stored nothing hands it on
                certain = self._stored > self._found.last or (self.was_clean and not self.older_than_lock)
                if clean and certain and self._failure is None:
                    self._mark(clean=True)
                    self._lock.beat(self.epoch, self._stored, durable=True)
        finally:
            self._connection.close()
            self._lock.release()

    def _mark(self, *, clean: bool) -> None:
        values = [("clean", str(int(clean))), ("epoch", str(self.epoch)), ("version", __version__)]
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany("REPLACE INTO meta VALUES (?, ?)", values)
        self._connection.execute("COMMIT")


def read_events(directory: Path, after_seq: int = 0) -> Iterator[tuple[int, Event]]:
    """Yield the number and content of each event stored after number `after_seq` (they count from 1).

    For onlookers: it takes no lock, disturbs no runner, and sees what is committed. Call it again with the last number
    to follow the campaign. Raises JournalError if there is no journal, JournalCorrupt if it is not sound.
    """
    path = directory / JOURNAL_NAME
    with _explained(path):
        _refuse_irregular(path)
        with closing(_connect(path, "ro")) as connection:
            campaign_id = _examine(connection, path)["campaign_id"]
            seq = after_seq
            while True:
                page = connection.execute(
                    "SELECT seq, kind, body, crc FROM events WHERE seq > ? ORDER BY seq LIMIT ?",
                    (seq, PAGE_EVENTS),
                ).fetchall()
                for number, kind, body, crc in page:
                    seq += 1
                    if number != seq:
                        raise _damaged(path, f"event {seq} is missing")
                    if crc != _crc(seq, kind, body):
                        raise _damaged(path, f"event {seq} ({kind}) is not as it was written")
                    try:
                        event = decode(kind, body)
                    except JournalCorrupt as error:
                        raise JournalCorrupt(
                            f"{path}: event {seq}: {error.message}", code=error.code, hint=error.hint
                        ) from None
                    if isinstance(event, CampaignStarted) and event.campaign_id != campaign_id:
                        raise _damaged(
                            path, f"event {seq} is of campaign {event.campaign_id}, not {campaign_id}"
                        )
                    yield seq, event
                if len(page) < PAGE_EVENTS:
                    return


def _crc(seq: int, kind: str, body: str) -> int:
    return crc32(f"{seq} {kind} {body}".encode())


# --- making and opening -----------------------------------------------------------------------------------


def _build(path: Path, campaign_id: str, plan_digest: str) -> None:
    """Make the file under another name and give it its own when it is whole and on disk."""
    # a write-ahead log left behind by a deleted journal would be replayed into the new one
    for remains in (path, Path(f"{path}-wal"), Path(f"{path}-journal")):
        if os.path.lexists(remains):
            raise JournalError(
                f"{remains}: exists already",
                code="R708",
                hint="`rollout run` continues a campaign that has begun",
            )
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)  # of a process that died here; we hold the lock
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    with closing(_connect(new, "rw")) as connection:
        connection.execute(
            "PRAGMA journal_mode = MEMORY"
        )  # a half-made file is thrown away, never rolled back
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {JOURNAL_FORMAT}")
        connection.execute("BEGIN")
        for table in TABLES:
            connection.execute(table)
        meta = {
            "campaign_id": campaign_id,
            "plan_digest": plan_digest,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "epoch": "0",
            "clean": "0",  # from birth: a mark first written at the start could be lost with what followed it
        }
        connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
        connection.execute("COMMIT")
        # From birth: switched on by the first life, a kill in the middle left a change to be rolled back, which
        # onlookers may not do, and `run` begins as one.
        connection.execute("PRAGMA journal_mode = WAL")
    _sync(new, os.O_RDWR)
    new.rename(path)
    _sync(path.parent, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode={mode}",
        uri=True,
        timeout=BUSY_S,
        isolation_level=None,
        cached_statements=2
        * COMMIT_EVENTS_MAX,  # one for each number of rows: compiling it costs a fifth of a commit
        check_same_thread=False,  # opened here, used by the writer's thread, never by two at once
    )
    # before anything reads the schema
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA mmap_size = 0")
    return connection


def _examine(connection: sqlite3.Connection, path: Path) -> dict[str, str]:
    """Return the file's meta data, once it is known to be a journal of ours. Changes nothing."""
    ((application,),) = connection.execute("PRAGMA application_id")
    if application != APPLICATION_ID:
        raise JournalCorrupt(f"{path}: not a journal", code="R702", hint="is this the campaign's directory?")
    ((version,),) = connection.execute("PRAGMA user_version")
    if version > JOURNAL_FORMAT:
        raise JournalCorrupt(
            f"{path}: journal format {version}, this program reads up to {JOURNAL_FORMAT}",
            code="R703",
            hint=f"use {_writer_of(connection)}",
        )
    if version < 1:
        raise _damaged(path, f"format {version} never was")
    schema = sorted(sql or "" for (sql,) in connection.execute("SELECT sql FROM sqlite_schema"))
    if schema != sorted(TABLES):
        raise JournalCorrupt(
            f"{path}: its tables are not as rollout makes them",
            code="R704",
            hint="somebody changed the file: restore it from a backup",
        )
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    if not meta.keys() >= META_KEYS or not (meta["epoch"].isascii() and meta["epoch"].isdigit()):
        raise _damaged(path, "its meta data is incomplete")
    return meta


def _writer_of(connection: sqlite3.Connection) -> str:
    """Return which program reads a journal of a newer format; in general terms where the file does not say."""
    try:
        row = connection.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()
    except sqlite3.DatabaseError:  # a newer format may keep this elsewhere
        row = None
    return f"rollout {row[0]} or newer" if row else "the version of rollout that wrote it, or a newer one"


def _prepare_for_writing(connection: sqlite3.Connection, path: Path) -> None:
    """Make commits durable, and see that the file is sound: 25 ms for 100,000 events of 16 MB, cached."""
    ((mode,),) = connection.execute("PRAGMA journal_mode = WAL")
    if mode != "wal":
        raise JournalError(f"{path}: no write-ahead log here", code="R706", hint="use a local file system")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")  # macOS: fsync alone leaves data in the drive's cache
    ((verdict,), *_) = connection.execute("PRAGMA quick_check(1)")
    if verdict != "ok":
        raise _damaged(path, " ".join(verdict.split()))
    # rows are written in today's format from here on: an older program must not read past them
    connection.execute(f"PRAGMA user_version = {JOURNAL_FORMAT}")


def _refuse_irregular(path: Path) -> None:
    with _explained(path):
        kind = stat.S_IFMT(os.lstat(path).st_mode)
    if kind != stat.S_IFREG:
        what = "a symbolic link" if kind == stat.S_IFLNK else "not a regular file"
        raise JournalError(f"{path}: {what}", code="R706", hint="the journal is a file of its own")


def _refuse_network(directory: Path) -> None:
    with _explained(directory):
        device = directory.stat().st_dev
    try:
        mounts = Path("/proc/self/mountinfo").read_text(errors="replace")
    except OSError:  # not Linux: cannot be told cheaply
        return
    name = _file_system(f"{os.major(device)}:{os.minor(device)}", mounts)
    if name in NETWORK_FILE_SYSTEMS:
        raise JournalError(
            f"{directory}: on {name}, where locks cannot be trusted",
            code="R707",
            hint="keep the campaign on a local disk",
        )


def _file_system(device: str, mounts: str) -> str:
    """Return the type of the file system `device` ("8:1"), or "" if it is not listed. Source: proc(5), mountinfo."""
    for line in mounts.splitlines():
        place, _, rest = line.partition(" - ")
        if place.split()[2:3] == [device]:
            return rest.split(maxsplit=1)[0]
    return ""


# --- errors -----------------------------------------------------------------------------------------------


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system raise into our errors, once."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", None)
        match code and code & 0xFF:  # the low byte is the kind, the rest says where
            case sqlite3.SQLITE_NOTADB:
                raise JournalCorrupt(
                    f"{path}: not a journal", code="R702", hint="is this the campaign's directory?"
                ) from error
            case sqlite3.SQLITE_CORRUPT:
                raise _damaged(path, str(error)) from error
            case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
                raise _unusable(path, str(error)) from error
            case None if isinstance(error, sqlite3.OperationalError):
                # not SQLite's own error but Python's: it cannot read a text that was given back
                raise _damaged(path, "a text is not UTF-8") from error
            case _:
                raise _unwritten(path, error) from error
    except UnicodeDecodeError as error:
        # the same, where the words of that error would hold the text
        raise _damaged(path, "a text is not UTF-8") from error
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error


def _damaged(path: Path, what: str) -> JournalCorrupt:
    return JournalCorrupt(
        f"{path}: damaged: {what}", code="R705", hint="restore the campaign's directory from a backup"
    )


def _unusable(path: Path, what: str) -> JournalError:
    return JournalError(
        f"{path}: {what}",
        code="R706",
        hint="the campaign's directory and its files must be there, and yours to read and write",
    )


def _unwritten(path: Path, error: BaseException) -> JournalError:
    return JournalError(
        f"{path}: not stored: {error}",
        code="R709",
        hint="free space or mend the disk, then run the campaign again",
    )


def _again(failure: JournalError) -> JournalError:
    """Return a copy of the failure: one exception raised in many tasks would collect all their tracebacks."""
    return JournalError(failure.message, code=failure.code, hint=failure.hint)
