"""The keys of a plan file: one model per block, which is also the JSON Schema that editors read.

EnOS's own names inside `job`, unknown keys refused. All scalars arrive as text (see `yaml_text`), so every
type is a reader of text from `units`; the schema beside it says what an editor, which reads numbers as
numbers, may accept as well. Rules between keys stand in `sense`.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, JsonValue

from rollout.core.campaign import Count, Denominator, JobType, OnFail, Rest, Share, WhenUnsure
from rollout.intake.device_search import is_search, read_search
from rollout.intake.scalars import (
    FLAG,
    ID,
    SHARE,
    WORD,
    Block,
    Read,
    choice,
    duration,
    text_like,
    whole,
    without_null,
)
from rollout.intake.units import (
    RATE_PATTERN,
    SHARE_PATTERN,
    SIZE_PATTERN,
    read_rate,
    read_size,
    read_stop,
    read_timestamp_ms,
)

__all__ = [
    "PER_JOB_STANDARD",
    "SELECTORS",
    "WAVES_MAX",
    "ApiRetryBlock",
    "AssetTreeBlock",
    "Block",
    "CallsBlock",
    "DevicesBlock",
    "GateBlock",
    "JobBlock",
    "LimitsBlock",
    "NameBlock",
    "PlanBlock",
    "RetryBlock",
    "ScheduleBlock",
    "ScopeBlock",
    "StopBlock",
    "ThresholdBlock",
    "WaveBlock",
    "named",
    "plan_schema",
]

WAVES_MAX = 50
"""Waves of a campaign; the planner keeps a device's wave in one byte. Ours."""

PER_JOB_MAX = 10_000
"""Devices per create call. EnOS states no limit; a body stays below 1 MiB. Ours."""

PER_JOB_STANDARD = 500
"""Devices per create call if the plan does not say: some 20 kB of body. Ours."""

SCHEMA_ID = "urn:enos-rollout:schema:plan:1"


_STOP = Read(
    read_stop,
    {
        "anyOf": [
            {"type": "string", "pattern": SHARE_PATTERN + "|^[0-9]{1,8}$"},
            {"type": "number", "minimum": 0},
        ],
        "examples": ["5%", 3],
    },
)
_SIZE = Read(
    read_size,
    {
        "anyOf": [{"type": "string", "pattern": SIZE_PATTERN}, {"type": "integer", "minimum": 1}],
        "examples": [10, "5%", "rest"],
    },
)
_RATE = Read(read_rate, {"type": "string", "pattern": RATE_PATTERN, "examples": ["2/s", "30/min"]})
_MOMENT = Read(
    read_timestamp_ms,
    {
        "anyOf": [{"type": "integer", "minimum": 100_000_000_000}, {"type": "string", "format": "date-time"}],
        "examples": ["2026-11-23T09:00:00+01:00"],
    },
)
_VERSION = text_like(
    r"""[^\x00-\x20'"\\%]{1,64}""", "a version: no blanks, quotes, % or \\, at most 64", examples=["1.10"]
)
_FILE = text_like(r"[^\x00-\x1f\x7f]{1,512}", "a file name", examples=["devices.csv"])


def _source(text: str) -> object:
    """Return the name of a file, or a search of EnOS's that can be read."""
    if is_search(text):
        read_search(text)
        return text
    return _FILE.reader(text)


_SOURCE = Read(_source, {**_FILE.schema, "examples": ["devices.csv", "enos:productKey=inverter-x"]})
_KEY = text_like(
    r"[A-Za-z0-9_.-]{4,64}", "a device key: 4 to 64 of A-Z a-z 0-9 - _ .", examples=["SN-0012345"]
)


class NameBlock(Block):
    """A name in several languages, as EnOS keeps it; or just text."""

    default_value: Annotated[str, WORD] = Field(
        alias="defaultValue", description="Shown where no locale fits."
    )
    i18n_value: dict[str, Annotated[str, WORD]] = Field(
        default={}, alias="i18nValue", description="Locale (en_US, zh_CN, ja_JP, es_ES) to text."
    )


class RetryBlock(Block):
    """EnOS's own retry of failed tasks."""

    enable_retry: Annotated[bool, FLAG] = Field(
        default=False, alias="enableRetry", description="Whether to retry."
    )
    retry_interval: Annotated[int, whole(0, 86_400, "seconds")] = Field(
        default=0, alias="retryInterval", description="Seconds after the failure, 0 to 86400."
    )
    retry_count: Annotated[int, whole(1, 5)] = Field(
        default=0, alias="retryCount", description="Retries at most, 1 to 5."
    )


class ScheduleBlock(Block):
    """EnOS's push window; nothing is pushed outside it."""

    is_repeat_daily: Annotated[bool, FLAG] | None = Field(
        default=None, alias="isRepeatDaily", description="Whether the window comes again every day."
    )
    start_timestamp: Annotated[int, _MOMENT] = Field(
        alias="startTimestamp", description="Epoch milliseconds, or RFC 3339 with a zone."
    )
    end_timestamp: Annotated[int, _MOMENT] = Field(
        alias="endTimestamp", description="Epoch milliseconds, or RFC 3339 with a zone."
    )


class AssetTreeBlock(Block):
    """An asset tree, or the parts of it below some nodes."""

    tree_id: Annotated[str, ID] = Field(alias="treeId", description="The tree.")
    included_nodes: list[Annotated[str, ID]] | None = Field(
        default=None, alias="includedNodes", min_length=1, description="Asset ids; left out: the whole tree."
    )


_Values = Annotated[list[Any], Field(min_length=1)]


class ScopeBlock(Block):
    """Devices picked by EnOS: total, or partial with exactly one selector. The wave is then one create call."""

    type: Annotated[str, choice("total", "partial")] = Field(
        description="All devices of the product, or selected."
    )
    attributes: dict[str, _Values] | None = Field(
        default=None,
        min_length=1,
        description="Attribute to accepted values; quotes decide whether 5 is text.",
    )
    tags: dict[str, Annotated[list[Annotated[str, WORD]], Field(min_length=1)]] | None = Field(
        default=None, min_length=1, description="Tag to accepted values."
    )
    asset_trees: list[AssetTreeBlock] | None = Field(
        default=None, alias="assetTrees", min_length=1, description="At most 5 asset trees."
    )
    device_group_ids: list[Annotated[str, ID]] | None = Field(
        default=None, alias="deviceGroupIds", min_length=1, description="Device groups; upgrade jobs only."
    )
    asset_ids: list[Annotated[str, ID]] | None = Field(
        default=None, alias="assetIds", min_length=1, description="Assets."
    )


SELECTORS = ("attributes", "tags", "assetTrees", "deviceGroupIds", "assetIds")


class JobBlock(Block):
    """Copied into every create call: EnOS's names and units."""

    type: Annotated[str, choice(*JobType)] = Field(default="upgrade", description="What the job is for.")
    upgrade_policy: Annotated[str, choice("snapshot", "incremental")] = Field(
        default="snapshot",
        alias="upgradePolicy",
        description="Whether the device list is closed at creation.",
    )
    enable_upgrade_request: Annotated[bool, FLAG] = Field(
        default=False,
        alias="enableUpgradeRequest",
        description="Whether devices may ask for the upgrade themselves.",
    )
    version_numbers: list[Annotated[str, _VERSION]] = Field(
        default=[],
        alias="versionNumbers",
        max_length=1000,
        description="Source versions to upgrade from; quote them.",
    )
    upgrade_timeout: Annotated[int, whole(300, 172_800, "seconds")] = Field(
        default=7200, alias="upgradeTimeout", description="Seconds a device may take, 300 to 172800."
    )
    maximum_concurrency: Annotated[int, whole(1)] = Field(
        default=300, alias="maximumConcurrency", description="Devices in progress at once, per job."
    )
    retry_policy: RetryBlock = Field(
        default=RetryBlock(), alias="retryPolicy", description="EnOS's own retry."
    )
    schedule_policy: ScheduleBlock | None = Field(
        default=None, alias="schedulePolicy", description="EnOS's push window."
    )
    product_key: Annotated[str, ID] | None = Field(
        default=None, alias="productKey", description="Needed when the firmware is not tied to a product."
    )
    upgrade_scope: ScopeBlock | None = Field(
        default=None,
        alias="upgradeScope",
        description="Scope of the waves that name no devices of their own.",
    )
    extra: dict[str, Any] = Field(default={}, description="Undocumented fields, passed to EnOS as they are.")


class DevicesBlock(Block):
    """Which devices the campaign is for."""

    from_: list[Annotated[str, _SOURCE]] = Field(
        alias="from",
        min_length=1,
        max_length=1000,
        description="CSV, TSV, TXT, NDJSON or JSON files beside the plan, plain or .gz; '-' is standard input; "
        "enos:productKey=... asks EnOS's device search.",
    )
    key: Annotated[str, WORD] = Field(default="deviceKey", description="Column of the device key.")
    exclude: list[Annotated[str, _SOURCE]] = Field(
        default=[], max_length=1000, description="Files of devices to leave out, or enos: searches."
    )
    where: dict[str, Annotated[list[Annotated[str, WORD]], Field(min_length=1)]] = Field(
        default={}, description="Column to accepted values; all columns must agree."
    )
    per_job: Annotated[int, whole(1, PER_JOB_MAX, "devices")] = Field(
        default=PER_JOB_STANDARD, alias="perJob", description="Devices per create call at most."
    )


class ThresholdBlock(Block):
    """At least this share of these devices."""

    min: Annotated[Fraction, SHARE] = Field(description="The share.")
    of: Annotated[str, choice(*Denominator)] = Field(
        description="Share of all planned, or of the resolved devices."
    )


class StopBlock(Block):
    """Halt when more than this have failed."""

    failed: Annotated[Fraction | int, _STOP] = Field(description="A share, or a number of devices.")
    of: Annotated[str, choice(*Denominator)] | None = Field(
        default=None, description="What a share is a share of."
    )
    min_sample: Annotated[int, whole(1, unit="devices")] = Field(
        default=1, alias="minSample", description="Devices that must be resolved before a share counts."
    )


class GateBlock(Block):
    """What must hold before the next wave opens; all parts together."""

    success: ThresholdBlock | None = Field(default=None, description="Devices that must have succeeded.")
    resolved: ThresholdBlock | None = Field(
        default=None, description="Devices that must have come to an end."
    )
    min_sample: Annotated[int, whole(1, unit="devices")] = Field(
        default=1, alias="minSample", description="Devices that must be resolved before the gate can open."
    )
    stop_at: StopBlock | None = Field(default=None, alias="stopAt", description="When to halt.")
    soak: Annotated[float, duration()] = Field(
        default=0.0, description="Time to wait after the thresholds hold."
    )
    deadline: Annotated[float, duration(1)] | None = Field(
        default=None,
        description="Time after the wave's opening when the gate has failed if it is not satisfied.",
    )
    on_fail: Annotated[str, choice(*OnFail)] = Field(
        default="pause", alias="onFail", description="Create nothing more, or end the campaign."
    )
    approval: Annotated[str, choice("required", "none")] = Field(
        default="none", description="Whether a person must let the next wave open."
    )


# at most one, since a wave without any takes the common job's upgradeScope
_ONE_SELECTOR: list[JsonValue] = [
    {"required": ["size"]},
    {"required": ["keys"]},
    {"required": ["upgradeScope"]},
    {"not": {"anyOf": [{"required": ["size"]}, {"required": ["keys"]}, {"required": ["upgradeScope"]}]}},
]


class WaveBlock(Block):
    """One step of the campaign: exactly one of size, keys and upgradeScope."""

    model_config = ConfigDict(json_schema_extra={"oneOf": _ONE_SELECTOR})

    name: Annotated[
        str, text_like(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", "a wave name: letters, digits, - and _, at most 32")
    ] = Field(description="Shown everywhere; unique.")
    size: Annotated[Count | Share | Rest, _SIZE] | None = Field(
        default=None, description="Devices: 10, a share of the fleet 5%, or rest."
    )
    keys: list[Annotated[str, _KEY]] | None = Field(
        default=None, min_length=1, description="Exactly these devices; quote them."
    )
    upgrade_scope: ScopeBlock | None = Field(
        default=None, alias="upgradeScope", description="Devices picked by EnOS."
    )
    spread_by: Annotated[str, WORD] | None = Field(
        default=None,
        alias="spreadBy",
        description="Column of which every value gets a fair share of the wave.",
    )
    job: JobBlock | None = Field(default=None, description="Replaces keys of the common job.")
    gate: GateBlock | None = Field(default=None, description="What must hold before the next wave opens.")


class CallsBlock(Block):
    """How fast calls of one kind may go out."""

    rate: Annotated[float, _RATE] | None = Field(default=None, description="Calls per second or minute.")
    burst: Annotated[int, whole(1, 1000, "calls")] | None = Field(
        default=None, description="Calls that may go out at once after a rest."
    )
    in_flight: Annotated[int, whole(1, 1000, "calls")] | None = Field(
        default=None, alias="inFlight", description="Calls open at once."
    )


class LimitsBlock(Block):
    """Budgets of the whole campaign."""

    create: CallsBlock = Field(default=CallsBlock(), description="Create calls.")
    read: CallsBlock = Field(default=CallsBlock(), description="Search calls.")
    devices_in_progress: Annotated[int, whole(1, unit="devices")] | None = Field(
        default=None, alias="devicesInProgress", description="Devices upgrading at once, over all jobs."
    )


class ApiRetryBlock(Block):
    """How a call that may be repeated is repeated."""

    attempts: Annotated[int, whole(1, 20)] | None = Field(
        default=None, description="Attempts at most, 1 to 20."
    )
    first: Annotated[float, duration(0.01, 300)] | None = Field(
        default=None, description="First wait, 10ms to 5m."
    )
    max: Annotated[float, duration(0.01, 3600)] | None = Field(
        default=None, description="Longest wait, to 1h."
    )
    when_unsure: Annotated[str, choice(*WhenUnsure)] | None = Field(
        default=None,
        alias="whenUnsure",
        description="A create that may have taken effect and is not found: send it again, or leave it to a person.",
    )


def named(value: object) -> object:
    """Return a name given as plain text in the form it has with locales; all else as it is."""
    return {"defaultValue": value} if isinstance(value, str) else value


class PlanBlock(Block):
    """One campaign of the rollout engine: which firmware, to which devices, in which waves."""

    version: Annotated[str, choice("1")] = Field(description="Version of this format.")
    id: Annotated[
        str,
        text_like(
            r"[a-z0-9][a-z0-9-]{0,31}", "an id: a-z, 0-9 and -, at most 32", examples=["inverter-2-1-0"]
        ),
    ] = Field(description="The campaign; part of every job's name.")
    name: Annotated[NameBlock, BeforeValidator(named)] | None = Field(
        default=None,
        description="Shown in EnOS's console; the id if left out. Plain text, or text by locale.",
    )
    org_id: Annotated[str, ID] = Field(
        alias="orgId", description="EnOS organization.", examples=["o15724268424841"]
    )
    firmware_id: Annotated[
        str, text_like(r"[A-Za-z0-9]{1,64}", "a firmware id: letters and digits, at most 64")
    ] = Field(alias="firmwareId", description="The firmware to bring out.")
    seed: Annotated[int, whole(0, 2**63 - 1)] | None = Field(
        default=None, description="Draws which devices go first; derived from the id if left out."
    )
    job: JobBlock = Field(default=JobBlock(), description="What every create call asks for.")
    devices: DevicesBlock | None = Field(default=None, description="The fleet.")
    waves: list[WaveBlock] = Field(min_length=1, max_length=WAVES_MAX, description="The steps, in order.")
    limits: LimitsBlock = Field(default=LimitsBlock(), description="How fast, and how much at once.")
    api_retry: ApiRetryBlock = Field(default=ApiRetryBlock(), alias="apiRetry", description="Repeated calls.")
    stragglers_after: Annotated[float, duration(1)] | None = Field(
        default=None,
        alias="stragglersAfter",
        description="In a wave without deadline: time without any movement after which open devices are left behind; "
        "the longest upgradeTimeout if left out.",
    )


def plan_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of plan files, for editors and other tools."""
    body = without_null(PlanBlock.model_json_schema(by_alias=True))
    assert isinstance(body, dict)
    properties = body["properties"]
    properties["version"]["enum"] = [1, "1"]
    block = {"$ref": properties["name"].pop("$ref")}
    properties["name"]["anyOf"] = [{"type": ["string", "number"]}, block]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        **body,
        "title": "Rollout plan",
    }
