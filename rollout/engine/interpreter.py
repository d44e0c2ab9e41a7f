"""Settings of the Python interpreter for an engine: one busy event loop whose data only grows.

*Garbage collection.* A campaign's state grows and none of it is garbage. With the default thresholds the collector
walks all of it again and again (measured: a seventh of the create path's CPU). Objects that exist when the engine
starts are taken out of the collector's sight, and full collections become rare.

*Threads.* The threads that write journal and log need the interpreter lock for moments; the event loop needs it all
the time. When the loop releases the lock (to hash a body, to read a socket), a waiting thread is woken, but the loop has
taken the lock again before the thread runs. By default the thread forces a switch only after it has waited 5 ms without
such a wake-up, and under load there never are 5 ms without one. Measured at 5,000 creates a second: three vain wake-ups
for each create, a tenth of its CPU. With a shorter switch interval it is one.
"""

from __future__ import annotations

import gc
import sys

YOUNG = 50_000
"""Allocations minus releases between two collections of the youngest objects; Python's default is 700 to 2,000."""
SWITCH_S = 0.00002
"""How long a thread waits before it forces a switch, in seconds; Python's default is 5 ms."""


def tune() -> None:
    """Set garbage collection and thread switching as described above, for the whole process and for good.

    Call once, when everything is loaded and before the engine runs.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 50)
    sys.setswitchinterval(SWITCH_S)
