"""Fixtures all tests share, and the seed of what chance decides in them."""

import os
import random

import pytest

SEED = "ROLLOUT_SEED"
"""Tests that draw at random take their seed from this variable; without it every run has another one."""


def pytest_configure(config):
    """Choose the seed before any worker starts, so that all of them inherit it."""
    os.environ.setdefault(SEED, str(random.SystemRandom().randrange(10**9)))


def pytest_terminal_summary(terminalreporter):
    """Say how to draw the same again."""
    terminalreporter.write_line(f"drawn with {SEED}={os.environ[SEED]}")


@pytest.fixture
def seed():
    """The seed of this run."""
    return int(os.environ[SEED])


@pytest.fixture
def anyio_backend():
    """The engine runs on asyncio, since aiohttp does."""
    return "asyncio"
