"""Room on the disk: asked for before a campaign goes on, since in the middle of one it can only stop.

A full disk loses nothing: the write fails, nothing is sent, and the next run goes on. But a campaign that stops at night
waits for a person, and what was under way then has to be looked up.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from rollout.errors import JournalError

__all__ = ["bytes_needed", "require_space"]

BASE_BYTES = 16 << 20
"""The write-ahead log (4 MiB before SQLite folds it in, more while somebody reads) and as much again to spare."""
BATCH_BYTES = 4 << 10
"""Journal and event log for one batch: measured 1.2 KB where all goes well, 2.2 KB where every second create fails."""


def bytes_needed(batches: int) -> int:
    """Return the room that so many batches may take, in bytes."""
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
