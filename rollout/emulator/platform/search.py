"""The get and search calls: records from the index, found and paged as the published pages describe.

Cost. A search over tasks whose expression has only jobs and statuses is answered from counters; only the jobs on the
page itself are looked through. One that names devices reads the few tasks of those devices. Any other reads all tasks
of the jobs that may match. Searches over jobs, firmware and devices read all of them.

Order. Jobs and firmware come newest first, as documented. No order of tasks is documented: the knob `task_order` chooses
between the order in which they were made and, within each job, the order of their update times, with ties in another
order for every call. A client that reads page after page must work with both.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rollout.emulator.platform.bodies import Paging, Texts, read_paging
from rollout.emulator.platform.chance import dice
from rollout.emulator.platform.expression import (
    All,
    Expression,
    FieldOperators,
    constraints,
    fields_of,
    matches,
    parse,
)
from rollout.emulator.platform.firmware import Firmware
from rollout.emulator.platform.index import JobView
from rollout.emulator.platform.model import EmulatedPlatform
from rollout.emulator.platform.refusal import Refusal, invalid
from rollout.emulator.platform.tasks import STATUS_BY_LABEL, Status
from rollout.enos import limits
from rollout.enos.codes import Code

_EQUAL = frozenset({"="})
_EQUAL_IN = frozenset({"=", "in"})
_LIKE = frozenset({"like"})


_LANGUAGES = ("defaultValue", "zh_CN", "en_US", "default", "ja_JP", "es_ES")
"""What can follow a `name` field: the first three are from the pages, the others from Envision's Python sample."""


def _texts(name: str) -> FieldOperators:
    return {name: _LIKE, **{f"{name}.{language}": _LIKE for language in _LANGUAGES}}


JOB_FIELDS: FieldOperators = {
    "productKey": _EQUAL_IN,
    "firmwareId": _EQUAL_IN,
    "type": _EQUAL,
    "status": _EQUAL,
    "firmwareVersion": _EQUAL_IN,
    **_texts("firmwareName"),
    **_texts("name"),
}
"""search_ota_job page, 2.4."""

TASK_FIELDS: FieldOperators = dict.fromkeys(
    ("jobId", "deviceKey", "fromVersion", "toVersion", "status", "desc"), _EQUAL_IN
)
"""search_device_task page, 2.3."""

FIRMWARE_FIELDS: FieldOperators = {"productKey": _EQUAL_IN, "isVerified": _EQUAL, **_texts("name")}
"""search_firmware page."""

DEVICE_UPGRADE_FIELDS: FieldOperators = {
    "productKey": _EQUAL_IN,
    "firmwareVersion": _EQUAL_IN,
    "isUpgrading": _EQUAL,
}
"""search_device_upgrade page."""

DEVICE_FIELDS: FieldOperators = {
    "productKey": _EQUAL_IN,
    "deviceKey": _EQUAL_IN,
    "assetId": _EQUAL_IN,
    "firmwareVersion": _EQUAL_IN,
    "status": _EQUAL,
    "productType": _EQUAL,
    "modelId": frozenset({"=", "!=", "in"}),
    "deviceTags.*": frozenset({"=", "!=", "exists"}),
    "deviceAttributes.*": frozenset({"=", "exists", "in"}),
    "deviceName": _LIKE,
}
"""search_device page, 3.0."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search's results. `total`: how many records match in all."""

    records: list[dict[str, Any]]
    paging: Paging
    total: int

    def to_json(self) -> dict[str, Any]:
        """Return the answer's `pagination`."""
        return {
            "sortedBy": None,
            "pageNo": self.paging.number,
            "pageSize": self.paging.size,
            "totalSize": self.total,
        }


def get_job(platform: EmulatedPlatform, now: float, job_id: str) -> dict[str, Any]:
    """Return a job's record. Raises: Refusal 24404, also for a job so new that readers cannot see it yet."""
    platform.advance(now)
    view = platform.index.jobs.get(job_id)
    if view is None:
        raise Refusal(Code.NOT_FOUND, "Job not found")
    return _job_record(platform, view)


def search_jobs(platform: EmulatedPlatform, now: float, body: Any) -> Page:
    """Return jobs, newest first. Raises: Refusal 99400."""
    platform.advance(now)
    expression, paging = _read(platform, body, JOB_FIELDS, limits.PAGE_SIZE_MAX)
    hits = [
        view
        for view in reversed(platform.index.jobs.values())
        if matches(expression, functools.partial(_job_value, platform, view))
    ]
    return _page(hits, paging, lambda view: _job_record(platform, view))


def search_tasks(platform: EmulatedPlatform, now: float, body: Any) -> Page:
    """Return tasks, in the order of the knob `task_order`. Raises: Refusal 99400."""
    platform.advance(now)
    expression, paging = _read(platform, body, TASK_FIELDS, limits.PAGE_SIZE_MAX)
    demands = constraints(expression)
    statuses = _statuses(demands.values.get("status"))
    holders = platform.index.holders
    job_ids = demands.values.get("jobId")
    views = [
        view
        for view in (
            holders.values()
            if job_ids is None
            # in order of creation, like all of them
            else sorted((holders[i] for i in job_ids if i in holders), key=lambda view: view.job.number)
        )
        if any(view.counts[status] for status in statuses)
    ]
    platform.searches += 1
    if demands.exact and demands.values.keys() <= {"jobId", "status"}:
        return _page_by_counters(platform, views, statuses, paging)

    def is_hit(view: JobView, position: int) -> bool:
        return view.status[position] in statuses and matches(
            expression, lambda field: _task_value(platform, view, position, field)
        )

    keys = demands.values.get("deviceKey")
    if keys is None:
        candidates: Mapping[JobView, Iterable[int]] = {view: range(len(view.status)) for view in views}
    else:
        candidates = _tasks_of_devices(platform, keys)
    hits: list[tuple[JobView, int]] = []
    for view, positions in candidates.items():
        good = [position for position in positions if is_hit(view, position)]
        hits.extend((view, position) for position in _ordered(platform, view, good))
    return _page(hits, paging, lambda hit: _task_record(platform, *hit))


def get_firmware(platform: EmulatedPlatform, now: float, firmware_id: str) -> dict[str, Any]:
    """Return a firmware's record. Raises: Refusal 24404, also for one so new that readers cannot see it yet."""
    platform.advance(now)
    firmware = platform.firmware.get(firmware_id)
    if firmware is None or firmware.created_at > platform.index.horizon:
        raise Refusal(Code.NOT_FOUND, "Firmware not found")
    return _firmware_record(platform, firmware)


def search_firmware(platform: EmulatedPlatform, now: float, body: Any) -> Page:
    """Return firmware, newest first. Raises: Refusal 99400."""
    platform.advance(now)
    expression, paging = _read(platform, body, FIRMWARE_FIELDS, limits.PAGE_SIZE_MAX)
    hits = [
        firmware
        for firmware in reversed(platform.firmware.values())
        if firmware.created_at <= platform.index.horizon
        and matches(expression, functools.partial(_firmware_value, platform, firmware))
    ]
    return _page(hits, paging, lambda firmware: _firmware_record(platform, firmware))


def list_versions(platform: EmulatedPlatform, now: float, product_key: str) -> list[str]:
    """Return the firmware versions that devices of a product have reported, sorted, without repetitions."""
    platform.advance(now)
    devices = platform.devices
    versions = {devices.version(device) for device in devices if devices.product_key(device) == product_key}
    return sorted(version for version in versions if version is not None)


def search_device_upgrades(platform: EmulatedPlatform, now: float, body: Any) -> Page:
    """Return devices with their version and whether they are in an upgrade. Raises: Refusal 99400."""
    platform.advance(now)
    expression, paging = _read(platform, body, DEVICE_UPGRADE_FIELDS, limits.PAGE_SIZE_MAX)
    return _device_page(platform, expression, paging, _device_upgrade_record)


def search_devices(platform: EmulatedPlatform, now: float, body: Any) -> Page:
    """Return devices with all their fields. Raises: Refusal 99400."""
    platform.advance(now)
    expression, paging = _read(platform, body, DEVICE_FIELDS, limits.DEVICE_PAGE_SIZE_MAX)
    return _device_page(platform, expression, paging, _device_record)


# --- common to all searches -----------------------------------------------------------------------------------


def _read(
    platform: EmulatedPlatform, body: Any, fields: FieldOperators, size_max: int
) -> tuple[Expression, Paging]:
    if not isinstance(body, dict):
        raise invalid("body is not an object")
    text = body.get("expression")
    if text is not None and not isinstance(text, str):
        raise invalid("expression is not a text")
    return parse(text or "", fields), read_paging(body, size_max, platform.knobs)


def _page(hits: Sequence[Any], paging: Paging, record: Callable[[Any], dict[str, Any]]) -> Page:
    shown = hits[paging.offset : paging.offset + paging.size]
    return Page([record(hit) for hit in shown], paging, len(hits))


def _text_value(texts: Texts | None, field: str) -> str | None:
    """Return what a `name…` field is compared with: the text of one language, or those of all, one a line."""
    if texts is None:
        return None
    _, _, part = field.partition(".")
    if not part:
        return "\n".join({texts.default, texts.in_locale("zh_CN"), texts.in_locale("en_US")})
    return texts.default if part == "defaultValue" else texts.in_locale(part)


# --- jobs -----------------------------------------------------------------------------------------------------


def _job_value(platform: EmulatedPlatform, view: JobView, field: str) -> str | None:
    job = view.job
    match field:
        case "productKey":
            return _shown_product(platform, view)
        case "firmwareId":
            return job.firmware.id
        case "type":
            return "verify" if job.definition.verify else "upgrade"
        case "status":
            return _switch_label(view)
        case "firmwareVersion":
            return job.firmware.version
        case _:
            return _text_value(
                job.firmware.name if field.startswith("firmwareName") else job.definition.name, field
            )


def _switch_label(view: JobView) -> str:
    return "started" if view.started else "stopped"


def _shown_product(platform: EmulatedPlatform, view: JobView) -> str | None:
    return view.job.firmware.product_key if platform.knobs.job_product_key == "filled" else None


def _job_record(platform: EmulatedPlatform, view: JobView) -> dict[str, Any]:
    job = view.job
    return {
        "orgId": platform.org_id,
        "productKey": _shown_product(platform, view),
        "jobId": job.id,
        "firmwareId": job.firmware.id,
        "firmwareVersion": job.firmware.version,
        "firmwareName": job.firmware.name.to_json(),
        **job.definition.record,
        "status": _switch_label(view),
        "createTime": int(job.created_at * 1000),
    }


# --- tasks ----------------------------------------------------------------------------------------------------


def _statuses(labels: frozenset[str] | None) -> frozenset[Status]:
    """Return the statuses asked for, all if `labels` is None; unknown words are ignored."""
    if labels is None:
        return frozenset(STATUS_BY_LABEL.values())
    return frozenset(STATUS_BY_LABEL[label] for label in labels if label in STATUS_BY_LABEL)


def _tasks_of_devices(platform: EmulatedPlatform, keys: Iterable[str]) -> Mapping[JobView, list[int]]:
    """Return the tasks of some devices that readers can see, by job, jobs in order of creation."""
    found: dict[JobView, list[int]] = {}
    for key in keys:
        device = platform.devices.find(key)
        if device is None:
            continue
        for job, position in platform.tasks_of(device):
            view = platform.index.views[job.number]
            # the platform may be ahead of what readers can see
            if job.id in platform.index.holders and position < len(view.status):
                found.setdefault(view, []).append(position)
    return dict(sorted(found.items(), key=lambda item: item[0].job.number))


def _page_by_counters(
    platform: EmulatedPlatform, views: Iterable[JobView], statuses: frozenset[Status], paging: Paging
) -> Page:
    total = 0
    records: list[dict[str, Any]] = []
    for view in views:
        held = sum(view.counts[status] for status in statuses)
        first = max(paging.offset - total, 0)
        last = min(paging.offset + paging.size - total, held)
        total += held
        if first >= last:
            continue
        if paging.size == 1 and first == 0:
            # a client that only wants the count asks for a page of one record; which one does not matter
            nearest = min(p for status in statuses if (p := view.status.find(status)) >= 0)
            shown = [nearest]
        else:
            positions = [p for p, status in enumerate(view.status) if status in statuses]
            shown = _ordered(platform, view, positions)[first:last]
        records.extend(_task_record(platform, view, position) for position in shown)
    return Page(records, paging, total)


def _ordered(platform: EmulatedPlatform, view: JobView, positions: list[int]) -> list[int]:
    if platform.knobs.task_order == "stable":
        return sorted(positions)
    if len(positions) < 2:
        return positions
    mixed = sorted(positions)
    dice(platform.seed, "order", view.job.number, platform.searches).shuffle(mixed)
    return sorted(mixed, key=lambda position: view.updated[position])


def _task_value(platform: EmulatedPlatform, view: JobView, position: int, field: str) -> str | None:
    match field:
        case "jobId":
            return view.job.id
        case "deviceKey":
            return platform.devices.keys[view.job.tasks.devices[position]]
        case "fromVersion":
            return view.job.tasks.from_versions[position]
        case "toVersion":
            return view.job.firmware.version
        case "status":
            return Status(view.status[position]).label
        case "desc":
            return view.descs[position]
        case _:
            raise AssertionError(f"{field} is no field of tasks")


def _task_record(platform: EmulatedPlatform, view: JobView, position: int) -> dict[str, Any]:
    job, devices = view.job, platform.devices
    device = job.tasks.devices[position]
    progress, updated = view.report(position, platform.index.horizon)
    return {
        "taskId": platform.task_id(job, position),
        "orgId": platform.org_id,
        "assetId": devices.asset_id(device),
        "productKey": devices.product_key(device),
        "deviceKey": devices.keys[device],
        "jobId": job.id,
        "fromVersion": job.tasks.from_versions[position],
        "toVersion": job.firmware.version,
        "progress": progress,
        "desc": view.descs[position],
        "status": Status(view.status[position]).label,
        "updateTime": int(updated * 1000),
    }


# --- firmware and devices -------------------------------------------------------------------------------------


def _is_verified(platform: EmulatedPlatform, firmware: Firmware) -> bool:
    return firmware.verified_at is not None and firmware.verified_at <= platform.index.horizon


def _firmware_value(platform: EmulatedPlatform, firmware: Firmware, field: str) -> str | None:
    match field:
        case "productKey":
            return firmware.product_key
        case "isVerified":
            return "true" if _is_verified(platform, firmware) else "false"
        case _:
            return _text_value(firmware.name, field)


def _firmware_record(platform: EmulatedPlatform, firmware: Firmware) -> dict[str, Any]:
    return {
        "orgId": platform.org_id,
        "firmwareId": firmware.id,
        "productKey": firmware.product_key,
        "name": firmware.name.to_json(),
        "version": firmware.version,
        "desc": firmware.desc,
        "signMethod": firmware.sign_method,
        "sign": firmware.sign,
        "fileUrl": f"enos-connect://firmware-{firmware.id}.bin",
        # documented as a string, a number in the page's sample
        "fileSize": firmware.file_size,
        "enableVerification": firmware.enable_verification,
        "isVerified": _is_verified(platform, firmware),
        "createTime": int(firmware.created_at * 1000),
        "firmwareTags": dict(firmware.tags),
    }


def _device_page(
    platform: EmulatedPlatform,
    expression: Expression,
    paging: Paging,
    record: Callable[[EmulatedPlatform, int], dict[str, Any]],
) -> Page:
    """Return devices, the latest registered first."""
    hits = _matching_devices(platform, expression)
    return _page(hits, paging, lambda device: record(platform, device))


def _matching_devices(platform: EmulatedPlatform, expression: Expression) -> Sequence[int]:
    """Return the devices that match, the latest registered first.

    A client that lists a fleet repeats one search page after page. So the last result is kept until something it depends
    on changes. A result that depends on whether devices are online is not kept, because that changes with the time.
    """
    devices = platform.devices
    everything = range(len(devices) - 1, -1, -1)
    if expression == All():
        return everything
    basis = (expression, devices.changes, platform.index.applied)
    if platform.last_listing is not None and platform.last_listing[0] == basis:
        return platform.last_listing[1]
    keys = constraints(expression).values.get("deviceKey")
    if keys is None:
        candidates: Iterable[int] = everything
    else:
        numbers = (devices.find(key) for key in keys)
        candidates = sorted((number for number in numbers if number is not None), reverse=True)
    hits = [
        device
        for device in candidates
        if matches(expression, functools.partial(_device_value, platform, device))
    ]
    if "status" not in fields_of(expression):
        platform.last_listing = (basis, hits)
    return hits


def _device_value(platform: EmulatedPlatform, device: int, field: str) -> str | None:
    devices = platform.devices
    match field:
        case "productKey":
            return devices.product_key(device)
        case "deviceKey":
            return devices.keys[device]
        case "assetId":
            return devices.asset_id(device)
        case "firmwareVersion":
            return platform.index.version(devices, device)
        case "isUpgrading":
            return "true" if device in platform.index.upgrading else "false"
        case "status":
            return _presence(platform, device)
        case "productType":
            return devices.column(device, "productType") or "Device"
        case _ if field.startswith("deviceTags."):
            return devices.tag(device, field.removeprefix("deviceTags."))
        case _ if field.startswith("deviceAttributes."):
            return devices.column(device, "attributes." + field.removeprefix("deviceAttributes."))
        case _:
            return devices.column(device, field)


def _presence(platform: EmulatedPlatform, device: int) -> str:
    return "online" if platform.is_online(device) else "offline"


def _device_upgrade_record(platform: EmulatedPlatform, device: int) -> dict[str, Any]:
    return {
        "orgId": platform.org_id,
        "assetId": platform.devices.asset_id(device),
        "productKey": platform.devices.product_key(device),
        "deviceKey": platform.devices.keys[device],
        "firmwareVersion": platform.index.version(platform.devices, device),
        "isUpgrading": device in platform.index.upgrading,
    }


def _device_record(platform: EmulatedPlatform, device: int) -> dict[str, Any]:
    devices = platform.devices
    columns = devices.row(device)

    def below(prefix: str) -> Mapping[str, str]:
        return {name.removeprefix(prefix): v for name, v in columns.items() if name.startswith(prefix)}

    return {
        "orgId": platform.org_id,
        "assetId": devices.asset_id(device),
        "productKey": devices.product_key(device),
        "productType": columns.get("productType", "Device"),
        "deviceKey": devices.keys[device],
        "deviceName": {"defaultValue": columns.get("deviceName", devices.keys[device]), "i18nValue": {}},
        "modelId": columns.get("modelId"),
        "status": _presence(platform, device),
        "firmwareVersion": platform.index.version(devices, device),
        # a fleet column without a prefix serves as a tag
        "deviceTags": {
            **{n: v for n, v in columns.items() if "." not in n and n not in _OWN},
            **below("tags."),
        },
        "deviceAttributes": dict(below("attributes.")),
    }


_OWN = frozenset(
    {"productKey", "assetId", "firmwareVersion", "deviceName", "modelId", "productType", "deviceGroupIds"}
)
