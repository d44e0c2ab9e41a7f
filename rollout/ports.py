"""All the engine asks of the world: a platform, a journal, an audience, a fleet.

Each Protocol says what it guarantees and raises. For the platform and the journal `tests/conformance` says the
same in code, and every implementation runs it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from rollout.core.campaign import Campaign, JobSpec, Localized, Scope
from rollout.core.events import Event
from rollout.core.names import batch_name
from rollout.core.outcome import Listing, Outcome
from rollout.core.plan import Batch
from rollout.core.records import Hits, JobFilter, JobRecord, TaskFilter, TaskRecord, TaskState
from rollout.core.state import State


class NotNow(Exception):
    """Raised by a guard: the request must not be sent. Reaches the caller as `Unsent(withheld=True)`."""


Guard = Callable[[], Awaitable[None]]
"""Awaited after the connection stands and before the first byte; takes the rate permit; may raise `NotNow`."""


@dataclass(frozen=True, slots=True)
class CreateOrder:
    """One create call. `name` is the unique job name (ASCII); `label` the campaign's display names.

    Exactly one of `device_keys` (a slice of the manifest: `"k1","k2"`, ASCII bytes) and `scope` is given.
    """

    firmware_id: str
    name: str
    label: Localized
    spec: JobSpec
    device_keys: bytes = b""
    scope: Scope | None = None

    @classmethod
    def of_batch(cls, campaign: Campaign, batch: Batch, manifest: Manifest) -> Self:
        """Return the create call of a planned batch: the one that is sent is the one that was shown before."""
        wave = campaign.waves[batch.wave]
        return cls(
            campaign.firmware_id,
            batch_name(campaign.id, batch),
            campaign.name,
            wave.job,
            manifest.json_slice(batch.start, batch.stop),
            wave.size if isinstance(wave.size, Scope) else None,
        )


class JobService(Protocol):
    """The platform's OTA service: every operation on jobs and tasks, and the looks a campaign takes with them.

    No method repeats a call by itself, except once after renewing a refused token; searches read as many pages as
    they need. Every method but `create` raises `ServiceError`, with the phase the call had reached and the
    platform's code in `platform_code`; `create` never raises for what the network or the platform does: that is its
    `Outcome`. Reads may lag behind writes by seconds: a job not found (24404) may be a job just made.
    """

    async def create(self, order: CreateOrder, guard: Guard) -> Outcome:
        """Send one create call on a connection of its own.

        `guard` is awaited before any byte of the request, nothing is sent if it raises; it is asked again where
        a refused token made a second sending necessary.
        A call that is cancelled from outside raises the cancellation; its outcome is unknown.
        """
        ...

    async def find_jobs(self, *, firmware_id: str, job_type: str, name: str, prefix: bool = False) -> Listing:
        """Return all jobs of the firmware and type whose default name is `name`, or starts with it.

        Matches exactly on this side whatever the platform's fuzzy search returns. `complete` is true only
        if all pages were read and agreed.
        """
        ...

    async def get_job(self, job_id: str) -> JobRecord:
        """Return the job's record. Raises `ServiceError` with code 24404 where there is none."""
        ...

    async def search_jobs(self, jobs: JobFilter) -> Hits[JobRecord]:
        """Return the organisation's jobs that match, newest first as far as one reading of the pages saw them."""
        ...

    async def search_tasks(self, tasks: TaskFilter) -> Hits[TaskRecord]:
        """Return the tasks that match, in no promised order.

        Tasks change while pages are read: a record shows one that matched when its page was made.
        """
        ...

    async def find_witnesses(
        self, *, firmware_id: str, device_keys: Sequence[str], known: frozenset[str]
    ) -> tuple[str, ...]:
        """Return ids of jobs of this firmware, outside `known`, that have tasks for any of the devices."""
        ...

    async def count_tasks(self, job_ids: Sequence[str], states: Collection[TaskState] = ()) -> int:
        """Return how many tasks the jobs have, in any of `states` (all when empty), by one read call."""
        ...

    async def start_job(self, job_id: str) -> None:
        """Start the job; a job already started (24615) is a success.

        Repeating it after somebody stopped the job would undo that: check what is wanted right before each call.
        """
        ...

    async def stop_job(self, job_id: str) -> None:
        """Stop the job; a job already stopped (24616) or gone is a success."""
        ...

    async def delete_job(self, job_id: str) -> None:
        """Delete the job, for good and perhaps with its tasks' records; one already gone is a success.

        Raises `ServiceError` with code 24618 while the job is started.
        """
        ...

    async def list_task_keys(self, job_id: str, states: Collection[TaskState]) -> list[str]:
        """Return the keys of the job's devices whose task is in any of `states`, each once, in no promised order."""
        ...

    async def cancel_tasks(self, job_id: str, device_keys: Sequence[str]) -> None:
        """Cancel tasks in init or published of a started job (24617 otherwise).

        Raises `ServiceError` with code 24620, after all keys were tried, if some had moved on; whether the
        others are cancelled then is not promised: re-read.
        """
        ...

    async def retry_tasks(self, job_id: str, device_keys: Sequence[str]) -> None:
        """Start failed tasks of a started job anew (24617 otherwise).

        Raises `ServiceError` with code 24621, after all keys were tried, if some are not failed; re-read as above.
        A repeat is not harmless: a task that failed again meanwhile gets one more attempt.
        """
        ...

    async def aclose(self) -> None:
        """Release connections; idempotent."""
        ...


class Journal(Protocol):
    """The campaign's history, in order, for good.

    One writer at a time. An event whose `append` returned survives a power cut.
    """

    async def append(self, events: Sequence[Event]) -> int:
        """Store the events, in this order and after all appended before; return when they are durable.

        What comes back is how many of all events appended in this life are durable by then, the first of them
        counted as 1: these and all before, and perhaps some of those after. Raises `JournalError` if they may
        not be; then every later call raises too, until reopened.
        """
        ...

    def read(self) -> Iterator[Event]:
        """Yield all stored events in order. Raises `JournalCorrupt`."""
        ...

    async def aclose(self) -> None:
        """Finish pending appends, leave a clean mark and release the file; idempotent."""
        ...


class Manifest(Protocol):
    """Which devices a batch holds: slices of one JSON-ready blob."""

    def json_slice(self, start: int, stop: int) -> bytes:
        """Return the batch's keys as they stand in a request body: `"k1","k2",…` without brackets."""
        ...

    def keys(self, start: int, stop: int) -> list[str]:
        """Return the batch's device keys, in plan order."""
        ...


class Observer(Protocol):
    """Somebody who is told what happened. Must return at once and never raise."""

    def notice(self, event: Event, state: State) -> None:
        """Take note of `event`, already folded into `state`."""
        ...
