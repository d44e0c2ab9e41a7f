"""The register of devices: a million of them in columns, not in objects.

A device is a number; its key, its fleet columns and the few things the platform remembers of it lie in arrays.
Column values repeat a lot, so each column keeps every distinct value once.

Special columns: `productKey`, `assetId`, `firmwareVersion`, `deviceName`; `attributes.<id>` and `tags.<key>` (a bare
column serves as a tag of its name); `deviceGroupIds` (several, separated by blanks); `assetTrees.<treeId>` (the path of
asset ids from the root down to the device, separated by `/`). A device without an `assetId` has its key, marked.

Simplified against the platform: device keys are unique over all products.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping

ASSET_PREFIX = "asset-"
DEFAULT_PRODUCT = "emulated-product"
NO_TASK = -1
ABSENT = 0
"""Code of "no value" in every column."""


class _Column:
    """One column: a code for each device, each distinct value once."""

    __slots__ = ("_code_of", "_codes", "_values")

    def __init__(self) -> None:
        self._codes = array("I")
        self._values: list[str | None] = [None]
        self._code_of: dict[str, int] = {}

    def get(self, device: int) -> str | None:
        return self._values[self._codes[device]] if device < len(self._codes) else None

    def set(self, device: int, value: str | None) -> None:
        short = device + 1 - len(self._codes)
        if short > 0:
            # devices before this one had no such column
            self._codes.extend([ABSENT] * short)
        if value is None:
            self._codes[device] = ABSENT
            return
        code = self._code_of.get(value)
        if code is None:
            code = self._code_of[value] = len(self._values)
            self._values.append(value)
        self._codes[device] = code


class Devices:
    """All devices, by number in the order of their registration.

    Per device beside its columns: `attempts` (announcements so far), `last_task` (head of the chain of its tasks,
    as packed by the model), `online_from` (only of devices that were found away).

    `born_with` gives columns of a new device, by its key; those told replace them.

    `changes` counts whatever was registered or set: what was derived from the register holds while it stands.
    """

    def __init__(self, born_with: Callable[[str], Iterable[tuple[str, str]]] = lambda _: ()) -> None:
        self._born_with = born_with
        self.keys: list[str] = []
        self.attempts = array("I")
        self.last_task = array("q")
        self.online_from: dict[int, float] = {}
        self.changes = 0
        self._number: dict[str, int] = {}
        self._columns: dict[str, _Column] = {}

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.keys)))

    def add(self, key: str, columns: Mapping[str, str]) -> int:
        """Register a device, or overwrite columns of a known one; return its number."""
        device = self._number.get(key)
        if device is None:
            device = self._number[key] = len(self.keys)
            self.changes += 1
            self.keys.append(key)
            self.attempts.append(0)
            self.last_task.append(NO_TASK)
            for name, value in self._born_with(key):
                self.set(device, name, value)
        for name, value in columns.items():
            self.set(device, name, value)
        return device

    def find(self, key: str) -> int | None:
        """Return the number of the device with this key."""
        return self._number.get(key)

    def column(self, device: int, name: str) -> str | None:
        """Return the device's value of a fleet column; None if it has none."""
        column = self._columns.get(name)
        return None if column is None else column.get(device)

    def set(self, device: int, name: str, value: str | None) -> None:
        """Set the device's value of a column."""
        column = self._columns.get(name)
        if column is None:
            column = self._columns[name] = _Column()
        column.set(device, value)
        self.changes += 1

    def row(self, device: int) -> dict[str, str]:
        """Return all columns of a device that have a value."""
        values = ((name, column.get(device)) for name, column in self._columns.items())
        return {name: value for name, value in values if value is not None}

    def asset_id(self, device: int) -> str:
        """Return the device's asset id, its own or the one made from its key."""
        return self.column(device, "assetId") or ASSET_PREFIX + self.keys[device]

    def product_key(self, device: int) -> str:
        """Return the product the device belongs to."""
        return self.column(device, "productKey") or DEFAULT_PRODUCT

    def version(self, device: int) -> str | None:
        """Return the firmware version the device reported; None if it is anybody's guess."""
        return self.column(device, "firmwareVersion")

    def tag(self, device: int, key: str) -> str | None:
        """Return the device's value of a tag; a bare column serves as one."""
        return self.column(device, "tags." + key) or self.column(device, key)
