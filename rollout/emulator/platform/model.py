"""The platform as it is: firmware, devices, jobs and tasks, moved by operations and by time.

Pure: no clock, no I/O. Every operation and `advance` is given the time; between two of them the model steps through
all that happens in the order of its times, so it makes no difference how often or by whom it is asked. All chance
comes from the population, seeded per device and attempt. Hence: the same seed and the same operations at the same
times give the same jobs, ids and device histories, which is how an emulator that was killed lives on (`oplog`).

Here are the operations and the jobs; what becomes of a task from its queue to its end is in `work`. Readers never look at this truth but at the index that follows it (`index`, `search`).
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rollout.emulator.platform.agenda import Agenda
from rollout.emulator.platform.behaviour import Behaviour
from rollout.emulator.platform.bodies import JobOrder, Texts, read_device_keys, read_job_order
from rollout.emulator.platform.devices import DEFAULT_PRODUCT, NO_TASK, Devices
from rollout.emulator.platform.firmware import Firmware, read_metadata
from rollout.emulator.platform.index import Index, JobView
from rollout.emulator.platform.job import Job
from rollout.emulator.platform.knobs import Knobs, with_settings
from rollout.emulator.platform.meters import Meters
from rollout.emulator.platform.population import Population
from rollout.emulator.platform.refusal import Refusal, invalid
from rollout.emulator.platform.scope import in_scope, select
from rollout.emulator.platform.tasks import CLASHED, Status
from rollout.emulator.platform.window import Span
from rollout.emulator.platform.work import Work
from rollout.enos import limits
from rollout.enos.codes import Code

GROWTH_STEPS = 10
"""Portions in which a job's tasks come to exist."""

LINK_BITS = 32
"""A task is packed into one number for the chains: job number above, position below."""


STEPS_AT_ONCE = 4096
"""Happenings after which readers are served in between, so that changes they have not seen stay few; ours."""

_Change = Callable[[float, Job, int], None]


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
        self.population = population or Population()
        self.behaviour = Behaviour(self.population, seed)
        self.devices = Devices(self.behaviour.columns)
        self.firmware: dict[str, Firmware] = {}
        self.jobs: dict[str, Job] = {}
        self.all_jobs: list[Job] = []
        self.index = Index()
        self.meters = Meters(start)
        self.searches = 0
        self.last_listing: tuple[Any, Sequence[int]] | None = None
        self._reads_held_until = start
        self._agenda = Agenda(start)
        self._work = Work(
            agenda=self._agenda,
            devices=self.devices,
            behaviour=self.behaviour,
            index=self.index,
            meters=self.meters,
            knobs=knobs or Knobs(),
            on_report=self._offer,
        )
        self._made = 0
        self._growing: list[Job] = []
        for key, columns in devices:
            self.devices.add(key, columns)

    # --- time -------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """The time up to which everything has happened."""
        return self._agenda.now

    @property
    def knobs(self) -> Knobs:
        """How open points are read, now."""
        return self._work.knobs

    def advance(self, now: float) -> None:
        """Let happen all that is due up to and at `now`; readers then see the state of `read_lag_s` before."""
        while not self._agenda.run(now, STEPS_AT_ONCE):
            self._settle()
        self._agenda.now = max(self._agenda.now, now)
        self._settle()

    def hold_reads(self, now: float, seconds: float) -> None:
        """Let readers go on seeing the state of this moment for so long, as an index that fell behind."""
        self.advance(now)
        self._reads_held_until = max(self._reads_held_until, self.now + seconds)

    def next_due(self) -> float | None:
        """Return when something happens next by itself; None if nothing does."""
        return self._agenda.next_due()

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
        self._agenda.plan(self.now + delay_s, self._create_unheard, firmware_id, body)

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
        self._work.pump(self.now, job)
        self._settle()

    def stop_job(self, now: float, job_id: str) -> None:
        """Stop a started job: nothing more is pushed. Raises: Refusal 24404, 24616."""
        self.advance(now)
        job = self._job(job_id)
        if not job.started:
            raise Refusal(Code.JOB_HAS_STOPPED)
        self._switch(self.now, job, started=False)
        if self.knobs.stop_running == "fail":
            self._work.stop_running(self.now, job)
            self._settle()

    def delete_job(self, now: float, job_id: str) -> None:
        """Delete a stopped job; devices at work finish unseen. Raises: Refusal 24404, 24618."""
        self.advance(now)
        job = self._job(job_id)
        if job.started:
            raise Refusal(Code.JOB_RUNNING)
        job.deleted = True
        job.firmware.released_at = self.now
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
            change=self._work.cancel,
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
            change=self._work.retry,
        )

    # --- operations on firmware, devices and the emulator itself --------------------------------------------------

    def create_firmware(self, now: float, product_key: str | None, metadata: Any, file_size: int) -> str:
        """Register a firmware from the `metadata` part of its upload; return its id.

        Raises: Refusal 99400, 24601, 24602.
        """
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
            if other.product_key == product_key and other.version == firmware.version:
                raise Refusal(Code.FIRMWARE_VERSION_TAKEN)
            if other.product_key == product_key and other.name.default == firmware.name.default:
                raise Refusal(Code.FIRMWARE_NAME_TAKEN)
        self.firmware[firmware.id] = firmware
        return firmware.id

    def delete_firmware(self, now: float, firmware_id: str) -> None:
        """Delete a firmware no job uses. Raises: Refusal 24404, 24604."""
        self.advance(now)
        firmware = self.firmware.get(firmware_id)
        if firmware is None:
            raise Refusal(Code.NOT_FOUND, "Firmware not found")
        in_use = any(job.firmware is firmware for job in self.jobs.values())
        if in_use or self.now < firmware.released_at + self.knobs.firmware_release_s:
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
            self._work.set_version(self.now, device, columns["firmwareVersion"])
        self._offer(self.now, device)
        self._settle()

    def set_knobs(self, now: float, settings: Mapping[str, Any]) -> None:
        """Change knobs from now on. Raises: ValueError naming the one that cannot be set."""
        self.advance(now)
        self._work.knobs = with_settings(self.knobs, settings)

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

    def is_online(self, device: int) -> bool:
        """Return whether the device can be reached now, as far as anybody has found out."""
        return self._work.is_online(self.now, device)

    def tasks_of(self, device: int) -> Iterator[tuple[Job, int]]:
        """Yield job and position of all tasks the device ever had, newest first."""
        link = self.devices.last_task[device]
        while link != NO_TASK:
            job = self.all_jobs[link >> LINK_BITS]
            position = link & ((1 << LINK_BITS) - 1)
            yield job, position
            link = job.tasks.links[position]

    @property
    def at_work(self) -> frozenset[int]:
        """The devices that are at work for some job."""
        return frozenset(self._work.at_work)

    # --- jobs, inside -------------------------------------------------------------------------------------------

    def _create_unheard(self, at: float, firmware_id: str, body: Any) -> None:
        """A create call takes effect when nobody is there any more to be told how it went."""
        with contextlib.suppress(Refusal):
            self._create(at, firmware_id, body)

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
        if order.scope.total and product_key is None and self.knobs.total_without_product == "refuse":
            raise invalid("upgradeScope of type total needs a product")
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
            started=self._starts(order),
        )
        if order.verify and self.knobs.second_verification == "cancels":
            self._cancel_verifications(at, firmware)
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
            self._agenda.plan(math.nextafter(order.window.end, math.inf), self._close, job)
        self._plan_growth(at, job)
        self._settle()
        return job.id

    def _starts(self, order: JobOrder) -> bool:
        """Return whether a job is started by its creation."""
        if order.start_after_create is not None and self.knobs.start_after_create == "obey":
            return order.start_after_create
        return self.knobs.created_job == "started"

    def _cancel_verifications(self, at: float, firmware: Firmware) -> None:
        """Cancel what waits in the firmware's verification jobs."""
        for job in self.jobs.values():
            if job.order.verify and job.firmware is firmware:
                for position in range(len(job.tasks)):
                    if job.tasks.status[position] == Status.INIT:
                        self._work.cancel(at, job, position)

    def _plan_growth(self, at: float, job: Job) -> None:
        total = len(job.matched)
        steps = min(GROWTH_STEPS, total)
        if not self.knobs.materialise_s:
            self._grow(at, job, total)
            return
        for step in range(steps):
            share = total * (step + 1) // steps - total * step // steps
            self._agenda.plan(at + self.knobs.materialise_s * (step + 1) / steps, self._grow, job, share)

    def _grow(self, at: float, job: Job, count: int) -> None:
        """A portion of a job's tasks comes to exist."""
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
                self._work.fail(at, job, position, 0, CLASHED, retry=False)
            else:
                self._work.queue(at, job, position)
        self._work.pump(at, job)

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

    def _close(self, at: float, job: Job) -> None:
        """A job's only window is over."""
        if job.started and not job.deleted and self.knobs.window_over == "stopped":
            self._switch(at, job, started=False)

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
        """Let readers see what happened up to their lag, unless the index has been held back."""
        if self.now >= self._reads_held_until:
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
            if position is None and self.knobs.unknown_keys == "ignore":
                continue
            if position is None or job.tasks.status[position] not in allowed:
                wrong = True
            else:
                good.append(position)
        if wrong and self.knobs.batch_errors == "nothing":
            raise refusal
        for position in good:
            change(self.now, job, position)
        self._work.pump(self.now, job)
        self._settle()
        if wrong and self.knobs.batch_errors == "partial_error":
            raise refusal

    def _position(self, job: Job, device: int) -> int | None:
        return next((position for other, position in self.tasks_of(device) if other is job), None)


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
