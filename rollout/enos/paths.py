"""Where the operations of the EnOS API lie: paths below the gateway, without a leading slash.

The operations on one path differ by the query parameter `action`.
"""

from __future__ import annotations

from typing import Final

JOBS_PATH: Final = "connect-service/v2.1/ota-jobs"
FIRMWARE_PATH: Final = "connect-service/v2.1/ota-firmwares"
DEVICES_PATH: Final = "connect-service/{version}/devices"
"""The device search. `version` is `v2.1` or `v2.4`."""
TOKEN_PATH: Final = "apim-token-service/v2.0/token"  # noqa: S105 - a path
"""The token service: `/get` or `/refresh` follows."""

GET_ACTIONS: Final = frozenset({"get", "listVersion"})
"""Actions without a body, which are GETs; all others are POSTs, delete too."""
