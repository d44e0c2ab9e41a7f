"""The organisation's devices, found by EnOS's own search: a plan can take its fleet from here.

Devices are read page by page and yielded as they come, each once, told apart by asset id. The list is complete only if
one whole reading of the pages agreed with itself (see `enos.paging`). If none ever does, that is an error: a device
that is missing here would miss its upgrade, and nobody would know.
Pages: search_device V2.1 (older releases) and V2.4 (since 2.4.0 CU1, never returns secrets unasked), newest first.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, TypeVar

from rollout.enos import limits
from rollout.enos.caller import Caller
from rollout.enos.codes import Operation
from rollout.enos.messages import DeviceBrief, Envelope
from rollout.enos.paging import Reading, every_row
from rollout.enos.paths import DEVICES_PATH
from rollout.enos.translate import search_body
from rollout.ports import Repeat

_T = TypeVar("_T")
Version = Literal["v2.1", "v2.4"]

SECRET_FIELDS: Final = frozenset({"deviceSecret", "sessionKey"})
"""What a device signs on with: V2.1 may send it unasked, and nobody here may keep it."""

PAGE_SIZES: Final[Mapping[Version, int]] = MappingProxyType(
    {"v2.1": limits.DEVICE_PAGE_SIZE_OLD, "v2.4": limits.DEVICE_PAGE_SIZE}
)


class EnosDevices:
    """The devices of the caller's organisation.

    Args:
        version: which of the two searches; releases before 2.4.0 CU1 have only v2.1.
        page_size: devices asked for at once, up to 1,000 (200 in 2.1.0).
        repeat: makes the read of each page; by default once.
    """

    def __init__(
        self,
        caller: Caller,
        *,
        version: Version = "v2.4",
        page_size: int | None = None,
        repeat: Repeat | None = None,
    ) -> None:
        self._caller = caller
        self._repeat = repeat or _once
        self._path = DEVICES_PATH.format(version=version)
        self._page_size = page_size or PAGE_SIZES[version]

    async def search(self, expression: str = "") -> AsyncIterator[tuple[str, dict[str, str]]]:
        """Yield device key and columns (`columns_of`) of every device that matches; all if the expression is empty.

        Two devices of different products may have the same key; both come.

        Args:
            expression: in EnOS's grammar, such as `productKey='p1' and deviceTags.site in ('a','b')`.
        Raises: `ServiceError`, also after devices were yielded: then the list is not complete.
        """
        async for device in every_row(lambda: self._read(expression), "device search"):
            yield device.device_key, columns_of(device)

    def _read(self, expression: str) -> Reading[DeviceBrief]:
        """Return a reading of the search, not begun yet."""

        async def ask(page_no: int) -> Envelope[list[DeviceBrief]]:
            body = search_body(expression, page_no=page_no, page_size=self._page_size)
            return await self._repeat(
                lambda: self._caller.call(
                    Operation.READ, self._path, {"action": "search"}, body, list[DeviceBrief]
                )
            )

        return Reading(ask, DeviceBrief.identity, pages_max=limits.DEVICE_PAGES_MAX)


async def _once(read: Callable[[], Awaitable[_T]]) -> _T:
    """Return what one read returns."""
    return await read()


def columns_of(device: DeviceBrief) -> dict[str, str]:
    """Return the device's fields as text, by the names that EnOS's expressions have for them.

    `assetId`, `productKey`, `firmwareVersion`, `deviceName` (the default one) and whatever else is told; of tags
    and attributes one column each, `deviceTags.site` and `deviceAttributes.ratedPower`. Absent and null
    fields have no column, secrets never do; lists and objects are JSON.
    """
    columns: dict[str, str] = {}
    if device.asset_id:
        columns["assetId"] = device.asset_id
    for name, value in (device.model_extra or {}).items():
        if name not in SECRET_FIELDS:
            columns.update(_flat(name, value))
    return columns


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield the columns a field becomes."""
    if value is None:
        return
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict) and name in {"deviceTags", "deviceAttributes"}:
        for key, part in value.items():
            yield from _flat(f"{name}.{key}", part)
    elif isinstance(value, dict) and isinstance(value.get("defaultValue"), str):
        yield name, value["defaultValue"]
    else:
        yield name, json.dumps(value, ensure_ascii=False, separators=(",", ":"))
