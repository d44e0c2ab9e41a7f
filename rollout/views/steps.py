"""What an operator may do next, in words. Which steps help is decided in `rollout.app.next_steps`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final


class Purpose(StrEnum):
    """What a step is for."""

    GO_ON = "go_on"
    """Carry the campaign on."""
    THEN = "then"
    """Carry the campaign on, after the step before it."""
    OPEN_NEXT = "open_next"
    """Approve a wave, so that the next one opens."""
    PASS_GATE = "pass_gate"  # noqa: S105 - no password
    """Pass a gate that failed."""
    CAUSE_GONE = "cause_gone"
    """End a halt whose cause was repaired."""
    END_PAUSE = "end_pause"
    """End a pause."""
    GIVE_UP = "give_up"
    """End the campaign where the devices that have not begun never will."""
    MEANING = "meaning"
    """Read what a code means."""


PURPOSES: Final[Mapping[Purpose, str]] = {
    Purpose.GO_ON: "Go on with",
    Purpose.THEN: "Then",
    Purpose.OPEN_NEXT: "Let the next wave open with",
    Purpose.PASS_GATE: "To pass this gate all the same",
    Purpose.CAUSE_GONE: "Once the cause is gone",
    Purpose.END_PAUSE: "End the pause with",
    Purpose.GIVE_UP: "To end it without the devices that have not begun",
    Purpose.MEANING: "What {0} means",
}
"""What a step is for, in front of its command line. `{0}` is the first argument of the command."""


def purpose_text(purpose: Purpose, arguments: Sequence[str] = ()) -> str:
    """Return what a step is for, in words. `arguments` are those of the step's command."""
    return PURPOSES[purpose].format(*arguments)
