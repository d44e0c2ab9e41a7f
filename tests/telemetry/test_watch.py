"""A heartbeat a minute where nothing is redrawn; on a terminal the latest picture, drawn aside."""

import asyncio
import os
import pty

import pytest
import structlog

from rollout.core import events as e
from rollout.simulation.loop import run_virtual
from rollout.telemetry.live import LiveView
from rollout.telemetry.watch import HEARTBEAT_S, Watch
from rollout.views.progress import MARKS

STARTED = e.CampaignStarted(100.0, "demo", "d", 30, 3, 2)


@pytest.fixture(autouse=True)
def restored():
    """Leave structlog as it was for other tests."""
    yield
    structlog.reset_defaults()


def watched(state, view, seconds):
    """Return the records of a watch that was told `state` and looked on for so many seconds of virtual time."""

    async def main():
        with structlog.testing.capture_logs() as records:
            watch = Watch(lambda: 130.0, view, MARKS)
            if state is not None:
                watch.notice(STARTED, state)
            watch.say("stopping")
            showing = asyncio.create_task(watch.show())
            await asyncio.sleep(seconds)
            showing.cancel()
        return records

    return run_virtual(main())


def test_without_a_terminal_it_says_once_a_minute_that_it_lives(folded):
    """Two and a half minutes, two heartbeats, at the engine's time; none before there is a state to tell."""
    records = watched(folded(STARTED), None, 2.5 * HEARTBEAT_S)
    assert [(record["event"], record["at"], record["waiting"]) for record in records] == [
        ("heartbeat", 130.0, "the first wave's audit")
    ] * 2
    assert watched(None, None, 2.5 * HEARTBEAT_S) == []


def test_on_a_terminal_the_picture_is_left_for_the_drawer(folded):
    """Four times a second at most, no log line, and what was said stands below."""

    class Screen:
        rows = 24

        def __init__(self):
            self.pictures = []

        def show(self, lines):
            self.pictures.append(lines)

    screen = Screen()
    assert watched(folded(STARTED), screen, 1.1) == []
    assert len(screen.pictures) == 4
    assert screen.pictures[0][0].startswith("demo · wave 1 of 2")
    assert screen.pictures[0][-1] == "stopping"


def test_the_live_view_draws_the_latest_picture_and_leaves_the_screen_clean(monkeypatch):
    """What is shown reaches the terminal; after closing the cursor is there again."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        view = LiveView(color=False)
        view.show(["first picture"])
        drawn = b""
        while b"first picture" not in drawn:
            drawn += os.read(master, 4096)
        view.close()
        while b"\x1b[?25h" not in drawn:
            drawn += os.read(master, 4096)
        assert view.rows > 0
    os.close(master)


def test_a_line_wider_than_the_terminal_is_cut_in_ascii(monkeypatch):
    """A picture's line stays one line of the screen, and the sign of the cut is one that every stream can show."""
    master, slave = pty.openpty()
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(slave, "w", encoding="ascii", errors="backslashreplace") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        view = LiveView(color=False)
        view.show(["x" * 30, "short"])
        drawn = b""
        while b"short" not in drawn:
            drawn += os.read(master, 4096)
        view.close()
    os.close(master)
    assert b"x" * 17 + b"..." in drawn
    assert b"x" * 18 not in drawn
    assert b"u2026" not in drawn
