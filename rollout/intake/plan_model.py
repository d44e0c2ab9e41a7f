"""The keys of a plan file: one model for each block. The JSON Schema for editors is made from the models.

`job` and `upgradeScope` are the platform's (see `intake.platform`), `gate` stands in `gate_block`; unknown keys are
refused. All scalars arrive as text (see `yaml_text`), so every
type is a reader of text from `units`; the schema beside it says what an editor, which reads numbers as
numbers, may accept as well. Rules between keys stand in `rules`.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, JsonValue, create_model

from rollout.core.campaign import Count, Rest, Share, WhenUnsure
from rollout.intake.device_search import is_search, read_search
from rollout.intake.gate_block import GateBlock
from rollout.intake.platform import PlatformJob, PlatformPlan, PlatformScope
from rollout.intake.scalars import (
    ID,
    WORD,
    Block,
    Read,
    choice,
    seconds,
    text_like,
    whole,
    without_null,
)
from rollout.intake.units import RATE_PATTERN, SIZE_PATTERN, read_rate, read_size

WAVES_MAX = 50
"""Waves of a campaign at most; the planner keeps a device's wave in one byte. Ours."""

PER_JOB_MAX = 10_000
"""Devices per create call at most. EnOS states no limit; so a body stays below 1 MiB. Ours."""

PER_JOB_STANDARD = 500
"""Devices per create call if the plan does not say: some 20 kB of body. Ours."""

SCHEMA_ID = "urn:enos-rollout:schema:plan:1"


_SIZE = Read(
    read_size,
    {
        "anyOf": [{"type": "string", "pattern": SIZE_PATTERN}, {"type": "integer", "minimum": 1}],
        "examples": [10, "5%", "rest"],
    },
)
_RATE = Read(read_rate, {"type": "string", "pattern": RATE_PATTERN, "examples": ["2/s", "30/min"]})
_FILE = text_like(r"[^\x00-\x1f\x7f]{1,512}", "a file name", examples=["devices.csv"])


def _source(text: str) -> object:
    """Return the name of a file or the text of an `enos:` search. Raises Unreadable for neither."""
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
    upgrade_scope: PlatformScope | None = Field(
        default=None, alias="upgradeScope", description="Devices picked by EnOS."
    )
    spread_by: Annotated[str, WORD] | None = Field(
        default=None,
        alias="spreadBy",
        description="Column of which every value gets a fair share of the wave.",
    )
    job: PlatformJob | None = Field(default=None, description="Replaces keys of the common job.")
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
    first: Annotated[float, seconds(0.01, 300)] | None = Field(
        default=None, description="First wait, 10ms to 5m."
    )
    max: Annotated[float, seconds(0.01, 3600)] | None = Field(
        default=None, description="Longest wait, to 1h."
    )
    when_unsure: Annotated[str, choice(*WhenUnsure)] | None = Field(
        default=None,
        alias="whenUnsure",
        description="A create that may have taken effect and is not found: send it again, or leave it to a person.",
    )


def named(value: object) -> object:
    """Return a name that is plain text as the mapping it stands for; anything else unchanged."""
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
    job: PlatformJob | None = Field(default=None, description="What every create call asks for.")
    devices: DevicesBlock | None = Field(default=None, description="The fleet.")
    waves: list[WaveBlock] = Field(min_length=1, max_length=WAVES_MAX, description="The steps, in order.")
    limits: LimitsBlock = Field(default=LimitsBlock(), description="How fast, and how much at once.")
    api_retry: ApiRetryBlock = Field(default=ApiRetryBlock(), alias="apiRetry", description="Repeated calls.")
    stragglers_after: Annotated[float, seconds(1)] | None = Field(
        default=None,
        alias="stragglersAfter",
        description="In a wave without deadline: time without any movement after which open devices are left behind; "
        "the longest upgradeTimeout if left out.",
    )


@cache
def plan_model(platform: PlatformPlan) -> type[PlanBlock]:
    """Return the model of plans for one platform: `PlanBlock` with that platform's `job` and `upgradeScope`."""
    wave_fields, plan_fields = WaveBlock.model_fields, PlanBlock.model_fields
    # types that are values: pydantic takes them, mypy cannot follow
    job: Any = platform.job | None
    scope: Any = platform.scope | None
    wave = create_model(
        WaveBlock.__name__,
        __base__=WaveBlock,
        __doc__=WaveBlock.__doc__,
        upgrade_scope=(scope, wave_fields["upgrade_scope"]),
        job=(job, wave_fields["job"]),
    )
    return create_model(
        PlanBlock.__name__,
        __base__=PlanBlock,
        __doc__=PlanBlock.__doc__,
        job=(job, plan_fields["job"]),
        waves=(list[wave], plan_fields["waves"]),
    )


def plan_schema(platform: PlatformPlan) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of plan files for one platform, for editors and other tools."""
    body = without_null(plan_model(platform).model_json_schema(by_alias=True))
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
