"""One command → calls to the platform → the events that say what came of them.

Every method records what happened before it returns, so the engine's next decision knows it. No call is repeated
here. Whether and when to try again is part of the event (`retry_at`); `decide` acts on it.
"""

from __future__ import annotations

from collections.abc import Awaitable
from random import Random
from typing import Protocol, assert_never

from rollout.core import events as ev
from rollout.core.audit import compare
from rollout.core.commands import (
    AuditWave,
    CancelTasks,
    Command,
    CountTasks,
    CreateJob,
    FindJob,
    RecordFact,
    StopJob,
)
from rollout.core.counting import Numbers, is_news, tasks_counted
from rollout.core.decide import may_create
from rollout.core.names import WaveNames, batch_name
from rollout.core.outcome import Accepted, Lookup, Throttled, Unknown
from rollout.core.reasons import LookupReason
from rollout.core.records import TaskState
from rollout.core.retry import (
    THROTTLES_MAX,
    Attempt,
    Doubt,
    after_create,
    after_lookup,
    backoff,
    cancel_again_at,
)
from rollout.core.state import BatchState, State
from rollout.engine.clock import Clock
from rollout.engine.pacing import Pacers
from rollout.errors import Failure, Phase, ServiceError
from rollout.ports import CreateCall, EnginePorts, NotNow

TASKS_IN_PROGRESS = (TaskState.NOTIFIED, TaskState.UPGRADING)
PENDING = (TaskState.WAITING, TaskState.NOTIFIED)
BRAKE_TRIES = 6
"""Attempts to stop one job, or cancel its tasks, before it is reported as not stopped. Calls."""


class Engine(Protocol):
    """What the performer needs from the engine it works for; the runner is one."""

    @property
    def is_stopping(self) -> bool:
        """Whether the run is about to end, so that no new call may go out."""
        ...

    async def record(self, events: list[ev.Event]) -> None:
        """Make the events durable, then fold them."""
        ...

    def note(self, event: ev.Event) -> None:
        """Fold an event that need not be kept."""
        ...

    def give_up(self, error: ServiceError) -> None:
        """End the run with this error, once the calls under way are done."""
        ...


class Performer:
    """Makes the calls that commands ask for, and tells the engine what came of them. One for each run."""

    def __init__(
        self,
        *,
        state: State,
        ports: EnginePorts,
        clock: Clock,
        pacers: Pacers,
        rng: Random,
        engine: Engine,
    ) -> None:
        self._state = state
        self._plan = state.plan
        self._campaign = state.campaign
        self._manifest = ports.manifest
        self._service = ports.service
        self._clock = clock
        self._pacers = pacers
        self._rng = rng
        self._engine = engine
        self._read_failures: dict[Command, int] = {}

    def perform(self, command: Command) -> Awaitable[None]:
        """Return what, once awaited, makes the command's calls and records what came of them."""
        match command:
            case CreateJob():
                return self._create(command)
            case FindJob():
                return self._find(command)
            case CountTasks():
                return self._count(command)
            case AuditWave():
                return self._audit(command)
            case StopJob():
                return self._stop(command)
            case CancelTasks():
                return self._cancel(command)
            case RecordFact():
                return self._engine.record([command.event])
            case _:
                assert_never(command)

    # --- creating ------------------------------------------------------------------------------------------

    async def _create(self, command: CreateJob) -> None:
        await self._pacers.create.join()
        try:
            if self._engine.is_stopping or not may_create(self._state, command.batch, self._clock()):
                return
            await self._send(command)
        finally:
            self._pacers.create.leave()

    async def _send(self, command: CreateJob) -> None:
        batch = self._plan.batches[command.batch]
        call = CreateCall.of_batch(self._campaign, batch, self._manifest)

        async def guard() -> None:
            await self._pacers.create.permit()
            if self._engine.is_stopping or not may_create(self._state, command.batch, self._clock()):
                raise NotNow

        await self._engine.record(
            [ev.BatchCreateSent(self._clock(), command.batch, command.attempt, call.name)]
        )
        outcome = await self._service.create(call, guard)
        touched = self._state.batches[command.batch]
        fact = after_create(
            outcome,
            Attempt(command.batch, command.attempt, touched.failures + touched.throttles + 1),
            self._campaign.api_retry,
            search_lag_s=self._state.search_lag_s,
            draw=self._rng.random(),
            now=self._clock(),
        )
        if isinstance(outcome, Accepted):
            await self._pacers.create.went_well()
        elif isinstance(outcome, Throttled):
            await self._pacers.create.slow_down(outcome.retry_after_s)
        elif isinstance(outcome, Unknown) and outcome.throttled:
            # it is not known whether the call took effect, but calls go out too fast
            await self._pacers.create.slow_down(None)
        await self._engine.record([fact])
        self._weigh(fact, touched)

    def _weigh(self, fact: ev.Event, batch: BatchState) -> None:
        """End the run if no batch can get through: credentials refused, endless throttling, platform out of reach.

        A campaign that has jobs already does not end because of an outage: its calls are repeated until one passes.
        """
        match fact:
            case ev.BatchCreateRejected(credentials=True):
                message = f"the platform refuses our credentials: {fact.code} {fact.message}"
                self._engine.give_up(
                    ServiceError(
                        message, phase=Phase.REFUSED, failure=Failure.CREDENTIALS, request_id=fact.request_id
                    )
                )
            case ev.BatchCreateUnsent(withheld=False) if (
                not self._state.jobs and batch.failures >= self._campaign.api_retry.attempts
            ):
                message = f"the platform cannot be reached: {fact.message} ({batch.failures} attempts)"
                self._engine.give_up(
                    ServiceError(
                        message,
                        phase=Phase.CONNECT,
                        failure=Failure.UNREACHABLE,
                        hint="the campaign goes on when it is run again",
                    )
                )
            case ev.BatchCreateThrottled() if batch.throttles >= THROTTLES_MAX:
                message = f"flow control refused one call {batch.throttles} times in a row"
                self._engine.give_up(
                    ServiceError(
                        message,
                        phase=Phase.REFUSED,
                        failure=Failure.THROTTLED,
                        hint="lower limits.create.rate",
                    )
                )
            case _:
                pass

    # --- finding -------------------------------------------------------------------------------------------

    async def _find(self, command: FindJob) -> None:
        planned = self._plan.batches[command.batch]
        batch = self._state.batches[command.batch]
        spec = self._campaign.waves[planned.wave].job
        began_at = self._clock()
        doubt = Doubt(
            command.batch,
            batch.attempt,
            batch.doubts,
            batch.looks,
            batch.ended_at,
            self._state.latest_effect_s,
            self._state.search_lag_s,
        )
        witness: tuple[str, ...] = ()
        try:
            listing = await self._service.find_jobs(
                firmware_id=self._campaign.firmware_id,
                spec=spec,
                names=batch_name(self._campaign.id, planned),
            )
            if listing.complete and not listing.jobs and began_at >= doubt.proven_at:
                witness = await self._service.find_witnesses(
                    firmware_id=self._campaign.firmware_id,
                    device_keys=self._manifest.keys(planned.start, planned.stop),
                    known=frozenset(
                        touched.job_id for touched in self._state.batches.values() if touched.job_id
                    ),
                )
        except ServiceError as error:
            wait = await self._read_failed(command, error)
            now = self._clock()
            fact: ev.Event = ev.BatchLookupInconclusive(
                now, command.batch, LookupReason.FAILED, now + wait, str(error)
            )
        else:
            await self._read_went_well(command)
            fact = after_lookup(
                Lookup(listing.jobs, listing.complete, witness),
                doubt,
                self._campaign.api_retry,
                began_at=began_at,
                draw=self._rng.random(),
                now=self._clock(),
            )
        await self._engine.record([fact])

    async def _audit(self, command: AuditWave) -> None:
        began_at = self._clock()
        spec = self._campaign.waves[command.wave].job
        try:
            listing = await self._service.find_jobs(
                firmware_id=self._campaign.firmware_id,
                spec=spec,
                names=WaveNames(self._campaign.id, command.wave),
            )
        except ServiceError as error:
            wait = await self._read_failed(command, error)
            now = self._clock()
            self._engine.note(ev.WaveAuditFailed(now, command.wave, str(error), now + wait))
            return
        now = self._clock()
        if not listing.complete:
            wait = self._failed_again(command)
            self._engine.note(
                ev.WaveAuditFailed(now, command.wave, "the listing was not complete", now + wait)
            )
            return
        await self._read_went_well(command)
        await self._engine.record(compare(self._state, command.wave, listing, began_at=began_at, now=now))

    # --- counting ------------------------------------------------------------------------------------------

    async def _count(self, command: CountTasks) -> None:
        group = self._state.groups[command.group]
        batches = list(group.batches)
        jobs = [self._state.batches[index].job_id for index in batches]
        spec = self._campaign.waves[group.wave].job
        asked_at = self._clock()
        try:
            enrolled_final = group.enrolled_final and not spec.grows
            enrolled = group.enrolled if enrolled_final else await self._service.count_tasks(jobs)
            in_progress = await self._service.count_tasks(jobs, TASKS_IN_PROGRESS)
            # ends are asked for last: what has ended by then can only be more than what had ended before
            succeeded = await self._service.count_tasks(jobs, (TaskState.SUCCEEDED,))
            failed = await self._service.count_tasks(jobs, (TaskState.FAILED,))
            if enrolled_final and succeeded + failed >= enrolled:
                # the last count of these jobs: tasks that appeared late must not be missed
                enrolled = await self._service.count_tasks(jobs)
        except ServiceError as error:
            wait = await self._read_failed(command, error)
            now = self._clock()
            self._engine.note(ev.TasksCountFailed(now, command.group, str(error), now + wait))
            return
        await self._read_went_well(command)
        numbers = Numbers(enrolled, in_progress, succeeded, failed)
        fact = tasks_counted(
            self._state, group, numbers, jobs=len(jobs), asked_at=asked_at, now=self._clock()
        )
        if is_news(self._state, fact):
            await self._engine.record([fact])
        else:
            self._engine.note(fact)

    # --- braking -------------------------------------------------------------------------------------------

    async def _stop(self, command: StopJob) -> None:
        try:
            await self._service.stop_job(command.job_id)
        except ServiceError as error:
            await self._brake_failed(command, error)
            return
        await self._read_went_well(command)
        await self._engine.record([ev.JobStopped(self._clock(), command.batch, command.job_id)])

    async def _cancel(self, command: CancelTasks) -> None:
        try:
            keys = await self._service.list_task_keys(command.job_id, PENDING)
            if keys:
                await self._service.cancel_tasks(command.job_id, keys)
            moving = await self._service.count_tasks([command.job_id], (TaskState.UPGRADING,))
        except ServiceError as error:
            await self._brake_failed(command, error)
            return
        await self._read_went_well(command)
        now = self._clock()
        passes = self._state.batches[command.batch].cancel_passes + 1
        again_at = cancel_again_at(len(keys), passes, search_lag_s=self._state.search_lag_s, now=now)
        await self._engine.record(
            [ev.JobTasksCancelled(now, command.batch, command.job_id, len(keys), moving, again_at)]
        )

    async def _brake_failed(self, command: StopJob | CancelTasks, error: ServiceError) -> None:
        wait = await self._read_failed(command, error)
        now = self._clock()
        # tasks that moved on between reading and cancelling are read again; those of a stopped job cannot be cancelled
        final = error.failure.is_final or error.failure is Failure.NOT_RUNNING
        given_up = final or self._read_failures[command] >= BRAKE_TRIES
        if given_up:
            del self._read_failures[command]
        retry_at = None if given_up else now + wait
        await self._engine.record(
            [ev.JobStopFailed(now, command.batch, command.job_id, str(error), retry_at)]
        )

    # --- reads that fail -----------------------------------------------------------------------------------

    def _failed_again(self, command: Command) -> float:
        """Count one more failure of the same read in a row; return how long to wait, engine seconds."""
        tries = self._read_failures.get(command, 0) + 1
        self._read_failures[command] = tries
        policy = self._campaign.api_retry
        return policy.first_s + backoff(tries, policy, self._rng.random())

    async def _read_failed(self, command: Command, error: ServiceError) -> float:
        """Count the failure, slow down if throttled; return how long to wait, engine seconds. For brakes too.

        The run ends if no repeat can help, and if a campaign without jobs never got an answer. A campaign that has
        jobs already does not end because of an outage.
        """
        wait = self._failed_again(command)
        braking = isinstance(command, StopJob | CancelTasks)
        if error.failure is Failure.THROTTLED:
            await (self._pacers.brake if braking else self._pacers.read).slow_down(error.retry_after_s)
        refused = error.failure is Failure.REFUSED and not braking
        hopeless = not self._state.jobs and self._read_failures[command] >= self._campaign.api_retry.attempts
        if error.failure is Failure.CREDENTIALS or refused or hopeless:
            self._engine.give_up(error)
        return wait

    async def _read_went_well(self, command: Command) -> None:
        self._read_failures.pop(command, None)
        await self._pacers.read.went_well()
        await self._pacers.brake.went_well()
