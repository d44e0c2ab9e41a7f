"""Next steps as command lines that can be pasted."""

from __future__ import annotations

from pathlib import Path

from rollout.app.campaigns import PLAN_NAME, last_run
from rollout.app.next_steps import Step
from rollout.cli.command_line import about, command_line


def run_line(directory: Path) -> str:
    """Return the command line that goes on with the campaign: the one that ran it last, or that of its saved plan."""
    return command_line(*(last_run(directory) or ("run", str(directory / PLAN_NAME))))


def step_line(step: Step, directory: Path, run: str) -> str:
    """Return the command line of a step. `run` is the line that carries the campaign on."""
    match step.verb:
        case "run":
            return run
        case "explain":
            return command_line(step.verb, *step.words)
        case _:
            return about(directory, step.verb, *step.words)
