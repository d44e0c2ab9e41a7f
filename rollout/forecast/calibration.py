"""Predicted against actual: what a campaign's journal says of its fleet, and what simulation makes of that.

A forecast that was never compared with what happened deserves no trust. From the counts of a finished campaign its
fleet is estimated (share of failures, time at work and its spread, devices away and asleep), the plan is simulated
with that fleet, and the result stands beside what the journal tells.

How the fleet is estimated. Devices in progress, summed over time and divided by the devices that ended, give the mean
time at work, whatever the concurrency was (J. D. C. Little, 1961). The spread comes from the first devices of each job,
which begin together: between the moments when a quarter and three quarters of them have ended lie 1.35 of its
standard deviations on a logarithmic scale. A device that waits although its job has free slots is away.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import exp, log
from typing import Any

from rollout.core import events as ev
from rollout.core.fold import fold
from rollout.core.gate import HoldReason
from rollout.core.lifecycle import CampaignStatus
from rollout.core.plan import Plan
from rollout.core.state import State
from rollout.emulator.platform.population import Population
from rollout.forecast.advice import share_text
from rollout.forecast.figures import Share, quantile
from rollout.forecast.report import moment, short
from rollout.forecast.run import Ending, Toll, WaveTimes
from rollout.forecast.study import RateStudy, failed
from rollout.text import clipped, counted, duration, iso_utc, safe

__all__ = ["Actual", "Calibration", "NotOver", "read_actual"]

SCHEMA_VERSION = 1
QUARTILES_APART = 1.349
"""Standard deviations between the quartiles of a normal distribution."""
COHORT_MIN = 8
"""Devices that must have begun together for their spread to be looked at. Ours."""
FREE_SLOTS = 0.9
"""Below this share of the devices a job may have at work it is not concurrency that a device waits for."""
SPREAD = (0.05, 2.0)
"""Bounds of an estimated spread."""
WAVE_WIDTH = 16


class NotOver(Exception):
    """The campaign has not ended: there is nothing to compare with."""


@dataclass(frozen=True, slots=True)
class Actual:
    """What the journal tells. `failures` of the devices that ended; `remarks` on what no simulation repeats."""

    plan: Plan
    start: float
    took_s: float
    ending: str
    waves: tuple[WaveTimes, ...]
    toll: Toll
    failures: Share
    population: Population
    approve_after_s: float
    latest_effect_s: float
    search_lag_s: float
    remarks: tuple[str, ...]


@dataclass(slots=True)
class _Group:
    """The counts of jobs that were asked about together: time, tasks, at work, ended."""

    slots: int = 0
    made_at: float = 0.0
    counts: list[tuple[float, int, int, int]] = field(default_factory=list)


def read_actual(plan: Plan, events: Iterable[ev.Event]) -> Actual:
    """Return what the journal of a campaign that is over tells. Raises: NotOver."""
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
                group, told = groups.setdefault(event.group, _Group()), state.groups[event.group]
                group.slots, group.made_at = told.jobs_exposure, told.grown_at
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
    failures = Share(tally.failed, tally.seen)
    remarks = []
    if pauses:
        remarks.append(f"it was paused {counted(pauses, 'time')}, which no simulation does")
    if state.lives > 1:
        remarks.append(f"it took {state.lives} runs; the time between them counts as the campaign's")
    return Actual(
        plan,
        state.started_at,
        ended_at - state.started_at,
        Ending.FINISHED if stopped_at is None else Ending.STOPPED,
        tuple(waves),
        Toll(tally.in_progress + tally.seen, tally.succeeded, tally.failed, tally.in_progress, 0),
        failures,
        _population(list(groups.values()), failures.value, over=stopped_at is None),
        sum(waits) / len(waits) if waits else 0.0,
        state.latest_effect_s,
        state.search_lag_s,
        tuple(remarks),
    )


def _population(groups: Sequence[_Group], failed_ratio: float, *, over: bool) -> Population:
    """Return the fleet that such counts suggest; what they cannot tell is as in the standard fleet."""
    base = Population()
    enrolled = sum(group.counts[-1][1] for group in groups)
    ended = sum(group.counts[-1][3] for group in groups)
    sigma = _spread(groups, base.work_s_sigma)
    work_s = base.work_s_median
    if ended:
        at_work_s = sum(_integral(group) for group in groups) / ended
        # failing devices end somewhere on the way: half of it, on average
        mean_s = max(1.0, at_work_s - sum(base.first_report_s) / 2) / (1 - failed_ratio / 2)
        work_s = mean_s / exp(sigma * sigma / 2)
    away = sum(_away(group) for group in groups)
    # those still open when all is over have slept through it
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
    """Return the device-seconds at work."""
    before_at, before = group.made_at, 0
    total = 0.0
    for at, _, at_work, _ in group.counts:
        total += (at - before_at) * (at_work + before) / 2 if before else 0.0
        # from the first count on which they are seen at work, they have been since the job was made
        total += (at - before_at) * at_work if not before and at_work else 0.0
        before_at, before = at, at_work
    return total


def _spread(groups: Sequence[_Group], otherwise: float) -> float:
    found = []
    for group in groups:
        together = max((at_work + ended for _, _, at_work, ended in group.counts[:2]), default=0)
        if together < COHORT_MIN:
            continue
        early, late = (_reached(group, share * together) for share in (0.25, 0.75))
        if early is not None and late is not None and 0 < early < late:
            found.append(log(late / early) / QUARTILES_APART)
    spread = quantile(found, 0.5)
    return otherwise if spread is None else min(SPREAD[1], max(SPREAD[0], spread))


def _reached(group: _Group, wanted: float) -> float | None:
    """Return how long after the job was made so many devices had ended, between two counts by proportion."""
    before_at, before = 0.0, 0
    for at, _, _, ended in group.counts:
        after = at - group.made_at
        if ended >= wanted:
            return before_at + (after - before_at) * (wanted - before) / max(1, ended - before)
        before_at, before = after, ended
    return None


def _idle(group: _Group) -> Iterator[tuple[float, int]]:
    """Yield time and devices that wait although there is room for them."""
    for at, enrolled, at_work, ended in group.counts:
        if at_work < FREE_SLOTS * min(group.slots, enrolled - ended):
            yield at - group.made_at, enrolled - at_work - ended


def _away(group: _Group) -> int:
    return max((idle for _, idle in _idle(group)), default=0)


def _returns(group: _Group) -> Iterator[float]:
    """Yield after what time devices that were away came back, each once."""
    idle = list(_idle(group))
    for (_, before), (after_s, now) in itertools.pairwise(idle):
        yield from [after_s] * max(0, before - now)


@dataclass(frozen=True, slots=True)
class Calibration:
    """The campaign as it went, beside the runs that were simulated for it."""

    actual: Actual
    runs: RateStudy
    asked: int

    def lines(self) -> Iterator[str]:
        """Yield the page."""
        actual, fleet = self.actual, self.actual.population
        plan = actual.plan
        yield (
            f"Campaign   {plan.campaign.id} · {counted(plan.devices, 'device')} in {counted(len(plan.waves), 'wave')} · "
            f"{actual.ending} after {short(actual.took_s)} · from {moment(actual.start)}"
        )
        low, high = actual.failures.interval
        yield (
            f"Estimated  {100 * actual.failures.value:.2g}% ({100 * low:.2g}-{100 * high:.2g}%) of {actual.failures.runs:,} devices failed; "
            f"at work {duration(fleet.work_s_median)} median, spread {fleet.work_s_sigma:.2f}; "
            f"{100 * fleet.offline_ratio:.2g}% away, {100 * fleet.sleeper_ratio:.2g}% asleep"
        )
        done = "" if len(self.runs.trials) == self.asked else f" (interrupted: of {self.asked:,})"
        yield (
            f"Simulated  {counted(len(self.runs.trials), 'run')} of this plan against such a fleet{done}; "
            f"{share_text(self.alike)} {actual.ending} as it was"
        )
        yield ""
        yield f"{'':<26}  {'ACTUAL':>10}  {'PREDICTED':>10}  {'10%':>10}  {'90%':>10}  {'OFF BY':>7}"
        for row in self.rows():
            text = short if row["unit"] == "s" else _number
            cells = [
                f"{'-' if row[name] is None else text(row[name]):>10}"
                for name in ("actual", "median", "p10", "p90")
            ]
            off = "" if row["offBy"] is None else f"{100 * row['offBy']:+.0f}%"
            yield f"{row['what']:<26}  {'  '.join(cells)}  {off:>7}".rstrip()
        for remark in actual.remarks:
            yield f"note: {remark}"

    @property
    def alike(self) -> Share:
        """The share of runs that ended as the campaign did."""
        return self.runs.share(self.actual.ending)

    def rows(self) -> list[dict[str, Any]]:
        """Return what is compared: name, unit, the actual value, the predicted ones, and the error as a share.

        Predicted by the runs that ended as the campaign did: a stop has nothing to say about the length of a campaign
        that was finished.
        """
        actual, plan = self.actual, self.actual.plan
        found = []
        trials = self.runs.ended(actual.ending)
        steps: tuple[tuple[str, Callable[[WaveTimes], float | None]], ...] = (
            ("gate", lambda w: w.passed_s),
            ("through", lambda w: w.finished_s),
        )
        for planned in plan.waves:
            for step, of in steps:
                name = f"{clipped(safe(planned.name), WAVE_WIDTH)}: {step}"
                mine = _since(actual.waves[planned.index], of)
                theirs = [_since(trial.waves[planned.index], of) for trial in trials]
                found.append(_row(name, "s", mine, [value for value in theirs if value is not None]))
        found.append(_row("campaign", "s", actual.took_s, [trial.took_s for trial in trials]))
        reached = [(t.stop.toll if t.stop else t.ended).reached for t in trials]
        found.append(_row("devices exposed", "devices", actual.toll.reached, reached))
        found.append(_row("devices failed", "devices", actual.toll.failed, [failed(t) for t in trials]))
        return [row for row in found if row["actual"] is not None or row["median"] is not None]

    def document(self) -> dict[str, Any]:
        """Return the comparison as the content of a JSON document."""
        actual, fleet = self.actual, self.actual.population
        low, high = actual.failures.interval
        low_alike, high_alike = self.alike.interval
        return {
            "schemaVersion": SCHEMA_VERSION,
            "campaignId": actual.plan.campaign.id,
            "planDigest": actual.plan.digest,
            "start": round(actual.start * 1000),
            "startIso": iso_utc(actual.start),
            "ending": actual.ending,
            "runsAsked": self.asked,
            "runsDone": len(self.runs.trials),
            "endedAlike": {"runs": self.alike.hits, "low": round(low_alike, 6), "high": round(high_alike, 6)},
            "estimated": {
                "failedRatio": round(actual.failures.value, 6),
                "failedRatioLow": round(low, 6),
                "failedRatioHigh": round(high, 6),
                "devices": actual.failures.runs,
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
