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
from rollout.core.campaign import OnFail
from rollout.core.commands import AuditWave, Command, CountTasks, CreateJob, FindJob, Record, UnderWay
from rollout.core.gate import (
    Halt,
    Hold,
    HoldReason,
    Open,
    judge,
    stop_evidence,
    thresholds_evidence,
    thresholds_hold,
)
from rollout.core.lifecycle import BatchStatus, CampaignStatus, WaveStatus
from rollout.core.state import AUDITS_MAX, State, WaveState

__all__ = ["BLIND_MAX_S", "Decision", "decide", "may_create"]

DAY_S = 86_400.0
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
        and wave.suspect_until is None
        and not _blind(state, now)
    )


def decide(state: State, now: float, under_way: UnderWay) -> Decision:
    """Return what to do at `now`, given what is already under way. Changes nothing."""
    decision = Decision()
    if state.closed or state.status is CampaignStatus.NEW:
        return decision
    facts = list(_facts(state, now, under_way, decision))
    if facts:
        return Decision([Record(fact) for fact in facts], now)
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


def _facts(state: State, now: float, under_way: UnderWay, decision: Decision) -> Iterator[ev.Event]:
    if state.status is CampaignStatus.ABORTING:
        # jobs that a lost journal forgot are to be braked too, so they are looked for before the end
        suspect = any(wave.suspect_until is not None for wave in state.waves)
        if not state.brakes and not state.unknown and not suspect and not under_way:
            yield ev.CampaignAborted(now)
        return
    if state.status is CampaignStatus.HALTED:
        return
    halt = _trouble(state, now)
    if halt is not None:
        yield halt
        return
    for wave in state.begun_waves():
        fact = _gate_fact(state, wave, now, decision)
        if fact is not None:
            yield fact
            if isinstance(fact, ev.CampaignHalted | ev.CampaignAbortRequested):
                return
    if state.status is not CampaignStatus.RUNNING:
        return
    waiting = next((wave for wave in state.waves if wave.status is WaveStatus.WAITING), None)
    before = state.waves[waiting.index - 1] if waiting is not None and waiting.index else None
    if waiting is not None:
        if waiting.cleared and (before is None or before.status in {WaveStatus.PASSED, WaveStatus.FINISHED}):
            yield ev.WaveOpened(now, waiting.index)
    elif (
        all(wave.status is WaveStatus.FINISHED and wave.created for wave in state.waves)
        and not state.unknown
        and not state.brakes
        and not under_way.creating
    ):
        if state.parked:
            # finished is for good; a batch that nobody knows the fate of keeps the campaign open for a person
            told = f"{len(state.parked)} creates may have taken effect and could not be settled"
            yield ev.CampaignHalted(now, "batches parked", told)
        else:
            yield ev.CampaignFinished(now)
    stall = _stall(state, now, under_way, decision)
    if stall is not None:
        yield stall


def _trouble(state: State, now: float) -> ev.Event | None:
    """Return the halt that something outside any gate demands, or None."""
    refused = next((i for i in sorted(state.rejected) if not state.batches[i].credentials), None)
    if refused is not None:
        batch = state.batches[refused]
        told = f"{batch.code} {batch.reason} ({batch.request_id})"
        return ev.CampaignHalted(now, "create refused", told, state.plan.batches[refused].wave)
    unseen = sorted(state.duplicated - state.duplicates_known)
    if unseen:
        told = (
            f"more than one job bears the name of {len(unseen)} batches; the younger ones are being stopped"
        )
        return ev.CampaignHalted(now, "job duplicated", told, state.plan.batches[unseen[0]].wave)
    for wave in state.waves:
        if wave.foreign:
            told = ", ".join(wave.foreign[:3])
            return ev.CampaignHalted(
                now, "foreign jobs", f"jobs with this campaign's prefix exist: {told}", wave.index
            )
        if wave.misses >= AUDITS_MAX:
            told = f"{len(wave.missing)} created jobs are not found on the platform"
            return ev.CampaignHalted(now, "jobs missing", told, wave.index)
    return None


def _gate_fact(state: State, wave: WaveState, now: float, decision: Decision) -> ev.Event | None:
    """Return the one fact about the wave that is due now, or None; note when time alone may bring one."""
    gate = state.gate_of(wave.index)
    tally = wave.tally
    if wave.status is WaveStatus.OPEN:
        if gate is not None and not wave.overridden:
            holds = wave.created and state.is_known(wave) and thresholds_hold(gate, tally)
            if holds and wave.satisfied_at is None:
                return ev.GateSatisfied(now, wave.index, thresholds_evidence(gate, tally))
            if not holds and wave.satisfied_at is not None:
                return ev.GateUnsatisfied(now, wave.index, thresholds_evidence(gate, tally))
        verdict = judge(
            None if wave.overridden else gate,
            tally,
            created=wave.created,
            settled=wave.settled,
            known=state.is_known(wave),
            seen_at=lambda: -inf if _blind(state, now) else state.seen_at(wave),
            opened_at=wave.clock_from,
            satisfied_at=wave.satisfied_at,
            approved=wave.approved,
            now=now,
        )
        match verdict:
            case Open():
                if wave.verified:
                    return ev.GatePassed(now, wave.index, verdict.evidence)
                # a last look at the platform: every batch exactly one job, before the next wave builds on it
                audit = HoldReason.AUDIT.value
                return None if wave.held == audit else ev.GateHeld(now, wave.index, audit, verdict.evidence)
            case Hold():
                if verdict.until is not None:
                    decision.wake(verdict.until)
                if verdict.reason.value != wave.held and verdict.reason is not HoldReason.CREATING:
                    return ev.GateHeld(now, wave.index, verdict.reason.value, verdict.evidence, verdict.until)
                return None
            case Halt():
                return _halt(state, wave, verdict, now)
    if wave.status in {WaveStatus.PASSED, WaveStatus.FINISHED}:
        if (
            gate is not None
            and gate.stop is not None
            and not wave.overridden
            and (why := stop_evidence(gate.stop, tally))
        ):
            return _halt(state, wave, Halt("stop rule", why), now)
        if wave.status is WaveStatus.PASSED and wave.closed and _over(state, wave, now, decision):
            return ev.WaveFinished(now, wave.index, tally.open)
    return None


def _halt(state: State, wave: WaveState, verdict: Halt, now: float) -> ev.Event:
    gate = state.gate_of(wave.index)
    assert gate is not None, "only a gate can halt"
    if gate.on_fail is OnFail.ABORT:
        why = f"{verdict.reason}: {verdict.evidence}"
        return ev.CampaignAbortRequested(
            now, f"gate of wave {state.plan.waves[wave.index].name}", why, stop_jobs=True
        )
    return ev.CampaignHalted(now, verdict.reason, verdict.evidence, wave.index, gate=True)


def _over(state: State, wave: WaveState, now: float, decision: Decision) -> bool:
    """Return whether nothing more is awaited of a passed wave: all settled, or only stragglers left."""
    if wave.settled:
        return True
    if not wave.created:
        return False
    quiet_at = _quiet_at(state, wave)
    if quiet_at > now:
        decision.wake(quiet_at)
    # quiet is what a count says, not what the lack of one suggests
    return now >= quiet_at and state.seen_at(wave) >= quiet_at


def _quiet_at(state: State, wave: WaveState) -> float:
    """Return from when on devices still open are stragglers, if nothing moves until then."""
    quiet_s = state.campaign.stragglers_after_s
    if wave.counted.in_progress:
        # an upgrade under way ends, one way or the other, within its time-out
        quiet_s = max(quiet_s, float(state.campaign.waves[wave.index].job.upgrade_timeout_s))
    return wave.moved_at + quiet_s


def _stall(state: State, now: float, under_way: UnderWay, decision: Decision) -> ev.Event | None:
    """Return that the next job has no room and nothing is left that would make any by itself; told once a standstill."""
    if state.stalled or state.unknown or under_way.creating or not state.full:
        return None
    waves = list(state.begun_waves())
    quiet_at = max(_silent_at(state, wave) for wave in waves)
    if quiet_at > now:
        decision.wake(quiet_at)
        return None
    if any(state.seen_at(wave) < quiet_at for wave in waves):
        return None  # quiet is what a count says, not what the lack of one suggests
    wave = next(wave for wave in waves if not wave.created)
    cap = state.campaign.limits.devices_in_progress
    told = f"{state.exposure:,} of {cap:,} devices may be in progress, the next job has no room, and nothing moves"
    return ev.CampaignStalled(now, wave.index, told)


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
        due = wave.suspect_until if aborting else _audit_due(state, wave, now, decision)
        if due is not None:
            due = max(due, wave.audit_retry_at)
            audit = AuditWave(wave.index)
            if due > now:
                decision.wake(due)
            elif audit not in under_way.others:
                decision.commands.append(audit)
        if wave.status is WaveStatus.WAITING and not aborting:
            return


def _audit_due(state: State, wave: WaveState, now: float, decision: Decision) -> float | None:
    """Return from when on a listing of the wave's jobs is wanted, or None."""
    visible_at = state.vouched(wave.last_created_at) + state.search_lag_s
    match wave.status:
        case WaveStatus.WAITING:
            before = state.waves[wave.index - 1].status if wave.index else WaveStatus.PASSED
            begins = before in {WaveStatus.PASSED, WaveStatus.FINISHED}
            asked = begins and not wave.cleared and not wave.foreign
            return max(now, wave.suspect_until or now) if asked else None
        case WaveStatus.OPEN if wave.suspect_until is not None:
            return wave.suspect_until
        case WaveStatus.OPEN:
            asked = wave.created and wave.held == HoldReason.AUDIT and not wave.verified
            return visible_at if asked else None
        case WaveStatus.PASSED:
            ending = wave.created and (wave.settled or _over(state, wave, now, decision))
            return visible_at if ending and not wave.closed else None
        case _:
            return None


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
        return wave.held_at if wave.held == HoldReason.STALE else None
    ending = wave.status is WaveStatus.PASSED and wave.created and not wave.settled
    return _quiet_at(state, wave) if ending else None


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
            and state.waves[state.plan.batches[batch].wave].suspect_until is None
        ):
            yield batch
    for wave in state.begun_waves():
        if wave.suspect_until is not None:
            continue
        for batch in range(wave.cursor, wave.last):
            if batch not in state.batches and batch not in under_way.creating:
                yield batch


def _or_never(at: float | None) -> float:
    return inf if at is None else at
