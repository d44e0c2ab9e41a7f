"""One device in one job: the states of a task, and a job's tasks as columns.

    init ──announced──► published ──first report──► upgrading ──► succeeded
     ▲                     │                            │
     └──── retried ─── failed ◄── cancelled, negative report, time-out

`failed` is not final: automatic and manual retries lead back to `init`. Cancelling shows as `failed` with a text, or the
record is `removed` (a knob); a removed task is final and in no count.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum


class Status(IntEnum):
    """Where a task stands; `label` is the platform's word."""

    INIT = 0
    PUBLISHED = 1
    UPGRADING = 2
    SUCCEEDED = 3
    FAILED = 4
    REMOVED = 5

    @property
    def label(self) -> str:
        """The status as records show it."""
        return self.name.lower()


STATUSES: Mapping[str, Status] = {s.label: s for s in Status if s is not Status.REMOVED}
"""The platform's words for the states records can show."""

IN_PROGRESS = frozenset({Status.PUBLISHED, Status.UPGRADING})
"""What `maximumConcurrency` counts; in these the device is at work and can take no other upgrade."""

TRANSITIONS: Mapping[int, frozenset[Status]] = {
    Status.INIT: frozenset({Status.PUBLISHED, Status.FAILED, Status.REMOVED}),
    Status.PUBLISHED: frozenset({Status.UPGRADING, Status.FAILED, Status.REMOVED}),
    Status.UPGRADING: frozenset({Status.SUCCEEDED, Status.FAILED}),
    Status.SUCCEEDED: frozenset(),
    Status.FAILED: frozenset({Status.INIT}),
    Status.REMOVED: frozenset(),
}

FINISHED = "upgrading firmware finished"
CANCELLED = "Cancelled by user"
"""Both texts are seen in Envision's Python sample; the next three are ours, as the pages give none."""
TIMED_OUT = "Upgrade timed out"
STOPPED = "Job stopped"
CLASHED = "Device is in another upgrade"


@dataclass(slots=True)
class Tasks:
    """The tasks of one job as they are, N entries in each column, in the order of their making.

    `turns` counts announcements and manual retries, so that what an older attempt left behind is recognised as
    such; `retried` counts automatic retries; `links` chain all tasks of one device, newest first.
    """

    devices: array[int]
    status: bytearray
    turns: array[int]
    retried: bytearray
    links: array[int]
    from_versions: list[str | None]

    @classmethod
    def empty(cls) -> Tasks:
        """Return columns without an entry."""
        return cls(array("I"), bytearray(), array("I"), bytearray(), array("q"), [])

    def __len__(self) -> int:
        return len(self.status)

    def append(self, device: int, link: int, from_version: str | None) -> None:
        """Add a task in `init`."""
        self.devices.append(device)
        self.status.append(Status.INIT)
        self.turns.append(0)
        self.retried.append(0)
        self.links.append(link)
        self.from_versions.append(from_version)
