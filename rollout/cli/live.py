"""The live view of a terminal, drawn by a thread of its own.

A terminal can stop accepting text (Ctrl-S), and one redraw takes tens of milliseconds. Neither may delay the engine. So
`show` only keeps the latest lines, and the thread draws them, four times a second at most. Lines that were replaced
before they were drawn are never shown.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from rollout.app.watch import FRAME_S
from rollout.text import clipped

THREAD_WAIT_S = 1.0
"""How long `close` waits for the last redraw. Real seconds. Our choice."""


class LiveView:
    """Shows the latest lines it was given, in place, on standard error, which must be a terminal. A `Screen`."""

    def __init__(self, *, color: bool) -> None:
        from rich.console import Console  # noqa: PLC0415 - only a terminal pays for rich
        from rich.live import Live  # noqa: PLC0415 - only a terminal pays for rich

        self._console = Console(stderr=True, no_color=not color, highlight=False, markup=False, emoji=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._lines: Sequence[str] | None = None
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._draw, name="live-view", daemon=True)
        self._thread.start()

    @property
    def rows(self) -> int:
        """How many lines the terminal has."""
        return self._console.height

    def show(self, lines: Sequence[str]) -> None:
        """Show these lines from now on. Never waits."""
        with self._changed:
            self._lines = lines
            self._changed.notify()

    def close(self) -> None:
        """Remove the lines from the terminal; idempotent."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(THREAD_WAIT_S)

    def _draw(self) -> None:
        from rich.text import Text  # noqa: PLC0415 - only a terminal pays for rich

        try:
            with self._live:
                while True:
                    with self._changed:
                        self._changed.wait_for(lambda: self._lines is not None or self._closing)
                        lines, self._lines = self._lines, None
                        if self._closing:
                            return
                    # cut here: rich marks a cut by a character outside ASCII, whose escape would make the line too wide
                    shown = [clipped(line, self._console.width) for line in lines or ()]
                    text = Text("\n".join(shown), no_wrap=True, overflow="crop")
                    self._live.update(text, refresh=True)
                    with self._changed:
                        self._changed.wait_for(lambda: self._closing, timeout=FRAME_S)
        except OSError:
            # the terminal is gone; the campaign goes on, and the event log has everything
            return
