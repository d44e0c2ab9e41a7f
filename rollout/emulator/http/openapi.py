"""The emulator's API as an OpenAPI 3.1 document: every call with its parameters, body, replies and codes. No I/O.

Structs are those of `enos.messages`. What a struct cannot express is added here: that a job is one of two kinds, that
a scope has one selector, that a page has a largest size. Replies are described as this emulator gives them, with every
field present. A client must not rely on that.

EnOS has several calls on one path, told apart by the query parameter `action`. OpenAPI allows one operation for a path
and a method. So the action is part of the path's key: `/connect-service/v2.1/ota-jobs?action=create`. Tools treat such a
key as the beginning of a URL and append the other parameters. One operation for all actions was rejected: it could not
say which body an action takes and which codes it can answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from rollout.emulator.http.service import DEVICE_ROUTES, FIRMWARE_ROUTE, JOBS_ROUTE, TOKEN_ROUTE
from rollout.emulator.platform import search
from rollout.emulator.platform.bodies import (
    DAY_SECONDS,
    MAXIMUM_CONCURRENCY,
    RETRY_COUNT,
    RETRY_INTERVAL_S,
    SELECTOR_FORMS,
    ZONE_MINUTES,
)
from rollout.emulator.platform.expression import FieldOperators
from rollout.enos import limits, messages
from rollout.enos.codes import CODES, GATEWAY, TOKEN_STATUS, Code
from rollout.enos.messages import Message, Number, StringI18n

Json = dict[str, Any]

COMMON_REFUSALS = (
    Code.INVALID_ARGUMENT,
    Code.DENIED,
    Code.OBJECT_NOT_FOUND,
    Code.OTA_INTERNAL_ERROR,
    Code.INTERNAL_ERROR,
)
"""Codes that any call may be refused with. Pages: overview (common codes), index_ota."""

INTEGER_MAX = 2**31 - 1
"""What a Java Integer holds."""


class FirmwareInfo(Message):
    """A firmware as get and search show it. Page: get_firmware (FirmwareInfo struct)."""

    org_id: str
    firmware_id: str
    product_key: str | None
    name: StringI18n
    version: str
    desc: str
    sign_method: str
    sign: str
    file_url: str
    file_size: Number
    enable_verification: bool
    is_verified: bool
    create_time: Number
    firmware_tags: dict[str, str]


class DeviceFirmware(Message):
    """A device's firmware and whether it is being upgraded. Page: search_device_upgrade (DeviceFirmware struct)."""

    org_id: str
    asset_id: str
    product_key: str
    device_key: str
    firmware_version: str | None
    is_upgrading: bool


class Device(Message):
    """A device. Page: search_device (Device struct)."""

    org_id: str
    asset_id: str
    product_key: str
    device_key: str
    device_name: StringI18n
    status: str
    product_type: str
    firmware_version: str | None
    model_id: str | None
    device_tags: dict[str, str]
    device_attributes: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Operation:
    """One call. `data`: the schema of the reply's `data` on success. `parameters`: those beside `orgId`; `?`: optional.

    `fields`: for a search, what its expression can name; None for other calls. `page_size_max`: for a search.
    """

    id: str
    path: str
    action: str
    page: str
    data: Json
    method: str = "post"
    parameters: tuple[str, ...] = ()
    body: Json | None = None
    refusals: tuple[Code, ...] = ()
    fields: FieldOperators | None = None
    page_size_max: int = limits.PAGE_SIZE_MAX


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _list_of(name: str) -> Json:
    return {"type": "array", "items": _ref(name)}


NOTHING: Json = {"type": "null"}
_JOB = ("jobId",)
_FOUND = (Code.NOT_FOUND,)
_V21, _V24 = sorted(DEVICE_ROUTES)

# fmt: off
DESCRIBED = (
    _Operation("createJob", JOBS_ROUTE, "create", "create_ota_job", _ref("CreatedJob"), parameters=("firmwareId",), body=_ref("CreateJobBody"),
               refusals=(*_FOUND, Code.FIRMWARE_NOT_VERIFIED, Code.VERIFY_WITH_TOTAL_SCOPE, Code.TOO_MANY_VERIFY_DEVICES)),
    _Operation("getJob", JOBS_ROUTE, "get", "get_ota_job", _ref("JobInfo"), "get", _JOB, refusals=_FOUND),
    _Operation("searchJobs", JOBS_ROUTE, "search", "search_ota_job", _list_of("JobInfo"), fields=search.JOB_FIELDS),
    _Operation("startJob", JOBS_ROUTE, "start", "start_ota_job", NOTHING, parameters=_JOB, refusals=(*_FOUND, Code.JOB_HAS_STARTED)),
    _Operation("stopJob", JOBS_ROUTE, "stop", "stop_ota_job", NOTHING, parameters=_JOB, refusals=(*_FOUND, Code.JOB_HAS_STOPPED)),
    _Operation("deleteJob", JOBS_ROUTE, "delete", "delete_ota_job", NOTHING, parameters=_JOB, refusals=(*_FOUND, Code.JOB_RUNNING)),
    _Operation("searchTasks", JOBS_ROUTE, "searchTask", "search_device_task", _list_of("TaskInfo"), fields=search.TASK_FIELDS),
    _Operation("cancelTasks", JOBS_ROUTE, "cancelTask", "cancel_ota_task", NOTHING, parameters=_JOB, body=_ref("DeviceKeysBody"),
               refusals=(*_FOUND, Code.JOB_NOT_RUNNING, Code.TASK_NOT_CANCELLABLE)),
    _Operation("retryTasks", JOBS_ROUTE, "retryTask", "retry_ota_task", NOTHING, parameters=_JOB, body=_ref("DeviceKeysBody"),
               refusals=(*_FOUND, Code.JOB_NOT_RUNNING, Code.TASK_NOT_FAILED)),
    _Operation("createFirmware", FIRMWARE_ROUTE, "create", "create_firmware", _ref("CreatedFirmware"), parameters=("productKey?",),
               refusals=(Code.FIRMWARE_VERSION_TAKEN, Code.FIRMWARE_NAME_TAKEN)),
    _Operation("getFirmware", FIRMWARE_ROUTE, "get", "get_firmware", _ref("FirmwareInfo"), "get", ("firmwareId",), refusals=_FOUND),
    _Operation("searchFirmware", FIRMWARE_ROUTE, "search", "search_firmware", _list_of("FirmwareInfo"), fields=search.FIRMWARE_FIELDS),
    _Operation("listFirmwareVersions", FIRMWARE_ROUTE, "listVersion", "list_firmware_version", {"type": "array", "items": {"type": "string"}},
               "get", ("productKey",)),
    _Operation("searchDeviceUpgrades", FIRMWARE_ROUTE, "searchDeviceUpgrade", "search_device_upgrade", _list_of("DeviceFirmware"),
               fields=search.DEVICE_UPGRADE_FIELDS),
    _Operation("deleteFirmware", FIRMWARE_ROUTE, "delete", "delete_firmware", NOTHING, parameters=("firmwareId",),
               refusals=(*_FOUND, Code.FIRMWARE_IN_USE)),
    _Operation("searchDevicesV21", _V21, "search", "search_device", _list_of("Device"),
               fields=search.DEVICE_FIELDS, page_size_max=limits.DEVICE_PAGE_SIZE_MAX),
    _Operation("searchDevicesV24", _V24, "search", "V2.4 search_device", _list_of("Device"),
               fields=search.DEVICE_FIELDS, page_size_max=limits.DEVICE_PAGE_SIZE_MAX),
)
# fmt: on


def describe(org_id: str) -> Json:
    """Return the OpenAPI 3.1 document, ready for JSON.

    Args:
        org_id: the emulator's only organisation.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "EnOS Connection Service, OTA API v2.1, as the emulator of rollout answers it",
            "version": "2.1",
            "description": "Written from the published pages; where they are silent, as the emulator's defaults have it."
            " With the knob error_status=mapped a refusal has the HTTP status its code ends with instead of 200.",
        },
        "servers": [{"url": "/"}],
        "security": [{name: [] for name in _SECURITY}],
        "paths": {
            **{f"{row.path}?action={row.action}": {row.method: _operation(row, org_id)} for row in DESCRIBED},
            **{TOKEN_ROUTE + action: {"post": _token_operation(action)} for action in ("get", "refresh")},
        },
        "components": {"schemas": _components(), "securitySchemes": _SECURITY},
    }


_SECURITY: Json = {
    "token": {"type": "apiKey", "in": "header", "name": "apim-accesstoken"},
    "timestamp": {
        "type": "apiKey",
        "in": "header",
        "name": "apim-timestamp",
        "description": "Milliseconds since the epoch.",
    },
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "apim-signature",
        "description": "Hexadecimal SHA-256 of token, names and values of the query sorted by name, body and timestamp"
        " and secret, without separators; of a multipart body nothing is signed.",
    },
}


# --- calls ----------------------------------------------------------------------------------------------------


def _operation(row: _Operation, org_id: str) -> Json:
    operation: Json = {
        "operationId": row.id,
        "summary": f"Page: {row.page}.",
        "tags": [row.path.rsplit("/", 1)[1]],
        "parameters": [_parameter("orgId", {"enum": [org_id]}), *map(_parameter, row.parameters)],
        "responses": _responses(row),
    }
    body = _search_body(row.fields, row.page_size_max) if row.fields is not None else row.body
    if row.id == "createFirmware":
        operation["requestBody"] = _UPLOAD
    elif body is not None:
        operation["requestBody"] = {
            "required": row.fields is None,
            "content": {"application/json": {"schema": body}},
        }
    return operation


def _parameter(name: str, bounds: Json | None = None) -> Json:
    optional = name.endswith("?")
    # an empty value counts as absent
    schema = {"type": "string", **({} if optional else {"minLength": 1}), **(bounds or {})}
    return {"name": name.removesuffix("?"), "in": "query", "required": not optional, "schema": schema}


_UPLOAD: Json = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "metadata": _ref("FirmwareMetadata"),
                    "file": {"type": "string", "contentMediaType": "application/octet-stream"},
                },
                "required": ["metadata", "file"],
                "additionalProperties": False,
            },
            "encoding": {"metadata": {"contentType": "application/json"}},
        }
    },
}


def _search_body(fields: FieldOperators, page_size_max: int) -> Json:
    return {
        "type": "object",
        "properties": {
            "expression": {
                "type": ["string", "null"],
                "pattern": expression_pattern(fields),
                "description": "In one form of several: double quotes, parentheses and numbers are understood, too.",
            },
            "pagination": {
                "type": ["object", "null"],
                "properties": {
                    "pageNo": _optional(_integer(limits.PAGE_NO_FIRST, INTEGER_MAX), limits.PAGE_NO_FIRST),
                    "pageSize": _optional(_integer(1, page_size_max), limits.PAGE_SIZE_DEFAULT),
                },
            },
        },
    }


def expression_pattern(fields: FieldOperators) -> str:
    """Return a regular expression that matches the simplest expressions of a search, and the empty text."""
    text = "'[^']{0,40}'"
    forms = {
        "=": f" = {text}",
        "!=": f" != {text}",
        "like": f" like {text}",
        "in": rf" in \({text}(, {text}){{0,3}}\)",
    }
    terms: list[str] = []
    for operator in sorted({operator for known in fields.values() for operator in known}):
        names = "|".join(_name_pattern(name) for name, known in fields.items() if operator in known)
        terms.append(
            rf"(not )?exists\(({names})\)" if operator == "exists" else f"({names}){forms[operator]}"
        )
    term = "(" + "|".join(terms) + ")"
    return f"^({term}( (and|or) {term}){{0,3}})?$"


def _name_pattern(name: str) -> str:
    return name.replace(".*", r"\.[A-Za-z0-9_-]{1,20}") if name.endswith(".*") else name.replace(".", r"\.")


# --- answers --------------------------------------------------------------------------------------------------


def _responses(row: _Operation) -> Json:
    refusal = _refusal({*COMMON_REFUSALS, *row.refusals})
    responses: Json = {
        "200": _answer("Success, or a refusal by the service", {"oneOf": [_success(row), refusal]}),
        "404": _answer("With error_status=mapped: there is no such thing", refusal),
        "409": _answer("With error_status=mapped: a rule forbids it", refusal),
    }
    for status, meaning in GATEWAY.items():
        turned = _gateway_error(status)
        mapped = status in {400, 403, 500}
        responses[str(status)] = _answer(meaning.meaning, {"anyOf": [turned, refusal]} if mapped else turned)
    if links := _LINKS.get(row.id):
        responses["200"]["links"] = {
            target: {"operationId": target, "parameters": {name: f"$response.body#/data/{name}"}}
            for name, targets in links.items()
            for target in targets
        }
    return responses


_LINKS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "createJob": {"jobId": ("getJob", "startJob", "stopJob", "deleteJob", "cancelTasks", "retryTasks")},
    "createFirmware": {"firmwareId": ("getFirmware", "createJob", "deleteFirmware")},
}
"""Which calls take the ids of a reply: call → id → calls that take it."""


def _answer(description: str, schema: Json) -> Json:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _success(row: _Operation) -> Json:
    return _envelope(
        {"const": int(Code.OK)},
        {"const": CODES[Code.OK].message},
        row.data,
        {} if row.fields is None else {"pagination": _ref("PageInfo")},
    )


def _refusal(codes: Iterable[Code]) -> Json:
    ordered = sorted(codes)
    code = {
        "type": "integer",
        "enum": [int(code) for code in ordered],
        "description": "; ".join(f"{int(code)}: {CODES[code].meaning}" for code in ordered),
    }
    return _envelope(code, {"type": "string"}, NOTHING, {})


def _envelope(code: Json, msg: Json, data: Json, more: Json) -> Json:
    fields = {
        "code": code,
        "msg": msg,
        "requestId": {"type": "string", "format": "uuid"},
        "data": data,
        **more,
    }
    return _closed({"type": "object", "properties": fields})


def _gateway_error(status: int) -> Json:
    return _closed({"type": "object", "properties": {"message": {"const": GATEWAY[status].message}}})


def _token_operation(action: str) -> Json:
    given = {"status": {"const": 0}, "msg": {"type": "string"}, "business": {"const": "apim-token-service"}}
    refused = {"type": "integer", "enum": [int(status) for status in TOKEN_STATUS if status]}
    answers = {
        "oneOf": [
            _closed({"type": "object", "properties": {**given, "data": _ref("TokenData")}}),
            _closed({"type": "object", "properties": {**given, "status": refused, "data": NOTHING}}),
        ]
    }
    return {
        "operationId": f"{action}Token",
        "summary": "Page: invoke_api_with_access_token.",
        "tags": ["token"],
        "security": [],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _ref("TokenRequest")}},
        },
        "responses": {
            "200": _answer("A token, or why there is none", answers),
            **{
                str(status): _answer(GATEWAY[status].meaning, _gateway_error(status))
                for status in (400, 500, 503)
            },
        },
    }


# --- structs --------------------------------------------------------------------------------------------------


def _components() -> Json:
    structs: tuple[type[BaseModel], ...] = (
        messages.CreateJobBody,
        messages.DeviceKeysBody,
        messages.FirmwareMetadata,
        messages.TokenRequest,
        messages.TokenData,
        messages.CreatedJob,
        messages.CreatedFirmware,
        messages.JobInfo,
        messages.TaskInfo,
        messages.PageInfo,
        FirmwareInfo,
        DeviceFirmware,
        Device,
    )
    _, made = models_json_schema(
        [(struct, "validation") for struct in structs], ref_template="#/components/schemas/{model}"
    )
    schemas: Json = {name: _tidied(schema) for name, schema in made["$defs"].items()}
    for name in (
        "CreatedJob",
        "CreatedFirmware",
        "TaskInfo",
        "PageInfo",
        "FirmwareInfo",
        "DeviceFirmware",
        "Device",
        "TokenData",
    ):
        schemas[name] = _closed(schemas[name])
    # in records of 2.2 and 2.3, and here if the create call had them
    schemas["JobInfo"] = _closed(
        schemas["JobInfo"], optional={"startSchedule", "endSchedule", "startAfterCreate"}
    )
    schemas["StringI18n"] = _with(
        schemas["StringI18n"], required=("defaultValue",), defaultValue={"type": "string"}
    )
    scope = schemas["UpgradeScope"]
    schemas["UpgradeScope"] = _scope(scope, SELECTOR_FORMS)
    schemas["VerificationScope"] = _scope(
        scope, [name for name in SELECTOR_FORMS if name != "deviceGroupIds"]
    )
    schemas["RetryPolicy"] = _retry(schemas["RetryPolicy"])
    schemas["SchedulePolicy"] = _with(
        schemas["SchedulePolicy"],
        startTimestamp=_integer(0, 2**63 - 1),
        endTimestamp=_integer(0, 2**63 - 1),
        timezoneOffsetInMinutes=_optional(_integer(*ZONE_MINUTES)),
    )
    schemas["CreateJobBody"] = _job_body(schemas["CreateJobBody"])
    schemas["FirmwareMetadata"] = _with(
        schemas["FirmwareMetadata"],
        version={"type": "string", "minLength": 1},
        sign={"type": "string", "minLength": 1},
        maxAllowedForVerification=_optional(_integer(1, INTEGER_MAX), limits.VERIFY_DEVICES_MAX_DEFAULT),
        minSuccessForVerified=_optional(_integer(1, INTEGER_MAX), 1),
    )
    return schemas


def _job_body(schema: Json) -> Json:
    """Return the schema of a create call's body: an upgrade, or a verification, for which the page lists four fields."""
    fields = schema["properties"]
    upgrade = _with(
        schema,
        required=("type", "upgradeScope", "upgradePolicy", "enableUpgradeRequest"),
        type={"const": "upgrade"},
        upgradePolicy={"enum": ["snapshot", "incremental"]},
        enableUpgradeRequest={"type": "boolean"},
        maximumConcurrency=_optional(_integer(*MAXIMUM_CONCURRENCY), limits.MAXIMUM_CONCURRENCY_DEFAULT),
        startSchedule=_optional(_integer(*DAY_SECONDS)),
        endSchedule=_optional(_integer(*DAY_SECONDS)),
    )
    verify = {
        "type": "object",
        "properties": {name: fields[name] for name in ("name", "type", "upgradeScope", "upgradeTimeout")},
    }
    return {
        "description": schema["description"],
        "oneOf": [
            upgrade,
            _with(
                verify,
                required=("type", "upgradeScope"),
                type={"const": "verify"},
                upgradeScope=_ref("VerificationScope"),
            ),
        ],
    }


def _scope(schema: Json, selectors: Iterable[str]) -> Json:
    """Return the schema of a scope: total, or partial with exactly one of `selectors`, which must not be empty."""
    kinds: Mapping[type, str] = {list: "array", dict: "object"}
    # what is empty counts as absent
    unused = {
        name: {"type": ["null", *(kinds[form] for form in forms)], "maxItems": 0, "maxProperties": 0}
        for name, forms in SELECTOR_FORMS.items()
    }
    partial = [
        _with(
            schema,
            required=("type", selector),
            type={"const": "partial"},
            **unused | {selector: _selector(schema, selector)},
        )
        for selector in selectors
    ]
    total = _with(schema, required=("type",), type={"const": "total"}, **unused)
    return {"description": schema["description"], "anyOf": [total, *partial]}


def _selector(schema: Json, name: str) -> Json:
    """Return the schema of one selector: a list or an object, not empty."""
    form: Json = schema["properties"][name]["anyOf"][0]
    if form["type"] == "object":
        return form | {"minProperties": 1}
    return form | {"minItems": 1} | ({"maxItems": limits.ASSET_TREES_MAX} if name == "assetTrees" else {})


def _retry(schema: Json) -> Json:
    on = _with(
        schema,
        required=("enableRetry", "retryInterval", "retryCount"),
        enableRetry={"const": True},
        retryInterval=_integer(*RETRY_INTERVAL_S),
        retryCount=_integer(*RETRY_COUNT),
    )
    return {
        "description": schema["description"],
        "anyOf": [_with(schema, enableRetry={"enum": [False, None]}), on],
    }


def _with(schema: Json, *, required: Iterable[str] = (), **fields: Json) -> Json:
    """Return the struct's schema with some fields described more exactly."""
    return schema | {
        "properties": schema["properties"] | fields,
        "required": sorted({*schema.get("required", ()), *required}),
    }


def _closed(schema: Json, optional: Iterable[str] = ()) -> Json:
    """Return the struct's schema as a reply has it: all fields but the optional ones are there, and no others."""
    return schema | {
        "required": sorted(schema["properties"].keys() - set(optional)),
        "additionalProperties": False,
    }


def _integer(least: int, most: int) -> Json:
    return {"type": "integer", "minimum": least, "maximum": most}


def _optional(schema: Json, default: int | None = None) -> Json:
    """Return the schema of a field that may be null, which means the same as absent."""
    return schema | {"type": [schema["type"], "null"], "default": default}


def _tidied(schema: Any) -> Any:
    """Return a schema without titles and null defaults, its bounds under their JSON Schema names."""
    if isinstance(schema, list):
        return [_tidied(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    words = {"ge": "minimum", "le": "maximum"}
    return {
        words.get(name, name): {n: _tidied(s) for n, s in part.items()}
        if name == "properties"
        else _tidied(part)
        for name, part in schema.items()
        if name != "title" and not (name == "default" and part is None)
    }
