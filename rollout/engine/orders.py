"""Orders from people to a campaign, whether or not a runner lives.

An order is one small file in the campaign's `inbox/`, put there whole (written aside, then renamed). The
runner reads the inbox about twice a second, records the order as a fact that carries its id, and only then
removes the file; an order found again after a crash is recognised by its id and counts once.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Protocol, get_args
from uuid import uuid4

__all__ = ["INBOX_S", "Abort", "Approve", "Inbox", "Order", "Orders", "Pause", "Resume"]

INBOX_S = 0.5
"""How often orders from people are looked for. Real seconds."""
ORDER_BYTES_MAX = 16_384
"""Largest order read; a reason is a sentence, not a document. Bytes."""


def _new_id() -> str:
    return uuid4().hex


@dataclass(frozen=True, slots=True)
class Pause:
    """Create nothing more until resumed."""

    by: str
    reason: str = ""
    id: str = field(default_factory=_new_id)


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on after a pause or a halt."""

    by: str
    reason: str = ""
    id: str = field(default_factory=_new_id)


@dataclass(frozen=True, slots=True)
class Approve:
    """Let the named wave's gate open."""

    by: str
    wave: str
    reason: str = ""
    id: str = field(default_factory=_new_id)


@dataclass(frozen=True, slots=True)
class Abort:
    """End the campaign; stop its jobs and cancel waiting tasks if asked to."""

    by: str
    reason: str = ""
    stop_jobs: bool = False
    cancel_pending: bool = False
    id: str = field(default_factory=_new_id)


Order = Pause | Resume | Approve | Abort
_VERBS: dict[str, type[Order]] = {order.__name__.lower(): order for order in get_args(Order)}


class Orders(Protocol):
    """Orders that no runner has taken yet, and how often to look for them: every `look_every_s` real seconds."""

    look_every_s: float

    def pending(self) -> list[tuple[Path, Order]]:
        """Return the waiting orders, oldest first, each with what `done` wants to know it by."""
        ...

    def done(self, path: Path) -> None:
        """Forget an order that has become a fact."""
        ...


class Inbox(Orders):
    """The orders of one campaign, as files."""

    look_every_s = INBOX_S

    def __init__(self, campaign_directory: Path) -> None:
        self.directory = campaign_directory / "inbox"

    def submit(self, order: Order) -> Path:
        """Put the order into the inbox, durably and whole; return its file. Raises OSError."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{time.time_ns():020d}-{order.id}"
        draft = self.directory / f".{name}.draft"
        body = {"verb": type(order).__name__.lower(), **asdict(order)}
        with draft.open("x", encoding="utf-8") as file:
            json.dump(body, file)
            file.flush()
            os.fsync(file.fileno())
        path = self.directory / f"{name}.json"
        draft.replace(path)
        listing = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(listing)  # the name, too: an abort that was confirmed must not vanish in a power cut
        finally:
            os.close(listing)
        return path

    def pending(self) -> list[tuple[Path, Order]]:
        """Return the waiting orders, oldest first. A file that is no order is set aside as `*.refused`."""
        orders: list[tuple[Path, Order]] = []
        if not self.directory.is_dir():
            return orders
        for path in sorted(self.directory.glob("*.json")):
            try:
                order = _read(path)
            except OSError:
                continue  # it stays, and is looked at again half a second later
            if order is None:
                path.replace(path.with_suffix(".refused"))
            else:
                orders.append((path, order))
        return orders

    def done(self, path: Path) -> None:
        """Forget an order that has become a fact."""
        path.unlink(missing_ok=True)


def _read(path: Path) -> Order | None:
    """Return the order in a file, or None if it is none: other fields, other types, too long, not JSON.

    Raises OSError where the file cannot be read now; that says nothing about what it holds.
    """
    try:
        with path.open("rb") as file:
            body = json.loads(file.read(ORDER_BYTES_MAX + 1))
    except (ValueError, RecursionError):
        return None
    verb = _VERBS.get(str(body.pop("verb", ""))) if isinstance(body, dict) else None
    if verb is None:
        return None
    kinds = {f.name: bool if f.type in {"bool", bool} else str for f in fields(verb)}
    if not {"by", "id"} <= body.keys() <= kinds.keys() or any(
        type(v) is not kinds[k] for k, v in body.items()
    ):
        return None
    try:
        return verb(**body)
    except TypeError:
        return None
