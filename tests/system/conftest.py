"""The directory that a system test works in; the processes started there end with the test."""

import pytest
from processes import Desk


@pytest.fixture
def desk(tmp_path):
    """A directory for one test, from which it starts the program."""
    desk = Desk(tmp_path)
    yield desk
    desk.clear_away()
