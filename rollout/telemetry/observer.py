"""The observer that writes the log: every event becomes one record.

An observer must return at once and must not raise. It returns at once because sinks only queue lines. It does not
raise because `render` has a case for every event.
"""

from __future__ import annotations

import structlog

from rollout.core.events import BatchCreateSent, Event
from rollout.core.state import State
from rollout.telemetry.render import render


class EventLog:
    """Writes every event to the log. An `Observer`."""

    def __init__(self) -> None:
        # bound once, to the outlets that are configured now: the lazy proxy would build a logger for every line
        self._log = structlog.get_logger().bind()
        self._seq = 0

    def notice(self, event: Event, state: State) -> None:
        """Log `event` under its own name and time. `BatchCreateSent` is left out: what came of the call is logged."""
        if isinstance(event, BatchCreateSent):
            return  # the journal keeps it; in the log it would double the lines and add nothing to the next one
        self._seq += 1
        record = render(event, state.plan, seq=self._seq)
        getattr(self._log, record.level)(record.name, at=record.at, fields=record.fields)
