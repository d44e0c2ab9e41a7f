"""EnOS's OTA service: the ports `JobService` and `JobConsole`, over HTTP.

Each method is one documented operation, or reads all pages of one; `enos.caller` signs, sends and reads.

Three rules protect creation. A create runs on a connection of its own, waits for the caller's guard, and comes back
as an `Outcome` instead of an exception. A listing that may allow a second create runs on fresh connections too, and
is complete only if its pages agree with each other and with the stated total. The platform's search is fuzzy, so
names are compared here, whole.
Pages: EnOS Connection Service API 2.4.4, one per operation, all below `/connect-service/v2.1/ota-jobs`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from rollout.core.campaign import JobSpec
from rollout.core.names import WaveNames
from rollout.core.outcome import Listing, Outcome, Rejected, Unsent
from rollout.core.records import Hits, JobFilter, JobRecord, TaskFilter, TaskRecord, TaskState
from rollout.enos import limits
from rollout.enos.caller import Caller
from rollout.enos.codes import Operation
from rollout.enos.job_settings import JobSettings
from rollout.enos.messages import DeviceKeysBody, Envelope, JobBrief, TaskBrief
from rollout.enos.paging import Reading, gather
from rollout.enos.paths import JOBS_PATH
from rollout.enos.translate import (
    STATUS_OF,
    NoResponse,
    any_of,
    create_body,
    create_query,
    found,
    job_expression,
    job_record,
    outcome_of_answer,
    outcome_of_no_response,
    search_body,
    task_expression,
    task_record,
)
from rollout.errors import Failure, Phase, ServiceError
from rollout.ports import CreateCall, Guard, JobConsole, JobService

_Row = TypeVar("_Row", bound=JobBrief | TaskBrief)


class EnosService(JobService, JobConsole):
    """The OTA service of one organisation.

    Args:
        caller: closed with the service.
        page_size: rows asked for at once, 1 to 200.
        search_by_name: False for releases before 2.4, which cannot search by job name; then all jobs of the
            firmware are listed and compared here.
    """

    def __init__(
        self, caller: Caller, *, page_size: int = limits.PAGE_SIZE_MAX, search_by_name: bool = True
    ) -> None:
        assert 1 <= page_size <= limits.PAGE_SIZE_MAX, "EnOS sends at most 200 rows a page"
        self._caller = caller
        self._page_size = page_size
        self._search_by_name = search_by_name

    # ── creating ─────────────────────────────────────────────────────────────────────────────────

    async def create(self, call: CreateCall, guard: Guard) -> Outcome:
        """Send one create call on a connection of its own. Page: create_ota_job.

        After a refused token the guard is asked a second time, for the second sending.
        """
        try:
            answer, _ = await self._caller.send(
                JOBS_PATH,
                create_query(self._caller.org_id, call),
                create_body(call),
                body_bytes_max=limits.CREATE_REPLY_BYTES_MAX,
                fresh=True,
                guard=guard,
            )
        except ServiceError as error:  # no token
            if error.failure is Failure.CREDENTIALS:
                return Rejected(
                    error.platform_code or error.http_status or 0, error.message, credentials=True
                )
            return Unsent(error.message)
        return outcome_of_no_response(answer) if isinstance(answer, NoResponse) else outcome_of_answer(answer)

    # ── looking ──────────────────────────────────────────────────────────────────────────────────

    async def find_jobs(self, *, firmware_id: str, spec: JobSpec, names: str | WaveNames) -> Listing:
        """Return the jobs of the firmware and type whose default name is `names`, or one of them."""
        job_type = JobSettings.of(spec).type.value
        part = names if isinstance(names, str) else names.prefix
        wanted = JobFilter(firmware_ids=(firmware_id,), type=job_type, name_part=part)
        hits = await self._walk_jobs(wanted, fresh=True)
        jobs = tuple(
            job
            for job in map(found, hits.rows)
            if job.firmware_id == firmware_id
            and job.type == job_type
            and (job.name == names if isinstance(names, str) else names.includes(job.name))
        )
        return Listing(jobs, hits.complete)

    async def find_witnesses(
        self, *, firmware_id: str, device_keys: Sequence[str], known: frozenset[str]
    ) -> tuple[str, ...]:
        """Return ids of jobs of this firmware, outside `known`, that have tasks for any of the devices.

        A job that cannot be read counts as one of them, and so does every job after the first `WITNESS_JOBS_MAX`.
        Raises `ServiceError` if the tasks of one device do not fit on a page.
        """
        strangers: dict[str, None] = {}
        for keys in _chunks(device_keys, limits.KEYS_PER_EXPRESSION_MAX):
            jobs = await self._jobs_with_tasks_of(keys)
            strangers |= {job_id: None for job_id in jobs if job_id not in known}
        witnesses = []
        for number, job_id in enumerate(strangers):
            if number >= limits.WITNESS_JOBS_MAX or await self._may_be_of(firmware_id, job_id):
                witnesses.append(job_id)
        return tuple(witnesses)

    async def _jobs_with_tasks_of(self, device_keys: Sequence[str]) -> list[str]:
        """Return ids of the jobs that have tasks for any of the devices.

        Tasks come in no documented order, so rows may be missed between two pages; an answer that needs a
        second page is therefore asked for again in halves.
        """
        expression = any_of("deviceKey", device_keys)
        reply = await self._page("searchTask", expression, 1, self._page_size, TaskBrief, fresh=True)
        rows = reply.data or []
        if reply.pagination is not None and reply.pagination.total_size == len({row.task_id for row in rows}):
            return [row.job_id for row in rows]
        if len(device_keys) == 1:
            raise ServiceError(
                "searchTask: rows and total do not agree", phase=Phase.ANSWERED, failure=Failure.UNREADABLE
            )
        middle = len(device_keys) // 2
        first = await self._jobs_with_tasks_of(device_keys[:middle])
        return first + await self._jobs_with_tasks_of(device_keys[middle:])

    async def _may_be_of(self, firmware_id: str, job_id: str) -> bool:
        """Return False only if the job is shown to be of another firmware."""
        try:
            job = await self._get(job_id)
        except ServiceError as error:
            if error.failure is Failure.CREDENTIALS:
                raise
            return True  # gone or unreadable: all we know is that it had tasks for our devices
        return job.firmware_id in {firmware_id, None, ""}

    async def get_job(self, job_id: str) -> JobRecord:
        """Return the job's record. Page: get_ota_job."""
        return job_record(await self._get(job_id))

    async def _get(self, job_id: str) -> JobBrief:
        reply: Envelope[JobBrief] = await self._call(
            Operation.READ, {"action": "get", "jobId": job_id}, data=JobBrief
        )
        if reply.data is None:
            raise ServiceError("get: success without a job", phase=Phase.ANSWERED, failure=Failure.UNREADABLE)
        return reply.data

    async def search_jobs(self, jobs: JobFilter) -> Hits[JobRecord]:
        """Return all jobs that match. Page: search_ota_job."""
        hits = await self._walk_jobs(jobs)
        records = map(job_record, hits.rows)
        return Hits(tuple(job for job in records if jobs.name_part in job.name), hits.complete)

    async def search_tasks(self, tasks: TaskFilter) -> Hits[TaskRecord]:
        """Return all tasks that match, many device keys by several searches. Page: search_device_task."""
        rows: dict[str, TaskRecord] = {}
        complete = True
        for keys in list(_chunks(tasks.device_keys, limits.KEYS_PER_EXPRESSION_MAX)) or [()]:
            hits = await self._walk_tasks(replace(tasks, device_keys=tuple(keys)))
            rows |= {task.task_id: task_record(task) for task in hits.rows}
            complete = complete and hits.complete
        return Hits(tuple(rows.values()), complete)

    async def list_task_keys(self, job_id: str, states: Collection[TaskState]) -> list[str]:
        """Return the keys of the job's devices whose task is in any of `states`, each once.

        Tasks change their state while pages are read, so this is what was seen, not a proof of absence.
        """
        hits = await self._walk_tasks(TaskFilter(job_ids=(job_id,), statuses=_statuses(states)))
        return list(dict.fromkeys(task.device_key for task in hits.rows))

    async def count_tasks(self, job_ids: Sequence[str], states: Collection[TaskState] = ()) -> int:
        """Return how many tasks the jobs have, in any of `states` (all when empty), by one call of one row."""
        expression = task_expression(TaskFilter(job_ids=tuple(job_ids), statuses=_statuses(states)))
        reply = await self._page("searchTask", expression, 1, 1, TaskBrief)
        if reply.pagination is None or reply.pagination.total_size < 0:
            raise ServiceError("searchTask: no total", phase=Phase.ANSWERED, failure=Failure.UNREADABLE)
        return reply.pagination.total_size

    # ── steering ─────────────────────────────────────────────────────────────────────────────────

    async def start_job(self, job_id: str) -> None:
        """Start the job; a started one is a success (24615). Page: start_ota_job."""
        await self._steer(Operation.START, "start", job_id)

    async def stop_job(self, job_id: str) -> None:
        """Stop the job; one that is stopped (24616) or gone (24404) is a success. Page: stop_ota_job."""
        await self._steer(Operation.STOP, "stop", job_id, fine=Failure.GONE)

    async def delete_job(self, job_id: str) -> None:
        """Delete the job, which must be stopped; one already gone is a success. Page: delete_ota_job."""
        await self._steer(Operation.DELETE, "delete", job_id)

    async def cancel_tasks(self, job_id: str, device_keys: Sequence[str]) -> None:
        """Cancel tasks in init or published. Page: cancel_ota_task.

        Raises `ServiceError`: NOT_CANCELLABLE_NOW (24620), after all keys were tried, if some had moved on. Whether
        EnOS then cancelled the others is not documented, so read them again.
        """
        await self._steer_tasks("cancelTask", job_id, device_keys, Failure.NOT_CANCELLABLE_NOW)

    async def retry_tasks(self, job_id: str, device_keys: Sequence[str]) -> None:
        """Start failed tasks anew. Raises as `cancel_tasks`, but NOT_RETRYABLE_NOW (24621). Page: retry_ota_task."""
        await self._steer_tasks("retryTask", job_id, device_keys, Failure.NOT_RETRYABLE_NOW)

    async def aclose(self) -> None:
        """Release connections; idempotent."""
        await self._caller.aclose()

    async def _steer(
        self,
        operation: Operation,
        action: str,
        job_id: str,
        body: bytes | None = None,
        fine: Failure = Failure.ALREADY_SO,
    ) -> None:
        """Perform an operation without a result. What holds already is a success, and so is `fine`."""
        try:
            await self._call(operation, {"action": action, "jobId": job_id}, body)
        except ServiceError as error:
            if error.failure not in {Failure.ALREADY_SO, fine}:
                raise

    async def _steer_tasks(
        self, action: str, job_id: str, device_keys: Sequence[str], moved_on: Failure
    ) -> None:
        """Perform a task operation chunk by chunk. A chunk with tasks that moved on is told after the others are done."""
        first: ServiceError | None = None
        for keys in _chunks(device_keys, limits.KEYS_PER_TASK_CALL_MAX):
            body = DeviceKeysBody(device_keys=list(keys)).model_dump_json(by_alias=True).encode()
            try:
                await self._steer(Operation.TASKS, action, job_id, body)
            except ServiceError as error:
                if error.failure is not moved_on:
                    raise
                first = first or error
        if first is not None:
            raise first

    # ── calling ──────────────────────────────────────────────────────────────────────────────────

    async def _walk_jobs(self, jobs: JobFilter, *, fresh: bool = False) -> Hits[JobBrief]:
        """Return all jobs that match."""
        expression = job_expression(jobs, by_name=self._search_by_name)
        return await gather(
            lambda: self._read("search", expression, JobBrief, lambda job: job.job_id, fresh=fresh)
        )

    async def _walk_tasks(self, tasks: TaskFilter) -> Hits[TaskBrief]:
        """Return all tasks that match, reading the pages anew until as many were seen as there are.

        One reading seldom sees all: the order is not documented and may differ from page to page.
        """
        expression = task_expression(tasks)
        seen: dict[str, TaskBrief] = {}
        for _ in range(limits.TASK_PASSES_MAX):
            reading = self._read("searchTask", expression, TaskBrief, lambda task: task.task_id)
            async for task in reading.rows():
                seen[task.task_id] = task
            if len(seen) >= max(reading.totals, default=0):
                return Hits(tuple(seen.values()), complete=reading.totals == {len(seen)})
        return Hits(tuple(seen.values()), complete=False)

    def _read(
        self,
        action: str,
        expression: str,
        data: type[_Row],
        identity: Callable[[_Row], str],
        *,
        fresh: bool = False,
    ) -> Reading[_Row]:
        """Return a reading of the search, not begun yet."""

        async def ask(page_no: int) -> Envelope[list[_Row]]:
            return await self._page(action, expression, page_no, self._page_size, data, fresh=fresh)

        return Reading(ask, identity)

    async def _page(
        self,
        action: str,
        expression: str,
        page_no: int,
        page_size: int,
        data: type[_Row],
        *,
        fresh: bool = False,
    ) -> Envelope[list[_Row]]:
        body = search_body(expression, page_no=page_no, page_size=page_size)
        return await self._call(Operation.READ, {"action": action}, body, list[data], fresh=fresh)  # type: ignore[valid-type]  # the class is the argument

    async def _call(
        self,
        operation: Operation,
        query: Mapping[str, str],
        body: bytes | None = None,
        data: type[Any] = object,
        *,
        fresh: bool = False,
    ) -> Envelope[Any]:
        return await self._caller.call(operation, JOBS_PATH, query, body, data, fresh=fresh)


def _statuses(states: Collection[TaskState]) -> tuple[str, ...]:
    """Return EnOS's words for the states."""
    return tuple(STATUS_OF[state] for state in states)


def _chunks(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Yield the items in runs of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
