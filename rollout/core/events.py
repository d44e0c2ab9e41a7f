"""The facts: one frozen record per thing that happens to a campaign.

Events are the only history. They are stored by the journal in the order they happened, folded into state
by `core.fold`, told to people by `telemetry`. `at` is seconds since the epoch on the engine's clock, which
never goes backwards. `batch` is the batch's index in the plan, counted from 0; `wave` likewise.

An event tells what happened and what was decided, with all the data: folding needs no rule and no constant that a later
version may change. Why something happened is a code of `core.reasons` with its data in fields. A field that an
older journal lacks says so; `core.format_1` fills it.

An event in `EPHEMERAL` changes only when we look next; it is folded but not stored, since a restart looks
again anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, get_args

from rollout.core.reasons import BatchReason, HaltReason, HoldReason, LookupReason, StopReason
from rollout.core.tally import Tally


@dataclass(frozen=True, slots=True)
class CampaignStarted:
    """The campaign exists: its plan is fixed by `plan_digest`.

    `group_sizes`: for each wave, how many of its jobs are counted together; `first_count_s`: how long after its first job
    a group is counted first. Format 1 tells neither.
    """

    kind: ClassVar[str] = "campaign.started"
    at: float
    campaign_id: str
    plan_digest: str
    devices: int
    batches: int
    waves: int
    group_sizes: tuple[int, ...] = ()
    first_count_s: float | None = None


@dataclass(frozen=True, slots=True)
class EngineStarted:
    """A runner took the campaign up. Every batch whose create was sent and not settled is now unknown.

    `latest_effect_s` (L): how long after its end a call may still take effect.
    `search_lag_s` (S): how late a job may become findable. Both on the engine's clock.
    `paranoid`: the last life left no clean mark, or the journal may be older than what was sent;
    every planned batch of an opened wave is treated as unknown once.
    """

    kind: ClassVar[str] = "engine.started"
    at: float
    runner: str
    version: str
    latest_effect_s: float
    search_lag_s: float
    paranoid: bool = False


@dataclass(frozen=True, slots=True)
class EngineStopped:
    """The runner left in good order. `message`: the signal's name, or the error that ended it; else empty."""

    kind: ClassVar[str] = "engine.stopped"
    at: float
    reason: StopReason
    message: str = ""


@dataclass(frozen=True, slots=True)
class WaveOpened:
    """The wave's batches may be created."""

    kind: ClassVar[str] = "wave.opened"
    at: float
    wave: int


@dataclass(frozen=True, slots=True)
class BatchCreateSent:
    """The intent: durable before the first byte of attempt `attempt` (counted from 1) leaves."""

    kind: ClassVar[str] = "batch.create_sent"
    at: float
    batch: int
    attempt: int
    name: str


@dataclass(frozen=True, slots=True)
class BatchJobCreated:
    """The batch has its job. `adopted`: found by search after an unknown outcome, not answered."""

    kind: ClassVar[str] = "batch.job_created"
    at: float
    batch: int
    attempt: int
    job_id: str
    request_id: str = ""
    adopted: bool = False
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class BatchCreateUnsent:
    """Nothing left this machine; due again at `retry_at`. `withheld`: our own last check stopped it."""

    kind: ClassVar[str] = "batch.create_unsent"
    at: float
    batch: int
    attempt: int
    message: str
    retry_at: float
    withheld: bool = False


@dataclass(frozen=True, slots=True)
class BatchCreateThrottled:
    """Refused by flow control; due again at `retry_at`. `code` is the platform's own, for display."""

    kind: ClassVar[str] = "batch.create_throttled"
    at: float
    batch: int
    attempt: int
    retry_at: float
    retry_after_s: float | None = None
    code: int | None = None


@dataclass(frozen=True, slots=True)
class BatchCreateRejected:
    """Refused for good, or (with `retry_at`) until an outside condition holds."""

    kind: ClassVar[str] = "batch.create_rejected"
    at: float
    batch: int
    attempt: int
    code: int
    message: str
    request_id: str = ""
    retry_at: float | None = None
    credentials: bool = False


@dataclass(frozen=True, slots=True)
class BatchOutcomeUnknown:
    """The create may or may not have taken effect; `at` is the end of the attempt.

    `message`: what was seen instead of an answer. `look_at`: when its job is looked for first; format 1 does not tell.
    """

    kind: ClassVar[str] = "batch.outcome_unknown"
    at: float
    batch: int
    attempt: int
    message: str
    code: int | None = None
    http_status: int | None = None
    request_id: str = ""
    look_at: float | None = None


@dataclass(frozen=True, slots=True)
class BatchLookupInconclusive:
    """A search settled nothing. Looked up again at `retry_at`; `message`: why a search failed."""

    kind: ClassVar[str] = "batch.lookup_inconclusive"
    at: float
    batch: int
    reason: LookupReason
    retry_at: float
    message: str = ""


@dataclass(frozen=True, slots=True)
class BatchResendAllowed:
    """A complete search begun at `searched_at`, late enough, found nothing, and no device has a task."""

    kind: ClassVar[str] = "batch.resend_allowed"
    at: float
    batch: int
    searched_at: float
    retry_at: float


@dataclass(frozen=True, slots=True)
class BatchParked:
    """Unknown and not found; waits for a person. Never silent: it decides the exit code.

    `exposed`: its devices have tasks in some job, so it keeps its place in the budget of devices in progress.
    `jobs`: those jobs, the first few. `doubts`: attempts that may have had an effect.
    `message`: what a journal of format 1 says instead of the two.
    """

    kind: ClassVar[str] = "batch.parked"
    at: float
    batch: int
    reason: BatchReason
    exposed: bool = False
    jobs: tuple[str, ...] = ()
    doubts: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class BatchJobDuplicated:
    """More than one job bears the batch's name: the earliest is kept, the others are to be stopped."""

    kind: ClassVar[str] = "batch.job_duplicated"
    at: float
    batch: int
    kept: str
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TasksCounted:
    """Devices by status in the first `jobs` jobs of poll group `group`, as asked for from `asked_at` on.

    `enrolled` is the number of tasks that exist; devices that match no task are not enrolled.
    What was decided, for the jobs that were counted: `enrolled_final`: no further task will appear; `retries_over`: EnOS
    brings no failed device back; `next_at`: when they are counted next, unless all is over then.
    Format 1 tells none of the three.
    """

    kind: ClassVar[str] = "tasks.counted"
    at: float
    group: int
    asked_at: float
    jobs: int
    enrolled: int
    in_progress: int
    succeeded: int
    failed: int
    enrolled_final: bool = False
    retries_over: bool = False
    next_at: float | None = None


@dataclass(frozen=True, slots=True)
class TasksCountFailed:
    """A count could not be read; asked again at `retry_at`."""

    kind: ClassVar[str] = "tasks.count_failed"
    at: float
    group: int
    message: str
    retry_at: float


@dataclass(frozen=True, slots=True)
class WaveAudited:
    """All jobs bearing the wave's name prefix were listed, completely, from `began_at` on.

    `missing`: created batches whose job should have been seen and was not. `foreign`: names with our prefix
    that this journal cannot account for. `retry_at`: when to list again if jobs are missing; format 1 does not tell.
    """

    kind: ClassVar[str] = "wave.audited"
    at: float
    wave: int
    began_at: float
    seen: int
    missing: tuple[int, ...] = ()
    foreign: tuple[str, ...] = ()
    retry_at: float | None = None


@dataclass(frozen=True, slots=True)
class WaveAuditFailed:
    """The listing was incomplete or failed; repeated at `retry_at`."""

    kind: ClassVar[str] = "wave.audit_failed"
    at: float
    wave: int
    message: str
    retry_at: float


@dataclass(frozen=True, slots=True)
class GateHeld:
    """What the wave's gate waits for, told when it changes. `until`: when time alone may change it.

    Here and in the three below: `tally` is what was judged. `overridden`: a person lets the wave pass, so its gate was
    not judged. `evidence`: what a journal of format 1 says instead of the two.
    """

    kind: ClassVar[str] = "gate.held"
    at: float
    wave: int
    reason: HoldReason
    tally: Tally | None = None
    until: float | None = None
    overridden: bool = False
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class GateSatisfied:
    """The thresholds hold from now on; the soak runs from here."""

    kind: ClassVar[str] = "gate.satisfied"
    at: float
    wave: int
    tally: Tally | None = None
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class GateUnsatisfied:
    """The thresholds no longer hold; the soak will start anew."""

    kind: ClassVar[str] = "gate.unsatisfied"
    at: float
    wave: int
    tally: Tally | None = None
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class GatePassed:
    """The next wave may open."""

    kind: ClassVar[str] = "gate.passed"
    at: float
    wave: int
    tally: Tally | None = None
    overridden: bool = False
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class WaveFinished:
    """Nothing more is awaited of the wave; `stragglers` devices were still open."""

    kind: ClassVar[str] = "wave.finished"
    at: float
    wave: int
    stragglers: int


@dataclass(frozen=True, slots=True)
class ApprovalGiven:
    """A person let the wave's gate open. `request` identifies the order, so that it counts once."""

    kind: ClassVar[str] = "approval.given"
    at: float
    wave: int
    by: str
    comment: str = ""
    request: str = ""


@dataclass(frozen=True, slots=True)
class CampaignPaused:
    """A person asked for no new jobs."""

    kind: ClassVar[str] = "campaign.paused"
    at: float
    by: str
    reason: str = ""
    request: str = ""


@dataclass(frozen=True, slots=True)
class CampaignResumed:
    """A person said go on: a pause or halt ends, rejected and parked batches are taken up again."""

    kind: ClassVar[str] = "campaign.resumed"
    at: float
    by: str
    reason: str = ""
    request: str = ""


@dataclass(frozen=True, slots=True)
class CampaignHalted:
    """A rule stopped the campaign: nothing is created until a person resumes it.

    `gate`: the verdict of the wave's gate, which a person may pass by approving the wave. Which other fields are set
    depends on `reason`. Of a gate: `tally` as it was judged, `settled` if no device was left that could change it. Of a
    refusal: `code`, `message` and `request_id` of the platform's answer. Of jobs and batches: `number` of them, `names`
    of the first few. `evidence`: what a journal of format 1 says instead.
    """

    kind: ClassVar[str] = "campaign.halted"
    at: float
    reason: HaltReason
    wave: int | None = None
    gate: bool = False
    tally: Tally | None = None
    settled: bool = False
    number: int = 0
    names: tuple[str, ...] = ()
    code: int | None = None
    message: str = ""
    request_id: str = ""
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class CampaignStalled:
    """The next job of the wave has no room in `devicesInProgress`, and nothing has moved for `stragglersAfter` or longer.

    Devices that do not report hold their places for as long as their tasks may begin. `exposure`: devices that may be in
    progress. `evidence`: what a journal of format 1 says instead.
    """

    kind: ClassVar[str] = "campaign.stalled"
    at: float
    wave: int
    exposure: int = 0
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class CampaignAbortRequested:
    """The campaign ends: nothing more is created; jobs stop and waiting tasks are cancelled if asked.

    A person's order has `by`, in his words `reason`, and `request`, which identifies the order. The verdict of a
    gate has `halt`, `wave`, `tally` and `settled`, as `CampaignHalted` has them; in a journal of format 1 it has `halt`,
    a text in `by` for the wave and one in `evidence` for the rest.
    """

    kind: ClassVar[str] = "campaign.abort_requested"
    at: float
    by: str = ""
    reason: str = ""
    stop_jobs: bool = False
    cancel_pending: bool = False
    request: str = ""
    halt: HaltReason | None = None
    wave: int | None = None
    tally: Tally | None = None
    settled: bool = False
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class JobStopped:
    """The job pushes to no further device."""

    kind: ClassVar[str] = "job.stopped"
    at: float
    batch: int
    job_id: str


@dataclass(frozen=True, slots=True)
class JobTasksCancelled:
    """Waiting tasks of the job were cancelled; `moving` devices could not be called back.

    `again_at`: when to look once more for waiting tasks, None if not at all. `decided` is false in format 1, which
    does not tell.
    """

    kind: ClassVar[str] = "job.tasks_cancelled"
    at: float
    batch: int
    job_id: str
    cancelled: int
    moving: int
    again_at: float | None = None
    decided: bool = True


@dataclass(frozen=True, slots=True)
class JobStopFailed:
    """Stopping or cancelling failed; again at `retry_at`, or given up when None. `message`: how it failed."""

    kind: ClassVar[str] = "job.stop_failed"
    at: float
    batch: int
    job_id: str
    message: str
    retry_at: float | None


@dataclass(frozen=True, slots=True)
class CampaignAborted:
    """The abort is carried out."""

    kind: ClassVar[str] = "campaign.aborted"
    at: float


@dataclass(frozen=True, slots=True)
class CampaignFinished:
    """Every wave is finished."""

    kind: ClassVar[str] = "campaign.finished"
    at: float


Event = (
    CampaignStarted
    | EngineStarted
    | EngineStopped
    | WaveOpened
    | BatchCreateSent
    | BatchJobCreated
    | BatchCreateUnsent
    | BatchCreateThrottled
    | BatchCreateRejected
    | BatchOutcomeUnknown
    | BatchLookupInconclusive
    | BatchResendAllowed
    | BatchParked
    | BatchJobDuplicated
    | TasksCounted
    | TasksCountFailed
    | WaveAudited
    | WaveAuditFailed
    | GateHeld
    | GateSatisfied
    | GateUnsatisfied
    | GatePassed
    | WaveFinished
    | ApprovalGiven
    | CampaignPaused
    | CampaignResumed
    | CampaignHalted
    | CampaignStalled
    | CampaignAbortRequested
    | JobStopped
    | JobTasksCancelled
    | JobStopFailed
    | CampaignAborted
    | CampaignFinished
)

EVENTS: dict[str, type[Event]] = {event.kind: event for event in get_args(Event)}
EPHEMERAL = frozenset({TasksCountFailed.kind, WaveAuditFailed.kind})
