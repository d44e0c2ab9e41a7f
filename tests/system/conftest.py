"""Where a system test works; everything started there is ended with the test."""

import pytest
from processes import Desk


@pytest.fixture
def desk(tmp_path):
    """A directory of the test's own, from which the program is started."""
    desk = Desk(tmp_path)
    yield desk
    desk.clear_away()
