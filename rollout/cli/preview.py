"""The plan preview: what a campaign would do, on one screen, before anything is sent.

It shows the sum that nobody else shows: EnOS's `maximumConcurrency` is per job, so the number of devices that
can be upgrading at once is a sum over jobs, capped only by our `devicesInProgress`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from rollout.core.budget import job_exposure
from rollout.core.campaign import CallLimit, Gate, JobSpec, Scope, Threshold, Wave, WhenUnsure
from rollout.core.gate import percent
from rollout.core.plan import Plan, PlannedWave
from rollout.intake.saved_plan import PlanningReport
from rollout.telemetry.text import clipped, count, duration, local_time, safe

__all__ = ["Preview", "rate_text"]

GATE_WIDTH = 48
"""Columns of the GATE column; longer gates are wrapped between words."""

WAVE_WIDTH = 24
"""Columns of the WAVE column at most."""


@dataclass(frozen=True, slots=True)
class Preview:
    """All a preview tells. `created` jobs exist already; L and S in real seconds; `now` in epoch seconds."""

    plan: Plan
    report: PlanningReport
    path: Path
    target: str
    created: int
    latest_effect_s: float
    search_lag_s: float
    now: float

    @property
    def jobs_left(self) -> int:
        """Jobs still to create."""
        return len(self.plan.batches) - self.created

    def lines(self) -> list[str]:
        """Return the preview as text."""
        plan = self.plan
        campaign = plan.campaign
        lines = [
            f"Campaign   {campaign.id} · {safe(campaign.name.default)}",
            f"Target     {self.target}org {campaign.org_id} · firmware {campaign.firmware_id}{_from(campaign.waves)}",
            f"Devices    {self._devices()}",
            "",
            *self._table(),
            "",
            f"Calls      {self._calls()}",
            f"At once    {self._at_once()}",
            *_schedules(campaign.waves),
            f"Earliest   {self._earliest()}",
            f"Lost call  {self._lost_call()}",
            "",
        ]
        if self.report.warnings:
            lines.append("Warnings")
            lines += [f"  {warning.code} {safe(warning.message)}" for warning in self.report.warnings]
            lines.append("")
        lines += [
            f"Plan: {self._to_do()}",
            f"Saved {self.path} (sha256 {plan.digest[:8]}...)",
        ]
        return lines

    def document(self) -> dict[str, Any]:
        """Return the preview as the content of a JSON document."""
        plan = self.plan
        campaign = plan.campaign
        return {
            "campaignId": campaign.id,
            "name": campaign.name.default,
            "orgId": campaign.org_id,
            "firmwareId": campaign.firmware_id,
            "seed": plan.seed,
            "digest": plan.digest,
            "saved": str(self.path),
            "devices": {
                "rows": self.report.rows,
                "duplicates": self.report.duplicates,
                "excluded": self.report.excluded,
                "filtered": self.report.filtered,
                "inScope": plan.devices,
            },
            "waves": [
                {
                    "name": wave.name,
                    "type": str(campaign.waves[wave.index].job.type),
                    "devices": wave.devices,
                    "jobs": wave.last - wave.first,
                    "scope": isinstance(campaign.waves[wave.index].size, Scope),
                    "gate": gate_text(campaign.waves[wave.index]),
                    "onFail": if_not(campaign.waves[wave.index].gate),
                }
                for wave in plan.waves
            ],
            "calls": {
                "creates": self.jobs_left,
                "ratePerSecond": campaign.limits.create.rate,
                "inFlight": campaign.limits.create.in_flight,
                "seconds": self._calling_s(),
            },
            "devicesAtOnce": {
                "cap": campaign.limits.devices_in_progress,
                "withoutCap": _exposure(plan),
            },
            "soakSeconds": _soak_s(campaign.waves),
            "latestEffectSeconds": self.latest_effect_s,
            "searchLagSeconds": self.search_lag_s,
            "warnings": [
                {"code": warning.code, "message": warning.message} for warning in self.report.warnings
            ],
            "jobsToCreate": self.jobs_left,
            "jobsCreated": self.created,
        }

    def _devices(self) -> str:
        fleet = self.report
        if not fleet.rows and not self.plan.devices:
            return "picked by EnOS"
        told = [f"{count(fleet.rows)} rows"]
        told += [
            f"{count(number)} {what}"
            for number, what in (
                (fleet.duplicates, "duplicates"),
                (fleet.excluded, "excluded"),
                (fleet.filtered, "not selected"),
            )
            if number
        ]
        return " · ".join([*told, f"{count(self.plan.devices)} in scope"])

    def _table(self) -> Iterable[str]:
        plan = self.plan
        width = min(WAVE_WIDTH, max(4, *(len(safe(wave.name)) for wave in plan.waves)))
        yield (
            f"   {'WAVE':<{width}}  {'KIND':<7}  {'DEVICES':>9}  {'JOBS':>6}  {'TOTAL':>6}  {'GATE':<{GATE_WIDTH}}  IF NOT"
        )
        done = 0
        for planned in plan.waves:
            wave = plan.campaign.waves[planned.index]
            done += planned.devices
            gate = textwrap.wrap(gate_text(wave), GATE_WIDTH)
            yield (
                f" + {clipped(safe(wave.name), width):<{width}}  {wave.job.type.value:<7}  {_devices_text(planned, wave):>9}  "
                f"{count(planned.last - planned.first):>6}  {_total(done, plan.devices):>6}  "
                f"{gate[0]:<{GATE_WIDTH}}  {if_not(wave.gate)}"
            )
            for more in gate[1:]:
                yield " " * (3 + width + 2 + 7 + 2 + 9 + 2 + 6 + 2 + 6 + 2) + more

    def _calling_s(self) -> float:
        return self.jobs_left / self.plan.campaign.limits.create.rate

    def _calls(self) -> str:
        limit = self.plan.campaign.limits.create
        creates = f"{count(self.jobs_left)} {_noun(self.jobs_left, 'create')} at {rate_text(limit)}"
        return f"{creates}, {limit.in_flight} open at most: {duration(self._calling_s())} of calling"

    def _at_once(self) -> str:
        cap = self.plan.campaign.limits.devices_in_progress
        most = _exposure(self.plan)
        concurrency = {wave.job.maximum_concurrency for wave in self.plan.campaign.waves}
        if cap is None:
            return f"no cap: {count(most)} devices at most, the sum of {_noun_count(len(self.plan.batches), 'job')}"
        if len(concurrency) == 1 and most > cap:
            each = concurrency.pop()
            fit = max(cap // each, 1)
            return (
                f"{count(cap)} devices at most, {_noun_count(fit, 'job')} x maximumConcurrency {count(each)}"
            )
        return f"{count(min(cap, most))} devices at most, over all jobs together"

    def _lost_call(self) -> str:
        waits = f"L {duration(self.latest_effect_s)} + S {duration(self.search_lag_s)}"
        if self.plan.campaign.api_retry.when_unsure is WhenUnsure.PARK:
            return f"looked up by name for {waits} after the call's end, then parked"
        return f"looked up by name; sent again only if a search begun {waits} after its end finds nothing"

    def _to_do(self) -> str:
        jobs, waves = _noun_count(self.jobs_left, "job"), _noun_count(len(self.plan.waves), "wave")
        return f"{jobs} to create for {_fleet_text(self.plan)} in {waves}, {count(self.created)} already created."

    def _earliest(self) -> str:
        at = self.now + self._calling_s() + _soak_s(self.plan.campaign.waves)
        approvals = sum(
            1 for wave in self.plan.campaign.waves if wave.gate is not None and wave.gate.approval
        )
        waits = f" and {_noun_count(approvals, 'approval')}" if approvals else ""
        return f"{local_time(at)} (calls and soaks only{waits}; device time is not known)"


def rate_text(limit: CallLimit) -> str:
    """Return `2/s`, or `30/min` where a second holds less than one call."""
    return f"{limit.rate:g}/s" if limit.rate >= 1 else f"{limit.rate * 60:g}/min"


def gate_text(wave: Wave) -> str:
    """Return what must hold before the next wave opens, in one sentence."""
    gate = wave.gate
    if gate is None:
        return "none"
    told = []
    if gate.resolved is not None:
        told.append(f"{_threshold(gate.resolved)} resolved")
    if gate.success is not None:
        told.append(f"{_threshold(gate.success)} ok")
    if gate.stop is not None:
        failed = gate.stop.failed
        limit = count(failed) if isinstance(failed, int) else f"{percent(failed)} of {gate.stop.of.value}"
        told.append(f"stop above {limit} failed")
    if gate.soak_s:
        told.append(f"soak {duration(gate.soak_s)}")
    if gate.deadline_s is not None:
        told.append(f"within {duration(gate.deadline_s)}")
    if gate.approval:
        told.append("then approval")
    return ", ".join(told) or "all jobs created"


def if_not(gate: Gate | None) -> str:
    """Return what a failed gate does."""
    return "-" if gate is None else gate.on_fail.value


def _threshold(threshold: Threshold) -> str:
    return f"{percent(threshold.min)} of {threshold.of.value}"


def _from(waves: Sequence[Wave]) -> str:
    versions = list(dict.fromkeys(version for wave in waves for version in wave.job.version_numbers))
    return f" · from {', '.join(safe(version) for version in versions)}" if versions else ""


def _noun(number: int, noun: str) -> str:
    return noun if number == 1 else f"{noun}s"


def _noun_count(number: int, noun: str) -> str:
    return f"{count(number)} {_noun(number, noun)}"


def _devices_text(planned: PlannedWave, wave: Wave) -> str:
    return "by EnOS" if isinstance(wave.size, Scope) else count(planned.devices)


def _total(done: int, devices: int) -> str:
    return percent(Fraction(done * 1000 // devices, 1000)) if devices else "-"


def _fleet_text(plan: Plan) -> str:
    scopes = sum(isinstance(wave.size, Scope) for wave in plan.campaign.waves)
    told = [_noun_count(plan.devices, "device")] if plan.devices or not scopes else []
    return " and ".join([*told, f"{_noun_count(scopes, 'scope')} of EnOS's choosing"] if scopes else told)


def _exposure(plan: Plan) -> int:
    specs: list[JobSpec] = [wave.job for wave in plan.campaign.waves]
    return sum(job_exposure(specs[batch.wave], batch.devices) for batch in plan.batches)


def _soak_s(waves: Sequence[Wave]) -> float:
    return sum(wave.gate.soak_s for wave in waves if wave.gate is not None)


def _schedules(waves: Sequence[Wave]) -> Iterable[str]:
    for schedule in dict.fromkeys(wave.job.schedule for wave in waves):
        if schedule is not None:
            daily = " daily" if schedule.repeat_daily else ""
            start, end = local_time(schedule.start_ms / 1000), local_time(schedule.end_ms / 1000)
            yield f"Windows    EnOS pushes{daily} from {start} to {end}"
