"""Warnings about a plan: what the runs of a study show that the operator should know before running it.

Three terms. A gate *tolerates* a failure ratio if it can still pass with it. A *false stop* is the stop of a build that
fails at half of the lowest tolerated ratio or less. A *missed build* fails more often than any gate tolerates and
still passes the first gate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from rollout.core.campaign import Denominator, Gate, Scope
from rollout.core.plan import Plan
from rollout.core.reasons import HaltReason, HoldReason
from rollout.forecast.figures import Proportion, chance_of_at_most
from rollout.forecast.run import NO_ROOM, RunEnding
from rollout.forecast.study import Rate, RateStudy, Study
from rollout.text import counted, duration, safe
from rollout.views.words import halt_text, hold_text

MISSED_MIN = 0.05
"""A missed build is told if at least this proportion of the runs missed it. Ours."""
SAMPLE_MAX = 20_000
"""Largest canary that is tried as a proposal. Devices. Ours."""
TINY = 1e-9
"""Rounding error allowed when a float is compared with a fraction."""
NEAR_LIMIT = 0.95
"""The read limit counts as reached from this share of the calls allowed in a minute. Ours."""


@dataclass(frozen=True, slots=True)
class PlanWarning:
    """One warning. `kind`: stable code for programs; `text`: one sentence for people."""

    kind: str
    text: str


def build_label(rate: Rate) -> str:
    """Return the name of a build with this failure rate: `healthy` for None, else `20%`."""
    return "healthy" if rate is None else percent_text(rate)


def percent_text(share: float) -> str:
    """Return a share of 0 to 1 as `38%`; two significant digits below 10 %: `0.42%`."""
    return f"{100 * share:.0f}%" if share >= 0.095 or share == 0 else f"{100 * share:.2g}%"


def proportion_text(share: Proportion) -> str:
    """Return a proportion with its 95 % interval: `38% (32-44%)`."""
    low, high = share.interval
    return f"{100 * share.value:.0f}% ({100 * low:.0f}-{100 * high:.0f}%)"


def tolerance(gate: Gate, devices: int) -> Fraction | None:
    """Return the largest failure ratio with which a gate can pass.

    Args:
        devices: devices of the wave; turns a number of failures into a ratio.
    Returns: 0 to 1; None if the gate does not judge failures.
    """
    limits = []
    if gate.success is not None:
        limits.append(1 - gate.success.min)
    if gate.stop is not None:
        failed = gate.stop.failed
        limits.append(Fraction(failed, max(1, devices)) if isinstance(failed, int) else failed)
    return min(limits, default=None)


def plan_warnings(plan: Plan, study: Study, *, approve_after_s: float, within_s: float) -> list[PlanWarning]:
    """Return all warnings, the most important first.

    Args:
        approve_after_s, within_s: the assumptions of the study, as in `ForecastSetup`; they stand in the sentences.
    """
    accepted = _accepted(plan)
    found: list[PlanWarning] = []
    if not accepted:
        text = f"no gate judges failures: nothing stops a build that fails everywhere before all {counted(plan.devices, 'device')} have it"
        found.append(PlanWarning("noGate", text))
    for rates in study.by_rate:
        if rates.runs:
            found += _of_rate(plan, rates, min(accepted.values(), default=None), within_s)
    found += _missed(plan, study, accepted)
    found += _scopes(plan, study)
    found += _stopped_jobs(study)
    found += _sleepers(study)
    found += _reads(plan, study)
    if any(wave.gate is not None and wave.gate.approval for wave in plan.campaign.waves):
        text = f"approvals are assumed to come {duration(approve_after_s)} after a gate asks for them (--approve-after); a real gate waits as long as it takes"
        found.append(PlanWarning("approvalAssumed", text))
    return found


def _accepted(plan: Plan) -> dict[int, Fraction]:
    """Return the tolerated failure ratio by wave index; waves without a gate that judges failures are left out."""
    found = {}
    for planned in plan.waves:
        gate = plan.campaign.waves[planned.index].gate
        limit = None if gate is None else tolerance(gate, planned.devices)
        if limit is not None:
            found[planned.index] = limit
    return found


def _of_rate(
    plan: Plan, rates: RateStudy, accepted: Fraction | None, within_s: float
) -> Iterator[PlanWarning]:
    build = _build(rates.rate)
    stopped = rates.share(RunEnding.STOPPED)
    fine = rates.rate is None or (accepted is not None and rates.rate <= float(accepted) / 2 + TINY)
    if stopped.hits and fine:
        wave, reason, _ = rates.stops[0]
        text = f"{build} is stopped in {proportion_text(stopped)} of runs"
        if rates.rate is not None and accepted is not None:
            text += f", although the plan tolerates {percent_text(float(accepted))}"
        yield PlanWarning("falseStop", f"{text}: {_why(plan, wave, reason)}")
    waiting = rates.share(RunEnding.WAITING)
    if waiting.hits:
        hold = next(run.hold for run in rates.ended(RunEnding.WAITING))
        text = f"{build}: {proportion_text(waiting)} of runs do not end within {duration(within_s)}"
        if hold == NO_ROOM:
            cap = plan.campaign.limits.devices_in_progress
            why = f"devices that never report fill devicesInProgress ({cap:,}), and no further job has room"
        else:
            why = f"a gate waits for {hold_text(HoldReason(hold)) if hold else 'what never comes'}, and has no deadline"
        yield PlanWarning("neverEnds", f"{text}: {why}")


def _why(plan: Plan, wave: int | None, reason: HaltReason) -> str:
    if wave is None:
        return halt_text(reason)
    name, gate = safe(plan.waves[wave].name), plan.campaign.waves[wave].gate
    if gate is None:
        return f"{halt_text(reason)} of wave {name}"
    stop = gate.stop
    if reason is HaltReason.STOP_RULE and stop is not None and not isinstance(stop.failed, int):
        if stop.of is Denominator.PLANNED:
            return f"the stop rule of wave {name} ({percent_text(float(stop.failed))} of planned)"
        return (
            f"the stop rule of wave {name} judges from {counted(stop.min_sample, 'early device')} on, and failing devices "
            "come to an end first: raise minSample, or judge of: planned"
        )
    if reason is HaltReason.OUT_OF_REACH:
        devices = plan.waves[wave].devices
        limit = tolerance(gate, devices)
        allowed = (
            ""
            if limit is None or not devices
            else f", where {floor(limit * devices):,} of {devices:,} may fail"
        )
        return f"wave {name} cannot reach its success threshold any more{allowed}"
    if reason is HaltReason.DEADLINE and gate.deadline_s is not None:
        return f"wave {name} is not through after its deadline of {duration(gate.deadline_s)}"
    return f"{halt_text(reason)} of wave {name}"


def _missed(plan: Plan, study: Study, accepted: dict[int, Fraction]) -> Iterator[PlanWarning]:
    """Yield a warning for each build that the first gate that judges failures should have stopped and passed."""
    first = min(accepted, default=None)
    if first is None:
        return
    wave, limit = plan.waves[first], accepted[first]
    # the first gate need not catch a build that a later gate would pass
    worst = float(max(accepted.values()))
    for rates in study.by_rate:
        if rates.rate is None or rates.rate <= worst + TINY:
            continue
        passed = rates.passed(first)
        if passed.of and passed.value >= MISSED_MIN:
            text = f"wave {safe(wave.name)} of {counted(wave.devices, 'device')} passes a {build_label(rates.rate)} build in {proportion_text(passed)} of runs"
            needed = _sample_for(limit, rates.rate)
            if needed is not None and needed > wave.devices:
                text += f"; {needed:,} would miss it in 5%"
            yield PlanWarning("missedBuild", text)


def _sample_for(limit: Fraction, rate: float) -> int | None:
    """Return the canary size with which a build at `rate` passes in at most 5 % of cases; None above `SAMPLE_MAX`."""
    devices = 1
    while devices <= SAMPLE_MAX:
        if chance_of_at_most(floor(limit * devices), devices, rate) <= MISSED_MIN:
            return devices
        devices += max(1, devices // 50)
    return None


def _scopes(plan: Plan, study: Study) -> Iterator[PlanWarning]:
    runs = [run for rates in study.by_rate for run in rates.runs]
    scoped = [w.name for w in plan.campaign.waves if isinstance(w.size, Scope)]
    if scoped and runs and all(run.planned <= plan.devices for run in runs):
        names = ", ".join(safe(name) for name in scoped)
        text = f"no device of this fleet is in the scope EnOS picks from ({names}): describe them with --fleet, devices: and columns:"
        yield PlanWarning("emptyScope", text)


def _stopped_jobs(study: Study) -> Iterator[PlanWarning]:
    worst = max(
        (
            (
                run.later.reached - run.stop.counts.reached,
                run.later.failed - run.stop.counts.failed,
                rates.rate,
            )
            for rates in study.by_rate
            for run in rates.runs
            if run.stop
        ),
        key=lambda found: found[:2],
        default=(0, 0, None),
    )
    more, fail, rate = worst
    if more or fail:
        reached = (
            f"get the {build_label(rate)} build and {fail:,} more fail"
            if more
            else f"fail of those that have the {build_label(rate)} build"
        )
        text = f"jobs that exist go on in EnOS after a stop: up to {counted(more or fail, 'device')} more {reached}, unless `rollout abort --stop-jobs --cancel-pending` follows"
        yield PlanWarning("jobsGoOn", text)


def _sleepers(study: Study) -> Iterator[PlanWarning]:
    rates = next((rates for rates in study.by_rate if rates.ended(RunEnding.FINISHED)), None)
    if rates is None:
        return
    wake = rates.quantiles(
        lambda t: t.later.succeeded + t.later.failed - t.ended.succeeded - t.ended.failed, RunEnding.FINISHED
    )
    if wake is not None and wake.maximum:
        text = f"{counted(round(wake.maximum), 'device')} or fewer wake up and upgrade after the campaign has ended, when no gate watches"
        yield PlanWarning("sleepers", text)


def _reads(plan: Plan, study: Study) -> Iterator[PlanWarning]:
    allowed = plan.campaign.limits.read.rate * 60
    peak = max((run.reads_peak for rates in study.by_rate for run in rates.runs), default=0)
    if peak >= NEAR_LIMIT * allowed:
        yield PlanWarning(
            "readsAtLimit",
            f"reads reach their limit of {allowed:,.0f} a minute (limits.read): counts, and stops, come late",
        )


def _build(rate: Rate) -> str:
    return "a healthy build" if rate is None else f"a {build_label(rate)} build"
