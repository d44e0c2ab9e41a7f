"""One runner per campaign: who holds it, and how far the journal had come.

`journal.lock` stands beside the journal and is never deleted. It does two things:

* its `flock` belongs to the running process. The kernel releases it when the process ends, however it ends. So a
  lock is never stale, and nobody has to guess from a pid or a heartbeat;
* its text, one JSON record, names the holder for people. It also remembers the journal's epoch (how many runners have
  opened it) and the number of an event that was stored. A journal that is behind this record is an older copy:
  restored from a backup, or without its write-ahead log. The record is written now and then, after a commit of the
  journal, so it is never ahead of a disk that keeps what it says it has kept.

Advisory locks of network file systems cannot be trusted; `sqlite.py` refuses those that it recognises.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Self

from rollout.errors import JournalError, JournalHeld
from rollout.ports import Holder

LOCK_NAME = "journal.lock"
RECORD_BYTES = 512
"""Size of the record, padded: one sector, so it is overwritten in place and never torn."""
LAST_MOMENT = 253_402_300_800.0
"""Start of the year 10000, in seconds since the epoch; `datetime` ends there."""
TRIES = 10
"""How often the lock is tried. `read_holder` takes a shared one for an instant, and that must not refuse a runner."""
TRY_AGAIN_S = 0.01
"""Pause between two tries, in seconds; all of them together take a tenth of a second."""


class Lock:
    """The lock, held from `acquire` to `release`. Not for use by two threads at once."""

    def __init__(self, descriptor: int, holder: Holder, previous: Holder | None) -> None:
        self._descriptor = descriptor
        self._holder = holder
        self.previous = previous
        """The record of the holder before us; None if there was none that can be read. With epoch 0 it tells nothing."""

    @classmethod
    def acquire(cls, directory: Path) -> Self:
        """Take the lock of the campaign in `directory` and write our name into it.

        Raises: JournalHeld if another runner (or another journal of this process) has it; JournalError if
        the file cannot be opened or written.
        """
        path = directory / LOCK_NAME
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            if not _try_lock(descriptor):
                holder = _read(descriptor)
                raise JournalHeld(path, str(holder or "a runner that has not said its name yet"))  # noqa: TRY301 - one place closes the descriptor
            previous = _read(descriptor)
            now = time.time()
            known = (previous.epoch, previous.seq) if previous else (0, 0)
            lock = cls(descriptor, Holder(os.uname().nodename, os.getpid(), now, now, *known), previous)
            lock.beat(*known)
        except OSError as error:
            os.close(descriptor)
            raise _unusable(path, error) from error
        except BaseException:
            os.close(descriptor)
            raise
        return lock

    def beat(self, epoch: int, seq: int, *, durable: bool = False) -> None:
        """Write down how far the journal has come. It is on disk when this returns if `durable`. Raises OSError."""
        holder = Holder(self._holder.host, self._holder.pid, self._holder.since, time.time(), epoch, seq)
        record = json.dumps(asdict(holder)).encode().ljust(RECORD_BYTES - 1) + b"\n"
        assert len(record) == RECORD_BYTES, "a host name is at most 64 bytes"
        if os.pwrite(self._descriptor, record, 0) != RECORD_BYTES:
            raise OSError(f"{LOCK_NAME}: written in part")
        if durable:
            os.fsync(self._descriptor)
        self._holder = holder

    def release(self) -> None:
        """Release the lock; the record stays."""
        os.close(self._descriptor)


def read_holder(directory: Path) -> Holder | None:
    """Return who runs the campaign in `directory` now, or None if nobody does.

    A runner that was killed is nobody. Raises JournalError if the lock file cannot be read.
    """
    path = directory / LOCK_NAME
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        if _lock_now(descriptor, fcntl.LOCK_SH):
            return None
        return _read(descriptor) or Holder("?", 0, 0.0, 0.0, 0, 0)
    except OSError as error:
        raise _unusable(path, error) from error
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    for _ in range(TRIES - 1):
        if _lock_now(descriptor, fcntl.LOCK_EX):
            return True
        time.sleep(TRY_AGAIN_S)
    return _lock_now(descriptor, fcntl.LOCK_EX)


def _lock_now(descriptor: int, mode: int) -> bool:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(descriptor: int) -> Holder | None:
    """Return the record; None if it is empty, half-written or not ours. None tells nothing about the journal."""
    try:
        record = json.loads(os.pread(descriptor, RECORD_BYTES, 0))
        holder = Holder(
            host=str(record["host"]),
            pid=int(record["pid"]),
            since=float(record["since"]),
            beat_at=float(record["beat_at"]),
            epoch=int(record["epoch"]),
            seq=int(record["seq"]),
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    moments_are_sound = all(0 <= moment < LAST_MOMENT for moment in (holder.since, holder.beat_at))
    return holder if moments_are_sound and min(holder.pid, holder.epoch, holder.seq) >= 0 else None


def _unusable(path: Path, error: OSError) -> JournalError:
    return JournalError(
        f"{path}: {error.strerror or error}",
        code="R706",
        hint="the campaign's directory and its files must be yours to read and write",
    )
