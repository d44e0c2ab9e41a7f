"""A task is one device in one job: its states, and the tasks of a job kept as columns.

    init ──announced──► published ──first report──► upgrading ──► succeeded
     ▲                     │                            │
     └──── retried ─── failed ◄── cancelled, negative report, time-out

`failed` is not final: automatic and manual retries lead back to `init`. A cancelled task is `failed` with a text, or
`removed` (knob `cancelled_task`). A removed task is final and is counted nowhere.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum


class Status(IntEnum):
    """The state of a task; `label` is the platform's word for it."""

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


STATUS_BY_LABEL: Mapping[str, Status] = {s.label: s for s in Status if s is not Status.REMOVED}
"""The platform's word for each state that records can show, with the state."""

IN_PROGRESS = frozenset({Status.PUBLISHED, Status.UPGRADING})
"""The states that `maximumConcurrency` counts. The device is busy and can take no other upgrade."""

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
"""Both texts are from Envision's Python sample. The pages give no text for the next three; those are ours."""
TIMED_OUT = "Upgrade timed out"
STOPPED = "Job stopped"
CLASHED = "Device is in another upgrade"


@dataclass(slots=True)
class Tasks:
    """The tasks of one job: N entries in each column, in the order in which the tasks were made.

    `devices`: number of the device. `status`: a `Status`. `generations`: announcements and manual retries so far; a timer
    of an older generation is void. `retried`: automatic retries so far. `links`: the device's next older task, as
    the model packs it. `from_versions`: the device's version when the task was made, None if unknown.
    """

    devices: array[int]
    status: bytearray
    generations: array[int]
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
        self.generations.append(0)
        self.retried.append(0)
        self.links.append(link)
        self.from_versions.append(from_version)
