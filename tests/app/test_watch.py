"""Without a screen a heartbeat is logged every minute; a screen is given the latest lines."""

import asyncio

import pytest
import structlog
from support.watched import make_plan, state_after

from rollout.app.watch import HEARTBEAT_S, Watch
from rollout.core import events as e
from rollout.simulation.loop import run_virtual
from rollout.views.progress import MARKS

STARTED = e.CampaignStarted(100.0, "demo", "d", 30, 3, 2)


@pytest.fixture(autouse=True)
def restored():
    """Leave structlog as it was for other tests."""
    yield
    structlog.reset_defaults()


def watched(state, view, seconds):
    """Return the log records of a watch that was given `state` and ran for so many seconds of virtual time."""

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


def test_without_a_terminal_it_says_once_a_minute_that_it_lives():
    """Two and a half minutes, two heartbeats, at the engine's time; none before there is a state."""
    records = watched(state_after(make_plan(), STARTED), None, 2.5 * HEARTBEAT_S)
    assert [(record["event"], record["at"], record["waiting"]) for record in records] == [
        ("heartbeat", 130.0, "the first wave's audit")
    ] * 2
    assert watched(None, None, 2.5 * HEARTBEAT_S) == []


def test_on_a_terminal_the_picture_is_left_for_the_drawer():
    """Lines come four times a second at most, nothing is logged, and the message stands below the lines."""

    class Screen:
        rows = 24

        def __init__(self):
            self.pictures = []

        def show(self, lines):
            self.pictures.append(lines)

    screen = Screen()
    assert watched(state_after(make_plan(), STARTED), screen, 1.1) == []
    assert len(screen.pictures) == 4
    assert screen.pictures[0][0].startswith("demo · wave 1 of 2")
    assert screen.pictures[0][-1] == "stopping"
