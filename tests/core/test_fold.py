"""What each event changes in the state: these values, and nothing else.

Every row is an event and all values that are other ones after it. `IT` is the event itself. A wave's counts are
(planned, enrolled, in progress, succeeded, failed, failed for good). The plan has the wave `one` of three batches of 20
devices, each job of which has at most 10 in progress and two of which are counted together, and the wave `two` of one batch.
"""

import pytest
from support.plans import build, gate
from support.states import changes

from rollout.core import events as ev
from rollout.core.audit_phase import AuditPhase
from rollout.core.campaign import JobSpec, TaskRetry
from rollout.core.commands import CancelTasks, StopJob
from rollout.core.fold import fold
from rollout.core.lifecycle import BatchStatus, CampaignStatus, WaveStatus
from rollout.core.reasons import BatchReason, HaltReason, HoldReason, LookupReason, StopReason
from rollout.core.state import State
from rollout.core.tally import Tally

IT = object()
TALLY = Tally(60, 60, 0, 55, 5, 5)
SPEC = JobSpec(maximum_concurrency=10)


def state_after(*events, spec=SPEC):
    """The state of the plan after these events."""
    plan, _ = build(("one", [20, 20, 20], gate(), spec), ("two", [5], None, None))
    state = State.initial(plan)
    for event in events:
        fold(state, event)
    return state


OPENED = (
    ev.CampaignStarted(1.0, "c1", "d", 65, 4, 2, (2, 1), 7.0),
    ev.EngineStarted(2.0, "t", "0", 60.0, 5.0),
    ev.WaveAudited(3.0, 0, 2.5, 0),
    ev.WaveOpened(4.0, 0),
)
CREATED = (
    *OPENED,
    *(
        event
        for batch in range(3)
        for event in (
            ev.BatchCreateSent(10.0, batch, 1, "n"),
            ev.BatchJobCreated(11.0 + batch, batch, 1, f"j{batch}"),
        )
    ),
)

CREATES = [
    (
        ev.CampaignStarted(1.0, "c1", "d", 65, 4, 2, group_sizes=(2, 1), first_count_s=7.0),
        {"status": CampaignStatus.RUNNING, "waves.0.group_size": 2, "first_count_s": 7.0, "started_at": 1.0},
    ),
    (ev.EngineStarted(2.0, "t", "0", 60.0, 5.0), {"life_at": 2.0, "lives": 1}),
    (ev.WaveAudited(3.0, 0, 2.5, 0), {"waves.0.audit.phase": AuditPhase.CLEARED}),
    (
        ev.WaveOpened(4.0, 0),
        {
            "waves.0.status": WaveStatus.OPEN,
            "waves.0.opened_at": 4.0,
            "waves.0.clock_from": 4.0,
            "waves.0.changed_at": 4.0,
            "waves.0.audit.phase": AuditPhase.UNVERIFIED,
        },
    ),
    (
        ev.BatchCreateSent(10.0, 0, 1, "n"),
        {"waves.0.cursor": 1, "batches.0.status": BatchStatus.SENT, "batches.0.attempt": 1, "exposure": 10},
    ),
    (
        ev.BatchCreateUnsent(11.0, 0, 1, "no route", 12.0),
        {
            "batches.0.status": BatchStatus.PLANNED,
            "batches.0.failures": 1,
            "batches.0.reason": BatchReason.UNSENT,
            "batches.0.message": "no route",
            "retries": [(0, 12.0)],
            "exposure": 0,
        },
    ),
    (
        ev.BatchCreateSent(13.0, 0, 2, "n"),
        {"batches.0.status": BatchStatus.SENT, "batches.0.attempt": 2, "retries": [], "exposure": 10},
    ),
    (
        ev.BatchCreateUnsent(14.0, 0, 2, "held", 15.0, withheld=True),
        {
            "batches.0.status": BatchStatus.PLANNED,
            "batches.0.message": "held",
            "retries": [(0, 15.0)],
            "exposure": 0,
        },
    ),
    (
        ev.BatchCreateSent(16.0, 0, 3, "n"),
        {"batches.0.status": BatchStatus.SENT, "batches.0.attempt": 3, "retries": [], "exposure": 10},
    ),
    (
        ev.BatchCreateThrottled(17.0, 0, 3, 18.0),
        {
            "batches.0.status": BatchStatus.PLANNED,
            "batches.0.throttles": 1,
            "batches.0.reason": BatchReason.THROTTLED,
            "batches.0.message": "",
            "retries": [(0, 18.0)],
            "exposure": 0,
        },
    ),
    (
        ev.BatchCreateSent(19.0, 0, 4, "n"),
        {"batches.0.status": BatchStatus.SENT, "batches.0.attempt": 4, "retries": [], "exposure": 10},
    ),
    (
        ev.BatchCreateRejected(20.0, 0, 4, 24610, "not verified", request_id="r1", retry_at=21.0),
        {
            "batches.0.status": BatchStatus.PLANNED,
            "batches.0.request_id": "r1",
            "batches.0.reason": BatchReason.REFUSED,
            "batches.0.message": "not verified",
            "batches.0.code": 24610,
            "retries": [(0, 21.0)],
            "exposure": 0,
        },
    ),
    (
        ev.BatchCreateSent(22.0, 0, 5, "n"),
        {"batches.0.status": BatchStatus.SENT, "batches.0.attempt": 5, "retries": [], "exposure": 10},
    ),
    (
        ev.BatchCreateRejected(23.0, 0, 5, 24404, "not found", request_id="r2"),
        {
            "batches.0.status": BatchStatus.REJECTED,
            "batches.0.request_id": "r2",
            "batches.0.message": "not found",
            "batches.0.code": 24404,
            "exposure": 0,
            "rejected": {0},
        },
    ),
    (
        ev.CampaignHalted(24.0, HaltReason.CREATE_REFUSED, wave=0),
        {"status": CampaignStatus.HALTED, "cause": IT, "halted_wave": 0},
    ),
    (
        ev.CampaignResumed(25.0, "ana", reason="mended", request="q1"),
        {
            "status": CampaignStatus.RUNNING,
            "waves.0.clock_from": 25.0,
            "batches.0.status": BatchStatus.PLANNED,
            "batches.0.failures": 0,
            "batches.0.throttles": 0,
            "retries": [(0, 25.0)],
            "rejected": set(),
            "cause": None,
            "halted_wave": None,
            "requests": {"q1"},
        },
    ),
    (
        ev.BatchCreateSent(26.0, 0, 6, "n"),
        {"batches.0.status": BatchStatus.SENT, "batches.0.attempt": 6, "retries": [], "exposure": 10},
    ),
    (
        ev.BatchJobCreated(27.0, 0, 6, "j0", request_id="r3"),
        {
            "waves.0.settled_batches": 1,
            "waves.0.last_created_at": 27.0,
            "waves.0.groups": [0],
            "waves.0.unsettled_groups": 1,
            "waves.0.counted": (20, 0, 0, 0, 0, 0),
            "waves.0.grouped_devices": 20,
            "batches.0.status": BatchStatus.CREATED,
            "batches.0.created_at": 27.0,
            "batches.0.job_id": "j0",
            "batches.0.request_id": "r3",
            "batches.0.group": 0,
            "batches.0.reason": None,
            "batches.0.message": "",
            "groups.0.batches": [0],
            "groups.0.devices": 20,
            "groups.0.jobs_exposure": 10,
            "groups.0.exposure": 10,
            "groups.0.retries_over": True,
            "groups.0.grown_at": 27.0,
            "groups.0.changed_at": 27.0,
            "counts": [(0, 34.0)],
            "jobs": 1,
        },
    ),
    (
        ev.BatchCreateSent(28.0, 1, 1, "n"),
        {"waves.0.cursor": 2, "batches.1.status": BatchStatus.SENT, "batches.1.attempt": 1, "exposure": 20},
    ),
    (
        ev.BatchOutcomeUnknown(
            29.0, 1, 1, "reset", code=24500, http_status=500, request_id="r4", look_at=33.0
        ),
        {
            "batches.1.status": BatchStatus.UNKNOWN,
            "batches.1.doubts": 1,
            "batches.1.ended_at": 29.0,
            "batches.1.request_id": "r4",
            "batches.1.reason": BatchReason.UNKNOWN,
            "batches.1.message": "reset",
            "batches.1.code": 24500,
            "lookups": [(1, 33.0)],
            "unknown": 1,
        },
    ),
    (
        ev.BatchLookupInconclusive(34.0, 1, LookupReason.TOO_EARLY, 40.0),
        {"batches.1.looks": 1, "lookups": [(1, 40.0)]},
    ),
    (
        ev.BatchResendAllowed(95.0, 1, 94.0, 96.0),
        {
            "batches.1.status": BatchStatus.PLANNED,
            "retries": [(1, 96.0)],
            "lookups": [],
            "exposure": 10,
            "unknown": 0,
        },
    ),
    (
        ev.BatchCreateSent(97.0, 1, 2, "n"),
        {"batches.1.status": BatchStatus.SENT, "batches.1.attempt": 2, "retries": [], "exposure": 20},
    ),
    (
        ev.BatchOutcomeUnknown(98.0, 1, 2, "reset"),
        {
            "batches.1.status": BatchStatus.UNKNOWN,
            "batches.1.doubts": 2,
            "batches.1.looks": 0,
            "batches.1.ended_at": 98.0,
            "batches.1.request_id": "",
            "batches.1.code": None,
            "lookups": [(1, 103.0)],
            "unknown": 1,
        },
    ),
    (
        ev.BatchParked(170.0, 1, BatchReason.WITNESSED, exposed=True, jobs=("x",)),
        {
            "waves.0.settled_batches": 2,
            "batches.1.status": BatchStatus.PARKED,
            "batches.1.reason": BatchReason.WITNESSED,
            "batches.1.message": "",
            "batches.1.witnesses": ("x",),
            "batches.1.exposed": True,
            "lookups": [],
            "unknown": 0,
            "parked": {1},
        },
    ),
    (
        ev.BatchCreateSent(171.0, 2, 1, "n"),
        {"waves.0.cursor": 3, "batches.2.status": BatchStatus.SENT, "batches.2.attempt": 1, "exposure": 30},
    ),
    (
        ev.EngineStarted(200.0, "t", "0", 50.0, 4.0),
        {
            "waves.0.settled_batches": 1,
            "batches.1.status": BatchStatus.UNKNOWN,
            "batches.1.ended_at": 200.0,
            "batches.1.exposed": False,
            "batches.2.status": BatchStatus.UNKNOWN,
            "batches.2.doubts": 1,
            "batches.2.ended_at": 200.0,
            "lookups": [(1, 200.0), (2, 200.0)],
            "counts": [(0, 200.0)],
            "unknown": 2,
            "parked": set(),
            "unsighted": {0},
            "life_at": 200.0,
            "lives": 2,
            "latest_effect_s": 50.0,
            "search_lag_s": 4.0,
        },
    ),
    (
        ev.BatchParked(260.0, 2, BatchReason.TOO_OFTEN, doubts=1),
        {
            "waves.0.settled_batches": 2,
            "batches.2.status": BatchStatus.PARKED,
            "batches.2.reason": BatchReason.TOO_OFTEN,
            "lookups": [(1, 200.0)],
            "exposure": 20,
            "unknown": 1,
            "parked": {2},
        },
    ),
    (
        ev.BatchJobCreated(261.0, 1, 2, "j1", adopted=True),
        {
            "waves.0.settled_batches": 3,
            "waves.0.last_created_at": 261.0,
            "waves.0.counted": (40, 0, 0, 0, 0, 0),
            "waves.0.grouped_devices": 40,
            "batches.1.status": BatchStatus.CREATED,
            "batches.1.created_at": 261.0,
            "batches.1.job_id": "j1",
            "batches.1.adopted": True,
            "batches.1.group": 0,
            "batches.1.reason": None,
            "groups.0.batches": [0, 1],
            "groups.0.devices": 40,
            "groups.0.jobs_exposure": 20,
            "groups.0.exposure": 20,
            "groups.0.grown_at": 261.0,
            "groups.0.changed_at": 261.0,
            "lookups": [],
            "unknown": 0,
            "jobs": 2,
            "adopted": 1,
        },
    ),
    (
        ev.CampaignResumed(270.0, "ana"),
        {
            "waves.0.clock_from": 270.0,
            "waves.0.settled_batches": 2,
            "batches.2.status": BatchStatus.UNKNOWN,
            "batches.2.ended_at": 270.0,
            "lookups": [(2, 270.0)],
            "exposure": 30,
            "unknown": 1,
            "parked": set(),
            "requests": {"", "q1"},
        },
    ),
    (
        ev.BatchJobDuplicated(280.0, 2, "j2", ("k2", "l2")),
        {
            "waves.0.settled_batches": 3,
            "waves.0.last_created_at": 280.0,
            "waves.0.groups": [0, 1],
            "waves.0.unsettled_groups": 2,
            "waves.0.counted": (60, 0, 0, 0, 0, 0),
            "waves.0.grouped_devices": 60,
            "batches.2.status": BatchStatus.DUPLICATED,
            "batches.2.created_at": 280.0,
            "batches.2.job_id": "j2",
            "batches.2.group": 1,
            "batches.2.reason": BatchReason.DUPLICATED,
            "batches.2.others": frozenset(["k2", "l2"]),
            "groups.1.batches": [2],
            "groups.1.devices": 20,
            "groups.1.jobs_exposure": 10,
            "groups.1.exposure": 10,
            "groups.1.retries_over": True,
            "groups.1.grown_at": 280.0,
            "groups.1.changed_at": 280.0,
            "lookups": [],
            "counts": [(0, 200.0), (1, 287.0)],
            "brakes": {StopJob(2, "k2"): 280.0, StopJob(2, "l2"): 280.0},
            "unknown": 0,
            "jobs": 3,
            "duplicated": {2},
        },
    ),
    (
        ev.CampaignHalted(281.0, HaltReason.JOB_DUPLICATED, wave=0),
        {"status": CampaignStatus.HALTED, "cause": IT, "halted_wave": 0},
    ),
    (
        ev.CampaignResumed(282.0, "ana"),
        {
            "status": CampaignStatus.RUNNING,
            "waves.0.clock_from": 282.0,
            "duplicates_known": {2},
            "cause": None,
            "halted_wave": None,
        },
    ),
    (ev.JobStopped(283.0, 2, "k2"), {"brakes": {StopJob(2, "l2"): 280.0}}),
    (
        ev.BatchJobDuplicated(284.0, 2, "j2", ("m2",)),
        {
            "batches.2.others": frozenset(["k2", "l2", "m2"]),
            "brakes": {StopJob(2, "l2"): 280.0, StopJob(2, "m2"): 284.0},
            "duplicates_known": set(),
        },
    ),
    (
        ev.JobStopFailed(285.0, 2, "l2", "no answer", 290.0),
        {"brakes": {StopJob(2, "l2"): 290.0, StopJob(2, "m2"): 284.0}},
    ),
    (
        ev.JobStopFailed(291.0, 2, "l2", "no answer", None),
        {"brakes": {StopJob(2, "m2"): 284.0}, "brakes_failed": {2}},
    ),
    (ev.JobStopped(292.0, 2, "j2"), {"batches.2.stopped": True}),
    (ev.EngineStopped(300.0, StopReason.SIGNAL), {"clean": True}),
]

COUNTS = [
    (
        ev.TasksCounted(20.0, 0, 19.0, 2, 38, 8, 20, 2, retries_over=True, next_at=30.0),
        {
            "waves.0.counted": (60, 38, 8, 20, 2, 2),
            "waves.0.changed_at": 20.0,
            "groups.0.exposure": 18,
            "groups.0.enrolled": 38,
            "groups.0.in_progress": 8,
            "groups.0.succeeded": 20,
            "groups.0.failed": 2,
            "groups.0.changed_at": 20.0,
            "groups.0.asked_at": 19.0,
            "counts": [(1, 20.0), (0, 30.0)],
            "exposure": 28,
            "last_count_at": 20.0,
        },
    ),
    (ev.TasksCountFailed(31.0, 0, "no answer", 33.0), {"counts": [(1, 20.0), (0, 33.0)], "blind": {0: 31.0}}),
    (ev.TasksCountFailed(34.0, 0, "no answer", 36.0), {"counts": [(1, 20.0), (0, 36.0)]}),
    (ev.TasksCounted(40.0, 0, 18.0, 2, 1, 1, 0, 0, retries_over=True, next_at=41.0), {}),
    (
        ev.TasksCounted(50.0, 0, 49.0, 1, 20, 0, 20, 0, enrolled_final=True, retries_over=True, next_at=60.0),
        {
            "waves.0.counted": (60, 20, 0, 20, 0, 0),
            "waves.0.changed_at": 50.0,
            "groups.0.exposure": 20,
            "groups.0.enrolled": 20,
            "groups.0.in_progress": 0,
            "groups.0.failed": 0,
            "groups.0.changed_at": 50.0,
            "groups.0.asked_at": 49.0,
            "counts": [(1, 20.0), (0, 60.0)],
            "exposure": 30,
            "blind": {},
            "last_count_at": 50.0,
        },
    ),
    (
        ev.TasksCounted(61.0, 0, 60.5, 2, 40, 0, 36, 4, enrolled_final=True, retries_over=True, next_at=70.0),
        {
            "waves.0.unsettled_groups": 1,
            "waves.0.counted": (60, 40, 0, 36, 4, 4),
            "waves.0.changed_at": 61.0,
            "groups.0.exposure": 0,
            "groups.0.enrolled": 40,
            "groups.0.enrolled_final": True,
            "groups.0.succeeded": 36,
            "groups.0.failed": 4,
            "groups.0.changed_at": 61.0,
            "groups.0.asked_at": 60.5,
            "groups.0.settled": True,
            "counts": [(1, 20.0)],
            "exposure": 10,
            "last_count_at": 61.0,
        },
    ),
    (
        ev.TasksCounted(62.0, 0, 61.0, 2, 40, 40, 0, 0, enrolled_final=True, retries_over=True, next_at=70.0),
        {},
    ),
    (
        ev.TasksCounted(63.0, 1, 62.0, 1, 20, 1, 19, 0, enrolled_final=True, retries_over=True, next_at=70.0),
        {
            "waves.0.counted": (60, 60, 1, 55, 4, 4),
            "waves.0.changed_at": 63.0,
            "groups.1.exposure": 1,
            "groups.1.enrolled": 20,
            "groups.1.enrolled_final": True,
            "groups.1.in_progress": 1,
            "groups.1.succeeded": 19,
            "groups.1.changed_at": 63.0,
            "groups.1.asked_at": 62.0,
            "counts": [(1, 70.0)],
            "exposure": 1,
            "last_count_at": 63.0,
        },
    ),
    (
        ev.EngineStarted(64.0, "t", "0", 60.0, 5.0),
        {"counts": [(1, 64.0)], "unsighted": {1}, "life_at": 64.0, "lives": 2},
    ),
    (
        ev.TasksCounted(65.0, 1, 64.5, 1, 20, 0, 19, 1, enrolled_final=True, retries_over=True, next_at=70.0),
        {
            "waves.0.unsettled_groups": 0,
            "waves.0.counted": (60, 60, 0, 55, 5, 5),
            "waves.0.changed_at": 65.0,
            "groups.1.exposure": 0,
            "groups.1.in_progress": 0,
            "groups.1.failed": 1,
            "groups.1.changed_at": 65.0,
            "groups.1.asked_at": 64.5,
            "groups.1.settled": True,
            "counts": [],
            "exposure": 0,
            "unsighted": set(),
            "last_count_at": 65.0,
        },
    ),
]

GATES = [
    (
        ev.GateHeld(20.0, 0, HoldReason.SAMPLE, tally=TALLY, until=99.0),
        {"waves.0.held": HoldReason.SAMPLE, "waves.0.held_at": 20.0, "waves.0.gate_event": IT},
    ),
    (ev.GateSatisfied(21.0, 0, tally=TALLY), {"waves.0.satisfied_at": 21.0, "waves.0.gate_event": IT}),
    (ev.GateUnsatisfied(22.0, 0, tally=TALLY), {"waves.0.satisfied_at": None, "waves.0.gate_event": IT}),
    (ev.GateSatisfied(23.0, 0, tally=TALLY), {"waves.0.satisfied_at": 23.0, "waves.0.gate_event": IT}),
    (ev.WaveAudited(24.0, 0, 23.0, 3), {}),
    (
        ev.GateHeld(25.0, 0, HoldReason.AUDIT, tally=TALLY),
        {"waves.0.held": HoldReason.AUDIT, "waves.0.held_at": 25.0, "waves.0.gate_event": IT},
    ),
    (ev.WaveAudited(26.0, 0, 17.9, 3), {}),
    (ev.WaveAuditFailed(27.0, 0, "no answer", 28.0), {"waves.0.audit.retry_at": 28.0}),
    (
        ev.WaveAudited(29.0, 0, 18.0, 3),
        {"waves.0.audit.phase": AuditPhase.VERIFIED, "waves.0.audit.retry_at": 0.0},
    ),
    (
        ev.GateHeld(30.0, 0, HoldReason.STALE, tally=TALLY),
        {
            "waves.0.held": HoldReason.STALE,
            "waves.0.held_at": 30.0,
            "waves.0.gate_event": IT,
            "waves.0.audit.phase": AuditPhase.UNVERIFIED,
        },
    ),
    (
        ev.GateHeld(31.0, 0, HoldReason.AUDIT, tally=TALLY),
        {"waves.0.held": HoldReason.AUDIT, "waves.0.held_at": 31.0, "waves.0.gate_event": IT},
    ),
    (
        ev.WaveAudited(32.0, 0, 31.0, 2, missing=(1,), retry_at=50.0),
        {"waves.0.audit.misses": 1, "waves.0.audit.missing": (1,), "waves.0.audit.retry_at": 50.0},
    ),
    (
        ev.WaveAudited(51.0, 0, 50.0, 2, missing=(1,), foreign=("s",), retry_at=60.0),
        {"waves.0.audit.misses": 2, "waves.0.audit.foreign": ("s",), "waves.0.audit.retry_at": 60.0},
    ),
    (
        ev.CampaignHalted(52.0, HaltReason.JOBS_MISSING, wave=0, number=1),
        {"status": CampaignStatus.HALTED, "cause": IT, "halted_wave": 0},
    ),
    (
        ev.CampaignResumed(53.0, "ana"),
        {
            "status": CampaignStatus.RUNNING,
            "waves.0.clock_from": 53.0,
            "waves.0.audit.misses": 0,
            "waves.0.audit.missing": (),
            "waves.0.audit.missing_known": frozenset([1]),
            "waves.0.audit.foreign": (),
            "waves.0.audit.foreign_known": frozenset(["s"]),
            "cause": None,
            "halted_wave": None,
            "requests": {""},
        },
    ),
    (
        ev.WaveAudited(61.0, 0, 60.0, 2, missing=(1,), foreign=("s",), retry_at=70.0),
        {"waves.0.audit.phase": AuditPhase.VERIFIED, "waves.0.audit.retry_at": 0.0},
    ),
    (
        ev.CampaignHalted(62.0, HaltReason.STOP_RULE, wave=0, gate=True, tally=TALLY),
        {"status": CampaignStatus.HALTED, "cause": IT, "halted_wave": 0, "halted_by_gate": True},
    ),
    (
        ev.ApprovalGiven(63.0, 0, "ben", comment="lab", request="q2"),
        {
            "status": CampaignStatus.RUNNING,
            "waves.0.approved": True,
            "waves.0.approved_by": "ben",
            "waves.0.overridden": True,
            "cause": None,
            "halted_wave": None,
            "halted_by_gate": False,
            "requests": {"", "q2"},
        },
    ),
    (
        ev.GatePassed(64.0, 0, tally=TALLY, overridden=True),
        {
            "waves.0.status": WaveStatus.PASSED,
            "waves.0.held": None,
            "waves.0.gate_event": IT,
            "waves.0.audit.phase": AuditPhase.UNCLOSED,
        },
    ),
    (
        ev.WaveAudited(65.0, 0, 64.0, 2, missing=(1,), foreign=("s",)),
        {"waves.0.audit.phase": AuditPhase.CLOSED},
    ),
    (ev.WaveFinished(66.0, 0, 3), {"waves.0.status": WaveStatus.FINISHED, "waves.0.stragglers": 3}),
    (ev.CampaignStalled(67.0, 1, exposure=30), {"stalled_at": 67.0}),
    (ev.WaveAudited(68.0, 1, 67.5, 0), {"waves.1.audit.phase": AuditPhase.CLEARED}),
    (
        ev.WaveOpened(69.0, 1),
        {
            "waves.1.status": WaveStatus.OPEN,
            "waves.1.opened_at": 69.0,
            "waves.1.clock_from": 69.0,
            "waves.1.changed_at": 69.0,
            "waves.1.audit.phase": AuditPhase.UNVERIFIED,
        },
    ),
    (ev.ApprovalGiven(70.0, 1, "eve"), {"waves.1.approved": True, "waves.1.approved_by": "eve"}),
    (
        ev.CampaignPaused(71.0, "ana", reason="storm", request="q3"),
        {"status": CampaignStatus.PAUSED, "cause": IT, "requests": {"", "q2", "q3"}},
    ),
    (
        ev.CampaignHalted(72.0, HaltReason.DEADLINE, wave=1, gate=True),
        {"status": CampaignStatus.HALTED, "cause": IT, "halted_wave": 1, "halted_by_gate": True},
    ),
    (ev.CampaignPaused(73.0, "ana"), {}),
    (ev.ApprovalGiven(73.5, 0, "eve"), {"waves.0.approved_by": "eve"}),
    (
        ev.CampaignResumed(74.0, "ana"),
        {
            "status": CampaignStatus.RUNNING,
            "waves.1.clock_from": 74.0,
            "cause": None,
            "halted_wave": None,
            "halted_by_gate": False,
        },
    ),
]

ABORT = [
    (
        ev.TasksCounted(20.0, 1, 19.0, 1, 20, 0, 20, 0, enrolled_final=True, retries_over=True, next_at=30.0),
        {
            "waves.0.unsettled_groups": 1,
            "waves.0.counted": (60, 20, 0, 20, 0, 0),
            "waves.0.changed_at": 20.0,
            "groups.1.exposure": 0,
            "groups.1.enrolled": 20,
            "groups.1.enrolled_final": True,
            "groups.1.succeeded": 20,
            "groups.1.changed_at": 20.0,
            "groups.1.asked_at": 19.0,
            "groups.1.settled": True,
            "counts": [(0, 18.0)],
            "exposure": 20,
            "last_count_at": 20.0,
        },
    ),
    (
        ev.CampaignAbortRequested(21.0, by="ana", reason="bad", cancel_pending=True, request="q4"),
        {
            "status": CampaignStatus.ABORTING,
            "brakes": {CancelTasks(0, "j0"): 21.0, CancelTasks(1, "j1"): 21.0},
            "cause": IT,
            "abort": IT,
            "requests": {"q4"},
        },
    ),
    (
        ev.CampaignAbortRequested(22.0, by="ana", stop_jobs=True),
        {
            "brakes": {CancelTasks(0, "j0"): 22.0, CancelTasks(1, "j1"): 22.0},
            "cause": ev.CampaignAbortRequested(22.0, by="ana", stop_jobs=True, cancel_pending=True),
            "abort": ev.CampaignAbortRequested(22.0, by="ana", stop_jobs=True, cancel_pending=True),
            "requests": {"", "q4"},
        },
    ),
    (
        ev.JobTasksCancelled(23.0, 0, "j0", 5, 1, again_at=28.0),
        {"batches.0.cancel_passes": 1, "brakes": {CancelTasks(1, "j1"): 22.0, CancelTasks(0, "j0"): 28.0}},
    ),
    (
        ev.JobTasksCancelled(29.0, 0, "j0", 0, 1),
        {"batches.0.cancel_passes": 2, "brakes": {CancelTasks(1, "j1"): 22.0, StopJob(0, "j0"): 29.0}},
    ),
    (ev.JobStopped(30.0, 0, "j0"), {"batches.0.stopped": True, "brakes": {CancelTasks(1, "j1"): 22.0}}),
    (ev.JobStopFailed(31.0, 1, "j1", "no answer", 35.0), {"brakes": {CancelTasks(1, "j1"): 35.0}}),
    (
        ev.JobStopFailed(36.0, 1, "j1", "gone", None),
        {"brakes": {StopJob(1, "j1"): 36.0}, "brakes_failed": {1}},
    ),
    (ev.JobStopFailed(37.0, 1, "j1", "no answer", None), {"brakes": {}}),
    (ev.CampaignAborted(40.0), {"status": CampaignStatus.ABORTED, "ended_at": 40.0}),
]

SUSPECTS = [
    (
        ev.CampaignStarted(1.0, "c1", "d", 65, 4, 2, group_sizes=(2, 1), first_count_s=7.0),
        {"status": CampaignStatus.RUNNING, "waves.0.group_size": 2, "first_count_s": 7.0, "started_at": 1.0},
    ),
    (
        ev.EngineStarted(2.0, "t", "0", 60.0, 5.0, paranoid=True),
        {
            "waves.0.audit.suspect_until": 67.0,
            "waves.1.audit.suspect_until": 67.0,
            "life_at": 2.0,
            "lives": 1,
        },
    ),
    (ev.WaveAudited(3.0, 0, 2.5, 1, foreign=("s",)), {"waves.0.audit.foreign": ("s",)}),
    (
        ev.CampaignHalted(4.0, HaltReason.FOREIGN_JOBS, wave=0),
        {"status": CampaignStatus.HALTED, "cause": IT, "halted_wave": 0},
    ),
    (
        ev.CampaignResumed(5.0, "ana"),
        {
            "status": CampaignStatus.RUNNING,
            "waves.0.audit.phase": AuditPhase.CLEARED,
            "waves.0.audit.suspect_until": 70.0,
            "waves.0.audit.foreign": (),
            "waves.0.audit.foreign_known": frozenset(["s"]),
            "cause": None,
            "halted_wave": None,
            "requests": {""},
        },
    ),
    (
        ev.WaveAudited(71.0, 0, 70.0, 2, foreign=("s", "t")),
        {
            "waves.0.audit.phase": AuditPhase.UNCLEARED,
            "waves.0.audit.suspect_until": None,
            "waves.0.audit.foreign": ("t",),
        },
    ),
    (
        ev.CampaignAbortRequested(72.0, by="ana", stop_jobs=True),
        {"status": CampaignStatus.ABORTING, "waves.0.audit.suspect_until": 72.0, "cause": IT, "abort": IT},
    ),
    (ev.WaveAudited(73.0, 0, 72.0, 2, foreign=("s", "t")), {"waves.0.audit.suspect_until": None}),
    (
        ev.BatchJobCreated(74.0, 0, 0, "j0", adopted=True),
        {
            "waves.0.cursor": 1,
            "waves.0.settled_batches": 1,
            "waves.0.last_created_at": 74.0,
            "waves.0.groups": [0],
            "waves.0.unsettled_groups": 1,
            "waves.0.counted": (20, 0, 0, 0, 0, 0),
            "waves.0.grouped_devices": 20,
            "batches.0.status": BatchStatus.CREATED,
            "batches.0.created_at": 74.0,
            "batches.0.job_id": "j0",
            "batches.0.adopted": True,
            "batches.0.group": 0,
            "groups.0.batches": [0],
            "groups.0.devices": 20,
            "groups.0.jobs_exposure": 10,
            "groups.0.exposure": 10,
            "groups.0.retries_over": True,
            "groups.0.grown_at": 74.0,
            "groups.0.changed_at": 74.0,
            "counts": [(0, 81.0)],
            "brakes": {StopJob(0, "j0"): 79.0},
            "exposure": 10,
            "jobs": 1,
            "adopted": 1,
        },
    ),
    (ev.CampaignAborted(80.0), {"status": CampaignStatus.ABORTED, "ended_at": 80.0}),
]

CREDENTIALS = [
    (
        ev.EngineStarted(20.0, "t", "0", 60.0, 5.0, paranoid=True),
        {
            "waves.0.audit.suspect_until": 85.0,
            "waves.1.audit.suspect_until": 85.0,
            "counts": [(0, 20.0)],
            "unsighted": {0},
            "life_at": 20.0,
            "lives": 2,
        },
    ),
    (ev.WaveAudited(86.0, 0, 85.0, 1), {"waves.0.audit.suspect_until": None}),
    (
        ev.BatchCreateSent(90.0, 1, 1, "n"),
        {"waves.0.cursor": 2, "batches.1.status": BatchStatus.SENT, "batches.1.attempt": 1, "exposure": 20},
    ),
    (
        ev.BatchCreateRejected(91.0, 1, 1, 24401, "who", request_id="r", credentials=True),
        {
            "batches.1.status": BatchStatus.REJECTED,
            "batches.1.request_id": "r",
            "batches.1.reason": BatchReason.REFUSED,
            "batches.1.message": "who",
            "batches.1.code": 24401,
            "batches.1.credentials": True,
            "exposure": 10,
            "rejected": {1},
        },
    ),
    (
        ev.EngineStarted(95.0, "t", "0", 60.0, 5.0),
        {
            "batches.1.status": BatchStatus.PLANNED,
            "retries": [(1, 95.0)],
            "counts": [(0, 95.0)],
            "rejected": set(),
            "life_at": 95.0,
            "lives": 3,
        },
    ),
]


@pytest.mark.parametrize(
    ("before", "story"),
    [
        ((), CREATES),
        (CREATED, COUNTS),
        (CREATED, GATES),
        (CREATED, ABORT),
        ((), SUSPECTS),
        (CREATED[:6], CREDENTIALS),
    ],
    ids=["creates", "counts", "gates", "abort", "suspects", "credentials"],
)
def test_each_event_changes_just_what_it_says(before, story):
    """Row by row: what is another value after the event, and that nothing else is."""
    state = state_after(*before)
    for event, changed in story:
        expected = {path: event if value is IT else value for path, value in changed.items()}
        assert changes(state, event) == expected, event
        assert state.last_at == event.at


def test_an_event_that_comes_late_does_not_turn_back_the_clock():
    """`last_at` is the newest time of all events, in whatever order they were stored."""
    state = state_after(*CREATED)
    assert changes(state, ev.TasksCountFailed(9.0, 1, "no answer", 30.0)).keys() == {"counts", "blind"}
    assert state.last_at == 13.0


@pytest.mark.parametrize(
    "event", [ev.BatchCreateSent(20.0, 0, 1, "n"), ev.BatchOutcomeUnknown(21.0, 0, 1, "reset")]
)
def test_a_create_in_doubt_exposes_its_devices(event):
    """From the intent on, until it is known that no job was made: the budget counts what the job could have at work."""
    state = state_after(*OPENED, ev.BatchCreateSent(19.0, 1, 1, "n"))
    fold(state, ev.BatchCreateSent(20.0, 0, 1, "n"))
    if event.kind != ev.BatchCreateSent.kind:
        fold(state, event)
    assert state.exposure == 20
    fold(state, ev.EngineStarted(30.0, "t", "0", 60.0, 5.0))
    assert state.exposure == 20
    fold(state, ev.BatchResendAllowed(99.0, 0, 98.0, 99.0))
    assert state.exposure == 10


@pytest.mark.parametrize("exposed", [True, False])
def test_a_parked_batch_whose_job_is_found_gives_back_what_it_held(exposed):
    """An audit found one job, or two: it waits for nobody any more, and exposes what a job does, once."""
    parked = (
        *OPENED,
        ev.BatchCreateSent(10.0, 0, 1, "n"),
        ev.BatchOutcomeUnknown(11.0, 0, 1, "reset"),
        ev.BatchParked(99.0, 0, BatchReason.WITNESSED, exposed=exposed),
    )
    for event in (
        ev.BatchJobCreated(100.0, 0, 1, "j0", adopted=True),
        ev.BatchJobDuplicated(100.0, 0, "j0", ("k0",)),
    ):
        state = state_after(*parked)
        assert (state.parked, state.exposure) == ({0}, 10 if exposed else 0)
        fold(state, event)
        assert (state.parked, state.exposure, state.batches[0].exposed) == (set(), 10, False)
        assert (state.waves[0].settled_batches, state.unknown) == (1, 0)


def test_a_job_that_is_found_is_not_created_again():
    """Its create was to be repeated when an audit saw the job."""
    unsent = (ev.BatchCreateSent(10.0, 0, 1, "n"), ev.BatchCreateUnsent(11.0, 0, 1, "no route", 99.0))
    state = state_after(*OPENED, *unsent)
    assert list(state.retries) == [0]
    fold(state, ev.BatchJobCreated(20.0, 0, 1, "j0", adopted=True))
    assert list(state.retries) == []


def test_failures_in_a_row_are_counted():
    """Each kind by itself, until a job is made: the next wait grows with them, and a person is asked after too many."""
    state = state_after(*OPENED)
    for attempt in (1, 2, 3):
        fold(state, ev.BatchCreateSent(10.0, 0, attempt, "n"))
        fold(state, ev.BatchCreateThrottled(11.0, 0, attempt, 12.0))
    for attempt in (4, 5):
        fold(state, ev.BatchCreateSent(13.0, 0, attempt, "n"))
        fold(state, ev.BatchCreateUnsent(14.0, 0, attempt, "no route", 15.0))
    assert (state.batches[0].throttles, state.batches[0].failures) == (3, 2)
    fold(state, ev.BatchCreateSent(16.0, 0, 6, "n"))
    fold(state, ev.BatchJobCreated(17.0, 0, 6, "j0"))
    assert (state.batches[0].throttles, state.batches[0].failures) == (0, 0)


def test_a_waves_cursor_stays_in_its_wave():
    """An abort adopts the job of the wave after it first: the cursor ends where its own batches do."""
    state = state_after(*OPENED, ev.CampaignAbortRequested(5.0, "ana"))
    for batch in (3, 0, 1, 2):
        fold(state, ev.BatchJobCreated(6.0, batch, 0, f"j{batch}", adopted=True))
    assert [wave.cursor for wave in state.waves] == [3, 4]


def test_of_two_counts_of_one_moment_the_later_holds():
    """Only what was asked for before is old."""
    state = state_after(*CREATED, ev.TasksCounted(20.0, 0, 19.0, 2, 40, 10, 20, 0, True, True, 30.0))
    fold(state, ev.TasksCounted(21.0, 0, 19.0, 2, 40, 9, 21, 0, True, True, 30.0))
    assert state.groups[0].succeeded == 21


def test_one_more_job_reopens_what_was_final():
    """Failed for good among the jobs of a group; a job joins it, and EnOS may bring all its failed devices back."""
    retrying = JobSpec(maximum_concurrency=10, retry=TaskRetry(enabled=True, interval_s=600, count=2))
    state = state_after(*CREATED[:6], spec=retrying)
    assert not state.groups[0].retries_over
    fold(state, ev.TasksCounted(20.0, 0, 19.0, 1, 20, 2, 15, 3, True, True, 30.0))
    assert state.waves[0].counted == Tally(20, 20, 2, 15, 3, 3)
    fold(state, ev.BatchCreateSent(21.0, 1, 1, "n"))
    fold(state, ev.BatchJobCreated(22.0, 1, 1, "j1"))
    assert (state.groups[0].enrolled_final, state.groups[0].retries_over) == (False, False)
    assert state.waves[0].counted == Tally(40, 20, 2, 15, 3, 0)
    # a count of the first job alone: nothing is final for the group, nor are the failures
    fold(state, ev.TasksCounted(31.0, 0, 30.0, 1, 20, 0, 17, 3, True, True, 40.0))
    assert (state.groups[0].enrolled_final, state.groups[0].retries_over) == (False, False)
    fold(state, ev.TasksCounted(41.0, 0, 40.0, 1, 20, 0, 20, 0, True, True, 50.0))
    assert (state.groups[0].enrolled_final, state.groups[0].retries_over) == (False, True)


def test_a_settled_group_takes_no_further_job():
    """Its devices are through and it is not counted any more, so the next job begins another one."""
    state = state_after(*CREATED[:6], ev.TasksCounted(20.0, 0, 19.0, 1, 20, 0, 20, 0, True, True, 30.0))
    assert state.groups[0].settled
    fold(state, ev.BatchCreateSent(21.0, 1, 1, "n"))
    fold(state, ev.BatchJobCreated(22.0, 1, 1, "j1"))
    assert [group.batches for group in state.groups] == [[0], [1]]
    assert state.waves[0].unsettled_groups == 1


def test_a_parked_batch_reopens_its_finished_wave():
    """Taken up again by a resume, or by a new life: the wave is passed, not finished, and is audited once more."""
    parked = (
        *CREATED[:8],
        ev.BatchCreateSent(20.0, 2, 1, "n"),
        ev.BatchOutcomeUnknown(21.0, 2, 1, "reset"),
        ev.BatchParked(99.0, 2, BatchReason.TOO_OFTEN),
        ev.GateHeld(100.0, 0, HoldReason.AUDIT),
        ev.WaveAudited(101.0, 0, 100.0, 2),
        ev.GatePassed(102.0, 0),
        ev.WaveAudited(103.0, 0, 102.0, 2),
        ev.WaveFinished(104.0, 0, 3),
    )
    for event in (ev.CampaignResumed(110.0, "ana"), ev.EngineStarted(110.0, "t", "0", 60.0, 5.0)):
        state = state_after(*parked)
        assert (state.waves[0].status, state.waves[0].audit.phase) == (WaveStatus.FINISHED, AuditPhase.CLOSED)
        fold(state, event)
        assert (state.waves[0].status, state.waves[0].audit.phase) == (WaveStatus.PASSED, AuditPhase.UNCLOSED)
        assert (state.waves[0].created, state.exposure, state.unknown) == (False, 30, 1)
    # listed for the last time, and the campaign halted before the wave was finished
    halt = ev.CampaignHalted(104.0, HaltReason.STOP_RULE, 0, gate=True)
    state = state_after(*parked[:-1], halt, ev.CampaignResumed(110.0, "ana"))
    assert (state.waves[0].status, state.waves[0].audit.phase) == (WaveStatus.PASSED, AuditPhase.UNCLOSED)


def test_a_resume_knows_of_missing_jobs_only_after_a_halt_for_them():
    """Halted by the gate while an audit missed a job: the job is missed again afterwards."""
    missed = ev.WaveAudited(21.0, 0, 20.0, 2, (1,), (), 30.0)
    for halt, known in (
        (ev.CampaignHalted(22.0, HaltReason.JOBS_MISSING, 0, number=1), {1}),
        (ev.CampaignHalted(22.0, HaltReason.JOBS_MISSING, 1, number=1), set()),
        (ev.CampaignHalted(22.0, HaltReason.STOP_RULE, 0, gate=True), set()),
        (ev.CampaignPaused(22.0, "ana"), set()),
    ):
        state = state_after(*CREATED, missed, halt, ev.CampaignResumed(23.0, "ana"))
        assert state.waves[0].audit.missing_known == known


def test_a_new_life_lists_at_once_what_was_put_off():
    """The wait after an audit that failed belonged to the life before."""
    state = state_after(*CREATED, ev.WaveAuditFailed(20.0, 0, "no answer", 999.0))
    assert changes(state, ev.EngineStarted(21.0, "t", "0", 60.0, 5.0))["waves.0.audit.retry_at"] == 0.0


def test_names_a_person_knows_are_listed_once_more_from_now_on():
    """A life that knows nothing lists them before the wave opens: they are adopted before anything is created."""
    known = (
        *OPENED[:2],
        ev.WaveAudited(3.0, 0, 2.5, 1, (), ("s",)),
        ev.CampaignHalted(4.0, HaltReason.FOREIGN_JOBS, 0),
        ev.CampaignResumed(5.0, "ana"),
        ev.EngineStarted(6.0, "t", "0", 60.0, 5.0, paranoid=True),
    )
    state = state_after(*known)
    assert changes(state, ev.WaveAudited(80.0, 0, 75.0, 1, (), ("s",))) == {
        "waves.0.audit.phase": AuditPhase.CLEARED,
        "waves.0.audit.suspect_until": 80.0,
    }


def test_a_paranoid_life_suspects_waves_that_may_still_create():
    """A wave that has passed creates nothing any more; those that wait or are open list their jobs first."""
    state = state_after(
        *CREATED,
        ev.GateHeld(20.0, 0, HoldReason.AUDIT),
        ev.WaveAudited(21.0, 0, 20.0, 3),
        ev.GatePassed(22.0, 0),
        ev.EngineStarted(30.0, "t", "0", 50.0, 4.0, paranoid=True),
    )
    assert [wave.audit.suspect_until for wave in state.waves] == [None, 84.0]


def test_a_brake_waits_until_its_job_can_be_found():
    """S after the job was made, counted from this life's start at the earliest: before, "not found" proves nothing."""
    abort = ev.CampaignAbortRequested(14.0, "ana", stop_jobs=True)
    state = state_after(*CREATED, abort)
    assert state.brakes == {StopJob(n, f"j{n}"): 11.0 + n + 5.0 for n in range(3)}
    state = state_after(*CREATED, ev.EngineStarted(14.0, "t", "0", 60.0, 5.0), abort)
    assert set(state.brakes.values()) == {19.0}


def test_an_abort_leaves_alone_what_is_stopped_settled_or_only_planned():
    """One job was stopped before, one group is through: a brake for the third job alone, or none for its tasks either."""
    state = state_after(
        *CREATED,
        ev.TasksCounted(20.0, 1, 19.0, 1, 20, 0, 20, 0, True, True, 30.0),
        ev.JobStopped(21.0, 0, "j0"),
        ev.CampaignAbortRequested(22.0, "ana", stop_jobs=True),
    )
    assert set(state.brakes) == {StopJob(1, "j1")}
    assert state_after(*CREATED, ev.CampaignAbortRequested(22.0, "ana")).brakes == {}


@pytest.mark.parametrize("pieces", [{"stop_jobs": True}, {"cancel_pending": True}])
def test_a_later_abort_takes_nothing_back(pieces):
    """Whatever the first order asked for stands, and what the second asks for is added."""
    state = state_after(
        *CREATED, ev.CampaignAbortRequested(22.0, "ana", **pieces), ev.CampaignAbortRequested(23.0, "ben")
    )
    assert state.abort == ev.CampaignAbortRequested(23.0, "ben", **pieces)


def test_cancelling_that_gives_up_stops_the_job_only_if_that_was_asked():
    """The tasks could not be cancelled: with `stop_jobs` the job is stopped at least."""
    for stop, brakes in ((True, {StopJob(0, "j0"): 30.0}), (False, {})):
        order = ev.CampaignAbortRequested(22.0, "ana", cancel_pending=True, stop_jobs=stop)
        done = [ev.JobTasksCancelled(23.0, n, f"j{n}", 0, 0) for n in (1, 2)]
        stopped = [ev.JobStopped(24.0, n, f"j{n}") for n in (1, 2)]
        state = state_after(*CREATED, order, *done, *stopped, ev.JobStopFailed(30.0, 0, "j0", "gone", None))
        assert (state.brakes, state.brakes_failed) == (brakes, {0})


def test_a_brake_that_nobody_waits_for_is_taken_as_it_comes():
    """Tasks were cancelled, a job stopped or not, and no such brake is planned any more."""
    for event in (
        ev.JobTasksCancelled(22.0, 0, "j0", 1, 0),
        ev.JobStopped(22.0, 0, "j0"),
        ev.JobStopFailed(22.0, 0, "j0", "no answer", 30.0),
    ):
        assert state_after(*CREATED, event).brakes == {}


def test_a_journal_of_format_1_is_folded_with_the_rules_of_its_time():
    """Its events say nothing of when to look again: the rules of then do, whatever the rules of now are."""
    state = state_after(
        ev.CampaignStarted(1.0, "c1", "d", 65, 4, 2),
        ev.EngineStarted(2.0, "t", "0", 60.0, 5.0),
        *CREATED[2:8],
    )
    assert (state.first_count_s, [wave.group_size for wave in state.waves]) == (5.0, [1, 1])
    fold(state, ev.BatchCreateSent(20.0, 2, 1, "n"))
    fold(state, ev.BatchOutcomeUnknown(21.0, 2, 1, "reset"))
    assert list(state.lookups.due(26.0)) == [2]
    assert state.lookups.next_after(25.9) == 26.0
    fold(state, ev.GateHeld(22.0, 0, HoldReason.AUDIT))
    fold(state, ev.WaveAudited(30.0, 0, 29.0, 1, missing=(1,)))
    assert state.waves[0].audit.retry_at == 40.0
    fold(state, ev.CampaignAbortRequested(31.0, "ana", cancel_pending=True))
    for at, again in ((32.0, 37.0), (38.0, 43.0), (44.0, None)):
        fold(state, ev.JobTasksCancelled(at, 0, "j0", 3, 0, decided=False))
        assert state.brakes.get(CancelTasks(0, "j0")) == again
