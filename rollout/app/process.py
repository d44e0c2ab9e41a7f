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
"""2020-01-01T00:00Z. A clock that shows an earlier time was never set, and signatures made with it are refused."""


def harden() -> None:
    """Protect secrets: files private to the user, no core dump, no access to this process's memory."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if sys.platform == "linux":
        # a core limit of 0 does not bind a pipe to a crash handler, nor another process of the same user
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def check_clock() -> None:
    """Raise SettingsError if this machine's clock was never set."""
    if time.time() < CLOCK_IS_SET:
        raise SettingsError(
            f"the clock says {time.strftime('%Y-%m-%d')}", hint="set it; signatures carry the time"
        )
