"""An event loop whose clock jumps: when every task waits, time moves to the next timer at once.

Nothing here is concurrent with anything: no sockets, no threads, no wall clock. Functions handed to an executor
run on the spot. Two ways to hang become errors: *deadlock*, when nothing is due and nothing can happen any more, and
*livelock*, when the loop keeps turning without its clock moving.

Callbacks that are ready together share one instant; every turn for a timer takes `TICK_S` at least, since a timer that
was set a rounding error too early would set itself anew for ever (aiolimiter's does).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["Deadlock", "Livelock", "SimLoop", "run"]

TICK_S = 1e-6
"""Least step of the clock. Seconds."""
TURNS_MAX = 1_000_000
"""Turns of the loop within one instant before it is called a livelock; ours, far above any honest burst."""

T = TypeVar("T")


class Deadlock(RuntimeError):
    """Every task waits and nothing is due: nobody will ever be woken."""


class Livelock(RuntimeError):
    """The loop turns and turns, and no time passes."""


class _Jumper:
    """Stands where a loop has its selector: instead of waiting for files it moves the clock."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        """Move the clock by `timeout`; there are never any files."""
        self._loop.jump(timeout)
        return []

    def close(self) -> None:
        """Nothing is open."""


class SimLoop(asyncio.BaseEventLoop):
    """Virtual time in seconds, from `start` on."""

    _ready: deque[asyncio.Handle]

    def __init__(self, start: float = 0.0) -> None:
        super().__init__()
        self._now = start
        self._turns = 0
        self._selector = _Jumper(self)

    def time(self) -> float:
        """Return the virtual time."""
        return self._now

    def jump(self, timeout: float | None) -> None:
        """Let `timeout` seconds pass; 0 where callbacks are ready. Raises: Deadlock for None, Livelock."""
        if timeout is None:
            raise Deadlock("nothing is due and nothing can happen")
        if not self._ready:
            self._now += max(timeout, TICK_S)
            self._turns = 0
            return
        self._turns += 1
        if self._turns > TURNS_MAX:
            raise Livelock(f"{TURNS_MAX} turns of the loop at {self._now:.6f} s")

    def stall(self, seconds: float) -> None:
        """Let time pass while everything that is ready still waits: a paused process, a slow disk."""
        self._now += seconds

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run `main` to its end. May be called again and again: what else is under way goes on with it."""
        return self.run_until_complete(main)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]  # noqa: ARG002 - a future, as the base promises; no executor is needed
        """Run the function here and now; there are no threads."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it is the caller's, who awaits the future
            future.set_exception(error)
        return future

    def _process_events(self, event_list: list[Any]) -> None:
        assert not event_list, "there are no files"

    def _write_to_self(self) -> None:
        """Wake nobody: there is no other thread, and a ready callback is never waited for."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end in a time of its own, as `asyncio.run` does in real time."""
    with asyncio.Runner(loop_factory=SimLoop) as runner:
        return runner.run(main)
