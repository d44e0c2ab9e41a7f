"""The engine's audience that writes: every event becomes one log record.

An observer must return at once and never raise: the sinks take care of the first, a complete rendering of
the closed union of events of the second.
"""

from __future__ import annotations

import structlog

from rollout.core.events import BatchCreateSent, Event
from rollout.core.state import State
from rollout.telemetry.render import render


class EventLog:
    """Tells every event to the log. An `Observer`."""

    def __init__(self) -> None:
        # bound now, to the set-up of now: the lazy proxy would build a logger for every line
        self._log = structlog.get_logger().bind()
        self._seq = 0

    def notice(self, event: Event, state: State) -> None:
        """Log `event` under its own name and time; an intent is told by what came of it."""
        if isinstance(event, BatchCreateSent):
            return  # the journal keeps it; as a line it would double the log and say nothing the next does not
        self._seq += 1
        record = render(event, state.plan, seq=self._seq)
        getattr(self._log, record.level)(record.name, at=record.at, fields=record.fields)
