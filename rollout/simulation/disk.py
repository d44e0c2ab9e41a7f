"""The journal of a simulated life: in memory, through the real codec, with crash points around every commit.

The history is kept as the text a file would hold, so each life reads what the codec makes of it. A life that was
not closed leaves no clean mark; a power cut on a disk that lied loses the last commits.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence

from rollout.core import events as ev
from rollout.errors import JournalError
from rollout.journal.codec import decode, encode
from rollout.ports import Journal
from rollout.simulation.power import Power

__all__ = ["Disk", "SimJournal"]


class Disk:
    """What outlives a process: commits of (kind, text) rows, and whether the last life left a clean mark.

    `intents` counts the durable `batch.create_sent` by job name.
    """

    def __init__(self) -> None:
        self.commits: list[list[tuple[str, str]]] = []
        self.intents: Counter[str] = Counter()
        self.clean = True

    def write(self, events: Sequence[ev.Event]) -> None:
        """Keep one commit."""
        self.commits.append([(event.kind, encode(event)) for event in events])
        self.intents.update(event.name for event in events if isinstance(event, ev.BatchCreateSent))

    def read(self) -> Iterator[ev.Event]:
        """Yield all events kept."""
        for commit in self.commits:
            for kind, text in commit:
                yield decode(kind, text)

    def lose(self, commits: int) -> None:
        """Lose the last commits, as a power cut does where a disk says *done* too early."""
        if commits:
            del self.commits[len(self.commits) - min(commits, len(self.commits)) :]
            self.clean = False
            names = [event.name for event in self.read() if isinstance(event, ev.BatchCreateSent)]
            self.intents = Counter(names)


class SimJournal(Journal):
    """One life's hold on the disk. `sync_s`: how long a commit takes."""

    def __init__(self, disk: Disk, power: Power, sync_s: float = 0.0002) -> None:
        self._disk = disk
        self._power = power
        self._sync_s = sync_s
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
        await asyncio.sleep(self._sync_s)
        return self._stored

    def read(self) -> Iterator[ev.Event]:
        """Yield what is on the disk."""
        return self._disk.read()

    async def aclose(self) -> None:
        """Leave the clean mark, unless the power is gone, or doubt was found and nothing stored; idempotent."""
        if not self._closed and not self._power.dead:
            self._disk.clean = self.was_clean or self._stored > 0
        self._closed = True
