"""The store of today: a directory with one folder for each campaign.

    STATE_DIR/CAMPAIGN/
      plan.json, plan.devices,  the saved plan
      plan.listing-*.gz
      journal.db, journal.lock  what happened, and who carries the campaign out
      inbox/                    orders that no runner has taken
      events.ndjson             the log
      last-run                  the command line of the last run
      emulator.ndjson           the memory of an emulator inside the process

A campaign is known by its folder's name, which is its id unless somebody renamed the folder.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from rollout.core.events import Event
from rollout.core.orders import Order
from rollout.errors import NoCampaign
from rollout.journal.inbox import Inbox
from rollout.journal.lock import read_holder
from rollout.journal.space import bytes_needed, require_space
from rollout.journal.sqlite import JOURNAL_NAME, SqliteJournal, read_events
from rollout.ports import LISTING_GLOB, PLAN_NAME, CampaignFiles, Holder, Orders, Store, StoreCheck

PROBE_BYTES = 4096
"""Bytes written to see whether a disk can be written, and how fast. Ours."""


class DirectoryStore(Store):
    """The campaigns in one directory, which is made when the first plan is saved."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.address = str(directory)

    # --- plans --------------------------------------------------------------------------------------------

    def campaigns(self) -> list[str]:
        """Return the names of the campaigns that have a saved plan, sorted."""
        if not self._directory.is_dir():
            return []
        found = (path.parent.name for path in self._directory.glob(f"*/{PLAN_NAME}"))
        return sorted(name for name in found if not name.startswith("."))

    @contextmanager
    def workplace(self) -> Iterator[Path]:
        """Give an empty folder on the same disk, so that finished files only need to be renamed."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".planning-", dir=self._directory) as folder:
            yield Path(folder)

    def save_plan(self, name: str, made: Path, *, keep: Collection[str] = ()) -> None:
        """Take the plan's files over from the folder `made`, instead of those that are here."""
        folder = self._folder(name)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = sorted(made.iterdir(), key=lambda path: path.name == PLAN_NAME)
        for path in files:  # the plan last: it names what the others hold
            shutil.move(path, folder / path.name)
        stays = {*keep, *(path.name for path in files)}
        for path in folder.glob(LISTING_GLOB):
            if path.name not in stays:
                path.unlink()

    def plan_path(self, name: str) -> Path:
        """Return the path of the campaign's plan.json, its other files beside it. Raises NoCampaign."""
        path = self._folder(name) / PLAN_NAME
        if not path.exists():
            raise NoCampaign(f"no campaign {name!r}", hint=f"{self.address} holds no plan of it")
        return path

    # --- journals -----------------------------------------------------------------------------------------

    def has_journal(self, name: str) -> bool:
        """Return whether the campaign was ever run."""
        return (self._folder(name) / JOURNAL_NAME).exists()

    def open_journal(self, name: str, campaign_id: str, plan_digest: str) -> SqliteJournal:
        """Open the campaign's journal, or make it where there is none; it is held until it is closed."""
        folder = self._folder(name)
        if not (folder / JOURNAL_NAME).exists():
            return SqliteJournal.create(folder, campaign_id, plan_digest)
        return SqliteJournal.open(folder)

    def events(self, name: str, after_seq: int = 0) -> Iterator[tuple[int, Event]]:
        """Yield number and content of the events stored after `after_seq`; none where the campaign was never run."""
        if self.has_journal(name):
            yield from read_events(self._folder(name), after_seq)

    def holder(self, name: str) -> Holder | None:
        """Return who carries the campaign out now, None if nobody does."""
        return read_holder(self._folder(name))

    # --- orders -------------------------------------------------------------------------------------------

    def post_order(self, name: str, order: Order) -> None:
        """Keep the order; it is durable when this returns."""
        Inbox(self._folder(name)).post(order)

    def pending_orders(self, name: str) -> list[Order]:
        """Return the orders that no runner has taken, oldest first."""
        return Inbox(self._folder(name)).waiting()

    def orders(self, name: str) -> Orders:
        """Return what a runner takes the campaign's orders from."""
        return Inbox(self._folder(name))

    # --- the place ----------------------------------------------------------------------------------------

    def files(self, name: str) -> CampaignFiles:
        """Return the campaign's local files, which lie beside its plan."""
        return CampaignFiles(self._folder(name))

    def require_room(self, name: str, batches: int) -> None:
        """Return if the disk has room for so many batches. Raises JournalError otherwise."""
        require_space(self._folder(name), batches)

    def check(self, batches: int) -> StoreCheck:
        """Write a few bytes where journals are kept, or will be, down to the disk; nothing of it stays."""
        place = self._directory
        while not place.exists() and place != place.parent:
            place = place.parent
        place = place.resolve()
        try:
            with tempfile.NamedTemporaryFile(dir=place, prefix=".doctor-") as file:
                began = time.monotonic()
                file.write(bytes(PROBE_BYTES))
                file.flush()
                os.fsync(file.fileno())
                sync_s = time.monotonic() - began
            free = shutil.disk_usage(place).free
        except OSError as error:
            return StoreCheck(str(place), f"cannot be written: {error.strerror}")
        return StoreCheck(str(place), "", sync_s, free, free >= bytes_needed(batches))

    def close(self) -> None:
        """Nothing is held open between two calls."""

    def _folder(self, name: str) -> Path:
        # the name becomes a path: it must be one plain component of it
        if not re.fullmatch(r"[^/\0]+", name) or name in (".", ".."):
            raise NoCampaign(f"no campaign {name[:80]!r}")
        return self._directory / name
