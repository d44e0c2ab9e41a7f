"""Room on the disk, asked for before a campaign goes on."""

import shutil

import pytest

from rollout.errors import JournalError
from rollout.journal.space import BATCH_BYTES, require_space


def test_room_is_asked_for_by_the_jobs_to_go(tmp_path):
    """What is free is enough for some number of jobs; far beyond it the refusal says what is there and what it takes."""
    require_space(tmp_path, 0)
    more = shutil.disk_usage(tmp_path).free // BATCH_BYTES + 1
    with pytest.raises(
        JournalError, match=rf"MB are free, a campaign with {more:,} jobs to go needs"
    ) as caught:
        require_space(tmp_path, more)
    assert (caught.value.code, caught.value.exit_code, bool(caught.value.hint)) == ("R710", 1, True)
