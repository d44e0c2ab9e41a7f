"""The emulator's memory on disk: one line of JSON for every mutating call, written before it is answered.

A line reaches the operating system before the answer leaves, so an emulator ended by `kill -9` lives on: the next
one replays the file and is the same platform, with the same jobs, ids and device histories. It does not outlive a
power cut, which no rehearsal needs. A last line cut off by the end was never answered, and goes.

The first line holds the settings the history depends on; a file of other settings is refused, because its replay
would be another history.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rollout.emulator.platform.operations import Operation
from rollout.errors import OtherRehearsal, RolloutError

FORMAT = "rollout-emulator-1"


class OpLog:
    """The file, held by one emulator at a time.

    `start` is when the platform began, seconds since the epoch; `last_time` that of the last operation. Raises
    `RolloutError` if the file is no such log, is held by another, or belongs to other settings.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], start: float) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        # a line is a device list at most; the owner's eyes only
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
            self._write({"format": FORMAT, "start": start, "settings": settings})
            return
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise RolloutError(f"{self._path}: not a log of this emulator")
        # compared as they would be written: JSON knows no tuples
        if header["settings"] != json.loads(json.dumps(settings)):
            raise OtherRehearsal(
                f"{self._path}: written by an emulator with other settings",
                hint="give the same seed, fleet, population and knobs, or another file",
            )
        self.start = header["start"]
        for line in lines:
            self.last_time = line["at"]

    def operations(self) -> Iterator[Operation]:
        """Yield the history, oldest first."""
        lines = _lines(self._path)
        next(lines)
        for line in lines:
            yield Operation(line["at"], line["do"], line["with"])

    def append(self, operation: Operation) -> None:
        """Add to the history; it has left this process when this returns. Raises: OSError."""
        self._write({"at": operation.at, "do": operation.name, "with": operation.args})
        self.last_time = operation.at

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
    """Return when the log's last operation was, so that a clock can start no earlier; None without a log."""
    if not path.exists():
        return None
    last: float | None = None
    for line in _lines(path):
        last = line.get("at", line.get("start"))
    return last


def _lines(path: Path) -> Iterator[Any]:
    """Yield the complete lines as JSON. Raises: RolloutError naming the line that is none."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield json.loads(line)
            except ValueError as error:
                raise RolloutError(f"{path}:{number}: not a line of an emulator log") from error


def _cut_torn_line(path: Path) -> None:
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
