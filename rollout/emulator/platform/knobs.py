"""The knobs: one setting for every point that the platform's documents leave open.

A default is the reading that follows best from the documents. The knobs exist so that tests can show that the engine
works with every other reading too. A change of a knob applies from then on and changes nothing that has happened.
"""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints


@dataclass(frozen=True, slots=True)
class Knobs:
    """How the open points are read. Times are seconds of the emulator's clock. The first choice is the default.

    `WHAT_KNOBS_DO` explains each.
    """

    error_status: Literal["200", "mapped"] = "200"
    error_data: Literal["null", "absent"] = "null"
    created_job: Literal["started", "stopped"] = "started"
    start_after_create: Literal["ignore", "obey"] = "ignore"
    device_keys_max: int | None = None
    source_versions: Literal["optional", "mandatory"] = "optional"
    several_keys: Literal["all", "any"] = "all"
    total_without_product: Literal["all", "refuse"] = "all"
    repeat_daily: Literal["for_ever", "until_end"] = "for_ever"
    daily_times: Literal["instants", "wall_clock"] = "instants"
    zone_s: float = 0.0
    window_for_requests: Literal["ignored", "kept"] = "ignored"
    read_lag_s: float = 2.0
    materialise_s: float = 1.0
    task_order: Literal["shuffled", "stable"] = "shuffled"
    page_size_excess: Literal["refuse", "clamp"] = "refuse"
    sorters: Literal["refuse", "ignore"] = "refuse"
    batch_errors: Literal["nothing", "partial_error", "partial_success"] = "nothing"
    batch_keys_max: int | None = None
    unknown_keys: Literal["wrong", "ignore"] = "wrong"
    cancelled_task: Literal["failed", "removed"] = "failed"
    cancelled_published: Literal["over", "goes_on"] = "over"
    retry_count: Literal["kept", "reset"] = "kept"
    stop_running: Literal["continue", "fail"] = "continue"
    published_timer: Literal["verify", "all", "none"] = "verify"
    job_product_key: Literal["filled", "null"] = "filled"
    busy_device: Literal["wait", "no_task", "failed"] = "wait"
    upgrade_requests: Literal["push_and_pull", "pull_only"] = "push_and_pull"
    deleted_job_tasks: Literal["removed", "kept"] = "removed"
    window_over: Literal["started", "stopped"] = "started"
    verified_by: Literal["successes", "any_attempt"] = "successes"
    second_verification: Literal["beside", "cancels"] = "beside"
    firmware_release_s: float = 0.0
    numeric_strings: Literal["accept", "refuse"] = "accept"
    unknown_fields: Literal["ignore", "refuse"] = "ignore"
    strict_firmware: bool = False
    any_device: bool = False


WHAT_KNOBS_DO: Mapping[str, str] = types.MappingProxyType(
    {
        "error_status": "HTTP status of an answer whose code is not 0: always 200, or its tail (404, 400, 403, 500; else 409)",
        "error_data": "data of such an answer: null, or absent",
        "created_job": "a job is started by its creation, or waits for start",
        "start_after_create": "startAfterCreate of a create call, which no page lists: ignored, or it decides",
        "device_keys_max": "most entries of a selector in a create call; none does not ask",
        "source_versions": "versionNumbers of a scope: may be left out, which means any version but the target, or not",
        "several_keys": "of attributes and tags: a device must match all keys, or any of them",
        "total_without_product": "scope total of a firmware without product: all devices there are, or refused",
        "repeat_daily": "a window with isRepeatDaily: comes every day for ever, or from the day of its start to that of "
        "its end",
        "daily_times": "start and end of such a window: instants, whose time of day is the same in any zone; or the "
        "time on the clocks of the zone that timezoneOffsetInMinutes names",
        "zone_s": "how far east of UTC the day of a window is where a call gives no zone, seconds",
        "window_for_requests": "devices that ask by themselves: are served at any time, or within the window only",
        "read_lag_s": "how long get and search answer from the past",
        "materialise_s": "over how long a job's tasks come to exist after its creation",
        "task_order": "of searchTask: by updateTime with ties in a new order for every call, or always the same",
        "page_size_excess": "a pageSize above the maximum: refused, or cut",
        "sorters": "of a pagination, which no search supports: refused, or ignored",
        "batch_errors": "cancelTask and retryTask with a task in the wrong state: nothing is done; the others are done "
        "and the error told; the others are done and success told",
        "batch_keys_max": "most deviceKeys of cancelTask and retryTask; none does not ask",
        "unknown_keys": "a device without a task in such a call: counts as one in the wrong state, or is passed over",
        "cancelled_task": "stays as failed with a text, or is removed",
        "cancelled_published": "a task cancelled after its announcement: the device drops it, or goes on all the same "
        "and reports the new version later",
        "retry_count": "a manual retry: leaves the count of automatic ones, or lets it begin anew",
        "stop_running": "tasks at work when their job is stopped: go on, or fail",
        "published_timer": "whether upgradeTimeout also ends tasks announced and never reported: of verification jobs "
        "only, of all, of none",
        "job_product_key": "in job records: filled, or null",
        "busy_device": "a device with an unfinished task in another running job: waits, gets no task, or fails at once",
        "upgrade_requests": "enableUpgradeRequest: devices are pushed to as well, or only ask by themselves",
        "deleted_job_tasks": "are removed with the job, or stay in searches",
        "window_over": "a job whose single window is over: stays started, or is stopped",
        "verified_by": "what makes a firmware verified: enough successes, or any attempt that came to an end (old "
        "releases)",
        "second_verification": "of a firmware: runs beside the first, or cancels what waits there (old releases)",
        "firmware_release_s": "how long after the deletion of its last job a firmware still counts as in use (24604)",
        "numeric_strings": "numbers and switches as texts in a body: accepted, or refused",
        "unknown_fields": "in a body: ignored, or refused",
        "strict_firmware": "unknown firmware ids are refused; otherwise made on first use, already verified",
        "any_device": "unknown device keys of the platform's pattern are registered on first use",
    }
)
"""Each knob in one line, for the admin page and the command line."""

Values = TypeVar("Values")


def with_settings(values: Values, settings: Mapping[str, Any]) -> Values:
    """Return a dataclass of knobs with some of them changed; a setting is a value or its text.

    Raises: ValueError naming the knob, for an unknown name or a value that the knob cannot have.
    """
    kinds = get_type_hints(type(values))
    changes: dict[str, Any] = {}
    for name, value in settings.items():
        if name not in kinds:
            raise ValueError(f"no knob is called {name!r}; there are {', '.join(sorted(kinds))}")
        changes[name] = _read(name, kinds[name], value)
    return dataclasses.replace(values, **changes)  # type: ignore[type-var]  # a dataclass, as said


def _read(name: str, kind: Any, value: Any) -> Any:
    if get_origin(kind) is Literal:
        words: tuple[str, ...] = get_args(kind)
        if str(value) in words:
            return str(value)
        raise ValueError(f"{name} is one of {', '.join(words)}, not {value!r}")
    if get_origin(kind) is types.UnionType:
        # an optional limit
        if value is None or str(value).lower() in {"none", "off", ""}:
            return None
        (kind,) = (part for part in get_args(kind) if part is not types.NoneType)
    if kind is bool:
        if str(value).lower() in _SWITCH:
            return _SWITCH[str(value).lower()]
        raise ValueError(f"{name} is true or false, not {value!r}")
    if hasattr(kind, "parse"):
        return value if isinstance(value, kind) else kind.parse(str(value))
    if kind is int:
        if re.fullmatch(r"[0-9]{1,9}", str(value)) is None:
            raise ValueError(f"{name} is a whole number, not {value!r}")
        return int(value)
    assert kind is float, "knobs are choices, switches, numbers or seconds"
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is a time in seconds, not {value!r}") from None
    if not 0 <= seconds <= 86_400:
        raise ValueError(f"{name} is 0 to 86,400 seconds, not {value!r}")
    return seconds


_SWITCH = types.MappingProxyType({"true": True, "on": True, "false": False, "off": False})
