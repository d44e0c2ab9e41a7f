"""The live view of a terminal, drawn by a thread of its own.

A terminal can stop taking text (Ctrl-S), and redrawing costs tens of milliseconds: neither may hold the engine
up. So the engine's side only leaves the latest picture, and the thread draws it, four times a second at most;
pictures that nobody saw are skipped.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from rollout.text import clipped

FRAME_S = 0.25
"""The shortest time between two pictures: 4 Hz. Source: measured, a redraw costs 33-53 ms."""

CLOSE_WAIT_S = 1.0
"""How long `close` waits for the last picture. Our choice."""


class LiveView:
    """Shows the latest lines it was given, in place. Needs a terminal on standard error."""

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
        """How many lines the screen holds."""
        return self._console.height

    def show(self, lines: Sequence[str]) -> None:
        """Let this be the picture from now on. Never waits."""
        with self._changed:
            self._lines = lines
            self._changed.notify()

    def close(self) -> None:
        """Take the picture off the screen; idempotent."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(CLOSE_WAIT_S)

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
                    # cut here: the terminal's own sign for a cut is no ASCII, and escaped it would tear the picture
                    shown = [clipped(line, self._console.width) for line in lines or ()]
                    text = Text("\n".join(shown), no_wrap=True, overflow="crop")
                    self._live.update(text, refresh=True)
                    with self._changed:
                        self._changed.wait_for(lambda: self._closing, timeout=FRAME_S)
        except OSError:
            # The terminal is gone; the campaign goes on and the event log has everything.
            return
