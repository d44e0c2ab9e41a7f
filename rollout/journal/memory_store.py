"""A store in memory: for tests, for simulation, and for a rehearsal that leaves nothing behind.

Its campaigns live as long as the store. Plans, and what a campaign keeps on this machine, are files all the same,
since a plan is read through a memory map; they lie in a temporary folder that `close` removes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rollout.core.events import Event
from rollout.core.orders import Order
from rollout.errors import JournalHeld, NoCampaign
from rollout.journal.memory import MemoryJournal
from rollout.ports import LISTING_GLOB, PLAN_NAME, CampaignFiles, Holder, Orders, Store, StoreCheck


@dataclass(slots=True)
class _Kept:
    """One campaign: its orders by id, in the order they were given, and its journal, if it was ever run."""

    orders: dict[str, Order] = field(default_factory=dict)
    journal: MemoryJournal | None = None
    held_since: float = 0.0


class _MemoryOrders(Orders):
    """The orders to one campaign, for its runner."""

    look_every_s = 0.05

    def __init__(self, orders: dict[str, Order]) -> None:
        self._orders = orders

    async def pending(self) -> list[Order]:
        """Return the orders that no runner has taken, oldest first."""
        return list(self._orders.values())

    async def done(self, order_id: str) -> None:
        """Forget the order."""
        self._orders.pop(order_id, None)


class MemoryStore(Store):
    """Campaigns that are kept until the store is closed. For one thread."""

    address = "memory:"

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._folder: Path | None = None

    # --- plans --------------------------------------------------------------------------------------------

    def campaigns(self) -> list[str]:
        """Return the names of the campaigns that have a saved plan, sorted."""
        return sorted(name for name in self._kept if (self._place(name) / PLAN_NAME).exists())

    @contextmanager
    def workplace(self) -> Iterator[Path]:
        """Give an empty temporary folder."""
        with tempfile.TemporaryDirectory(prefix="rollout-planning-") as folder:
            yield Path(folder)

    def save_plan(self, name: str, made: Path, *, keep: Collection[str] = ()) -> None:
        """Take the plan's files over from the folder `made`, instead of those that are here."""
        self._of(name)
        place = self._place(name)
        taken = [path.name for path in made.iterdir()]
        for file in taken:
            shutil.move(made / file, place / file)
        for path in place.glob(LISTING_GLOB):
            if path.name not in {*keep, *taken}:
                path.unlink()

    def plan_path(self, name: str) -> Path:
        """Return the path of the campaign's plan.json. Raises NoCampaign."""
        path = self._place(name) / PLAN_NAME
        if not path.exists():
            raise NoCampaign(f"no campaign {name!r}", hint=f"{self.address} holds no plan of it")
        return path

    # --- journals -----------------------------------------------------------------------------------------

    def has_journal(self, name: str) -> bool:
        """Return whether the campaign was ever run."""
        return self._of(name).journal is not None

    def open_journal(self, name: str, campaign_id: str, plan_digest: str) -> MemoryJournal:
        """Open the campaign's journal, or make it where there is none; it is held until it is closed."""
        kept = self._of(name)
        if kept.journal is None:
            kept.journal = MemoryJournal(campaign_id, plan_digest)
        elif not kept.journal.closed:
            raise JournalHeld(f"{self.address}{name}", str(self.holder(name)))
        else:
            kept.journal = kept.journal.reopen()
        kept.held_since = time.time()
        return kept.journal

    def events(self, name: str, after_seq: int = 0) -> Iterator[tuple[int, Event]]:
        """Yield number and content of the events stored after `after_seq`."""
        journal = self._of(name).journal
        if journal is not None:
            for seq, event in enumerate(journal.read(), start=1):
                if seq > after_seq:
                    yield seq, event

    def holder(self, name: str) -> Holder | None:
        """Return this process while it holds the campaign's journal, else None."""
        kept = self._of(name)
        journal = kept.journal
        if journal is None or journal.closed:
            return None
        stored = sum(1 for _ in journal.read())
        return Holder(os.uname().nodename, os.getpid(), kept.held_since, time.time(), journal.epoch, stored)

    # --- orders -------------------------------------------------------------------------------------------

    def post_order(self, name: str, order: Order) -> None:
        """Keep the order."""
        self._of(name).orders[order.id] = order

    def pending_orders(self, name: str) -> list[Order]:
        """Return the orders that no runner has taken, oldest first."""
        return list(self._of(name).orders.values())

    def orders(self, name: str) -> Orders:
        """Return what a runner takes the campaign's orders from."""
        return _MemoryOrders(self._of(name).orders)

    # --- the place ----------------------------------------------------------------------------------------

    def files(self, name: str) -> CampaignFiles:
        """Return the campaign's files, in the temporary folder."""
        return CampaignFiles(self._place(name))

    def require_room(self, name: str, batches: int) -> None:
        """Return: memory is not measured."""

    def check(self, batches: int) -> StoreCheck:  # noqa: ARG002 - memory is not measured
        """Return that the store can be used."""
        return StoreCheck(self.address)

    def close(self) -> None:
        """Remove the temporary folder, and with it every plan."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        self._kept.clear()

    def _of(self, name: str) -> _Kept:
        if "/" in name or "\0" in name or name in ("", ".", ".."):
            raise NoCampaign(f"no campaign {name[:80]!r}")
        return self._kept.setdefault(name, _Kept())

    def _place(self, name: str) -> Path:
        self._of(name)
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="rollout-memory-"))
        place = self._folder / name
        place.mkdir(exist_ok=True)
        return place
