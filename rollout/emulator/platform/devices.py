"""The register of devices: a million of them, kept in columns and not as objects.

A device is a number. Its key, its fleet columns and what the platform remembers of it are in arrays under that number.
Values of a column repeat often, so each column keeps every distinct value once.

Columns with a meaning: `productKey`, `assetId`, `firmwareVersion`, `deviceName`; `attributes.<id>` and `tags.<key>` (any
other column serves as a tag of its name); `deviceGroupIds` (ids separated by blanks); `assetTrees.<treeId>` (the asset ids
from the root of the tree down to the device, separated by `/`). A device without an `assetId` gets one made from its key.

Simpler than the platform: device keys are unique over all products.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping

ASSET_PREFIX = "asset-"
DEFAULT_PRODUCT = "emulated-product"
NO_TASK = -1
ABSENT = 0
"""The code for "no value" in every column."""


class _Column:
    """One column: a code for each device, and each distinct value once."""

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
            # the devices before this one have no value in this column
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
    """All devices, numbered from 0 in the order of their registration.

    Kept for each device beside its columns: `attempts`, upgrades announced to it so far; `last_task`, its newest task
    as the model packs it, or `NO_TASK`; `online_from`, when it comes back, seconds since the epoch, only for devices that
    were found away.

    `changes` counts devices registered and values set. What was computed from the register is valid as long as it stays
    the same.

    Args:
        born_with: gives the columns of a new device by its key; columns given to `add` go before these.
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
        """Register a device, or set columns of a known one; return its number."""
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
        """Return the number of the device with this key; None if there is none."""
        return self._number.get(key)

    def column(self, device: int, name: str) -> str | None:
        """Return the device's value of a fleet column; None if it has none."""
        column = self._columns.get(name)
        return None if column is None else column.get(device)

    def set(self, device: int, name: str, value: str | None) -> None:
        """Set the device's value of a column; None removes it."""
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
        """Return the device's asset id: its column's value, or one made from its key."""
        return self.column(device, "assetId") or ASSET_PREFIX + self.keys[device]

    def product_key(self, device: int) -> str:
        """Return the product the device belongs to."""
        return self.column(device, "productKey") or DEFAULT_PRODUCT

    def version(self, device: int) -> str | None:
        """Return the firmware version the device reported last; None if it is unknown."""
        return self.column(device, "firmwareVersion")

    def tag(self, device: int, key: str) -> str | None:
        """Return the device's value of a tag; None if it has none. A column of the tag's name serves as the tag."""
        return self.column(device, "tags." + key) or self.column(device, key)
