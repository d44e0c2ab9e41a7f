"""What changes the platform, as values: the emulator's history is a list of these, and replaying it is life.

Every mutating call is first an `Operation` with its time, then performed; refused ones too, since a refusal
may follow changes (knob `batch_errors`). Performing the same list on a fresh platform of the same settings gives
the same platform.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rollout.emulator.platform.model import Platform


@dataclass(frozen=True, slots=True)
class Operation:
    """Something to do at a time, seconds since the epoch; `args` is plain JSON."""

    at: float
    name: str
    args: Mapping[str, Any]


def perform(platform: Platform, operation: Operation) -> Any:
    """Do it and return what it gives. Raises: what the model's method raises."""
    at, args = operation.at, operation.args
    match operation.name:
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
