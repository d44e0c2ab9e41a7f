"""The preview of a plan: what a campaign would do, on one screen, before anything is sent.

EnOS's `maximumConcurrency` is per job, so the devices that can be upgrading at once are a sum over jobs. Nothing in
EnOS shows that sum; it is shown here, and `devicesInProgress` is what caps it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from rollout.core.budget import job_exposure
from rollout.core.campaign import CallLimit, Gate, JobSpec, Scope, Wave, WhenUnsure
from rollout.core.plan import Plan, PlannedWave
from rollout.errors import Complaint
from rollout.text import clipped, count, counted, duration, iso_utc, local_time, percent, safe
from rollout.views.words import gate_text

GATE_WIDTH = 48
"""Columns of the GATE column at most; longer gates are wrapped between words."""

GATE_WIDTH_MIN = 20
"""Columns of the GATE column at least, on a narrow terminal: more than its longest word."""

_LABEL_WIDTH = 11
"""Columns of the label before a line's text; the rest of a wrapped line is indented by as much."""

WAVE_WIDTH = 24
"""Columns of the WAVE column at most."""


@dataclass(frozen=True, slots=True)
class SearchView:
    """One search of EnOS whose devices the plan takes: what the plan calls it, and what it found.

    `where` is the platform's name for people, `url` its address; `asked_at` in epoch seconds.
    """

    source: str
    where: str
    url: str
    found: int
    asked_at: float


@dataclass(frozen=True, slots=True)
class FleetView:
    """What became of the rows of a plan's device lists: `rows` is the devices in scope and the other three counts."""

    rows: int = 0
    duplicates: int = 0
    excluded: int = 0
    filtered: int = 0
    searches: Sequence[SearchView] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """All that a preview shows.

    `target` is the platform with its separator, empty where none is named; `path` is where the plan is saved.
    `created` jobs exist already; `soak_s` seconds of soaks and `approvals` are still to come. `latest_effect_s` (L)
    and `search_lag_s` (S) in real seconds; `now` in epoch seconds. `closed` says how the campaign ended; it is empty
    while it has not. The campaign's clock runs `speed` times as fast as people's.
    """

    plan: Plan
    fleet: FleetView
    warnings: Sequence[Complaint]
    path: str
    target: str
    created: int
    latest_effect_s: float
    search_lag_s: float
    now: float
    soak_s: float
    approvals: int
    closed: str = ""
    speed: float = 1.0

    @property
    def jobs_left(self) -> int:
        """Jobs still to create."""
        return 0 if self.closed else len(self.plan.batches) - self.created

    def lines(self, columns: int | None = None) -> list[str]:
        """Return the preview as lines of text, wrapped between words at `columns`; None leaves long lines as they are."""
        if columns is None:
            return self._lines(GATE_WIDTH)
        gates = max(GATE_WIDTH_MIN, min(GATE_WIDTH, columns - self._gate_column() - len("  IF NOT")))
        return [part for line in self._lines(gates) for part in _wrapped(line, columns)]

    def _lines(self, gate_width: int) -> list[str]:
        plan = self.plan
        campaign = plan.campaign
        lines = [
            f"Campaign   {campaign.id} · {safe(campaign.name.default)}",
            f"Target     {self.target}org {campaign.org_id} · firmware {campaign.firmware_id}{_from(campaign.waves)}",
            f"Devices    {self._devices()}",
            *map(_listed, self.fleet.searches),
            "",
            *self._table(gate_width),
            "",
        ]
        if not self.closed:
            lines += [
                f"Calls      {self._calls()}",
                f"At once    {self._at_once()}",
                *_schedules(campaign.waves),
                f"Earliest   {self._earliest()}",
                f"Lost call  {self._lost_call()}",
                "",
            ]
        if self.warnings:
            lines.append("Warnings")
            lines += [f"  {warning.code} {safe(warning.message)}" for warning in self.warnings]
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
            "saved": self.path,
            "devices": {
                "rows": self.fleet.rows,
                "duplicates": self.fleet.duplicates,
                "excluded": self.fleet.excluded,
                "filtered": self.fleet.filtered,
                "inScope": plan.devices,
                "listings": [
                    {
                        "source": search.source,
                        "url": search.url,
                        "found": search.found,
                        "askedAt": round(search.asked_at * 1000),
                        "askedAtIso": iso_utc(search.asked_at),
                    }
                    for search in self.fleet.searches
                ],
            },
            "waves": [
                {
                    "name": wave.name,
                    "type": _kind(campaign.waves[wave.index]),
                    "devices": wave.devices,
                    "jobs": wave.last - wave.first,
                    "scope": isinstance(campaign.waves[wave.index].size, Scope),
                    "gate": gate_text(campaign.waves[wave.index].gate),
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
            "soakSeconds": self.soak_s,
            "latestEffectSeconds": self.latest_effect_s,
            "searchLagSeconds": self.search_lag_s,
            "warnings": [{"code": warning.code, "message": warning.message} for warning in self.warnings],
            "jobsToCreate": self.jobs_left,
            "jobsCreated": self.created,
        }

    def _devices(self) -> str:
        fleet = self.fleet
        if not fleet.rows and not self.plan.devices:
            return "picked by EnOS"
        parts = [f"{count(fleet.rows)} rows"]
        parts += [
            f"{count(number)} {what}"
            for number, what in (
                (fleet.duplicates, "duplicates"),
                (fleet.excluded, "excluded"),
                (fleet.filtered, "not selected"),
            )
            if number
        ]
        return " · ".join([*parts, f"{count(self.plan.devices)} in scope"])

    def _wave_width(self) -> int:
        return min(WAVE_WIDTH, max(4, *(len(safe(wave.name)) for wave in self.plan.waves)))

    def _gate_column(self) -> int:
        return 3 + self._wave_width() + 2 + 7 + 2 + 9 + 2 + 6 + 2 + 6 + 2

    def _table(self, gate_width: int) -> Iterable[str]:
        plan = self.plan
        width = self._wave_width()
        yield (
            f"   {'WAVE':<{width}}  {'KIND':<7}  {'DEVICES':>9}  {'JOBS':>6}  {'TOTAL':>6}  {'GATE':<{gate_width}}  IF NOT"
        )
        done = 0
        for planned in plan.waves:
            wave = plan.campaign.waves[planned.index]
            done += planned.devices
            gate = textwrap.wrap(gate_text(wave.gate), gate_width)
            yield (
                f" + {clipped(safe(wave.name), width):<{width}}  {_kind(wave):<7}  {_devices_text(planned, wave):>9}  "
                f"{count(planned.last - planned.first):>6}  {_total(done, plan.devices):>6}  "
                f"{gate[0]:<{gate_width}}  {if_not(wave.gate)}"
            )
            for more in gate[1:]:
                yield " " * self._gate_column() + more

    def _calling_s(self) -> float:
        return self.jobs_left / self.plan.campaign.limits.create.rate

    def _calls(self) -> str:
        limit = self.plan.campaign.limits.create
        creates = f"{counted(self.jobs_left, 'create')} at {rate_text(limit)}"
        return f"{creates}, {limit.in_flight} open at most: {duration(self._calling_s())} of calling"

    def _at_once(self) -> str:
        cap = self.plan.campaign.limits.devices_in_progress
        most = _exposure(self.plan)
        stated = (wave.job.maximum_concurrency for wave in self.plan.campaign.waves)
        concurrency = {each for each in stated if each is not None}
        if cap is None:
            return (
                f"no cap: {count(most)} devices at most, the sum of {counted(len(self.plan.batches), 'job')}"
            )
        if len(concurrency) == 1 and most > cap:
            each = concurrency.pop()
            fit = max(cap // each, 1)
            return f"{count(cap)} devices at most, {counted(fit, 'job')} x maximumConcurrency {count(each)}"
        return f"{count(min(cap, most))} devices at most, over all jobs together"

    def _lost_call(self) -> str:
        waits = f"L {_bound(self.latest_effect_s)} + S {_bound(self.search_lag_s)}"
        if self.plan.campaign.api_retry.when_unsure is WhenUnsure.PARK:
            return f"looked up by name for {waits} after the call's end, then parked"
        return f"looked up by name; sent again only if a search begun {waits} after its end finds nothing"

    def _to_do(self) -> str:
        if self.closed:
            return f"the campaign is {self.closed}, {counted(self.created, 'job')} created; nothing is left to do."
        jobs, waves = counted(self.jobs_left, "job"), counted(len(self.plan.waves), "wave")
        return f"{jobs} to create for {_fleet_text(self.plan)} in {waves}, {count(self.created)} already created."

    def _earliest(self) -> str:
        at = self.now + self._calling_s() + self.soak_s / self.speed
        pace = f", {self.speed:,g} times as fast" if self.speed != 1 else ""
        more = f" and {counted(self.approvals, 'approval')}" if self.approvals else ""
        return f"{local_time(at)} (calls and soaks only{pace}; the devices' time{more} not counted)"


def _listed(search: SearchView) -> str:
    """Return the line about one search: how many devices it found, where and when."""
    found = counted(search.found, "device")
    return (
        f"Listed     {safe(search.source)}: {found} at {search.where} on {local_time(search.asked_at)}, "
        "kept until --refresh"
    )


def rate_text(limit: CallLimit) -> str:
    """Return `2/s`, or `30/min` where the rate is below one call a second."""
    return f"{limit.rate:g}/s" if limit.rate >= 1 else f"{limit.rate * 60:g}/min"


def if_not(gate: Gate | None) -> str:
    """Return what a failed gate does."""
    return "-" if gate is None else gate.on_fail.value


def _bound(seconds: float) -> str:
    """Return L or S as text, below a minute exactly as it was set: `0.5s` must not be shown as `0s`."""
    return f"{seconds:g}s" if seconds < 60 else duration(seconds)


def _from(waves: Sequence[Wave]) -> str:
    versions = list(
        dict.fromkeys(version for wave in waves for version in wave.job.platform.get("versionNumbers", ()))
    )
    return f" · from {', '.join(safe(version) for version in versions)}" if versions else ""


def _kind(wave: Wave) -> str:
    """Return what the platform calls this kind of job; empty if it has one kind only."""
    return str(wave.job.platform.get("type", ""))


def _devices_text(planned: PlannedWave, wave: Wave) -> str:
    return "by EnOS" if isinstance(wave.size, Scope) else count(planned.devices)


def _total(done: int, devices: int) -> str:
    return percent(Fraction(done * 1000 // devices, 1000)) if devices else "-"


def _fleet_text(plan: Plan) -> str:
    scopes = sum(isinstance(wave.size, Scope) for wave in plan.campaign.waves)
    parts = [counted(plan.devices, "device")] if plan.devices or not scopes else []
    return " and ".join([*parts, f"{counted(scopes, 'scope')} of EnOS's choosing"] if scopes else parts)


def _exposure(plan: Plan) -> int:
    specs: list[JobSpec] = [wave.job for wave in plan.campaign.waves]
    return sum(job_exposure(specs[batch.wave], batch.devices) for batch in plan.batches)


def _wrapped(line: str, columns: int) -> list[str]:
    """Return the line in parts of at most `columns`; ids, paths and rows of the table stay whole."""
    if len(line) <= columns or line.startswith((" + ", "   ")):
        return [line]
    below = " " * (4 if line.startswith("  ") else _LABEL_WIDTH)
    return textwrap.wrap(
        line,
        columns,
        subsequent_indent=below,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )


def _schedules(waves: Sequence[Wave]) -> Iterable[str]:
    for schedule in dict.fromkeys(wave.job.schedule for wave in waves):
        if schedule is not None:
            daily = " daily" if schedule.repeat_daily else ""
            start, end = local_time(schedule.start_ms / 1000), local_time(schedule.end_ms / 1000)
            yield f"Windows    EnOS pushes{daily} from {start} to {end}"
