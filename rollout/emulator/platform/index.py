"""What get and search calls see: the state of the platform some seconds ago.

On the real platform these calls are answered from an index that is about two seconds behind. Here every change is noted
with its time, and applied to the views below once the horizon, the moment that readers see, has reached that time. The
horizon never goes back: when the lag is raised, the horizon stands still until the lag is reached.

A view holds its own copy of a job's columns. So an answer is consistent: its counts, statuses and texts are of one moment.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable
from typing import Any

from rollout.emulator.platform.devices import Devices
from rollout.emulator.platform.job import Job
from rollout.emulator.platform.tasks import IN_PROGRESS, Status

PROGRESS_STEP = 10
"""Percent between two progress reports of a device."""

_Change = tuple[float, Callable[..., None], tuple[Any, ...]]


def reported_progress(share: float) -> int:
    """Return the last percentage a device has reported when the share `share`, 0 to 1, of its work is done."""
    # 100 is never reported as progress: the version report ends the upgrade
    return min(int(min(max(share, 0.0), 1.0) * 100) // PROGRESS_STEP * PROGRESS_STEP, 100 - PROGRESS_STEP)


class JobView:
    """One job as readers see it: columns with one entry for each task that is visible so far.

    `updated`: when the task last changed, seconds since the epoch. `ends`: when the device will be done; it has a meaning
    only while the task is upgrading.
    """

    __slots__ = ("counts", "descs", "ends", "job", "progress", "started", "status", "updated")

    def __init__(self, job: Job, *, started: bool) -> None:
        self.job = job
        self.started = started
        self.status = bytearray()
        self.counts = [0] * len(Status)
        self.progress = array("b")
        self.descs: list[str] = []
        self.updated = array("d")
        self.ends = array("d")

    @property
    def tasks(self) -> int:
        """How many tasks readers can see; removed ones do not count."""
        return len(self.status) - self.counts[Status.REMOVED]

    def report(self, position: int, horizon: float) -> tuple[int, float]:
        """Return progress in percent and update time of a task at the moment `horizon`."""
        progress, updated = self.progress[position], self.updated[position]
        if self.status[position] != Status.UPGRADING or self.ends[position] <= updated:
            return progress, updated
        span = self.ends[position] - updated
        progress = reported_progress((horizon - updated) / span)
        return progress, updated + span * progress / 100


class Index:
    """All views, and the changes that have not been applied to them yet.

    `jobs`: the views that get and search answer from, by job id. `holders`: those that searchTask answers from; they
    include deleted jobs whose tasks are kept. Both are in order of creation. `views`: all views, by job number. `upgrading`:
    numbers of the devices that searches show as upgrading. `horizon`: the moment that readers see, seconds since the
    epoch. `applied`: changes applied so far.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, JobView] = {}
        self.holders: dict[str, JobView] = {}
        self.views: list[JobView] = []
        self.upgrading: set[int] = set()
        self.horizon = 0.0
        self.applied = 0
        self._changes: deque[_Change] = deque()
        self._held_versions: dict[int, list[str | None]] = {}

    def note(self, at: float, apply: Callable[..., None], *args: Any) -> None:
        """Note a change made at `at`: `apply(*args)` is called once the horizon has reached `at`.

        Changes must be noted in the order of their times.
        """
        self._changes.append((at, apply, args))

    def catch_up(self, horizon: float) -> None:
        """Move the horizon forward to `horizon` and apply the changes up to and at that moment."""
        horizon = self.horizon = max(self.horizon, horizon)
        changes = self._changes
        while changes and changes[0][0] <= horizon:
            _, apply, args = changes.popleft()
            apply(*args)
            self.applied += 1

    def show_job(self, view: JobView) -> None:
        """Show a new job."""
        self.jobs[view.job.id] = self.holders[view.job.id] = view

    def switch_job(self, view: JobView, started: bool) -> None:  # noqa: FBT001 - a change is applied with plain arguments
        """Show that a job was started or stopped."""
        view.started = started

    def hide_job(self, view: JobView, keep_tasks: bool) -> None:  # noqa: FBT001 - as above
        """Show a deleted job no more; `keep_tasks`: its tasks stay in searches."""
        del self.jobs[view.job.id]
        if not keep_tasks:
            del self.holders[view.job.id]

    def show_tasks(self, view: JobView, count: int, at: float) -> None:
        """Show `count` more tasks of a job, all in `init`."""
        view.status.extend(bytes([Status.INIT]) * count)
        view.counts[Status.INIT] += count
        view.progress.extend([0] * count)
        view.descs.extend([""] * count)
        view.updated.extend([at] * count)
        view.ends.extend([at] * count)

    def change_task(  # noqa: PLR0917 - as above
        self,
        view: JobView,
        position: int,
        status: Status,
        progress: int,
        desc: str,
        at: float,
        ends_at: float,
    ) -> None:
        """Show a task's new status; it may change whether its device is shown as upgrading."""
        was = view.status[position]
        view.counts[was] -= 1
        view.counts[status] += 1
        view.status[position] = status
        view.progress[position] = progress
        view.descs[position] = desc
        view.updated[position] = at
        view.ends[position] = ends_at
        if status in IN_PROGRESS:
            self.upgrading.add(view.job.tasks.devices[position])
        elif was in IN_PROGRESS:
            self.upgrading.discard(view.job.tasks.devices[position])

    def hold_version(self, device: int, version: str | None) -> None:
        """Keep showing `version`, the device's old one, until `change_version` is applied."""
        self._held_versions.setdefault(device, []).append(version)

    def change_version(self, device: int) -> None:
        """Show the version that a device has reported."""
        held = self._held_versions[device]
        held.pop(0)
        if not held:
            del self._held_versions[device]

    def version(self, devices: Devices, device: int) -> str | None:
        """Return the firmware version that readers see; None if it is unknown."""
        held = self._held_versions.get(device)
        return held[0] if held else devices.version(device)
