"""Criteria + tally + now → verdict: open, hold until, or halt; always with its evidence.

A gate is a conjunction: the stop rule is not met, the wave's jobs are all made, coverage and success
thresholds hold on a large enough sample, they have held for the soak, and a person agreed if asked to.
A failed part that can never hold again halts; one that may still come holds. *Cannot tell* (too few devices
resolved, thresholds of which nothing is known) is a hold, never an open.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from rollout.core.campaign import Denominator, Gate, StopRule, Threshold
from rollout.core.tally import Tally
from rollout.text import percent

__all__ = [
    "Halt",
    "Hold",
    "HoldReason",
    "Open",
    "Verdict",
    "judge",
    "stop_evidence",
    "thresholds_evidence",
    "thresholds_hold",
]


class HoldReason(StrEnum):
    """What a closed gate waits for."""

    CREATING = "jobs are being created"
    SAMPLE = "cannot tell: too few devices resolved"
    COVERAGE = "devices"
    SUCCESS = "success"
    SOAK = "soak"
    APPROVAL = "approval"
    AUDIT = "audit of the wave's jobs"
    STALE = "cannot tell: counts are old"


@dataclass(frozen=True, slots=True)
class Open:
    """The next wave may open."""

    evidence: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Not yet; may open by itself. `until` is the earliest time at which that can change by time alone."""

    reason: HoldReason
    evidence: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Halt:
    """The gate failed; only a person goes on from here."""

    reason: str
    evidence: str


Verdict = Open | Hold | Halt


def _told(name: str, part: int, whole: int, of: Denominator) -> str:
    return f"{name} {part:,} of {whole:,} {of.value} ({percent(Tally.share(part, whole))})"


def stop_evidence(rule: StopRule, tally: Tally) -> str | None:
    """Return why the stop rule is met, or None if it is not (or the sample is too small to say)."""
    if isinstance(rule.failed, int):
        if tally.failed > rule.failed:
            return f"failed {tally.failed:,} devices, stop above {rule.failed:,}"
        return None
    if tally.seen < rule.min_sample:
        return None
    whole = tally.planned if rule.of is Denominator.PLANNED else tally.seen
    if Tally.compare(tally.failed, whole, rule.failed) <= 0:
        return None
    return f"{_told('failed', tally.failed, whole, rule.of)}, stop above {percent(rule.failed)}"


def _met(threshold: Threshold | None, part: int, tally: Tally) -> bool:
    return threshold is None or Tally.compare(part, tally.of(threshold.of), threshold.min) >= 0


def thresholds_hold(gate: Gate, tally: Tally) -> bool:
    """Return whether coverage, success and sample all hold now."""
    judged = gate.success is not None or gate.resolved is not None
    return (
        (not judged or tally.resolved >= min(gate.min_sample, tally.planned))
        and _met(gate.resolved, tally.resolved, tally)
        and _met(gate.success, tally.succeeded, tally)
    )


def thresholds_evidence(gate: Gate, tally: Tally) -> str:
    """Return the measured values beside their thresholds and denominators."""
    told = []
    if gate.resolved is not None:
        of = gate.resolved.of
        told.append(
            f"{_told('resolved', tally.resolved, tally.of(of), of)}, at least {percent(gate.resolved.min)}"
        )
    if gate.success is not None:
        of = gate.success.of
        told.append(
            f"{_told('succeeded', tally.succeeded, tally.of(of), of)}, at least {percent(gate.success.min)}"
        )
    if not told:
        told.append(f"{tally.resolved:,} of {tally.planned:,} planned resolved, no threshold")
    return "; ".join(told)


def _out_of_reach(gate: Gate, tally: Tally, *, settled: bool) -> str | None:
    """Return why the thresholds can never hold any more, or None."""
    if settled:
        return None if thresholds_hold(gate, tally) else "no device is left that could change it"
    best = Tally(
        planned=tally.planned,
        succeeded=tally.planned - tally.failed_final,
        failed=tally.failed_final,
        failed_final=tally.failed_final,
    )
    if not _met(gate.success, best.succeeded, best):
        return "even if every open device succeeds"
    return None


def judge(
    gate: Gate | None,
    tally: Tally,
    *,
    created: bool,
    settled: bool,
    known: bool,
    seen_at: Callable[[], float],
    opened_at: float,
    satisfied_at: float | None,
    approved: bool,
    now: float,
) -> Verdict:
    """Return what the gate says now.

    Args:
        created: every batch of the wave has its job, or is parked.
        settled: no device of the wave can change any more.
        known: the number of devices is known; where EnOS picks them it is not until the tasks stopped appearing.
        seen_at: returns since when every device that can still change has been counted, in this life of the engine;
            asked only where the verdict hangs on it, since it looks at every group of the wave.
        opened_at: when the wave opened, or its clock was last restarted by a person.
        satisfied_at: since when the thresholds have held without a break; None if they do not.
        now: on the clock of the two times before, seconds.
    """
    if gate is None:
        evidence = f"{tally.planned:,} devices, no gate"
        return Open(evidence) if created else Hold(HoldReason.CREATING, evidence)
    if gate.stop is not None and (why := stop_evidence(gate.stop, tally)):
        return Halt("stop rule", why)
    ends = None if gate.deadline_s is None else opened_at + gate.deadline_s
    overdue = satisfied_at is None and ends is not None and now >= ends
    if not created and not overdue:
        # asked after every create of a large wave: nothing is told that nobody reads
        return Hold(HoldReason.CREATING, "", ends)
    evidence = thresholds_evidence(gate, tally)
    if created and known and (why := _out_of_reach(gate, tally, settled=settled)):
        return Halt("thresholds out of reach", f"{evidence}; {why}")
    if overdue and ends is not None:
        if seen_at() < ends:
            return Hold(HoldReason.STALE, evidence)
        return Halt("deadline", f"{evidence} when the deadline passed")
    if satisfied_at is None:
        if not known or tally.resolved < min(gate.min_sample, tally.planned):
            return Hold(HoldReason.SAMPLE, evidence, ends)
        waits = HoldReason.COVERAGE if not _met(gate.resolved, tally.resolved, tally) else HoldReason.SUCCESS
        return Hold(waits, evidence, ends)
    soaked_at = satisfied_at + gate.soak_s
    if now < soaked_at:
        return Hold(HoldReason.SOAK, evidence, soaked_at)
    if seen_at() < soaked_at:
        # numbers from before the soak's end, or from before a restart, open nothing
        return Hold(HoldReason.STALE, evidence)
    if gate.approval and not approved:
        return Hold(HoldReason.APPROVAL, evidence)
    return Open(evidence)
