"""Every point the documents leave open, each a switch with a name.

The defaults are the readings that follow best from what is documented. An engine should live with every other value
too; that is what the knobs are for. Changing a knob changes what happens from then on, never what has happened.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

__all__ = ["Knobs", "with_settings"]


@dataclass(frozen=True, slots=True)
class Knobs:
    """How open points are read; times in seconds of the emulator's clock.

    - `error_status`: HTTP status of an answer whose code is not 0: always 200, or mapped from the code.
    - `created_job`: a job is started by its creation, or waits for start.
    - `read_lag_s`: how long get and search answer from the past.
    - `materialise_s`: over how long a job's tasks come to exist after its creation.
    - `task_order`: of searchTask: always the same, or by updateTime with ties in a new order for every call.
    - `page_size_excess`: a pageSize above the maximum is refused, or cut.
    - `batch_errors`: of cancelTask and retryTask with a task in the wrong state: nothing is done; the others
      are done and the error told; the others are done and success told.
    - `cancelled_task`: stays as failed with a text, or is removed.
    - `stop_running`: tasks at work when their job is stopped go on, or fail.
    - `published_timer`: whether `upgradeTimeout` also ends tasks that were announced and never reported:
      for verification jobs only, for all, for none.
    - `job_product_key`: filled in job records, or null.
    - `busy_device`: a device with an unfinished task in another running job waits, gets no task, or fails at once.
    - `upgrade_requests`: with `enableUpgradeRequest` devices are pushed to as well, or only ask by themselves.
    - `deleted_job_tasks`: removed with the job, or kept in searches.
    - `window_over`: a job whose single window is over stays started, or is stopped.
    - `numeric_strings`, `unknown_fields`: in a body accepted, or refused.
    - `strict_firmware`: unknown firmware ids are refused; otherwise made on first use, already verified.
    - `any_device`: unknown device keys that keep the platform's pattern are registered on first use.
    """

    error_status: Literal["200", "mapped"] = "200"
    created_job: Literal["started", "stopped"] = "started"
    read_lag_s: float = 2.0
    materialise_s: float = 1.0
    task_order: Literal["stable", "shuffled"] = "shuffled"
    page_size_excess: Literal["refuse", "clamp"] = "refuse"
    batch_errors: Literal["nothing", "partial_error", "partial_success"] = "nothing"
    cancelled_task: Literal["failed", "removed"] = "failed"
    stop_running: Literal["continue", "fail"] = "continue"
    published_timer: Literal["verify", "all", "none"] = "verify"
    job_product_key: Literal["filled", "null"] = "filled"
    busy_device: Literal["wait", "no_task", "failed"] = "wait"
    upgrade_requests: Literal["push_and_pull", "pull_only"] = "push_and_pull"
    deleted_job_tasks: Literal["removed", "kept"] = "removed"
    window_over: Literal["started", "stopped"] = "started"
    numeric_strings: Literal["accept", "refuse"] = "accept"
    unknown_fields: Literal["ignore", "refuse"] = "ignore"
    strict_firmware: bool = False
    any_device: bool = False


def with_settings(knobs: Knobs, settings: Mapping[str, Any]) -> Knobs:
    """Return the knobs with some of them set, each given as its value or as text.

    Raises: ValueError naming the knob, for an unknown name or a value it does not have.
    """
    kinds = get_type_hints(Knobs)
    changes: dict[str, Any] = {}
    for name, value in settings.items():
        if name not in kinds:
            raise ValueError(f"no knob is called {name!r}; there are {', '.join(sorted(kinds))}")
        changes[name] = _read(name, kinds[name], value)
    return dataclasses.replace(knobs, **changes)


def _read(name: str, kind: Any, value: Any) -> Any:
    if get_origin(kind) is Literal:
        choices: tuple[str, ...] = get_args(kind)
        if str(value) in choices:
            return str(value)
        raise ValueError(f"{name} is one of {', '.join(choices)}, not {value!r}")
    if kind is bool:
        words = types.MappingProxyType({"true": True, "on": True, "false": False, "off": False})
        if str(value).lower() in words:
            return words[str(value).lower()]
        raise ValueError(f"{name} is true or false, not {value!r}")
    assert kind is float, "knobs are choices, switches or seconds"
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is a time in seconds, not {value!r}") from None
    if not 0 <= seconds <= 86_400:
        raise ValueError(f"{name} is 0 to 86,400 seconds, not {value!r}")
    return seconds
