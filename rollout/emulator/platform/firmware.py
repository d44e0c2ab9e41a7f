"""Firmware: its record, what the metadata of an upload must contain, and whether upgrade jobs may use it.

Upgrade jobs for a firmware with `enableVerification` are refused (24610) until enough devices of verification jobs
have succeeded. The file itself is not kept, because emulated devices do not download it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rollout.emulator.platform.bodies import BodyReader, Texts, read_text_map, read_texts
from rollout.emulator.platform.knobs import Knobs
from rollout.emulator.platform.refusal import invalid
from rollout.enos import limits

DESC_CHARS_MAX = 512
"""create_firmware page, since 2.4; 100 before."""

_METADATA_FIELDS = frozenset(
    {
        "name",
        "version",
        "signMethod",
        "sign",
        "desc",
        "enableVerification",
        "firmwareTags",
        "maxAllowedForVerification",
        "minSuccessForVerified",
    }
)


@dataclass(slots=True, eq=False)
class Firmware:
    """One firmware. Times are seconds since the epoch.

    `product_key`: None if it was made without a product (possible since 2.4.4). `verified_at`: None while it is not
    verified. `verify_devices_max`: the most devices of one verification job. `verify_successes_min`: devices that must
    succeed before it is verified. `verify_successes`: devices that have. `released_at`: when a job that used it was last
    deleted, minus infinity if never.
    """

    id: str
    product_key: str | None
    name: Texts
    version: str
    created_at: float
    enable_verification: bool
    verified_at: float | None
    verify_devices_max: int
    verify_successes_min: int
    desc: str = ""
    sign_method: str = "sha256"
    sign: str = ""
    file_size: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)
    verify_successes: int = 0
    released_at: float = -math.inf

    def count_verified(self, at: float) -> None:
        """Count a device of a verification job that succeeded; enough of them make the firmware verified."""
        self.verify_successes += 1
        if self.verify_successes >= self.verify_successes_min:
            self.verify(at)

    def verify(self, at: float) -> None:
        """Make the firmware verified from `at` on, unless it is already."""
        if self.verified_at is None:
            self.verified_at = at


def read_metadata(
    metadata: Any,
    knobs: Knobs,
    *,
    firmware_id: str,
    product_key: str | None,
    file_size: int,
    created_at: float,
) -> Firmware:
    """Return the firmware that the `metadata` part of an upload describes. Raises: Refusal 99400.

    A firmware that needs no verification is recorded as not verified; upgrade jobs may use it all the same.
    Source: create_firmware page.
    """
    fields = BodyReader(metadata, "metadata", knobs)
    fields.only(_METADATA_FIELDS)
    texts = {name: fields.get(name) for name in ("version", "sign")}
    for name, text in texts.items():
        if not isinstance(text, str) or not text:
            raise invalid(f"metadata.{name} is missing")
    desc = "" if fields.get("desc") is None else fields.get("desc")
    if not isinstance(desc, str) or len(desc) > DESC_CHARS_MAX:
        raise invalid(f"metadata.desc must be a text of at most {DESC_CHARS_MAX} characters")
    most = fields.integer("maxAllowedForVerification", (1, 2**31 - 1), limits.VERIFY_DEVICES_MAX_DEFAULT)
    return Firmware(
        id=firmware_id,
        product_key=product_key,
        name=read_texts(fields.get("name"), "metadata.name"),
        version=texts["version"],
        created_at=created_at,
        enable_verification=fields.boolean("enableVerification", default=None),
        verified_at=None,
        verify_devices_max=most,
        verify_successes_min=fields.integer("minSuccessForVerified", (1, most), 1),
        desc=desc,
        sign_method=fields.choice("signMethod", ("md5", "sha256")),
        sign=texts["sign"],
        file_size=file_size,
        tags=read_text_map(fields.get("firmwareTags"), "metadata.firmwareTags"),
    )
