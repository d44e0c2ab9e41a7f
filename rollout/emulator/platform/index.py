"""What readers see: the truth of some seconds ago.

The platform's get and search calls answer from an index that follows changes about two seconds later. Here every
change of the truth is noted with its time and applied to the views below once the reader's horizon has
passed it. Nothing ever goes back: a lag that is raised only lets the horizon stand still for a while.

Views repeat the truth in their own columns, so that an old answer is whole: counts, statuses and texts of one moment.
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
"""Percent between two progress reports of a device at work."""

_Change = tuple[float, Callable[..., None], tuple[Any, ...]]


def reported_progress(share: float) -> int:
    """Return the last percentage a device has reported when `share` of its work is done."""
    # the last step is the version report, which ends the upgrade
    return min(int(min(max(share, 0.0), 1.0) * 100) // PROGRESS_STEP * PROGRESS_STEP, 100 - PROGRESS_STEP)


class JobView:
    """One job as readers see it; columns over its tasks, N entries visible so far.

    `updated` is when a task last changed; `ends` when a device at work will be done, of use while `upgrading`.
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
        """Tasks readers can see."""
        return len(self.status) - self.counts[Status.REMOVED]

    def report(self, position: int, horizon: float) -> tuple[int, float]:
        """Return progress and update time of a task, seen from `horizon`; devices report every tenth."""
        progress, updated = self.progress[position], self.updated[position]
        if self.status[position] != Status.UPGRADING or self.ends[position] <= updated:
            return progress, updated
        span = self.ends[position] - updated
        progress = reported_progress((horizon - updated) / span)
        return progress, updated + span * progress / 100


class Index:
    """All views, and the changes they have not seen yet.

    `jobs` answers get and search, `holders` searchTask: they differ in deleted jobs if their tasks are kept.
    Both are in order of creation. `upgrading` holds the devices that searches show as at work; `applied` counts the
    changes that readers have come to see.
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
        """Take note of a change at `at`, never before an earlier one, to be applied when readers get there."""
        self._changes.append((at, apply, args))

    def catch_up(self, horizon: float) -> None:
        """Let readers see everything that changed up to and at `horizon`."""
        horizon = self.horizon = max(self.horizon, horizon)
        changes = self._changes
        while changes and changes[0][0] <= horizon:
            _, apply, args = changes.popleft()
            apply(*args)
            self.applied += 1

    def show_job(self, view: JobView) -> None:
        """A job was created."""
        self.jobs[view.job.id] = self.holders[view.job.id] = view

    def switch_job(self, view: JobView, started: bool) -> None:  # noqa: FBT001 - a change is applied with plain arguments
        """A job was started or stopped."""
        view.started = started

    def hide_job(self, view: JobView, keep_tasks: bool) -> None:  # noqa: FBT001 - as above
        """A job was deleted."""
        del self.jobs[view.job.id]
        if not keep_tasks:
            del self.holders[view.job.id]

    def show_tasks(self, view: JobView, count: int, at: float) -> None:
        """`count` more tasks exist, all in `init`."""
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
        """A task changed, and with it perhaps whether its device is at work."""
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
        """Go on showing a device's version, about to change, until readers get to the change."""
        self._held_versions.setdefault(device, []).append(version)

    def change_version(self, device: int) -> None:
        """A device reported another version."""
        held = self._held_versions[device]
        held.pop(0)
        if not held:
            del self._held_versions[device]

    def version(self, devices: Devices, device: int) -> str | None:
        """Return the firmware version readers see."""
        held = self._held_versions.get(device)
        return held[0] if held else devices.version(device)
