"""Rules between the values of a plan, after each value has been read.

`check_plan` checks what the file alone can tell; `check_sizes` what depends on how many devices each wave gets,
which only the planner knows for some waves. Both take None for a wave that could not be read, so that a fault
in one wave hides none in the next. What only the platform allows or forbids is checked by its own rules, which
are handed over (`WaveRule`, `SizeRule`).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol

from rollout.core.budget import job_exposure
from rollout.core.campaign import (
    Count,
    Gate,
    JobSpec,
    Keys,
    Limits,
    Rest,
    Scope,
    Share,
    Wave,
)
from rollout.intake.complaints import Complaints, Loc
from rollout.text import duration

BUDGET_STEPS_MIN = 20
"""Jobs that must fit into the device budget so that 95 % of it can be used: a job is created whole or not at all."""

LOCALES = frozenset({"en_US", "zh_CN", "ja_JP", "es_ES"})
"""Locales that EnOS's documents and samples of StringI18n show."""


class WaveRule(Protocol):
    """A platform's check of one wave's job and scope; faults go to `complaints`."""

    def __call__(self, complaints: Complaints, index: int, wave: Wave, *, now: float) -> None:
        """Check the wave with this index, counted from 0. `now`: seconds since the epoch."""
        ...


class SizeRule(Protocol):
    """A platform's check of how many devices a wave has; faults go to `complaints`."""

    def __call__(self, complaints: Complaints, index: int, wave: Wave, devices: int) -> None:
        """Check the wave with this index, counted from 0."""
        ...


def check_locales(complaints: Complaints, locales: Sequence[str], loc: Loc) -> None:
    """Warn of locales that EnOS does not list; the usual mistake is a hyphen."""
    for locale in locales:
        if locale not in LOCALES:
            likely = locale.replace("-", "_")
            hint = (
                f"EnOS writes '{likely}'" if likely in LOCALES else f"known are {', '.join(sorted(LOCALES))}"
            )
            complaints.add(
                "R303", f"locale {locale!r} is not one EnOS lists", loc=(*loc, locale), hint=hint, at_key=True
            )


def check_plan(
    complaints: Complaints, waves: Sequence[Wave | None], check_wave: WaveRule, *, now: float
) -> None:
    """Check jobs, scopes, gates and the order of waves. `now`: seconds since the epoch."""
    _check_sequence(complaints, waves)
    for index, wave in enumerate(waves):
        if wave is None:
            continue
        check_wave(complaints, index, wave, now=now)
        if isinstance(wave.size, Scope) and wave.spread_by is not None:
            hint = "EnOS picks the devices of a scope"
            loc: Loc = ("waves", index, "spreadBy")
            complaints.add("R130", "a wave with a scope cannot be spread", loc=loc, hint=hint)
        others = index + 1 < len(waves)
        if wave.gate is not None:
            _check_gate(complaints, index, wave, wave.gate)
            if others and wave.gate.stop and not _waits_for_results(wave.gate):
                message = (
                    "asks for no result: the next wave opens as soon as the jobs of this one are created"
                )
                hint = "add success, resolved or soak"
                complaints.add("R312", message, loc=("waves", index, "gate"), hint=hint)
        else:
            what = (
                "the next wave opens whatever became of it"
                if others
                else "nothing stops it once it has started"
            )
            complaints.add("R305", f"no gate, so {what}", loc=("waves", index))


def check_sizes(
    complaints: Complaints,
    waves: Sequence[Wave | None],
    sizes: Sequence[int | None],
    check_size: SizeRule,
    *,
    per_job: int | None,
    limits: Limits | None,
) -> None:
    """Check what depends on the waves' devices; `sizes` has None where the number is not known."""
    for index, (wave, size) in enumerate(zip(waves, sizes, strict=True)):
        if wave is None:
            continue
        loc: Loc = ("waves", index)
        if size is not None and wave.gate is not None:
            _check_samples(complaints, loc, wave.gate, size)
        if size is not None:
            check_size(complaints, index, wave, size)
        if limits is not None and limits.devices_in_progress is not None:
            _check_budget(
                complaints, index, wave, devices=size, per_job=per_job, cap=limits.devices_in_progress
            )


def _check_sequence(complaints: Complaints, waves: Sequence[Wave | None]) -> None:
    names: dict[str, int] = {}
    keys: dict[str, tuple[int, int]] = {}
    share = Fraction()
    rest: int | None = None
    for index, wave in enumerate(waves):
        if wave is None:
            continue
        loc: Loc = ("waves", index)
        if wave.name.casefold() in names:
            first = names[wave.name.casefold()] + 1
            complaints.add("R135", f"wave {first} has the name {wave.name!r} already", loc=(*loc, "name"))
        names.setdefault(wave.name.casefold(), index)
        match wave.size:
            case Rest() if rest is not None:
                complaints.add("R136", f"wave {rest + 1} takes the rest already", loc=(*loc, "size"))
            case Rest():
                rest = index
            case Count() | Share() if rest is not None:
                hint = "put the wave before the one of size rest"
                complaints.add(
                    "R136", f"wave {rest + 1} leaves nothing for it", loc=(*loc, "size"), hint=hint
                )
            case Share(part):
                share += part
                if share > 1 >= share - part:
                    over = f"{float(share * 100):g}%"
                    complaints.add(
                        "R137", f"the waves up to here ask for {over} of the fleet", loc=(*loc, "size")
                    )
            case Keys(listed):
                for position, key in enumerate(listed):
                    if key in keys:
                        other, item = keys[key]
                        where = f"item {item + 1} of wave {other + 1}"
                        complaints.add("R144", f"{key!r} is {where} already", loc=(*loc, "keys", position))
                    keys.setdefault(key, (index, position))
            case Count() | Scope():
                pass


def job_loc(complaints: Complaints, index: int, key: str) -> Loc:
    """Return where the wave with this index has `key` of its job from: its own `job`, or the common one."""
    own: Loc = ("waves", index, "job", key)
    return own if own in complaints.places.at else ("job", key)


def _waits_for_results(gate: Gate) -> bool:
    return bool(gate.success or gate.resolved or gate.soak_s or gate.approval)


def _check_gate(complaints: Complaints, index: int, wave: Wave, gate: Gate) -> None:
    loc: Loc = ("waves", index, "gate")
    if gate.stop is None and not _waits_for_results(gate):
        message = "asks for nothing: give success, resolved, stopAt, soak or approval"
        complaints.add("R106", message, loc=loc)
    if gate.deadline_s is None:
        return
    loc = (*loc, "deadline")
    if gate.deadline_s <= gate.soak_s:
        complaints.add("R141", f"passes before the soak of {duration(gate.soak_s)} can end", loc=loc)
    elif gate.deadline_s < (worst := _slowest_s(wave.job) + gate.soak_s):
        complaints.add(
            "R302",
            f"{duration(gate.deadline_s)} is shorter than a slow device may take, {duration(worst)}: "
            "upgradeTimeout with EnOS's retries, and the soak",
            loc=loc,
        )


def _check_samples(complaints: Complaints, loc: Loc, gate: Gate, size: int) -> None:
    asked = [((*loc, "gate", "minSample"), gate.min_sample)]
    if gate.stop is not None and isinstance(gate.stop.failed, Fraction):
        asked.append(((*loc, "gate", "stopAt", "minSample"), gate.stop.min_sample))
    for place, sample in asked:
        # a wave without devices is a fault of its own
        if sample > size > 0:
            complaints.add("R138", f"{sample:,} is more than the wave's {size:,} devices", loc=place)


def _check_budget(
    complaints: Complaints, index: int, wave: Wave, *, devices: int | None, per_job: int | None, cap: int
) -> None:
    largest = 0
    if not isinstance(wave.size, Scope):
        if per_job is None or not devices:
            return  # not known; or a wave without devices, which is a fault of its own
        largest = min(per_job, devices)
    job_devices = job_exposure(wave.job, largest)
    loc = job_loc(complaints, index, "maximumConcurrency")
    if job_devices > cap:
        complaints.add(
            "R140",
            f"one job may have {job_devices:,} devices in progress, limits.devicesInProgress is {cap:,}",
            loc=loc if loc in complaints.places.at else ("limits", "devicesInProgress"),
            hint=f"set job.maximumConcurrency to {max(1, cap // BUDGET_STEPS_MIN)} for a budget used to 95%",
        )
    elif devices is not None and job_devices * BUDGET_STEPS_MIN > cap < devices:
        complaints.add(
            "R306",
            f"wave {wave.name}: one job takes {job_devices:,} of {cap:,} devices in progress, more than 1/20: "
            "the budget cannot always be used to 95%",
            loc=("limits", "devicesInProgress"),
            hint=f"set job.maximumConcurrency to {max(1, cap // BUDGET_STEPS_MIN)} or less",
        )


def _slowest_s(job: JobSpec) -> float:
    """Return the seconds a device may take that times out in each attempt, the platform's retries included."""
    if not job.retry.enabled:
        return job.upgrade_timeout_s
    return job.upgrade_timeout_s * (1 + job.retry.count) + job.retry.interval_s * job.retry.count
