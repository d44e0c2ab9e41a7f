"""The disk of a world, and the journal of one process on it.

The disk keeps each commit as the text that a file would hold, so the next process reads what the real codec makes of it.
Every commit has two crash points, before and after it. A process that was not closed leaves no clean mark. A power cut
on a disk that acknowledges too early loses the last commits.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from math import inf

from rollout.core import events as ev
from rollout.errors import JournalError
from rollout.journal.codec import decode, encode
from rollout.ports import Journal
from rollout.simulation.power import Power

SYNC_S = 0.0002
"""How long a commit takes until it is acknowledged. Seconds; measured: some tenths of a millisecond."""


class Disk:
    """What outlives a process: its commits, and whether the last process left a clean mark.

    `commits`: rows of (kind, text), one list for each commit. `written_at`: true time of each commit, seconds since the
    epoch. `intents`: acknowledged `batch.create_sent` events by job name, lost ones too. `lost`: acknowledged commits that
    were lost; `lost_at`: when that last happened, minus infinity if never. `clean`: the clean mark.

    A `blank` disk counts its commits and keeps no rows: for worlds in which no second process is started.
    """

    def __init__(self, now: Callable[[], float], *, blank: bool = False) -> None:
        self.commits: list[list[tuple[str, str]]] = []
        self.written_at: list[float] = []
        self.intents: Counter[str] = Counter()
        self.lost = 0
        self.lost_at = -inf
        self.clean = True
        self._now = now
        self._blank = blank

    def write(self, events: Sequence[ev.Event]) -> None:
        """Add one commit."""
        self.commits.append([] if self._blank else [(event.kind, encode(event)) for event in events])
        self.written_at.append(self._now())
        self.intents.update(event.name for event in events if isinstance(event, ev.BatchCreateSent))

    def read(self) -> Iterator[ev.Event]:
        """Yield all events on the disk, in order."""
        for _, event in self.history():
            yield event

    def history(self) -> Iterator[tuple[float, ev.Event]]:
        """Yield all events on the disk, each with the true time of its commit, seconds since the epoch."""
        for at, commit in zip(self.written_at, self.commits, strict=True):
            for kind, text in commit:
                yield at, decode(kind, text)

    def lose(self, commits: int) -> None:
        """Remove the last `commits` commits: a power cut on a disk that acknowledges too early."""
        kept = max(0, len(self.commits) - commits)
        if kept < len(self.commits):
            self.lost += len(self.commits) - kept
            self.lost_at = self._now()
        self.clean = self.clean and kept == len(self.commits)
        del self.commits[kept:], self.written_at[kept:]


class SimJournal(Journal):
    """The journal of one process. `was_clean`: whether the process before it left a clean mark."""

    def __init__(self, disk: Disk, power: Power) -> None:
        self._disk = disk
        self._power = power
        self._closed = False
        self._stored = 0
        self.was_clean = disk.clean
        disk.clean = False

    async def append(self, events: Sequence[ev.Event]) -> int:
        """Store the events in one commit.

        Returns: how many events this process has stored.
        Raises: JournalError if the journal is closed.
        """
        if self._closed:
            raise JournalError("the journal is closed", code="R709")
        await self._power.step(f"before commit of {events[0].kind}")
        self._disk.write(events)
        self._stored += len(events)
        await self._power.step(f"after commit of {events[0].kind}")
        await asyncio.sleep(SYNC_S)
        return self._stored

    def read(self) -> Iterator[ev.Event]:
        """Yield all events on the disk, in order."""
        return self._disk.read()

    async def aclose(self) -> None:
        """Leave the clean mark; idempotent.

        No mark is left by a dead process, nor by one that found no mark and stored nothing.
        """
        if not self._closed and not self._power.dead:
            self._disk.clean = self.was_clean or self._stored > 0
        self._closed = True
