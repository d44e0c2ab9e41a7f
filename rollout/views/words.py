"""The words for codes: every sentence about why something is as it is stands in one table.

Core, journal and engine know codes and numbers only. Here they become what people read. `SENTENCES` is a catalogue:
a second language is a second table with the same keys and the same places to fill in. Nothing may compare these
texts or take them apart; `tests/views/test_reworded.py` replaces them all and sees no decision change.

A journal of format 1 holds sentences instead of the numbers they were made of; those are shown as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Final, assert_never

from rollout.core import events as ev
from rollout.core.campaign import Denominator, Gate, StopRule
from rollout.core.lifecycle import BatchStatus, CampaignStatus
from rollout.core.plan import Plan
from rollout.core.reasons import BatchReason, HaltReason, HoldReason, LookupReason, StopReason
from rollout.core.state import BatchState, State, WaveState
from rollout.core.tally import Tally
from rollout.text import count, duration, percent

STATUSES: Final[Mapping[CampaignStatus, str]] = {
    CampaignStatus.NEW: "new",
    CampaignStatus.RUNNING: "running",
    CampaignStatus.PAUSED: "paused",
    CampaignStatus.HALTED: "halted",
    CampaignStatus.ABORTING: "aborting",
    CampaignStatus.ABORTED: "aborted",
    CampaignStatus.FINISHED: "finished",
}
"""Where a campaign stands."""

BATCHES: Final[Mapping[BatchStatus, str]] = {
    BatchStatus.PLANNED: "planned",
    BatchStatus.SENT: "sent",
    BatchStatus.UNKNOWN: "unknown",
    BatchStatus.CREATED: "created",
    BatchStatus.REJECTED: "rejected",
    BatchStatus.PARKED: "parked",
    BatchStatus.DUPLICATED: "duplicated",
}
"""Where a batch stands."""

SENTENCES: dict[str, str] = {
    # what a closed gate waits for, as a state
    "hold.creating": "jobs are being created",
    "hold.sample": "cannot tell: too few devices resolved",
    "hold.coverage": "devices",
    "hold.success": "success",
    "hold.soak": "soak",
    "hold.approval": "approval",
    "hold.audit": "audit of the wave's jobs",
    "hold.stale": "cannot tell: counts are old",
    # the same after "waiting for"
    "wait.creating": "jobs to be created",
    "wait.sample": "enough resolved devices to tell",
    "wait.coverage": "devices",
    "wait.success": "more devices to succeed",
    "wait.soak": "soak",
    "wait.approval": "approval",
    "wait.audit": "the audit of the wave's jobs",
    "wait.stale": "newer counts",
    # why a rule stopped the campaign
    "halt.stop_rule": "stop rule",
    "halt.out_of_reach": "thresholds out of reach",
    "halt.deadline": "deadline",
    "halt.create_refused": "create refused",
    "halt.batches_parked": "batches parked",
    "halt.job_duplicated": "job duplicated",
    "halt.foreign_jobs": "foreign jobs",
    "halt.jobs_missing": "jobs missing",
    # why the campaign stands, where no rule stopped it
    "stands.paused": "paused",
    "stands.aborted": "aborted",
    # what a gate asks for, beside the plan
    "gate.none": "none",
    "gate.resolved": "{share} resolved",
    "gate.success": "{share} ok",
    "gate.stop": "stop above {limit} failed",
    "gate.share": "{percent} of {of}",
    "gate.soak": "soak {time}",
    "gate.deadline": "within {time}",
    "gate.approval": "then approval",
    "gate.empty": "all jobs created",
    # evidence
    "evidence.resolved": "resolved {share}, at least {least}",
    "evidence.succeeded": "succeeded {share}, at least {least}",
    "evidence.share": "{part:,} of {whole:,} {of} ({percent})",
    "evidence.no_threshold": "{resolved:,} of {planned:,} planned resolved, no threshold",
    "evidence.no_gate": "{planned:,} devices, no gate",
    "evidence.stop_count": "failed {failed:,} devices, stop above {limit:,}",
    "evidence.stop_share": "failed {share}, stop above {limit}",
    "evidence.out_of_reach": "{thresholds}; even if every open device succeeds",
    "evidence.out_of_reach_settled": "{thresholds}; no device is left that could change it",
    "evidence.deadline": "{thresholds} when the deadline passed",
    "evidence.create_refused": "{code} {message} ({request_id})",
    "evidence.batches_parked": "{number} creates may have taken effect and could not be settled",
    "evidence.job_duplicated": "more than one job bears the name of {number} batches; the younger ones are being stopped",
    "evidence.foreign_jobs": "jobs with this campaign's prefix exist: {names}",
    "evidence.jobs_missing": "{number} created jobs are not found on the platform",
    "evidence.stalled": "{exposure:,} of {cap:,} devices may be in progress, the next job has no room, and nothing moves",
    "evidence.abort": "{reason}: {evidence}",
    "by.gate": "gate of wave {wave}",
    # batches
    "batch.throttled": "throttled",
    "batch.witnessed": "not found by name, but its devices have tasks in job {jobs}",
    "batch.park_asked": "not found, and the plan says park",
    "batch.too_often": "not found after {doubts} doubtful attempts",
    "batch.duplicated": "more than one job bears its name",
    "lookup.too_early": "not found yet",
    "lookup.incomplete": "the search was not complete",
    # why a runner left
    "stop.halted": "halted",
    "stop.waiting": "waiting",
    "stop.reached": "reached",
    "stop.interrupted": "interrupted",
    "stop.signal": "signal {message}",
}


def _say(key: str, data: Mapping[str, object] | None = None) -> str:
    return SENTENCES[key].format_map(data or {})


def hold_text(reason: HoldReason | None) -> str:
    """Return what a closed gate waits for; empty if it waits for nothing."""
    return "" if reason is None else _say(f"hold.{reason.value}")


def wait_text(reason: HoldReason) -> str:
    """Return the same as `hold_text`, to stand after "waiting for"."""
    return _say(f"wait.{reason.value}")


def halt_text(reason: HaltReason) -> str:
    """Return why a rule stopped the campaign, in two or three words."""
    return _say(f"halt.{reason.value}")


def stop_text(event: ev.EngineStopped) -> str:
    """Return why a runner left."""
    if event.reason is StopReason.GAVE_UP:
        return event.message
    return _say(f"stop.{event.reason.value}", {"message": event.message})


def abort_by(event: ev.CampaignAbortRequested, plan: Plan) -> str:
    """Return who ordered the abort: a person, or the gate of a wave."""
    return event.by if event.wave is None else _say("by.gate", {"wave": plan.waves[event.wave].name})


def abort_text(event: ev.CampaignAbortRequested, plan: Plan) -> str:
    """Return why the campaign is aborted: what the person said, or what the gate found."""
    if event.halt is None:
        return event.reason
    return _say("evidence.abort", {"reason": halt_text(event.halt), "evidence": evidence_text(event, plan)})


def lookup_text(event: ev.BatchLookupInconclusive) -> str:
    """Return why a search settled nothing."""
    return event.message if event.reason is LookupReason.FAILED else _say(f"lookup.{event.reason.value}")


def parked_text(event: ev.BatchParked) -> str:
    """Return why the batch was parked."""
    return event.message or _parked(event.reason, event.jobs, event.doubts)


def batch_text(batch: BatchState) -> str:
    """Return why the batch has no job, or not just one; empty where all is well."""
    match batch.reason:
        case None:
            return ""
        case BatchReason.UNSENT | BatchReason.REFUSED | BatchReason.UNKNOWN:
            return batch.message
        case BatchReason.THROTTLED | BatchReason.DUPLICATED:
            return _say(f"batch.{batch.reason.value}")
        case BatchReason.WITNESSED | BatchReason.PARK_ASKED | BatchReason.TOO_OFTEN:
            return batch.message or _parked(batch.reason, batch.witnesses, batch.doubts)
        case _:
            assert_never(batch.reason)


def _parked(reason: BatchReason, jobs: tuple[str, ...], doubts: int) -> str:
    return _say(f"batch.{reason.value}", {"jobs": ", ".join(jobs), "doubts": doubts})


def state_reason(state: State) -> str:
    """Return why the campaign stands, in a few words; empty while nothing stops it."""
    match state.cause:
        case None:
            return ""
        case ev.CampaignPaused():
            return _say("stands.paused")
        case ev.CampaignHalted():
            return halt_text(state.cause.reason)
        case ev.CampaignAbortRequested():
            return _say("stands.aborted")
        case _:
            assert_never(state.cause)


def state_evidence(state: State) -> str:
    """Return what led to it: the person's words, or the numbers a rule went by; empty while nothing stops it."""
    match state.cause:
        case None:
            return ""
        case ev.CampaignPaused():
            return state.cause.reason
        case ev.CampaignHalted():
            return evidence_text(state.cause, state.plan)
        case ev.CampaignAbortRequested():
            return abort_text(state.cause, state.plan)
        case _:
            assert_never(state.cause)


def wave_evidence(state: State, wave: WaveState) -> str:
    """Return what the wave's gate went by when it was last told; empty before."""
    return "" if wave.gate_event is None else evidence_text(wave.gate_event, state.plan)


GateEvent = ev.GateHeld | ev.GateSatisfied | ev.GateUnsatisfied | ev.GatePassed


def evidence_text(
    event: GateEvent | ev.CampaignHalted | ev.CampaignStalled | ev.CampaignAbortRequested, plan: Plan
) -> str:
    """Return the numbers and names that led to the event, in words."""
    if event.evidence:
        return event.evidence
    match event:
        case ev.GateHeld() | ev.GatePassed():
            gate = None if event.overridden else plan.campaign.waves[event.wave].gate
            return "" if event.tally is None else gate_evidence(gate, event.tally)
        case ev.GateSatisfied() | ev.GateUnsatisfied():
            return (
                ""
                if event.tally is None
                else gate_evidence(plan.campaign.waves[event.wave].gate, event.tally)
            )
        case ev.CampaignHalted():
            return _halted(event, plan)
        case ev.CampaignStalled():
            cap = plan.campaign.limits.devices_in_progress or 0
            return _say("evidence.stalled", {"exposure": event.exposure, "cap": cap})
        case ev.CampaignAbortRequested():
            return "" if event.halt is None else _verdict(event.halt, event, plan)
        case _:
            assert_never(event)


def _halted(event: ev.CampaignHalted, plan: Plan) -> str:
    match event.reason:
        case HaltReason.STOP_RULE | HaltReason.OUT_OF_REACH | HaltReason.DEADLINE:
            return _verdict(event.reason, event, plan)
        case HaltReason.CREATE_REFUSED:
            data = {"code": event.code, "message": event.message, "request_id": event.request_id}
            return _say("evidence.create_refused", data)
        case HaltReason.FOREIGN_JOBS:
            return _say("evidence.foreign_jobs", {"names": ", ".join(event.names)})
        case HaltReason.BATCHES_PARKED | HaltReason.JOB_DUPLICATED | HaltReason.JOBS_MISSING:
            return _say(f"evidence.{event.reason.value}", {"number": event.number})
        case _:
            assert_never(event.reason)


def _verdict(reason: HaltReason, event: ev.CampaignHalted | ev.CampaignAbortRequested, plan: Plan) -> str:
    """Return what a gate went by when it failed."""
    if event.wave is None or event.tally is None:
        return ""
    gate = plan.campaign.waves[event.wave].gate
    if reason is HaltReason.STOP_RULE:
        stop = None if gate is None else gate.stop
        return "" if stop is None else stop_evidence(stop, event.tally)
    settled = "_settled" if reason is HaltReason.OUT_OF_REACH and event.settled else ""
    data = {"thresholds": gate_evidence(gate, event.tally)}
    return _say(f"evidence.{reason.value}{settled}", data)


def gate_text(gate: Gate | None) -> str:
    """Return what must hold before the next wave opens, in one sentence."""
    if gate is None:
        return _say("gate.none")
    parts = [
        _say(f"gate.{key}", {"share": _limit(threshold.min, threshold.of)})
        for key, threshold in (("resolved", gate.resolved), ("success", gate.success))
        if threshold is not None
    ]
    if gate.stop is not None:
        failed = gate.stop.failed
        limit = count(failed) if isinstance(failed, int) else _limit(failed, gate.stop.of)
        parts.append(_say("gate.stop", {"limit": limit}))
    if gate.soak_s:
        parts.append(_say("gate.soak", {"time": duration(gate.soak_s)}))
    if gate.deadline_s is not None:
        parts.append(_say("gate.deadline", {"time": duration(gate.deadline_s)}))
    if gate.approval:
        parts.append(_say("gate.approval"))
    return ", ".join(parts) or _say("gate.empty")


def _limit(share: Fraction, of: Denominator) -> str:
    return _say("gate.share", {"percent": percent(share), "of": of.value})


def _share(part: int, whole: int, of: Denominator) -> str:
    shown = percent(Tally.share(part, whole))
    return _say("evidence.share", {"part": part, "whole": whole, "of": of.value, "percent": shown})


def stop_evidence(rule: StopRule, tally: Tally) -> str:
    """Return the failures beside the limit of the stop rule they are above."""
    if isinstance(rule.failed, int):
        return _say("evidence.stop_count", {"failed": tally.failed, "limit": rule.failed})
    whole = tally.planned if rule.of is Denominator.PLANNED else tally.seen
    share = _share(tally.failed, whole, rule.of)
    return _say("evidence.stop_share", {"share": share, "limit": percent(rule.failed)})


def gate_evidence(gate: Gate | None, tally: Tally) -> str:
    """Return the measured values beside their thresholds and denominators."""
    if gate is None:
        return _say("evidence.no_gate", {"planned": tally.planned})
    parts = []
    for key, threshold, part in (
        ("resolved", gate.resolved, tally.resolved),
        ("succeeded", gate.success, tally.succeeded),
    ):
        if threshold is not None:
            share = _share(part, tally.of(threshold.of), threshold.of)
            parts.append(_say(f"evidence.{key}", {"share": share, "least": percent(threshold.min)}))
    if not parts:
        parts.append(_say("evidence.no_threshold", {"resolved": tally.resolved, "planned": tally.planned}))
    return "; ".join(parts)
