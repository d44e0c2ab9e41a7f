"""Jobs, tasks and devices as the platform shows them, and how to ask for them.

A record has the fields a campaign can use; everything else the platform gives stays in `more`, under the
platform's own names and as it came: fields we do not know, and known ones that cannot be read as what
they should be. A status is kept as text, so a new status is no error.

A filter's conditions all hold together; an empty one does not restrict, an empty filter asks for everything.
One condition holds if any of its values matches. How the platform escapes quotes is not published, so a value with a
quote or a backslash cannot be asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from rollout.core.outcome import Found

_T = TypeVar("_T")


class TaskState(StrEnum):
    """How far a task is, in words that hold for every platform. The platform's client translates its own words."""

    WAITING = "waiting"
    """The device has not been told of the task yet."""
    NOTIFIED = "notified"
    """The device has been told and has not begun."""
    UPGRADING = "upgrading"
    """The device has begun."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """The upgrade failed. The platform may still retry it by itself."""


@dataclass(frozen=True, slots=True)
class JobRecord(Found):
    """A job with all that the platform gives. `name` is the default one, `names` those by locale (`zh_CN`).

    There are no counters and no finished status: what became of the devices is in the tasks.
    """

    names: Mapping[str, str] = field(default_factory=dict, hash=False)
    more: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One device in one job. A text that the platform does not give is empty, a number is None.

    `status` is the platform's own word; `progress` 0 to 100, negative when failed, the device's own step code; `from_version` the version before, `to_version` the one aimed at.
    """

    task_id: str
    job_id: str
    device_key: str
    status: str = ""
    progress: int | None = None
    desc: str = ""
    from_version: str = ""
    to_version: str = ""
    product_key: str = ""
    asset_id: str = ""
    update_time_ms: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs. `name_part` occurs in the default name; case matters."""

    firmware_ids: tuple[str, ...] = ()
    product_keys: tuple[str, ...] = ()
    firmware_versions: tuple[str, ...] = ()
    type: str = ""
    status: str = ""
    name_part: str = ""


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks. Nothing else can be searched: not when a task changed, nor how far it is."""

    job_ids: tuple[str, ...] = ()
    device_keys: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    descs: tuple[str, ...] = ()
    from_versions: tuple[str, ...] = ()
    to_versions: tuple[str, ...] = ()


class Sign(StrEnum):
    """How a field of a device is compared."""

    EQUAL = "="
    UNEQUAL = "!="
    LIKE = "like"
    EXISTS = "exists"
    MISSING = "not exists"


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold of one field of a device: by any of the values, of which only EQUAL takes several.

    EXISTS and MISSING take none.
    """

    field: str
    sign: Sign
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeviceFilter:
    """Which devices: those for which every condition holds."""

    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Hits(Generic[_T]):
    """What a search found on all its pages, each record once, in the order first seen.

    `complete` only if every page was read and the pages agree with each other and with the stated total: what is
    missing then did not match. Otherwise what was found exists, or did a moment ago, and absence proves nothing.
    """

    rows: tuple[_T, ...]
    complete: bool
