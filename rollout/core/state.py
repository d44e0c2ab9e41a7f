"""What a campaign's events amount to, and the indexes `decide` needs.

So that `decide` looks at what is due and never at everything, state keeps agendas of what to retry, look up and count, a
cursor over each wave's untouched batches, and sums (devices by status per wave, exposure over all jobs). Nothing here changes
by itself: only `core.fold` changes state.

Counts are kept per *poll group*: jobs of one wave that are asked about together. A group is *settled* when none of its
devices can change any more.

Each field says what it is and in which unit, which event sets it, and what clears it. Where nothing is said, nothing
clears it. Times are seconds since the epoch on the engine's clock, 0.0 for "never"; numbers of devices are exact
unless they come from a count. An event in backquotes stands for its class in `core.events`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf

from rollout.core import events as ev
from rollout.core.agenda import Agenda
from rollout.core.audit_phase import WaveAudit
from rollout.core.budget import job_exposure
from rollout.core.campaign import Campaign, Gate, JobSpec, Scope
from rollout.core.commands import CancelTasks, StopJob
from rollout.core.lifecycle import CAMPAIGN, BatchStatus, CampaignStatus, WaveStatus
from rollout.core.plan import Batch, Plan
from rollout.core.reasons import BatchReason, HoldReason
from rollout.core.tally import Tally


@dataclass(slots=True)
class BatchState:
    """One batch that was touched; untouched ones have no object."""

    status: BatchStatus = BatchStatus.PLANNED
    """Set by every event about the batch, by the table `lifecycle.BATCH`."""
    attempt: int = 0
    """Number of the last attempt, from 1; 0 before any. Set by `BatchCreateSent`."""
    doubts: int = 0
    """Attempts that may have had an effect. Raised by `BatchOutcomeUnknown`, and by a new life that finds one sent."""
    failures: int = 0
    """Creates in a row that were not sent, over all lives. Raised by `BatchCreateUnsent`; cleared by a job and by a resume
    after a refusal."""
    throttles: int = 0
    """Creates in a row that flow control refused, over all lives. Raised by `BatchCreateThrottled`; cleared as `failures`."""
    looks: int = 0
    """Searches since the last doubt began. Raised by `BatchLookupInconclusive`; cleared when a doubt begins."""
    ended_at: float = 0.0
    """End of the last doubtful attempt, or start of the life that found it in doubt. Set when a doubt begins."""
    created_at: float = 0.0
    """When the job was made or found. Set by `BatchJobCreated`, and by `BatchJobDuplicated` if there was none."""
    job_id: str = ""
    """The job, or the one kept of several; empty before. Set by `BatchJobCreated` and `BatchJobDuplicated`."""
    request_id: str = ""
    """The platform's id of the last call that was answered. Set by its event."""
    adopted: bool = False
    """The job was found, not answered. Set by `BatchJobCreated`."""
    group: int | None = None
    """Index of the poll group of its job; None before there is one. Set when the job is known."""
    reason: BatchReason | None = None
    """Why there is no job, or not just one; None where all is well. Set by each answer; cleared by a job."""
    message: str = ""
    """The platform's or the transport's words for `reason`. Set and cleared with it."""
    code: int | None = None
    """The platform's code for `reason`. Set by a refusal and by an unknown outcome."""
    witnesses: tuple[str, ...] = ()
    """Jobs in which its devices have tasks, the first few. Set by `BatchParked`."""
    credentials: bool = False
    """The refusal was of our credentials, not of this batch. Set by `BatchCreateRejected`."""
    exposed: bool = False
    """Parked, and counted in the exposure all the same. Set by `BatchParked`; cleared when it is no longer parked."""
    others: frozenset[str] = frozenset()
    """Jobs that bear its name beside `job_id`. Grows by `BatchJobDuplicated`."""
    cancel_passes: int = 0
    """How often the waiting tasks of its job were cancelled. Raised by `JobTasksCancelled`."""
    stopped: bool = False
    """Its job pushes to no further device. Set by `JobStopped`."""


@dataclass(slots=True)
class GroupState:
    """Jobs of one wave that are counted together. Numbers are devices over all of `batches`."""

    index: int
    """Place in `State.groups`. Set when the group begins."""
    wave: int
    """Index of its wave. Set when the group begins."""
    batches: list[int] = field(default_factory=list)
    """Batches with a job, in the order the jobs became known. Grows with each job."""
    devices: int = 0
    """Devices of the plan in its batches; 0 where EnOS picks them. Grows with each job."""
    scoped: bool = False
    """EnOS picks the devices. Set when the group begins."""
    jobs_exposure: int = 0
    """Most devices its jobs could have in progress if all were open. Grows with each job."""
    exposure: int = 0
    """Most devices that can be in progress now. Set with each job and count."""
    enrolled: int = 0
    """Tasks that exist. Set by `TasksCounted`, like the next three numbers."""
    enrolled_final: bool = False
    """No further task will appear. Set by `TasksCounted`; cleared by a new job."""
    in_progress: int = 0
    """Devices at work."""
    succeeded: int = 0
    """Devices that succeeded."""
    failed: int = 0
    """Devices that failed, some of which EnOS may bring back."""
    retries_over: bool = False
    """EnOS brings no failed device back. Set by `TasksCounted`; set anew by a new job: true only without retries."""
    grown_at: float = 0.0
    """When the newest job became known. Set with each job."""
    changed_at: float = 0.0
    """When a number last changed, or the newest job became known. Set by both."""
    asked_at: float = 0.0
    """From when on the last count was asked for: what it says holds at least since then. Set by `TasksCounted`."""
    settled: bool = False
    """No device can change any more; it is not counted again. Set by `TasksCounted`."""

    def planned_of(self, enrolled: int) -> int:
        """Return the devices of the plan, where EnOS picks them the `enrolled` tasks it made."""
        return enrolled if self.scoped else self.devices

    def open_of(self, enrolled: int, gone: int, *, final: bool) -> int | None:
        """Return the most devices that may still be or come in progress; None where nobody can know yet.

        Args:
            enrolled: tasks that exist; `final`: no further one will appear.
            gone: devices that came to a final end.
        """
        if self.scoped and not final:
            return None
        return max(0, (enrolled if final else self.devices) - gone)

    @property
    def planned(self) -> int:
        """Devices of the plan; where EnOS picks them, the tasks it made."""
        return self.planned_of(self.enrolled)

    @property
    def open(self) -> int | None:
        """The most devices that may still be or come in progress; None where nobody can know yet."""
        gone = self.succeeded + (self.failed if self.retries_over else 0)
        return self.open_of(self.enrolled, gone, final=self.enrolled_final)

    @property
    def tally(self) -> Tally:
        """The group's counts as a tally."""
        final = self.failed if self.retries_over else 0
        return Tally(self.planned, self.enrolled, self.in_progress, self.succeeded, self.failed, final)


@dataclass(slots=True)
class WaveState:
    """One wave."""

    index: int
    """Place in the plan, from 0."""
    first: int
    """Index of its first batch."""
    last: int
    """Index after its last batch."""
    devices: int
    """Devices of the plan; 0 where EnOS picks them."""
    scoped: bool = False
    """EnOS picks the devices."""
    group_size: int = 1
    """Most jobs in one poll group. Set by `CampaignStarted`."""
    status: WaveStatus = WaveStatus.WAITING
    """Set by the wave's events, by the table `lifecycle.WAVE`."""
    cursor: int = 0
    """First batch that was perhaps never tried. Moves on with each batch that is touched."""
    opened_at: float = 0.0
    """Set by `WaveOpened`."""
    clock_from: float = 0.0
    """From when on the gate's deadline counts. Set by `WaveOpened`, and by a resume while the wave is open."""
    settled_batches: int = 0
    """Batches that have a job or are parked. Raised by both; lowered when a parked one is taken up again."""
    last_created_at: float = 0.0
    """When its newest job became known. Set with each job."""
    groups: list[int] = field(default_factory=list)
    """Indexes of its poll groups, in order. Grows with the jobs."""
    unsettled_groups: int = 0
    """Groups that are still counted. Raised by a new group, lowered when one settles."""
    counted: Tally = field(default_factory=Tally)
    """Devices by status in batches with a job. Set with each job and count."""
    grouped_devices: int = 0
    """Devices of the plan in batches with a job. Grows with each job."""
    changed_at: float = 0.0
    """When a number last changed. Set by `WaveOpened` and by `TasksCounted`."""
    satisfied_at: float | None = None
    """Since when the thresholds hold without a break. Set by `GateSatisfied`; cleared by `GateUnsatisfied`."""
    approved: bool = False
    """A person agreed to the gate. Set by `ApprovalGiven`."""
    approved_by: str = ""
    """Who agreed last. Set by `ApprovalGiven`."""
    overridden: bool = False
    """The gate failed, and a person lets the wave pass all the same. Set by `ApprovalGiven` after a halt by the gate."""
    held: HoldReason | None = None
    """What the gate waits for, as the last `GateHeld` says. Set by `GateHeld`; cleared by `GatePassed`."""
    held_at: float = 0.0
    """When the gate was held for that. Set by `GateHeld`."""
    gate_event: ev.GateHeld | ev.GateSatisfied | ev.GateUnsatisfied | ev.GatePassed | None = None
    """The last event about the gate, with the numbers it went by. Set by each."""
    stragglers: int = 0
    """Devices still open when the wave was finished. Set by `WaveFinished`."""
    audit: WaveAudit = field(default_factory=WaveAudit)
    """What the audits of its jobs have found; see there for each field."""

    @property
    def created(self) -> bool:
        """Every batch has its job, or is parked."""
        return self.settled_batches == self.last - self.first

    @property
    def settled(self) -> bool:
        """No device of the wave can change any more."""
        return self.created and self.unsettled_groups == 0

    @property
    def tally(self) -> Tally:
        """Devices by status; those without a job yet count as planned."""
        waiting = self.devices - self.grouped_devices
        return self.counted if not waiting else self.counted + Tally(planned=waiting)

    @property
    def moved_at(self) -> float:
        """When something last changed in the wave."""
        return max(self.changed_at, self.last_created_at, self.clock_from)


Cause = ev.CampaignPaused | ev.CampaignHalted | ev.CampaignAbortRequested


@dataclass(slots=True)
class State:
    """A campaign as its events tell it. Changed by `fold` alone."""

    plan: Plan
    """What is carried out; fixed."""
    status: CampaignStatus = CampaignStatus.NEW
    """Set by the campaign's events, by the table `lifecycle.CAMPAIGN`."""
    waves: list[WaveState] = field(default_factory=list)
    """One for each wave of the plan, in its order."""
    batches: dict[int, BatchState] = field(default_factory=dict)
    """Those that were touched, by index. Grows with the first event about a batch."""
    groups: list[GroupState] = field(default_factory=list)
    """Poll groups of all waves, in the order they began."""
    retries: Agenda[int] = field(default_factory=Agenda)
    """Batches whose create is to be sent again, and when. Set by the answer that allows it; cleared by
    `BatchCreateSent` and by a job."""
    lookups: Agenda[int] = field(default_factory=Agenda)
    """Batches in doubt whose job is to be searched for, and when. Set when a doubt begins and by
    `BatchLookupInconclusive`; cleared when the doubt ends."""
    counts: Agenda[int] = field(default_factory=Agenda)
    """Groups that are to be counted, and when. Set with a new group, by each count, and by a new life; cleared when a
    group settles."""
    brakes: dict[StopJob | CancelTasks, float] = field(default_factory=dict)
    """Jobs to stop and tasks to cancel, and from when on. Set by an abort, a duplicate, and what follows from either;
    cleared by `JobStopped`, `JobTasksCancelled` and a `JobStopFailed` that gives up."""
    exposure: int = 0
    """Most devices that can be in progress over all jobs, creates in doubt included. Set with every event that changes it."""
    unknown: int = 0
    """Batches in doubt. Raised when a doubt begins, lowered when it ends."""
    jobs: int = 0
    """Batches whose job is known. Raised with each."""
    adopted: int = 0
    """Jobs that were found, not answered. Raised by `BatchJobCreated`."""
    parked: set[int] = field(default_factory=set)
    """Batches that wait for a person. Grows by `BatchParked`; a resume, a new life or a job takes them out."""
    rejected: set[int] = field(default_factory=set)
    """Batches that were refused for good. Grows by `BatchCreateRejected`; a resume takes them out, and a new life those
    refused for its credentials."""
    duplicated: set[int] = field(default_factory=set)
    """Batches with more than one job. Grows by `BatchJobDuplicated`."""
    duplicates_known: set[int] = field(default_factory=set)
    """Those of them a person knows of. Grows with a resume; a further duplicate takes its batch out."""
    brakes_failed: set[int] = field(default_factory=set)
    """Batches whose job could not be stopped. Grows by a `JobStopFailed` that gives up."""
    cause: Cause | None = None
    """The order or verdict for which the campaign stands. Set by these events; cleared by a resume, and by the approval of
    the gate that halted it."""
    halted_wave: int | None = None
    """The wave that a halt is about, if it is about one. Set by `CampaignHalted`; cleared as `cause`."""
    halted_by_gate: bool = False
    """The halt is the verdict of that wave's gate. Set and cleared as `halted_wave`."""
    abort: ev.CampaignAbortRequested | None = None
    """The order to abort, all such orders together. Set by `CampaignAbortRequested`."""
    requests: set[str] = field(default_factory=set)
    """Ids of the orders that have become events. Grows with each."""
    blind: dict[int, float] = field(default_factory=dict)
    """Groups whose counts fail, and since when. Set by `TasksCountFailed`; cleared by a count, and by a new life."""
    unsighted: set[int] = field(default_factory=set)
    """Groups this life has not counted yet. Set by `EngineStarted`; a count takes one out."""
    life_at: float = 0.0
    """When this life of the engine began. Set by `EngineStarted`."""
    last_count_at: float | None = None
    """When a group was last counted; None before. Set by `TasksCounted`."""
    first_count_s: float = 0.0
    """How long after its first job a group is counted first, seconds. Set by `CampaignStarted`."""
    started_at: float = 0.0
    """Set by `CampaignStarted`."""
    ended_at: float | None = None
    """When the campaign was over; None before. Set by `CampaignFinished` and `CampaignAborted`."""
    lives: int = 0
    """How often a runner took the campaign up. Raised by `EngineStarted`."""
    clean: bool = False
    """The last life left in good order. Set by `EngineStopped`; cleared by `EngineStarted`."""
    latest_effect_s: float = 60.0
    """L, seconds: how long after its end a call may still take effect. Set by `EngineStarted`."""
    search_lag_s: float = 5.0
    """S, seconds: how late a job may become findable. Set by `EngineStarted`."""
    last_at: float = 0.0
    """When the last event happened. Set by every event."""
    stalled_at: float | None = None
    """When the campaign was last found without room for its next job; None before. Set by `CampaignStalled`."""

    @classmethod
    def initial(cls, plan: Plan) -> State:
        """Return the state before the first event."""
        waves = [
            WaveState(
                w.index,
                w.first,
                w.last,
                w.devices,
                scoped=isinstance(plan.campaign.waves[w.index].size, Scope),
                cursor=w.first,
            )
            for w in plan.waves
        ]
        return cls(plan, waves=waves)

    @property
    def reason(self) -> str:
        """Why the campaign stands, as a code: `paused`, `aborted` or that of a halt; empty while nothing stops it."""
        match self.cause:
            case ev.CampaignHalted():
                return self.cause.reason.value
            case ev.CampaignPaused():
                return "paused"
            case ev.CampaignAbortRequested():
                return "aborted"
            case None:
                return ""

    @property
    def campaign(self) -> Campaign:
        """What the operator asked for."""
        return self.plan.campaign

    @property
    def closed(self) -> bool:
        """Nothing will ever happen to this campaign again."""
        return not CAMPAIGN[self.status]

    def gate_of(self, wave: int) -> Gate | None:
        """Return the gate the plan gave the wave."""
        return self.campaign.waves[wave].gate

    def spec_of(self, batch: Batch) -> JobSpec:
        """Return the job settings of the batch's wave."""
        return self.campaign.waves[batch.wave].job

    def exposure_of(self, batch: int) -> int:
        """Return the most devices the batch's job can have in progress."""
        plan = self.plan
        planned = plan.batches[batch]
        return job_exposure(plan.campaign.waves[planned.wave].job, planned.devices)

    def status_of(self, batch: int) -> BatchStatus:
        """Return where the batch stands."""
        touched = self.batches.get(batch)
        return BatchStatus.PLANNED if touched is None else touched.status

    def next_batch(self) -> int | None:
        """Return the batch whose create comes next: one to be repeated, else the first untried of the waves begun."""
        untried = (
            index
            for wave in self.begun_waves()
            for index in range(wave.cursor, wave.last)
            if index not in self.batches
        )
        return next(iter(self.retries), next(untried, None))

    @property
    def full(self) -> bool:
        """Whether the next batch has no room among the devices that may be in progress."""
        cap = self.campaign.limits.devices_in_progress
        if cap is None:
            return False
        batch = self.next_batch()
        return batch is not None and self.exposure + self.exposure_of(batch) > cap

    @property
    def moved_at(self) -> float:
        """When something last changed in any wave."""
        return max((wave.moved_at for wave in self.begun_waves()), default=self.started_at)

    @property
    def stalled(self) -> bool:
        """Whether the campaign was found without room for its next job, and nothing has changed since."""
        noted = self.stalled_at is not None and self.stalled_at >= self.moved_at
        return noted and self.status is CampaignStatus.RUNNING and not self.unknown and self.full

    def begun_waves(self) -> Iterator[WaveState]:
        """Yield the waves that were opened, in plan order."""
        for wave in self.waves:
            if wave.status is WaveStatus.WAITING:
                return
            yield wave

    def vouched(self, at: float) -> float:
        """Return the earliest moment from which this life can vouch for how long ago `at` was.

        The clock that counts within a life does not go wrong; between two lives only the wall clock went on, and it may
        have been set. Where time stands for evidence (tasks appear, a job becomes visible) it counts from here.
        """
        return max(at, self.life_at)

    def seen_at(self, wave: WaveState) -> float:
        """Return since when every device of the wave that can still change has been counted; inf if none can.

        A count of an earlier life does not count: what happened in between is not known.
        """
        open_groups = [self.groups[i] for i in wave.groups if not self.groups[i].settled]
        if any(group.asked_at < self.life_at for group in open_groups):
            return -inf
        return min((group.asked_at for group in open_groups), default=inf)

    def is_known(self, wave: WaveState) -> bool:
        """Return whether the wave's number of devices is known."""
        return not wave.scoped or (wave.created and all(self.groups[i].enrolled_final for i in wave.groups))

    def tally(self) -> Tally:
        """Return the devices of the whole campaign by status."""
        return sum((wave.tally for wave in self.waves), Tally())
