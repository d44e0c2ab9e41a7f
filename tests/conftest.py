"""Fixtures all tests share."""

import pytest


@pytest.fixture
def anyio_backend():
    """The engine runs on asyncio, since aiohttp does."""
    return "asyncio"
