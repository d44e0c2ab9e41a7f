"""Next steps as command lines that a user can paste."""

from __future__ import annotations

from collections.abc import Iterable

from rollout.app.campaigns import last_run
from rollout.app.next_steps import NextStep
from rollout.cli.command_line import about, command_line
from rollout.ports import Store
from rollout.views.status import StepView
from rollout.views.steps import purpose_text


def run_line(store: Store, name: str) -> str:
    """Return the command line that continues the campaign: the last one that ran it, else one for its saved plan."""
    return command_line(*(last_run(store, name) or ("run", str(store.plan_path(name)))))


def step_views(steps: Iterable[NextStep], store: Store, name: str, run: str) -> list[StepView]:
    """Return each step with its words and its command line. `run` is the command line that continues the campaign."""
    return [StepView(purpose_text(step.purpose, step.words), _line(step, store, name, run)) for step in steps]


def _line(step: NextStep, store: Store, name: str, run: str) -> str:
    match step.verb:
        case "run":
            return run
        case "explain":
            return command_line(step.verb, *step.words)
        case _:
            return about(store.address, name, step.verb, *step.words)
