"""The loop whose clock jumps."""

import asyncio

import anyio
import pytest

from rollout.simulation.loop import Deadlock, Livelock, SimLoop


@pytest.fixture
def loop():
    loop = SimLoop()
    yield loop
    loop.close()


def test_three_days_pass_at_once(loop):
    """Sleeping takes virtual time only, however long; the loop's clock is where the sleeper asked it to be."""
    loop.run(asyncio.sleep(3 * 86_400))
    assert loop.time() == pytest.approx(3 * 86_400)


def test_timers_fire_in_their_order(loop):
    """Whatever the order of setting them, callbacks run in the order of their times, each at its own."""
    heard = []
    for at in (5.0, 1.0, 3.0):
        loop.call_at(at, lambda at=at: heard.append((at, loop.time())))
    loop.run(asyncio.sleep(6))
    assert [at for at, _ in heard] == [1.0, 3.0, 5.0]
    assert all(now == pytest.approx(at, abs=1e-4) for at, now in heard)


def test_deadlock_is_an_error(loop):
    """A task that waits for an event that nobody can set raises Deadlock instead of hanging."""
    with pytest.raises(Deadlock):
        loop.run(_for_ever())


async def _for_ever():
    await asyncio.get_running_loop().create_future()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_livelock_is_an_error(loop, monkeypatch):
    """A task that spins without letting time pass is stopped."""
    monkeypatch.setattr("rollout.simulation.loop.TURNS_MAX", 1000)

    async def spin():
        while True:  # noqa: ASYNC110 - spinning is the point
            await asyncio.sleep(0)

    with pytest.raises(Livelock):
        loop.run(spin())


def test_a_timer_a_rounding_error_ahead_does_not_spin(loop):
    """A timer that sets itself anew because the time is not quite there gets there."""
    turns = []

    def not_yet():
        turns.append(loop.time())
        if loop.time() < 5.0:
            loop.call_at(5.0 - 1e-9, not_yet)

    loop.call_at(5.0 - 1e-9, not_yet)
    loop.run(asyncio.sleep(6))
    assert len(turns) <= 3


def test_executor_runs_on_the_spot(loop):
    """There are no threads: what is handed to an executor is done when the call returns, errors included."""
    assert loop.run_in_executor(None, divmod, 7, 2).result() == (3, 1)
    assert isinstance(loop.run_in_executor(None, divmod, 7, 0).exception(), ZeroDivisionError)


def test_anyio_lives_here(loop):
    """Task groups and time-outs of anyio keep virtual time too."""

    async def main():
        with anyio.move_on_after(100) as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(asyncio.sleep, 1000)
        return scope.cancelled_caught

    assert loop.run(main())
    assert loop.time() == pytest.approx(100, abs=1e-3)


def test_a_stall_lets_time_pass_over_what_is_ready(loop):
    """A paused process finds its timers overdue when it goes on."""

    async def main():
        began = loop.time()
        task = asyncio.ensure_future(asyncio.sleep(1))
        await asyncio.sleep(0)
        loop.stall(30)
        await task
        return loop.time() - began

    assert 30 <= loop.run(main()) < 30.1
