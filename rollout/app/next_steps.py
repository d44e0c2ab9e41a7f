"""What a person may do next with a campaign: the same advice after a run and in `status`.

Resuming does not pass a gate that failed: it would fail again. To let it pass is a decision of its own, which is
advised first.
"""

from __future__ import annotations

from typing import NamedTuple

from rollout.core.lifecycle import CampaignStatus
from rollout.core.state import State
from rollout.views.progress import current_wave, waits_for_approval
from rollout.views.steps import Purpose

CODES_SHOWN_MAX = 3
"""How many codes are advised to be looked up; most refused campaigns are refused with one code. Our choice."""


class NextStep(NamedTuple):
    """One thing to do. `purpose` says what for; `verb` is the command and `words` are its arguments.

    Verbs: `run` continues the campaign, `explain` shows what a code means, all others are orders to the campaign.
    """

    purpose: Purpose
    verb: str
    words: tuple[str, ...] = ()


GO_ON = NextStep(Purpose.GO_ON, "run")


def next_steps(state: State, *, alive: bool, ordered: bool = False) -> list[NextStep]:
    """Return the steps in the order of their use; none where the campaign is over or goes on by itself.

    Args:
        alive: a runner has the campaign now, so an order needs no run after it.
        ordered: orders wait to be taken, so running comes first.
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
            # only cancelling their tasks frees the places of devices that do not report
            return [
                NextStep(Purpose.GIVE_UP, "abort", ("--cancel-pending",)),
                *after,
            ]
        case _:
            return [] if alive else [GO_ON]


def _meanings(state: State) -> list[NextStep]:
    """Return one step for each code with which batches were refused or parked: look up what it means."""
    stuck = (state.batches[index].code for index in sorted({*state.rejected, *state.parked}))
    return [
        NextStep(Purpose.MEANING, "explain", (str(code),))
        for code in dict.fromkeys(stuck)
        if code is not None
    ][:CODES_SHOWN_MAX]
