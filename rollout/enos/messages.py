"""Requests and replies of the OTA service, field for field, each with its page.

Names are ours in Python (`device_keys`) and EnOS's on the wire (`deviceKeys`); dump with `by_alias=True`.
One rule for reading: a field we do not know is kept (`unknown_fields` names it), a status we do not know is
carried along, a number may come as a string (Envision's Python sample sends them so), null means absent.
One rule for building: a create body states its ranges, so nothing out of range is ever sent; rules that EnOS
answers with a code of its own (24611, 24612) stay the platform's business.

No validation error of this module repeats its input: a body with a token in it must not reach a log.
Pages are those of the EnOS Connection Service API, 2.4.4, below `connection-api/en/2.4.4/oldversion/`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, model_validator
from pydantic.alias_generators import to_camel

from rollout.enos import limits


def _no_bool(value: Any) -> Any:
    """Refuse true and false where a number is due: Python would take them for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("a number is expected, not a boolean")  # noqa: TRY004 - pydantic collects ValueErrors
    return value


Number = Annotated[int, BeforeValidator(_no_bool)]
"""An integer, or its decimal digits as a string."""


JobId = Annotated[str, Field(pattern=f"^{limits.JOB_ID.pattern}$")]


class Message(BaseModel):
    """Anything on the wire: camelCase outside, unknown fields kept, input hidden in errors."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="allow",
        frozen=True,
        hide_input_in_errors=True,
    )


def unknown_fields(message: BaseModel, path: str = "") -> Iterator[str]:
    """Yield the dotted wire names of fields EnOS does not document, at any depth.

    A misspelt `includedNotes` widens a job to the whole tree if it is silently dropped, so somebody must ask.
    """
    for name in message.model_extra or {}:
        yield path + name
    for name, field in type(message).model_fields.items():
        value = getattr(message, name)
        below = f"{path}{field.alias or name}."
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, BaseModel):
                yield from unknown_fields(part, below)


class StringI18n(Message):
    """A text in several languages. Page: overview (StringI18n); locales zh_CN, en_US, also ja_JP, es_ES."""

    default_value: str | None = None
    # The generator would write i18NValue
    i18n_value: dict[str, str] | None = Field(default=None, alias="i18nValue")


class Pagination(Message):
    """Which page to send. Page: overview (Pagination request); no OTA search supports `sorters`."""

    page_no: Annotated[Number, Field(ge=limits.PAGE_NO_FIRST)] = limits.PAGE_NO_FIRST
    page_size: Annotated[Number, Field(ge=1)] = limits.PAGE_SIZE_DEFAULT
    sorters: list[dict[str, str]] | None = None


class PageInfo(Message):
    """Which page this is; `total_size` counts hits, not pages. Page: overview (Pagination response)."""

    page_no: Number
    page_size: Number
    total_size: Number
    sorted_by: Any = None


class AssetTreeScope(Message):
    """A tree, or the nodes of it with all below them. Page: create_ota_job (AssetTreeScope struct)."""

    tree_id: str
    included_nodes: list[str] | None = None


class UpgradeScope(Message):
    """Which devices: `total`, or `partial` with one selector. Page: create_ota_job (UpgradeScope struct).

    `version_numbers` are the versions to upgrade *from*. `product_key`, `device_group_ids` and `asset_ids`
    exist since 2.4.4. `asset_trees` is a list in samples; a single object is accepted.
    """

    type: str
    version_numbers: list[str] | None = None
    product_key: str | None = None
    device_keys: list[str] | None = None
    attributes: dict[str, list[Any]] | None = None
    tags: dict[str, list[str]] | None = None
    asset_trees: list[AssetTreeScope] | AssetTreeScope | None = None
    device_group_ids: list[str] | None = None
    asset_ids: list[str] | None = None

    def selectors(self) -> list[str]:
        """Return the Python names of the device selectors given; EnOS allows one."""
        names = ("device_keys", "attributes", "tags", "asset_trees", "device_group_ids", "asset_ids")
        return [name for name in names if getattr(self, name) is not None]


class RetryPolicy(Message):
    """EnOS's own retries of a failed task; seconds. Page: create_ota_job (RetryPolicy struct)."""

    enable_retry: bool | None = None
    retry_interval: Number | None = None
    retry_count: Number | None = None


class SchedulePolicy(Message):
    """When tasks may be pushed; epoch ms. Page: create_ota_job (SchedulePolicy struct).

    `timezone_offset_in_minutes` is undocumented; Envision's Python sample sends it.
    """

    is_repeat_daily: bool | None = None
    start_timestamp: Number
    end_timestamp: Number
    timezone_offset_in_minutes: Number | None = None


class CreateJobBody(Message):
    """What create sends, for both job types. Page: create_ota_job.

    An upgrade job must state `upgrade_policy` and `enable_upgrade_request`; a verification job has only
    `type`, `upgrade_scope`, `upgrade_timeout` and (2.2 zh page) `name`. The last three fields are an older
    form: seconds of the day in the page's own sample, and a switch seen in job records; accepted, never sent.
    """

    name: StringI18n | None = None
    type: Literal["upgrade", "verify"]
    upgrade_scope: UpgradeScope
    upgrade_policy: Literal["snapshot", "incremental"] | None = None
    enable_upgrade_request: bool | None = None
    upgrade_timeout: (
        Annotated[Number, Field(ge=limits.UPGRADE_TIMEOUT_S_MIN, le=limits.UPGRADE_TIMEOUT_S_MAX)] | None
    ) = None
    retry_policy: RetryPolicy | None = None
    schedule_policy: SchedulePolicy | None = None
    maximum_concurrency: Annotated[Number, Field(ge=1)] | None = None
    start_schedule: Number | None = None
    end_schedule: Number | None = None
    start_after_create: bool | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Hold the page's rules that span fields; ranges stand here where a job record shares the struct."""
        if self.type == "upgrade" and (self.upgrade_policy is None or self.enable_upgrade_request is None):
            raise ValueError("an upgrade job needs upgradePolicy and enableUpgradeRequest")
        scope = self.upgrade_scope
        if scope.type not in {"total", "partial"}:
            raise ValueError("upgradeScope.type is total or partial")
        if len(scope.selectors()) > limits.DEVICE_SELECTORS_MAX:
            raise ValueError("upgradeScope takes one device selector")
        if isinstance(scope.asset_trees, list) and len(scope.asset_trees) > limits.ASSET_TREES_MAX:
            raise ValueError(f"upgradeScope takes at most {limits.ASSET_TREES_MAX} assetTrees")
        retry = self.retry_policy
        if retry is not None and retry.enable_retry:
            interval, count = retry.retry_interval, retry.retry_count
            if interval is None or not limits.RETRY_INTERVAL_S_MIN <= interval <= limits.RETRY_INTERVAL_S_MAX:
                raise ValueError("retryPolicy.retryInterval is 0 to 86,400 s")
            if count is None or not limits.RETRY_COUNT_MIN <= count <= limits.RETRY_COUNT_MAX:
                raise ValueError("retryPolicy.retryCount is 1 to 5")
        schedule = self.schedule_policy
        if schedule is not None and schedule.end_timestamp <= schedule.start_timestamp:
            raise ValueError("schedulePolicy ends before it starts")
        return self


class SearchBody(Message):
    """What search and searchTask send. Pages: search_ota_job, search_device_task."""

    expression: str | None = None
    pagination: Pagination | None = None


class DeviceKeysBody(Message):
    """What cancelTask and retryTask send. Pages: cancel_ota_task, retry_ota_task."""

    device_keys: Annotated[list[str], Field(min_length=1)]


class CreatedJob(Message):
    """All that create tells: not how many devices matched. Page: create_ota_job."""

    job_id: JobId


class JobBrief(Message):
    """What of a job is needed to recognise it; other people's jobs may hold anything else. Page: get_ota_job.

    `status` is started or stopped; anything else is carried along. `create_time` in ms.
    """

    job_id: JobId
    name: StringI18n | None = None
    firmware_id: str | None = None
    type: str | None = None
    status: str | None = None
    create_time: Number | None = None


class JobInfo(JobBrief):
    """A job as get and search show it: no counters, no finished status. Page: get_ota_job.

    Product data is present only for firmware bound to a product (since 2.4.4). The last three fields are seen
    in 2.2 and 2.3.
    """

    org_id: str | None = None
    product_key: str | None = None
    firmware_version: str | None = None
    firmware_name: StringI18n | None = None
    enable_upgrade_request: bool | None = None
    upgrade_policy: str | None = None
    upgrade_scope: UpgradeScope | None = None
    upgrade_timeout: Number | None = None
    retry_policy: RetryPolicy | None = None
    schedule_policy: SchedulePolicy | None = None
    maximum_concurrency: Number | None = None
    start_schedule: Number | None = None
    end_schedule: Number | None = None
    start_after_create: bool | None = None


class TaskBrief(Message):
    """Which device is where in which job. Page: search_device_task.

    `status` is init, published, upgrading, succeeded or failed; anything else is carried along.
    """

    task_id: str
    job_id: JobId
    device_key: str
    status: str | None = None


class TaskInfo(TaskBrief):
    """One device in one job. Page: search_device_task.

    `progress` is 0 to 100, negative when failed. `update_time` in ms.
    """

    org_id: str | None = None
    asset_id: str | None = None
    product_key: str | None = None
    from_version: str | None = None
    to_version: str | None = None
    progress: Number | None = None
    desc: str | None = None
    update_time: Number | None = None


class FirmwareMetadata(Message):
    """The part `metadata` of an upload. Page: create_firmware.

    `sign` is the file's digest by `sign_method`, as hexadecimal digits; tags and the two bounds exist since 2.4.
    """

    name: StringI18n
    version: str
    sign_method: Literal["md5", "sha256"]
    sign: str
    enable_verification: bool
    desc: Annotated[str, Field(max_length=limits.FIRMWARE_DESC_CHARS_MAX)] | None = None
    firmware_tags: dict[str, str] | None = None
    max_allowed_for_verification: Annotated[Number, Field(ge=1)] | None = None
    min_success_for_verified: Annotated[Number, Field(ge=1)] | None = None


class CreatedFirmware(Message):
    """What an upload gives. Page: create_firmware."""

    firmware_id: str


class FirmwareBrief(Message):
    """What tells a firmware from others; all else of it is kept as it came. Page: get_firmware."""

    firmware_id: str
    name: StringI18n | None = None


class DeviceBrief(Message):
    """What tells a device from others; all else of it is kept as it came. Page: search_device (Device struct)."""

    device_key: str
    asset_id: str | None = None

    def identity(self) -> str:
        """Return what tells it from others: its asset id, else product and key, for keys are a product's own."""
        return self.asset_id or f"{(self.model_extra or {}).get('productKey')}/{self.device_key}"


_T = TypeVar("_T")


class Envelope(Message, Generic[_T]):
    """What every answer of the OTA service is wrapped in; 0 is success. Page: overview.

    `code` must be a true integer: "0", false and 0.0 are no success.
    """

    code: StrictInt
    msg: str | None = None
    request_id: str | None = None
    data: _T | None = None
    pagination: PageInfo | None = None


class GatewayError(Message):
    """How the gateway itself refuses, with an HTTP status: not the envelope. Page: gettingstarted."""

    message: str


class TokenRequest(Message):
    """Ask for a token, or for a new one in exchange for `access_token`. Page: invoke_api_with_access_token."""

    app_key: str
    encryption: str
    timestamp: Number
    access_token: str | None = Field(default=None, repr=False)


class TokenData(Message):
    """The token and its remaining life in seconds. Page: invoke_api_with_access_token."""

    access_token: Annotated[str, Field(min_length=1, repr=False)]
    expire: Number | None = None


class TokenReply(Message):
    """The token service's own envelope: success is `status` 0. Page: invoke_api_with_access_token."""

    status: StrictInt
    msg: str | None = None
    business: str | None = None
    data: TokenData | None = None
