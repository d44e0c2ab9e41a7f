"""Where a campaign stands, seen from outside: its plan, its journal so far, who runs it, which orders wait.

Everything here only reads, so it works while a runner lives and after it died.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from rollout.core.events import CampaignStarted
from rollout.core.fold import fold
from rollout.core.orders import Order
from rollout.core.plan import Plan
from rollout.core.state import State
from rollout.errors import CampaignBusy, NoCampaign
from rollout.intake.saved_plan import SavedPlan, open_saved_plan
from rollout.ports import Holder, Store

NAMES_SHOWN_MAX = 20
"""How many known campaigns an error names when the one asked for does not exist. Ours."""


def find_campaign(store: Store, name: str | None) -> str:
    """Return the name of the campaign called `name`, or of the only one there is.

    Raises: NoCampaign, naming the campaigns there are.
    """
    known = store.campaigns()
    if name is None and len(known) == 1:
        name = known[0]
    hint = f"{store.address} holds no campaign"
    if known:
        hint = f"campaigns in {store.address}: {', '.join(known[:NAMES_SHOWN_MAX])}"
    if name is None:
        raise NoCampaign("which campaign?", hint=hint)
    # no name but a campaign's id reaches the store
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", name) or name not in known:
        raise NoCampaign(f"no campaign {name!r}", hint=hint)
    return name


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A campaign at one moment.

    `holder` is the runner that has the campaign now, None if there is none. `orders` are those that no runner has taken
    yet, oldest first.
    """

    store: Store
    name: str
    plan: Plan
    state: State
    holder: Holder | None
    orders: tuple[Order, ...]


class CampaignReader:
    """Follows one campaign: each `look` folds what the journal has gained since the last one."""

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.name = name
        self.saved: SavedPlan = open_saved_plan(store.plan_path(name))
        self._state = State.initial(self.saved.plan)
        self._seq = 0

    def look(self) -> Snapshot:
        """Return the campaign as it stands; its `state` is changed by the next look.

        Raises: JournalError, or CampaignBusy if plan and journal differ.
        """
        # Asked first: a runner that ends between the two looks has at least written all it will.
        holder = self.store.holder(self.name)
        orders = tuple(self.store.pending_orders(self.name))
        for seq, event in self.store.events(self.name, self._seq):
            if isinstance(event, CampaignStarted):
                check_same_plan(self.saved.plan, event.plan_digest, self.store, self.name)
            fold(self._state, event)
            self._seq = seq
        return Snapshot(self.store, self.name, self.saved.plan, self._state, holder, orders)


def check_same_plan(plan: Plan, digest: str, store: Store, name: str) -> None:
    """Refuse a plan that is not the one the campaign was begun with. Raises CampaignBusy with both digests."""
    if plan.digest != digest:
        raise CampaignBusy(
            f"campaign {plan.campaign.id} exists with another plan: begun with sha256 {digest}, now {plan.digest}",
            code="R601",
            hint=f"go on with {store.plan_path(name)}, or give the changed plan another id",
        )


def remember_run(store: Store, name: str, arguments: list[str]) -> None:
    """Keep the arguments of the command line that runs the campaign, so that others can show how to go on.

    No flag can hold a secret.
    """
    store.files(name).last_run.write_text(json.dumps(arguments), encoding="utf-8")


def last_run(store: Store, name: str) -> list[str] | None:
    """Return the arguments of the command line that ran the campaign last; None if none did, or cannot be read."""
    try:
        return [str(word) for word in json.loads(store.files(name).last_run.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return None
