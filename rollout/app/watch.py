"""The observer that shows a campaign while it runs: on a screen if there is one, else by one log line a minute.

The time that is left of a soak changes without any event. So a separate task redraws at a fixed
interval, from the last state that `notice` was given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from rollout.core.events import Event
from rollout.core.state import State
from rollout.views.progress import Marks, heartbeat, live_lines

FRAME_S = 0.25
"""The shortest time between two redraws: 4 Hz. Source: measured, a redraw costs 33-53 ms."""

HEARTBEAT_S = 60.0
"""Time between two log lines where there is no screen. Real seconds. Our choice."""


class Screen(Protocol):
    """Shows the latest lines it was given. No method waits or raises."""

    @property
    def rows(self) -> int:
        """How many lines it can show."""

    def show(self, lines: Sequence[str]) -> None:
        """Show these lines from now on, instead of the ones before."""

    def close(self) -> None:
        """Remove the lines; idempotent."""


class Watch:
    """Shows the campaign as it goes. An `Observer`; `clock` is the engine's; without a `screen` it logs heartbeats."""

    def __init__(self, clock: Callable[[], float], screen: Screen | None, marks: Marks) -> None:
        self._clock = clock
        self._screen = screen
        self._marks = marks
        self._state: State | None = None
        self._message = ""

    def notice(self, event: Event, state: State) -> None:  # noqa: ARG002 - an observer is given both
        """Remember the state to show."""
        self._state = state

    def say(self, message: str) -> None:
        """Show this line below the others from now on."""
        self._message = message

    async def show(self) -> None:
        """Show until cancelled."""
        log = structlog.get_logger()
        while True:
            await asyncio.sleep(HEARTBEAT_S if self._screen is None else FRAME_S)
            if self._state is None:
                continue
            now = self._clock()
            if self._screen is None:
                log.info("heartbeat", at=now, **heartbeat(self._state, now))
            else:
                # head, calls and failures take four lines of the screen; one is left free
                rows = max(self._screen.rows - 5, 1)
                lines = live_lines(self._state, now, self._marks, rows=rows)
                self._screen.show([*lines, self._message] if self._message else lines)
