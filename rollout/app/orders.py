"""What a person asks of a campaign: pause, resume, approve, abort.

An order waits with the campaign until a runner takes it. A living runner takes it within a second; without one it
is taken first when the campaign is run again.
"""

from __future__ import annotations

import getpass
import socket
import time

from rollout.app.campaigns import Snapshot
from rollout.core.lifecycle import CampaignStatus
from rollout.core.orders import Order
from rollout.errors import OrderRefused, WrongArgument
from rollout.text import safe

TAKEN_WAIT_S = 5.0
"""How long to wait for a living runner to take an order; it looks twice a second. Our choice."""

TAKEN_POLL_S = 0.05
"""How often to look whether the order was taken. Our choice."""

TEXT_MAX = 500
"""Characters of a reason or comment. Our choice."""


def who() -> str:
    """Return who gives an order here: `ana@ops-1`."""
    return safe(f"{user()}@{socket.gethostname()}")


def user() -> str:
    """Return the name of this process's user, `somebody` where it has none, as in a container."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"


def reason_text(text: str) -> str:
    """Return a reason or comment as it is kept. Raises WrongArgument where it is too long."""
    if len(text) > TEXT_MAX:
        raise WrongArgument("", f"at most {TEXT_MAX} characters of reason or comment")
    return safe(text)


def check_steerable(seen: Snapshot) -> None:
    """Raise OrderRefused if the campaign cannot be given orders: it was never run, or is over."""
    if seen.state.status is CampaignStatus.NEW:
        raise OrderRefused(f"{seen.plan.campaign.id} was never run")
    if seen.state.closed:
        raise OrderRefused(f"{seen.plan.campaign.id} is {seen.state.status.value}; nothing can change that")


def wave_number(seen: Snapshot, name: str) -> int:
    """Return the index of the wave called `name`. Raises WrongArgument where there is none."""
    names = [planned.name for planned in seen.plan.waves]
    if name not in names:
        raise WrongArgument("wave", f"no wave {name!r}; there are {', '.join(names)}")
    return names.index(name)


def give(seen: Snapshot, order: Order) -> bool:
    """Leave the order with the campaign; return whether a runner took it within a few seconds.

    Returns False at once where no runner lives. Raises JournalError where the order cannot be kept.
    """
    seen.store.post_order(seen.name, order)
    return seen.holder is not None and _is_taken(seen, order)


def _is_taken(seen: Snapshot, order: Order) -> bool:
    until = time.monotonic() + TAKEN_WAIT_S
    while time.monotonic() < until:
        if all(waiting.id != order.id for waiting in seen.store.pending_orders(seen.name)):
            return True
        time.sleep(TAKEN_POLL_S)
    return False
