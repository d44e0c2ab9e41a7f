"""Published bounds of the EnOS OTA service, and our own where EnOS publishes none.

Every number has its unit at the end of its name and its source beside it. *Published* numbers are the
platform's and may be relied on; *ours* are the margins of a careful client where the documentation is silent.
Page names are those of the EnOS Connection Service API, release 2.4.4 unless another is named.
"""

from __future__ import annotations

import re
from typing import Final

# Published: create_ota_job
UPGRADE_TIMEOUT_S_MIN: Final = 300
UPGRADE_TIMEOUT_S_MAX: Final = 172_800
UPGRADE_TIMEOUT_S_DEFAULT: Final = 7_200
RETRY_INTERVAL_S_MIN: Final = 0
RETRY_INTERVAL_S_MAX: Final = 86_400
RETRY_COUNT_MIN: Final = 1
RETRY_COUNT_MAX: Final = 5
MAXIMUM_CONCURRENCY_DEFAULT: Final = 300
ASSET_TREES_MAX: Final = 5
DEVICE_SELECTORS_MAX: Final = 1

# Published: verifying_firmware, 2.1 and 2.4 (console; since 2.4 each firmware may carry its own number)
VERIFY_DEVICES_MAX_DEFAULT: Final = 5

# Published: create_firmware (100 before 2.4)
FIRMWARE_DESC_CHARS_MAX: Final = 512

# Published: search_ota_job, search_device_task
PAGE_NO_FIRST: Final = 1
PAGE_SIZE_DEFAULT: Final = 10
PAGE_SIZE_MAX: Final = 200

# Published: search_device V2.1 in 2.1.0 and in 2.4.4
DEVICE_PAGE_SIZE_OLD: Final = 200
DEVICE_PAGE_SIZE_MAX: Final = 1_000

# Published: "limitations", device-connection, 3.0.0
DEVICE_KEY: Final = re.compile(r"[A-Za-z0-9\-_.]{4,64}")

# Published: note of all search pages since 2.4, "about 2 s" after a change until reads show it
READ_LAG_S: Final = 2.0

# Published: invoke_api_with_access_token
TOKEN_LIFETIME_S: Final = 7_200

# Ours: an `expire` outside this range is not believed; refreshing early is what Envision's Java client does
TOKEN_LIFETIME_S_MIN: Final = 60
TOKEN_REFRESH_AHEAD_S: Final = 600
# Ours: after a failed refresh the old token serves on; and how often one request meets "repeated" (1001)
TOKEN_RETRY_S: Final = 30
TOKEN_TRIES_MAX: Final = 3

# Ours: time-outs; 30 s is that of Envision's older Java client
CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 30.0

# Ours: how much of an answer is read before it is given up as none of the platform's
CREATE_REPLY_BYTES_MAX: Final = 64 * 1024
TOKEN_REPLY_BYTES_MAX: Final = 64 * 1024
PAGE_REPLY_BYTES_MAX: Final = 4 * 1024 * 1024

# Ours: a gateway may ask for any wait; more than one rate window of five minutes is not honoured
RETRY_AFTER_S_MAX: Final = 300.0

# Ours: foreign text in our logs and errors; ids in EnOS's samples have 24 characters
MESSAGE_CHARS_MAX: Final = 200
ID_CHARS_MAX: Final = 128
# Letters and digits are what EnOS's samples show; no sign that could leave an expression is admitted
JOB_ID: Final = re.compile(rf"[A-Za-z0-9_.:\-]{{1,{ID_CHARS_MAX}}}")

# Ours: how far a search goes. 500 pages of 200 are 100,000 jobs, or tasks of one job. Tasks come in no order,
# so one reading of n pages misses about a third of them; ten miss one in 20,000
SEARCH_PAGES_MAX: Final = 500
SEARCH_PASSES_MAX: Final = 3
TASK_PASSES_MAX: Final = 10

# Ours: devices asked for at once: at 4 MiB a page each may have 8 KiB of tags and attributes. 20,000 pages are ten
# million devices; and how often they are read until a reading agrees with itself
DEVICE_PAGE_SIZE: Final = 500
DEVICE_PAGES_MAX: Final = 20_000
STREAM_PASSES_MAX: Final = 5

# Ours: the longest `in (...)` list and `deviceKeys` array; EnOS publishes neither
KEYS_PER_EXPRESSION_MAX: Final = 100
KEYS_PER_TASK_CALL_MAX: Final = 200

# Ours: how many strange jobs are looked at before they simply count as witnesses
WITNESS_JOBS_MAX: Final = 20
