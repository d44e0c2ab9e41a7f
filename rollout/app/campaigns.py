"""One campaign's directory, seen from outside: its plan, its journal so far, who runs it, what waits for them.

    STATE_DIR/CAMPAIGN/
      plan.json, plan.devices   the saved plan
      journal.db, journal.lock  what happened, and who holds it
      inbox/                    orders not taken yet
      events.ndjson             the log
      last-run                  the command line of the last run, to be shown and repeated
      emulator.ndjson           the in-process emulator's own memory

Everything here only reads, so it works while a runner lives and after it died.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from rollout.core.events import CampaignStarted
from rollout.core.fold import fold
from rollout.core.plan import Plan
from rollout.core.state import State
from rollout.engine.orders import Inbox, Order
from rollout.errors import CampaignBusy, NoCampaign
from rollout.intake.saved_plan import SavedPlan, open_saved_plan
from rollout.journal.lock import Holder, read_holder
from rollout.journal.sqlite import JOURNAL_NAME, read_events

PLAN_NAME = "plan.json"
EVENT_LOG = "events.ndjson"
EMULATOR_LOG = "emulator.ndjson"
LAST_RUN = "last-run"


def has_journal(directory: Path) -> bool:
    """Return whether the campaign was ever run."""
    return (directory / JOURNAL_NAME).exists()


def find_campaign(state_dir: Path, name: str | None) -> Path:
    """Return the directory of the campaign called `name`, or of the only one there is.

    Raises: NoCampaign, naming the campaigns there are.
    """
    known = (
        sorted(path.parent.name for path in state_dir.glob(f"*/{PLAN_NAME}")) if state_dir.is_dir() else []
    )
    if name is None and len(known) == 1:
        name = known[0]
    hint = f"campaigns in {state_dir}: {', '.join(known[:20])}" if known else f"{state_dir} holds no campaign"
    if name is None:
        raise NoCampaign("which campaign?", hint=hint)
    # The name becomes a path: nothing but a campaign's id may pass.
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", name) or name not in known:
        raise NoCampaign(f"no campaign {name!r}", hint=hint)
    return state_dir / name


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A campaign at one moment.

    `holder` is the runner that carries the campaign out now, None if none does. `orders` were given and no runner
    has taken them yet, oldest first.
    """

    directory: Path
    plan: Plan
    state: State
    holder: Holder | None
    orders: tuple[Order, ...]


class Reader:
    """Follows one campaign: each `look` folds what the journal has gained."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.saved: SavedPlan = open_saved_plan(directory / PLAN_NAME)
        self._state = State.initial(self.saved.plan)
        self._seq = 0

    def look(self) -> Snapshot:
        """Return the campaign as it stands. Raises JournalError, or CampaignBusy if plan and journal differ."""
        # Asked first: a runner that ends between the two looks has at least written all it will.
        holder = read_holder(self.directory)
        orders = tuple(order for _, order in Inbox(self.directory).pending())
        if has_journal(self.directory):
            for seq, event in read_events(self.directory, self._seq):
                if isinstance(event, CampaignStarted):
                    check_same_plan(self.saved.plan, event.plan_digest, self.directory)
                fold(self._state, event)
                self._seq = seq
        return Snapshot(self.directory, self.saved.plan, self._state, holder, orders)


def check_same_plan(plan: Plan, digest: str, directory: Path) -> None:
    """Refuse a plan that is not the one the campaign was begun with. Raises CampaignBusy with both digests."""
    if plan.digest != digest:
        raise CampaignBusy(
            f"campaign {plan.campaign.id} exists with another plan: begun with sha256 {digest}, now {plan.digest}",
            code="R601",
            hint=f"go on with {directory / PLAN_NAME}, or give the changed plan another id",
        )


def remember_run(directory: Path, arguments: list[str]) -> None:
    """Keep the command line, so that others can show how to go on. No flag can hold a secret."""
    (directory / LAST_RUN).write_text(json.dumps(arguments), encoding="utf-8")


def last_run(directory: Path) -> list[str] | None:
    """Return the arguments of the command line that ran the campaign last; None if none did, or cannot be read."""
    try:
        return [str(word) for word in json.loads((directory / LAST_RUN).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return None
