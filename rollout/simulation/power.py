"""The death of a process at a step that was chosen beforehand.

A killed process runs no `finally` block, but Python runs them when a task is cancelled. So a crash is no exception and
no cancellation: at the chosen step the life is over, and every coroutine that reaches a crash point from then on waits
there for ever. Only then are its tasks cancelled. Nothing that they still do reaches the journal or the platform.
"""

from __future__ import annotations

import asyncio


class Power:
    """The power supply of one process. `steps`: crash points passed so far. `died_at`: name of the crash point it died at."""

    def __init__(self, crash_at: int | None = None) -> None:
        """Start alive.

        Args:
            crash_at: the process dies at this crash point, counted from 1; None: only `cut` ends it.
        """
        self.steps = 0
        self.died_at = ""
        self.gone = asyncio.Event()
        self._crash_at = crash_at

    def cut_in(self, steps: int) -> None:
        """Let the process die at the `steps`-th crash point from now."""
        self._crash_at = self.steps + steps

    @property
    def dead(self) -> bool:
        """Whether the process is dead."""
        return self.gone.is_set()

    def cut(self, where: str = "killed") -> None:
        """End the process now. `where`: what `died_at` says."""
        if not self.dead:
            self.died_at = where
            self.gone.set()

    async def step(self, where: str) -> None:
        """Pass the crash point `where`. Never returns if the process is dead or dies here."""
        self.steps += 1
        if self.steps == self._crash_at:
            self.cut(where)
        if self.dead:
            await asyncio.get_running_loop().create_future()
