"""Whether a plan whose values can all be read makes sense: to EnOS, and with itself.

`check_plan` asks what can be asked of the file alone; `check_sizes` what depends on how many devices each
wave gets, some of which only the planner knows. Both take waves that could be read and None for the others,
so that a fault in one wave hides none in the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from rollout.core.budget import job_exposure
from rollout.core.campaign import (
    Count,
    Gate,
    JobSpec,
    JobType,
    Keys,
    Limits,
    Rest,
    Scope,
    Share,
    Wave,
)
from rollout.intake.complaints import Complaints, Loc

__all__ = ["LOCALES", "check_locales", "check_plan", "check_sizes"]

ASSET_TREES_MAX = 5
"""Asset trees per job. Source: create_ota_job page, AssetTreeScope."""

VERIFY_DEVICES_CONSOLE_MAX = 5
"""Devices per verification in the console; per firmware since 2.4. Source: verifying_firmware page."""

WINDOW_MS_CONSOLE_MIN = 30 * 60 * 1000
"""Milliseconds of the smallest schedule in the console. Source: batch_upgrading_firmware page, 2.1.0."""

BUDGET_STEPS_MIN = 20
"""Jobs that must fit the device budget for 95 % of it to be usable: a job is started whole or not at all."""

LOCALES = frozenset({"en_US", "zh_CN", "ja_JP", "es_ES"})
"""Locales seen in EnOS's documents and samples of StringI18n."""

_VERIFY_WITHOUT = frozenset({"deviceGroupIds"})


def check_locales(complaints: Complaints, locales: Sequence[str], loc: Loc) -> None:
    """Warn of locales that EnOS does not list; the usual slip is a hyphen."""
    for locale in locales:
        if locale not in LOCALES:
            likely = locale.replace("-", "_")
            hint = (
                f"EnOS writes '{likely}'" if likely in LOCALES else f"known are {', '.join(sorted(LOCALES))}"
            )
            complaints.add(
                "R303", f"locale {locale!r} is not one EnOS lists", loc=(*loc, locale), hint=hint, at_key=True
            )


def check_plan(complaints: Complaints, waves: Sequence[Wave | None], *, now: float) -> None:
    """Check jobs, scopes, gates and the order of waves. `now`: seconds since the epoch."""
    _check_order(complaints, waves)
    for index, wave in enumerate(waves):
        if wave is None:
            continue
        _check_job(complaints, index, wave, now=now)
        if isinstance(wave.size, Scope):
            _check_scope(complaints, index, wave, wave.size)
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
        if wave.job.type is JobType.VERIFY and size is not None and size > VERIFY_DEVICES_CONSOLE_MAX:
            complaints.add(
                "R301",
                f"{size:,} devices in a verification; EnOS's console allows {VERIFY_DEVICES_CONSOLE_MAX}",
                loc=loc,
                hint="since 2.4 the firmware's maxAllowedForVerification decides; EnOS answers 24612 beyond it",
            )
        if limits is not None and limits.devices_in_progress is not None:
            _check_budget(
                complaints, index, wave, devices=size, per_job=per_job, cap=limits.devices_in_progress
            )


def _check_order(complaints: Complaints, waves: Sequence[Wave | None]) -> None:
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


def _job_loc(complaints: Complaints, index: int, key: str) -> Loc:
    """Return where a wave's job has `key` from: its own override, or the common job."""
    own: Loc = ("waves", index, "job", key)
    return own if own in complaints.places.at else ("job", key)


def _check_job(complaints: Complaints, index: int, wave: Wave, *, now: float) -> None:
    job = wave.job
    retry = job.retry
    loc = _job_loc(complaints, index, "retryPolicy")
    if (*loc, "enableRetry") in complaints.places.at or loc in complaints.places.at:
        for key in ("retryInterval", "retryCount"):
            given = (*loc, key) in complaints.places.at
            if retry.enabled and not given:
                complaints.add("R142", f"enableRetry needs {key}", loc=loc)
            if not retry.enabled and given:
                message = "has no effect while enableRetry is not true"
                complaints.add("R311", message, loc=(*loc, key))
    if job.schedule is not None:
        loc = _job_loc(complaints, index, "schedulePolicy")
        length = job.schedule.end_ms - job.schedule.start_ms
        if length <= 0:
            complaints.add("R143", "ends before it starts", loc=(*loc, "endTimestamp"))
        elif length < WINDOW_MS_CONSOLE_MIN:
            complaints.add("R309", "is shorter than 30 min, the least of EnOS's console", loc=loc)
        if job.schedule.end_ms < now * 1000 and not job.schedule.repeat_daily:
            complaints.add(
                "R308", "is over already: EnOS would push to no device", loc=(*loc, "endTimestamp")
            )
    if job.upgrade_policy == "incremental" and job.type is JobType.UPGRADE:
        complaints.add(
            "R310",
            "incremental adds devices to the job after its creation, which no wave, gate or budget counts",
            loc=_job_loc(complaints, index, "upgradePolicy"),
            hint="snapshot keeps a wave at its devices",
        )
    if job.extra:
        names = ", ".join(sorted(job.extra))
        complaints.add(
            "R304", f"passed to EnOS as they are: {names}", loc=_job_loc(complaints, index, "extra")
        )


def _check_scope(complaints: Complaints, index: int, wave: Wave, scope: Scope) -> None:
    loc: Loc = ("waves", index, "upgradeScope")
    if loc not in complaints.places.at:
        loc = _job_loc(complaints, index, "upgradeScope")
    if wave.job.type is JobType.VERIFY and scope.type == "total":
        hint = "EnOS answers 24611; name devices or a selector"
        complaints.add("R131", "a verification cannot have the scope total", loc=(*loc, "type"), hint=hint)
    if wave.job.type is JobType.VERIFY and scope.selector in _VERIFY_WITHOUT:
        complaints.add("R131", "device groups are for upgrade jobs only", loc=(*loc, scope.selector))
    if scope.selector == "assetTrees" and len(scope.value) > ASSET_TREES_MAX:
        message = f"{len(scope.value)} asset trees; EnOS allows {ASSET_TREES_MAX}"
        complaints.add("R132", message, loc=(*loc, "assetTrees"))
    if wave.spread_by is not None:
        hint = "EnOS picks the devices of a scope"
        complaints.add(
            "R130", "a wave with a scope cannot be spread", loc=("waves", index, "spreadBy"), hint=hint
        )


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
        complaints.add("R141", f"passes before the soak of {_told(gate.soak_s)} can end", loc=loc)
    elif gate.deadline_s < (worst := _slowest_s(wave.job) + gate.soak_s):
        complaints.add(
            "R302",
            f"{_told(gate.deadline_s)} is shorter than a slow device may take, {_told(worst)}: "
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
        if per_job is None or devices is None:
            return
        largest = min(per_job, devices)
    job_devices = job_exposure(wave.job, largest)
    loc = _job_loc(complaints, index, "maximumConcurrency")
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
    """Return the seconds after which a device that fails each time has used up time-outs and EnOS's retries."""
    if not job.retry.enabled:
        return job.upgrade_timeout_s
    return job.upgrade_timeout_s * (1 + job.retry.count) + job.retry.interval_s * job.retry.count


def _told(seconds: float) -> str:
    """Return a duration as people write it, in its two largest units."""
    parts = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        if seconds >= length:
            parts.append(f"{int(seconds // length)}{unit}")
            seconds %= length
    return "".join(parts[:2]) or "0s"
