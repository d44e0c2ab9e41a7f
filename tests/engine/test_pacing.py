"""The pace of calls, in virtual time."""

import asyncio
from itertools import pairwise

import pytest

from rollout.core.campaign import CallLimit
from rollout.engine.pacing import AHEAD_S, MARGIN, Pacer
from rollout.simulation.loop import run_virtual


async def send(pacer, calls, *, stall=None):
    """Take `calls` permits as fast as they come; return their times."""
    loop = asyncio.get_running_loop()
    await pacer.start()
    times = []

    async def one():
        await pacer.join()
        await pacer.permit()
        pacer.leave()
        times.append(loop.time())

    if stall is not None:
        loop.call_later(1.0, lambda: setattr(loop, "now", loop.now + stall))
    await asyncio.gather(*(one() for _ in range(calls)))
    return times


def fullest_second(times):
    return max(sum(start <= t < start + 1.0 for t in times) for start in times)


@pytest.mark.parametrize("rate", [0.5, 2.0, 5.0, 50.0, 200.0])
def test_no_second_holds_more_calls_than_the_rate(rate):
    """Burst 1: at most `rate` calls in any second, and close to that many on average."""
    times = run_virtual(send(Pacer(CallLimit(rate, in_flight=4)), 100))
    assert fullest_second(times) <= max(1, rate)
    achieved = 99 / (times[-1] - times[0])
    assert achieved == pytest.approx(rate * (1 - MARGIN), rel=0.01)


def test_a_burst_is_the_only_excess():
    """Burst 5 at 10/s: at most 15 in any second, five of them at once."""
    times = run_virtual(send(Pacer(CallLimit(10.0, burst=5)), 60))
    assert fullest_second(times) <= 15


def test_a_stalled_process_does_not_make_up_for_lost_time():
    """After two seconds of standing still the calls come one by one again."""
    times = run_virtual(send(Pacer(CallLimit(10.0)), 60, stall=2.0))
    assert fullest_second(times) <= 10


def test_a_new_life_starts_as_if_it_had_just_sent():
    """The first call waits a whole gap: restarts in a row cannot exceed the rate."""
    times = run_virtual(send(Pacer(CallLimit(2.0)), 1))
    assert times[0] == pytest.approx(0.5 / (1 - MARGIN), rel=1e-4)


def test_throttling_halves_the_rate_and_waits_as_long_as_asked():
    """Several refusals at once are one message; nothing leaves before Retry-After is over."""

    async def main():
        loop = asyncio.get_running_loop()
        pacer = Pacer(CallLimit(50.0))
        await send(pacer, 5)
        before = loop.time()
        for _ in range(4):
            await pacer.slow_down(7.0)
        assert pacer.rate == 25.0
        await pacer.permit()
        assert loop.time() - before >= 7.0

    run_virtual(main())


def test_the_rate_recovers_step_by_step_and_never_above_the_configured_one():
    """A tenth of the configured rate for each second that goes well."""

    async def main():
        pacer = Pacer(CallLimit(10.0))
        await pacer.start()
        rates = []
        await pacer.slow_down(None)
        for _ in range(200):
            await pacer.permit()
            await pacer.went_well()
            rates.append(pacer.rate)
        assert rates[0] == 5.0
        assert all(b - a in {0.0, 1.0} for a, b in pairwise(rates))
        assert rates[-1] == 10.0

    run_virtual(main())


def test_throttling_without_end_has_a_floor():
    """However often it is refused, the pacer keeps a 64th of the configured rate."""

    async def main():
        pacer = Pacer(CallLimit(64.0))
        await pacer.start()
        for _ in range(20):
            await pacer.slow_down(2.0)
            await asyncio.sleep(2.0)
        assert pacer.rate == 1.0

    run_virtual(main())


def test_a_call_connects_only_when_its_permit_is_near():
    """At two calls a minute nobody holds an idle connection for half a minute."""

    async def main():
        loop = asyncio.get_running_loop()
        pacer = Pacer(CallLimit(1 / 30))
        await pacer.start()
        held = []
        for _ in range(3):
            await pacer.join()
            connected = loop.time()
            await pacer.permit()
            pacer.leave()
            held.append(loop.time() - connected)
        assert max(held[1:]) <= AHEAD_S + 1.0

    run_virtual(main())
