"""What is known of a wave + now → verdict: open, hold until, or halt.

A gate is a conjunction: the stop rule is not met, the wave's jobs are all made, coverage and success
thresholds hold on a large enough sample, they have held for the soak, and a person agreed if asked to.
A failed part that can never hold again halts; one that may still come holds. *Cannot tell* (too few devices
resolved, thresholds of which nothing is known) is a hold, never an open. A wave that has passed is judged by its
stop rule alone.

A verdict is a code. The sentence people read is made of the code, the gate and the tally in `rollout.views.words`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from rollout.core.campaign import Denominator, Gate, StopRule, Threshold
from rollout.core.reasons import HaltReason, HoldReason
from rollout.core.tally import Tally


@dataclass(frozen=True, slots=True)
class Open:
    """The next wave may open."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Not yet; may open by itself. `until` is the earliest time at which that can change by time alone."""

    reason: HoldReason
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Halt:
    """The gate failed; only a person goes on from here. `settled`: no device was left that could change it."""

    reason: HaltReason
    settled: bool = False


Verdict = Open | Hold | Halt


class WaveKnowledge(NamedTuple):
    """What is known of a wave that was opened. Times are seconds on the clock of `now`.

    `gate`: None where the plan gave none, or a person lets the wave pass all the same.
    `passed`: the gate has opened before.
    `created`: every batch of the wave has its job, or is parked.
    `settled`: no device of the wave can change any more.
    `known`: the number of devices is known; where EnOS picks them it is not until the tasks stopped appearing.
    `seen_at`: returns since when every device that can still change has been counted, in this life of the engine;
    asked only where the verdict hangs on it, since it looks at every group of the wave.
    `opened_at`: when the wave opened, or its clock was last restarted by a person.
    `satisfied_at`: since when the thresholds have held without a break; None if they do not.
    `approved`: a person agreed.
    """

    gate: Gate | None
    tally: Tally
    passed: bool
    created: bool
    settled: bool
    known: bool
    seen_at: Callable[[], float]
    opened_at: float
    satisfied_at: float | None
    approved: bool


def stop_rule_met(rule: StopRule, tally: Tally) -> bool:
    """Return whether more devices failed than the rule allows; False while the sample is too small to say."""
    if isinstance(rule.failed, int):
        return tally.failed > rule.failed
    if tally.seen < rule.min_sample:
        return False
    whole = tally.planned if rule.of is Denominator.PLANNED else tally.seen
    return Tally.compare(tally.failed, whole, rule.failed) > 0


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


def _out_of_reach(gate: Gate, tally: Tally, *, settled: bool) -> bool:
    """Return whether the thresholds can never hold any more."""
    if settled:
        return not thresholds_hold(gate, tally)
    best = Tally(
        planned=tally.planned,
        succeeded=tally.planned - tally.failed_final,
        failed_final=tally.failed_final,
    )
    return not _met(gate.success, best.succeeded, best)


def is_satisfied(wave: WaveKnowledge) -> bool:
    """Return whether the thresholds of the wave's gate hold now; True without a gate."""
    return wave.gate is None or (wave.created and wave.known and thresholds_hold(wave.gate, wave.tally))


def judge(wave: WaveKnowledge, now: float) -> Verdict:
    """Return what the wave's gate says at `now`, seconds."""
    gate, tally = wave.gate, wave.tally
    if gate is None:
        return Open() if wave.created or wave.passed else Hold(HoldReason.CREATING)
    if gate.stop is not None and stop_rule_met(gate.stop, tally):
        return Halt(HaltReason.STOP_RULE)
    if wave.passed:
        return Open()
    ends = None if gate.deadline_s is None else wave.opened_at + gate.deadline_s
    overdue = wave.satisfied_at is None and ends is not None and now >= ends
    if not wave.created and not overdue:
        return Hold(HoldReason.CREATING, ends)
    if wave.created and wave.known and _out_of_reach(gate, tally, settled=wave.settled):
        return Halt(HaltReason.OUT_OF_REACH, settled=wave.settled)
    if overdue and ends is not None:
        return Hold(HoldReason.STALE) if wave.seen_at() < ends else Halt(HaltReason.DEADLINE)
    if wave.satisfied_at is None:
        if not wave.known or tally.resolved < min(gate.min_sample, tally.planned):
            return Hold(HoldReason.SAMPLE, ends)
        covered = _met(gate.resolved, tally.resolved, tally)
        return Hold(HoldReason.SUCCESS if covered else HoldReason.COVERAGE, ends)
    return _judge_soak(gate, wave, wave.satisfied_at + gate.soak_s, now)


def _judge_soak(gate: Gate, wave: WaveKnowledge, soaked_at: float, now: float) -> Verdict:
    """Return the verdict on a wave whose thresholds hold."""
    if now < soaked_at:
        return Hold(HoldReason.SOAK, soaked_at)
    if wave.seen_at() < soaked_at:
        # numbers from before the soak's end, or from before a restart, open nothing
        return Hold(HoldReason.STALE)
    if gate.approval and not wave.approved:
        return Hold(HoldReason.APPROVAL)
    return Open()
