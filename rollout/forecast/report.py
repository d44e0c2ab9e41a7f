"""The output of `rollout simulate`: a study as one page of text, or as a JSON document."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from textwrap import wrap
from typing import Any

from rollout.core.plan import Plan
from rollout.forecast.figures import Proportion
from rollout.forecast.plan_warnings import (
    PlanWarning,
    build_label,
    percent_text,
    plan_warnings,
    proportion_text,
)
from rollout.forecast.run import RunEnding, SimulatedRun, WaveTimes
from rollout.forecast.study import Quantiles, RateStudy, Study, exposed, failed
from rollout.text import clipped, counted, duration, iso_utc, safe
from rollout.views.words import halt_text

FORECAST_SCHEMA_VERSION = 1
WAVE_NAME_WIDTH = 16
WIDTH = 110
"""Columns that sentences are wrapped to."""


@dataclass(frozen=True, slots=True)
class StudyReport:
    """A study with the assumptions it was made under.

    `fleet`: the fleet in words, for people. `seeds`: runs at each rate. `start`: seconds since the epoch.
    `approve_after_s`, `within_s`: as in `ForecastSetup`.
    """

    plan: Plan
    study: Study
    fleet: str
    seeds: int
    start: float
    approve_after_s: float
    within_s: float

    @property
    def warnings(self) -> list[PlanWarning]:
        """What the operator should know before running the plan; the most important first."""
        return plan_warnings(
            self.plan, self.study, approve_after_s=self.approve_after_s, within_s=self.within_s
        )

    @property
    def shown(self) -> RateStudy | None:
        """The runs whose times and calls are shown: those of the first rate with a finished run; None if no run finished."""
        return next((rates for rates in self.study.by_rate if rates.ended(RunEnding.FINISHED)), None)

    # --- text -------------------------------------------------------------------------------------------------

    def lines(self) -> Iterator[str]:
        """Yield the lines of the page."""
        plan = self.plan
        jobs, waves = counted(len(plan.batches), "job"), counted(len(plan.waves), "wave")
        done = (
            ""
            if self.study.done == self.study.asked
            else f" · interrupted: {self.study.done:,} of {self.study.asked:,} done"
        )
        yield f"Simulated  {plan.campaign.id} · {counted(plan.devices, 'device')} in {waves}, {jobs} · from {utc_minute(self.start)}"
        yield f"Fleet      {self.fleet}"
        yield (
            f"Runs       {counted(self.seeds, 'seed')} at each of {counted(len(self.study.by_rate), 'failure rate')}, the real engine in "
            f"virtual time; shares with their 95% interval{done}"
        )
        yield ""
        yield from self._verdicts()
        if self.shown is not None:
            yield ""
            yield from self._finished_runs(self.shown)
        found = self.warnings
        if found:
            yield ""
            yield "Warnings"
            for one in found:
                yield from wrap(one.text, WIDTH, initial_indent="  - ", subsequent_indent="    ")

    def _verdicts(self) -> Iterator[str]:
        yield (
            f"{'BUILD':<8}  {'STOPPED':>13}  {'ENDS AFTER':>10} {'90%':>9}  {'EXPOSED':>9} {'90%':>9}  "
            f"{'FAILED':>7} {'90%':>7}  WHERE"
        )
        for rates in self.study.by_rate:
            if not rates.runs:
                yield f"{build_label(rates.rate):<8}  no run yet"
                continue
            took, out, bad = rates.quantiles(_took), rates.quantiles(exposed), rates.quantiles(failed)
            assert took is not None, "there is a run"
            assert out is not None, "there is a run"
            assert bad is not None, "there is a run"
            yield (
                f"{build_label(rates.rate):<8}  {proportion_text(rates.share(RunEnding.STOPPED)):>13}  "
                f"{short_duration(took.median):>10} {short_duration(took.p90):>9}  {out.median:>9,.0f} {out.p90:>9,.0f}  "
                f"{bad.median:>7,.0f} {bad.p90:>7,.0f}  {self._where(rates)}"
            ).rstrip()

    def _where(self, rates: RateStudy) -> str:
        parts = []
        for wave, reason, hits in rates.stops[:2]:
            name = "" if wave is None else f"{safe(self.plan.waves[wave].name)}: "
            parts.append(f"{name}{halt_text(reason)} {percent_text(hits / len(rates.runs))}")
        if rates.ended(RunEnding.WAITING):
            parts.append(f"still waiting {percent_text(rates.share(RunEnding.WAITING).value)}")
        return ", ".join(parts) or "-"

    def _finished_runs(self, rates: RateStudy) -> Iterator[str]:
        build = build_label(rates.rate)
        build = "a healthy build" if rates.rate is None else f"a {build} build"
        took = rates.quantiles(_took, RunEnding.FINISHED)
        assert took is not None, "one was finished"
        yield f"If it is {build}, as {proportion_text(rates.share(RunEnding.FINISHED))} of its runs went"
        yield f"  Finish     {utc_minute(self.start + took.median)} ({short_duration(took.median)}), in 9 of 10 runs by {utc_minute(self.start + took.p90)} ({short_duration(took.p90)})"
        for planned in self.plan.waves:
            opens = rates.times(planned.index, _opened)
            passes = rates.times(planned.index, _passed)
            if opens is not None:
                gate = (
                    ""
                    if passes is None
                    else f", gate passed {short_duration(passes.median)}, 90% by {short_duration(passes.p90)}"
                )
                name = clipped(safe(planned.name), WAVE_NAME_WIDTH)
                yield f"  {'Wave':<9}  {name:<{WAVE_NAME_WIDTH}}  opens {short_duration(opens.median)}{gate}"
        limits = self.plan.campaign.limits
        yield f"  Creates    {_calls(rates, lambda t: t.creates, lambda t: t.creates_peak, limits.create.rate)}"
        yield f"  Reads      {_calls(rates, lambda t: t.reads, lambda t: t.reads_peak, limits.read.rate)}"
        at_once = rates.quantiles(lambda t: t.at_once)
        assert at_once is not None, "there is a run"
        cap = limits.devices_in_progress
        allowed = "no cap" if cap is None else f"{cap:,} allowed"
        yield f"  At once    {counted(round(at_once.maximum), 'device')} at most, {allowed}"
        yield f"  Sleepers   {self._sleepers(rates)}"

    @staticmethod
    def _sleepers(rates: RateStudy) -> str:
        still_open = rates.quantiles(_open_at_end, RunEnding.FINISHED)
        never = rates.quantiles(_never_ended, RunEnding.FINISHED)
        assert still_open is not None, "one was finished"
        assert never is not None, "one was finished"
        if not still_open.maximum:
            return "none: every device has come to an end when the campaign does"
        return (
            f"{counted(round(still_open.median), 'device')} open at the end (90%: {still_open.p90:,.0f}), "
            f"{never.median:,.0f} of them for good"
        )

    # --- JSON -------------------------------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """Return the JSON document. Times are seconds after the start, except `start`: milliseconds since the epoch."""
        plan = self.plan
        return {
            "schemaVersion": FORECAST_SCHEMA_VERSION,
            "campaignId": plan.campaign.id,
            "planDigest": plan.digest,
            "devices": plan.devices,
            "jobs": len(plan.batches),
            "waves": [wave.name for wave in plan.waves],
            "fleet": self.fleet,
            "start": round(self.start * 1000),
            "startIso": iso_utc(self.start),
            "approveAfterSeconds": self.approve_after_s,
            "withinSeconds": self.within_s,
            "runsAsked": self.study.asked,
            "runsDone": self.study.done,
            "rates": [self._rate(rates) for rates in self.study.by_rate],
            "warnings": [{"kind": one.kind, "text": one.text} for one in self.warnings],
        }

    def _rate(self, rates: RateStudy) -> dict[str, Any]:
        limits = self.plan.campaign.limits

        def figures(
            of: Callable[[SimulatedRun], float], ending: str | None = None
        ) -> dict[str, float] | None:
            return _figures(rates.quantiles(of, ending))

        return {
            "rate": rates.rate,
            "label": build_label(rates.rate),
            "runs": len(rates.runs),
            **{
                ending.value: _proportion(rates.share(ending))
                for ending in (RunEnding.FINISHED, RunEnding.STOPPED, RunEnding.WAITING)
            },
            "stops": [
                {
                    "wave": None if wave is None else self.plan.waves[wave].name,
                    "reason": halt_text(reason),
                    "reasonCode": reason.value,
                    "runs": hits,
                }
                for wave, reason, hits in rates.stops
            ],
            "finishSeconds": figures(_took, RunEnding.FINISHED),
            "stopSeconds": figures(_took, RunEnding.STOPPED),
            "exposed": figures(exposed),
            "failed": figures(failed),
            "exposedLater": figures(lambda t: t.later.reached),
            "failedLater": figures(lambda t: t.later.failed),
            "openAtEnd": figures(_open_at_end, RunEnding.FINISHED),
            "neverEnded": figures(_never_ended, RunEnding.FINISHED),
            "stragglers": figures(lambda t: t.stragglers, RunEnding.FINISHED),
            "devicesAtOnce": figures(lambda t: t.at_once),
            "creates": {
                "total": figures(lambda t: t.creates),
                "minutePeak": figures(lambda t: t.creates_peak),
                "minuteAllowed": limits.create.rate * 60,
            },
            "reads": {
                "total": figures(lambda t: t.reads),
                "minutePeak": figures(lambda t: t.reads_peak),
                "minuteAllowed": limits.read.rate * 60,
            },
            "waves": [
                {
                    "name": wave.name,
                    "passed": _proportion(rates.passed(wave.index)),
                    "openedSeconds": _figures(rates.times(wave.index, _opened)),
                    "passedSeconds": _figures(rates.times(wave.index, _passed)),
                    "finishedSeconds": _figures(rates.times(wave.index, lambda times: times.finished_s)),
                }
                for wave in self.plan.waves
            ],
        }


def utc_minute(at: float) -> str:
    """Return epoch seconds as `Thu 2026-01-01 04:13 UTC`; no local time, so that the output is the same on every machine."""
    return datetime.fromtimestamp(at, UTC).strftime("%a %Y-%m-%d %H:%M UTC")


def short_duration(seconds: float) -> str:
    """Return a length of time for a column: `49s`, `3h12m`, from a day on without minutes: `2d 04h`."""
    if seconds >= 86_400:
        days, hours = divmod(round(seconds / 3600), 24)
        return f"{days}d {hours:02}h"
    return duration(seconds)


def _took(run: SimulatedRun) -> float:
    return run.took_s


def _opened(times: WaveTimes) -> float | None:
    return times.opened_s


def _passed(times: WaveTimes) -> float | None:
    return times.passed_s


def _open_at_end(run: SimulatedRun) -> int:
    return run.ended.waiting + run.ended.at_work


def _never_ended(run: SimulatedRun) -> int:
    return run.later.waiting + run.later.at_work


def _calls(
    rates: RateStudy, total: Callable[[SimulatedRun], int], peak: Callable[[SimulatedRun], int], rate: float
) -> str:
    all_calls, busiest = rates.quantiles(total, RunEnding.FINISHED), rates.quantiles(peak)
    assert all_calls is not None, "one was finished"
    assert busiest is not None, "there is a run"
    return (
        f"{counted(round(all_calls.median), 'call')} (90%: {all_calls.p90:,.0f}), at most {busiest.maximum:,.0f} in a minute of "
        f"{rate * 60:,.0f} allowed"
    )


def _figures(middle: Quantiles | None) -> dict[str, float] | None:
    if middle is None:
        return None
    return {"median": round(middle.median, 3), "p90": round(middle.p90, 3), "max": round(middle.maximum, 3)}


def _proportion(share: Proportion) -> dict[str, float]:
    low, high = share.interval
    return {
        "runs": share.hits,
        "of": share.of,
        "share": round(share.value, 6),
        "low": round(low, 6),
        "high": round(high, 6),
    }
