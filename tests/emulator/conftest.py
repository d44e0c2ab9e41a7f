"""Fixtures: a clock that moves only when a test moves it, and a server on a free port."""

from contextlib import asynccontextmanager

import pytest
from emulator_client import Client, new_session

from rollout.emulator.http.server import EmulatorConfig, serve


class HandClock:
    """A clock that stands still between calls of `pass_s`."""

    def __init__(self, now=1_000_000.0):
        self.now = now

    def __call__(self):
        return self.now

    def pass_s(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def emulator(clock):
    """Starts a server for the length of a block, with a client that has a token."""

    @asynccontextmanager
    async def start(*, log_in=True, **settings):
        async with serve(EmulatorConfig(**settings), clock) as running, new_session() as session:
            client = Client(session, running.url)
            if log_in:
                await client.log_in()
            yield running, client

    return start
