"""The rows of a search, page by page, and whether the pages agreed.

EnOS pages by offset and has no cursor: a row made or deleted while pages are read shifts all behind it, so that some
come twice and some not at all. One *reading* goes from the first page to the last and yields each row once. It
*agrees* with itself if every page stated the same total and just as many rows were seen; then none was skipped.
What to do with one that does not is the searcher's choice: read again, and how often.
Source: overview (Pagination), 2.4.4; no search of jobs, tasks, firmware or devices supports `sorters`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

from rollout.enos import limits
from rollout.enos.messages import Envelope

__all__ = ["Reading"]

Row = TypeVar("Row")


class Reading(Generic[Row]):
    """One walk over the pages of a search.

    Args:
        ask: returns the page of a number counted from 1.
        identity: what tells rows apart.
    """

    def __init__(
        self,
        ask: Callable[[int], Awaitable[Envelope[list[Row]]]],
        identity: Callable[[Row], str],
        *,
        pages_max: int = limits.SEARCH_PAGES_MAX,
    ) -> None:
        self._ask = ask
        self._identity = identity
        self._pages_max = pages_max
        self.seen: set[str] = set()
        self.totals: set[int] = set()

    @property
    def agrees(self) -> bool:
        """Whether the pages read so far stated one total and as many rows were seen."""
        return self.totals == {len(self.seen)}

    async def rows(self) -> AsyncIterator[Row]:
        """Yield each row once, in the order seen; ends with the last page, or one that brings nothing new."""
        for page_no in range(1, self._pages_max + 1):
            reply = await self._ask(page_no)
            seen_before = len(self.seen)
            for row in reply.data or []:
                identity = self._identity(row)
                if identity not in self.seen:
                    self.seen.add(identity)
                    yield row
            page = reply.pagination
            if page is None or page.page_no != page_no:
                # a page that does not say where it belongs: nothing was stated
                self.totals = set()
                return
            self.totals.add(page.total_size)
            if len(self.seen) >= page.total_size or len(self.seen) == seen_before:
                return
