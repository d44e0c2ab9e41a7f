"""A study as one page of text, and as a document for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from textwrap import wrap
from typing import Any

from rollout.core.plan import Plan
from rollout.forecast.advice import Advice, advise, percent_text, rate_text, share_text
from rollout.forecast.figures import Share
from rollout.forecast.run import Ending, Trial, WaveTimes
from rollout.forecast.study import Middle, RateStudy, Study, exposed, failed
from rollout.text import clipped, counted, duration, iso_utc, safe

__all__ = ["Report"]

SCHEMA_VERSION = 1
WAVE_WIDTH = 16
WIDTH = 110
"""Columns that sentences are wrapped to."""


@dataclass(frozen=True, slots=True)
class Report:
    """All a study tells. `fleet`: in words; `start`: seconds since the epoch."""

    plan: Plan
    study: Study
    fleet: str
    seeds: int
    start: float
    approve_after_s: float
    within_s: float

    @property
    def advice(self) -> list[Advice]:
        """What the operator should know."""
        return advise(self.plan, self.study, approve_after_s=self.approve_after_s, within_s=self.within_s)

    @property
    def shown(self) -> RateStudy | None:
        """The rate whose times and calls are shown: the first of which a campaign finished."""
        return next((rates for rates in self.study.by_rate if rates.ended(Ending.FINISHED)), None)

    # --- text -------------------------------------------------------------------------------------------------

    def lines(self) -> Iterator[str]:
        """Yield the page."""
        plan = self.plan
        jobs, waves = counted(len(plan.batches), "job"), counted(len(plan.waves), "wave")
        done = (
            ""
            if self.study.done == self.study.asked
            else f" · interrupted: {self.study.done:,} of {self.study.asked:,} done"
        )
        yield f"Simulated  {plan.campaign.id} · {counted(plan.devices, 'device')} in {waves}, {jobs} · from {moment(self.start)}"
        yield f"Fleet      {self.fleet}"
        yield (
            f"Runs       {counted(self.seeds, 'seed')} at each of {counted(len(self.study.by_rate), 'failure rate')}, the real engine in "
            f"virtual time; shares with their 95% interval{done}"
        )
        yield ""
        yield from self._verdicts()
        if self.shown is not None:
            yield ""
            yield from self._course(self.shown)
        found = self.advice
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
            if not rates.trials:
                yield f"{rate_text(rates.rate):<8}  no run yet"
                continue
            took, out, bad = rates.middle(_took), rates.middle(exposed), rates.middle(failed)
            assert took is not None, "there is a trial"
            assert out is not None, "there is a trial"
            assert bad is not None, "there is a trial"
            yield (
                f"{rate_text(rates.rate):<8}  {share_text(rates.share(Ending.STOPPED)):>13}  "
                f"{short(took.median):>10} {short(took.most_90):>9}  {out.median:>9,.0f} {out.most_90:>9,.0f}  "
                f"{bad.median:>7,.0f} {bad.most_90:>7,.0f}  {self._where(rates)}"
            ).rstrip()

    def _where(self, rates: RateStudy) -> str:
        told = []
        for wave, reason, hits in rates.stops[:2]:
            name = "" if wave is None else f"{safe(self.plan.waves[wave].name)}: "
            told.append(f"{name}{reason} {percent_text(hits / len(rates.trials))}")
        if rates.ended(Ending.WAITING):
            told.append(f"still waiting {percent_text(rates.share(Ending.WAITING).value)}")
        return ", ".join(told) or "-"

    def _course(self, rates: RateStudy) -> Iterator[str]:
        build = rate_text(rates.rate)
        build = "a healthy build" if rates.rate is None else f"a {build} build"
        took = rates.middle(_took, Ending.FINISHED)
        assert took is not None, "one was finished"
        yield f"If it is {build}, as {share_text(rates.share(Ending.FINISHED))} of its runs went"
        yield f"  Finish     {moment(self.start + took.median)} ({short(took.median)}), in 9 of 10 runs by {moment(self.start + took.most_90)} ({short(took.most_90)})"
        for planned in self.plan.waves:
            opens = rates.times(planned.index, _opened)
            passes = rates.times(planned.index, _passed)
            if opens is not None:
                gate = (
                    ""
                    if passes is None
                    else f", gate passed {short(passes.median)}, 90% by {short(passes.most_90)}"
                )
                name = clipped(safe(planned.name), WAVE_WIDTH)
                yield f"  {'Wave':<9}  {name:<{WAVE_WIDTH}}  opens {short(opens.median)}{gate}"
        limits = self.plan.campaign.limits
        yield f"  Creates    {_calls(rates, lambda t: t.creates, lambda t: t.creates_peak, limits.create.rate)}"
        yield f"  Reads      {_calls(rates, lambda t: t.reads, lambda t: t.reads_peak, limits.read.rate)}"
        at_once = rates.middle(lambda t: t.at_once)
        assert at_once is not None, "there is a trial"
        cap = limits.devices_in_progress
        allowed = "no cap" if cap is None else f"{cap:,} allowed"
        yield f"  At once    {counted(round(at_once.most), 'device')} at most, {allowed}"
        yield f"  Sleepers   {self._sleepers(rates)}"

    @staticmethod
    def _sleepers(rates: RateStudy) -> str:
        still_open = rates.middle(_still_open, Ending.FINISHED)
        never = rates.middle(_never, Ending.FINISHED)
        assert still_open is not None, "one was finished"
        assert never is not None, "one was finished"
        if not still_open.most:
            return "none: every device has come to an end when the campaign does"
        return (
            f"{counted(round(still_open.median), 'device')} open at the end (90%: {still_open.most_90:,.0f}), "
            f"{never.median:,.0f} of them for good"
        )

    # --- JSON -------------------------------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """Return the study as the content of a JSON document; times in seconds from the start."""
        plan = self.plan
        return {
            "schemaVersion": SCHEMA_VERSION,
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
            "warnings": [{"kind": one.kind, "text": one.text} for one in self.advice],
        }

    def _rate(self, rates: RateStudy) -> dict[str, Any]:
        limits = self.plan.campaign.limits

        def figures(of: Callable[[Trial], float], ending: str | None = None) -> dict[str, float] | None:
            return _figures(rates.middle(of, ending))

        return {
            "rate": rates.rate,
            "label": rate_text(rates.rate),
            "runs": len(rates.trials),
            **{
                ending: _share(rates.share(ending))
                for ending in (Ending.FINISHED, Ending.STOPPED, Ending.WAITING)
            },
            "stops": [
                {"wave": None if wave is None else self.plan.waves[wave].name, "reason": reason, "runs": hits}
                for wave, reason, hits in rates.stops
            ],
            "finishSeconds": figures(_took, Ending.FINISHED),
            "stopSeconds": figures(_took, Ending.STOPPED),
            "exposed": figures(exposed),
            "failed": figures(failed),
            "exposedLater": figures(lambda t: t.later.reached),
            "failedLater": figures(lambda t: t.later.failed),
            "openAtEnd": figures(_still_open, Ending.FINISHED),
            "neverEnded": figures(_never, Ending.FINISHED),
            "stragglers": figures(lambda t: t.stragglers, Ending.FINISHED),
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
                    "passed": _share(rates.passed(wave.index)),
                    "openedSeconds": _figures(rates.times(wave.index, _opened)),
                    "passedSeconds": _figures(rates.times(wave.index, _passed)),
                    "finishedSeconds": _figures(rates.times(wave.index, lambda times: times.finished_s)),
                }
                for wave in self.plan.waves
            ],
        }


def moment(at: float) -> str:
    """Return epoch seconds as `Thu 2026-01-01 04:13 UTC`: the same on every machine."""
    return datetime.fromtimestamp(at, UTC).strftime("%a %Y-%m-%d %H:%M UTC")


def short(seconds: float) -> str:
    """Return a length of time in a column: minutes from an hour on, hours from a day on."""
    if seconds >= 86_400:
        days, hours = divmod(round(seconds / 3600), 24)
        return f"{days}d {hours:02}h"
    return duration(seconds)


def _took(trial: Trial) -> float:
    return trial.took_s


def _opened(times: WaveTimes) -> float | None:
    return times.opened_s


def _passed(times: WaveTimes) -> float | None:
    return times.passed_s


def _still_open(trial: Trial) -> int:
    return trial.ended.waiting + trial.ended.at_work


def _never(trial: Trial) -> int:
    return trial.later.waiting + trial.later.at_work


def _calls(rates: RateStudy, total: Callable[[Trial], int], peak: Callable[[Trial], int], rate: float) -> str:
    all_calls, busiest = rates.middle(total, Ending.FINISHED), rates.middle(peak)
    assert all_calls is not None, "one was finished"
    assert busiest is not None, "there is a trial"
    return (
        f"{counted(round(all_calls.median), 'call')} (90%: {all_calls.most_90:,.0f}), at most {busiest.most:,.0f} in a minute of "
        f"{rate * 60:,.0f} allowed"
    )


def _figures(middle: Middle | None) -> dict[str, float] | None:
    if middle is None:
        return None
    return {"median": round(middle.median, 3), "p90": round(middle.most_90, 3), "max": round(middle.most, 3)}


def _share(share: Share) -> dict[str, float]:
    low, high = share.interval
    return {
        "runs": share.hits,
        "of": share.runs,
        "share": round(share.value, 6),
        "low": round(low, 6),
        "high": round(high, 6),
    }
