"""The rows of a search, page by page, and whether the pages agreed.

EnOS pages by offset and has no cursor: a row made or deleted while pages are read shifts all behind it, so that some
come twice and some not at all. One *reading* goes from the first page to the last and yields each row once. It
*agrees* with itself if every page stated the same total and just as many rows were seen; then none was skipped.
After one that does not, the pages are read again, a bounded number of times.
Source: overview (Pagination), 2.4.4; no search of jobs, tasks, firmware or devices supports `sorters`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

from rollout.core.records import Hits
from rollout.enos import limits
from rollout.enos.messages import Envelope
from rollout.errors import Failure, Phase, ServiceError

_Row = TypeVar("_Row")


class Reading(Generic[_Row]):
    """One walk over the pages of a search.

    Args:
        ask: returns the page of a number counted from 1.
        identity: what tells rows apart.
    """

    def __init__(
        self,
        ask: Callable[[int], Awaitable[Envelope[list[_Row]]]],
        identity: Callable[[_Row], str],
        *,
        pages_max: int = limits.SEARCH_PAGES_MAX,
    ) -> None:
        self._ask = ask
        self.identity = identity
        self._pages_max = pages_max
        self.seen: set[str] = set()
        self.totals: set[int] = set()

    @property
    def agrees(self) -> bool:
        """Whether the pages read so far stated one total and as many rows were seen."""
        return self.totals == {len(self.seen)}

    async def rows(self) -> AsyncIterator[_Row]:
        """Yield each row once, in the order seen; ends with the last page, or one that brings nothing new."""
        for page_no in range(1, self._pages_max + 1):
            reply = await self._ask(page_no)
            seen_before = len(self.seen)
            for row in reply.data or []:
                key = self.identity(row)
                if key not in self.seen:
                    self.seen.add(key)
                    yield row
            page = reply.pagination
            if page is None or page.page_no != page_no:
                # a page that does not say where it belongs: nothing was stated
                self.totals = set()
                return
            self.totals.add(page.total_size)
            if len(self.seen) >= page.total_size or len(self.seen) == seen_before:
                return


async def gather(begin: Callable[[], Reading[_Row]]) -> Hits[_Row]:
    """Read the pages again and again until one reading agrees; return the rows of all readings, each once.

    A row that was seen more than once is returned as it was seen last. `complete` is False if no reading agreed.

    Args:
        begin: returns a new reading.
    """
    seen: dict[str, _Row] = {}
    for _ in range(limits.SEARCH_PASSES_MAX):
        reading = begin()
        async for row in reading.rows():
            seen[reading.identity(row)] = row
        if reading.agrees:
            return Hits(tuple(seen.values()), complete=True)
    return Hits(tuple(seen.values()), complete=False)


async def every_row(begin: Callable[[], Reading[_Row]], what: str) -> AsyncIterator[_Row]:
    """Yield each row once, as the pages come; read them again until one reading agrees.

    Raises: `ServiceError` if none agreed. Rows were yielded then, and some may be missing.
    """
    before: set[str] = set()
    reading = begin()
    for left in reversed(range(limits.STREAM_PASSES_MAX)):
        async for row in reading.rows():
            if reading.identity(row) not in before:
                yield row
        if reading.agrees:
            return
        before |= reading.seen
        if left:
            reading = begin()
    stated = sorted(reading.totals)
    totals = f"{stated[0]:,} to {stated[-1]:,} stated" if stated else "no total stated"
    raise ServiceError(
        f"{what}: the pages never agreed: {len(reading.seen):,} seen, {totals}",
        phase=Phase.ANSWERED,
        failure=Failure.UNREADABLE,
        hint="devices come and go while they are listed: try when the fleet is quiet, or a narrower search",
    )
