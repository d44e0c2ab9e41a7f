"""`fold(state, event)`: the only place a campaign's state changes.

Folding the same events again gives the same state; that is resume, replay and "why did wave 4 open?". Every fact is first
checked against the tables of `core.lifecycle`: one that cannot follow those before is a fault of the program, not of the
campaign.

Nothing is decided here. What depends on a rule or a constant that a later version may change (when to look again, what a
count proves) is in the event; for journals of format 1, whose events do not say it, in `core.format_1`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from rollout.core import events as ev
from rollout.core import format_1
from rollout.core.audit_phase import AuditFact
from rollout.core.budget import group_exposure
from rollout.core.commands import CancelTasks, StopJob
from rollout.core.lifecycle import BATCH, CAMPAIGN, WAVE, BatchStatus, CampaignStatus, WaveStatus, step
from rollout.core.reasons import BatchReason, HaltReason, HoldReason
from rollout.core.state import BatchState, GroupState, State, WaveState
from rollout.core.tally import Tally


def fold(state: State, event: ev.Event) -> None:
    """Let one fact change the state. Raises AssertionError for a fact that cannot follow the ones before."""
    state.last_at = max(state.last_at, event.at)
    match event:
        case ev.CampaignStarted():
            state.status = step(CAMPAIGN, state.status, event.kind)
            state.started_at = event.at
            _agree_on_counts(state, event)
        case ev.EngineStarted():
            _start_life(state, event)
        case ev.EngineStopped():
            state.clean = True
        case ev.WaveOpened():
            wave = state.waves[event.wave]
            wave.status = step(WAVE, wave.status, event.kind)
            wave.opened_at = wave.clock_from = wave.changed_at = event.at
            wave.audit = wave.audit.after(AuditFact.OPENED)
        case ev.BatchCreateSent():
            _send(state, event)
        case ev.BatchJobCreated():
            _create(state, event)
        case ev.BatchCreateUnsent():
            batch = _answer(state, event.batch, event.kind)
            batch.reason, batch.message = BatchReason.UNSENT, event.message
            if not event.withheld:
                batch.failures += 1
            state.retries.set(event.batch, event.retry_at)
        case ev.BatchCreateThrottled():
            batch = _answer(state, event.batch, event.kind)
            batch.throttles += 1
            batch.reason, batch.message = BatchReason.THROTTLED, ""
            state.retries.set(event.batch, event.retry_at)
        case ev.BatchCreateRejected():
            batch = _answer(state, event.batch, event.kind)
            batch.reason, batch.message = BatchReason.REFUSED, event.message
            batch.code, batch.request_id = event.code, event.request_id
            batch.credentials = event.credentials
            if event.retry_at is not None:
                batch.status = BatchStatus.PLANNED
                state.retries.set(event.batch, event.retry_at)
            else:
                state.rejected.add(event.batch)
        case ev.BatchOutcomeUnknown():
            batch = _move(state, event.batch, event.kind)
            batch.reason, batch.message = BatchReason.UNKNOWN, event.message
            batch.code, batch.request_id = event.code, event.request_id
            batch.doubts += 1
            look_at = format_1.look_at(event, state.search_lag_s) if event.look_at is None else event.look_at
            _doubt(state, event.batch, event.at, look_at)
        case ev.BatchLookupInconclusive():
            batch = _move(state, event.batch, event.kind)
            batch.looks += 1
            state.lookups.set(event.batch, event.retry_at)
        case ev.BatchResendAllowed():
            _end_doubt(state, event.batch, event.kind)
            state.retries.set(event.batch, event.retry_at)
        case ev.BatchParked():
            batch = _end_doubt(state, event.batch, event.kind)
            batch.reason, batch.message, batch.witnesses = event.reason, event.message, event.jobs
            batch.exposed = event.exposed
            if event.exposed:
                state.exposure += state.exposure_of(event.batch)
            state.parked.add(event.batch)
            _wave_of(state, event.batch).settled_batches += 1
        case ev.BatchJobDuplicated():
            _duplicate(state, event)
        case ev.TasksCounted():
            _count(state, event)
        case ev.TasksCountFailed():
            state.counts.set(event.group, event.retry_at)
            state.blind.setdefault(event.group, event.at)
        case ev.WaveAudited():
            _audit(state, event)
        case ev.WaveAuditFailed():
            wave = state.waves[event.wave]
            wave.audit = replace(wave.audit, retry_at=event.retry_at)
        case ev.GateHeld():
            wave = state.waves[event.wave]
            wave.held, wave.held_at, wave.gate_event = event.reason, event.at, event
            wave.audit = wave.audit.after(AuditFact.HELD)
        case ev.GateSatisfied():
            wave = state.waves[event.wave]
            wave.satisfied_at, wave.gate_event = event.at, event
        case ev.GateUnsatisfied():
            wave = state.waves[event.wave]
            wave.satisfied_at, wave.gate_event = None, event
        case ev.GatePassed():
            wave = state.waves[event.wave]
            wave.status = step(WAVE, wave.status, event.kind)
            wave.held, wave.gate_event = None, event
            wave.audit = wave.audit.after(AuditFact.PASSED)
        case ev.WaveFinished():
            wave = state.waves[event.wave]
            wave.status = step(WAVE, wave.status, event.kind)
            wave.stragglers = event.stragglers
        case ev.ApprovalGiven():
            _approve(state, event)
        case ev.CampaignPaused():
            state.status = step(CAMPAIGN, state.status, event.kind)
            state.requests.add(event.request)
            if state.status is CampaignStatus.PAUSED:
                state.cause = event
        case ev.CampaignResumed():
            _resume(state, event)
        case ev.CampaignHalted():
            state.status = step(CAMPAIGN, state.status, event.kind)
            state.cause = event
            state.halted_wave, state.halted_by_gate = event.wave, event.gate
        case ev.CampaignStalled():
            state.stalled_at = event.at
        case ev.CampaignAbortRequested():
            state.status = step(CAMPAIGN, state.status, event.kind)
            state.requests.add(event.request)
            _abort(state, event)
        case ev.JobStopped():
            state.brakes.pop(StopJob(event.batch, event.job_id), None)
            if state.batches[event.batch].job_id == event.job_id:
                state.batches[event.batch].stopped = True
        case ev.JobTasksCancelled():
            _cancelled(state, event)
        case ev.JobStopFailed():
            _brake_failed(state, event)
        case ev.CampaignAborted() | ev.CampaignFinished():
            state.status = step(CAMPAIGN, state.status, event.kind)
            state.ended_at = event.at
        case _:
            assert_never(event)


def _agree_on_counts(state: State, event: ev.CampaignStarted) -> None:
    """Take over how many jobs are counted together, and when first."""
    plan, limits = state.plan, state.campaign.limits
    for wave in state.waves:
        wave.group_size = (
            event.group_sizes[wave.index]
            if event.group_sizes
            else format_1.group_size(plan, wave.index, limits)
        )
    state.first_count_s = format_1.FIRST_COUNT_S if event.first_count_s is None else event.first_count_s


def _abort(state: State, event: ev.CampaignAbortRequested) -> None:
    before = state.abort
    if before is not None:  # a second order adds to the first, it takes nothing back
        event = replace(
            event,
            stop_jobs=event.stop_jobs or before.stop_jobs,
            cancel_pending=event.cancel_pending or before.cancel_pending,
        )
    state.abort = state.cause = event
    for index, batch in state.batches.items():
        _brake(state, index, batch)
    for wave in state.waves:
        if wave.audit.foreign:
            # nobody said whose they are: listed once more, what bears our exact names is braked too
            wave.audit = replace(wave.audit, suspect_until=event.at)


def _wave_of(state: State, batch: int) -> WaveState:
    return state.waves[state.plan.batches[batch].wave]


def _move(state: State, index: int, kind: str) -> BatchState:
    batch = state.batches.get(index)
    if batch is None:
        batch = state.batches[index] = BatchState()
        wave = _wave_of(state, index)
        while wave.cursor < wave.last and wave.cursor in state.batches:
            wave.cursor += 1
    batch.status = step(BATCH, batch.status, kind)
    return batch


def _start_life(state: State, event: ev.EngineStarted) -> None:
    """Put every batch whose create may have left into doubt, counted from now: this life knows nothing."""
    state.lives += 1
    state.clean = False
    state.latest_effect_s, state.search_lag_s = event.latest_effect_s, event.search_lag_s
    state.life_at = event.at
    state.blind.clear()
    state.unsighted = {group.index for group in state.groups if not group.settled}
    for index, batch in state.batches.items():
        if batch.status in {BatchStatus.SENT, BatchStatus.UNKNOWN, BatchStatus.PARKED}:
            _reconsider(state, index, event.kind, event.at)
        elif batch.status is BatchStatus.REJECTED and batch.credentials:
            batch.status = step(BATCH, batch.status, event.kind)
            state.rejected.discard(index)
            state.retries.set(index, event.at)
    for group in state.groups:
        if not group.settled:
            state.counts.set(group.index, event.at)
    for wave in state.waves:
        wave.audit = replace(wave.audit, retry_at=0.0)
        if event.paranoid and wave.status in {WaveStatus.WAITING, WaveStatus.OPEN}:
            wave.audit = wave.audit.doubted(event.at + event.latest_effect_s + event.search_lag_s)


def _reconsider(state: State, index: int, kind: str, at: float) -> None:
    batch = state.batches[index]
    before = batch.status
    batch.status = step(BATCH, batch.status, kind)
    if before is BatchStatus.PARKED:
        _unpark(state, index)
        state.exposure += state.exposure_of(index)
        wave = _wave_of(state, index)
        if wave.status is WaveStatus.FINISHED:
            wave.status = step(WAVE, wave.status, kind)
        if wave.status is WaveStatus.PASSED:
            # a wave that was listed for the last time is listed once more when the batch has its job
            wave.audit = wave.audit.after(AuditFact.REOPENED)
    if before is BatchStatus.UNKNOWN:
        state.unknown -= 1
    if before is BatchStatus.SENT:
        batch.doubts += 1
    _doubt(state, index, at, at)


def _unpark(state: State, index: int) -> None:
    batch = state.batches[index]
    state.parked.discard(index)
    _wave_of(state, index).settled_batches -= 1
    if batch.exposed:
        state.exposure -= state.exposure_of(index)
        batch.exposed = False


def _doubt(state: State, index: int, ended_at: float, look_at: float) -> None:
    state.unknown += 1
    batch = state.batches[index]
    batch.ended_at, batch.looks = ended_at, 0
    state.lookups.set(index, look_at)


def _send(state: State, event: ev.BatchCreateSent) -> None:
    batch = _move(state, event.batch, event.kind)
    batch.attempt = event.attempt
    state.retries.drop(event.batch)
    state.exposure += state.exposure_of(event.batch)


def _answer(state: State, index: int, kind: str) -> BatchState:
    """Move a batch whose create surely had no effect: it exposes nothing any more."""
    state.exposure -= state.exposure_of(index)
    return _move(state, index, kind)


def _end_doubt(state: State, index: int, kind: str) -> BatchState:
    state.unknown -= 1
    state.lookups.drop(index)
    return _answer(state, index, kind)


def _release(state: State, index: int, kind: str) -> BatchState:
    """Leave whatever state the batch is in for one with a job, giving back what it held there."""
    before = state.status_of(index)
    if before in {BatchStatus.SENT, BatchStatus.UNKNOWN}:
        state.exposure -= state.exposure_of(index)
    if before is BatchStatus.UNKNOWN:
        state.unknown -= 1
        state.lookups.drop(index)
    if before is BatchStatus.PARKED:
        _unpark(state, index)
    state.retries.drop(index)
    return _move(state, index, kind)


def _create(state: State, event: ev.BatchJobCreated) -> None:
    batch = _release(state, event.batch, event.kind)
    batch.job_id, batch.request_id, batch.created_at = event.job_id, event.request_id, event.at
    batch.adopted, batch.failures, batch.throttles = event.adopted, 0, 0
    batch.reason, batch.message = None, ""
    state.adopted += event.adopted
    _enter_group(state, event.batch, batch, event.at)


def _enter_group(state: State, index: int, batch: BatchState, at: float) -> None:
    state.jobs += 1
    planned = state.plan.batches[index]
    wave = state.waves[planned.wave]
    wave.settled_batches += 1
    wave.last_created_at = max(wave.last_created_at, at)
    last = state.groups[wave.groups[-1]] if wave.groups else None
    if last is None or len(last.batches) >= wave.group_size or last.settled:
        last = GroupState(len(state.groups), wave.index, scoped=planned.devices == 0)
        state.groups.append(last)
        wave.groups.append(last.index)
        wave.unsettled_groups += 1
        state.counts.set(last.index, at + state.first_count_s)
    # only where something failed can one more job reopen what was final
    counted = last.tally if last.failed else None
    batch.group = last.index
    last.batches.append(index)
    last.devices += planned.devices
    last.jobs_exposure += state.exposure_of(index)
    last.enrolled_final = False
    last.retries_over = not state.spec_of(planned).retry.enabled
    last.grown_at = at
    last.changed_at = max(last.changed_at, at)
    wave.grouped_devices += planned.devices
    wave.counted += Tally(planned.devices) if counted is None else last.tally - counted
    _expose(state, last)
    _brake(state, index, batch)


def _expose(state: State, group: GroupState) -> None:
    still_open = group.open
    exposure = group.jobs_exposure if still_open is None else group_exposure(group.jobs_exposure, still_open)
    state.exposure += exposure - group.exposure
    group.exposure = exposure


def _duplicate(state: State, event: ev.BatchJobDuplicated) -> None:
    known = state.status_of(event.batch) in {BatchStatus.CREATED, BatchStatus.DUPLICATED}
    batch = _release(state, event.batch, event.kind)
    state.duplicated.add(event.batch)
    state.duplicates_known.discard(event.batch)
    batch.others = batch.others.union(event.others)
    batch.job_id, batch.reason, batch.message = event.kept, BatchReason.DUPLICATED, ""
    if not known:
        batch.created_at = event.at
        _enter_group(state, event.batch, batch, event.at)
    for other in event.others:
        state.brakes[StopJob(event.batch, other)] = event.at


def _count(state: State, event: ev.TasksCounted) -> None:
    group = state.groups[event.group]
    if event.asked_at < group.asked_at or group.settled:
        return  # an older read never overwrites a newer one
    numbers = (event.enrolled, event.in_progress, event.succeeded, event.failed)
    changed = numbers != (group.enrolled, group.in_progress, group.succeeded, group.failed)
    before = group.tally
    enrolled_final, retries_over, next_at = _decided(state, group, event)
    group.enrolled_final, group.retries_over = enrolled_final, retries_over
    ended = event.succeeded + event.failed >= event.enrolled
    group.settled = enrolled_final and retries_over and ended
    group.enrolled, group.in_progress, group.succeeded, group.failed = numbers
    group.asked_at = event.asked_at
    state.blind.pop(group.index, None)
    state.unsighted.discard(group.index)
    state.last_count_at = event.at
    wave = state.waves[group.wave]
    wave.counted += group.tally - before
    if changed:
        group.changed_at = wave.changed_at = event.at
    _expose(state, group)
    if group.settled:
        wave.unsettled_groups -= 1
        state.counts.drop(group.index)
    else:
        state.counts.set(group.index, next_at)


def _decided(state: State, group: GroupState, event: ev.TasksCounted) -> tuple[bool, bool, float]:
    """Return whether all tasks are there and EnOS's retries are over, and when to count next."""
    if event.next_at is None:
        return format_1.decide_count(state, group, event)
    if event.jobs == len(group.batches):
        return event.enrolled_final, event.retries_over, event.next_at
    # jobs were added since: what was decided holds for those that were counted, and nothing is final for the group
    return False, event.retries_over and (not event.failed or group.retries_over), event.next_at


def _audit(state: State, event: ev.WaveAudited) -> None:
    wave = state.waves[event.wave]
    audit = wave.audit.listed(event.foreign, event.began_at)
    if wave.status is WaveStatus.WAITING:
        wave.audit = audit.before_first_create(seen=event.seen, foreign=len(event.foreign), at=event.at)
        return
    retry_at = event.retry_at
    if retry_at is None:
        retry_at = format_1.retry_audit_at(event, state.search_lag_s)
    wave.audit = audit = audit.missed(event.missing, retry_at)
    if audit.missing or (wave.status is WaveStatus.OPEN and wave.held is not HoldReason.AUDIT):
        return
    if wave.created and event.began_at >= state.vouched(wave.last_created_at) + state.search_lag_s:
        wave.audit = audit.after(AuditFact.COMPLETE)


def _approve(state: State, event: ev.ApprovalGiven) -> None:
    wave = state.waves[event.wave]
    state.requests.add(event.request)
    wave.approved, wave.approved_by = True, event.by
    if state.status is CampaignStatus.HALTED and state.halted_by_gate and state.halted_wave == event.wave:
        # the gate failed and a person lets the wave pass all the same: it is no longer judged
        wave.overridden = True
        state.status = step(CAMPAIGN, state.status, event.kind)
        state.cause = None
        state.halted_wave, state.halted_by_gate = None, False


def _resume(state: State, event: ev.CampaignResumed) -> None:
    state.status = step(CAMPAIGN, state.status, event.kind)
    state.requests.add(event.request)
    missed = isinstance(state.cause, ev.CampaignHalted) and state.cause.reason is HaltReason.JOBS_MISSING
    gone = state.halted_wave if missed else None
    state.cause = None
    state.halted_wave, state.halted_by_gate = None, False
    state.duplicates_known |= state.duplicated
    for index in sorted(state.rejected):
        batch = _move(state, index, event.kind)
        batch.failures = batch.throttles = 0
        state.retries.set(index, event.at)
    state.rejected.clear()
    for index in sorted(state.parked):
        _reconsider(state, index, event.kind, event.at)
    for wave in state.waves:
        if wave.status is WaveStatus.OPEN:
            wave.clock_from = event.at
        # a person who knows of foreign jobs lets the wave begin: what bears our exact names is adopted before any create
        known = bool(wave.audit.foreign) and wave.status is WaveStatus.WAITING
        wave.audit = wave.audit.resumed(
            suspect_until=event.at + state.latest_effect_s + state.search_lag_s if known else None,
            gone=wave.index == gone,
        )


def _brake(state: State, index: int, batch: BatchState) -> None:
    """Plan what the abort asks for one job; nothing if its devices are all through."""
    abort = state.abort
    if abort is None or not batch.job_id or batch.stopped:
        return
    if batch.group is not None and state.groups[batch.group].settled:
        return
    # before its job can be found, "not found" would be taken for "gone"
    due = max(abort.at, state.vouched(batch.created_at) + state.search_lag_s)
    if abort.cancel_pending:
        state.brakes[CancelTasks(index, batch.job_id)] = due
    elif abort.stop_jobs:
        state.brakes[StopJob(index, batch.job_id)] = due


def _cancelled(state: State, event: ev.JobTasksCancelled) -> None:
    """Look once more for waiting tasks if there were any: more may have appeared; then stop the job if asked to."""
    brake = CancelTasks(event.batch, event.job_id)
    state.brakes.pop(brake, None)
    batch = state.batches[event.batch]
    batch.cancel_passes += 1
    again_at = event.again_at
    if not event.decided:
        again_at = format_1.cancel_again_at(event, batch.cancel_passes, state.search_lag_s)
    if again_at is not None:
        state.brakes[brake] = again_at
    elif state.abort is not None and state.abort.stop_jobs:
        state.brakes[StopJob(event.batch, event.job_id)] = event.at


def _brake_failed(state: State, event: ev.JobStopFailed) -> None:
    for brake in (CancelTasks(event.batch, event.job_id), StopJob(event.batch, event.job_id)):
        if brake in state.brakes:
            if event.retry_at is not None:
                state.brakes[brake] = event.retry_at
            else:
                del state.brakes[brake]
                state.brakes_failed.add(event.batch)
                if isinstance(brake, CancelTasks) and state.abort is not None and state.abort.stop_jobs:
                    state.brakes[StopJob(event.batch, event.job_id)] = event.at
            return
