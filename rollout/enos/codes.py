"""Error codes of the OTA service: what each means, and how to go on after it.

An answer is first named as a `Signal`: an EnOS code, a status of the gateway or of the token service, or no answer.
Then `TREATMENT` is looked up: one row for each signal, one column for each operation, an `Action` in each cell. The
meanings are EnOS's; the actions are our judgement. `failure_of` turns both into what the engine is told.

The column *create* has a rule of its own: only a refusal on a positive list is definite. A create is neither
idempotent nor keyed. So everything else, above all unknown codes and server errors, means that the job may exist
(`RECON`).
Sources: the operation pages of the EnOS Connection Service API 2.4.4, index_ota and index_firmware (2.4.0), the
API overview (common codes), gettingstarted (gateway), invoke_api_with_access_token (token service), "developing
device OTA" of the device connection pages (steps and replies of devices).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final

from rollout.enos import limits
from rollout.errors import Failure


class Code(IntEnum):
    """Codes of the envelope: a service's prefix and an HTTP-like tail, or a business rule."""

    OK = 0
    DEVICE_NOT_FOUND = 11404
    PRODUCT_NOT_FOUND = 11611
    DEVICE_KEY_TAKEN = 11702
    DEVICE_ALREADY_DISABLED = 11794
    CERTIFICATE_BOUND = 11833
    NOT_FOUND = 24404
    OTA_INTERNAL_ERROR = 24500
    FIRMWARE_VERSION_TAKEN = 24601
    FIRMWARE_NAME_TAKEN = 24602
    FIRMWARE_UPLOAD_UNDER_WAY = 24603
    FIRMWARE_IN_USE = 24604
    FIRMWARE_NOT_VERIFIED = 24610
    VERIFY_WITH_TOTAL_SCOPE = 24611
    TOO_MANY_VERIFY_DEVICES = 24612
    JOB_HAS_STARTED = 24615
    JOB_HAS_STOPPED = 24616
    JOB_NOT_RUNNING = 24617
    JOB_RUNNING = 24618
    TASK_NOT_CANCELLABLE = 24620
    TASK_NOT_FAILED = 24621
    INVALID_ARGUMENT = 99400
    DENIED = 99403
    OBJECT_NOT_FOUND = 99404
    INTERNAL_ERROR = 99500


@dataclass(frozen=True, slots=True)
class Meaning:
    """One code. `message`: the platform's own wording, empty where unpublished. `meaning`: that in our words.

    `cause`: what leads to it. `remedy`: what a person does about it. `page`: where it is published. What this
    program does about it is in `TREATMENT`.
    """

    message: str
    meaning: str
    cause: str
    remedy: str
    page: str


_OVERVIEW: Final = "overview (API common codes)"
_DEVICES: Final = "device management pages, connect"
_NOTHING: Final = "Nothing."
_PLATFORM: Final = "Nothing at first; if it goes on, give the requestId to whoever runs the platform."

CODES: Final[Mapping[Code, Meaning]] = MappingProxyType(
    {
        Code.OK: Meaning("OK", "done", "The call was carried out.", _NOTHING, _OVERVIEW),
        Code.DEVICE_NOT_FOUND: Meaning(
            "",
            "no such device",
            "The key is misspelt, or the device was deleted or belongs to another organisation.",
            "Check the device list against the organisation.",
            _DEVICES,
        ),
        Code.PRODUCT_NOT_FOUND: Meaning(
            "",
            "no such product",
            "productKey is misspelt, or the product belongs to another organisation.",
            "Correct productKey.",
            _DEVICES,
        ),
        Code.DEVICE_KEY_TAKEN: Meaning(
            "",
            "the device key exists already",
            "An answer of device administration, not of OTA: a device was created twice.",
            "Choose another key. In a campaign: report it, since none of its calls creates devices.",
            _DEVICES,
        ),
        Code.DEVICE_ALREADY_DISABLED: Meaning(
            "",
            "the device is disabled already",
            "An answer of device administration, not of OTA.",
            "Nothing. In a campaign: report it, since none of its calls disables devices.",
            _DEVICES,
        ),
        Code.CERTIFICATE_BOUND: Meaning(
            "",
            "the certificate belongs to a device already",
            "An answer of device administration, not of OTA.",
            "Use another certificate. In a campaign: report it, since none of its calls binds certificates.",
            _DEVICES,
        ),
        # create and the firmware calls say "Firmware not found" under the same number
        Code.NOT_FOUND: Meaning(
            "Job not found",
            "no such job, or on create and firmware calls (`Firmware not found`) no such firmware",
            "The id is misspelt or of another organisation, the object was deleted, or it is younger than reads lag (2 s).",
            "Check firmwareId and orgId of the plan; look whether somebody deleted the job in the console.",
            "create_ota_job, get_ota_job and all pages of job and task operations",
        ),
        Code.OTA_INTERNAL_ERROR: Meaning(
            "OTA service internal error",
            "the OTA service failed",
            "A fault or overload inside the platform. A create answered so may have made its job.",
            _PLATFORM,
            "index_ota, index_firmware",
        ),
        Code.FIRMWARE_VERSION_TAKEN: Meaning(
            "Firmware version already exists",
            "the product has a firmware of this version",
            "It was uploaded before; or the answer to an upload was lost, and this is the answer to its repeat.",
            "Look the firmware up by its name; if it is another one, count the version up.",
            "create_firmware, 2.2 and 2.3",
        ),
        Code.FIRMWARE_NAME_TAKEN: Meaning(
            "Firmware name already exists",
            "the product has a firmware of this name",
            "It was uploaded before; or the answer to an upload was lost, and this is the answer to its repeat.",
            "Look the firmware up by its name; if it is another one, choose another name.",
            "create_firmware, 2.2 and 2.3",
        ),
        Code.FIRMWARE_UPLOAD_UNDER_WAY: Meaning(
            "Not allowed to create firmware concurrently",
            "another firmware is being uploaded",
            "EnOS takes one upload at a time.",
            "Wait until the other upload has ended, then upload again.",
            "create_firmware, 2.2 and 2.3",
        ),
        Code.FIRMWARE_IN_USE: Meaning(
            "Firmware cannot be deleted",
            "jobs still use the firmware",
            "A job of this firmware exists, or was deleted only seconds ago.",
            "Delete its jobs, wait some 20 s, delete again.",
            "delete_firmware",
        ),
        Code.FIRMWARE_NOT_VERIFIED: Meaning(
            "Not allowed to create job as firmware is not verified while enable verification is switched on",
            "the firmware must be verified by a verification job first",
            "The firmware was uploaded with enableVerification, and too few devices of a verification job have succeeded.",
            "Begin the plan with a wave of `job: {type: verify}`; resume once the console shows the firmware as verified.",
            "create_ota_job",
        ),
        Code.VERIFY_WITH_TOTAL_SCOPE: Meaning(
            "upgradeScope type total is not allowed for verification task",
            "a verification job needs a partial scope",
            "The wave of type verify has `upgradeScope: {type: total}`.",
            "Name the devices of the verification by `keys:`.",
            "create_ota_job",
        ),
        Code.TOO_MANY_VERIFY_DEVICES: Meaning(
            "Exceeded max verification deviceKeys, max[%d]",
            "the verification job names too many devices",
            "The firmware allows maxAllowedForVerification devices, 5 if it does not say; the message has the number.",
            "Make the verifying wave that small.",
            "create_ota_job, verifying_firmware",
        ),
        Code.JOB_HAS_STARTED: Meaning(
            "Job has started", "start of a started job", "It was started before.", _NOTHING, "start_ota_job"
        ),
        Code.JOB_HAS_STOPPED: Meaning(
            "Job has stopped", "stop of a stopped job", "It was stopped before.", _NOTHING, "stop_ota_job"
        ),
        Code.JOB_NOT_RUNNING: Meaning(
            "Job not running",
            "tasks of a stopped job can be neither cancelled nor retried",
            "The job was stopped, here or in the console.",
            "Start the job in the console if it should run; its waiting tasks then go out as well.",
            "cancel_ota_task, retry_ota_task",
        ),
        Code.JOB_RUNNING: Meaning(
            "Not allowed to delete running job",
            "stop the job before deleting it",
            "The job is started; that it has nothing left to do does not stop it.",
            "Stop it, wait 2 s, delete it.",
            "delete_ota_job",
        ),
        Code.TASK_NOT_CANCELLABLE: Meaning(
            "Only init or published tasks can be canceled",
            "at least one task is past recall",
            "A device has begun its upgrade, or ended it, since the tasks were read.",
            "Nothing: a device that upgrades cannot be called back.",
            "cancel_ota_task",
        ),
        Code.TASK_NOT_FAILED: Meaning(
            "Only failed tasks can be retried",
            "at least one task has not failed",
            "EnOS or somebody else retried it since the tasks were read.",
            "Read the tasks again, retry those that are still failed.",
            "retry_ota_task",
        ),
        Code.INVALID_ARGUMENT: Meaning(
            "Invalid Argument",
            "a parameter is missing, malformed or out of range",
            "orgId does not exist, an id is malformed, an expression uses a field or sign that the search does not know.",
            "Compare the call with the page: `rollout plan PLAN --show-requests` prints it as it is sent.",
            _OVERVIEW,
        ),
        Code.DENIED: Meaning(
            "Denied resource",
            "the application lacks the permission in this organisation",
            "The application was not granted the OTA permissions, or not in the plan's organisation.",
            "Grant it Create, Read and Control OTA (service Firmware) there, then resume.",
            _OVERVIEW,
        ),
        Code.OBJECT_NOT_FOUND: Meaning(
            "",
            "no such object",
            "An id in the call names nothing.",
            "Check the plan's ids and the organisation.",
            _OVERVIEW,
        ),
        Code.INTERNAL_ERROR: Meaning(
            "Internal Server Error",
            "the platform failed",
            "A fault or overload inside the platform. A create answered so may have made its job.",
            _PLATFORM,
            _OVERVIEW,
        ),
    }
)

_GATEWAY_PAGE: Final = "gettingstarted (2.2.0)"

GATEWAY: Final[Mapping[int, Meaning]] = MappingProxyType(
    {
        400: Meaning(
            "Cannot process request body",
            "the gateway could not read the body",
            "The body is no JSON, or was cut on its way.",
            "Compare the call with the page: `rollout plan PLAN --show-requests` prints it as it is sent.",
            _GATEWAY_PAGE,
        ),
        401: Meaning(
            "Invalid authentication credentials",
            "token or signature refused",
            "The token has expired; a second time: the clock is wrong, or app key or secret are.",
            "Check this machine's clock, then the keys of the profile.",
            _GATEWAY_PAGE,
        ),
        403: Meaning(
            "Your IP address is not allowed",
            "the gateway's address list excludes us",
            "The API proxy admits only listed addresses, and this machine's, or its proxy's, is not among them.",
            "Have the address admitted in API Management.",
            _GATEWAY_PAGE,
        ),
        413: Meaning(
            "Request size limit exceeded",
            "the body is too big for the gateway",
            "A batch names more devices than the gateway lets pass; the bound is not published.",
            "Lower devices.perJob, under a new campaign id.",
            _GATEWAY_PAGE,
        ),
        429: Meaning(
            "API rate limit exceeded",
            "flow control of the API proxy, over all its callers",
            "All calls of the proxy together passed its quota of a minute, hour, day or month.",
            "Lower limits.create and limits.read, or have the quota raised in API Management.",
            "gettingstarted (2.2.0), api_management_flow_control",
        ),
        500: Meaning(
            "An unexpected error occurred",
            "the gateway failed",
            "A fault inside the gateway. A create answered so may have made its job.",
            _PLATFORM,
            _GATEWAY_PAGE,
        ),
        503: Meaning(
            "Service unavailable",
            "the gateway or the service behind it is away",
            "Maintenance, a restart or overload. A create answered so may have made its job.",
            _PLATFORM,
            _GATEWAY_PAGE,
        ),
    }
)
"""HTTP statuses by which the gateway itself answers, with a body `{"message": …}`."""

_UNPUBLISHED: Final = "RFC 9110; not on the gateway's list"

PROXY: Final[Mapping[int, Meaning]] = MappingProxyType(
    {
        404: Meaning(
            "",
            "nothing is served under this address",
            "The base URL is wrong, or its path is; EnOS says `no such object` by a code, not by this status.",
            "Check the profile's url.",
            _UNPUBLISHED,
        ),
        408: Meaning(
            "",
            "a proxy waited too long for the request",
            "A slow or broken network between here and the gateway.",
            _PLATFORM,
            _UNPUBLISHED,
        ),
        425: Meaning("", "a proxy refused an early request", "TLS early data.", _PLATFORM, "RFC 8470"),
        502: Meaning(
            "",
            "a proxy got no usable answer from behind it",
            "The gateway or the service restarts. A create answered so may have made its job.",
            _PLATFORM,
            _UNPUBLISHED,
        ),
        504: Meaning(
            "",
            "a proxy waited too long for the service",
            "The service is slow or away. A create answered so may well have made its job.",
            _PLATFORM,
            _UNPUBLISHED,
        ),
    }
)
"""HTTP statuses that any proxy on the way may answer with, though the gateway's page does not list them."""


class TokenStatus(IntEnum):
    """`status` of the token service."""

    SUCCESS = 0
    REPEATED = 1001
    UNKNOWN_APP_KEY = 1002
    WRONG_ENCRYPTION = 1003
    INVALID_PARAMETER = 1004
    INTERNAL_ERROR = 1005
    EMPTY_PARAMETER = 1202
    TOKEN_EXPIRED = 1203
    REFRESH_FAILED = 1204


_TOKEN_PAGE: Final = "invoke_api_with_access_token"  # noqa: S105 - the name of a page
_CHECK_KEYS: Final = (
    "Check the profile's access key and secret key: the app key and secret of the application."
)

TOKEN_STATUS: Final[Mapping[TokenStatus, Meaning]] = MappingProxyType(
    {
        TokenStatus.SUCCESS: Meaning("SUCCESS", "a token was given", "All is well.", _NOTHING, _TOKEN_PAGE),
        TokenStatus.REPEATED: Meaning(
            "",
            "this encryption was seen before: a new timestamp is needed",
            "Two processes with the same key asked in the same millisecond.",
            "Nothing, unless it goes on: then give each process an application of its own.",
            _TOKEN_PAGE,
        ),
        TokenStatus.UNKNOWN_APP_KEY: Meaning(
            "", "no such app key", "The key is misspelt, or of another environment.", _CHECK_KEYS, _TOKEN_PAGE
        ),
        TokenStatus.WRONG_ENCRYPTION: Meaning(
            "",
            "app secret or timestamp is wrong",
            "The secret does not belong to the app key, or this machine's clock is wrong.",
            _CHECK_KEYS,
            _TOKEN_PAGE,
        ),
        TokenStatus.INVALID_PARAMETER: Meaning(
            "", "a parameter is invalid", "A key is malformed.", _CHECK_KEYS, _TOKEN_PAGE
        ),
        TokenStatus.INTERNAL_ERROR: Meaning(
            "",
            "the token service failed",
            "A fault or overload inside the platform.",
            _PLATFORM,
            _TOKEN_PAGE,
        ),
        TokenStatus.EMPTY_PARAMETER: Meaning(
            "", "a parameter is empty", "A key is empty.", _CHECK_KEYS, _TOKEN_PAGE
        ),
        TokenStatus.TOKEN_EXPIRED: Meaning(
            "",
            "the access token has expired",
            "It lives for two hours; it was to be refreshed after its end.",
            _NOTHING,
            _TOKEN_PAGE,
        ),
        TokenStatus.REFRESH_FAILED: Meaning(
            "",
            "the access token could not be refreshed",
            "Another process with the same key refreshed it first.",
            _NOTHING,
            _TOKEN_PAGE,
        ),
    }
)


class SdkStatus(IntEnum):
    """`apim_status` of the SDKs' token scheme (header `apim-accesstoken` alone), under HTTP 200."""

    ADOPT_REFRESH_TOKEN = 4011
    BUILD_NEW_TOKEN = 4012


_SDK: Final = "source of the client enos-poseidon 0.2.0"

SDK_STATUS: Final[Mapping[SdkStatus, Meaning]] = MappingProxyType(
    {
        SdkStatus.ADOPT_REFRESH_TOKEN: Meaning(
            "",
            "the SDK's access token has expired; the answer brings a new one",
            "Envision's own clients renew their token so, every two hours.",
            "Nothing: rollout signs its calls the documented way and never meets it.",
            _SDK,
        ),
        SdkStatus.BUILD_NEW_TOKEN: Meaning(
            "",
            "the SDK's refresh token has expired",
            "Envision's own clients then build a new token, every 30 days.",
            "Nothing: rollout signs its calls the documented way and never meets it.",
            _SDK,
        ),
    }
)


class Step(IntEnum):
    """Negative `step` of a device's progress report, seen as `progress` of its task; below -5 the maker's own."""

    UPGRADE_FAILED = -1
    DOWNLOAD_FAILED = -2
    SIGNATURE_FAILED = -3
    WRITE_FAILED = -4
    IGNORED = -5


_STEP_PAGE: Final = "developing device OTA (device connection)"

STEPS: Final[Mapping[Step, Meaning]] = MappingProxyType(
    {
        Step.UPGRADE_FAILED: Meaning(
            "",
            "the upgrade failed on the device",
            "The device does not say more; `desc` of the task may.",
            "Retry it once or twice; if several devices of one kind fail so, suspect the firmware.",
            _STEP_PAGE,
        ),
        Step.DOWNLOAD_FAILED: Meaning(
            "",
            "the device could not download the firmware",
            "Its network, its storage, or the link; rarely the firmware.",
            "Retry it later; many at once: look at the network of that site.",
            _STEP_PAGE,
        ),
        Step.SIGNATURE_FAILED: Meaning(
            "",
            "the device refused the firmware's signature or digest",
            "The file was damaged on its way, or the upload's sign or signMethod is wrong.",
            "One device: retry it. Several: stop the campaign, and check the firmware's digest.",
            _STEP_PAGE,
        ),
        Step.WRITE_FAILED: Meaning(
            "",
            "the device could not write the firmware",
            "Worn or full storage, or power lost; the device may not come back.",
            "Do not retry unseen: look at the device first.",
            _STEP_PAGE,
        ),
        Step.IGNORED: Meaning(
            "",
            "the device ignored the upgrade",
            "It was busy, or its rules forbade an upgrade now; not a fault of the firmware.",
            "Retry it later.",
            "Java device SDK (constant), developing device OTA",
        ),
    }
)


class DeviceReply(IntEnum):
    """`code` of the platform's replies to a device's OTA messages; seen by devices, never by this program."""

    ACCEPTED = 200
    TASK_NOT_FOUND = 764
    TASK_NOT_STARTED = 765


DEVICE_REPLIES: Final[Mapping[DeviceReply, Meaning]] = MappingProxyType(
    {
        DeviceReply.ACCEPTED: Meaning("", "accepted", "The platform took the message.", _NOTHING, _STEP_PAGE),
        DeviceReply.TASK_NOT_FOUND: Meaning(
            "Device task not found",
            "the device's task is gone",
            "The job was deleted or the task cancelled while the device was at it.",
            "The device drops the upgrade; a later job starts anew.",
            _STEP_PAGE,
        ),
        DeviceReply.TASK_NOT_STARTED: Meaning(
            "Device task not start",
            "the device's task has not started yet",
            "The device reported or asked before its task was published.",
            "The device waits until it is told.",
            _STEP_PAGE,
        ),
    }
)

CREATE_REFUSALS: Final = frozenset(
    {
        Code.DEVICE_NOT_FOUND,
        Code.PRODUCT_NOT_FOUND,
        Code.NOT_FOUND,
        Code.FIRMWARE_NOT_VERIFIED,
        Code.VERIFY_WITH_TOTAL_SCOPE,
        Code.TOO_MANY_VERIFY_DEVICES,
        Code.INVALID_ARGUMENT,
        Code.DENIED,
        Code.OBJECT_NOT_FOUND,
    }
)
"""The positive list: with these codes, and no others, a create certainly made no job."""


class Operation(StrEnum):
    """The columns: kinds of calls. After the same answer, calls of one kind are treated alike."""

    READ = "read"
    CREATE = "create"
    START = "start"
    STOP = "stop"
    TASKS = "tasks"
    DELETE = "delete"
    UPLOAD = "upload"


class Action(StrEnum):
    """How to go on."""

    OK = "ok"
    """Proceed."""
    DONE = "done"
    """What was wanted holds already: a success."""
    AGAIN = "again"
    """The same call after a backoff."""
    RECON = "recon"
    """It may have taken effect: look before anything is sent again."""
    AUTH = "auth"
    """Renew the token once, then again."""
    FIX = "fix"
    """Change something, then again, a bounded number of times."""
    HOLD = "hold"
    """Wait for something outside."""
    STOP = "stop"
    """Permanent: tell a person."""


@dataclass(frozen=True, slots=True)
class Advice:
    """One cell: the action, and what to know of it.

    `tries`: how often, None where the caller's policy decides. `wait_s`: seconds to wait at least before a repeat; 0
    where the caller's policy decides.
    """

    action: Action
    note: str = ""
    tries: int | None = None
    wait_s: float = 0.0


class Signal(StrEnum):
    """The rows: everything that can come back from a call."""

    SUCCESS = "0"
    JOB_NOT_FOUND = "24404 job"
    FIRMWARE_NOT_FOUND = "24404 firmware"
    OTA_INTERNAL_ERROR = "24500"
    FIRMWARE_TAKEN = "24601, 24602"
    FIRMWARE_UPLOAD_UNDER_WAY = "24603"
    FIRMWARE_IN_USE = "24604"
    FIRMWARE_NOT_VERIFIED = "24610"
    VERIFY_WITH_TOTAL_SCOPE = "24611"
    TOO_MANY_VERIFY_DEVICES = "24612"
    JOB_HAS_STARTED = "24615"
    JOB_HAS_STOPPED = "24616"
    JOB_NOT_RUNNING = "24617"
    JOB_RUNNING = "24618"
    TASK_NOT_CANCELLABLE = "24620"
    TASK_NOT_FAILED = "24621"
    INVALID_ARGUMENT = "99400"
    DENIED = "99403"
    OBJECT_NOT_FOUND = "99404"
    INTERNAL_ERROR = "99500"
    DEVICE_OR_PRODUCT_NOT_FOUND = "11404, 11611"
    DEVICE_ADMINISTRATION = "11702, 11794, 11833"
    OTHER_CODE = "any other code"
    BODY_REFUSED = "HTTP 400"
    TOKEN_REFUSED = "HTTP 401"  # noqa: S105 - the name of a status
    TOKEN_REFUSED_TWICE = "HTTP 401 after renewal"  # noqa: S105 - the name of a status
    ADDRESS_REFUSED = "HTTP 403"
    TOO_LARGE = "HTTP 413"
    THROTTLED = "HTTP 429"
    SERVER_FAILED = "HTTP 5xx, 408, 425"
    ODD_STATUS = "any other HTTP status"
    NOT_CONNECTED = "no connection"
    NO_ANSWER = "no answer after sending"
    UNREADABLE = "2xx with an unreadable body"
    TOKEN_REPEATED = "token 1001"  # noqa: S105 - the name of a status
    TOKEN_MISCONFIGURED = "token 1002, 1003, 1004, 1202"  # noqa: S105 - the name of a status
    TOKEN_SERVICE_FAILED = "token 1005 or unknown"  # noqa: S105 - the name of a status
    TOKEN_EXPIRED = "token 1203, 1204"  # noqa: S105 - the name of a status
    SDK_TOKEN_REFUSED = "apim_status 4011, 4012"  # noqa: S105 - the name of a status


_OK = Advice(Action.OK)
_CONFIRM = Advice(Action.OK, "confirm by a read: the answer tells nothing of single devices")
_DONE = Advice(Action.DONE)
_AGAIN = Advice(Action.AGAIN)
_RECON = Advice(Action.RECON, "the job may exist: look for it by its name before sending again")
_AUTH = Advice(Action.AUTH, "the gateway refused before the service saw the call")
_STOP = Advice(Action.STOP)
_HARMLESS = Advice(Action.AGAIN, "repeating is harmless: 24615 and 24616 mean done")
_REREAD = Advice(Action.FIX, "re-read the tasks, then again with those still in the right state")
_THERE_IS_DONE = Advice(Action.AGAIN, "24601 or 24602 to the repeat means that the first call took effect")
_GONE_IS_DONE = Advice(Action.AGAIN, "24404 to the repeat means done")
_YOUNG = Advice(
    Action.AGAIN, "a job made seconds ago may not be visible yet; an older one is gone", 3, limits.READ_LAG_S
)
_YOUNG_FIRMWARE = Advice(Action.AGAIN, "only if the firmware was uploaded just now", 3, limits.READ_LAG_S)
_NO_FIRMWARE = Advice(Action.STOP, "check the firmware id and the organisation")
_ARGUMENT = Advice(Action.STOP, "a parameter is wrong: check organisation, ids and ranges")
_PERMISSION = Advice(
    Action.STOP, "grant the application the OTA permissions; pause all work in this organisation"
)
_CREDENTIALS = Advice(Action.STOP, "check this machine's clock, the app key and the app secret")
_ADDRESS = Advice(Action.STOP, "have this machine's address admitted at the gateway")
_THROTTLED = Advice(Action.AGAIN, "refused before the service; slow the shared limiter down")
_CONFIGURATION = Advice(Action.STOP, "check app key and app secret")
_FRESH_TOKEN = Advice(Action.AUTH, "get a fresh token instead of refreshing")
_ENDPOINT = Advice(Action.STOP, "not an answer of the OTA service: check the base URL")


def _row(  # noqa: PLR0917 - a row reads like the table it is
    read: Advice | None = None,
    create: Advice | None = None,
    start: Advice | None = None,
    stop: Advice | None = None,
    tasks: Advice | None = None,
    delete: Advice | None = None,
    upload: Advice | None = None,
) -> Mapping[Operation, Advice]:
    """Return a row; a cell left out falls to the row of unknown codes."""
    cells = zip(Operation, (read, create, start, stop, tasks, delete, upload), strict=True)
    return MappingProxyType({operation: advice for operation, advice in cells if advice is not None})


def _all(advice: Advice) -> Mapping[Operation, Advice]:
    return _row(*[advice] * len(Operation))


TREATMENT: Final[Mapping[Signal, Mapping[Operation, Advice]]] = MappingProxyType(
    {
        Signal.SUCCESS: _row(_OK, _OK, _CONFIRM, _CONFIRM, _CONFIRM, _OK, _OK),
        Signal.JOB_NOT_FOUND: _row(_YOUNG, None, _YOUNG, _YOUNG, _YOUNG, _DONE),
        Signal.FIRMWARE_NOT_FOUND: _row(_YOUNG_FIRMWARE, _NO_FIRMWARE, delete=_DONE),
        Signal.FIRMWARE_TAKEN: _row(
            upload=Advice(
                Action.STOP, "after a repeat: look the firmware up by its name; else choose another"
            )
        ),
        Signal.FIRMWARE_UPLOAD_UNDER_WAY: _row(upload=Advice(Action.AGAIN, "one upload at a time")),
        Signal.OTA_INTERNAL_ERROR: _row(
            _AGAIN, _RECON, _HARMLESS, _HARMLESS, _REREAD, _GONE_IS_DONE, _THERE_IS_DONE
        ),
        Signal.FIRMWARE_IN_USE: _row(
            delete=Advice(Action.HOLD, "jobs still use the firmware, or were deleted just now", 5, 20.0)
        ),
        Signal.FIRMWARE_NOT_VERIFIED: _row(
            create=Advice(Action.HOLD, "run a verification job and wait until the firmware is verified")
        ),
        Signal.VERIFY_WITH_TOTAL_SCOPE: _row(
            create=Advice(Action.STOP, "name the devices of the verification job")
        ),
        Signal.TOO_MANY_VERIFY_DEVICES: _row(
            create=Advice(Action.FIX, "the message tells how many devices a verification job may name")
        ),
        Signal.JOB_HAS_STARTED: _row(start=_DONE),
        Signal.JOB_HAS_STOPPED: _row(stop=_DONE),
        Signal.JOB_NOT_RUNNING: _row(
            tasks=Advice(Action.FIX, "start the job first, and only if the plan says it should run")
        ),
        Signal.JOB_RUNNING: _row(
            delete=Advice(
                Action.FIX, "stop the job, wait for reads to catch up, delete again", None, limits.READ_LAG_S
            )
        ),
        Signal.TASK_NOT_CANCELLABLE: _row(
            tasks=Advice(
                Action.FIX,
                "re-read, drop tasks that moved on; nothing left means done",
                None,
                limits.READ_LAG_S,
            )
        ),
        Signal.TASK_NOT_FAILED: _row(
            tasks=Advice(
                Action.FIX, "re-read, keep the failed tasks; none left means done", None, limits.READ_LAG_S
            )
        ),
        Signal.INVALID_ARGUMENT: _all(_ARGUMENT),
        Signal.DENIED: _all(_PERMISSION),
        Signal.OBJECT_NOT_FOUND: _row(_YOUNG, _ARGUMENT, _YOUNG, _YOUNG, _YOUNG, _DONE),
        Signal.INTERNAL_ERROR: _row(
            _AGAIN, _RECON, _HARMLESS, _HARMLESS, _REREAD, _GONE_IS_DONE, _THERE_IS_DONE
        ),
        Signal.DEVICE_OR_PRODUCT_NOT_FOUND: _row(
            _STOP, _STOP, None, None, Advice(Action.FIX, "drop the device, then again")
        ),
        Signal.DEVICE_ADMINISTRATION: _row(_STOP, _RECON, _STOP, _STOP, _STOP, _STOP),
        Signal.OTHER_CODE: _row(
            _STOP,
            _RECON,
            _STOP,
            _STOP,
            Advice(Action.STOP, "re-read the tasks before anything else"),
            _STOP,
            _STOP,
        ),
        Signal.BODY_REFUSED: _all(_STOP),
        Signal.TOKEN_REFUSED: _all(_AUTH),
        Signal.TOKEN_REFUSED_TWICE: _all(_CREDENTIALS),
        Signal.ADDRESS_REFUSED: _all(_ADDRESS),
        Signal.TOO_LARGE: _row(
            Advice(Action.FIX, "ask for less at once"),
            Advice(Action.STOP, "plan smaller batches: a wave is never narrowed silently"),
            _STOP,
            _STOP,
            Advice(Action.FIX, "split the list of devices"),
            _STOP,
            Advice(Action.STOP, "the gateway takes no file of this size: upload it in the console"),
        ),
        Signal.THROTTLED: _all(_THROTTLED),
        Signal.SERVER_FAILED: _row(
            _AGAIN, _RECON, _HARMLESS, _HARMLESS, _REREAD, _GONE_IS_DONE, _THERE_IS_DONE
        ),
        Signal.ODD_STATUS: _row(_ENDPOINT, _RECON, _ENDPOINT, _ENDPOINT, _ENDPOINT, _ENDPOINT, _ENDPOINT),
        Signal.NOT_CONNECTED: _all(Advice(Action.AGAIN, "nothing was sent")),
        Signal.NO_ANSWER: _row(_AGAIN, _RECON, _HARMLESS, _HARMLESS, _REREAD, _GONE_IS_DONE, _THERE_IS_DONE),
        Signal.UNREADABLE: _row(_AGAIN, _RECON, _HARMLESS, _HARMLESS, _REREAD, _GONE_IS_DONE, _THERE_IS_DONE),
        Signal.TOKEN_REPEATED: _all(Advice(Action.AGAIN, "with a new timestamp")),
        Signal.TOKEN_MISCONFIGURED: _all(_CONFIGURATION),
        Signal.TOKEN_SERVICE_FAILED: _all(_AGAIN),
        Signal.TOKEN_EXPIRED: _all(_FRESH_TOKEN),
        # The SDK scheme, not ours: whether the gateway forwarded the call before saying so is not known
        Signal.SDK_TOKEN_REFUSED: _row(_AUTH, _RECON, _AUTH, _AUTH, _AUTH, _AUTH, _AUTH),
    }
)

_SIGNAL_OF_CODE: Final[Mapping[int, Signal]] = MappingProxyType(
    {
        Code.OK: Signal.SUCCESS,
        Code.DEVICE_NOT_FOUND: Signal.DEVICE_OR_PRODUCT_NOT_FOUND,
        Code.PRODUCT_NOT_FOUND: Signal.DEVICE_OR_PRODUCT_NOT_FOUND,
        Code.DEVICE_KEY_TAKEN: Signal.DEVICE_ADMINISTRATION,
        Code.DEVICE_ALREADY_DISABLED: Signal.DEVICE_ADMINISTRATION,
        Code.CERTIFICATE_BOUND: Signal.DEVICE_ADMINISTRATION,
        Code.OTA_INTERNAL_ERROR: Signal.OTA_INTERNAL_ERROR,
        Code.FIRMWARE_VERSION_TAKEN: Signal.FIRMWARE_TAKEN,
        Code.FIRMWARE_NAME_TAKEN: Signal.FIRMWARE_TAKEN,
        Code.FIRMWARE_UPLOAD_UNDER_WAY: Signal.FIRMWARE_UPLOAD_UNDER_WAY,
        Code.FIRMWARE_IN_USE: Signal.FIRMWARE_IN_USE,
        Code.FIRMWARE_NOT_VERIFIED: Signal.FIRMWARE_NOT_VERIFIED,
        Code.VERIFY_WITH_TOTAL_SCOPE: Signal.VERIFY_WITH_TOTAL_SCOPE,
        Code.TOO_MANY_VERIFY_DEVICES: Signal.TOO_MANY_VERIFY_DEVICES,
        Code.JOB_HAS_STARTED: Signal.JOB_HAS_STARTED,
        Code.JOB_HAS_STOPPED: Signal.JOB_HAS_STOPPED,
        Code.JOB_NOT_RUNNING: Signal.JOB_NOT_RUNNING,
        Code.JOB_RUNNING: Signal.JOB_RUNNING,
        Code.TASK_NOT_CANCELLABLE: Signal.TASK_NOT_CANCELLABLE,
        Code.TASK_NOT_FAILED: Signal.TASK_NOT_FAILED,
        Code.INVALID_ARGUMENT: Signal.INVALID_ARGUMENT,
        Code.DENIED: Signal.DENIED,
        Code.OBJECT_NOT_FOUND: Signal.OBJECT_NOT_FOUND,
        Code.INTERNAL_ERROR: Signal.INTERNAL_ERROR,
    }
)

_SIGNAL_OF_HTTP: Final[Mapping[int, Signal]] = MappingProxyType(
    {
        400: Signal.BODY_REFUSED,
        401: Signal.TOKEN_REFUSED,
        403: Signal.ADDRESS_REFUSED,
        408: Signal.SERVER_FAILED,
        413: Signal.TOO_LARGE,
        425: Signal.SERVER_FAILED,
        429: Signal.THROTTLED,
    }
)

_SIGNAL_OF_TOKEN: Final[Mapping[int, Signal]] = MappingProxyType(
    {
        TokenStatus.SUCCESS: Signal.SUCCESS,
        TokenStatus.REPEATED: Signal.TOKEN_REPEATED,
        TokenStatus.UNKNOWN_APP_KEY: Signal.TOKEN_MISCONFIGURED,
        TokenStatus.WRONG_ENCRYPTION: Signal.TOKEN_MISCONFIGURED,
        TokenStatus.INVALID_PARAMETER: Signal.TOKEN_MISCONFIGURED,
        TokenStatus.INTERNAL_ERROR: Signal.TOKEN_SERVICE_FAILED,
        TokenStatus.EMPTY_PARAMETER: Signal.TOKEN_MISCONFIGURED,
        TokenStatus.TOKEN_EXPIRED: Signal.TOKEN_EXPIRED,
        TokenStatus.REFRESH_FAILED: Signal.TOKEN_EXPIRED,
    }
)


FAILURE: Final[Mapping[Signal, Failure]] = MappingProxyType(
    {
        Signal.JOB_NOT_FOUND: Failure.GONE,
        Signal.FIRMWARE_NOT_FOUND: Failure.GONE,
        Signal.OTA_INTERNAL_ERROR: Failure.UNAVAILABLE,
        Signal.FIRMWARE_TAKEN: Failure.REFUSED,
        Signal.FIRMWARE_UPLOAD_UNDER_WAY: Failure.IN_USE,
        Signal.FIRMWARE_IN_USE: Failure.IN_USE,
        Signal.FIRMWARE_NOT_VERIFIED: Failure.REFUSED,
        Signal.VERIFY_WITH_TOTAL_SCOPE: Failure.REFUSED,
        Signal.TOO_MANY_VERIFY_DEVICES: Failure.REFUSED,
        Signal.JOB_HAS_STARTED: Failure.ALREADY_SO,
        Signal.JOB_HAS_STOPPED: Failure.ALREADY_SO,
        Signal.JOB_NOT_RUNNING: Failure.NOT_RUNNING,
        Signal.JOB_RUNNING: Failure.IN_USE,
        Signal.TASK_NOT_CANCELLABLE: Failure.NOT_CANCELLABLE_NOW,
        Signal.TASK_NOT_FAILED: Failure.NOT_RETRYABLE_NOW,
        Signal.INVALID_ARGUMENT: Failure.REFUSED,
        Signal.DENIED: Failure.CREDENTIALS,
        Signal.OBJECT_NOT_FOUND: Failure.GONE,
        Signal.INTERNAL_ERROR: Failure.UNAVAILABLE,
        Signal.DEVICE_OR_PRODUCT_NOT_FOUND: Failure.GONE,
        Signal.DEVICE_ADMINISTRATION: Failure.REFUSED,
        Signal.OTHER_CODE: Failure.REFUSED,
        Signal.BODY_REFUSED: Failure.REFUSED,
        Signal.TOKEN_REFUSED: Failure.CREDENTIALS,
        Signal.TOKEN_REFUSED_TWICE: Failure.CREDENTIALS,
        Signal.ADDRESS_REFUSED: Failure.CREDENTIALS,
        Signal.TOO_LARGE: Failure.TOO_LARGE,
        Signal.THROTTLED: Failure.THROTTLED,
        Signal.SERVER_FAILED: Failure.UNAVAILABLE,
        Signal.ODD_STATUS: Failure.REFUSED,
        Signal.NOT_CONNECTED: Failure.UNREACHABLE,
        Signal.NO_ANSWER: Failure.NO_RESPONSE,
        Signal.UNREADABLE: Failure.UNREADABLE,
        Signal.TOKEN_REPEATED: Failure.UNAVAILABLE,
        Signal.TOKEN_MISCONFIGURED: Failure.CREDENTIALS,
        Signal.TOKEN_SERVICE_FAILED: Failure.UNAVAILABLE,
        Signal.TOKEN_EXPIRED: Failure.CREDENTIALS,
        Signal.SDK_TOKEN_REFUSED: Failure.CREDENTIALS,
    }
)
"""What each signal is in the engine's words, where the call does not say otherwise: see `failure_of`."""


def failure_of(signal: Signal, operation: Operation) -> Failure:
    """Return what the caller of `operation` is told of the signal. Not for SUCCESS, and not for create.

    Where `TREATMENT` says that the call is pointless it is REFUSED, and where it says that the wish holds, ALREADY_SO.
    """
    failure = FAILURE[signal]
    if failure is Failure.CREDENTIALS:
        return failure
    match advise(signal, operation).action:
        case Action.STOP:
            return Failure.REFUSED
        case Action.DONE:
            return Failure.ALREADY_SO
        case _:
            return failure


def signal_of_code(code: int, operation: Operation, *, of_firmware: bool = False) -> Signal:
    """Return the row of an envelope's code; 24404 names the firmware on create and in its own calls, else the job."""
    if code == Code.NOT_FOUND:
        about_firmware = of_firmware or operation is Operation.CREATE
        return Signal.FIRMWARE_NOT_FOUND if about_firmware else Signal.JOB_NOT_FOUND
    return _SIGNAL_OF_CODE.get(code, Signal.OTHER_CODE)


def signal_of_http(status: int) -> Signal:
    """Return the row of an answer whose body is not the envelope, by its HTTP status."""
    if 200 <= status < 300:
        return Signal.UNREADABLE
    if 500 <= status < 600:
        return Signal.SERVER_FAILED
    return _SIGNAL_OF_HTTP.get(status, Signal.ODD_STATUS)


def explain_words(code: int | None, http_status: int | None) -> tuple[str, ...]:
    """Return what `rollout explain` is asked for about a failure: its code, else its HTTP status if that is published."""
    if code is not None:
        return (str(code),)
    return ("http", str(http_status)) if http_status in GATEWAY.keys() | PROXY.keys() else ()


def signal_of_token(status: int) -> Signal:
    """Return the row of a token service's status; an unknown one is taken for a passing failure."""
    return _SIGNAL_OF_TOKEN.get(status, Signal.TOKEN_SERVICE_FAILED)


def advise(signal: Signal, operation: Operation) -> Advice:
    """Return how to go on after a signal. One that is not expected after this operation counts as an unknown code."""
    return TREATMENT[signal].get(operation) or TREATMENT[Signal.OTHER_CODE][operation]
