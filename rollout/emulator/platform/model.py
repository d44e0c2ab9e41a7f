"""The platform: firmware, devices, jobs and tasks, and the operations that change them.

Pure: no clock, no I/O. Every operation, and `advance`, is given the time. It first runs the timers that are due by then,
in the order of their times, so the result does not depend on how often the platform is asked. All chance comes from
the population, seeded for each device and attempt. So the same seed and the same operations at the same times give the
same jobs, ids and devices; an emulator that was killed is restored in this way (`oplog`).

This module has the operations and the jobs. `upgrades` has the way of a task from its queue to its end. Get and search
calls do not read this state, but the index that follows it (`index`, `search`).
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rollout.emulator.platform.behaviour import Behaviour
from rollout.emulator.platform.bodies import JobDefinition, Texts, read_device_keys, read_job_definition
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
from rollout.emulator.platform.timers import Timers
from rollout.emulator.platform.upgrades import Upgrades
from rollout.emulator.platform.window import Span
from rollout.enos import limits
from rollout.enos.codes import Code

GROWTH_STEPS = 10
"""Steps in which the tasks of a new job are made, spread over the knob `materialise_s`. Ours."""

LINK_BITS = 32
"""A task is packed into one number, for `Devices.last_task` and `Tasks.links`: the job's number in the bits above these,
the task's position in these."""


STEPS_AT_ONCE = 4096
"""Timers run before the index is brought up to date in between, so that few changes wait for it. Ours."""

_Change = Callable[[float, Job, int], None]


class EmulatedPlatform:
    """The OTA service of one organisation.

    Times are seconds since the epoch and never go back: a call with a time in the past happens at `now`. Operations raise
    `Refusal` with the documented code; they have then changed nothing, unless they say otherwise.

    `jobs`: by id, without deleted ones. `all_jobs`: every job ever made, by number. `searches`: searchTask calls so far.
    `last_listing`: the last result of a device search and what it depends on, kept by `search`.
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
        self._timers = Timers(start)
        self._upgrades = Upgrades(
            timers=self._timers,
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
        """The time that the platform has reached, seconds since the epoch."""
        return self._timers.now

    @property
    def knobs(self) -> Knobs:
        """The knobs as they are set now."""
        return self._upgrades.knobs

    def advance(self, now: float) -> None:
        """Run all timers due up to and at `now`; readers then see the state of `read_lag_s` before `now`."""
        while not self._timers.run(now, STEPS_AT_ONCE):
            self._refresh_index()
        self._timers.now = max(self._timers.now, now)
        self._refresh_index()

    def hold_reads(self, now: float, seconds: float) -> None:
        """Let readers see the present state for `seconds` more, like an index that has fallen behind."""
        self.advance(now)
        self._reads_held_until = max(self._reads_held_until, self.now + seconds)

    def next_due(self) -> float | None:
        """Return when the next timer is due, seconds since the epoch; None if there is none."""
        return self._timers.next_due()

    # --- operations on jobs -----------------------------------------------------------------------------------

    def create_job(self, now: float, firmware_id: str, body: Any) -> str:
        """Create the job that the body of a create call asks for; return its id.

        Raises: Refusal 24404, 99400, 24610, 24611, 24612, checked in this order.
        """
        self.advance(now)
        return self._create(self.now, firmware_id, body)

    def create_job_later(self, now: float, firmware_id: str, body: Any, delay_s: float) -> None:
        """Let a create call take effect after `delay_s` seconds, when its caller has given up. Nobody gets a refusal."""
        self.advance(now)
        self._timers.call_at(self.now + delay_s, self._create_unanswered, firmware_id, body)

    def start_job(self, now: float, job_id: str) -> None:
        """Start a stopped job. Raises: Refusal 24404, 24615."""
        self.advance(now)
        job = self._job(job_id)
        if job.started:
            raise Refusal(Code.JOB_HAS_STARTED)
        self._switch(self.now, job, started=True)
        if job.definition.incremental:
            # devices that came to match while the job was stopped
            known = set(job.tasks.devices) | set(job.matched)
            found = select(
                self.devices, job.definition.scope, job.product_key, job.firmware.version, self.knobs
            )
            self._add_tasks(self.now, job, [device for device in found if device not in known])
        self._upgrades.push_ready(self.now, job)
        self._refresh_index()

    def stop_job(self, now: float, job_id: str) -> None:
        """Stop a started job: no more tasks are pushed. Raises: Refusal 24404, 24616."""
        self.advance(now)
        job = self._job(job_id)
        if not job.started:
            raise Refusal(Code.JOB_HAS_STOPPED)
        self._switch(self.now, job, started=False)
        if self.knobs.stop_running == "fail":
            self._upgrades.stop_running(self.now, job)
            self._refresh_index()

    def delete_job(self, now: float, job_id: str) -> None:
        """Delete a stopped job; devices at work finish, but nothing shows it. Raises: Refusal 24404, 24618."""
        self.advance(now)
        job = self._job(job_id)
        if job.started:
            raise Refusal(Code.JOB_RUNNING)
        job.deleted = True
        job.firmware.released_at = self.now
        del self.jobs[job_id]
        kept = self.knobs.deleted_job_tasks == "kept"
        self.index.note(self.now, self.index.hide_job, self._view(job), kept)
        self._refresh_index()

    def cancel_tasks(self, now: float, job_id: str, body: Any) -> None:
        """Cancel tasks of some devices; they must be in `init` or `published`.

        Raises: Refusal 24404, 99400, 24617, 24620; with 24620, knob `batch_errors` decides what has been done.
        """
        self._change_tasks(
            now,
            job_id,
            body,
            allowed=frozenset({Status.INIT, Status.PUBLISHED}),
            refusal=Refusal(Code.TASK_NOT_CANCELLABLE),
            change=self._upgrades.cancel,
        )

    def retry_tasks(self, now: float, job_id: str, body: Any) -> None:
        """Give failed tasks of some devices another attempt.

        Raises: Refusal 24404, 99400, 24617, 24621; with 24621, knob `batch_errors` decides what has been done.
        """
        self._change_tasks(
            now,
            job_id,
            body,
            allowed=frozenset({Status.FAILED}),
            refusal=Refusal(Code.TASK_NOT_FAILED),
            change=self._upgrades.retry,
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
        """Delete a firmware that no job uses. Raises: Refusal 24404, 24604."""
        self.advance(now)
        firmware = self.firmware.get(firmware_id)
        if firmware is None:
            raise Refusal(Code.NOT_FOUND, "Firmware not found")
        in_use = any(job.firmware is firmware for job in self.jobs.values())
        if in_use or self.now < firmware.released_at + self.knobs.firmware_release_s:
            raise Refusal(Code.FIRMWARE_IN_USE)
        del self.firmware[firmware_id]

    def report_device(self, now: float, key: str, columns: Mapping[str, str]) -> None:
        """Set columns that a device reports, such as its `firmwareVersion`; registers an unknown device.

        Jobs with policy `incremental` get a task for the device if it matches now.
        """
        self.advance(now)
        others = {name: value for name, value in columns.items() if name != "firmwareVersion"}
        device = self.devices.add(key, others)
        if "firmwareVersion" in columns:
            self._upgrades.set_version(self.now, device, columns["firmwareVersion"])
        self._offer(self.now, device)
        self._refresh_index()

    def set_knobs(self, now: float, settings: Mapping[str, Any]) -> None:
        """Change knobs from now on. Raises: ValueError naming the one that cannot be set."""
        self.advance(now)
        self._upgrades.knobs = with_settings(self.knobs, settings)

    # --- instruments ----------------------------------------------------------------------------------------------

    def jobs_holding(self, key: str) -> int:
        """Return how many jobs have a task for the device; deleted jobs and removed tasks do not count."""
        device = self.devices.find(key)
        if device is None:
            return 0
        return sum(
            not job.deleted and job.tasks.status[at] != Status.REMOVED for job, at in self.tasks_of(device)
        )

    def holdings(self) -> dict[str, int]:
        """Return device key → `jobs_holding`, for every device that at least one job has a task for."""
        return {key: held for key in self.devices.keys if (held := self.jobs_holding(key))}

    def is_online(self, device: int) -> bool:
        """Return whether the device can be reached now, as far as the platform knows."""
        return self._upgrades.is_online(self.now, device)

    def tasks_of(self, device: int) -> Iterator[tuple[Job, int]]:
        """Yield job and position of every task the device ever had, newest first."""
        link = self.devices.last_task[device]
        while link != NO_TASK:
            job = self.all_jobs[link >> LINK_BITS]
            position = link & ((1 << LINK_BITS) - 1)
            yield job, position
            link = job.tasks.links[position]

    @property
    def at_work(self) -> frozenset[int]:
        """The numbers of the devices that are in an upgrade now."""
        return frozenset(self._upgrades.at_work)

    # --- jobs, inside -------------------------------------------------------------------------------------------

    def _create_unanswered(self, at: float, firmware_id: str, body: Any) -> None:
        """Let a late create call take effect (`create_job_later`)."""
        with contextlib.suppress(Refusal):
            self._create(at, firmware_id, body)

    def _create(self, at: float, firmware_id: str, body: Any) -> str:
        firmware = self.firmware.get(firmware_id)
        if firmware is None and self.knobs.strict_firmware:
            raise Refusal(Code.NOT_FOUND, "Firmware not found")
        definition = read_job_definition(body, self.knobs)
        if firmware is None:
            firmware = _ready_firmware(at, firmware_id, definition.scope.product_key)
        if definition.verify:
            if definition.scope.total:
                raise Refusal(Code.VERIFY_WITH_TOTAL_SCOPE)
        elif firmware.enable_verification and firmware.verified_at is None:
            raise Refusal(Code.FIRMWARE_NOT_VERIFIED)
        product_key = definition.scope.product_key or firmware.product_key
        if definition.scope.selector == "deviceKeys" and product_key is None:
            raise invalid("upgradeScope.productKey is missing for a firmware without a product")
        if definition.scope.total and product_key is None and self.knobs.total_without_product == "refuse":
            raise invalid("upgradeScope of type total needs a product")
        matched = select(self.devices, definition.scope, product_key, firmware.version, self.knobs)
        named = len(definition.scope.value) if definition.scope.selector == "deviceKeys" else len(matched)
        if definition.verify and named > firmware.verify_devices_max:
            raise Refusal(
                Code.TOO_MANY_VERIFY_DEVICES,
                f"Exceeded max verification deviceKeys, max[{firmware.verify_devices_max}]",
            )
        self.firmware[firmware_id] = firmware
        job = Job(
            number=len(self.all_jobs),
            id=self._next_id("job"),
            firmware=firmware,
            definition=definition,
            product_key=product_key,
            created_at=at,
            started=self._starts(definition),
        )
        if definition.verify and self.knobs.second_verification == "cancels":
            self._cancel_verifications(at, firmware)
        job.matched.extend(matched)
        self.all_jobs.append(job)
        self.jobs[job.id] = job
        if definition.name is not None:
            self.meters.jobs_by_name[definition.name.default] += 1
        view = JobView(job, started=job.started)
        self.index.views.append(view)
        self.index.note(at, self.index.show_job, view)
        if definition.incremental:
            self._growing.append(job)
        if isinstance(definition.window, Span):
            # the first moment after the window, whose end is part of it
            self._timers.call_at(math.nextafter(definition.window.end, math.inf), self._close, job)
        self._plan_growth(at, job)
        self._refresh_index()
        return job.id

    def _starts(self, definition: JobDefinition) -> bool:
        """Return whether a new job is started at once."""
        if definition.start_after_create is not None and self.knobs.start_after_create == "obey":
            return definition.start_after_create
        return self.knobs.created_job == "started"

    def _cancel_verifications(self, at: float, firmware: Firmware) -> None:
        """Cancel the waiting tasks of all verification jobs of a firmware."""
        for job in self.jobs.values():
            if job.definition.verify and job.firmware is firmware:
                for position in range(len(job.tasks)):
                    if job.tasks.status[position] == Status.INIT:
                        self._upgrades.cancel(at, job, position)

    def _plan_growth(self, at: float, job: Job) -> None:
        total = len(job.matched)
        steps = min(GROWTH_STEPS, total)
        if not self.knobs.materialise_s:
            self._grow(at, job, total)
            return
        for step in range(steps):
            share = total * (step + 1) // steps - total * step // steps
            self._timers.call_at(at + self.knobs.materialise_s * (step + 1) / steps, self._grow, job, share)

    def _grow(self, at: float, job: Job, count: int) -> None:
        """Make the next `count` tasks of a new job."""
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
            from_version = job.definition.scope.first_version if reported is None else reported
            job.tasks.append(device, self.devices.last_task[device], from_version)
            self.devices.last_task[device] = job.number << LINK_BITS | (first + offset)
        job.counts[Status.INIT] += len(chosen)
        self.index.note(at, self.index.show_tasks, self._view(job), len(chosen), at)
        for position in range(first, len(job.tasks)):
            if self.knobs.busy_device == "failed" and self._is_claimed(job.tasks.devices[position], job):
                self._upgrades.fail(at, job, position, 0, CLASHED, retry=False)
            else:
                self._upgrades.queue(at, job, position)
        self._upgrades.push_ready(at, job)

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
        """Add a task for the device to every incremental job that it matches now."""
        for job in self._growing:
            if job.deleted or not job.started or any(other is job for other, _ in self.tasks_of(device)):
                continue
            if device not in job.matched and in_scope(
                self.devices, device, job.definition.scope, job.product_key, job.firmware.version
            ):
                self._add_tasks(at, job, [device])

    def _close(self, at: float, job: Job) -> None:
        """End a job's only window."""
        if job.started and not job.deleted and self.knobs.window_over == "stopped":
            self._switch(at, job, started=False)

    def _switch(self, at: float, job: Job, *, started: bool) -> None:
        job.started = started
        self.index.note(at, self.index.switch_job, self._view(job), started)
        self._refresh_index()

    def _job(self, job_id: str) -> Job:
        job = self.jobs.get(job_id)
        if job is None:
            raise Refusal(Code.NOT_FOUND, "Job not found")
        return job

    def _view(self, job: Job) -> JobView:
        return self.index.views[job.number]

    def _next_id(self, kind: str) -> str:
        """Return a new id of 24 hex digits: 16 from the seed and the kind, then a running number."""
        self._made += 1
        return hashlib.sha256(f"{self.seed}/{kind}".encode()).hexdigest()[:16] + f"{self._made:08x}"

    def task_id(self, job: Job, position: int) -> str:
        """Return the id of a task, 24 hex digits."""
        start = hashlib.sha256(f"{self.seed}/task".encode()).hexdigest()[:8]
        return f"{start}{job.number:08x}{position:08x}"

    def _refresh_index(self) -> None:
        """Bring the index up to `read_lag_s` before now, unless it is held back (`hold_reads`)."""
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
        self._upgrades.push_ready(self.now, job)
        self._refresh_index()
        if wrong and self.knobs.batch_errors == "partial_error":
            raise refusal

    def _position(self, job: Job, device: int) -> int | None:
        return next((position for other, position in self.tasks_of(device) if other is job), None)


def _ready_firmware(at: float, firmware_id: str, product_key: str | None) -> Firmware:
    """Return a firmware that nobody uploaded, ready for use; its version is its id, which no device has reported."""
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
