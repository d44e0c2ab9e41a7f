"""The orders to one campaign as files: `inbox/` in the campaign's folder, one small file an order.

An order appears whole: it is written under another name, made durable, and renamed. It is removed when a runner has
made a fact of it. A file that is no order is set aside under the name `*.refused`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rollout.core.orders import Order
from rollout.errors import JournalError
from rollout.journal.order_text import ORDER_BYTES_MAX, decode_order, encode_order
from rollout.ports import Orders

LOOK_EVERY_S = 0.5
"""How often a runner looks for orders, in real seconds."""


class Inbox(Orders):
    """The orders to the campaign kept in `folder`."""

    look_every_s = LOOK_EVERY_S

    def __init__(self, folder: Path) -> None:
        self.directory = folder / "inbox"

    def post(self, order: Order) -> None:
        """Keep the order; it is durable when this returns. Raises JournalError."""
        with _explained(self.directory):
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            # the time first, so that names sort by age
            name = f"{time.time_ns():020d}-{order.id}"
            draft = self.directory / f".{name}.draft"
            with draft.open("x", encoding="utf-8") as file:
                file.write(encode_order(order))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.directory / f"{name}.json")
            listing = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(listing)  # the name, too: an abort that was confirmed must not vanish in a power cut
            finally:
                os.close(listing)

    def waiting(self) -> list[Order]:
        """Return the orders that no runner has taken, oldest first. A file that is no order is set aside."""
        return [order for _, order in self._files()]

    async def pending(self) -> list[Order]:
        """Return the orders that no runner has taken, oldest first."""
        return self.waiting()

    async def done(self, order_id: str) -> None:
        """Forget an order that has become a fact; nothing happens if it is gone already."""
        for path, order in self._files():
            if order.id == order_id:
                path.unlink(missing_ok=True)

    def _files(self) -> list[tuple[Path, Order]]:
        found: list[tuple[Path, Order]] = []
        if not self.directory.is_dir():
            return found
        for path in sorted(self.directory.glob("*.json")):
            try:
                with path.open("rb") as file:
                    order = decode_order(file.read(ORDER_BYTES_MAX + 1))
            except OSError:
                continue  # says nothing about its content: it stays, and is looked at again half a second later
            if order is None:
                path.replace(path.with_suffix(".refused"))
            else:
                found.append((path, order))
        return found


@contextmanager
def _explained(place: Path) -> Iterator[None]:
    """Raise what the system raises as JournalError."""
    try:
        yield
    except OSError as error:
        raise JournalError(
            f"{place}: {error.strerror or error}",
            code="R706",
            hint="the campaign's directory and its files must be yours to read and write",
        ) from error
