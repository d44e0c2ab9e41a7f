"""EnOS's part of the plan file: the keys of `job` and `upgradeScope`, and the rules that EnOS sets for them.

Keys, units and ranges are those of the create call (create_ota_job page). `plan_file` is handed `ENOS` and knows
no more of it. What is generic of a job goes into the fields of `JobSpec`, the rest through `JobSettings` into
its `platform` part.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field

from rollout.core.campaign import JobSpec, PushSchedule, Scope, TaskRetry, Wave
from rollout.enos.job_settings import UPGRADE_POLICIES, JobSettings, JobType
from rollout.enos.limits import ASSET_TREES_MAX
from rollout.intake.complaints import Complaints, Loc
from rollout.intake.findings import SECRETS
from rollout.intake.platform import PlatformJob, PlatformPlan, PlatformScope
from rollout.intake.rules import job_loc
from rollout.intake.scalars import FLAG, ID, WORD, Block, Read, choice, text_like, whole
from rollout.intake.units import read_timestamp_ms
from rollout.intake.yaml_text import Document, as_json

VERIFY_DEVICES_CONSOLE_MAX = 5
"""Devices per verification in the console; per firmware since 2.4. Source: verifying_firmware page."""

WINDOW_MS_CONSOLE_MIN = 30 * 60 * 1000
"""Milliseconds of the smallest schedule in the console. Source: batch_upgrading_firmware page, 2.1.0."""

SCOPE_SELECTORS: Final = ("attributes", "tags", "assetTrees", "deviceGroupIds", "assetIds")
"""Keys of `upgradeScope`, of which a partial scope has exactly one."""

_VERIFY_WITHOUT = frozenset({"deviceGroupIds"})

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


class ScopeBlock(PlatformScope):
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

    def to_scope(self, document: Document, complaints: Complaints, loc: Loc) -> Scope | None:
        """Return the scope, or None after telling that it has not exactly the selectors its type takes."""
        given = [name for name in SCOPE_SELECTORS if (*loc, name) in document.places.at]
        wanted = 1 if self.type == "partial" else 0
        if len(given) != wanted:
            got = " and ".join(given) if given else "none"
            wish = f"exactly one of {', '.join(SCOPE_SELECTORS)}" if wanted else "no selector"
            complaints.add("R130", f"scope {self.type} takes {wish}, got {got}", loc=loc)
            return None
        if not given:
            return Scope("total")
        if self.attributes is not None:
            return Scope("partial", "attributes", as_json(document, (*loc, "attributes")))
        values = self.model_dump(by_alias=True, exclude_none=True)
        return Scope("partial", given[0], values[given[0]])


class JobBlock(PlatformJob):
    """Copied into every create call: EnOS's names and units."""

    type: Annotated[str, choice(*JobType)] = Field(default="upgrade", description="What the job is for.")
    upgrade_policy: Annotated[str, choice(*UPGRADE_POLICIES)] = Field(
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

    @property
    def scope(self) -> ScopeBlock | None:
        """The scope for waves that name no devices of their own; None if the block has none."""
        return self.upgrade_scope

    def to_spec(self, document: Document, complaints: Complaints, index: int, *, scoped: bool) -> JobSpec:
        """Return what the create calls of the wave send; fields that `extra` may not have go to `complaints`."""
        extra_loc = job_loc(complaints, index, "extra")
        self._check_extra(complaints, extra_loc)
        extra = as_json(document, extra_loc) if self.extra else {}
        assert isinstance(extra, dict)
        settings = JobSettings(
            type=JobType(self.type),
            version_numbers=tuple(self.version_numbers),
            upgrade_policy=self.upgrade_policy,
            enable_upgrade_request=self.enable_upgrade_request,
            product_key=self.product_key,
            extra=extra,
        )
        retry, schedule = self.retry_policy, self.schedule_policy
        # EnOS works on all devices of a verification at once. The number of a scope's devices is not known, so
        # there the plan's number stays as what the budget counts for the job.
        all_at_once = settings.type is JobType.VERIFY and not scoped
        return JobSpec(
            upgrade_timeout_s=self.upgrade_timeout,
            maximum_concurrency=None if all_at_once else self.maximum_concurrency,
            retry=TaskRetry(enabled=True, interval_s=retry.retry_interval, count=retry.retry_count)
            if retry.enable_retry
            else TaskRetry(),
            schedule=None
            if schedule is None
            else PushSchedule(schedule.start_timestamp, schedule.end_timestamp, schedule.is_repeat_daily),
            grows=settings.grows,
            platform=settings.to_platform(),
        )

    def _check_extra(self, complaints: Complaints, loc: Loc) -> None:
        for key in self.extra:
            if key in _EXTRA_TAKEN:
                complaints.add("R124", "has a key of its own", loc=(*loc, key), at_key=True)
            elif SECRETS.search(key):
                complaints.add("R122", "a secret does not belong in a plan", loc=(*loc, key), at_key=True)


_EXTRA_TAKEN = frozenset(
    {"name", "deviceKeys", *(field.alias or name for name, field in JobBlock.model_fields.items())}
)
"""Fields of a create call that have a key of their own, so that `extra` cannot quietly replace them."""


def check_wave(complaints: Complaints, index: int, wave: Wave, *, now: float) -> None:
    """Check a wave's job and scope against EnOS's rules. `now`: seconds since the epoch."""
    settings = JobSettings.of(wave.job)
    _check_retry(complaints, index, wave.job.retry)
    if wave.job.schedule is not None:
        _check_schedule(complaints, index, wave.job.schedule, now=now)
    if settings.grows:
        complaints.add(
            "R310",
            "incremental adds devices to the job after its creation, which no wave, gate or budget counts",
            loc=job_loc(complaints, index, "upgradePolicy"),
            hint="snapshot keeps a wave at its devices",
        )
    if settings.extra:
        names = ", ".join(sorted(settings.extra))
        complaints.add(
            "R304", f"passed to EnOS as they are: {names}", loc=job_loc(complaints, index, "extra")
        )
    if isinstance(wave.size, Scope):
        _check_scope(complaints, index, settings.type, wave.size)


def check_size(complaints: Complaints, index: int, wave: Wave, devices: int) -> None:
    """Warn of a verification with more devices than EnOS's console allows."""
    if JobSettings.of(wave.job).type is JobType.VERIFY and devices > VERIFY_DEVICES_CONSOLE_MAX:
        complaints.add(
            "R301",
            f"{devices:,} devices in a verification; EnOS's console allows {VERIFY_DEVICES_CONSOLE_MAX}",
            loc=("waves", index),
            hint="since 2.4 the firmware's maxAllowedForVerification decides; EnOS answers 24612 beyond it",
        )


def _check_retry(complaints: Complaints, index: int, retry: TaskRetry) -> None:
    loc = job_loc(complaints, index, "retryPolicy")
    if (*loc, "enableRetry") not in complaints.places.at and loc not in complaints.places.at:
        return
    for key in ("retryInterval", "retryCount"):
        given = (*loc, key) in complaints.places.at
        if retry.enabled and not given:
            complaints.add("R142", f"enableRetry needs {key}", loc=loc)
        if not retry.enabled and given:
            complaints.add("R311", "has no effect while enableRetry is not true", loc=(*loc, key))


def _check_schedule(complaints: Complaints, index: int, schedule: PushSchedule, *, now: float) -> None:
    loc = job_loc(complaints, index, "schedulePolicy")
    length = schedule.end_ms - schedule.start_ms
    if length <= 0:
        complaints.add("R143", "ends before it starts", loc=(*loc, "endTimestamp"))
    elif length < WINDOW_MS_CONSOLE_MIN:
        complaints.add("R309", "is shorter than 30 min, the least of EnOS's console", loc=loc)
    if schedule.end_ms < now * 1000 and not schedule.repeat_daily:
        complaints.add("R308", "is over already: EnOS would push to no device", loc=(*loc, "endTimestamp"))


def _check_scope(complaints: Complaints, index: int, job_type: JobType, scope: Scope) -> None:
    loc: Loc = ("waves", index, "upgradeScope")
    if loc not in complaints.places.at:
        loc = job_loc(complaints, index, "upgradeScope")
    if job_type is JobType.VERIFY and scope.type == "total":
        hint = "EnOS answers 24611; name devices or a selector"
        complaints.add("R131", "a verification cannot have the scope total", loc=(*loc, "type"), hint=hint)
    if job_type is JobType.VERIFY and scope.selector in _VERIFY_WITHOUT:
        complaints.add("R131", "device groups are for upgrade jobs only", loc=(*loc, scope.selector))
    if scope.selector == "assetTrees" and len(scope.value) > ASSET_TREES_MAX:
        message = f"{len(scope.value)} asset trees; EnOS allows {ASSET_TREES_MAX}"
        complaints.add("R132", message, loc=(*loc, "assetTrees"))


ENOS: Final = PlatformPlan(
    job=JobBlock,
    scope=ScopeBlock,
    check_wave=check_wave,
    check_size=check_size,
    misplaced={
        "deviceKeys": "list devices as the wave's `keys:`, or in a file under `devices:`",
        "includedNotes": "EnOS calls it 'includedNodes'",
        "versionNumbers": "write it beside upgradeScope, in `job:`",
        "productKey": "write it beside upgradeScope, in `job:`",
        "scope": "EnOS calls it 'upgradeScope': {type: total}",
        "windows": "job.schedulePolicy is EnOS's own window",
        "deviceRetry": "job.retryPolicy lets EnOS retry failed devices",
    },
    texts=(("productKey",), ("versionNumbers", "*")),
)
"""What `plan_file` is handed to read plans for EnOS."""
