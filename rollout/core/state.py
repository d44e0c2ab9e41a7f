"""What a campaign's events amount to, and the indexes `decide` needs.

So that `decide` looks at what is due and never at everything, state keeps agendas of what to retry, look up and count, a
cursor over each wave's untouched batches, and sums (devices by status per wave, exposure over all jobs). Nothing here changes
by itself: only `core.fold` changes state.

Counts are kept per *poll group*: up to `core.polling.group_size` jobs of one wave that are asked about
together. A group is *settled* when none of its devices can change any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf

from rollout.core import events as ev
from rollout.core.agenda import Agenda
from rollout.core.budget import job_exposure
from rollout.core.campaign import Campaign, Gate, JobSpec, Scope
from rollout.core.commands import CancelTasks, StopJob
from rollout.core.lifecycle import CAMPAIGN, BatchStatus, CampaignStatus, WaveStatus
from rollout.core.plan import Batch, Plan
from rollout.core.polling import group_size
from rollout.core.tally import Tally

__all__ = ["AUDITS_MAX", "BatchState", "GroupState", "State", "WaveState"]

AUDITS_MAX = 3
"""Listings that may miss a created job before a person is asked."""


@dataclass(slots=True)
class BatchState:
    """One batch that was touched; untouched ones have no object. `attempt` is the last one made.

    `failures` and `throttles` count what came in a row, over all lives, so that a crash does not begin the waits
    anew; `doubts` the attempts that may have had an effect, `looks` the searches since the last of them.
    """

    status: BatchStatus = BatchStatus.PLANNED
    attempt: int = 0
    doubts: int = 0
    failures: int = 0
    throttles: int = 0
    looks: int = 0
    ended_at: float = 0.0
    created_at: float = 0.0
    job_id: str = ""
    request_id: str = ""
    adopted: bool = False
    group: int | None = None
    reason: str = ""
    code: int | None = None
    credentials: bool = False
    exposed: bool = False
    others: frozenset[str] = frozenset()
    cancel_passes: int = 0
    stopped: bool = False


@dataclass(slots=True)
class GroupState:
    """Jobs of one wave that are counted together. Device numbers cover all of `batches`."""

    index: int
    wave: int
    batches: list[int] = field(default_factory=list)
    devices: int = 0
    scoped: bool = False
    jobs_exposure: int = 0
    exposure: int = 0
    enrolled: int = 0
    enrolled_final: bool = False
    in_progress: int = 0
    succeeded: int = 0
    failed: int = 0
    retries_over: bool = False
    grown_at: float = 0.0
    changed_at: float = 0.0
    asked_at: float = 0.0
    settled: bool = False

    @property
    def planned(self) -> int:
        """Devices of the plan; where EnOS picks them, the tasks it made."""
        return self.enrolled if self.scoped else self.devices

    @property
    def open(self) -> int | None:
        """The most devices that may still be or come in progress; None where nobody can know yet."""
        if self.scoped and not self.enrolled_final:
            return None
        total = self.enrolled if self.enrolled_final else self.devices
        return max(0, total - self.succeeded - (self.failed if self.retries_over else 0))

    @property
    def tally(self) -> Tally:
        """The group's counts as a tally."""
        final = self.failed if self.retries_over else 0
        return Tally(self.planned, self.enrolled, self.in_progress, self.succeeded, self.failed, final)


@dataclass(slots=True)
class WaveState:
    """One wave. `cursor` is the first batch that was perhaps never tried; N devices in `tally`."""

    index: int
    first: int
    last: int
    devices: int
    group_size: int
    scoped: bool = False
    status: WaveStatus = WaveStatus.WAITING
    cursor: int = 0
    opened_at: float = 0.0
    clock_from: float = 0.0
    settled_batches: int = 0
    last_created_at: float = 0.0
    groups: list[int] = field(default_factory=list)
    unsettled_groups: int = 0
    counted: Tally = field(default_factory=Tally)
    grouped_devices: int = 0
    changed_at: float = 0.0
    satisfied_at: float | None = None
    approved: bool = False
    approved_by: str = ""
    overridden: bool = False
    held: str = ""
    held_at: float = 0.0
    evidence: str = ""
    stragglers: int = 0
    # the audits: before the first create, before the gate opens, at the end
    cleared: bool = False
    suspect_until: float | None = None
    verified: bool = False
    closed: bool = False
    misses: int = 0
    foreign: tuple[str, ...] = ()
    foreign_known: set[str] = field(default_factory=set)
    missing: tuple[int, ...] = ()
    missing_known: set[int] = field(default_factory=set)
    audit_retry_at: float = 0.0

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


@dataclass(slots=True)
class State:
    """A campaign as its events tell it. Changed by `fold` alone."""

    plan: Plan
    status: CampaignStatus = CampaignStatus.NEW
    waves: list[WaveState] = field(default_factory=list)
    batches: dict[int, BatchState] = field(default_factory=dict)
    groups: list[GroupState] = field(default_factory=list)
    retries: Agenda[int] = field(default_factory=Agenda)
    lookups: Agenda[int] = field(default_factory=Agenda)
    counts: Agenda[int] = field(default_factory=Agenda)
    brakes: dict[StopJob | CancelTasks, float] = field(default_factory=dict)
    exposure: int = 0
    unknown: int = 0
    jobs: int = 0
    adopted: int = 0
    parked: set[int] = field(default_factory=set)
    rejected: set[int] = field(default_factory=set)
    duplicated: set[int] = field(default_factory=set)
    duplicates_known: set[int] = field(default_factory=set)
    brakes_failed: set[int] = field(default_factory=set)
    reason: str = ""
    evidence: str = ""
    halted_wave: int | None = None
    halted_by_gate: bool = False
    abort: ev.CampaignAbortRequested | None = None
    requests: set[str] = field(default_factory=set)
    blind: dict[int, float] = field(default_factory=dict)
    unsighted: set[int] = field(default_factory=set)
    life_at: float = 0.0
    last_count_at: float | None = None
    started_at: float = 0.0
    ended_at: float | None = None
    lives: int = 0
    clean: bool = False
    latest_effect_s: float = 60.0
    search_lag_s: float = 5.0
    last_at: float = 0.0
    stalled_at: float | None = None

    @classmethod
    def initial(cls, plan: Plan) -> State:
        """Return the state before the first event."""
        limits = plan.campaign.limits
        waves = [
            WaveState(
                w.index,
                w.first,
                w.last,
                w.devices,
                group_size(plan, w.index, limits),
                scoped=isinstance(plan.campaign.waves[w.index].size, Scope),
                cursor=w.first,
            )
            for w in plan.waves
        ]
        return cls(plan, waves=waves)

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
        told = self.stalled_at is not None and self.stalled_at >= self.moved_at
        return told and self.status is CampaignStatus.RUNNING and not self.unknown and self.full

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
