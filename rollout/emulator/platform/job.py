"""A job: what its create call asked for, whether it is started, its tasks, and the queue of tasks that may be pushed."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from rollout.emulator.platform.bodies import JobDefinition
from rollout.emulator.platform.firmware import Firmware
from rollout.emulator.platform.tasks import Status, Tasks


@dataclass(slots=True, eq=False)
class Job:
    """The true state of a job. What searches show of it may be older: see `index`.

    `number`: position in `Platform.all_jobs`. `created_at`: seconds since the epoch. `matched`: devices in scope whose
    tasks do not exist yet. `ready`: positions of tasks to push as soon as a slot is free, in order; an entry whose task
    has left `init` is skipped. `counts[status]`: tasks in each state, updated at every change. `wakes_at`: when the closed
    window opens, if a timer for it is set; else None.
    """

    number: int
    id: str
    firmware: Firmware
    definition: JobDefinition
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
