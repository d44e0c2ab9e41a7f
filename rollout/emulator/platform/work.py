"""Tasks on their way: how a waiting task comes to its device, what the device reports, and how the attempt ends.

How a task is pushed. A job has a queue of tasks that may go (`Job.ready`). Whenever a slot may have become free, the
queue is worked off from its head: a device that is away goes to sleep until it is back, one at work for another job
waits until that upgrade is over, any other has its package announced. So the cost of a step does not grow with the
number of tasks; counters by status are kept at every change.

    queue ──► ready ──pump──► announce ──► first report ──► end: succeeded, or failed ──retry──► queue
                 ▲    │ device away: until it returns            │ time limit: failed
                 └────┴ device busy: until it is released

All methods take the time they happen at. What an older attempt left on the agenda is recognised by its `turn` and does
nothing.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from functools import partial

from rollout.emulator.platform.agenda import Agenda
from rollout.emulator.platform.behaviour import Behaviour, Column, Course
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
from rollout.emulator.platform.window import is_open, next_open


class Work:
    """All tasks of one platform, and the devices at work.

    Args:
        on_report: called with time and device when a device has reported the version it was brought.
    """

    def __init__(
        self,
        *,
        agenda: Agenda,
        devices: Devices,
        behaviour: Behaviour,
        index: Index,
        meters: Meters,
        knobs: Knobs,
        on_report: Callable[[float, int], None],
    ) -> None:
        self.knobs = knobs
        self.at_work: set[int] = set()
        self._agenda = agenda
        self._devices = devices
        self._behaviour = behaviour
        self._index = index
        self._meters = meters
        self._on_report = on_report
        self._waiting: dict[int, deque[tuple[Job, int]]] = {}
        # devices that go on with what was cancelled: job, position and turn of it
        self._unseen: dict[int, tuple[int, int, int]] = {}

    # --- from init to published -------------------------------------------------------------------------------

    def queue(self, at: float, job: Job, position: int) -> None:
        """Let a task in `init` wait for its push, or for its device to ask."""
        if job.order.upgrade_requests and self.knobs.upgrade_requests == "pull_only":
            device = job.tasks.devices[position]
            first_s = self._behaviour.first_request_s(self._devices.keys[device], self._column(device))
            self._agenda.plan(at + first_s, self._ask, job, position)
        else:
            job.ready.append(position)

    def pump(self, at: float, job: Job) -> None:
        """Push waiting tasks while there are free slots."""
        if not job.ready or not job.started or job.deleted:
            return
        if not is_open(job.order.window, at):
            opens_at = next_open(job.order.window, at)
            if opens_at is not None and job.wakes_at is None:
                job.wakes_at = opens_at
                self._agenda.plan(opens_at, self._wake, job)
            return
        while job.ready and job.in_progress < job.order.maximum_concurrency:
            position = job.ready.popleft()
            if job.tasks.status[position] != Status.INIT:
                continue
            device = job.tasks.devices[position]
            back_at = self._reachable_from(at, device)
            if back_at > at:
                if not math.isinf(back_at):
                    self._agenda.plan(back_at, self._return, job, position)
            elif device in self.at_work:
                self._waiting.setdefault(device, deque()).append((job, position))
            else:
                self._announce(at, job, position)

    def is_online(self, at: float, device: int) -> bool:
        """Return whether the device can be reached, as far as anybody has found out."""
        back_at = self._devices.online_from.get(device, at)
        key, column = self._devices.keys[device], self._column(device)
        return self._behaviour.on_from(key, column, max(at, back_at)) <= at

    def _wake(self, at: float, job: Job) -> None:
        """The job's window opens."""
        job.wakes_at = None
        self.pump(at, job)

    def _return(self, at: float, job: Job, position: int) -> None:
        """A device that was away is back."""
        job.ready.append(position)
        self.pump(at, job)

    def _ask(self, at: float, job: Job, position: int) -> None:
        """A device asks by itself: announce if nothing stands against it, else it asks again."""
        if job.deleted or job.tasks.status[position] != Status.INIT:
            return
        device = job.tasks.devices[position]
        back_at = self._reachable_from(at, device)
        if math.isinf(back_at):
            return
        free = job.started and job.in_progress < job.order.maximum_concurrency and device not in self.at_work
        served = self.knobs.window_for_requests == "ignored" or is_open(job.order.window, at)
        if free and served and back_at <= at:
            self._announce(at, job, position)
        else:
            again_at = max(back_at, at + self._behaviour.request_s(self._column(device)))
            self._agenda.plan(again_at, self._ask, job, position)

    def _reachable_from(self, at: float, device: int) -> float:
        """Return from when on, not before `at`, the device can be reached; one found away is away from now on."""
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
        job.tasks.turns[position] += 1
        turn = job.tasks.turns[position]
        self._move(at, job, position, Status.PUBLISHED)
        course = self._course(device)
        reports_at = course.reports_at(at)
        if not math.isinf(reports_at):
            self._agenda.plan(reports_at, self._first_report, job, position, turn, course)
        timer = self.knobs.published_timer
        if timer == "all" or (timer == "verify" and job.order.verify):
            self._agenda.plan(at + job.order.timeout_s, self._expire_unreported, job, position, turn)

    # --- from published to the end ----------------------------------------------------------------------------

    def _first_report(self, at: float, job: Job, position: int, turn: int, course: Course) -> None:
        if job.tasks.turns[position] != turn or job.tasks.status[position] != Status.PUBLISHED:
            device = job.tasks.devices[position]
            if self._unseen.get(device) == (job.number, position, turn):
                self._agenda.plan(course.ends_at(at), self._end_unseen, job, device, course)
            return
        ends_at, limit_at = course.ends_at(at), at + job.order.timeout_s
        self._move(at, job, position, Status.UPGRADING, ends_at=ends_at)
        if ends_at <= limit_at:
            self._agenda.plan(ends_at, self._end, job, position, turn, course)
        else:
            progress = reported_progress(job.order.timeout_s / (ends_at - at))
            self._agenda.plan(limit_at, self._expire, job, position, turn, progress)

    def _end(self, at: float, job: Job, position: int, turn: int, course: Course) -> None:
        if job.tasks.turns[position] != turn or job.tasks.status[position] != Status.UPGRADING:
            return
        if course.step < 0:
            text = FAILURE_TEXTS.get(course.step, f"device error {course.step}")
            self.fail(at, job, position, course.step, text)
            self.pump(at, job)
            return
        device = job.tasks.devices[position]
        self.set_version(at, device, job.firmware.version)
        self._move(at, job, position, Status.SUCCEEDED, progress=100, desc=FINISHED)
        if job.order.verify:
            job.firmware.count_verified(at)
        self._release(at, device)
        self.pump(at, job)
        self._on_report(at, device)

    def _expire_unreported(self, at: float, job: Job, position: int, turn: int) -> None:
        """The time limit is reached by a device that has not reported."""
        if job.tasks.status[position] == Status.PUBLISHED:
            self._expire(at, job, position, turn, 0)

    def _expire(self, at: float, job: Job, position: int, turn: int, progress: int) -> None:
        """The time limit of an attempt is reached."""
        if job.tasks.turns[position] == turn and job.tasks.status[position] in IN_PROGRESS:
            self.fail(at, job, position, progress, TIMED_OUT)
            self.pump(at, job)

    def fail(
        self, at: float, job: Job, position: int, progress: int, desc: str, *, retry: bool = True
    ) -> None:
        """End a task's attempt; the slot it may have left is for the caller to fill."""
        was = job.tasks.status[position]
        self._move(at, job, position, Status.FAILED, progress=progress, desc=desc)
        policy = job.order.retry
        if retry and policy is not None and job.tasks.retried[position] < policy.count:
            turn = job.tasks.turns[position]
            self._agenda.plan(at + policy.interval_s, self._retry_by_policy, job, position, turn)
        if was in IN_PROGRESS:
            if job.order.verify and self.knobs.verified_by == "any_attempt":
                job.firmware.verify(at)
            self._release(at, job.tasks.devices[position])

    def _retry_by_policy(self, at: float, job: Job, position: int, turn: int) -> None:
        """An automatic retry is due."""
        if job.tasks.turns[position] != turn or job.tasks.status[position] != Status.FAILED or job.deleted:
            return
        job.tasks.retried[position] += 1
        self._move(at, job, position, Status.INIT)
        self.queue(at, job, position)
        self.pump(at, job)

    # --- by order ---------------------------------------------------------------------------------------------

    def cancel(self, at: float, job: Job, position: int) -> None:
        """Cancel a task in `init` or `published`; the device may have its package already and go on."""
        if self.knobs.cancelled_published == "goes_on" and job.tasks.status[position] == Status.PUBLISHED:
            device = job.tasks.devices[position]
            if not math.isinf(self._course(device).first_report_s):
                self._unseen[device] = (job.number, position, job.tasks.turns[position])
        if self.knobs.cancelled_task == "removed":
            was = job.tasks.status[position]
            self._move(at, job, position, Status.REMOVED)
            if was in IN_PROGRESS:
                self._release(at, job.tasks.devices[position])
        else:
            self.fail(at, job, position, 0, CANCELLED, retry=False)

    def _end_unseen(self, at: float, job: Job, device: int, course: Course) -> None:
        """A device is done with what was cancelled: nothing shows it but the version it reports."""
        del self._unseen[device]
        if course.step > 0:
            self.set_version(at, device, job.firmware.version)
        self._release(at, device)
        if course.step > 0:
            self._on_report(at, device)

    def retry(self, at: float, job: Job, position: int) -> None:
        """Let a failed task wait again."""
        if self.knobs.retry_count == "reset":
            job.tasks.retried[position] = 0
        # the automatic retry of this failure must not follow, even if the task has been cancelled by then
        job.tasks.turns[position] += 1
        self._move(at, job, position, Status.INIT)
        self.queue(at, job, position)

    def stop_running(self, at: float, job: Job) -> None:
        """Fail all tasks of a stopped job that are at work."""
        for position in range(len(job.tasks)):
            if job.tasks.status[position] in IN_PROGRESS:
                self.fail(at, job, position, 0, STOPPED, retry=False)

    def set_version(self, at: float, device: int, version: str) -> None:
        """Take the version a device reports."""
        self._index.hold_version(device, self._devices.version(device))
        self._devices.set(device, "firmwareVersion", version)
        self._index.note(at, self._index.change_version, device)

    # --- inside -----------------------------------------------------------------------------------------------

    def _course(self, device: int) -> Course:
        """Return what the device's latest attempt comes to."""
        return self._behaviour.course(
            self._devices.keys[device], self._devices.attempts[device], self._column(device)
        )

    def _column(self, device: int) -> Column:
        return partial(self._devices.column, device)

    def _release(self, at: float, device: int) -> None:
        """The device's upgrade is over; let the next job that waits for it have it."""
        if device in self._unseen:
            return
        self.at_work.remove(device)
        for job, position in self._waiting.pop(device, ()):
            job.ready.append(position)
            self.pump(at, job)

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
        """Change a task's status; the only place that does."""
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
