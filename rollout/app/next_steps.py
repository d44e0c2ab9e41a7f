"""What a person may do next with a campaign: the same advice after a run and in `status`.

A gate that failed is not passed by resuming, since it fails again: to pass it is a decision of its own, and is
advised first.
"""

from __future__ import annotations

from typing import NamedTuple

from rollout.core.lifecycle import CampaignStatus
from rollout.core.state import State
from rollout.views.progress import current_wave, waits_for_approval
from rollout.views.steps import Purpose

CODES_SHOWN_MAX = 3
"""Codes that are pointed at; a campaign that is refused is mostly refused with one code. Our choice."""


class NextStep(NamedTuple):
    """One thing to do. `purpose` says what for; `verb` is the command and `words` are its arguments.

    Verbs: `run` carries the campaign on, `explain` tells what a code means, all others are orders to the campaign.
    """

    purpose: Purpose
    verb: str
    words: tuple[str, ...] = ()


GO_ON = NextStep(Purpose.GO_ON, "run")


def next_steps(state: State, *, alive: bool, ordered: bool = False) -> list[NextStep]:
    """Return the steps in the order of their use; none where the campaign is over or goes on by itself.

    Args:
        alive: a runner carries the campaign out now, so that an order needs no run after it.
        ordered: orders wait to be taken, so that running comes before anything else.
    """
    if state.closed:
        return []
    if ordered and not alive:
        return [GO_ON]
    after = [] if alive else [NextStep(Purpose.THEN, "run")]
    wave = current_wave(state)
    if wave is not None and waits_for_approval(state):
        name = state.plan.waves[wave.index].name
        return [NextStep(Purpose.OPEN_NEXT, "approve", ("--wave", name)), *after]
    match state.status:
        case CampaignStatus.HALTED:
            resume = NextStep(Purpose.CAUSE_GONE, "resume")
            if state.halted_wave is None or not state.halted_by_gate:
                return [*_meanings(state), resume, *after]
            name = state.plan.waves[state.halted_wave].name
            return [NextStep(Purpose.PASS_GATE, "approve", ("--wave", name)), resume, *after]
        case CampaignStatus.PAUSED:
            return [NextStep(Purpose.END_PAUSE, "resume"), *after]
        case _ if state.stalled:
            # nothing but their cancellation gives back the places of devices that do not report
            return [
                NextStep(Purpose.GIVE_UP, "abort", ("--cancel-pending",)),
                *after,
            ]
        case _:
            return [] if alive else [GO_ON]


def _meanings(state: State) -> list[NextStep]:
    """Return where to read what the codes mean that batches were refused or left in doubt with, each once."""
    stuck = (state.batches[index].code for index in sorted({*state.rejected, *state.parked}))
    return [
        NextStep(Purpose.MEANING, "explain", (str(code),))
        for code in dict.fromkeys(stuck)
        if code is not None
    ][:CODES_SHOWN_MAX]
