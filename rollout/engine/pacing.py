"""How fast calls go out: a rate, a burst, and slowing down when the platform asks for it.

A leaky bucket (aiolimiter) keeps the rate. Its permit is taken at the last moment, between connecting and the first
byte, so that neither a slow commit nor a slow handshake makes calls go out in bunches. A bucket of capacity `burst`
that leaks `rate` a second lets `burst` calls through at once and then one every 1/rate seconds. With a burst of 1,
calls go out one by one, and time lost in a stall is not made up for. `MARGIN` keeps the number of calls that arrive in
a second below the rate, although calls spend unequal times on the way.

A process starts as if it had just sent a whole burst: its bucket is full. Flow control halves the rate; it comes back
by a tenth of the configured rate for every second without a refusal. Times here are real seconds, never those of an
accelerated clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from aiolimiter import AsyncLimiter

from rollout.core.campaign import CallLimit, Limits

MARGIN = 0.02
"""Share of the rate that is not used: room for calls that overtake each other on the way."""
AHEAD_S = 1.0
"""How long before its permit a call may connect; an idle connection may be closed by the gateway. Seconds."""
SLOWEST = 1 / 64
"""Least share of the configured rate that flow control can bring us down to."""
RECOVERY_S = 1.0
"""How long flow control must refuse nothing before the rate grows by a step. Seconds."""


class Pacer:
    """The pace of one kind of call. `rate`: calls a second that go out now; flow control lowers it for a while."""

    def __init__(self, limit: CallLimit) -> None:
        self._limit = limit
        self._waiting = 0
        self._held_until = 0.0
        self._last_at = float("-inf")
        self._changed_at = float("-inf")
        self._time: Callable[[], float] = time.monotonic
        self.rate = limit.rate
        self._bucket = self._full_bucket()

    def _full_bucket(self) -> AsyncLimiter:
        burst = self._limit.burst if self.rate == self._limit.rate else 1
        kept = self.rate * (1 - MARGIN)
        return AsyncLimiter(burst, burst / kept)

    async def start(self) -> None:
        """Begin as if the whole burst had just been sent. Call once, in the loop to be used, before all else."""
        # kept, since asking for the running loop costs a system call each time
        self._time = asyncio.get_running_loop().time
        await self._fill()

    async def _fill(self) -> None:
        await self._bucket.acquire(self._bucket.max_rate)
        self._last_at = self._time()

    async def join(self) -> None:
        """Wait until the permit of one more call is near enough to connect for it. Follow by `leave`."""
        # sleep until the time known now, then look again: flow control may have moved it
        while (wait := max(self._held_until, self._expected() - AHEAD_S) - self._time()) > 0:  # noqa: ASYNC110 - time is awaited
            await asyncio.sleep(wait)
        self._waiting += 1

    def _expected(self) -> float:
        ahead = self._waiting + 1 - (self._limit.burst - 1)
        return self._last_at + ahead / self.rate

    def leave(self) -> None:
        """End what `join` began, whether the permit was taken or not."""
        self._waiting -= 1

    async def permit(self) -> None:
        """Wait for the right to send one call now."""
        while True:
            while (wait := self._held_until - self._time()) > 0:  # noqa: ASYNC110 - time is awaited
                await asyncio.sleep(wait)
            bucket = self._bucket
            await bucket.acquire()
            now = self._time()
            if bucket is self._bucket and now >= self._held_until:
                self._last_at = now
                return

    async def slow_down(self, retry_after_s: float | None) -> None:
        """Halve the rate, since flow control refused a call, and send nothing for `retry_after_s` seconds if given."""
        # several calls under way are refused together: that halves the rate once
        if self._time() - self._changed_at >= RECOVERY_S:
            await self._change(max(self._limit.rate * SLOWEST, self.rate / 2))
        self._held_until = max(self._held_until, self._time() + (retry_after_s or 0.0))

    async def went_well(self) -> None:
        """Raise the rate towards the configured one, since the platform took a call; by one step a second at most."""
        if self.rate >= self._limit.rate:
            return
        if self._time() - max(self._changed_at, self._held_until) >= RECOVERY_S:
            await self._change(min(self._limit.rate, self.rate + self._limit.rate / 10))

    async def _change(self, rate: float) -> None:
        self.rate = rate
        self._changed_at = self._time()
        self._bucket = self._full_bucket()
        await self._fill()


@dataclass(frozen=True, slots=True)
class Pacers:
    """The pacers of one campaign: one for each kind of call that must not wait behind another kind.

    Made before the service and the runner. The service takes `read.permit` and `brake.permit`. The runner takes
    all three: it starts them, and tells them about flow control.

    A brake stops a job or cancels its tasks. It has the rate of reads and a pacer of its own, so that it does not
    wait when flow control has told the reads to come back later.
    """

    create: Pacer
    read: Pacer
    brake: Pacer

    @classmethod
    def of(cls, limits: Limits) -> Self:
        """Return new pacers with the rates of the plan's limits."""
        return cls(Pacer(limits.create), Pacer(limits.read), Pacer(limits.read))

    async def start(self) -> None:
        """Start every pacer. Call once, in the loop to be used, before the first call goes out."""
        for pacer in (self.create, self.read, self.brake):
            await pacer.start()
