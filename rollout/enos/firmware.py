"""Firmware files: uploaded, looked up, and which device runs which.

An upload is no job: its name is unique within the product, so a repeat of one that took effect is refused (24602) and
does no harm. Pages: create_firmware, get_firmware, search_firmware, list_firmware_version, search_device_upgrade,
delete_firmware, all below `/connect-service/v2.1/ota-firmwares`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import ValidationError

from rollout.core.records import Hits
from rollout.enos import limits
from rollout.enos.caller import Caller
from rollout.enos.codes import Operation
from rollout.enos.messages import (
    CreatedFirmware,
    DeviceBrief,
    Envelope,
    FirmwareBrief,
    FirmwareMetadata,
    StringI18n,
)
from rollout.enos.paging import Reading, every_row, gather
from rollout.enos.translate import all_of, condition, like, search_body, take_number, take_text
from rollout.errors import Failure, Phase, ServiceError, SettingsError

PATH: Final = "connect-service/v2.1/ota-firmwares"


@dataclass(frozen=True, slots=True)
class Upload:
    """A firmware file with what is told of it.

    With `enable_verification` upgrade jobs are refused (24610) until `verify_successes_min` devices of a verification
    job, of at most `verify_devices_max`, have succeeded; EnOS's defaults where None.
    """

    name: str
    version: str
    content: bytes = field(repr=False)
    file_name: str
    enable_verification: bool
    sign_method: Literal["md5", "sha256"] = "sha256"
    desc: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    verify_devices_max: int | None = None
    verify_successes_min: int | None = None


@dataclass(frozen=True, slots=True)
class FirmwareRecord:
    """A firmware as the platform shows it; `more` has what has no field here, as it came.

    `product_key` is empty for firmware without a product (since 2.4.4). Verification is None where it is not told.
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
        """Whether an upgrade job would be refused: it must be verified, and is not said to be."""
        return self.enable_verification is True and self.is_verified is not True


@dataclass(frozen=True, slots=True)
class DeviceVersion:
    """Which firmware a device has reported. `is_upgrading` is false after an upgrade however it ended."""

    device_key: str
    asset_id: str = ""
    product_key: str = ""
    firmware_version: str = ""
    is_upgrading: bool | None = None
    more: Mapping[str, Any] = field(default_factory=dict, hash=False)


class EnosFirmware:
    """The firmware of the caller's organisation. Every method raises `ServiceError`."""

    def __init__(self, caller: Caller, *, page_size: int = limits.PAGE_SIZE_MAX) -> None:
        assert 1 <= page_size <= limits.PAGE_SIZE_MAX, "EnOS sends at most 200 rows a page"
        self._caller = caller
        self._page_size = page_size

    async def create(self, upload: Upload, *, product_key: str | None = None) -> str:
        """Upload a file and return its firmware id. Page: create_firmware.

        Args:
            product_key: mandatory before 2.4.4.
        Raises: SettingsError for what no platform takes; `ServiceError` with code 24601 or 24602 where version or
            name exist.
        """
        body, kind = multipart(_metadata(upload), upload.content, upload.file_name)
        query = {"action": "create"} | ({"productKey": product_key} if product_key else {})
        reply = await self._call(Operation.UPLOAD, query, body, CreatedFirmware, kind=kind, fresh=True)
        if reply.data is None:
            raise ServiceError(
                "upload: success without a firmware id", phase=Phase.ANSWERED, failure=Failure.UNREADABLE
            )
        created: CreatedFirmware = reply.data
        return created.firmware_id

    async def get(self, firmware_id: str) -> FirmwareRecord:
        """Return the firmware's record; code 24404 where there is none. Page: get_firmware."""
        query = {"action": "get", "firmwareId": firmware_id}
        reply = await self._call(Operation.READ, query, None, FirmwareBrief)
        if reply.data is None:
            raise ServiceError(
                "get: success without a firmware", phase=Phase.ANSWERED, failure=Failure.UNREADABLE
            )
        return firmware_record(reply.data)

    async def search(
        self, *, product_keys: Sequence[str] = (), is_verified: bool | None = None, name_part: str = ""
    ) -> Hits[FirmwareRecord]:
        """Return the firmware that matches, newest first; all without conditions. Page: search_firmware.

        `name_part` occurs in the default name, case and all.
        """
        expression = all_of(
            condition("productKey", tuple(product_keys)),
            _flag("isVerified", is_verified),
            like("name", name_part) if name_part else "",
        )
        hits = await gather(
            lambda: self._read("search", expression, FirmwareBrief, lambda row: row.firmware_id)
        )
        records = map(firmware_record, hits.rows)
        return Hits(tuple(record for record in records if name_part in record.name), hits.complete)

    async def list_versions(self, product_key: str) -> list[str]:
        """Return the versions that devices of the product have reported. Page: list_firmware_version."""
        query = {"action": "listVersion", "productKey": product_key}
        reply = await self._call(Operation.READ, query, None, list[str])
        return list(dict.fromkeys(reply.data or []))

    async def device_versions(
        self,
        *,
        product_keys: Sequence[str] = (),
        versions: Sequence[str] = (),
        is_upgrading: bool | None = None,
    ) -> AsyncIterator[DeviceVersion]:
        """Yield the devices that match, each once; all without conditions. Page: search_device_upgrade.

        Raises after devices were yielded where the pages never agreed.
        """
        expression = all_of(
            condition("productKey", tuple(product_keys)),
            condition("firmwareVersion", tuple(versions)),
            _flag("isUpgrading", is_upgrading),
        )
        rows = every_row(
            lambda: self._read("searchDeviceUpgrade", expression, DeviceBrief, DeviceBrief.identity),
            "device versions",
        )
        async for row in rows:
            yield device_version(row)

    async def delete(self, firmware_id: str) -> None:
        """Delete the firmware; one already gone is a success. Page: delete_firmware.

        Raises `ServiceError` with code 24604 while jobs use it, and for some 20 s after the last was deleted.
        """
        try:
            await self._call(Operation.DELETE, {"action": "delete", "firmwareId": firmware_id})
        except ServiceError as error:
            if error.failure is not Failure.ALREADY_SO:
                raise

    def _read(self, action: str, expression: str, data: Any, identity: Any) -> Reading[Any]:
        async def ask(page_no: int) -> Envelope[list[Any]]:
            body = search_body(expression, page_no=page_no, page_size=self._page_size)
            return await self._call(Operation.READ, {"action": action}, body, list[data])

        return Reading(ask, identity, pages_max=limits.DEVICE_PAGES_MAX)

    async def _call(
        self,
        operation: Operation,
        query: Mapping[str, str],
        body: bytes | None = None,
        data: type[Any] = object,
        **how: Any,
    ) -> Envelope[Any]:
        return await self._caller.call(operation, PATH, query, body, data, of_firmware=True, **how)


def _flag(name: str, value: bool | None) -> str:  # noqa: FBT001 - a value, not a switch
    return "" if value is None else f"{name}={str(value).lower()}"


def _metadata(upload: Upload) -> bytes:
    """Return the upload's `metadata` part. Raises SettingsError naming the field that no platform takes."""
    try:
        metadata = FirmwareMetadata(
            name=StringI18n(default_value=upload.name, i18n_value=dict(upload.names)),
            version=upload.version,
            sign_method=upload.sign_method,
            sign=hashlib.new(upload.sign_method, upload.content, usedforsecurity=False).hexdigest(),
            enable_verification=upload.enable_verification,
            desc=upload.desc or None,
            firmware_tags=dict(upload.tags) or None,
            max_allowed_for_verification=upload.verify_devices_max,
            min_success_for_verified=upload.verify_successes_min,
        )
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise SettingsError(f"firmware {place}: {fault['msg']}") from None
    return metadata.model_dump_json(by_alias=True, exclude_none=True).encode()


def multipart(metadata: bytes, content: bytes, file_name: str) -> tuple[bytes, str]:
    """Return the body of an upload and its content type.

    The boundary is the content's own digest, which it cannot hold; so the same file gives the same body.
    Raises SettingsError for a file name that could leave its quotes. Source: RFC 7578.
    """
    if not re.fullmatch(r"[A-Za-z0-9._+-]{1,128}", file_name):
        raise SettingsError(
            "a firmware file's name has letters, digits and . _ + - only, at most 128",
            hint="upload it under another name",
        )
    boundary = hashlib.sha256(content).hexdigest()
    parts = (
        ('form-data; name="metadata"', "application/json;charset=UTF-8", metadata),
        (f'form-data; name="file"; filename="{file_name}"', "application/octet-stream", content),
    )
    lines = [
        f"--{boundary}\r\nContent-Disposition: {what}\r\nContent-Type: {kind}\r\n\r\n".encode()
        + part
        + b"\r\n"
        for what, kind, part in parts
    ]
    return b"".join([*lines, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"


def firmware_record(firmware: FirmwareBrief) -> FirmwareRecord:
    """Return the firmware with all that was told of it; a field not of its documented type stays in `more`."""
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


def device_version(device: DeviceBrief) -> DeviceVersion:
    """Return the device with all that was told of it."""
    more = dict(device.model_extra or {})
    return DeviceVersion(
        device_key=device.device_key,
        asset_id=device.asset_id or "",
        product_key=take_text(more, "productKey"),
        firmware_version=take_text(more, "firmwareVersion"),
        is_upgrading=_take_flag(more, "isUpgrading"),
        more=more,
    )


def _take_flag(record: dict[str, Any], name: str) -> bool | None:
    """Take true or false out of the record; leave anything else there."""
    value = record.get(name)
    if not isinstance(value, bool):
        return None
    del record[name]
    return value
