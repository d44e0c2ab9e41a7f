"""Upgrades of single devices: how a waiting task is pushed, what the device reports, and how the attempt ends.

Each job has a queue of tasks that may be pushed (`Job.ready`). Whenever a slot may have become free, `push_ready` takes
tasks from its head. If the device is away, a timer puts the task back when the device returns. If the device is in an
upgrade of another job, the task waits for its end. Otherwise the package is announced to the device. Counters by status
are updated at every change, so the cost of a step does not grow with the number of tasks.

    queue ──► ready ──push_ready──► announce ──► first report ──► end: succeeded, or failed ──retry──► queue
                 ▲    │ device away: until it returns                  │ time limit: failed
                 └────┴ device busy: until it is released

Every method is given the time, seconds since the epoch. A timer carries the task's `generation`; if the task has a newer
one, the timer belongs to an older attempt and does nothing.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from functools import partial

from rollout.emulator.platform.behaviour import Behaviour, Column, DrawnAttempt
from rollout.emulator.platform.devices import Devices
from rollout.emulator.platform.index import Index, reported_progress
from rollout.emulator.platform.job import Job
from rollout.emulator.platform.knobs import Knobs
from rollout.emulator.platform.meters import Meters
from rollout.emulator.platform.population import FAILURE_TEXTS
from rollout.emulator.platform.tasks import (
    CANCELLED,
    FINISHED,
    IN_PROGRESS,
    STOPPED,
    TIMED_OUT,
    TRANSITIONS,
    Status,
)
from rollout.emulator.platform.timers import Timers
from rollout.emulator.platform.window import is_open, next_open


class Upgrades:
    """All upgrades of one platform.

    `knobs`: the knobs as they are set now; the model replaces them. `at_work`: numbers of the devices in an upgrade.

    Args:
        on_report: called with time and device number after a device has reported its new version.
    """

    def __init__(
        self,
        *,
        timers: Timers,
        devices: Devices,
        behaviour: Behaviour,
        index: Index,
        meters: Meters,
        knobs: Knobs,
        on_report: Callable[[float, int], None],
    ) -> None:
        self.knobs = knobs
        self.at_work: set[int] = set()
        self._timers = timers
        self._devices = devices
        self._behaviour = behaviour
        self._index = index
        self._meters = meters
        self._on_report = on_report
        self._waiting: dict[int, deque[tuple[Job, int]]] = {}
        # devices that go on although their task was cancelled: job number, position and generation of that task
        self._going_on: dict[int, tuple[int, int, int]] = {}

    # --- from init to published -------------------------------------------------------------------------------

    def queue(self, at: float, job: Job, position: int) -> None:
        """Let a task in `init` wait until it can be pushed, or until its device asks."""
        if job.definition.upgrade_requests and self.knobs.upgrade_requests == "pull_only":
            device = job.tasks.devices[position]
            first_s = self._behaviour.first_request_s(self._devices.keys[device], self._column(device))
            self._timers.call_at(at + first_s, self._ask, job, position)
        else:
            job.ready.append(position)

    def push_ready(self, at: float, job: Job) -> None:
        """Push the job's waiting tasks while it has free slots."""
        if not job.ready or not job.started or job.deleted:
            return
        if not is_open(job.definition.window, at):
            opens_at = next_open(job.definition.window, at)
            if opens_at is not None and job.wakes_at is None:
                job.wakes_at = opens_at
                self._timers.call_at(opens_at, self._wake, job)
            return
        while job.ready and job.in_progress < job.definition.maximum_concurrency:
            position = job.ready.popleft()
            if job.tasks.status[position] != Status.INIT:
                continue
            device = job.tasks.devices[position]
            back_at = self._reachable_from(at, device)
            if back_at > at:
                if not math.isinf(back_at):
                    self._timers.call_at(back_at, self._return, job, position)
            elif device in self.at_work:
                self._waiting.setdefault(device, deque()).append((job, position))
            else:
                self._announce(at, job, position)

    def is_online(self, at: float, device: int) -> bool:
        """Return whether the device can be reached, as far as the platform knows."""
        back_at = self._devices.online_from.get(device, at)
        key, column = self._devices.keys[device], self._column(device)
        return self._behaviour.on_from(key, column, max(at, back_at)) <= at

    def _wake(self, at: float, job: Job) -> None:
        """Go on pushing when the job's window opens."""
        job.wakes_at = None
        self.push_ready(at, job)

    def _return(self, at: float, job: Job, position: int) -> None:
        """Let a task be pushed again whose device was away and is back."""
        job.ready.append(position)
        self.push_ready(at, job)

    def _ask(self, at: float, job: Job, position: int) -> None:
        """Answer a device that asks by itself: announce if that is possible now, else let it ask again later."""
        if job.deleted or job.tasks.status[position] != Status.INIT:
            return
        device = job.tasks.devices[position]
        back_at = self._reachable_from(at, device)
        if math.isinf(back_at):
            return
        free = (
            job.started
            and job.in_progress < job.definition.maximum_concurrency
            and device not in self.at_work
        )
        served = self.knobs.window_for_requests == "ignored" or is_open(job.definition.window, at)
        if free and served and back_at <= at:
            self._announce(at, job, position)
        else:
            again_at = max(back_at, at + self._behaviour.request_s(self._column(device)))
            self._timers.call_at(again_at, self._ask, job, position)

    def _reachable_from(self, at: float, device: int) -> float:
        """Return the first moment at or after `at` at which the device can be reached; infinite if never.

        The first call decides whether the device is away, and from then on it is.
        """
        key, column = self._devices.keys[device], self._column(device)
        back_at = self._devices.online_from.get(device)
        if back_at is None:
            absence_s = self._behaviour.absence_s(key, column)
            back_at = at + absence_s
            if absence_s > 0:
                self._devices.online_from[device] = back_at
        return self._behaviour.on_from(key, column, max(at, back_at))

    def _announce(self, at: float, job: Job, position: int) -> None:
        device = job.tasks.devices[position]
        assert device not in self.at_work, "a device is never in two upgrades at once"
        self.at_work.add(device)
        self._devices.attempts[device] += 1
        job.tasks.generations[position] += 1
        generation = job.tasks.generations[position]
        self._move(at, job, position, Status.PUBLISHED)
        drawn = self._drawn(device)
        reports_at = drawn.reports_at(at)
        if not math.isinf(reports_at):
            self._timers.call_at(reports_at, self._first_report, job, position, generation, drawn)
        timer = self.knobs.published_timer
        if timer == "all" or (timer == "verify" and job.definition.verify):
            self._timers.call_at(
                at + job.definition.timeout_s, self._expire_unreported, job, position, generation
            )

    # --- from published to the end ----------------------------------------------------------------------------

    def _first_report(self, at: float, job: Job, position: int, generation: int, drawn: DrawnAttempt) -> None:
        if job.tasks.generations[position] != generation or job.tasks.status[position] != Status.PUBLISHED:
            device = job.tasks.devices[position]
            if self._going_on.get(device) == (job.number, position, generation):
                self._timers.call_at(drawn.ends_at(at), self._end_cancelled, job, device, drawn)
            return
        ends_at, limit_at = drawn.ends_at(at), at + job.definition.timeout_s
        self._move(at, job, position, Status.UPGRADING, ends_at=ends_at)
        if ends_at <= limit_at:
            self._timers.call_at(ends_at, self._end, job, position, generation, drawn)
        else:
            progress = reported_progress(job.definition.timeout_s / (ends_at - at))
            self._timers.call_at(limit_at, self._expire, job, position, generation, progress)

    def _end(self, at: float, job: Job, position: int, generation: int, drawn: DrawnAttempt) -> None:
        if job.tasks.generations[position] != generation or job.tasks.status[position] != Status.UPGRADING:
            return
        if drawn.step < 0:
            text = FAILURE_TEXTS.get(drawn.step, f"device error {drawn.step}")
            self.fail(at, job, position, drawn.step, text)
            self.push_ready(at, job)
            return
        device = job.tasks.devices[position]
        self.set_version(at, device, job.firmware.version)
        self._move(at, job, position, Status.SUCCEEDED, progress=100, desc=FINISHED)
        if job.definition.verify:
            job.firmware.count_verified(at)
        self._release(at, device)
        self.push_ready(at, job)
        self._on_report(at, device)

    def _expire_unreported(self, at: float, job: Job, position: int, generation: int) -> None:
        """Apply the time limit to a task whose device has not reported."""
        if job.tasks.status[position] == Status.PUBLISHED:
            self._expire(at, job, position, generation, 0)

    def _expire(self, at: float, job: Job, position: int, generation: int, progress: int) -> None:
        """Apply the time limit of an attempt."""
        if job.tasks.generations[position] == generation and job.tasks.status[position] in IN_PROGRESS:
            self.fail(at, job, position, progress, TIMED_OUT)
            self.push_ready(at, job)

    def fail(
        self, at: float, job: Job, position: int, progress: int, desc: str, *, retry: bool = True
    ) -> None:
        """Fail a task. The caller calls `push_ready` afterwards, because a slot may have become free.

        Args:
            retry: whether the job's automatic retry applies.
        """
        was = job.tasks.status[position]
        self._move(at, job, position, Status.FAILED, progress=progress, desc=desc)
        policy = job.definition.retry
        if retry and policy is not None and job.tasks.retried[position] < policy.count:
            generation = job.tasks.generations[position]
            self._timers.call_at(at + policy.interval_s, self._retry_by_policy, job, position, generation)
        if was in IN_PROGRESS:
            if job.definition.verify and self.knobs.verified_by == "any_attempt":
                job.firmware.verify(at)
            self._release(at, job.tasks.devices[position])

    def _retry_by_policy(self, at: float, job: Job, position: int, generation: int) -> None:
        """Make an automatic retry that is due."""
        if (
            job.tasks.generations[position] != generation
            or job.tasks.status[position] != Status.FAILED
            or job.deleted
        ):
            return
        job.tasks.retried[position] += 1
        self._move(at, job, position, Status.INIT)
        self.queue(at, job, position)
        self.push_ready(at, job)

    # --- by calls ---------------------------------------------------------------------------------------------

    def cancel(self, at: float, job: Job, position: int) -> None:
        """Cancel a task in `init` or `published`. A device that has its package already may go on (a knob)."""
        if self.knobs.cancelled_published == "goes_on" and job.tasks.status[position] == Status.PUBLISHED:
            device = job.tasks.devices[position]
            if not math.isinf(self._drawn(device).first_report_s):
                self._going_on[device] = (job.number, position, job.tasks.generations[position])
        if self.knobs.cancelled_task == "removed":
            was = job.tasks.status[position]
            self._move(at, job, position, Status.REMOVED)
            if was in IN_PROGRESS:
                self._release(at, job.tasks.devices[position])
        else:
            self.fail(at, job, position, 0, CANCELLED, retry=False)

    def _end_cancelled(self, at: float, job: Job, device: int, drawn: DrawnAttempt) -> None:
        """End an upgrade whose task was cancelled: only the version that the device reports shows it."""
        del self._going_on[device]
        if drawn.step > 0:
            self.set_version(at, device, job.firmware.version)
        self._release(at, device)
        if drawn.step > 0:
            self._on_report(at, device)

    def retry(self, at: float, job: Job, position: int) -> None:
        """Give a failed task another attempt."""
        if self.knobs.retry_count == "reset":
            job.tasks.retried[position] = 0
        # a timer of an automatic retry of this failure must do nothing, even if the task has been cancelled by then
        job.tasks.generations[position] += 1
        self._move(at, job, position, Status.INIT)
        self.queue(at, job, position)

    def stop_running(self, at: float, job: Job) -> None:
        """Fail all tasks of a stopped job that are at work."""
        for position in range(len(job.tasks)):
            if job.tasks.status[position] in IN_PROGRESS:
                self.fail(at, job, position, 0, STOPPED, retry=False)

    def set_version(self, at: float, device: int, version: str) -> None:
        """Set the version that a device reports."""
        self._index.hold_version(device, self._devices.version(device))
        self._devices.set(device, "firmwareVersion", version)
        self._index.note(at, self._index.change_version, device)

    # --- inside -----------------------------------------------------------------------------------------------

    def _drawn(self, device: int) -> DrawnAttempt:
        """Return what the device's latest attempt comes to."""
        return self._behaviour.attempt(
            self._devices.keys[device], self._devices.attempts[device], self._column(device)
        )

    def _column(self, device: int) -> Column:
        return partial(self._devices.column, device)

    def _release(self, at: float, device: int) -> None:
        """End the device's upgrade and let the jobs that wait for the device push to it."""
        if device in self._going_on:
            return
        self.at_work.remove(device)
        for job, position in self._waiting.pop(device, ()):
            job.ready.append(position)
            self.push_ready(at, job)

    def _move(
        self,
        at: float,
        job: Job,
        position: int,
        status: Status,
        *,
        progress: int = 0,
        desc: str = "",
        ends_at: float = 0.0,
    ) -> None:
        """Change a task's status. Nothing else changes one."""
        was = job.tasks.status[position]
        assert status in TRANSITIONS[was], f"no way from {Status(was).label} to {status.label}"
        job.tasks.status[position] = status
        job.counts[was] -= 1
        job.counts[status] += 1
        delta = (status in IN_PROGRESS) - (was in IN_PROGRESS)
        if delta:
            self._meters.change(at, delta)
        index = self._index
        index.note(
            at, index.change_task, index.views[job.number], position, status, progress, desc, at, ends_at
        )
