"""The interpreter's garbage collector, set for a process that keeps what it builds.

A campaign's state only grows, and none of it is garbage; the default thresholds make the collector walk all of
it again and again (measured: a seventh of the create path's CPU). What exists when the engine starts is taken out
of its sight, and full walks become rare.
"""

from __future__ import annotations

import gc

__all__ = ["settle"]

YOUNG = 50_000
"""Allocations, less releases, between two looks at the youngest objects; Python's default is 700 to 2,000."""


def settle() -> None:
    """Take all that exists now for permanent. Call once, when everything is loaded and before the engine runs."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 50)
