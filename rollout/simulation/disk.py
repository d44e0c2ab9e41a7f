"""The journal of a simulated life: in memory, through the real codec, with crash points around every commit.

The history is kept as the text a file would hold, so each life reads what the codec makes of it. A life that was
not closed leaves no clean mark; a power cut on a disk that lied loses the last commits.
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

__all__ = ["SYNC_S", "Disk", "SimJournal"]

SYNC_S = 0.0002
"""How long a commit takes until it is acknowledged. Seconds; measured on this kind of disk: some tenths of a millisecond."""


class Disk:
    """What outlives a process: commits of (kind, text) rows, and whether the last life left a clean mark.

    `written_at` tells the true time of each commit. `intents` counts the `batch.create_sent` by job name for which the
    disk ever said *done*, whether it kept its word or not; `lost` the commits for which it did not, the last at `lost_at`.

    A `blank` disk counts its commits and keeps nothing of them: for worlds in which no process is ever started anew.
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
        """Keep one commit."""
        self.commits.append([] if self._blank else [(event.kind, encode(event)) for event in events])
        self.written_at.append(self._now())
        self.intents.update(event.name for event in events if isinstance(event, ev.BatchCreateSent))

    def read(self) -> Iterator[ev.Event]:
        """Yield all events kept."""
        for _, event in self.history():
            yield event

    def history(self) -> Iterator[tuple[float, ev.Event]]:
        """Yield all events kept, each with the true time of its commit, seconds since the epoch."""
        for at, commit in zip(self.written_at, self.commits, strict=True):
            for kind, text in commit:
                yield at, decode(kind, text)

    def lose(self, commits: int) -> None:
        """Lose the last commits, as a power cut does where a disk says *done* too early."""
        kept = max(0, len(self.commits) - commits)
        if kept < len(self.commits):
            self.lost += len(self.commits) - kept
            self.lost_at = self._now()
        self.clean = self.clean and kept == len(self.commits)
        del self.commits[kept:], self.written_at[kept:]


class SimJournal(Journal):
    """One life's hold on the disk."""

    def __init__(self, disk: Disk, power: Power) -> None:
        self._disk = disk
        self._power = power
        self._closed = False
        self._stored = 0
        self.was_clean = disk.clean
        disk.clean = False

    async def append(self, events: Sequence[ev.Event]) -> int:
        """Store the events; return how many of this life are stored by then. Raises: JournalError once closed."""
        if self._closed:
            raise JournalError("the journal is closed", code="R709")
        await self._power.step(f"before commit of {events[0].kind}")
        self._disk.write(events)
        self._stored += len(events)
        await self._power.step(f"after commit of {events[0].kind}")
        await asyncio.sleep(SYNC_S)
        return self._stored

    def read(self) -> Iterator[ev.Event]:
        """Yield what is on the disk."""
        return self._disk.read()

    async def aclose(self) -> None:
        """Leave the clean mark, unless the power is gone, or doubt was found and nothing stored; idempotent."""
        if not self._closed and not self._power.dead:
            self._disk.clean = self.was_clean or self._stored > 0
        self._closed = True
