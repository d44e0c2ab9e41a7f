"""What a study shows that the operator should know before he runs the plan, in plain words.

A plan *tolerates* the least share of failures that any of its gates accepts. A stop of a build that fails at half of
that or less is called false; a build that fails more often than any gate accepts, and passes the first, is called missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from rollout.core.campaign import Denominator, Gate, Scope
from rollout.core.plan import Plan
from rollout.forecast.figures import Share, chance_of_at_most
from rollout.forecast.run import NO_ROOM, Ending
from rollout.forecast.study import Rate, RateStudy, Study
from rollout.text import counted, duration, safe

__all__ = ["Advice", "advise", "percent_text", "rate_text", "share_text", "tolerance"]

MISSED_MIN = 0.05
"""Share of runs from which on a missed build is worth a line."""
SAMPLE_MAX = 20_000
"""Largest canary that is looked for, devices."""
TINY = 1e-9
"""A share that was read as a float may be this much too large."""
NEAR_LIMIT = 0.95
"""Share of the allowed calls of a minute from which on they are called used up."""


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to know. `kind` is for programs, `text` a sentence."""

    kind: str
    text: str


def rate_text(rate: Rate) -> str:
    """Return how a build is called: `healthy`, or `20%`."""
    return "healthy" if rate is None else percent_text(rate)


def percent_text(share: float) -> str:
    """Return `38%`, with decimals where a share is small: `0.4%`."""
    return f"{100 * share:.0f}%" if share >= 0.095 or share == 0 else f"{100 * share:.2g}%"


def share_text(share: Share) -> str:
    """Return a share with its interval: `38% (32-44%)`."""
    low, high = share.interval
    return f"{100 * share.value:.0f}% ({100 * low:.0f}-{100 * high:.0f}%)"


def tolerance(gate: Gate, devices: int) -> Fraction | None:
    """Return the largest share of failures a gate lets pass among `devices`; None if it does not judge failures."""
    limits = []
    if gate.success is not None:
        limits.append(1 - gate.success.min)
    if gate.stop is not None:
        failed = gate.stop.failed
        limits.append(Fraction(failed, max(1, devices)) if isinstance(failed, int) else failed)
    return min(limits, default=None)


def advise(plan: Plan, study: Study, *, approve_after_s: float, within_s: float) -> list[Advice]:
    """Return all there is to say, most important first."""
    accepted = _accepted(plan)
    found: list[Advice] = []
    if not accepted:
        told = f"no gate judges failures: nothing stops a build that fails everywhere before all {counted(plan.devices, 'device')} have it"
        found.append(Advice("noGate", told))
    for rates in study.by_rate:
        if rates.trials:
            found += _of_rate(plan, rates, min(accepted.values(), default=None), within_s)
    found += _missed(plan, study, accepted)
    found += _scopes(plan, study)
    found += _stopped_jobs(study)
    found += _sleepers(study)
    found += _reads(plan, study)
    if any(wave.gate is not None and wave.gate.approval for wave in plan.campaign.waves):
        told = f"approvals are assumed to come {duration(approve_after_s)} after a gate asks for them (--approve-after); a real gate waits as long as it takes"
        found.append(Advice("approvalAssumed", told))
    return found


def _accepted(plan: Plan) -> dict[int, Fraction]:
    """Return what each wave's gate tolerates, for those that judge failures."""
    found = {}
    for planned in plan.waves:
        gate = plan.campaign.waves[planned.index].gate
        limit = None if gate is None else tolerance(gate, planned.devices)
        if limit is not None:
            found[planned.index] = limit
    return found


def _of_rate(plan: Plan, rates: RateStudy, accepted: Fraction | None, within_s: float) -> Iterator[Advice]:
    build = _build(rates.rate)
    stopped = rates.share(Ending.STOPPED)
    fine = rates.rate is None or (accepted is not None and rates.rate <= float(accepted) / 2 + TINY)
    if stopped.hits and fine:
        wave, reason, _ = rates.stops[0]
        told = f"{build} is stopped in {share_text(stopped)} of runs"
        if rates.rate is not None and accepted is not None:
            told += f", although the plan tolerates {percent_text(float(accepted))}"
        yield Advice("falseStop", f"{told}: {_why(plan, wave, reason)}")
    waiting = rates.share(Ending.WAITING)
    if waiting.hits:
        hold = next(trial.hold for trial in rates.ended(Ending.WAITING))
        told = f"{build}: {share_text(waiting)} of runs do not end within {duration(within_s)}"
        if hold == NO_ROOM:
            cap = plan.campaign.limits.devices_in_progress
            why = f"devices that never report fill devicesInProgress ({cap:,}), and no further job has room"
        else:
            why = f"a gate waits for {hold or 'what never comes'}, and has no deadline"
        yield Advice("neverEnds", f"{told}: {why}")


def _why(plan: Plan, wave: int | None, reason: str) -> str:
    if wave is None:
        return reason
    name, gate = safe(plan.waves[wave].name), plan.campaign.waves[wave].gate
    if gate is None:
        return f"{reason} of wave {name}"
    stop = gate.stop
    if reason == "stop rule" and stop is not None and not isinstance(stop.failed, int):
        if stop.of is Denominator.PLANNED:
            return f"the stop rule of wave {name} ({percent_text(float(stop.failed))} of planned)"
        return (
            f"the stop rule of wave {name} judges from {counted(stop.min_sample, 'early device')} on, and failing devices "
            "come to an end first: raise minSample, or judge of: planned"
        )
    if reason == "thresholds out of reach":
        devices = plan.waves[wave].devices
        limit = tolerance(gate, devices)
        allowed = (
            ""
            if limit is None or not devices
            else f", where {floor(limit * devices):,} of {devices:,} may fail"
        )
        return f"wave {name} cannot reach its success threshold any more{allowed}"
    if reason == "deadline" and gate.deadline_s is not None:
        return f"wave {name} is not through after its deadline of {duration(gate.deadline_s)}"
    return f"{reason} of wave {name}"


def _missed(plan: Plan, study: Study, accepted: dict[int, Fraction]) -> Iterator[Advice]:
    """Tell of the first gate that judges failures, and of each build that it should not have passed and did."""
    first = min(accepted, default=None)
    if first is None:
        return
    wave, limit = plan.waves[first], accepted[first]
    # what a later gate would let pass need not be caught by the first
    worst = float(max(accepted.values()))
    for rates in study.by_rate:
        if rates.rate is None or rates.rate <= worst + TINY:
            continue
        passed = rates.passed(first)
        if passed.runs and passed.value >= MISSED_MIN:
            told = f"wave {safe(wave.name)} of {counted(wave.devices, 'device')} passes a {rate_text(rates.rate)} build in {share_text(passed)} of runs"
            needed = _sample_for(limit, rates.rate)
            if needed is not None and needed > wave.devices:
                told += f"; {needed:,} would miss it in 5%"
            yield Advice("missedBuild", told)


def _sample_for(limit: Fraction, rate: float) -> int | None:
    """Return how many devices it takes to pass a build at `rate` in one case of twenty at most."""
    devices = 1
    while devices <= SAMPLE_MAX:
        if chance_of_at_most(floor(limit * devices), devices, rate) <= MISSED_MIN:
            return devices
        devices += max(1, devices // 50)
    return None


def _scopes(plan: Plan, study: Study) -> Iterator[Advice]:
    trials = [trial for rates in study.by_rate for trial in rates.trials]
    scoped = [w.name for w in plan.campaign.waves if isinstance(w.size, Scope)]
    if scoped and trials and all(trial.planned <= plan.devices for trial in trials):
        names = ", ".join(safe(name) for name in scoped)
        told = f"no device of this fleet is in the scope EnOS picks from ({names}): describe them with --fleet, devices: and columns:"
        yield Advice("emptyScope", told)


def _stopped_jobs(study: Study) -> Iterator[Advice]:
    worst = max(
        (
            (
                trial.later.reached - trial.stop.toll.reached,
                trial.later.failed - trial.stop.toll.failed,
                rates.rate,
            )
            for rates in study.by_rate
            for trial in rates.trials
            if trial.stop
        ),
        key=lambda found: found[:2],
        default=(0, 0, None),
    )
    more, fail, rate = worst
    if more or fail:
        reached = (
            f"get the {rate_text(rate)} build and {fail:,} more fail"
            if more
            else f"fail of those that have the {rate_text(rate)} build"
        )
        told = f"jobs that exist go on in EnOS after a stop: up to {counted(more or fail, 'device')} more {reached}, unless `rollout abort --stop-jobs --cancel-pending` follows"
        yield Advice("jobsGoOn", told)


def _sleepers(study: Study) -> Iterator[Advice]:
    rates = next((rates for rates in study.by_rate if rates.ended(Ending.FINISHED)), None)
    if rates is None:
        return
    wake = rates.middle(
        lambda t: t.later.succeeded + t.later.failed - t.ended.succeeded - t.ended.failed, Ending.FINISHED
    )
    if wake is not None and wake.most:
        told = f"{counted(round(wake.most), 'device')} or fewer wake up and upgrade after the campaign has ended, when no gate watches"
        yield Advice("sleepers", told)


def _reads(plan: Plan, study: Study) -> Iterator[Advice]:
    allowed = plan.campaign.limits.read.rate * 60
    peak = max((trial.reads_peak for rates in study.by_rate for trial in rates.trials), default=0)
    if peak >= NEAR_LIMIT * allowed:
        yield Advice(
            "readsAtLimit",
            f"reads reach their limit of {allowed:,.0f} a minute (limits.read): counts, and stops, come late",
        )


def _build(rate: Rate) -> str:
    return "a healthy build" if rate is None else f"a {rate_text(rate)} build"
