"""The record of a firmware, looked up by its id before a plan relies on it.

Firmware is uploaded and verified in EnOS's console, never by this program.
Page: get_firmware, below `/connect-service/v2.1/ota-firmwares`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rollout.enos.caller import Caller
from rollout.enos.codes import Operation
from rollout.enos.messages import Envelope, FirmwareBrief
from rollout.enos.paths import FIRMWARE_PATH
from rollout.enos.translate import take_number, take_text
from rollout.errors import Failure, Phase, ServiceError


@dataclass(frozen=True, slots=True)
class FirmwareRecord:
    """A firmware as the platform shows it.

    `product_key` is empty for firmware without a product (since 2.4.4). `enable_verification` and `is_verified` are
    None where EnOS does not tell. `more` has the fields that have no place here, as they came.
    """

    firmware_id: str
    name: str = ""
    version: str = ""
    product_key: str = ""
    enable_verification: bool | None = None
    is_verified: bool | None = None
    file_size: int | None = None
    create_time_ms: int | None = None
    names: Mapping[str, str] = field(default_factory=dict, hash=False)
    more: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def needs_verification(self) -> bool:
        """Whether EnOS would refuse an upgrade job: the firmware must be verified, and is not said to be."""
        return self.enable_verification is True and self.is_verified is not True


async def read_firmware(caller: Caller, firmware_id: str) -> FirmwareRecord:
    """Return the firmware's record. Raises `ServiceError`: GONE if there is no such firmware."""
    query = {"action": "get", "firmwareId": firmware_id}
    reply: Envelope[FirmwareBrief] = await caller.call(
        Operation.READ, FIRMWARE_PATH, query, None, FirmwareBrief, of_firmware=True
    )
    if reply.data is None:
        raise ServiceError(
            "get: success without a firmware", phase=Phase.ANSWERED, failure=Failure.UNREADABLE
        )
    return firmware_record(reply.data)


def firmware_record(firmware: FirmwareBrief) -> FirmwareRecord:
    """Return the record with all that EnOS told; a field that is not of its documented type stays in `more`."""
    more = dict(firmware.model_extra or {})
    return FirmwareRecord(
        firmware_id=firmware.firmware_id,
        name=(firmware.name.default_value if firmware.name else None) or "",
        version=take_text(more, "version"),
        product_key=take_text(more, "productKey"),
        enable_verification=_take_flag(more, "enableVerification"),
        is_verified=_take_flag(more, "isVerified"),
        file_size=take_number(more, "fileSize"),
        create_time_ms=take_number(more, "createTime"),
        names=(firmware.name.i18n_value if firmware.name else None) or {},
        more=more,
    )


def _take_flag(record: dict[str, Any], name: str) -> bool | None:
    """Take true or false out of the record; return None and leave the field there if it is anything else."""
    value = record.get(name)
    if not isinstance(value, bool):
        return None
    del record[name]
    return value
