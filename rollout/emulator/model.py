"""The platform as it is: firmware, devices, jobs and tasks, moved by operations and by time.

Pure: no clock, no I/O. Every operation and `advance` is given the time; between two of them the model steps through
all that happens in the order of its times, so it makes no difference how often or by whom it is asked. All chance
comes from the population, seeded per device and attempt. Hence: the same seed and the same operations at the same
times give the same jobs, ids and device histories, which is how an emulator that was killed lives on (`oplog`).

How a task is pushed. A job has a queue of tasks that may go (`Job.ready`). Whenever a slot may have become free, the
queue is worked off from its head: a device that is away goes to sleep until it is back, one at work for another job
waits until that upgrade is over, any other has its package announced. So the cost of a step does not grow with the
number of tasks; counters by status are kept at every change.

Readers never look at this truth but at the index that follows it (`index`, `search`).
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum, auto
from typing import Any, assert_never

from rollout.emulator.devices import DEFAULT_PRODUCT, NO_TASK, Devices
from rollout.emulator.firmware import Firmware, read_metadata
from rollout.emulator.index import Index, JobView, TaskLook, reported_progress
from rollout.emulator.job import Job
from rollout.emulator.knobs import Knobs, with_settings
from rollout.emulator.meters import Meters
from rollout.emulator.orders import Texts, read_device_keys, read_job_order
from rollout.emulator.population import FAILURE_TEXTS, Course, Population
from rollout.emulator.refusal import Refusal, invalid
from rollout.emulator.scope import in_scope, select
from rollout.emulator.tasks import (
    CANCELLED,
    CLASHED,
    FINISHED,
    IN_PROGRESS,
    STOPPED,
    TIMED_OUT,
    TRANSITIONS,
    Status,
)
from rollout.emulator.window import Span, is_open, next_open
from rollout.enos import limits
from rollout.enos.codes import Code

__all__ = ["Platform"]

GROWTH_STEPS = 10
"""Portions in which a job's tasks come to exist."""

LINK_BITS = 32
"""A task is packed into one number for the chains: job number above, position below."""


_Change = Callable[[float, Job, int], None]


class _Happening(Enum):
    """What can come due."""

    CREATE = auto()  # a delayed create call takes effect
    GROW = auto()  # a portion of a job's tasks comes to exist
    WAKE = auto()  # a job's window opens
    CLOSE = auto()  # a job's only window is over
    RETURN = auto()  # a device that was away is back
    ASK = auto()  # a device asks for an upgrade by itself
    REPORT = auto()  # first progress after the announcement
    END = auto()  # the device is done
    EXPIRE = auto()  # the time limit of the attempt is reached
    RETRY = auto()  # an automatic retry is due


class Platform:
    """One organisation's OTA service.

    Times are seconds since the epoch and never go back: an operation or reading in the past happens at `now`.
    Operations raise `Refusal` with the documented code and have then changed nothing, unless they say otherwise.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        start: float = 0.0,
        org_id: str = "o00000000000000",
        population: Population | None = None,
        knobs: Knobs | None = None,
        devices: Iterable[tuple[str, Mapping[str, str]]] = (),
    ) -> None:
        self.seed = seed
        self.org_id = org_id
        self.now = start
        self.population = population or Population()
        self.knobs = knobs or Knobs()
        self.devices = Devices()
        self.firmware: dict[str, Firmware] = {}
        self.jobs: dict[str, Job] = {}
        self.all_jobs: list[Job] = []
        self.index = Index()
        self.meters = Meters(start)
        self.searches = 0
        self._due: list[tuple[float, int, _Happening, Any]] = []
        self._scheduled = 0
        self._made = 0
        self._at_work: set[int] = set()
        self._waiting: dict[int, deque[tuple[Job, int]]] = {}
        self._growing: list[Job] = []
        for key, columns in devices:
            self.devices.add(key, columns)

    # --- time -------------------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Let happen all that is due up to and at `now`; readers then see the state of `read_lag_s` before."""
        due = self._due
        while due and due[0][0] <= now:
            at, _, happening, what = heapq.heappop(due)
            self.now = at
            self._happen(at, happening, what)
            # keeps the changes not seen yet few, however far the step
            self.index.catch_up(at - self.knobs.read_lag_s)
        self.now = max(self.now, now)
        self.index.catch_up(self.now - self.knobs.read_lag_s)

    def next_due(self) -> float | None:
        """Return when something happens next by itself; None if nothing does."""
        return self._due[0][0] if self._due else None

    def _schedule(self, at: float, happening: _Happening, what: Any) -> None:
        # the running number keeps equal times in the order of their scheduling
        self._scheduled += 1
        heapq.heappush(self._due, (at, self._scheduled, happening, what))

    def _happen(self, at: float, happening: _Happening, what: Any) -> None:
        match happening:
            case _Happening.CREATE:
                firmware_id, body = what
                try:
                    self._create(at, firmware_id, body)
                except Refusal:
                    # nobody is there any more to be told
                    return
            case _Happening.GROW:
                job, count = what
                self._grow(at, job, count)
            case _Happening.WAKE:
                what.wakes_at = None
                self._pump(at, what)
            case _Happening.CLOSE:
                if what.started and not what.deleted and self.knobs.window_over == "stopped":
                    self._switch(at, what, started=False)
            case _Happening.RETURN:
                job, position = what
                job.ready.append(position)
                self._pump(at, job)
            case _Happening.ASK:
                self._answer_request(at, *what)
            case _Happening.REPORT:
                self._first_report(at, *what)
            case _Happening.END:
                self._end(at, *what)
            case _Happening.EXPIRE:
                job, position, turn, status, progress = what
                if job.tasks.turns[position] == turn and job.tasks.status[position] == status:
                    self._fail(at, job, position, progress, TIMED_OUT)
                    self._pump(at, job)
            case _Happening.RETRY:
                job, position, turn = what
                if (
                    job.tasks.turns[position] == turn
                    and job.tasks.status[position] == Status.FAILED
                    and not job.deleted
                ):
                    job.tasks.retried[position] += 1
                    self._move(at, job, position, Status.INIT)
                    self._queue(at, job, position)
                    self._pump(at, job)
            case _:
                assert_never(happening)

    # --- operations on jobs -----------------------------------------------------------------------------------

    def create_job(self, now: float, firmware_id: str, body: Any) -> str:
        """Create a job as a create call's body orders it; return its id.

        Raises: Refusal 24404, 99400, 24610, 24611, 24612, checked in this order.
        """
        self.advance(now)
        return self._create(self.now, firmware_id, body)

    def create_job_later(self, now: float, firmware_id: str, body: Any, delay_s: float) -> None:
        """Let a create call take effect after `delay_s`, when its caller has long given up; refusals are lost."""
        self.advance(now)
        self._schedule(self.now + delay_s, _Happening.CREATE, (firmware_id, body))

    def start_job(self, now: float, job_id: str) -> None:
        """Start a stopped job. Raises: Refusal 24404, 24615."""
        self.advance(now)
        job = self._job(job_id)
        if job.started:
            raise Refusal(Code.JOB_HAS_STARTED)
        self._switch(self.now, job, started=True)
        if job.order.incremental:
            # what came to match while the job stood still
            known = set(job.tasks.devices) | set(job.matched)
            found = select(self.devices, job.order.scope, job.product_key, job.firmware.version, self.knobs)
            self._add_tasks(self.now, job, [device for device in found if device not in known])
        self._pump(self.now, job)
        self._settle()

    def stop_job(self, now: float, job_id: str) -> None:
        """Stop a started job: nothing more is pushed. Raises: Refusal 24404, 24616."""
        self.advance(now)
        job = self._job(job_id)
        if not job.started:
            raise Refusal(Code.JOB_HAS_STOPPED)
        self._switch(self.now, job, started=False)
        if self.knobs.stop_running == "fail":
            for position in range(len(job.tasks)):
                if job.tasks.status[position] in IN_PROGRESS:
                    self._fail(self.now, job, position, 0, STOPPED, retry=False)
            self._settle()

    def delete_job(self, now: float, job_id: str) -> None:
        """Delete a stopped job; devices at work finish unseen. Raises: Refusal 24404, 24618."""
        self.advance(now)
        job = self._job(job_id)
        if job.started:
            raise Refusal(Code.JOB_RUNNING)
        job.deleted = True
        del self.jobs[job_id]
        kept = self.knobs.deleted_job_tasks == "kept"
        self.index.note(self.now, self.index.hide_job, self._view(job), kept)
        self._settle()

    def cancel_tasks(self, now: float, job_id: str, body: Any) -> None:
        """Cancel the tasks of some devices that still wait or have only been announced to.

        Raises: Refusal 24404, 99400, 24617, 24620; after the last, knob `batch_errors` says what has been done.
        """
        self._change_tasks(
            now,
            job_id,
            body,
            allowed=frozenset({Status.INIT, Status.PUBLISHED}),
            refusal=Refusal(Code.TASK_NOT_CANCELLABLE),
            change=self._cancel,
        )

    def retry_tasks(self, now: float, job_id: str, body: Any) -> None:
        """Give failed tasks of some devices another attempt.

        Raises: Refusal 24404, 99400, 24617, 24621; after the last, knob `batch_errors` says what has been done.
        """
        self._change_tasks(
            now,
            job_id,
            body,
            allowed=frozenset({Status.FAILED}),
            refusal=Refusal(Code.TASK_NOT_FAILED),
            change=self._retry,
        )

    # --- operations on firmware, devices and the emulator itself --------------------------------------------------

    def create_firmware(self, now: float, product_key: str | None, metadata: Any, file_size: int) -> str:
        """Register a firmware from the `metadata` part of its upload; return its id. Raises: Refusal 99400."""
        self.advance(now)
        firmware = read_metadata(
            metadata,
            self.knobs,
            firmware_id=self._next_id("firmware"),
            product_key=product_key,
            file_size=file_size,
            created_at=self.now,
        )
        for other in self.firmware.values():
            if (other.product_key, other.name.default) == (product_key, firmware.name.default):
                raise invalid("a firmware of this product has that name")
        self.firmware[firmware.id] = firmware
        return firmware.id

    def delete_firmware(self, now: float, firmware_id: str) -> None:
        """Delete a firmware no job uses. Raises: Refusal 24404, 24604."""
        self.advance(now)
        if firmware_id not in self.firmware:
            raise Refusal(Code.NOT_FOUND, "Firmware not found")
        if any(job.firmware.id == firmware_id for job in self.jobs.values()):
            raise Refusal(Code.FIRMWARE_IN_USE)
        del self.firmware[firmware_id]

    def report_device(self, now: float, key: str, columns: Mapping[str, str]) -> None:
        """Take what a device reports of itself, such as its `firmwareVersion`; registers an unknown one.

        Jobs with policy `incremental` take it in if it has come to match.
        """
        self.advance(now)
        others = {name: value for name, value in columns.items() if name != "firmwareVersion"}
        device = self.devices.add(key, others)
        if "firmwareVersion" in columns:
            self._set_version(self.now, device, columns["firmwareVersion"])
        self._offer(self.now, device)
        self._settle()

    def set_knobs(self, now: float, settings: Mapping[str, Any]) -> None:
        """Change knobs from now on. Raises: ValueError naming the one that cannot be set."""
        self.advance(now)
        self.knobs = with_settings(self.knobs, settings)

    # --- instruments ----------------------------------------------------------------------------------------------

    def jobs_holding(self, key: str) -> int:
        """Return how many jobs, deleted ones left out, hold a task for the device."""
        device = self.devices.find(key)
        if device is None:
            return 0
        return sum(
            not job.deleted and job.tasks.status[at] != Status.REMOVED for job, at in self.tasks_of(device)
        )

    def holdings(self) -> dict[str, int]:
        """Return for every device with a task how many jobs, deleted ones left out, hold one for it."""
        return {key: held for key in self.devices.keys if (held := self.jobs_holding(key))}

    def tasks_of(self, device: int) -> Iterator[tuple[Job, int]]:
        """Yield job and position of all tasks the device ever had, newest first."""
        link = self.devices.last_task[device]
        while link != NO_TASK:
            job = self.all_jobs[link >> LINK_BITS]
            position = link & ((1 << LINK_BITS) - 1)
            yield job, position
            link = job.tasks.links[position]

    # --- jobs, inside -------------------------------------------------------------------------------------------

    def _create(self, at: float, firmware_id: str, body: Any) -> str:
        firmware = self.firmware.get(firmware_id)
        if firmware is None and self.knobs.strict_firmware:
            raise Refusal(Code.NOT_FOUND, "Firmware not found")
        order = read_job_order(body, self.knobs)
        if firmware is None:
            firmware = _unheard_of_firmware(at, firmware_id, order.scope.product_key)
        if order.verify:
            if order.scope.total:
                raise Refusal(Code.VERIFY_WITH_TOTAL_SCOPE)
        elif firmware.enable_verification and firmware.verified_at is None:
            raise Refusal(Code.FIRMWARE_NOT_VERIFIED)
        product_key = order.scope.product_key or firmware.product_key
        if order.scope.selector == "deviceKeys" and product_key is None:
            raise invalid("upgradeScope.productKey is missing for a firmware without a product")
        matched = select(self.devices, order.scope, product_key, firmware.version, self.knobs)
        named = len(order.scope.value) if order.scope.selector == "deviceKeys" else len(matched)
        if order.verify and named > firmware.verify_devices_max:
            raise Refusal(
                Code.TOO_MANY_VERIFY_DEVICES,
                f"Exceeded max verification deviceKeys, max[{firmware.verify_devices_max}]",
            )
        self.firmware[firmware_id] = firmware
        job = Job(
            number=len(self.all_jobs),
            id=self._next_id("job"),
            firmware=firmware,
            order=order,
            product_key=product_key,
            created_at=at,
            started=self.knobs.created_job == "started",
        )
        job.matched.extend(matched)
        self.all_jobs.append(job)
        self.jobs[job.id] = job
        if order.name is not None:
            self.meters.jobs_by_name[order.name.default] += 1
        view = JobView(job, started=job.started)
        self.index.views.append(view)
        self.index.note(at, self.index.show_job, view)
        if order.incremental:
            self._growing.append(job)
        if isinstance(order.window, Span):
            # the first instant after the window; its end belongs to it
            self._schedule(math.nextafter(order.window.end, math.inf), _Happening.CLOSE, job)
        self._plan_growth(at, job)
        self._settle()
        return job.id

    def _plan_growth(self, at: float, job: Job) -> None:
        total = len(job.matched)
        steps = min(GROWTH_STEPS, total)
        if not self.knobs.materialise_s:
            self._grow(at, job, total)
            return
        for step in range(steps):
            share = total * (step + 1) // steps - total * step // steps
            self._schedule(at + self.knobs.materialise_s * (step + 1) / steps, _Happening.GROW, (job, share))

    def _grow(self, at: float, job: Job, count: int) -> None:
        if job.deleted:
            return
        chosen: list[int] = []
        for _ in range(count):
            device = job.matched.popleft()
            if self.knobs.busy_device != "no_task" or not self._is_claimed(device, job):
                chosen.append(device)
        self._add_tasks(at, job, chosen)

    def _add_tasks(self, at: float, job: Job, chosen: list[int]) -> None:
        first = len(job.tasks)
        for offset, device in enumerate(chosen):
            reported = self.devices.version(device)
            from_version = job.order.scope.first_version if reported is None else reported
            job.tasks.append(device, self.devices.last_task[device], from_version)
            self.devices.last_task[device] = job.number << LINK_BITS | (first + offset)
        job.counts[Status.INIT] += len(chosen)
        self.index.note(at, self.index.show_tasks, self._view(job), len(chosen), at)
        for position in range(first, len(job.tasks)):
            if self.knobs.busy_device == "failed" and self._is_claimed(job.tasks.devices[position], job):
                self._fail(at, job, position, 0, CLASHED, retry=False)
            else:
                self._queue(at, job, position)
        self._pump(at, job)

    def _is_claimed(self, device: int, job: Job) -> bool:
        """Return whether another running job has an unfinished task for the device."""
        return any(
            other is not job
            and other.started
            and not other.deleted
            and other.tasks.status[at] < Status.SUCCEEDED
            for other, at in self.tasks_of(device)
        )

    def _offer(self, at: float, device: int) -> None:
        """Let open-ended jobs take in a device that has come to match."""
        for job in self._growing:
            if job.deleted or not job.started or any(other is job for other, _ in self.tasks_of(device)):
                continue
            if device not in job.matched and in_scope(
                self.devices, device, job.order.scope, job.product_key, job.firmware.version
            ):
                self._add_tasks(at, job, [device])

    def _switch(self, at: float, job: Job, *, started: bool) -> None:
        job.started = started
        self.index.note(at, self.index.switch_job, self._view(job), started)
        self._settle()

    def _job(self, job_id: str) -> Job:
        job = self.jobs.get(job_id)
        if job is None:
            raise Refusal(Code.NOT_FOUND, "Job not found")
        return job

    def _view(self, job: Job) -> JobView:
        return self.index.views[job.number]

    def _next_id(self, kind: str) -> str:
        """Return 24 hex digits: a start owed to the seed, then a running number."""
        self._made += 1
        return hashlib.sha256(f"{self.seed}/{kind}".encode()).hexdigest()[:16] + f"{self._made:08x}"

    def task_id(self, job: Job, position: int) -> str:
        """Return the id of a task, 24 hex digits."""
        start = hashlib.sha256(f"{self.seed}/task".encode()).hexdigest()[:8]
        return f"{start}{job.number:08x}{position:08x}"

    def _settle(self) -> None:
        """Let readers without lag see at once what an operation did."""
        self.index.catch_up(self.now - self.knobs.read_lag_s)

    # --- tasks, inside ------------------------------------------------------------------------------------------

    def _change_tasks(
        self,
        now: float,
        job_id: str,
        body: Any,
        *,
        allowed: frozenset[Status],
        refusal: Refusal,
        change: _Change,
    ) -> None:
        self.advance(now)
        job = self._job(job_id)
        keys = read_device_keys(body, self.knobs)
        if not job.started:
            raise Refusal(Code.JOB_NOT_RUNNING)
        good: list[int] = []
        wrong = False
        for key in keys:
            device = self.devices.find(key)
            position = None if device is None else self._position(job, device)
            if position is None or job.tasks.status[position] not in allowed:
                wrong = True
            else:
                good.append(position)
        if wrong and self.knobs.batch_errors == "nothing":
            raise refusal
        for position in good:
            change(self.now, job, position)
        self._pump(self.now, job)
        self._settle()
        if wrong and self.knobs.batch_errors == "partial_error":
            raise refusal

    def _position(self, job: Job, device: int) -> int | None:
        return next((position for other, position in self.tasks_of(device) if other is job), None)

    def _cancel(self, at: float, job: Job, position: int) -> None:
        if self.knobs.cancelled_task == "removed":
            was = job.tasks.status[position]
            self._move(at, job, position, Status.REMOVED)
            if was in IN_PROGRESS:
                self._release(at, job.tasks.devices[position])
        else:
            self._fail(at, job, position, 0, CANCELLED, retry=False)

    def _retry(self, at: float, job: Job, position: int) -> None:
        # the automatic retry of this failure must not follow, even if the task has been cancelled by then
        job.tasks.turns[position] += 1
        self._move(at, job, position, Status.INIT)
        self._queue(at, job, position)

    def _queue(self, at: float, job: Job, position: int) -> None:
        """Let a task wait for its push, or for its device to ask."""
        if job.order.upgrade_requests and self.knobs.upgrade_requests == "pull_only":
            key = self.devices.keys[job.tasks.devices[position]]
            first_s = self.population.first_request_s(self.seed, key)
            self._schedule(at + first_s, _Happening.ASK, (job, position))
        else:
            job.ready.append(position)

    def _answer_request(self, at: float, job: Job, position: int) -> None:
        """A device asks by itself: announce if nothing stands against it, else it asks again; no window applies."""
        if job.deleted or job.tasks.status[position] != Status.INIT:
            return
        device = job.tasks.devices[position]
        back_at = self._online_from(at, device)
        if math.isinf(back_at):
            return
        free = job.started and job.in_progress < job.order.maximum_concurrency and device not in self._at_work
        if free and back_at <= at:
            self._announce(at, job, position)
        else:
            again_at = max(back_at, at + self.population.request_s)
            self._schedule(again_at, _Happening.ASK, (job, position))

    def _pump(self, at: float, job: Job) -> None:
        """Push waiting tasks while there are free slots."""
        if not job.ready or not job.started or job.deleted:
            return
        if not is_open(job.order.window, at):
            opens_at = next_open(job.order.window, at)
            if opens_at is not None and job.wakes_at is None:
                job.wakes_at = opens_at
                self._schedule(opens_at, _Happening.WAKE, job)
            return
        while job.ready and job.in_progress < job.order.maximum_concurrency:
            position = job.ready.popleft()
            if job.tasks.status[position] != Status.INIT:
                continue
            device = job.tasks.devices[position]
            back_at = self._online_from(at, device)
            if back_at > at:
                if not math.isinf(back_at):
                    self._schedule(back_at, _Happening.RETURN, (job, position))
            elif device in self._at_work:
                self._waiting.setdefault(device, deque()).append((job, position))
            else:
                self._announce(at, job, position)

    def _online_from(self, at: float, device: int) -> float:
        """Return since or from when the device can be reached; a device found away first is away from now on."""
        known = self.devices.online_from.get(device)
        if known is not None:
            return known
        absence_s = self.population.absence_s(
            self.seed, self.devices.keys[device], lambda column: self.devices.column(device, column)
        )
        if absence_s > 0:
            self.devices.online_from[device] = at + absence_s
        return at + absence_s

    def _announce(self, at: float, job: Job, position: int) -> None:
        device = job.tasks.devices[position]
        assert device not in self._at_work, "a device is never in two upgrades at once"
        self._at_work.add(device)
        self.devices.attempts[device] += 1
        job.tasks.turns[position] += 1
        turn = job.tasks.turns[position]
        self._move(at, job, position, Status.PUBLISHED)
        self.index.note(at, self.index.begin_upgrade, device)
        course = self.population.course(
            self.seed,
            self.devices.keys[device],
            self.devices.attempts[device],
            lambda column: self.devices.column(device, column),
        )
        if not math.isinf(course.first_report_s):
            self._schedule(at + course.first_report_s, _Happening.REPORT, (job, position, turn, course))
        timer = self.knobs.published_timer
        if timer == "all" or (timer == "verify" and job.order.verify):
            limit_at = at + job.order.timeout_s
            self._schedule(limit_at, _Happening.EXPIRE, (job, position, turn, Status.PUBLISHED, 0))

    def _first_report(self, at: float, job: Job, position: int, turn: int, course: Course) -> None:
        if job.tasks.turns[position] != turn or job.tasks.status[position] != Status.PUBLISHED:
            return
        ends_at = at + course.work_s
        self._move(at, job, position, Status.UPGRADING, ends_at=ends_at)
        if course.work_s <= job.order.timeout_s:
            self._schedule(ends_at, _Happening.END, (job, position, turn, course))
        else:
            progress = reported_progress(job.order.timeout_s / course.work_s)
            limit_at = at + job.order.timeout_s
            self._schedule(limit_at, _Happening.EXPIRE, (job, position, turn, Status.UPGRADING, progress))

    def _end(self, at: float, job: Job, position: int, turn: int, course: Course) -> None:
        if job.tasks.turns[position] != turn or job.tasks.status[position] != Status.UPGRADING:
            return
        if course.step < 0:
            self._fail(
                at, job, position, course.step, FAILURE_TEXTS.get(course.step, f"device error {course.step}")
            )
            self._pump(at, job)
            return
        device = job.tasks.devices[position]
        self._set_version(at, device, job.firmware.version)
        self._move(at, job, position, Status.SUCCEEDED, progress=100, desc=FINISHED)
        if job.order.verify:
            job.firmware.verify_successes += 1
            if (
                job.firmware.verify_successes >= job.firmware.verify_successes_min
                and job.firmware.verified_at is None
            ):
                job.firmware.verified_at = at
        self._release(at, device)
        self._pump(at, job)
        # the version report is what open-ended jobs wait for
        self._offer(at, device)

    def _fail(
        self, at: float, job: Job, position: int, progress: int, desc: str, *, retry: bool = True
    ) -> None:
        """End a task's attempt; the slot it may have left is for the caller to fill."""
        was = job.tasks.status[position]
        self._move(at, job, position, Status.FAILED, progress=progress, desc=desc)
        policy = job.order.retry
        if retry and policy is not None and job.tasks.retried[position] < policy.count:
            turn = job.tasks.turns[position]
            self._schedule(at + policy.interval_s, _Happening.RETRY, (job, position, turn))
        if was in IN_PROGRESS:
            self._release(at, job.tasks.devices[position])

    def _set_version(self, at: float, device: int, version: str) -> None:
        self.index.hold_version(device, self.devices.version(device))
        self.devices.set(device, "firmwareVersion", version)
        self.index.note(at, self.index.change_version, device)

    def _release(self, at: float, device: int) -> None:
        """The device's upgrade is over; let the next job that waits for it have it."""
        self._at_work.remove(device)
        self.index.note(at, self.index.end_upgrade, device)
        for job, position in self._waiting.pop(device, ()):
            job.ready.append(position)
            self._pump(at, job)

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
        was = Status(job.tasks.status[position])
        assert status in TRANSITIONS[was], f"no way from {was.label} to {status.label}"
        job.tasks.status[position] = status
        job.counts[was] -= 1
        job.counts[status] += 1
        delta = (status in IN_PROGRESS) - (was in IN_PROGRESS)
        if delta:
            self.meters.change(at, delta)
        look = TaskLook(status, progress, desc, at, ends_at)
        self.index.note(at, self.index.change_task, self._view(job), position, look)


def _unheard_of_firmware(at: float, firmware_id: str, product_key: str | None) -> Firmware:
    """Return a firmware nobody uploaded, ready for use; its version is its id, distinct from any reported."""
    return Firmware(
        id=firmware_id,
        product_key=product_key or DEFAULT_PRODUCT,
        name=Texts(firmware_id, {}),
        version=firmware_id,
        created_at=at,
        enable_verification=False,
        verified_at=at,
        verify_devices_max=limits.VERIFY_DEVICES_MAX_DEFAULT,
        verify_successes_min=1,
    )
