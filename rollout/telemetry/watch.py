"""The engine's audience that shows: a live view on a terminal, elsewhere one line a minute.

Counting down a soak needs time, not events, so the picture is made by a task of its own from the last state
it was told of; an event only changes which state that is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from rollout.core.events import Event
from rollout.core.state import State
from rollout.telemetry.live import FRAME_S, LiveView
from rollout.views.progress import Marks, heartbeat, live_lines

HEARTBEAT_S = 60.0
"""How often a campaign that is not on a terminal says that it lives. Real seconds."""


class Watch:
    """Shows the campaign as it goes. An `Observer`; `clock` is the engine's."""

    def __init__(self, clock: Callable[[], float], view: LiveView | None, marks: Marks) -> None:
        self._clock = clock
        self._view = view
        self._marks = marks
        self._state: State | None = None
        self._message = ""

    def notice(self, event: Event, state: State) -> None:  # noqa: ARG002 - the state says it all
        """Remember the state to show."""
        self._state = state

    def say(self, message: str) -> None:
        """Show this line below the picture from now on."""
        self._message = message

    async def show(self) -> None:
        """Show until cancelled."""
        log = structlog.get_logger()
        while True:
            await asyncio.sleep(HEARTBEAT_S if self._view is None else FRAME_S)
            if self._state is None:
                continue
            now = self._clock()
            if self._view is None:
                log.info("heartbeat", at=now, **heartbeat(self._state, now))
            else:
                # Head, calls and failures take four lines of the screen; one is left free.
                rows = max(self._view.rows - 5, 1)
                lines = live_lines(self._state, now, self._marks, rows=rows)
                self._view.show([*lines, self._message] if self._message else lines)
