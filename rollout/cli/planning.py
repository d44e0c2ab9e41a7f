"""From a plan file, or a saved plan, to the saved plan of a campaign's directory.

A plan is compiled beside the campaign and compared with what is there before it takes its place: a campaign
that was begun keeps its plan for good, and a plan with the same digest *is* that plan.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from rollout.cli.campaigns import PLAN_NAME, check_same_plan, has_journal
from rollout.intake.document import PlanDocument
from rollout.intake.saved_plan import SavedPlan, compile_plan, open_saved_plan

__all__ = ["Prepared", "open_or_compile"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A saved plan in its campaign's directory. `document` is None where a saved plan was given."""

    saved: SavedPlan
    directory: Path
    document: PlanDocument | None

    @property
    def path(self) -> Path:
        """The saved plan's file."""
        return self.directory / PLAN_NAME


def open_or_compile(
    plan: Path, state_dir: Path, *, devices: tuple[str, ...] = (), seed: int | None = None
) -> Prepared:
    """Return the saved plan that `plan` is (it is called `plan.json`) or becomes.

    Raises: PlanError for a faulty document; CampaignBusy if the campaign was begun with another plan.
    """
    if plan.name == PLAN_NAME:
        return Prepared(open_saved_plan(plan), plan.parent, None)
    from rollout.intake.plan_file import load_plan_file  # noqa: PLC0415 - a saved plan needs no models

    document = load_plan_file(plan, fleet_given=bool(devices))
    if seed is not None:
        document = replace(document, seed=seed)
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory = state_dir / document.campaign.id
    # In the state directory, so that the finished files only need to be renamed.
    with tempfile.TemporaryDirectory(prefix=".planning-", dir=state_dir) as scratch:
        compiled = compile_plan(document, Path(scratch), devices=devices or None)
        if has_journal(directory):
            begun = open_saved_plan(directory / PLAN_NAME)
            check_same_plan(compiled.plan, begun.plan.digest, directory)
            return Prepared(begun, directory, document)
        directory.mkdir(mode=0o700, exist_ok=True)
        # The plan last: it names what the others hold.
        for path in sorted(Path(scratch).iterdir(), key=lambda path: path.name == PLAN_NAME):
            shutil.move(path, directory / path.name)
    return Prepared(open_saved_plan(directory / PLAN_NAME), directory, document)
