"""Orders: what a person asks of a campaign. A store keeps an order until a runner has taken it.

Each order has an id of its own. The fact that comes of an order carries the id, so an order that is found again after
a crash counts once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import uuid4


def _new_id() -> str:
    return uuid4().hex


@dataclass(frozen=True, slots=True)
class Pause:
    """Create no more jobs until the campaign is resumed."""

    by: str
    reason: str = ""
    id: str = field(default_factory=_new_id)


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on after a pause or a halt."""

    by: str
    reason: str = ""
    id: str = field(default_factory=_new_id)


@dataclass(frozen=True, slots=True)
class Approve:
    """Let the gate of the wave called `wave` open."""

    by: str
    wave: str
    reason: str = ""
    id: str = field(default_factory=_new_id)


@dataclass(frozen=True, slots=True)
class Abort:
    """End the campaign for good.

    `stop_jobs`: stop its jobs. `cancel_pending`: cancel the tasks of devices that have not begun.
    """

    by: str
    reason: str = ""
    stop_jobs: bool = False
    cancel_pending: bool = False
    id: str = field(default_factory=_new_id)


Order = Pause | Resume | Approve | Abort


def verb_of(order: Order) -> str:
    """Return the order's name for people and for programs: `pause`, `resume`, `approve`, `abort`."""
    return type(order).__name__.lower()
