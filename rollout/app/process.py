"""What a process does before it holds secrets and signs calls."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
import time

from rollout.errors import SettingsError

PR_SET_DUMPABLE = 4
"""Source: linux/prctl.h; prctl(2)."""

CLOCK_IS_SET = 1_577_836_800.0
"""2020-01-01T00:00Z: a clock before it was never set, and every signature made with it is refused."""


def harden() -> None:
    """Leave nothing readable behind: private files, no core dump with secrets in it, no look into our memory."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if sys.platform == "linux":
        # a core limit of 0 does not bind a pipe to a crash handler, nor another process of the same user
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def check_clock() -> None:
    """Return if this machine's clock was ever set. Raises SettingsError otherwise."""
    if time.time() < CLOCK_IS_SET:
        raise SettingsError(
            f"the clock says {time.strftime('%Y-%m-%d')}", hint="set it; signatures carry the time"
        )
