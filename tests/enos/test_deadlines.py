"""Many deadlines by one timer, in virtual time."""

import asyncio

import pytest

from rollout.enos.deadlines import Deadlines
from rollout.simulation.loop import run_virtual


async def block(deadlines, *, starts, lasts):
    """Enter at `starts` and stay for `lasts` seconds; return when and how it ended."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(starts)
    try:
        with deadlines.one():
            await asyncio.sleep(lasts)
    except TimeoutError:
        return loop.time(), "late"
    return loop.time(), "in time"


def test_each_block_has_its_own_deadline():
    """Those before it may have ended, or be late themselves."""

    async def scene():
        deadlines, began = Deadlines(10.0), asyncio.get_running_loop().time()
        plan = [(0.0, 99.0), (1.0, 2.0), (4.0, 99.0), (4.0, 9.0), (30.0, 99.0), (31.0, 1.0)]
        ends = await asyncio.gather(*(block(deadlines, starts=starts, lasts=lasts) for starts, lasts in plan))
        return [(round(at - began, 3), how) for at, how in ends]

    assert run_virtual(scene()) == [
        (10.0, "late"),
        (3.0, "in time"),
        (14.0, "late"),
        (13.0, "in time"),
        (40.0, "late"),
        (32.0, "in time"),
    ]


def test_a_task_goes_on_after_its_deadline():
    """The cancellation was ours and is taken back."""

    async def scene():
        deadlines = Deadlines(1.0)
        with pytest.raises(TimeoutError), deadlines.one():
            await asyncio.sleep(5)
        task = asyncio.current_task()
        with deadlines.one():
            await asyncio.sleep(0.5)
        return task.cancelling()

    assert run_virtual(scene()) == 0


@pytest.mark.parametrize("at", [0.5, 1.0])
def test_a_cancellation_from_outside_is_not_swallowed(at):
    """Before the deadline and at the same moment."""

    async def scene():
        deadlines = Deadlines(1.0)
        task = asyncio.ensure_future(block(deadlines, starts=0.0, lasts=5.0))
        asyncio.get_running_loop().call_later(at, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        return True

    assert run_virtual(scene())


def test_a_block_that_fails_by_itself_keeps_its_own_error():
    """Even if the deadline has just cancelled it."""

    async def scene():
        with Deadlines(1.0).one():
            try:
                await asyncio.sleep(5)
            except asyncio.CancelledError:
                raise ValueError("its own") from None

    with pytest.raises(ValueError, match="its own"):
        run_virtual(scene())


def test_a_block_that_takes_its_time_to_end_is_cancelled_once():
    """Another's deadline in the meantime is none of its business."""

    async def tidy_up_slowly():
        try:
            await asyncio.sleep(99)
        finally:
            await asyncio.sleep(5)

    async def slow(deadlines):
        with pytest.raises(TimeoutError), deadlines.one():
            await tidy_up_slowly()
        return asyncio.get_running_loop().time()

    async def scene():
        deadlines, began = Deadlines(10.0), asyncio.get_running_loop().time()
        ended, _ = await asyncio.gather(slow(deadlines), block(deadlines, starts=1.0, lasts=99.0))
        return round(ended - began, 3)

    assert run_virtual(scene()) == 15.0
