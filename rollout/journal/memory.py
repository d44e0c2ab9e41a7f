"""A journal in memory, for tests and for the store in memory. It can fail as a disk does, when it is told to.

The history outlives the journal object as a file outlives a process: `reopen` is the next life. A life that
was not closed leaves no clean mark. Failures are set by number, so that a run repeats exactly:

* `fail_at=n`: the n-th append of this life raises, and every later one. With `ghost` its events are stored
  all the same, as a disk may keep a commit whose sync failed;
* `reopen(drop=n)`: a power cut on a disk that said "kept" too early; the last n commits are gone, and the clean mark.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Self

from rollout.core.events import EPHEMERAL, Event
from rollout.errors import JournalError


class MemoryJournal:
    """A journal that keeps the promises of `ports.OpenedJournal` until the process ends. `closed`: it is held no more."""

    def __init__(
        self,
        campaign_id: str = "campaign",
        plan_digest: str = "",
        *,
        fail_at: int | None = None,
        ghost: bool = False,
    ) -> None:
        self.campaign_id = campaign_id
        self.plan_digest = plan_digest
        self.was_clean = True
        self.older_than_lock = False
        self.epoch = 1
        self._commits: list[tuple[Event, ...]] = []
        self._fail_at = fail_at
        self._ghost = ghost
        self._appends = 0
        self._stored = 0  # events of this life
        self._failed = False
        self.closed = False
        self._clean = False

    async def append(self, events: Sequence[Event]) -> int:
        """Store the events, then yield once; cancelled there, they are stored all the same.

        Returns how many of this life are stored by then. Raises JournalError at the append that `fail_at` names and at every later one, and once
        closed.
        """
        assert not any(event.kind in EPHEMERAL for event in events), "not history"
        self._appends += 1
        if self.closed:
            raise JournalError("the journal is closed", code="R709")
        first_failure = not self._failed and self._appends == self._fail_at
        self._failed = self._failed or first_failure
        if not self._failed or (first_failure and self._ghost):
            self._commits.append(tuple(events))
        if not self._failed:
            self._stored += len(events)
        failed = self._failed  # of this append: a later one may fail while we yield
        await asyncio.sleep(0)
        if failed:
            raise JournalError("the disk failed, as it was told to", code="R709", hint="reopen the journal")
        return self._stored

    def read(self) -> Iterator[Event]:
        """Yield all stored events in order."""
        for commit in self._commits:
            yield from commit

    async def aclose(self, clean: bool = True) -> None:  # noqa: FBT001, FBT002 - the shape of SqliteJournal
        """End this life, with a clean mark unless something failed, or doubt was found and nothing stored; idempotent."""
        if not self.closed:
            self.closed = True
            self._clean = clean and not self._failed and (self.was_clean or self._appends > 0)

    def reopen(self, *, drop: int = 0, fail_at: int | None = None, ghost: bool = False) -> Self:
        """Return the journal as the next process finds it, without its last `drop` commits."""
        life = type(self)(self.campaign_id, self.plan_digest, fail_at=fail_at, ghost=ghost)
        kept = max(len(self._commits) - drop, 0)
        life._commits.extend(self._commits[:kept])  # noqa: SLF001 - its own kind
        life.was_clean = self._clean and not drop
        life.epoch = self.epoch + 1
        return life
