"""Reads the bodies of calls strictly, by the fields, ranges and rules of the published pages.

Written from the pages and not from our client's models, so that an error in those is not repeated here. Whatever is
wrong is refused with 99400, the common code for arguments; the rules that have their own codes (24611, 24612) are in
the model. A selector that is null or empty counts as absent, because clients serialise whole objects.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rollout.emulator.platform.knobs import Knobs
from rollout.emulator.platform.refusal import invalid
from rollout.emulator.platform.window import DAY_S, Always, Daily, Span, Window
from rollout.enos import limits

UPGRADE_TIMEOUT_S = (limits.UPGRADE_TIMEOUT_S_MIN, limits.UPGRADE_TIMEOUT_S_MAX)
RETRY_INTERVAL_S = (limits.RETRY_INTERVAL_S_MIN, limits.RETRY_INTERVAL_S_MAX)
RETRY_COUNT = (limits.RETRY_COUNT_MIN, limits.RETRY_COUNT_MAX)
MAXIMUM_CONCURRENCY = (1, 2**31 - 1)
"""The page gives no bounds: at least 1, and at most what a Java Integer holds."""

ANY_INTEGER = (-(2**31), 2**31 - 1)
"""For a number that is not used, such as those of a retry that is off: what a Java Integer holds."""

DAY_SECONDS = (0, DAY_S - 1)
"""Seconds of the day, as in the page's own sample."""

ZONE_MINUTES = (-1440, 1440)
"""Time zone of a daily window, minutes east of UTC. The page gives no bounds: one day either way."""

SELECTOR_FORMS: Mapping[str, tuple[type, ...]] = {
    "deviceKeys": (list,),
    "attributes": (dict,),
    "tags": (dict,),
    "assetTrees": (list, dict),
    "deviceGroupIds": (list,),
    "assetIds": (list,),
}
"""The JSON types of each selector: lists and objects as in the samples; `assetTrees` may also be a single tree."""

SELECTORS = tuple(SELECTOR_FORMS)

_BODY_FIELDS = frozenset(
    {
        "name",
        "type",
        "upgradeScope",
        "upgradePolicy",
        "enableUpgradeRequest",
        "upgradeTimeout",
        "retryPolicy",
        "schedulePolicy",
        "maximumConcurrency",
        # older forms, seen in the page's own sample and in job records of 2.2 and 2.3
        "startSchedule",
        "endSchedule",
        "startAfterCreate",
    }
)
_SCOPE_FIELDS = frozenset({"type", "versionNumbers", "productKey", *SELECTORS})
_RETRY_FIELDS = frozenset({"enableRetry", "retryInterval", "retryCount"})
_SCHEDULE_FIELDS = frozenset({"isRepeatDaily", "startTimestamp", "endTimestamp", "timezoneOffsetInMinutes"})
_TREE_FIELDS = frozenset({"treeId", "includedNodes"})


@dataclass(frozen=True, slots=True)
class Texts:
    """A StringI18n: the default text, and texts by locale."""

    default: str
    i18n: Mapping[str, str]

    def in_locale(self, locale: str) -> str:
        """Return the text for a locale; the default text if there is none."""
        return self.i18n.get(locale) or self.default

    def to_json(self) -> dict[str, Any]:
        """Return the wire form."""
        return {"defaultValue": self.default, "i18nValue": dict(self.i18n)}


@dataclass(frozen=True, slots=True)
class Retry:
    """Automatic retry: `count` more attempts, each `interval_s` after a failure."""

    interval_s: int
    count: int


@dataclass(frozen=True, slots=True)
class ScopeDefinition:
    """Which devices a job is for: all of the product, or those that one selector names; filtered by source version.

    `versions`: the source versions; None means any version but the target. `first_version`: the first of them as given,
    empty if none. `selector`: one of `SELECTORS`; None for `total`. `value`: the selector's value as it was read. `any_key`:
    a device needs to match only one key of tags or attributes.
    """

    total: bool
    versions: frozenset[str] | None
    first_version: str
    product_key: str | None
    selector: str | None
    value: Any
    any_key: bool


@dataclass(frozen=True, slots=True)
class JobDefinition:
    """What a create call asks for. `timeout_s`: the time limit of an attempt, seconds.

    `start_after_create`: None if the call does not say. `record`: what job records show of the call, field by field.
    """

    name: Texts | None
    verify: bool
    scope: ScopeDefinition
    incremental: bool
    upgrade_requests: bool
    timeout_s: int
    retry: Retry | None
    window: Window
    maximum_concurrency: int
    start_after_create: bool | None
    record: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Paging:
    """One page of search results: page `number`, counted from 1, of `size` records."""

    number: int
    size: int

    @property
    def offset(self) -> int:
        """How many records are on the pages before this one."""
        return (self.number - 1) * self.size


def read_job_definition(body: Any, knobs: Knobs) -> JobDefinition:
    """Return what the body of a create call asks for. Raises: Refusal 99400."""
    fields = BodyReader(body, "body", knobs)
    fields.only(_BODY_FIELDS)
    kind = fields.choice("type", ("upgrade", "verify"))
    verify = kind == "verify"
    name = None if fields.get("name") is None else read_texts(fields.get("name"), "name")
    scope = _read_scope(fields.get("upgradeScope"), knobs)
    if verify and scope.selector == "deviceGroupIds":
        raise invalid("upgradeScope.deviceGroupIds is for upgrade jobs only")
    starts = None
    if fields.get("startAfterCreate") is not None:
        starts = fields.boolean("startAfterCreate", default=None)
    timeout_s = fields.integer("upgradeTimeout", UPGRADE_TIMEOUT_S, limits.UPGRADE_TIMEOUT_S_DEFAULT)
    record: dict[str, Any] = {
        "name": None if name is None else name.to_json(),
        "type": kind,
        "upgradeScope": _scope_record(fields.get("upgradeScope")),
        "upgradeTimeout": timeout_s,
        "upgradePolicy": None,
        "enableUpgradeRequest": None,
        "retryPolicy": None,
        "schedulePolicy": None,
        "maximumConcurrency": None,
    }
    if verify:
        # the page lists none of the other fields for verification; they are ignored
        return JobDefinition(
            name=name,
            verify=True,
            scope=scope,
            incremental=False,
            upgrade_requests=False,
            timeout_s=timeout_s,
            retry=None,
            window=Always(),
            maximum_concurrency=limits.MAXIMUM_CONCURRENCY_DEFAULT,
            start_after_create=starts,
            record=record,
        )
    policy = fields.choice("upgradePolicy", ("snapshot", "incremental"))
    upgrade_requests = fields.boolean("enableUpgradeRequest", default=None)
    retry, retry_shown = _read_retry(fields.get("retryPolicy"), knobs)
    window, window_shown = _read_window(fields, knobs)
    maximum = fields.integer("maximumConcurrency", MAXIMUM_CONCURRENCY, limits.MAXIMUM_CONCURRENCY_DEFAULT)
    record |= {
        "upgradePolicy": policy,
        "enableUpgradeRequest": upgrade_requests,
        "retryPolicy": retry_shown,
        **window_shown,
        "maximumConcurrency": maximum,
        **fields.shown("startAfterCreate", starts),
    }
    return JobDefinition(
        name=name,
        verify=False,
        scope=scope,
        incremental=policy == "incremental",
        upgrade_requests=upgrade_requests,
        timeout_s=timeout_s,
        retry=retry,
        window=window,
        maximum_concurrency=maximum,
        start_after_create=starts,
        record=record,
    )


def read_texts(value: Any, field: str) -> Texts:
    """Return a StringI18n. Raises: Refusal 99400."""
    if not isinstance(value, dict) or not isinstance(value.get("defaultValue"), str):
        raise invalid(f"{field}.defaultValue is missing")
    return Texts(value["defaultValue"], read_text_map(value.get("i18nValue"), f"{field}.i18nValue"))


def read_text_map(value: Any, place: str) -> Mapping[str, str]:
    """Return an object whose values are texts; empty if it is absent. Raises: Refusal 99400."""
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise invalid(f"{place} is not an object of texts")
    return value


def read_device_keys(body: Any, knobs: Knobs) -> list[str]:
    """Return the mandatory `deviceKeys` of cancelTask and retryTask without repetitions. Raises: Refusal 99400."""
    fields = BodyReader(body, "body", knobs)
    fields.only(frozenset({"deviceKeys"}))
    keys = [] if fields.get("deviceKeys") is None else _strings(fields.get("deviceKeys"), "deviceKeys")
    if not keys:
        raise invalid("deviceKeys is missing")
    if knobs.batch_keys_max is not None and len(keys) > knobs.batch_keys_max:
        raise invalid(f"deviceKeys takes at most {knobs.batch_keys_max} entries")
    return list(dict.fromkeys(keys))


def read_paging(body: Mapping[str, Any], size_max: int, knobs: Knobs) -> Paging:
    """Return which page a search asks for; the first 10 records by default. Raises: Refusal 99400."""
    if body.get("pagination") is None:
        return Paging(1, limits.PAGE_SIZE_DEFAULT)
    fields = BodyReader(body["pagination"], "pagination", knobs)
    if fields.get("sorters") and knobs.sorters == "refuse":
        raise invalid("pagination.sorters is not supported")
    number = fields.integer("pageNo", (1, 2**31 - 1), 1)
    size = fields.integer("pageSize", (1, 2**31 - 1), limits.PAGE_SIZE_DEFAULT)
    if size > size_max:
        if knobs.page_size_excess == "refuse":
            raise invalid(f"pagination.pageSize is above {size_max}")
        size = size_max
    return Paging(number, size)


class BodyReader:
    """Reads one JSON object field by field. Every method raises Refusal 99400 for a value that cannot be used.

    Args:
        place: the object's name in messages.
    """

    def __init__(self, value: Any, place: str, knobs: Knobs) -> None:
        if not isinstance(value, dict):
            raise invalid(f"{place} is not an object")
        self._value: dict[str, Any] = value
        self._place = place
        self._knobs = knobs

    def only(self, known: frozenset[str]) -> None:
        """Refuse fields other than `known`, if the knob `unknown_fields` says so."""
        if self._knobs.unknown_fields == "refuse":
            for name in self._value.keys() - known:
                raise invalid(f"{self._place}.{name} is not a field")

    def get(self, name: str) -> Any:
        """Return the value unchecked; None if it is absent."""
        return self._value.get(name)

    def shown(self, name: str, read: object) -> dict[str, Any]:
        """Return the field as records show it: `read`, the value that was read, or nothing if the field is absent."""
        return {} if self._value.get(name) is None else {name: read}

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """Return the value, which must be one of `choices`."""
        value = self._value.get(name)
        if value not in choices:
            raise invalid(f"{self._place}.{name} must be one of {', '.join(choices)}")
        return str(value)

    def boolean(self, name: str, *, default: bool | None) -> bool:
        """Return true or false; `default` if the field is absent, which is refused if `default` is None."""
        value = self._value.get(name)
        if isinstance(value, bool):
            return value
        if value in ("true", "false") and self._knobs.numeric_strings == "accept":
            return bool(value == "true")
        if value is None and default is not None:
            return default
        raise invalid(f"{self._place}.{name} must be true or false")

    def integer(self, name: str, bounds: tuple[int, int], default: int | None) -> int:
        """Return a whole number within `bounds`, both included.

        `default` if the field is absent, which is refused if `default` is None.
        """
        value = self._value.get(name)
        if value is None and default is not None:
            return default
        if isinstance(value, str) and self._knobs.numeric_strings == "accept":
            try:
                value = int(value)
            except ValueError:
                raise invalid(f"{self._place}.{name} is not a number") from None
        if isinstance(value, float) and value.is_integer():
            # JSON has one type of number: 600.0 is 600
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise invalid(f"{self._place}.{name} must be a whole number")
        low, high = bounds
        if not low <= value <= high:
            raise invalid(f"{self._place}.{name} must lie in {low} to {high}")
        return value


def _read_scope(value: Any, knobs: Knobs) -> ScopeDefinition:
    fields = BodyReader(value, "upgradeScope", knobs)
    fields.only(_SCOPE_FIELDS)
    kind = fields.choice("type", ("total", "partial"))
    for name, form in SELECTOR_FORMS.items():
        if not isinstance(fields.get(name), (*form, types.NoneType)):
            raise invalid(f"upgradeScope.{name} has the wrong form")
    given = [selector for selector in SELECTORS if fields.get(selector)]
    if len(given) > 1:
        raise invalid(f"upgradeScope takes only one of {', '.join(given)}")
    if kind == "partial" and not given:
        raise invalid(f"upgradeScope of type partial needs one of {', '.join(SELECTORS)}")
    if kind == "total" and given:
        raise invalid(f"upgradeScope of type total takes no {given[0]}")
    versions = fields.get("versionNumbers")
    if versions is not None:
        versions = _strings(versions, "upgradeScope.versionNumbers")
    if not versions and knobs.source_versions == "mandatory":
        raise invalid("upgradeScope.versionNumbers is missing")
    product_key = fields.get("productKey")
    if product_key is not None and not isinstance(product_key, str):
        raise invalid("upgradeScope.productKey is not a text")
    selector = given[0] if given else None
    return ScopeDefinition(
        total=kind == "total",
        versions=frozenset(versions) if versions else None,
        first_version=versions[0] if versions else "",
        product_key=product_key or None,
        selector=selector,
        value=None if selector is None else _read_selector(selector, fields.get(selector), knobs),
        any_key=knobs.several_keys == "any",
    )


def _read_selector(selector: str, value: Any, knobs: Knobs) -> Any:
    """Return the selector's value, checked at every level; for tags and attributes: key → accepted texts."""
    place = f"upgradeScope.{selector}"
    if selector in {"deviceKeys", "deviceGroupIds", "assetIds"}:
        # sets in the platform's own client: duplicates do not count
        entries = list(dict.fromkeys(_strings(value, place)))
        if knobs.device_keys_max is not None and len(entries) > knobs.device_keys_max:
            raise invalid(f"{place} takes at most {knobs.device_keys_max} entries")
        return entries
    if selector in {"attributes", "tags"}:
        accepted: dict[str, frozenset[str]] = {}
        for key, values in value.items():
            if not isinstance(values, list):
                raise invalid(f"{place}.{key} is not a list")
            # attributes have values of any type, tags have texts
            texts = _strings(values, f"{place}.{key}") if selector == "tags" else map(_as_text, values)
            accepted[key] = frozenset(texts)
        return accepted
    trees = value if isinstance(value, list) else [value]
    if len(trees) > limits.ASSET_TREES_MAX:
        raise invalid(f"{place} takes at most {limits.ASSET_TREES_MAX} trees")
    read: list[tuple[str, tuple[str, ...]]] = []
    for tree in trees:
        fields = BodyReader(tree, place, knobs)
        fields.only(_TREE_FIELDS)
        if not isinstance(fields.get("treeId"), str):
            raise invalid(f"{place}.treeId is missing")
        nodes = fields.get("includedNodes")
        nodes = [] if nodes is None else _strings(nodes, f"{place}.includedNodes")
        read.append((fields.get("treeId"), tuple(nodes)))
    return read


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _scope_record(value: dict[str, Any]) -> dict[str, Any]:
    unused: dict[str, Any] = dict.fromkeys(("productKey", *SELECTORS))
    # what is empty counts as absent
    return unused | {name: value[name] or None for name in value if name in _SCOPE_FIELDS}


def _read_retry(value: Any, knobs: Knobs) -> tuple[Retry | None, dict[str, Any] | None]:
    """Return the policy, None if retry is off, and what records show of it; numbers of a retry that is off are not checked."""
    if value is None:
        return None, None
    fields = BodyReader(value, "retryPolicy", knobs)
    fields.only(_RETRY_FIELDS)
    on = fields.boolean("enableRetry", default=False)
    shown: dict[str, Any] = fields.shown("enableRetry", on)
    for name, bounds in (("retryInterval", RETRY_INTERVAL_S), ("retryCount", RETRY_COUNT)):
        if on or fields.get(name) is not None:
            shown[name] = fields.integer(name, bounds if on else ANY_INTEGER, None)
    return (Retry(shown["retryInterval"], shown["retryCount"]) if on else None), shown


def _read_window(fields: BodyReader, knobs: Knobs) -> tuple[Window, dict[str, Any]]:
    """Return the job's window, and what records show of it."""
    older = {
        name: fields.integer(name, DAY_SECONDS, None)
        for name in ("startSchedule", "endSchedule")
        if fields.get(name) is not None
    }
    policy = fields.get("schedulePolicy")
    shown: dict[str, Any] = {"schedulePolicy": None, **older}
    if policy is None:
        if not older:
            return Always(), shown
        start_s = older.get("startSchedule", DAY_SECONDS[0])
        return Daily(start_s, older.get("endSchedule", DAY_SECONDS[1]), int(knobs.zone_s)), shown
    inner = BodyReader(policy, "schedulePolicy", knobs)
    inner.only(_SCHEDULE_FIELDS)
    start_ms = inner.integer("startTimestamp", (0, 2**63 - 1), None)
    end_ms = inner.integer("endTimestamp", (0, 2**63 - 1), None)
    offset_min = inner.integer("timezoneOffsetInMinutes", ZONE_MINUTES, 0)
    daily = inner.boolean("isRepeatDaily", default=False)
    shown["schedulePolicy"] = {
        **inner.shown("isRepeatDaily", daily),
        "startTimestamp": start_ms,
        "endTimestamp": end_ms,
        **inner.shown("timezoneOffsetInMinutes", offset_min),
    }
    if daily:
        zone_s = int(knobs.zone_s) if inner.get("timezoneOffsetInMinutes") is None else offset_min * 60
        return _daily_window(start_ms, end_ms, zone_s, knobs), shown
    if end_ms < start_ms:
        raise invalid("schedulePolicy.endTimestamp lies before startTimestamp")
    return Span(start_ms / 1000, end_ms / 1000), shown


def _strings(value: Any, place: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise invalid(f"{place} is not a list of texts")
    return value


def _daily_window(start_ms: int, end_ms: int, zone_s: int, knobs: Knobs) -> Daily:
    """Return the window of a policy that repeats daily, its times read as the knobs say."""
    shift_s = zone_s if knobs.daily_times == "instants" else 0
    start_s, end_s = ((ms // 1000 + shift_s) % DAY_S for ms in (start_ms, end_ms))
    if knobs.repeat_daily == "for_ever":
        return Daily(start_s, end_s, zone_s)
    return Daily(start_s, end_s, zone_s, start_ms / 1000, end_ms / 1000)
