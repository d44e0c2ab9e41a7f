"""Waiting until a campaign has come as far as somebody wants: finished, at an approval, or past a wave's gate."""

from __future__ import annotations

import time
from enum import StrEnum

from rollout.app.campaigns import CampaignReader, Snapshot
from rollout.core.lifecycle import CampaignStatus, WaveStatus
from rollout.core.state import State
from rollout.errors import WrongArgument
from rollout.views.progress import waits_for_approval

GOAL_POLL_S = 0.5
"""How often to look, in real seconds; the engine looks for orders as often. Our choice."""


class Waited(StrEnum):
    """How the waiting ended."""

    REACHED = "reached"
    UNREACHABLE = "unreachable"
    FOR_A_PERSON = "for a person"
    TIMED_OUT = "timed out"
    NO_RUNNER = "no runner"


def wait_for(goal: str, reader: CampaignReader, timeout_s: float | None) -> tuple[Waited, Snapshot]:
    """Wait until the goal is reached or can no longer be reached; return which, and the campaign as last seen.

    Returns TIMED_OUT when the time is over, or FOR_A_PERSON if the campaign then waits for a person. Without a time limit,
    returns NO_RUNNER as soon as no runner lives, since nothing would ever change.

    Args:
        goal: `finished`, `approval`, or `wave:NAME`.
        timeout_s: real seconds to wait at most; None has no limit.
    Raises: WrongArgument for another goal; JournalError, CampaignBusy.
    """
    until = None if timeout_s is None else time.monotonic() + timeout_s
    seen = reader.look()
    _check_goal(goal, seen.state)
    while (result := _result(goal, seen)) is None:
        if until is None and seen.holder is None:
            return Waited.NO_RUNNER, seen
        if until is not None and time.monotonic() >= until:
            return Waited.FOR_A_PERSON if waits_for_person(seen.state) else Waited.TIMED_OUT, seen
        time.sleep(GOAL_POLL_S)
        seen = reader.look()
    return result, seen


def waits_for_person(state: State) -> bool:
    """Return whether the campaign goes on only after a person's order."""
    stands = state.status in {CampaignStatus.PAUSED, CampaignStatus.HALTED}
    return stands or state.stalled or waits_for_approval(state)


def _check_goal(goal: str, state: State) -> None:
    waves = [f"wave:{wave.name}" for wave in state.plan.waves]
    if goal not in ("finished", "approval", *waves):
        raise WrongArgument("for", f"{goal!r} is not finished, approval or one of {', '.join(waves)}")


def _result(goal: str, seen: Snapshot) -> Waited | None:
    """Return REACHED, or UNREACHABLE if the goal can no longer be reached; None while that is open."""
    state = seen.state
    finished = state.status is CampaignStatus.FINISHED
    over = state.status is CampaignStatus.ABORTED or (
        state.status is CampaignStatus.HALTED and seen.holder is None
    )
    if goal == "finished":
        reached = finished
    elif goal == "approval":
        reached = waits_for_approval(state)
        over = over or finished
    else:
        name = goal.removeprefix("wave:")
        wave = next(wave for wave in state.waves if state.plan.waves[wave.index].name == name)
        reached = wave.status in {WaveStatus.PASSED, WaveStatus.FINISHED}
    return Waited.REACHED if reached else Waited.UNREACHABLE if over else None
