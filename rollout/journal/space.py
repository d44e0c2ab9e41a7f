"""Room on the disk, checked before a campaign is run: when the disk is full in the middle of one, it can only stop.

Nothing is lost then: the write fails, nothing is sent, and the next run goes on. But a campaign that stops at night
waits for a person, and calls that were under way have to be looked up.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from rollout.errors import JournalError

BASE_BYTES = 16 << 20
"""Bytes for the write-ahead log and as much again to spare. SQLite moves the log into the file at 4 MiB, later while
somebody reads."""
BATCH_BYTES = 4 << 10
"""Bytes of journal and event log for one batch: measured 1.2 KB if all goes well, 2.2 KB if every second create fails."""


def bytes_needed(batches: int) -> int:
    """Return the room that so many batches need, in bytes."""
    return BASE_BYTES + batches * BATCH_BYTES


def require_space(directory: Path, batches: int) -> None:
    """Return if the disk of `directory`, which exists, has room for so many batches. Raises JournalError otherwise."""
    needed = bytes_needed(batches)
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise JournalError(
            f"{directory}: {free / 1e6:,.1f} MB are free, a campaign with {batches:,} jobs to go needs {needed / 1e6:,.1f} MB",
            code="R710",
            hint="make room, or choose another disk with --state-dir",
        )
