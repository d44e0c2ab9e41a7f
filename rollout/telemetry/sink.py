"""Log lines are queued and written by a thread, so that a slow or broken reader never delays the engine.

A pipe whose reader sleeps blocks its writer; a full disk and a closed terminal raise. None of that may stop a
campaign, whose history is in the journal. So each sink has a bounded queue and a thread that writes many lines in
one call. A line is dropped and counted if the queue is full or the line cannot be written.

The thread is a daemon: if its last write never returns, the process may still leave.
"""

from __future__ import annotations

import os
import stat
import threading
from collections import deque
from pathlib import Path

from rollout.errors import SettingsError

QUEUE_LINES_MAX = 20_000
"""Lines that may wait to be written; at about 300 bytes a line some 6 MB. Our choice."""

GATHER_S = 0.02
"""How long lines are gathered before one write. A kill loses them; the journal has their events. Our choice."""

CLOSE_WAIT_S = 2.0
"""How long `close` waits for the last lines to be written. Our choice, inside the 10 s of a graceful stop."""


class LineSink:
    """Takes lines for a file descriptor without waiting, and writes them when it can.

    `dropped` counts lines that were lost: the queue was full or the write failed.
    """

    def __init__(self, fd: int, *, owned: bool, lines_max: int = QUEUE_LINES_MAX) -> None:
        self._fd = fd
        self._owned = owned
        self._lines_max = lines_max
        self._lines: deque[bytes] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self.dropped = 0
        self._thread = threading.Thread(target=self._work, name=f"log-{fd}", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Take one line, which ends with its line feed. Never waits, never raises."""
        with self._wake:
            if self._closing or len(self._lines) >= self._lines_max:
                self.dropped += 1
                return
            self._lines.append(line)
            if len(self._lines) == 1:
                self._wake.notify()

    def close(self, wait_s: float = CLOSE_WAIT_S) -> None:
        """Take no more lines, and wait until the queued ones are written, `wait_s` seconds at most; idempotent."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(wait_s)

    def _work(self) -> None:
        while True:
            with self._wake:
                while not self._lines and not self._closing:
                    self._wake.wait()
                if not self._closing:
                    # gather: a thread woken for every line would fight the event loop for the interpreter
                    self._wake.wait(GATHER_S)
                batch, self._lines = self._lines, deque()
            if not batch:
                break
            if not self._put(b"".join(batch)):
                with self._wake:
                    self.dropped += len(batch)
        if self._owned:
            os.close(self._fd)

    def _put(self, data: bytes) -> bool:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except OSError:
                # Full disk, closed pipe, reader gone: the lines are counted as dropped. The next lines are still
                # tried, since the disk may have room by then.
                return False
        return True


def open_log(path: Path) -> LineSink:
    """Open the event log for appending, readable by its owner alone, and return its sink.

    A killed process may have left half a line: it is ended first, so that every later record has a line of its own.

    Raises: SettingsError if the path is a link, not a regular file, or cannot be opened.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        fd = os.open(path, flags, 0o600)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written: {error.strerror}") from error
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        os.close(fd)
        raise SettingsError(f"{path}: not a regular file")
    sink = LineSink(fd, owned=True)
    if info.st_size and os.pread(fd, 1, info.st_size - 1) != b"\n":
        sink.write(b"\n")
    return sink


def stream_sink(fd: int) -> LineSink:
    """Return a sink for standard output (1) or standard error (2); `close` leaves the stream open."""
    return LineSink(fd, owned=False)
