"""Many deadlines of one length, kept by one timer.

`asyncio.timeout` sets a timer for each block and takes it back, which costs a load test's calls 3 % of their rate. Where all
blocks may last equally long, those begun first are due first, and a timer for the oldest is enough.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any


class Deadlines:
    """Makes blocks that end with `TimeoutError` after `seconds`: `with deadlines.one(): await ...`. For one event loop."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._open: dict[_Deadline, None] = {}  # in the order of their beginning
        self._timer: asyncio.TimerHandle | None = None

    def one(self) -> _Deadline:
        """Return a context that gives the running task `seconds` from now. To be entered at once."""
        task = asyncio.current_task()
        assert task is not None, "a deadline cuts a task off"
        loop = task.get_loop()
        deadline = _Deadline(task, loop.time() + self._seconds, self._open)
        if self._timer is None:
            self._timer = loop.call_at(deadline.at, self._look, loop)
        return deadline

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        for deadline in self._open:
            if deadline.at > loop.time():
                self._timer = loop.call_at(deadline.at, self._look, loop)
                return
            deadline.expire()


class _Deadline:
    """One block. As `asyncio.timeout`, it lets a cancellation pass that somebody else asked for as well."""

    __slots__ = ("_cancelling", "_expired", "_open", "_task", "at")

    def __init__(self, task: asyncio.Task[Any], at: float, others: dict[_Deadline, None]) -> None:
        self.at = at
        self._task = task
        self._open = others
        self._cancelling = task.cancelling()
        self._expired = False

    def expire(self) -> None:
        """Cancel the task, once."""
        if not self._expired:
            self._expired = True
            self._task.cancel()

    def __enter__(self) -> None:
        self._open[self] = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        del self._open[self]
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
