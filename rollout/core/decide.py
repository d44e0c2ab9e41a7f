"""`decide(state, now)`: what to do now, and when to look again. The heart.

Facts come before deeds: while a decision changes what is true (a gate passes, a rule halts the campaign), only
those facts are returned; once they are recorded the engine asks again. So every deed is decided on a state
that already contains its reason.

Deeds, in order of urgency: brakes (stop, cancel), lookups of unknown creates, audits, counts, creates. A create
needs all of: the campaign runs, the wave is open and its prefix audited, the platform's state is not unknown
for too long, a free call slot (unknown ones hold theirs), and room for its devices in the budget.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf

from rollout.core import events as ev
from rollout.core.audit_phase import AuditPhase
from rollout.core.campaign import DAY_S, OnFail
from rollout.core.commands import (
    AuditWave,
    Command,
    CountTasks,
    CreateJob,
    FindJob,
    RecordFact,
    UnderWay,
)
from rollout.core.gate import Halt, Hold, Open, WaveKnowledge, is_satisfied, judge
from rollout.core.lifecycle import BatchStatus, CampaignStatus, WaveStatus
from rollout.core.reasons import HaltReason, HoldReason
from rollout.core.retry import NAMED_MAX
from rollout.core.state import State, WaveState

AUDITS_MAX = 3
"""Audits that may miss a created job before a person is asked."""
BLIND_MAX_S = 120.0
"""How long counts may fail before nothing more is created: a brake that cannot see fails closed. Seconds."""

_WATCHING = frozenset({CampaignStatus.RUNNING, CampaignStatus.PAUSED})
"""States in which devices are counted and waves audited; brakes and lookups go on in every one."""


@dataclass(slots=True)
class Decision:
    """All there is to do now, and when to look again if nothing happens before."""

    commands: list[Command] = field(default_factory=list)
    wake_at: float = inf

    def wake(self, at: float) -> None:
        """Look again at `at` at the latest."""
        self.wake_at = min(self.wake_at, at)


def may_create(state: State, batch: int, now: float) -> bool:
    """Return whether the batch's create may leave at this moment: the last check before the first byte."""
    wave = state.waves[state.plan.batches[batch].wave]
    return (
        state.status is CampaignStatus.RUNNING
        and wave.status is not WaveStatus.WAITING
        and wave.audit.suspect_until is None
        and not _blind(state, now)
    )


def decide(state: State, now: float, under_way: UnderWay) -> Decision:
    """Return what to do at `now`, given what is already under way. Changes nothing."""
    decision = Decision()
    if state.closed or state.status is CampaignStatus.NEW:
        return decision
    facts, wake_at = _facts(state, now, under_way)
    if facts:
        return Decision([RecordFact(fact) for fact in facts], now)
    decision.wake(wake_at)
    _brakes(state, now, under_way, decision)
    _lookups(state, now, under_way, decision)
    _audits(state, now, under_way, decision)
    if state.status in _WATCHING:
        _counts(state, now, under_way, decision)
    if state.status is CampaignStatus.RUNNING:
        _creates(state, now, under_way, decision)
    return decision


def _blind(state: State, now: float) -> bool:
    """Return whether devices are out of sight: counts of some jobs fail, or this life has not seen them yet."""
    return bool(state.unsighted) or now >= min(state.blind.values(), default=inf) + BLIND_MAX_S


# --- facts -------------------------------------------------------------------------------------------------


def _facts(state: State, now: float, under_way: UnderWay) -> tuple[list[ev.Event], float]:
    """Return what has become true, and when time alone may make more of it true."""
    if state.status is CampaignStatus.ABORTING:
        # jobs that a lost journal forgot are to be braked too, so they are looked for before the end
        suspect = any(wave.audit.suspect_until is not None for wave in state.waves)
        over = not state.brakes and not state.unknown and not suspect and not under_way
        return [ev.CampaignAborted(now)] if over else [], inf
    if state.status is CampaignStatus.HALTED:
        return [], inf
    halt = _trouble(state, now)
    if halt is not None:
        return [halt], inf
    facts: list[ev.Event] = []
    wake_at = inf
    for wave in state.begun_waves():
        fact, look_at = _wave_fact(state, wave, now)
        wake_at = min(wake_at, look_at)
        if fact is not None:
            facts.append(fact)
            if isinstance(fact, ev.CampaignHalted | ev.CampaignAbortRequested):
                return facts, wake_at
    if state.status is not CampaignStatus.RUNNING:
        return facts, wake_at
    step = _next_step(state, now, under_way)
    if step is not None:
        facts.append(step)
    stall, look_at = _stall(state, now, under_way)
    if stall is not None:
        facts.append(stall)
    return facts, min(wake_at, look_at)


def _next_step(state: State, now: float, under_way: UnderWay) -> ev.Event | None:
    """Return that the next wave opens, or that nothing is left to do; None while neither is so."""
    passed = {WaveStatus.PASSED, WaveStatus.FINISHED}
    waiting = next((wave for wave in state.waves if wave.status is WaveStatus.WAITING), None)
    if waiting is not None:
        before = state.waves[waiting.index - 1] if waiting.index else None
        cleared = waiting.audit.phase is AuditPhase.CLEARED
        begins = cleared and (before is None or before.status in passed)
        return ev.WaveOpened(now, waiting.index) if begins else None
    over = all(wave.status is WaveStatus.FINISHED and wave.created for wave in state.waves)
    if not over or state.unknown or state.brakes or under_way.creating:
        return None
    if state.parked:
        # finished is for good; a batch that nobody knows the fate of keeps the campaign open for a person
        return ev.CampaignHalted(now, HaltReason.BATCHES_PARKED, number=len(state.parked))
    return ev.CampaignFinished(now)


def _trouble(state: State, now: float) -> ev.CampaignHalted | None:
    """Return the halt that something outside any gate demands, or None."""
    refused = next((i for i in sorted(state.rejected) if not state.batches[i].credentials), None)
    if refused is not None:
        batch = state.batches[refused]
        return ev.CampaignHalted(
            now,
            HaltReason.CREATE_REFUSED,
            state.plan.batches[refused].wave,
            code=batch.code,
            message=batch.message,
            request_id=batch.request_id,
        )
    unseen = sorted(state.duplicated - state.duplicates_known)
    if unseen:
        wave_index = state.plan.batches[unseen[0]].wave
        return ev.CampaignHalted(now, HaltReason.JOB_DUPLICATED, wave_index, number=len(unseen))
    for wave in state.waves:
        audit = wave.audit
        if audit.foreign:
            names = audit.foreign[:NAMED_MAX]
            return ev.CampaignHalted(now, HaltReason.FOREIGN_JOBS, wave.index, names=names)
        if audit.misses >= AUDITS_MAX:
            return ev.CampaignHalted(now, HaltReason.JOBS_MISSING, wave.index, number=len(audit.missing))
    return None


def _knowledge(state: State, wave: WaveState, now: float) -> WaveKnowledge:
    """Return what the wave's gate is judged by."""
    return WaveKnowledge(
        gate=None if wave.overridden else state.gate_of(wave.index),
        tally=wave.tally,
        passed=wave.status is not WaveStatus.OPEN,
        created=wave.created,
        settled=wave.settled,
        known=state.is_known(wave),
        seen_at=lambda: -inf if _blind(state, now) else state.seen_at(wave),
        opened_at=wave.clock_from,
        satisfied_at=wave.satisfied_at,
        approved=wave.approved,
    )


def _wave_fact(state: State, wave: WaveState, now: float) -> tuple[ev.Event | None, float]:
    """Return the one fact about the wave that is due now, or None; and when time alone may bring one."""
    known = _knowledge(state, wave, now)
    if wave.status is WaveStatus.OPEN and known.gate is not None:
        satisfied = is_satisfied(known)
        if satisfied and wave.satisfied_at is None:
            return ev.GateSatisfied(now, wave.index, known.tally), inf
        if not satisfied and wave.satisfied_at is not None:
            return ev.GateUnsatisfied(now, wave.index, known.tally), inf
    verdict = judge(known, now)
    match verdict:
        case Halt():
            return _halt(state, wave, verdict, now), inf
        case Hold():
            news = verdict.reason is not wave.held and verdict.reason is not HoldReason.CREATING
            held = ev.GateHeld(now, wave.index, verdict.reason, known.tally, verdict.until) if news else None
            return held, inf if verdict.until is None else verdict.until
        case Open() if wave.status is WaveStatus.OPEN:
            return _pass(wave, known, now), inf
        case Open() if wave.status is WaveStatus.PASSED and wave.audit.phase is AuditPhase.CLOSED:
            over, look_at = _over(state, wave, now)
            return ev.WaveFinished(now, wave.index, known.tally.open) if over else None, look_at
        case Open():
            return None, inf


def _pass(wave: WaveState, known: WaveKnowledge, now: float) -> ev.Event | None:
    """Return that the wave passes, or what it still waits for; None if that was told."""
    if wave.audit.phase is AuditPhase.VERIFIED:
        return ev.GatePassed(now, wave.index, known.tally, wave.overridden)
    if wave.held is HoldReason.AUDIT:
        return None
    # a last look at the platform: every batch exactly one job, before the next wave builds on it
    return ev.GateHeld(now, wave.index, HoldReason.AUDIT, known.tally, overridden=wave.overridden)


def _halt(state: State, wave: WaveState, verdict: Halt, now: float) -> ev.Event:
    gate = state.gate_of(wave.index)
    assert gate is not None, "only a gate can halt"
    if gate.on_fail is OnFail.ABORT:
        return ev.CampaignAbortRequested(
            now,
            stop_jobs=True,
            halt=verdict.reason,
            wave=wave.index,
            tally=wave.tally,
            settled=verdict.settled,
        )
    return ev.CampaignHalted(
        now, verdict.reason, wave.index, gate=True, tally=wave.tally, settled=verdict.settled
    )


def _over(state: State, wave: WaveState, now: float) -> tuple[bool, float]:
    """Return whether nothing more is awaited of a passed wave with all its jobs, and when time alone may change that.

    Nothing is awaited once all is settled, or only stragglers are left.
    """
    if wave.settled:
        return True, inf
    quiet_at = _quiet_at(state, wave)
    if now < quiet_at:
        return False, quiet_at
    # quiet is what a count says, not what the lack of one suggests
    return state.seen_at(wave) >= quiet_at, inf


def _quiet_at(state: State, wave: WaveState) -> float:
    """Return from when on devices still open are stragglers, if nothing moves until then."""
    quiet_s = state.campaign.stragglers_after_s
    if wave.counted.in_progress:
        # an upgrade under way ends, one way or the other, within its time-out
        quiet_s = max(quiet_s, float(state.campaign.waves[wave.index].job.upgrade_timeout_s))
    return wave.moved_at + quiet_s


def _stall(state: State, now: float, under_way: UnderWay) -> tuple[ev.Event | None, float]:
    """Return that the campaign stalls, or None; and when time alone may change that.

    It stalls if the next job has no room and nothing that goes on by itself can make any. Told once for each such time.
    """
    if state.stalled or state.unknown or under_way.creating or not state.full:
        return None, inf
    waves = list(state.begun_waves())
    quiet_at = max(_silent_at(state, wave) for wave in waves)
    if quiet_at > now:
        return None, quiet_at
    if any(state.seen_at(wave) < quiet_at for wave in waves):
        return None, inf  # quiet is what a count says, not what the lack of one suggests
    wave = next(wave for wave in waves if not wave.created)
    return ev.CampaignStalled(now, wave.index, state.exposure), inf


def _silent_at(state: State, wave: WaveState) -> float:
    """Return from when on silence means that nothing in the wave will move by itself, if nothing moves until then.

    Later than for stragglers: EnOS brings failed devices back, and pushes to others when their window opens.
    """
    spec = state.campaign.waves[wave.index].job
    since = state.vouched(wave.moved_at)
    patience_s = max(state.campaign.stragglers_after_s, 2 * state.search_lag_s)
    if wave.counted.in_progress:
        patience_s = max(patience_s, float(spec.upgrade_timeout_s))
    if spec.retry.enabled and wave.counted.failed:
        patience_s += spec.retry.interval_s
    if spec.schedule is not None:
        since = max(since, spec.schedule.start_ms / 1000)
        patience_s += DAY_S if spec.schedule.repeat_daily else 0.0
    return since + patience_s


# --- deeds -------------------------------------------------------------------------------------------------


def _brakes(state: State, now: float, under_way: UnderWay, decision: Decision) -> None:
    for brake, due in state.brakes.items():
        if due > now:
            decision.wake(due)
        elif brake not in under_way.others:
            decision.commands.append(brake)


def _lookups(state: State, now: float, under_way: UnderWay, decision: Decision) -> None:
    for batch in state.lookups.due(now):
        find = FindJob(batch)
        if find not in under_way.others:
            decision.commands.append(find)
    decision.wake(_or_never(state.lookups.next_after(now)))


def _audits(state: State, now: float, under_way: UnderWay, decision: Decision) -> None:
    aborting = state.status is CampaignStatus.ABORTING
    if not aborting and state.status not in _WATCHING:
        return
    for wave in state.waves:
        due, look_at = (wave.audit.suspect_until, inf) if aborting else _audit_due(state, wave, now)
        decision.wake(look_at)
        if due is not None:
            due = max(due, wave.audit.retry_at)
            audit = AuditWave(wave.index)
            if due > now:
                decision.wake(due)
            elif audit not in under_way.others:
                decision.commands.append(audit)
        if wave.status is WaveStatus.WAITING and not aborting:
            return


def _audit_due(state: State, wave: WaveState, now: float) -> tuple[float | None, float]:
    """Return from when on an audit of the wave is wanted, or None; and when time alone may change that."""
    audit = wave.audit
    visible_at = state.vouched(wave.last_created_at) + state.search_lag_s
    match audit.phase:
        case AuditPhase.UNCLEARED:
            before = state.waves[wave.index - 1].status if wave.index else WaveStatus.PASSED
            begins = before in {WaveStatus.PASSED, WaveStatus.FINISHED}
            return max(now, audit.suspect_until or now) if begins and not audit.foreign else None, inf
        case AuditPhase.UNVERIFIED | AuditPhase.VERIFIED if audit.suspect_until is not None:
            return audit.suspect_until, inf
        case AuditPhase.UNVERIFIED:
            return visible_at if wave.created and wave.held is HoldReason.AUDIT else None, inf
        case AuditPhase.UNCLOSED if wave.created:
            over, look_at = _over(state, wave, now)
            return visible_at if over else None, look_at
        case _:
            return None, inf


def _counts(state: State, now: float, under_way: UnderWay, decision: Decision) -> None:
    for group in dict.fromkeys((*state.counts.due(now), *_awaited(state, now))):
        count = CountTasks(group)
        if count not in under_way.others:
            decision.commands.append(count)
    decision.wake(_or_never(state.counts.next_after(now)))


def _awaited(state: State, now: float) -> Iterator[int]:
    """Yield the groups a verdict waits for: all is ready, but for numbers from before a soak, deadline or quiet time.

    Only those not counted since then; one whose count failed keeps its own time to try again.
    """
    for wave in state.begun_waves():
        since = _awaits_since(state, wave)
        if since is not None and since <= now:
            for index in wave.groups:
                group = state.groups[index]
                if not group.settled and group.asked_at < since and index not in state.blind:
                    yield index


def _awaits_since(state: State, wave: WaveState) -> float | None:
    """Return since when the wave's counts must be for its next verdict, or None where none is near."""
    if wave.status is WaveStatus.OPEN:
        return wave.held_at if wave.held is HoldReason.STALE else None
    finishing = wave.status is WaveStatus.PASSED and wave.created and not wave.settled
    return _quiet_at(state, wave) if finishing else None


def _creates(state: State, now: float, under_way: UnderWay, decision: Decision) -> None:
    if _blind(state, now):
        return
    limits = state.campaign.limits
    slots = limits.create.in_flight - len(under_way.creating) - state.unknown
    room = inf
    if limits.devices_in_progress is not None:
        intended = sum(
            state.exposure_of(i) for i in under_way.creating if state.status_of(i) is BatchStatus.PLANNED
        )
        room = limits.devices_in_progress - state.exposure - intended
    for batch in _creatable(state, now, under_way) if slots > 0 else ():
        exposure = state.exposure_of(batch)
        if exposure > room:
            # in plan order: a smaller batch further on does not overtake, so a large one is never starved
            break
        room -= exposure
        touched = state.batches.get(batch)
        decision.commands.append(CreateJob(batch, 1 if touched is None else touched.attempt + 1))
        slots -= 1
        if not slots:
            break
    decision.wake(_or_never(state.retries.next_after(now)))


def _creatable(state: State, now: float, under_way: UnderWay) -> Iterator[int]:
    """Yield batches whose create is due: those to be repeated first, then untouched ones in plan order."""
    for batch in state.retries.due(now):
        if (
            batch not in under_way.creating
            and state.waves[state.plan.batches[batch].wave].audit.suspect_until is None
        ):
            yield batch
    for wave in state.begun_waves():
        if wave.audit.suspect_until is not None:
            continue
        for batch in range(wave.cursor, wave.last):
            if batch not in state.batches and batch not in under_way.creating:
                yield batch


def _or_never(at: float | None) -> float:
    return inf if at is None else at
