"""What an operator may do next with a campaign: the same advice after a run and in `status`.

Each step is a few words and a line to paste. A gate that failed is not passed by resuming, since it fails again:
that is a decision of its own, and comes first.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rollout.cli.command_line import about, command_line
from rollout.core.lifecycle import CampaignStatus
from rollout.core.state import State
from rollout.views.progress import current_wave, waits_for_approval

__all__ = ["Step", "next_steps"]

GO_ON = "Go on with"

CODES_TOLD_MAX = 3
"""Codes that are pointed at; a campaign that is refused is refused alike, mostly. Ours."""


class Step(NamedTuple):
    """One thing to do: what for, and the line that does it."""

    purpose: str
    line: str

    def __str__(self) -> str:
        return f"{self.purpose}:  {self.line}"


def next_steps(state: State, directory: Path, run: str, *, alive: bool, ordered: bool = False) -> list[Step]:
    """Return the steps in the order of their use; none where the campaign is over or goes on by itself.

    Args:
        run: the line that carries the campaign on.
        alive: a runner lives, so that orders need no run after them.
        ordered: orders wait to be taken, so that running comes before any other.
    """
    if state.closed:
        return []
    if ordered and not alive:
        return [Step(GO_ON, run)]
    after = [] if alive else [Step("Then", run)]
    wave = current_wave(state)
    if wave is not None and waits_for_approval(state):
        name = state.plan.waves[wave.index].name
        return [Step("Let the next wave open with", about(directory, "approve", "--wave", name)), *after]
    match state.status:
        case CampaignStatus.HALTED:
            resume = Step("Once the cause is gone", about(directory, "resume"))
            if state.halted_wave is None or not state.halted_by_gate:
                return [*_meanings(state), resume, *after]
            name = state.plan.waves[state.halted_wave].name
            approve = about(directory, "approve", "--wave", name)
            return [Step("To pass this gate all the same", approve), resume, *after]
        case CampaignStatus.PAUSED:
            return [Step("End the pause with", about(directory, "resume")), *after]
        case _ if state.stalled:
            # nothing but their cancellation gives back the places of devices that do not report
            end = about(directory, "abort", "--cancel-pending")
            return [Step("To end it without the devices that have not begun", end), *after]
        case _:
            return [] if alive else [Step(GO_ON, run)]


def _meanings(state: State) -> list[Step]:
    """Return where to read what the codes mean that batches were refused or left in doubt with, each once."""
    stuck = (state.batches[index].code for index in sorted({*state.rejected, *state.parked}))
    return [
        Step(f"What {code} means", command_line("explain", str(code)))
        for code in dict.fromkeys(stuck)
        if code is not None
    ][:CODES_TOLD_MAX]
