"""An event loop whose clock jumps: when every task waits, time moves to the next timer at once.

There are no sockets, no threads and no wall clock. A function handed to an executor runs at once, on the spot. Two ways
to hang become errors: `Deadlock` when no timer is set and no callback is ready, `Livelock` when the loop keeps turning and
its clock does not move.

Callbacks that are ready together share one instant. Every jump moves the clock by `CLOCK_STEP_S` at least: a timer that
is set too early by a rounding error would otherwise be set again for ever (aiolimiter does that).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

CLOCK_STEP_S = 1e-6
"""Least step of the clock. Seconds."""
TURNS_MAX = 1_000_000
"""Turns of the loop within one instant, after which it is called a livelock. Ours; a real burst needs far fewer."""

_T = TypeVar("_T")


class Deadlock(RuntimeError):
    """Every task waits and no timer is set, so no task will ever be woken."""


class Livelock(RuntimeError):
    """The loop turned `TURNS_MAX` times and its clock did not move."""


class _Jumper:
    """The selector of a `SimLoop`: instead of waiting for files it moves the clock."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        """Move the clock by `timeout` seconds; return no files. The loop calls this when it would wait."""
        self._loop.jump(timeout)
        return []

    def close(self) -> None:
        """Do nothing; nothing is open."""


class SimLoop(asyncio.BaseEventLoop):
    """An event loop in virtual time. `start`: its first time, seconds."""

    _ready: deque[asyncio.Handle]

    def __init__(self, start: float = 0.0) -> None:
        super().__init__()
        self._now = start
        self._turns = 0
        self._selector = _Jumper(self)

    def time(self) -> float:
        """Return the virtual time, seconds."""
        return self._now

    def jump(self, timeout: float | None) -> None:
        """Move the clock by `timeout` seconds, or not at all while callbacks are ready.

        Args:
            timeout: seconds until the next timer; None if no timer is set.
        Raises: Deadlock if `timeout` is None; Livelock.
        """
        if timeout is None:
            raise Deadlock("nothing is due and nothing can happen")
        if not self._ready:
            self._now += max(timeout, CLOCK_STEP_S)
            self._turns = 0
            return
        self._turns += 1
        if self._turns > TURNS_MAX:
            raise Livelock(f"{TURNS_MAX} turns of the loop at {self._now:.6f} s")

    def stall(self, seconds: float) -> None:
        """Move the clock and run nothing meanwhile, as if the process was paused or the disk was slow."""
        self._now += seconds

    def run(self, main: Coroutine[Any, Any, _T]) -> _T:
        """Run `main` to its end and return its result. Other tasks of the loop go on meanwhile. May be called again."""
        return self.run_until_complete(main)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]  # noqa: ARG002 - a future, as the base promises; no executor is needed
        """Run the function at once; return a future that holds its result or its error."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it goes to the caller, who awaits the future
            future.set_exception(error)
        return future

    def _process_events(self, event_list: list[Any]) -> None:
        assert not event_list, "there are no files"

    def _write_to_self(self) -> None:
        """Do nothing: there is no other thread that could wait for this loop."""


def run_virtual(main: Coroutine[Any, Any, _T]) -> _T:
    """Run `main` in a new `SimLoop` and return its result: `asyncio.run` in virtual time."""
    with asyncio.Runner(loop_factory=SimLoop) as runner:
        return runner.run(main)
