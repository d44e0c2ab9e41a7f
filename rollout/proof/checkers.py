"""The rules that every campaign must keep, whatever happened: one checker function for each rule.

A checker takes the evidence of a finished trial and returns what it found broken, in words; an empty list if nothing is.
Checkers do not trust what the engine believes. They look at the jobs of the platform, at the moments when the bytes of a
create left, and at the commits on the disk with their true times. `TrialEvidence` gathers these once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf

from rollout.core import events as ev
from rollout.core.commands import UnderWay
from rollout.core.decide import decide
from rollout.core.fold import fold
from rollout.core.lifecycle import BatchStatus, CampaignStatus, WaveStatus
from rollout.core.names import batch_name
from rollout.core.state import State
from rollout.core.tally import Tally
from rollout.emulator.platform.job import Job
from rollout.emulator.platform.tasks import Status
from rollout.engine.pacing import MARGIN
from rollout.proof.acts import TrialEnding
from rollout.simulation.disk import SYNC_S
from rollout.simulation.world import World

EPSILON_S = 1e-4
"""Tolerance when times are compared: for the steps of the loop and for floating point. Seconds."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One event on the disk.

    `known_at`: true time from which the process could know that it was durable, seconds since the epoch. `status`: of the
    campaign, after the event. `in_flight`, `unknown`: creates in flight and unknown batches, before the event.
    """

    known_at: float
    event: ev.Event
    status: CampaignStatus
    in_flight: int
    unknown: int


@dataclass(slots=True)
class TrialEvidence:
    """What the checkers look at: a world after `conclude`, and what its disk and its platform hold.

    `within_bounds`: the platform kept L and S and carried out each call at most once. `tampered`: somebody else stopped or
    deleted jobs of ours. `state`: folded from the disk. `history`: every event on the disk. `names`: batch index by job
    name. `jobs`: the platform's jobs by our names, deleted ones too, oldest first.
    """

    world: World
    ending: TrialEnding
    within_bounds: bool = True
    tampered: bool = False
    state: State = field(init=False)
    history: list[Moment] = field(init=False)
    names: dict[str, int] = field(init=False)
    jobs: dict[str, list[Job]] = field(init=False)

    def __post_init__(self) -> None:
        plan = self.world.scenario.plan
        self.names = {batch_name(plan.campaign.id, batch): batch.index for batch in plan.batches}
        self.jobs = {}
        for job in self.world.platform.all_jobs:
            if job.definition.name is not None and job.definition.name.default in self.names:
                self.jobs.setdefault(job.definition.name.default, []).append(job)
        self.state = State.initial(plan)
        self.history = []
        sent: set[int] = set()
        for at, event in self.world.disk.history():
            in_flight, unknown = len(sent), self.state.unknown
            fold(self.state, event)
            if isinstance(event, ev.BatchCreateSent):
                sent.add(event.batch)
            elif isinstance(event, ev.EngineStarted):
                sent.clear()
            elif (batch := getattr(event, "batch", None)) in sent and batch is not None:
                sent.discard(batch)
            self.history.append(Moment(at + SYNC_S, event, self.state.status, in_flight, unknown))

    def of(self, *kinds: type[ev.Event]) -> Iterator[Moment]:
        """Yield the moments whose event is of one of these kinds."""
        return (moment for moment in self.history if isinstance(moment.event, kinds))

    @property
    def doubled(self) -> dict[str, list[Job]]:
        """Job names with more than one job that is not deleted, with these jobs."""
        held = {name: [job for job in jobs if not job.deleted] for name, jobs in self.jobs.items()}
        return {name: jobs for name, jobs in held.items() if len(jobs) > 1}


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule. `rule`: name of the checker; `text`: what it found, in words."""

    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}"


def check(evidence: TrialEvidence) -> list[Violation]:
    """Return the violations of all rules; empty if every rule holds."""
    return [Violation(rule.__name__, text) for rule in CHECKERS for text in rule(evidence)]


# --- creating ----------------------------------------------------------------------------------------------------


def plan_covers_the_fleet_exactly(evidence: TrialEvidence) -> list[str]:
    """Every device of the fleet is in exactly one batch."""
    scenario = evidence.world.scenario
    planned = Counter(key for b in scenario.plan.batches for key in scenario.manifest.keys(b.start, b.stop))
    fleet = Counter(key for key, _ in scenario.devices)
    return (
        []
        if planned == fleet
        else [f"plan and fleet differ in {sorted((planned - fleet) + (fleet - planned))[:3]}"]
    )


def at_most_one_job_a_batch(evidence: TrialEvidence) -> list[str]:
    """No two jobs have the same name, while the platform keeps its bounds."""
    return (
        [f"{len(jobs)} jobs {name}" for name, jobs in evidence.doubled.items()]
        if evidence.within_bounds
        else []
    )


def at_most_one_job_a_device(evidence: TrialEvidence) -> list[str]:
    """No device has tasks in two of our jobs, while the platform keeps its bounds."""
    if not evidence.within_bounds:
        return []
    held: Counter[str] = Counter()
    keys = evidence.world.platform.devices.keys
    for jobs in evidence.jobs.values():
        held.update(keys[device] for job in jobs if not job.deleted for device in job.tasks.devices)
    return [f"{key} is in {count} jobs" for key, count in held.items() if count > 1]


def a_second_job_is_noticed(evidence: TrialEvidence) -> list[str]:
    """If the platform breaks its bounds, a second job is reported, stopped, and the campaign is halted until a person acts.

    A job that appears after the last look of the campaign is not judged: no client could see it.
    """
    reported = {
        moment.event.batch: moment
        for moment in evidence.of(ev.BatchJobDuplicated)
        if isinstance(moment.event, ev.BatchJobDuplicated)
    }
    broken = []
    for name, jobs in evidence.doubled.items():
        index = evidence.names[name]
        if index not in reported:
            if _last_look(evidence, index) > jobs[1].created_at + evidence.world.scenario.search_lag_s:
                broken.append(f"{len(jobs)} jobs {name}, and nobody was told")
            continue
        kept = evidence.state.batches[index].job_id
        others = evidence.state.batches[index].others
        failed = evidence.state.brakes_failed
        running = [job.id for job in jobs if job.id in others and job.id != kept and job.started]
        if running and index not in failed:
            broken.append(f"job {running[0]} doubles {kept} and goes on")
        halts = (m.known_at for m in evidence.of(ev.CampaignHalted, ev.CampaignAbortRequested))
        if evidence.state.status is CampaignStatus.FINISHED and not any(
            at >= reported[index].known_at for at in halts
        ):
            broken.append(f"two jobs {name}, and the campaign was not halted")
    return broken


def _last_look(evidence: TrialEvidence, batch: int) -> float:
    """Return when the last complete audit of the batch's wave began, seconds since the epoch; minus infinity if none did."""
    wave = evidence.state.plan.batches[batch].wave
    audits = [m.event for m in evidence.of(ev.WaveAudited) if isinstance(m.event, ev.WaveAudited)]
    return max((audit.began_at for audit in audits if audit.wave == wave), default=-inf)


def no_create_without_a_durable_intent(evidence: TrialEvidence) -> list[str]:
    """Whenever a create leaves, the disk has acknowledged one more intent of its name than creates left before."""
    broken = []
    sends: Counter[str] = Counter()
    for sent in evidence.world.network.sent:
        if sends[sent.name] >= sent.intents:
            broken.append(f"{sent.name} left {sends[sent.name] + 1} times, with {sent.intents} intents")
        # the gateway did not forward a refused create; the client may send it again under the same intent
        sends[sent.name] += not sent.refused
    return broken


def create_rate_is_kept(evidence: TrialEvidence) -> list[str]:
    """In any span of time, over all processes, at most the burst and the rate less its margin of creates leave."""
    limit = evidence.state.campaign.limits.create
    rate = limit.rate * (1 - MARGIN)
    # a leaky bucket: it leaks at the rate and holds the burst
    level, last = 0.0, -inf
    for sent in evidence.world.network.sent:
        level = max(0.0, level - (sent.at - last) * rate) + 1 if last > -inf else 1.0
        last = sent.at
        if level > limit.burst + EPSILON_S + rate * EPSILON_S:
            return [
                f"at {sent.at - evidence.world.scenario.start:.3f} s {level:.2f} calls, burst {limit.burst}"
            ]
    return []


def creates_in_flight_are_bounded(evidence: TrialEvidence) -> list[str]:
    """The platform never has more creates in flight than the plan allows, over all processes."""
    if not evidence.within_bounds:
        return []  # the engine frees a slot after L; a platform that breaks L may then still be busy with the call
    most = evidence.state.campaign.limits.create.in_flight
    turns = sorted(
        [(sent.at, 1) for sent in evidence.world.network.sent]
        + [(sent.over_at - EPSILON_S, -1) for sent in evidence.world.network.sent]
    )
    busy = 0
    for _, turn in turns:
        busy += turn
        if busy > most:
            return [f"{busy} creates at once, {most} allowed"]
    return []


def devices_in_progress_are_capped(evidence: TrialEvidence) -> list[str]:
    """At no instant are more devices in progress than the plan allows. Trials with doubled jobs are not judged."""
    cap = evidence.state.campaign.limits.devices_in_progress
    most = evidence.world.platform.meters.in_progress_max
    return (
        [] if cap is None or most <= cap or evidence.doubled else [f"{most} devices at once, {cap} allowed"]
    )


# --- stopping, gates, ends ---------------------------------------------------------------------------------------


def a_stopped_campaign_creates_nothing(evidence: TrialEvidence) -> list[str]:
    """From the moment a pause, halt, abort or end is durable until a resume, no create leaves.

    Creates before the last loss of commits are not judged: a resume may have been among the lost commits.
    """
    spans, since = [], None
    for moment in evidence.history:
        stopped = moment.status is not CampaignStatus.RUNNING
        if stopped and since is None:
            since = moment.known_at
        elif not stopped and since is not None:
            spans.append((since, moment.known_at - SYNC_S))
            since = None
    if since is not None:
        spans.append((since, inf))
    return [
        f"{sent.name} left at {sent.at - evidence.world.scenario.start:.3f} s, while stopped"
        for sent in evidence.world.network.sent
        if sent.at >= evidence.world.disk.lost_at
        and any(start + EPSILON_S < sent.at < stop - EPSILON_S for start, stop in spans)
    ]


def gates_pass_in_order(evidence: TrialEvidence) -> list[str]:
    """The creates of a wave leave only after all gates before it have passed; each gate passes once."""
    passed: dict[int, float] = {}
    broken = []
    for moment in evidence.of(ev.GatePassed):
        assert isinstance(moment.event, ev.GatePassed)
        if moment.event.wave in passed:
            broken.append(f"gate {moment.event.wave} passed twice")
        passed[moment.event.wave] = moment.known_at - SYNC_S
    if evidence.world.disk.lost:
        return broken  # the event may have been among the lost commits
    for sent in evidence.world.network.sent:
        wave = evidence.state.plan.batches[evidence.names[sent.name]].wave
        if any(passed.get(before, inf) > sent.at + EPSILON_S for before in range(wave)):
            broken.append(f"{sent.name} left before the gates before it had passed")
    return broken


def a_finished_campaign_is_finished(evidence: TrialEvidence) -> list[str]:
    """In a finished campaign every batch has a job on the platform, and none is unknown."""
    state = evidence.state
    if state.status is not CampaignStatus.FINISHED:
        return []
    broken = [
        f"batch {index} is {state.status_of(index).value}"
        for index in evidence.names.values()
        if state.status_of(index) not in {BatchStatus.CREATED, BatchStatus.DUPLICATED}
    ]
    broken += [
        f"wave {w.index} is {w.status.value}" for w in state.waves if w.status is not WaveStatus.FINISHED
    ]
    missing = [name for name in evidence.names if name not in evidence.jobs]
    return broken + [f"{name} has no job" for name in missing]


def jobs_belong_to_their_batches(evidence: TrialEvidence) -> list[str]:
    """The job id of a batch belongs to a job of the platform with the batch's own name."""
    known = {job.id: name for name, jobs in evidence.jobs.items() for job in jobs}
    return [
        f"batch {index} is said to have job {batch.job_id}, which bears the name {known.get(batch.job_id, 'of no batch')}"
        for index, batch in evidence.state.batches.items()
        if batch.job_id and evidence.names.get(known.get(batch.job_id, "")) != index
    ]


def no_job_is_forgotten(evidence: TrialEvidence) -> list[str]:
    """At the end the journal knows every job with a name of ours, while the platform keeps its bounds."""
    if not evidence.within_bounds or evidence.ending is TrialEnding.STUCK:
        return []
    known = {batch.job_id for batch in evidence.state.batches.values()}
    known |= {other for batch in evidence.state.batches.values() for other in batch.others}
    return [
        f"job {job.id} ({name}) runs and the journal does not know it"
        for name, jobs in evidence.jobs.items()
        for job in jobs
        if job.id not in known and not job.deleted
    ]


def an_abort_stops_its_jobs(evidence: TrialEvidence) -> list[str]:
    """After an abort with `stop_jobs`, no job that has devices left to push is still running."""
    abort = evidence.state.abort
    if evidence.state.status is not CampaignStatus.ABORTED or abort is None or not abort.stop_jobs:
        return []
    return [
        f"job {job.id} ({name}) goes on after the abort"
        for name, jobs in evidence.jobs.items()
        for job in jobs
        if job.started
        and not job.deleted
        and evidence.names[name] not in evidence.state.brakes_failed
        and _has_work(job)
        and evidence.within_bounds
    ]


def _has_work(job: Job) -> bool:
    return bool(job.counts[Status.INIT] or job.matched)


def parked_batches_are_loud(evidence: TrialEvidence) -> list[str]:
    """A campaign with parked batches is never finished; if it ends as parked, it is halted."""
    if evidence.state.parked and evidence.state.status is CampaignStatus.FINISHED:
        return [f"finished over parked batches {sorted(evidence.state.parked)}"]
    if evidence.ending is TrialEnding.PARKED and evidence.state.status is not CampaignStatus.HALTED:
        return [f"parked batches, and the campaign is {evidence.state.status.value}"]
    return []


def nothing_is_parked_or_missed_in_vain(evidence: TrialEvidence) -> list[str]:
    """A batch is not parked or reported missing if a complete search must have shown its job."""
    if evidence.tampered or not evidence.within_bounds:
        return []
    lag_s = evidence.world.scenario.search_lag_s
    broken = []
    for moment in evidence.of(ev.BatchParked, ev.WaveAudited):
        event = moment.event
        missed = (
            (event.batch,)
            if isinstance(event, ev.BatchParked)
            else event.missing
            if isinstance(event, ev.WaveAudited)
            else ()
        )
        for index in missed:
            name = batch_name(evidence.state.campaign.id, evidence.state.plan.batches[index])
            there = [
                job
                for job in evidence.jobs.get(name, ())
                if job.created_at + lag_s < moment.known_at - 2 * lag_s - 60
            ]
            broken += [f"{event.kind}: {name}, though job {job.id} is there" for job in there]
    return broken


def a_campaign_ends_when_trouble_does(evidence: TrialEvidence) -> list[str]:
    """Without faults and with a person who answers, every campaign comes to an end."""
    state = evidence.state
    return (
        [f"{state.status.value}, {state.reason or 'no reason'}"]
        if evidence.ending is TrialEnding.STUCK
        else []
    )


# --- believing ---------------------------------------------------------------------------------------------------


def counts_add_up(evidence: TrialEvidence) -> list[str]:
    """The counters in the state equal what counting anew gives: batches, unknown, jobs, devices, exposure."""
    state = evidence.state
    broken = []

    def same(what: str, kept: object, anew: object) -> None:
        if kept != anew:
            broken.append(f"{what}: kept {kept}, counted {anew}")

    by_status = Counter(batch.status for batch in state.batches.values())
    settled = {BatchStatus.CREATED, BatchStatus.DUPLICATED, BatchStatus.PARKED}
    same("devices planned", state.tally().planned, state.plan.devices)
    same("unknown", state.unknown, by_status[BatchStatus.UNKNOWN])
    same("parked", len(state.parked), by_status[BatchStatus.PARKED])
    same("rejected", len(state.rejected), by_status[BatchStatus.REJECTED])
    same("jobs", state.jobs, by_status[BatchStatus.CREATED] + by_status[BatchStatus.DUPLICATED])
    exposed = sum(group.exposure for group in state.groups)
    for index, batch in state.batches.items():
        open_call = batch.status in {BatchStatus.SENT, BatchStatus.UNKNOWN}
        exposed += state.exposure_of(index) * (
            open_call or (batch.status is BatchStatus.PARKED and batch.exposed)
        )
    same("exposure", state.exposure, exposed)
    for wave in state.waves:
        mine = [i for i in range(wave.first, wave.last) if state.status_of(i) in settled]
        same(f"settled batches of wave {wave.index}", wave.settled_batches, len(mine))
        groups = [state.groups[i] for i in wave.groups]
        same(f"tally of wave {wave.index}", wave.counted, sum((group.tally for group in groups), Tally()))
        same(
            f"open groups of wave {wave.index}",
            wave.unsettled_groups,
            sum(not group.settled for group in groups),
        )
    return broken


def counts_agree_with_the_platform(evidence: TrialEvidence) -> list[str]:
    """In a finished campaign the counts of a settled group equal the platform's; groups with doubled jobs are not judged."""
    if evidence.tampered or evidence.state.status is not CampaignStatus.FINISHED:
        return []
    jobs = {job.id: job for held in evidence.jobs.values() for job in held}
    broken = []
    for group in evidence.state.groups:
        if group.settled and not evidence.state.duplicated.intersection(group.batches):
            ids = [evidence.state.batches[index].job_id for index in group.batches]
            mine = [jobs[job_id] for job_id in ids if job_id in jobs]
            truth = tuple(
                sum(job.counts[status] for job in mine) for status in (Status.SUCCEEDED, Status.FAILED)
            )
            if (group.succeeded, group.failed) != truth:
                broken.append(f"group {group.index}: believed {group.succeeded, group.failed}, are {truth}")
    return broken


def decisions_are_equal_on_replay(evidence: TrialEvidence) -> list[str]:
    """The state in memory and the state read from the disk lead to the same decisions."""
    life = evidence.world.life
    if life.leave is None:
        return []  # a killed process may have stored an event that it had not folded yet
    living, read = life.runner.state, evidence.world.replayed()
    at = max(living.last_at, read.last_at) + 1.0
    scenario = evidence.world.scenario
    start = ev.EngineStarted(at, "probe", "probe", scenario.latest_effect_s, scenario.search_lag_s)
    decisions = []
    for state in (living, read):  # neither is used after this, so they may be changed
        if not state.closed:
            fold(state, start)
        decisions.append([decide(state, at + wait, UnderWay()) for wait in (0.0, 30.0, 1000.0)])
    return [] if decisions[0] == decisions[1] else [f"remembering: {decisions[0]}; reading: {decisions[1]}"]


Checker = Callable[[TrialEvidence], list[str]]

CHECKERS: tuple[Checker, ...] = (
    plan_covers_the_fleet_exactly,
    at_most_one_job_a_batch,
    at_most_one_job_a_device,
    a_second_job_is_noticed,
    no_create_without_a_durable_intent,
    create_rate_is_kept,
    creates_in_flight_are_bounded,
    devices_in_progress_are_capped,
    a_stopped_campaign_creates_nothing,
    gates_pass_in_order,
    a_finished_campaign_is_finished,
    jobs_belong_to_their_batches,
    no_job_is_forgotten,
    an_abort_stops_its_jobs,
    parked_batches_are_loud,
    nothing_is_parked_or_missed_in_vain,
    a_campaign_ends_when_trouble_does,
    counts_add_up,
    counts_agree_with_the_platform,
    decisions_are_equal_on_replay,
)
