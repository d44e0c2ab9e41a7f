"""Next steps as command lines that can be pasted."""

from __future__ import annotations

from rollout.app.campaigns import last_run
from rollout.app.next_steps import Step
from rollout.cli.command_line import about, command_line
from rollout.ports import Store


def run_line(store: Store, name: str) -> str:
    """Return the command line that goes on with the campaign: the one that ran it last, or that of its saved plan."""
    return command_line(*(last_run(store, name) or ("run", str(store.plan_path(name)))))


def step_line(step: Step, store: Store, name: str, run: str) -> str:
    """Return the command line of a step. `run` is the line that carries the campaign on."""
    match step.verb:
        case "run":
            return run
        case "explain":
            return command_line(step.verb, *step.words)
        case _:
            return about(store.address, name, step.verb, *step.words)
