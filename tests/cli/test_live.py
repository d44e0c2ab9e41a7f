"""The live view: the latest lines, drawn by a thread, on a real terminal."""

import os
import pty

from rollout.cli.live import LiveView


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
    """A line is cut to the terminal's width, and the cut is marked in ASCII, which every stream can show."""
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
