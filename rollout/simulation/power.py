"""Death of a process, at a step that was chosen beforehand.

Python runs `finally` blocks when tasks are cancelled; a killed process runs nothing. So a crash is not an exception
but poison: at the chosen step the life is over, whoever reaches a port from then on waits there for ever, and only
then are its tasks taken away. Nothing they still do reaches journal or platform.
"""

from __future__ import annotations

import asyncio

__all__ = ["Power"]


class Power:
    """The power of one life. `steps` counts what has been passed: the names of crash points, in order."""

    def __init__(self, crash_at: int | None = None) -> None:
        """Let the life end at its `crash_at`-th step, counted from 1; None: only by `cut`."""
        self.steps = 0
        self.died_at = ""
        self.gone = asyncio.Event()
        self._crash_at = crash_at

    def cut_in(self, steps: int) -> None:
        """Let the life end at the `steps`-th crash point from here."""
        self._crash_at = self.steps + steps

    @property
    def dead(self) -> bool:
        """The life is over."""
        return self.gone.is_set()

    def cut(self, where: str = "killed") -> None:
        """End the life now."""
        if not self.dead:
            self.died_at = where
            self.gone.set()

    async def step(self, where: str) -> None:
        """Pass a crash point, or never return from it."""
        self.steps += 1
        if self.steps == self._crash_at:
            self.cut(where)
        if self.dead:
            await asyncio.get_running_loop().create_future()
