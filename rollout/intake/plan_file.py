"""Reads the plan file, YAML that a person wrote: returns a campaign, or refuses it with all of its faults.

Three steps. `yaml_text` gives text and places, the models of `plan_model` give types, and `rules` checks whether
the values go together. A block that cannot be read is left out of the third step, the others are not, so one
fault hides no other. What a platform adds to the plan file is handed over as a `PlatformPlan`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, get_args

from pydantic import ValidationError

from rollout.core.campaign import (
    ApiRetry,
    CallLimit,
    Campaign,
    Count,
    Keys,
    Limits,
    Localized,
    Scope,
    Size,
    Wave,
    WhenUnsure,
)
from rollout.intake.complaints import Complaints, Loc, Places, quoted
from rollout.intake.device_search import is_search, read_search
from rollout.intake.document import DeviceSelection, PlanDocument
from rollout.intake.findings import add_errors
from rollout.intake.plan_model import (
    PER_JOB_STANDARD,
    WAVES_MAX,
    CallsBlock,
    DevicesBlock,
    LimitsBlock,
    NameBlock,
    PlanBlock,
    WaveBlock,
    named,
    plan_model,
)
from rollout.intake.platform import PlatformJob, PlatformPlan
from rollout.intake.rules import check_locales, check_plan, check_sizes
from rollout.intake.scalars import Block
from rollout.intake.yaml_text import Document, as_text, changes_elsewhere, read_yaml


def load_plan_file(
    path: Path, platform: PlatformPlan, *, now: float | None = None, fleet_given: bool = False
) -> PlanDocument:
    """Read a plan file.

    Args:
        platform: whose job settings and scopes the plan has.
        now: seconds since the epoch, for schedules that are over; the clock's if left out.
        fleet_given: the device list comes from elsewhere, so the plan need not name one.
    Raises: PlanError with every fault of the file, by place.
    """
    complaints = Complaints(str(path))
    document = read_yaml(path, complaints)
    if document is None:
        complaints.raise_if_failed()
        raise AssertionError("a file that cannot be read has a complaint")
    complaints.places = Places(document.places.at, _wave_names(document))
    if not isinstance(document.data, dict):
        complaints.add("R105", f"expected a mapping of keys, got {quoted(document.data)}", loc=())
        complaints.raise_if_failed()
    parts = _read_parts(document, complaints, platform)
    waves = [
        None
        if wave is None or parts.job is None
        else _core_wave(document, complaints, parts.job, wave, index)
        for index, wave in enumerate(parts.waves)
    ]
    limits = None if parts.limits is None else _core_limits(parts.limits)
    check_plan(complaints, waves, platform.check_wave, now=time.time() if now is None else now)
    check_sizes(
        complaints,
        waves,
        [_known_size(wave) for wave in waves],
        platform.check_size,
        per_job=None if parts.devices is None else parts.devices.per_job,
        limits=limits,
    )
    _check_fleet_wanted(complaints, document, waves, fleet_given=fleet_given)
    _warn_of_other_readers(complaints, document, platform)
    if parts.name is not None:
        check_locales(complaints, list(parts.name.i18n_value), ("name", "i18nValue"))
    warnings = complaints.raise_if_failed()
    plan = parts.whole
    assert plan is not None, "a plan without complaints was read whole"
    assert limits is not None
    sound = tuple(wave for wave in waves if wave is not None)
    campaign = _core_campaign(plan, sound, limits)
    return PlanDocument(
        path=path,
        campaign=campaign,
        devices=_core_devices(plan.devices),
        seed=_seed_of(plan.id) if plan.seed is None else plan.seed,
        check_size=platform.check_size,
        warnings=warnings,
        places=complaints.places,
    )


# Reading: blocks one by one, so that a fault in one does not keep the others from being checked


class _Parts:
    """The blocks of a plan that could be read; None for those that could not."""

    def __init__(
        self,
        data: Mapping[str, object],
        whole: PlanBlock | None,
        model: type[PlanBlock],
        job: type[PlatformJob],
    ) -> None:
        self.whole = whole
        self.name = _standing(NameBlock, named(data.get("name", {"defaultValue": "-"})))
        self.job = _standing(job, data.get("job", {}))
        self.devices = _standing(DevicesBlock, data["devices"]) if "devices" in data else None
        self.limits = _standing(LimitsBlock, data.get("limits", {}))
        waves = data.get("waves")
        (wave_model,) = get_args(model.model_fields["waves"].annotation)
        self.waves: list[WaveBlock | None] = (
            [_standing(wave_model, wave) for wave in waves[:WAVES_MAX]] if isinstance(waves, list) else []
        )


B = TypeVar("B", bound=Block)


def _standing(model: type[B], data: object) -> B | None:
    try:
        return model.model_validate(data)
    except ValidationError:
        return None  # reading the whole plan reports its faults


def _read_parts(document: Document, complaints: Complaints, platform: PlatformPlan) -> _Parts:
    assert isinstance(document.data, dict)
    model = plan_model(platform)
    whole: PlanBlock | None = None
    try:
        whole = model.model_validate(document.data)
    except ValidationError as invalid:
        add_errors(complaints, invalid, model, misplaced=platform.misplaced)
    return _Parts(document.data, whole, model, platform.job)


def _wave_names(document: Document) -> dict[Loc, str]:
    waves = document.data.get("waves") if isinstance(document.data, dict) else None
    names: dict[Loc, str] = {}
    for index, wave in enumerate(waves if isinstance(waves, list) else ()):
        name = wave.get("name") if isinstance(wave, dict) else None
        if isinstance(name, str) and name.isidentifier() and name not in names.values():
            names["waves", index] = name
    return names


# Blocks become the core's values


def _core_wave(
    document: Document, complaints: Complaints, common: PlatformJob, wave: WaveBlock, index: int
) -> Wave | None:
    size = _core_size(document, complaints, common, wave, index)
    gate = None if wave.gate is None else wave.gate.to_gate(complaints, ("waves", index, "gate"))
    job = common.overridden_by(wave.job).to_spec(document, complaints, index, scoped=isinstance(size, Scope))
    if size is None or (wave.gate is not None and gate is None):
        return None
    return Wave(wave.name, size, job, gate, wave.spread_by)


def _core_size(
    document: Document, complaints: Complaints, common: PlatformJob, wave: WaveBlock, index: int
) -> Size | None:
    loc: Loc = ("waves", index)
    own = wave.job.scope if wave.job is not None else None
    given = {
        "size": wave.size,
        "keys": None if wave.keys is None else Keys(tuple(wave.keys)),
        "upgradeScope": wave.upgrade_scope,
        "job.upgradeScope": own,
    }
    chosen = [name for name, value in given.items() if value is not None]
    if not chosen and common.scope is not None:
        return common.scope.to_scope(document, complaints, ("job", "upgradeScope"))
    if len(chosen) != 1:
        got = " and ".join(chosen) if chosen else "none"
        complaints.add("R130", f"exactly one of size, keys and upgradeScope, got {got}", loc=loc)
        return None
    if wave.upgrade_scope is not None:
        return wave.upgrade_scope.to_scope(document, complaints, (*loc, "upgradeScope"))
    if own is not None:
        return own.to_scope(document, complaints, (*loc, "job", "upgradeScope"))
    if common.scope is not None:
        message = f"job.upgradeScope selects the devices, and so does {chosen[0]} of this wave"
        complaints.add("R130", message, loc=(*loc, chosen[0]), hint="give upgradeScope to the wave it is for")
        return None
    return wave.size if wave.size is not None else given["keys"]  # type: ignore[return-value]  # one of them is


def _core_limits(limits: LimitsBlock) -> Limits:
    standard = Limits()
    return Limits(
        create=_core_calls(limits.create, standard.create),
        read=_core_calls(limits.read, standard.read),
        devices_in_progress=limits.devices_in_progress,
    )


def _core_calls(calls: CallsBlock, standard: CallLimit) -> CallLimit:
    return replace(standard, **calls.model_dump(exclude_none=True))


def _core_devices(devices: DevicesBlock | None) -> DeviceSelection:
    if devices is None:
        return DeviceSelection()
    where = {column: tuple(values) for column, values in devices.where.items()}
    searches = {name: read_search(name) for name in (*devices.from_, *devices.exclude) if is_search(name)}
    return DeviceSelection(tuple(devices.from_), devices.key, tuple(devices.exclude), where, searches)


def _core_campaign(plan: PlanBlock, waves: tuple[Wave, ...], limits: Limits) -> Campaign:
    retry = plan.api_retry.model_dump(exclude_none=True)
    api_retry = ApiRetry(
        attempts=retry.get("attempts", ApiRetry().attempts),
        first_s=retry.get("first", ApiRetry().first_s),
        max_s=retry.get("max", ApiRetry().max_s),
        when_unsure=WhenUnsure(retry.get("when_unsure", ApiRetry().when_unsure)),
    )
    after = plan.stragglers_after
    return Campaign(
        id=plan.id,
        name=Localized(
            plan.id if plan.name is None else plan.name.default_value,
            {} if plan.name is None else dict(plan.name.i18n_value),
        ),
        org_id=plan.org_id,
        firmware_id=plan.firmware_id,
        waves=waves,
        per_job=PER_JOB_STANDARD if plan.devices is None else plan.devices.per_job,
        limits=limits,
        api_retry=api_retry,
        stragglers_after_s=max(float(wave.job.upgrade_timeout_s) for wave in waves)
        if after is None
        else after,
    )


def _seed_of(campaign_id: str) -> int:
    """Return a seed made from the id, so that not the same devices go first in every campaign."""
    return int.from_bytes(hashlib.sha256(campaign_id.encode()).digest()[:6], "big")


def _known_size(wave: Wave | None) -> int | None:
    match wave.size if wave is not None else None:
        case Count(devices):
            return devices
        case Keys(keys):
            return len(keys)
        case _:
            return None


def _check_fleet_wanted(
    complaints: Complaints, document: Document, waves: Sequence[Wave | None], *, fleet_given: bool
) -> None:
    """Check that there is a device list if, and only if, a wave takes devices from it."""
    assert isinstance(document.data, dict)
    listed = "devices" in document.data
    takers = [
        index for index, wave in enumerate(waves) if wave is not None and not isinstance(wave.size, Scope)
    ]
    if takers and not listed and not fleet_given:
        complaints.add("R106", "devices is missing: a wave takes devices from it", loc=("waves", takers[0]))
    if listed and waves and not takers and None not in waves:
        message = "no wave takes devices from a list: EnOS picks them all"
        complaints.add("R130", message, loc=("devices",), at_key=True)


_TEXTS: tuple[Loc, ...] = (
    ("id",),
    ("name",),
    ("name", "defaultValue"),
    ("orgId",),
    ("firmwareId",),
    ("devices", "where", "*", "*"),
    ("waves", "*", "name"),
    ("waves", "*", "keys", "*"),
)
"""Where text stands that other readers may take for something else; `*` is any key or index."""


def _warn_of_other_readers(complaints: Complaints, document: Document, platform: PlatformPlan) -> None:
    wanted: dict[int, list[Loc]] = {}
    jobs = [(*job, *text) for job in (("job",), ("waves", "*", "job")) for text in platform.texts]
    for pattern in (*_TEXTS, *jobs):
        wanted.setdefault(len(pattern), []).append(pattern)
    for loc, place in document.places.at.items():
        if not place.plain or not any(_fits(loc, pattern) for pattern in wanted.get(len(loc), ())):
            continue
        text = as_text(document, loc)
        if text and changes_elsewhere(text):
            complaints.add(
                "R110", f"other YAML readers do not keep {text} as text", loc=loc, hint=f'write "{text}"'
            )


def _fits(loc: Loc, pattern: Loc) -> bool:
    return all(want in ("*", part) for part, want in zip(loc, pattern, strict=True))
