"""A job as it is: its order, its switch, its tasks and the queue of those that may go."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from rollout.emulator.platform.bodies import JobOrder
from rollout.emulator.platform.firmware import Firmware
from rollout.emulator.platform.tasks import Status, Tasks


@dataclass(slots=True, eq=False)
class Job:
    """A job as it is; what readers see of it is the index's matter.

    `matched`: devices in scope whose tasks do not exist yet. `ready`: positions of tasks that may be pushed as
    soon as a slot is free, in order; entries whose task has left `init` are passed over. `counts[status]` is kept
    at every change. `wakes_at`: when the closed window has already been scheduled to open.
    """

    number: int
    id: str
    firmware: Firmware
    order: JobOrder
    product_key: str | None
    created_at: float
    started: bool
    deleted: bool = False
    tasks: Tasks = field(default_factory=Tasks.empty)
    counts: list[int] = field(default_factory=lambda: [0] * len(Status))
    matched: deque[int] = field(default_factory=deque)
    ready: deque[int] = field(default_factory=deque)
    wakes_at: float | None = None

    @property
    def in_progress(self) -> int:
        """Tasks that `maximumConcurrency` counts."""
        return self.counts[Status.PUBLISHED] + self.counts[Status.UPGRADING]
