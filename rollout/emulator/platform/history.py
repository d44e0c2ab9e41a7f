"""The platform's history: every change made to it from outside, as a list of values that can be replayed.

A call that changes something is first written down as a `HistoryEntry`, with its time, and then applied. Refused calls
are in the history too, because a refusal may follow changes (knob `batch_errors`). Applying the same entries to a new
platform with the same settings gives the same platform; `oplog` keeps the entries on disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rollout.emulator.platform.model import EmulatedPlatform


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change. `at`: seconds since the epoch. `name`: one of those in `apply_entry`. `args`: plain JSON."""

    at: float
    name: str
    args: Mapping[str, Any]


def apply_entry(platform: EmulatedPlatform, entry: HistoryEntry) -> Any:
    """Apply one entry and return what the model's method returns.

    Raises: what that method raises, mostly Refusal; ValueError for an unknown name.
    """
    at, args = entry.at, entry.args
    match entry.name:
        case "create":
            return platform.create_job(at, args["firmwareId"], args["body"])
        case "createLater":
            return platform.create_job_later(at, args["firmwareId"], args["body"], args["delayS"])
        case "start":
            return platform.start_job(at, args["jobId"])
        case "stop":
            return platform.stop_job(at, args["jobId"])
        case "delete":
            return platform.delete_job(at, args["jobId"])
        case "cancelTask":
            return platform.cancel_tasks(at, args["jobId"], args["body"])
        case "retryTask":
            return platform.retry_tasks(at, args["jobId"], args["body"])
        case "createFirmware":
            return platform.create_firmware(at, args["productKey"], args["metadata"], args["fileSize"])
        case "deleteFirmware":
            return platform.delete_firmware(at, args["firmwareId"])
        case "reportDevice":
            return platform.report_device(at, args["deviceKey"], args["columns"])
        case "setKnobs":
            return platform.set_knobs(at, args)
        case name:
            raise ValueError(f"no operation is called {name!r}")
