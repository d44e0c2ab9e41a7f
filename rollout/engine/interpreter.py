"""The Python interpreter, set for what the engine is: one busy event loop that keeps what it builds.

*Garbage.* A campaign's state only grows, and none of it is garbage; the default thresholds make the collector walk all of
it again and again (measured: a seventh of the create path's CPU). What exists when the engine starts is taken out
of its sight, and full walks become rare.

*Threads.* The writers of journal and log need the interpreter for moments, while the loop uses it all the time. A loop
that lets go of it (to hash a body, to read a socket) wakes whoever waits, and has it back before they are awake; by
default they insist only after 5 ms without such a false alarm, and under load there never are 5 ms without one. Measured at
5,000 creates a second: three futile wakings a create, a tenth of its CPU. Told to insist sooner, they need one.
"""

from __future__ import annotations

import gc
import sys

YOUNG = 50_000
"""Allocations, less releases, between two looks at the youngest objects; Python's default is 700 to 2,000."""
SWITCH_S = 0.00002
"""How long a thread waits before it insists on having the interpreter, in seconds; Python's default is 5 ms."""


def settle() -> None:
    """Take all that exists now for permanent, and let threads insist; for the whole process and for good.

    Call once, when everything is loaded and before the engine runs.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 50)
    sys.setswitchinterval(SWITCH_S)
