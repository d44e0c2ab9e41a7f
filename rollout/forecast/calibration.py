"""Calibration: what a campaign did, beside what the simulation predicts for it. `rollout simulate --against` prints it.

The journal of a campaign that is over shows how its fleet behaved. From its counts the fleet is estimated: failure
ratio, time at work and its spread, devices offline and devices asleep. The plan is then simulated with that fleet.

How the fleet is estimated:

* Mean time at work: the number of devices in progress, integrated over time, divided by the number of devices that
  ended. This holds at any concurrency. Source: J. D. C. Little, A proof for the queuing formula L = λW, 1961.
* Spread: the first devices of a job start together. Between the moments when a quarter and three quarters of them
  have ended lie 1.35 standard deviations on a logarithmic scale.
* Offline devices: devices that wait although their job has free slots.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import exp, log
from typing import Any

from rollout.core import events as ev
from rollout.core.fold import fold
from rollout.core.lifecycle import CampaignStatus
from rollout.core.plan import Plan
from rollout.core.reasons import HoldReason
from rollout.core.state import State
from rollout.emulator.platform.population import Population
from rollout.forecast.figures import Proportion, quantile
from rollout.forecast.plan_warnings import proportion_text
from rollout.forecast.report import WAVE_NAME_WIDTH, short_duration, utc_minute
from rollout.forecast.run import OutcomeCounts, RunEnding, WaveTimes
from rollout.forecast.study import RateStudy, failed
from rollout.text import clipped, counted, duration, iso_utc, safe

CALIBRATION_SCHEMA_VERSION = 1
QUARTILES_APART = 1.349
"""Standard deviations between the quartiles of a normal distribution."""
COHORT_MIN = 8
"""Fewest devices that must have started together for an estimate of the spread. Ours."""
FREE_SLOTS = 0.9
"""A job has free slots if fewer than this share of its slots are in use. Ours."""
SPREAD_BOUNDS = (0.05, 2.0)
"""Least and largest spread that is estimated. Standard deviations of the logarithm. Ours."""


class NotOver(Exception):
    """The campaign is not over, so there is nothing to compare with."""


@dataclass(frozen=True, slots=True)
class Actual:
    """What the journal of a campaign tells.

    `start`: seconds since the epoch. `took_s`: seconds from the start to the end or the stop. `failures`: failed devices
    among those that ended. `population`: the estimated fleet. `approve_after_s`: mean wait for an approval.
    `latest_effect_s` (L), `search_lag_s` (S): what the engine relied on. `remarks`: sentences on what a simulation
    does not repeat.
    """

    plan: Plan
    start: float
    took_s: float
    ending: str
    waves: tuple[WaveTimes, ...]
    counts: OutcomeCounts
    failures: Proportion
    population: Population
    approve_after_s: float
    latest_effect_s: float
    search_lag_s: float
    remarks: tuple[str, ...]


@dataclass(slots=True)
class _Group:
    """The counts of one group of jobs.

    `slots`: devices that may be in progress at once. `made_at`: when the newest job was made. `counts`: time, tasks,
    devices at work, devices ended.
    """

    slots: int = 0
    made_at: float = 0.0
    counts: list[tuple[float, int, int, int]] = field(default_factory=list)


def read_actual(plan: Plan, events: Iterable[ev.Event]) -> Actual:
    """Return what the events of a campaign tell.

    Args:
        events: the whole journal, in order.
    Raises: NotOver if the campaign has neither ended nor been halted.
    """
    state = State.initial(plan)
    waves = [WaveTimes() for _ in plan.waves]
    groups: dict[int, _Group] = {}
    asked_at: dict[int, float] = {}
    waits: list[float] = []
    pauses = 0
    stopped_at: float | None = None
    for event in events:
        fold(state, event)
        at_s = event.at - state.started_at
        match event:
            case ev.WaveOpened():
                waves[event.wave] = WaveTimes(at_s)
            case ev.GatePassed():
                waves[event.wave] = waves[event.wave]._replace(passed_s=at_s)
            case ev.WaveFinished():
                waves[event.wave] = waves[event.wave]._replace(finished_s=at_s)
            case ev.TasksCounted():
                group, group_state = groups.setdefault(event.group, _Group()), state.groups[event.group]
                group.slots, group.made_at = group_state.jobs_exposure, group_state.grown_at
                ended = event.succeeded + event.failed
                group.counts.append((event.at, event.enrolled, event.in_progress, ended))
            case ev.GateHeld(reason=HoldReason.APPROVAL):
                asked_at[event.wave] = event.at
            case ev.ApprovalGiven() if event.wave in asked_at:
                waits.append(event.at - asked_at.pop(event.wave))
            case ev.CampaignPaused():
                pauses += 1
            case ev.CampaignHalted() | ev.CampaignAbortRequested() if stopped_at is None:
                stopped_at = event.at
            case _:
                continue
    if not state.closed and state.status is not CampaignStatus.HALTED:
        raise NotOver(f"the campaign is {state.status.value}")
    ended_at = stopped_at or state.ended_at or state.last_at
    tally = state.tally()
    failures = Proportion(tally.failed, tally.seen)
    remarks = []
    if pauses:
        remarks.append(f"it was paused {counted(pauses, 'time')}, which no simulation does")
    if state.lives > 1:
        remarks.append(f"it took {state.lives} runs; the time between them counts as the campaign's")
    return Actual(
        plan,
        state.started_at,
        ended_at - state.started_at,
        RunEnding.FINISHED if stopped_at is None else RunEnding.STOPPED,
        tuple(waves),
        OutcomeCounts(tally.in_progress + tally.seen, tally.succeeded, tally.failed, tally.in_progress, 0),
        failures,
        _population(list(groups.values()), failures.value, over=stopped_at is None),
        sum(waits) / len(waits) if waits else 0.0,
        state.latest_effect_s,
        state.search_lag_s,
        tuple(remarks),
    )


def _population(groups: Sequence[_Group], failed_ratio: float, *, over: bool) -> Population:
    """Return the estimated fleet; where the counts tell nothing, the value of the standard fleet.

    Args:
        over: the campaign ran to its end, so a device that is still open was asleep.
    """
    base = Population()
    enrolled = sum(group.counts[-1][1] for group in groups)
    ended = sum(group.counts[-1][3] for group in groups)
    sigma = _spread(groups, base.work_s_sigma)
    work_s = base.work_s_median
    if ended:
        at_work_s = sum(_integral(group) for group in groups) / ended
        # a failing device ends half-way, on average
        mean_s = max(1.0, at_work_s - sum(base.first_report_s) / 2) / (1 - failed_ratio / 2)
        work_s = mean_s / exp(sigma * sigma / 2)
    away = sum(_away(group) for group in groups)
    # a device that is still open at the end was asleep all the time
    asleep = enrolled - ended if over else 0
    back = [after for group in groups for after in _returns(group)]
    awake = max(1, enrolled - asleep)
    return Population(
        failed_ratio=failed_ratio,
        work_s_median=work_s,
        work_s_sigma=sigma,
        sleeper_ratio=asleep / enrolled if enrolled else 0.0,
        offline_ratio=min(1.0, max(0, away - asleep) / awake) if back else 0.0,
        offline_s=(min(back), max(back)) if back else base.offline_s,
    )


def _integral(group: _Group) -> float:
    """Return the time at work, summed over the devices of the group. Seconds."""
    before_at, before = group.made_at, 0
    total = 0.0
    for at, _, at_work, _ in group.counts:
        total += (at - before_at) * (at_work + before) / 2 if before else 0.0
        # devices that the first count sees at work have been at work since the job was made
        total += (at - before_at) * at_work if not before and at_work else 0.0
        before_at, before = at, at_work
    return total


def _spread(groups: Sequence[_Group], otherwise: float) -> float:
    found = []
    for group in groups:
        together = max((at_work + ended for _, _, at_work, ended in group.counts[:2]), default=0)
        if together < COHORT_MIN:
            continue
        early, late = (_ended_after_s(group, share * together) for share in (0.25, 0.75))
        if early is not None and late is not None and 0 < early < late:
            found.append(log(late / early) / QUARTILES_APART)
    spread = quantile(found, 0.5)
    return otherwise if spread is None else min(SPREAD_BOUNDS[1], max(SPREAD_BOUNDS[0], spread))


def _ended_after_s(group: _Group, wanted: float) -> float | None:
    """Return the seconds from the making of the job until `wanted` devices had ended, interpolated; None if never."""
    before_at, before = 0.0, 0
    for at, _, _, ended in group.counts:
        after = at - group.made_at
        if ended >= wanted:
            return before_at + (after - before_at) * (wanted - before) / max(1, ended - before)
        before_at, before = after, ended
    return None


def _idle(group: _Group) -> Iterator[tuple[float, int]]:
    """Yield, for each count with free slots, the seconds since the job was made and the number of waiting devices."""
    for at, enrolled, at_work, ended in group.counts:
        if at_work < FREE_SLOTS * min(group.slots, enrolled - ended):
            yield at - group.made_at, enrolled - at_work - ended


def _away(group: _Group) -> int:
    return max((idle for _, idle in _idle(group)), default=0)


def _returns(group: _Group) -> Iterator[float]:
    """Yield, for each device that came back, the seconds since the job was made."""
    idle = list(_idle(group))
    for (_, before), (after_s, now) in itertools.pairwise(idle):
        yield from [after_s] * max(0, before - now)


@dataclass(frozen=True, slots=True)
class Calibration:
    """A campaign beside the simulated runs of its plan. `asked`: number of runs wanted."""

    actual: Actual
    simulated: RateStudy
    asked: int

    def lines(self) -> Iterator[str]:
        """Yield the lines of the page."""
        actual, fleet = self.actual, self.actual.population
        plan = actual.plan
        yield (
            f"Campaign   {plan.campaign.id} · {counted(plan.devices, 'device')} in {counted(len(plan.waves), 'wave')} · "
            f"{actual.ending} after {short_duration(actual.took_s)} · from {utc_minute(actual.start)}"
        )
        low, high = actual.failures.interval
        yield (
            f"Estimated  {100 * actual.failures.value:.2g}% ({100 * low:.2g}-{100 * high:.2g}%) of {actual.failures.of:,} devices failed; "
            f"at work {duration(fleet.work_s_median)} median, spread {fleet.work_s_sigma:.2f}; "
            f"{100 * fleet.offline_ratio:.2g}% away, {100 * fleet.sleeper_ratio:.2g}% asleep"
        )
        done = "" if len(self.simulated.runs) == self.asked else f" (interrupted: of {self.asked:,})"
        yield (
            f"Simulated  {counted(len(self.simulated.runs), 'run')} of this plan against such a fleet{done}; "
            f"{proportion_text(self.alike)} {actual.ending} as it was"
        )
        yield ""
        yield f"{'':<26}  {'ACTUAL':>10}  {'PREDICTED':>10}  {'10%':>10}  {'90%':>10}  {'OFF BY':>7}"
        for row in self.rows():
            text = short_duration if row["unit"] == "s" else _number
            cells = [
                f"{'-' if row[name] is None else text(row[name]):>10}"
                for name in ("actual", "median", "p10", "p90")
            ]
            off = "" if row["offBy"] is None else f"{100 * row['offBy']:+.0f}%"
            yield f"{row['what']:<26}  {'  '.join(cells)}  {off:>7}".rstrip()
        for remark in actual.remarks:
            yield f"note: {remark}"

    @property
    def alike(self) -> Proportion:
        """The proportion of runs with the same ending as the campaign."""
        return self.simulated.share(self.actual.ending)

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of the comparison: name, unit, actual value, predicted quantiles, relative error of the median.

        Only runs with the same ending as the campaign predict: a stopped run tells nothing about the length of a
        finished campaign.
        """
        actual, plan = self.actual, self.actual.plan
        found = []
        runs = self.simulated.ended(actual.ending)
        steps: tuple[tuple[str, Callable[[WaveTimes], float | None]], ...] = (
            ("gate", lambda w: w.passed_s),
            ("through", lambda w: w.finished_s),
        )
        for planned in plan.waves:
            for step, of in steps:
                name = f"{clipped(safe(planned.name), WAVE_NAME_WIDTH)}: {step}"
                mine = _since(actual.waves[planned.index], of)
                theirs = [_since(run.waves[planned.index], of) for run in runs]
                found.append(_row(name, "s", mine, [value for value in theirs if value is not None]))
        found.append(_row("campaign", "s", actual.took_s, [run.took_s for run in runs]))
        reached = [(t.stop.counts if t.stop else t.ended).reached for t in runs]
        found.append(_row("devices exposed", "devices", actual.counts.reached, reached))
        found.append(_row("devices failed", "devices", actual.counts.failed, [failed(t) for t in runs]))
        return [row for row in found if row["actual"] is not None or row["median"] is not None]

    def document(self) -> dict[str, Any]:
        """Return the JSON document. Times are seconds, except `start`: milliseconds since the epoch."""
        actual, fleet = self.actual, self.actual.population
        low, high = actual.failures.interval
        low_alike, high_alike = self.alike.interval
        return {
            "schemaVersion": CALIBRATION_SCHEMA_VERSION,
            "campaignId": actual.plan.campaign.id,
            "planDigest": actual.plan.digest,
            "start": round(actual.start * 1000),
            "startIso": iso_utc(actual.start),
            "ending": actual.ending,
            "runsAsked": self.asked,
            "runsDone": len(self.simulated.runs),
            "endedAlike": {"runs": self.alike.hits, "low": round(low_alike, 6), "high": round(high_alike, 6)},
            "estimated": {
                "failedRatio": round(actual.failures.value, 6),
                "failedRatioLow": round(low, 6),
                "failedRatioHigh": round(high, 6),
                "devices": actual.failures.of,
                "workSecondsMedian": round(fleet.work_s_median, 3),
                "workSigma": round(fleet.work_s_sigma, 4),
                "awayRatio": round(fleet.offline_ratio, 6),
                "awaySeconds": [round(end, 3) for end in fleet.offline_s],
                "sleeperRatio": round(fleet.sleeper_ratio, 6),
                "approvalSeconds": round(actual.approve_after_s, 3),
            },
            "rows": self.rows(),
            "remarks": list(actual.remarks),
        }


def _since(wave: WaveTimes, of: Callable[[WaveTimes], float | None]) -> float | None:
    end = of(wave)
    return None if end is None or wave.opened_s is None else end - wave.opened_s


def _row(what: str, unit: str, actual: float | None, predicted: Sequence[float]) -> dict[str, Any]:
    median, low, high = (quantile(predicted, share) for share in (0.5, 0.1, 0.9))
    off = (median - actual) / actual if actual and median is not None else None

    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, 3)

    return {
        "what": what,
        "unit": unit,
        "actual": rounded(actual),
        "median": rounded(median),
        "p10": rounded(low),
        "p90": rounded(high),
        "offBy": None if off is None else round(off, 4),
    }


def _number(value: float) -> str:
    return f"{value:,.0f}"
