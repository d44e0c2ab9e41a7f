"""Which store an address means. Another kind of store is one more row here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rollout.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollout.ports import Store


STATE_DIR = ".rollout"
"""The store that is used unless another one is named."""


def _directory(address: str) -> Store:
    from rollout.journal.directory import DirectoryStore  # noqa: PLC0415 - one store is loaded, not all

    return DirectoryStore(Path(address))


def _memory(address: str) -> Store:
    from rollout.journal.memory_store import MemoryStore  # noqa: PLC0415 - as above

    if address != MemoryStore.address:
        raise SettingsError(f"{address[:80]!r}: the store in memory is called {MemoryStore.address!r}")
    return MemoryStore()


SCHEMES: dict[str, Callable[[str], Store]] = {"memory": _memory}
"""The kinds of stores by the scheme of their addresses. An address without one of these is a directory."""


def scheme_of(address: str) -> str:
    """Return the scheme of the address if it is one of `SCHEMES`; empty for a directory."""
    scheme, colon, _ = address.partition(":")
    return scheme if colon and scheme in SCHEMES else ""


def open_store(address: str | Path) -> Store:
    """Return the store of that address: a directory, or `memory:`. Nothing is made or read yet."""
    return SCHEMES.get(scheme_of(str(address)), _directory)(str(address))


def store_of_plan(plan: Path) -> tuple[Store, str]:
    """Return the store in which the saved plan at that path lies, and the name of its campaign."""
    folder = plan.parent
    if folder.name in ("", ".."):
        folder = folder.resolve()
    return _directory(str(folder.parent)), folder.name
