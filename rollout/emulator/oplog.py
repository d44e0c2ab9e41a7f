"""The platform's history on disk: one line of JSON for every call that changes something.

A line is handed to the operating system before the call is answered. So after `kill -9` the next emulator replays the
file and is the same platform, with the same jobs, ids and devices. The file is not synced to disk: it may lose its end
in a power cut, which no rehearsal needs to survive. A last line that is incomplete belongs to a call that was never
answered; opening the file removes it.

The first line holds the settings that the history depends on. A file with other settings is refused, because the
replay would give another history.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rollout.emulator.platform.history import HistoryEntry
from rollout.errors import OtherRehearsal, RolloutError

LOG_FORMAT = "rollout-emulator-1"


class OpLog:
    """The file; a lock lets one emulator at a time use it.

    `start`: when the platform began, seconds since the epoch. `last_time`: the time of the last entry, `start` if there
    is none.
    Raises: RolloutError if the file is not such a log or is in use by another emulator; OtherRehearsal if it was written
    with other settings.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], start: float) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        # readable by the owner alone: the lines hold device keys
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._open(settings, start)
        except BaseException:
            os.close(self._file)
            raise

    def _open(self, settings: Mapping[str, Any], start: float) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RolloutError(f"{self._path}: in use by another emulator") from error
        _cut_torn_line(self._path)
        self.start = start
        self.last_time = start
        lines = _lines(self._path)
        header = next(lines, None)
        if header is None:
            self._write({"format": LOG_FORMAT, "start": start, "settings": settings})
            return
        if not isinstance(header, dict) or header.get("format") != LOG_FORMAT:
            raise RolloutError(f"{self._path}: not a log of this emulator")
        # compared in the form in which they are written: JSON has no tuples
        if header["settings"] != json.loads(json.dumps(settings)):
            raise OtherRehearsal(
                f"{self._path}: written by an emulator with other settings",
                hint="give the same seed, fleet, population and knobs, or another file",
            )
        self.start = header["start"]
        for line in lines:
            self.last_time = line["at"]

    def entries(self) -> Iterator[HistoryEntry]:
        """Yield all entries, oldest first."""
        lines = _lines(self._path)
        next(lines)
        for line in lines:
            yield HistoryEntry(line["at"], line["do"], line["with"])

    def append(self, entry: HistoryEntry) -> None:
        """Write one entry; the operating system has it when this returns. Raises: OSError."""
        self._write({"at": entry.at, "do": entry.name, "with": entry.args})
        self.last_time = entry.at

    def _write(self, line: Mapping[str, Any]) -> None:
        data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        while data:
            data = data[os.write(self._file, data) :]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)


def read_last_time(path: Path) -> float | None:
    """Return the time of the log's last entry, seconds since the epoch; None if there is no log.

    A clock for this log must not start earlier.
    """
    if not path.exists():
        return None
    last: float | None = None
    for line in _lines(path):
        last = line.get("at", line.get("start"))
    return last


def _lines(path: Path) -> Iterator[Any]:
    """Yield the content of each complete line. Raises: RolloutError naming the first line that is not JSON."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield json.loads(line)
            except ValueError as error:
                raise RolloutError(f"{path}:{number}: not a line of an emulator log") from error


def _cut_torn_line(path: Path) -> None:
    """Remove what follows the last newline."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        kept = size
        while kept:
            file.seek(kept - 1)
            if file.read(1) == b"\n":
                break
            kept -= 1
        if kept < size:
            file.truncate(kept)
