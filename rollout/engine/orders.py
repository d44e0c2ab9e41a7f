"""What becomes of an order once a runner has taken it."""

from __future__ import annotations

from typing import assert_never

from rollout.core import events as ev
from rollout.core.lifecycle import CampaignStatus
from rollout.core.orders import Abort, Approve, Order, Pause, Resume
from rollout.core.state import State


def fact_of(order: Order, state: State, now: float) -> ev.Event | None:
    """Return the event that the order makes true at `now`, or None where it changes nothing any more."""
    if state.closed or (state.status is CampaignStatus.ABORTING and not isinstance(order, Abort)):
        return None
    match order:
        case Pause():
            return ev.CampaignPaused(now, order.by, order.reason, order.id)
        case Resume():
            return ev.CampaignResumed(now, order.by, order.reason, order.id)
        case Abort():
            return ev.CampaignAbortRequested(
                now, order.by, order.reason, order.stop_jobs, order.cancel_pending, order.id
            )
        case Approve():
            waves = state.plan.waves
            wave = next((wave.index for wave in waves if wave.name == order.wave), None)
            return None if wave is None else ev.ApprovalGiven(now, wave, order.by, order.reason, order.id)
        case _:
            assert_never(order)
