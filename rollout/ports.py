"""What the program needs from outside: a platform, a store with its journals and orders, observers, lists of devices.

Each Protocol says what it guarantees and raises. For the platform, the store and the journal
`tests/conformance` says the same in code, and every implementation runs it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from rollout.core.campaign import Campaign, JobSpec, Localized, Scope
from rollout.core.events import Event
from rollout.core.names import WaveNames, batch_name
from rollout.core.orders import Order
from rollout.core.outcome import Listing, Outcome
from rollout.core.plan import Batch
from rollout.core.records import Hits, JobFilter, JobRecord, TaskFilter, TaskRecord, TaskState
from rollout.core.state import State


class NotNow(Exception):
    """Raised by a guard: the request must not be sent. Reaches the caller as `Unsent(withheld=True)`."""


Guard = Callable[[], Awaitable[None]]
"""The last check of a create call: awaited when the connection stands, before the first byte is sent.

It waits for the permit of the rate limit, and raises `NotNow` if the call must not be sent any more."""


Permit = Callable[[], Awaitable[None]]
"""Awaited before a call goes out; returns when the rate limit lets one through."""

_T = TypeVar("_T")


class Repeat(Protocol):
    """Makes a read, and makes it again while its failure may pass."""

    async def __call__(self, read: Callable[[], Awaitable[_T]]) -> _T:
        """Return what `read` returns. Raises the `ServiceError` of its last attempt."""
        ...


@dataclass(frozen=True, slots=True)
class CreateCall:
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
        """Return the create call of a planned batch. Both the preview and the engine take it from here."""
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
    """The calls to the platform that the engine makes, and no others.

    A method sends its call once; only after the platform refused the token it renews the token and sends once more.
    A search reads as many pages as it needs. `create` answers with an `Outcome` whatever the network or the platform
    does. Every other method raises `ServiceError`; its `failure` says what happened.
    Reads may lag behind writes by seconds: a job that is GONE may be a job just made.
    """

    async def create(self, call: CreateCall, guard: Guard) -> Outcome:
        """Send one create call on a connection of its own; return what came of it.

        `guard` is awaited before the first byte is sent; if it raises, nothing is sent. It is awaited a second time
        where a refused token makes a second sending necessary.
        If this coroutine is cancelled, the outcome of the call is unknown.
        """
        ...

    async def find_jobs(self, *, firmware_id: str, spec: JobSpec, names: str | WaveNames) -> Listing:
        """Return all jobs of the firmware, of the type that `spec` asks for, whose default name is `names` or one of them.

        Names are compared as wholes on this side, whatever the platform's fuzzy search returns. `complete` is true only
        if all pages were read and agreed.
        """
        ...

    async def find_witnesses(
        self, *, firmware_id: str, device_keys: Sequence[str], known: frozenset[str]
    ) -> tuple[str, ...]:
        """Return ids of jobs of this firmware, outside `known`, that have tasks for any of the devices.

        A job that cannot be read counts as one of them. Asked before a create call is sent again.
        """
        ...

    async def count_tasks(self, job_ids: Sequence[str], states: Collection[TaskState] = ()) -> int:
        """Return how many tasks the jobs have, in any of `states` (all when empty), by one read call."""
        ...

    async def stop_job(self, job_id: str) -> None:
        """Stop the job. A success too if the job is stopped already, or gone."""
        ...

    async def list_task_keys(self, job_id: str, states: Collection[TaskState]) -> list[str]:
        """Return the keys of the job's devices whose task is in any of `states`, each once, in no promised order."""
        ...

    async def cancel_tasks(self, job_id: str, device_keys: Sequence[str]) -> None:
        """Cancel the tasks of these devices, which must be WAITING or NOTIFIED, in a job that runs.

        Raises `ServiceError`: NOT_RUNNING if the job is stopped; NOT_CANCELLABLE_NOW, after all keys were tried, if
        some tasks were in another state. Whether the other tasks are cancelled then is not promised: read them again.
        """
        ...

    async def aclose(self) -> None:
        """Release connections; idempotent."""
        ...


class JobConsole(Protocol):
    """The other calls on jobs and tasks: those a person makes in a console. The engine makes none of them.

    Every method raises `ServiceError`; its `failure` says what happened.
    """

    async def get_job(self, job_id: str) -> JobRecord:
        """Return the job's record. Raises `ServiceError`: GONE if there is no such job."""
        ...

    async def search_jobs(self, jobs: JobFilter) -> Hits[JobRecord]:
        """Return the organisation's jobs that match, newest first as far as one reading of the pages saw them."""
        ...

    async def search_tasks(self, tasks: TaskFilter) -> Hits[TaskRecord]:
        """Return the tasks that match, in no promised order.

        Tasks change while pages are read: a record shows a task as it was when its page was made.
        """
        ...

    async def start_job(self, job_id: str) -> None:
        """Start the job. A success too if it is started already.

        Do not repeat the call blindly: somebody may have stopped the job since, and a repeat would undo that.
        """
        ...

    async def delete_job(self, job_id: str) -> None:
        """Delete the job, for good and perhaps with its tasks' records. A success too if it is gone already.

        Raises `ServiceError`: IN_USE while the job is started.
        """
        ...

    async def retry_tasks(self, job_id: str, device_keys: Sequence[str]) -> None:
        """Start the tasks of these devices anew, which must be FAILED, in a job that runs.

        Raises `ServiceError`: NOT_RUNNING if the job is stopped; NOT_RETRYABLE_NOW, after all keys were tried, if some
        tasks were in another state; read them again. A repeat is not harmless: a task that failed again meanwhile
        gets one more attempt.
        """
        ...


class Health(StrEnum):
    """How one look of a check-up ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look of a check-up saw and, unless all is well, what to do.

    `facts` are the figures behind `seen`, for programs. `exit_code` is that of a failure, 0 otherwise.
    """

    name: str
    health: Health
    seen: str
    remedy: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    exit_code: int = 0


class Journal(Protocol):
    """The campaign's history, in order, for good.

    One writer at a time. An event whose `append` returned survives a power cut.
    """

    async def append(self, events: Sequence[Event]) -> int:
        """Store the events, in this order and after all appended before; return when they are durable.

        Returns: how many events appended since the journal was opened are durable now. These are among them, and all
            before them, and perhaps some appended after them.
        Raises: `JournalError` if they may not be durable; then every later call raises too, until reopened.
        """
        ...

    def read(self) -> Iterator[Event]:
        """Yield all stored events in order. Raises `JournalCorrupt`."""
        ...

    async def aclose(self) -> None:
        """Finish pending appends, leave a clean mark and release the journal; idempotent."""
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
    """Told of every event, such as the log and the live view. Must return at once and never raise."""

    def notice(self, event: Event, state: State) -> None:
        """Handle the event. `state` has it already; do not change `state`."""
        ...


# --- where campaigns are kept ---------------------------------------------------------------------------------

PLAN_NAME = "plan.json"
"""The file of a saved plan that names the others; they lie beside it."""

LISTING_GLOB = "plan.listing-*.gz"
"""The files of a saved plan that hold what a device search gave."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who carries, or last carried, a campaign out, and how far its journal had come.

    `since` and `beat_at` are seconds since the epoch on the wall clock: when the holder opened the journal, and when it
    last told that it stored events. `epoch` counts the journal's openings from 1, `seq` its events; 0 is none yet.
    """

    host: str
    pid: int
    since: float
    beat_at: float
    epoch: int
    seq: int

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        return f"process {self.pid} on {self.host} since {since}"


class OpenedJournal(Journal, Protocol):
    """A journal that this process holds, with what opening it found.

    `campaign_id` and `plan_digest` are what it was begun with. `was_clean`: the life before this one, if there was
    any, ended with a clean mark. `older_than_lock`: it may be an older copy of itself, brought back from a backup.
    `epoch`: how many times it was opened, this time included.
    """

    campaign_id: str
    plan_digest: str
    was_clean: bool
    older_than_lock: bool
    epoch: int


class Orders(Protocol):
    """The orders to one campaign, as its runner takes them. `look_every_s`: how often it looks, in real seconds."""

    look_every_s: float

    async def pending(self) -> list[Order]:
        """Return the orders that no runner has taken, oldest first."""
        ...

    async def done(self, order_id: str) -> None:
        """Forget an order that has become a fact; nothing happens if it is gone already."""
        ...


@dataclass(frozen=True, slots=True)
class EnginePorts:
    """What one run of the engine reads from and writes to. Whoever starts the run opens and closes them.

    `orders`: None where nobody can give any. `observers`: told of every event in this order.
    """

    manifest: Manifest
    journal: Journal
    service: JobService
    orders: Orders | None = None
    observers: Sequence[Observer] = ()


@dataclass(frozen=True, slots=True)
class CampaignFiles:
    """Files of one campaign on this machine, beside what the store keeps. `folder` exists once its plan is saved."""

    folder: Path

    @property
    def event_log(self) -> Path:
        """The log of all runs, one JSON object a line."""
        return self.folder / "events.ndjson"

    @property
    def emulator_log(self) -> Path:
        """The memory of an emulator inside the process."""
        return self.folder / "emulator.ndjson"

    @property
    def last_run(self) -> Path:
        """The command line of the last run, a JSON array of words."""
        return self.folder / "last-run"


@dataclass(frozen=True, slots=True)
class StoreCheck:
    """Whether a store can be used: `problem` says why it cannot, and is empty if it can.

    `place` is where it is. `sync_s`: how long a few bytes took until they were durable. `free_bytes`: room for more;
    None where no bound is known. `has_room`: whether that is enough for what was asked.
    """

    place: str
    problem: str = ""
    sync_s: float = 0.0
    free_bytes: int | None = None
    has_room: bool = True


class Store(Protocol):
    """Where campaigns are kept: saved plans, journals, and the orders to them.

    A campaign is known by its name: its id, as a rule. `address` names the store, as `--state-dir` does. Quotas that
    campaigns share, an outbox of notifications, a table of exceptional devices and amended plans will each be a few
    methods more here and a table or a file more in each store.

    A person's command calls these methods: they are plain calls and may block for some milliseconds. What a running
    engine calls is awaited: `OpenedJournal` and `Orders`. `tests/conformance/test_store.py` says the promises in code.

    Every method that takes a name raises NoCampaign for a name that no campaign can have, and JournalError where the
    store cannot be read or written.
    """

    address: str

    def campaigns(self) -> list[str]:
        """Return the names of the campaigns that have a saved plan, sorted."""
        ...

    def workplace(self) -> AbstractContextManager[Path]:
        """Give an empty folder on this machine in which a plan can be made; it is gone afterwards."""
        ...

    def save_plan(self, name: str, made: Path, *, keep: Collection[str] = ()) -> None:
        """Take the plan's files over from the folder `made`, which is empty afterwards.

        The plan of before, if any, is replaced. Nobody may run the campaign, and nobody may have run it before.

        Args:
            keep: names of files of the plan of before that the new plan uses, too.
        Raises: OSError.
        """
        ...

    def plan_path(self, name: str) -> Path:
        """Return where the campaign's plan.json can be read on this machine, its other files beside it.

        Raises: NoCampaign where the store has no plan of that name.
        """
        ...

    def has_journal(self, name: str) -> bool:
        """Return whether the campaign was ever run."""
        ...

    def open_journal(self, name: str, campaign_id: str, plan_digest: str) -> OpenedJournal:
        """Open the campaign's journal, or make it where there is none; it is held until it is closed.

        A journal that was begun with another campaign or plan is opened as it is: see its `plan_digest`.

        Raises: JournalHeld where somebody else holds it; JournalCorrupt; JournalError.
        """
        ...

    def events(self, name: str, after_seq: int = 0) -> Iterator[tuple[int, Event]]:
        """Yield number and content of each event stored after number `after_seq`; the first event has number 1.

        Nothing where the campaign was never run. For onlookers: no runner is disturbed, and calling again with the
        last number follows the campaign. Raises: JournalCorrupt.
        """
        ...

    def holder(self, name: str) -> Holder | None:
        """Return who carries the campaign out now; None if nobody does. A runner that was killed is nobody."""
        ...

    def post_order(self, name: str, order: Order) -> None:
        """Keep an order until a runner has taken it; it is durable when this returns."""
        ...

    def pending_orders(self, name: str) -> list[Order]:
        """Return the orders that no runner has taken, oldest first."""
        ...

    def orders(self, name: str) -> Orders:
        """Return what a runner takes the campaign's orders from."""
        ...

    def files(self, name: str) -> CampaignFiles:
        """Return the campaign's files on this machine: its log, and what else only this machine needs."""
        ...

    def require_room(self, name: str, batches: int) -> None:
        """Return if there is room for so many batches more. Raises JournalError otherwise."""
        ...

    def check(self, batches: int) -> StoreCheck:
        """Return whether the store can be used, and has room for so many batches. Changes nothing."""
        ...

    def close(self) -> None:
        """Release what the store holds; idempotent. A journal is closed by whoever opened it."""
        ...
