"""Our values become EnOS's bytes, and EnOS's bytes become our values. No I/O.

*Out*: a create call becomes a query and a body. The manifest has the device keys as bytes of JSON already; the body is
put together around them, so that 500 keys are not parsed and written again for every call.

*In*: what came back becomes an `Outcome` or a reply. After a create only two answers are believed: a complete and
well-formed success, and a refusal on the list. Everything else is `Unknown`: an HTTP client reports a garbled answer
like a refusal, a proxy answers with a page of its own, and a code in quotes is not the platform's. After no response,
only one fact decides whether the call may be repeated: whether the request was handed to a connection. The type
of the exception does not tell (a time-out has the same type before and after).

Text from outside is escaped and cut before it becomes ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any, Final, NoReturn, TypeVar, assert_never

from pydantic import ValidationError

from rollout.core.campaign import JobSpec, Scope
from rollout.core.outcome import Accepted, Found, Rejected, Throttled, Unknown, Unsent
from rollout.core.records import (
    Condition,
    DeviceFilter,
    JobFilter,
    JobRecord,
    Sign,
    TaskFilter,
    TaskRecord,
    TaskState,
)
from rollout.enos import limits
from rollout.enos.codes import (
    CREATE_REFUSALS,
    GATEWAY,
    Action,
    Code,
    Operation,
    Signal,
    advise,
    explain_words,
    failure_of,
    signal_of_code,
    signal_of_http,
)
from rollout.enos.job_settings import JobSettings, JobType
from rollout.enos.messages import Envelope, JobBrief, Pagination, SearchBody, TaskBrief
from rollout.errors import Failure, Phase, ServiceError
from rollout.ports import CreateCall
from rollout.text import clipped, safe

_T = TypeVar("_T")

JSON_TYPE: Final = "application/json;charset=UTF-8"

# A gateway that maps business codes to HTTP statuses (undocumented, but allowed for) uses these.
ENVELOPE_STATUSES: Final = frozenset({200, 400, 403, 404, 422})
WHOLE_NUMBER: Final = re.compile(r"-?[0-9]{1,18}")
RETRY_AFTER: Final = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,9})?")

STATUS_OF: Final[Mapping[TaskState, str]] = MappingProxyType(
    {
        TaskState.WAITING: "init",
        TaskState.NOTIFIED: "published",
        TaskState.UPGRADING: "upgrading",
        TaskState.SUCCEEDED: "succeeded",
        TaskState.FAILED: "failed",
    }
)
"""EnOS's words for the states of a task. Page: search_device_task."""

# ── out ──────────────────────────────────────────────────────────────────────────────────────────


def create_query(org_id: str, call: CreateCall) -> dict[str, str]:
    """Return the query of a create call."""
    return {"action": "create", "orgId": org_id, "firmwareId": call.firmware_id}


def create_body(call: CreateCall) -> bytes:
    """Return the body of a create call: ASCII JSON, `name` first, `upgradeScope` with its selector last.

    A verification job gets only the fields documented for it; `extra` goes into both, since the operator
    asked for it by name.
    """
    shown = ",".join(
        f"{_quote(locale)}:{_quote(f'{text} · {call.name}')}" for locale, text in call.label.i18n.items()
    )
    name = f'{{"defaultValue":{_quote(call.name)},"i18nValue":{{{shown}}}}}'.encode("ascii")
    keys: tuple[bytes, ...] = ()
    if call.scope is None:
        keys = (b',"deviceKeys":[', call.device_keys, b"]")
    else:
        assert not call.device_keys, "a create call names its devices or a scope, not both"
    return b"".join((b'{"name":', name, b",", _frame(call.spec, call.scope), *keys, b"}}"))


_frames: dict[tuple[int, int], tuple[JobSpec, Scope | None, bytes]] = {}
"""Frames by the identity of what they were made from, which is kept beside them: a spec's `platform` has no hash."""
FRAMES_MAX = 64
"""Frames kept; a campaign needs one a wave."""


def _frame(spec: JobSpec, scope: Scope | None) -> bytes:
    """Return the part of the body that all creates of a wave share: after the name, up to the device keys."""
    kept = _frames.get((id(spec), id(scope)))
    if kept is not None:
        return kept[2]
    settings = JobSettings.of(spec)
    head: dict[str, Any] = {
        **settings.extra,
        "type": settings.type.value,
        "upgradeTimeout": spec.upgrade_timeout_s,
        **(_upgrade_fields(spec, settings) if settings.type is JobType.UPGRADE else {}),
    }
    # Name and scope are written by hand around these; twice the same key would leave the choice to the platform.
    head.pop("name", None)
    head.pop("upgradeScope", None)
    devices: dict[str, Any] = {"type": "partial" if scope is None else scope.type}
    if settings.version_numbers:
        devices["versionNumbers"] = list(settings.version_numbers)
    if settings.product_key is not None:
        devices["productKey"] = settings.product_key
    if scope is not None and scope.selector is not None:
        devices[scope.selector] = scope.value
    frame = b'%s,"upgradeScope":%s' % (_dump(head)[1:-1], _dump(devices)[:-1])
    if len(_frames) >= FRAMES_MAX:
        _frames.clear()
    _frames[id(spec), id(scope)] = (spec, scope, frame)
    return frame


def _upgrade_fields(spec: JobSpec, settings: JobSettings) -> dict[str, Any]:
    """Return what only an upgrade job carries; a policy not asked for is left to EnOS's default."""
    fields: dict[str, Any] = {
        "upgradePolicy": settings.upgrade_policy,
        "enableUpgradeRequest": settings.enable_upgrade_request,
    }
    if spec.maximum_concurrency is not None:
        fields["maximumConcurrency"] = spec.maximum_concurrency
    if spec.retry.enabled:
        fields["retryPolicy"] = {
            "enableRetry": True,
            "retryInterval": spec.retry.interval_s,
            "retryCount": spec.retry.count,
        }
    if spec.schedule is not None:
        fields["schedulePolicy"] = {
            "startTimestamp": spec.schedule.start_ms,
            "endTimestamp": spec.schedule.end_ms,
        }
        if spec.schedule.repeat_daily is not None:
            fields["schedulePolicy"]["isRepeatDaily"] = spec.schedule.repeat_daily
    return fields


def _dump(value: Mapping[str, Any]) -> bytes:
    return _encoder.encode(value).encode("ascii")


# json.dumps would build one for every call
_encoder: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
# one text as ASCII JSON, a tenth of the encoder's price
_quote: Final = json.encoder.encode_basestring_ascii


def search_body(expression: str, *, page_no: int, page_size: int) -> bytes:
    """Return the body of a search call; an empty expression finds everything."""
    body = SearchBody(
        expression=expression or None, pagination=Pagination(page_no=page_no, page_size=page_size)
    )
    return body.model_dump_json(by_alias=True, exclude_none=True).encode()


def job_expression(jobs: JobFilter, *, by_name: bool = True) -> str:
    """Return the expression of a search for jobs; releases before 2.4 cannot search `by_name`."""
    return all_of(
        condition("firmwareId", jobs.firmware_ids),
        condition("productKey", jobs.product_keys),
        condition("firmwareVersion", jobs.firmware_versions),
        equals("type", jobs.type) if jobs.type else "",
        equals("status", jobs.status) if jobs.status else "",
        like("name.defaultValue", jobs.name_part) if jobs.name_part and by_name else "",
    )


def task_expression(tasks: TaskFilter) -> str:
    """Return the expression of a search for tasks."""
    return all_of(
        condition("jobId", tasks.job_ids),
        condition("deviceKey", tasks.device_keys),
        condition("status", tasks.statuses),
        condition("desc", tasks.descs),
        condition("fromVersion", tasks.from_versions),
        condition("toVersion", tasks.to_versions),
    )


def device_expression(devices: DeviceFilter) -> str:
    """Return the expression of a search for devices."""
    return all_of(*map(_device_condition, devices.conditions))


def _device_condition(wanted: Condition) -> str:
    match wanted.sign:
        case Sign.EQUAL:
            return condition(wanted.field, wanted.values)
        case Sign.UNEQUAL:
            return f"{wanted.field}!={_quoted(wanted.values[0])}"
        case Sign.LIKE:
            return like(wanted.field, wanted.values[0])
        case Sign.EXISTS | Sign.MISSING:
            return f"{wanted.sign}({wanted.field})"
        case _:
            assert_never(wanted.sign)


def all_of(*conditions: str) -> str:
    """Return the conditions joined, those that are empty left out."""
    return " and ".join(filter(None, conditions))


def condition(name: str, values: tuple[str, ...]) -> str:
    """Return what asks for any of the values; empty, and so no condition, if there are none."""
    return equals(name, values[0]) if len(values) == 1 else any_of(name, values) if values else ""


def equals(name: str, value: str) -> str:
    """Return `name='value'`. Raises `ServiceError` like all of these if the value cannot be quoted safely."""
    return f"{name}={_quoted(value)}"


def like(name: str, value: str) -> str:
    """Return `name like 'value'`: fuzzy on the platform, so compare again here."""
    return f"{name} like {_quoted(value)}"


def any_of(name: str, values: Iterable[str]) -> str:
    """Return `name in ('a','b')`."""
    return f"{name} in ({','.join(map(_quoted, values))})"


def _quoted(value: str) -> str:
    """Return the value in single quotes. How EnOS escapes a quote is not published, so none is let through."""
    if not value or not value.isprintable() or any(sign in value for sign in "'\"\\"):
        raise ServiceError(
            f"cannot search for {clean(value)!r}: empty, or with a quote, backslash or control character",
            phase=Phase.CONNECT,
            failure=Failure.REFUSED,
        )
    return f"'{value}'"


# ── in ───────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Of the headers only the five named here are kept.

    `truncated`: the body was longer than allowed and is cut. `elapsed_s` runs from the moment the request was sent.
    """

    status: int
    body: bytes = field(repr=False)
    content_type: str = ""
    content_encoding: str = ""
    retry_after: str = ""
    location_host: str = ""
    truncated: bool = False
    elapsed_s: float = 0.0
    date: str = ""


@dataclass(frozen=True, slots=True)
class NoResponse:
    """No answer came back; `reason` says why.

    `handed`: a connection may have got some bytes of the request. `withheld`: the caller's guard stopped it.
    """

    reason: str
    handed: bool
    withheld: bool = False


@dataclass(frozen=True, slots=True)
class UnreadableBody:
    """A body that is not what it should be, and why."""

    reason: str


def clean(text: object, chars: int = limits.MESSAGE_CHARS_MAX) -> str:
    """Return foreign text as at most `chars` characters on one line, what is unsafe to show escaped."""
    return clipped(safe(str(text)[: chars + 1]), chars)


def strict_object(body: bytes) -> dict[str, Any] | UnreadableBody:
    """Return the JSON object that `body` is, or why it is none.

    Stricter than the standard: a repeated key, NaN, an infinity and a byte order mark are refused, since
    parsers disagree about them.
    """
    try:
        value = _decoder.decode(body.decode("utf-8"))
    except UnicodeDecodeError:
        return UnreadableBody("not UTF-8")
    except RecursionError:
        return UnreadableBody("nested too deeply")
    except ValueError as error:  # JSONDecodeError is one; so is an integer of thousands of digits
        return UnreadableBody(f"not JSON: {clean(error, 80)}")
    return value if isinstance(value, dict) else UnreadableBody("JSON, but not an object")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key occurs twice")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if value in {float("inf"), float("-inf")}:
        raise ValueError("a number is too large")
    return value


# json.loads would build one for every call; and unlike it, this one refuses a byte order mark by itself
_decoder: Final = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_no_constant, parse_float=_finite)


def retry_after_s(header: str) -> float | None:
    """Return the wait asked for, 0 to 300 s; None for a date or any other text, which is no promise to rely on."""
    if not RETRY_AFTER.fullmatch(header.strip()):
        return None
    return min(max(float(header), 0.0), limits.RETRY_AFTER_S_MAX)


def _document(answer: Answer) -> dict[str, Any] | UnreadableBody:
    """Return the answer's JSON object, or why there is none to be believed."""
    if answer.truncated:
        return UnreadableBody("answer too large")
    if answer.content_encoding.strip().lower() not in {"", "identity"}:
        return UnreadableBody(f"encoded as {clean(answer.content_encoding, 40)}, which was not asked for")
    if not answer.body:
        return UnreadableBody("empty answer")
    document = strict_object(answer.body)
    if isinstance(document, UnreadableBody) and "json" not in answer.content_type.lower():
        kind = clean(answer.content_type, 60) or "no content type"
        return UnreadableBody(f"{document.reason} ({kind}); a proxy or login page?")
    return document


def _is_gateway_refusal(status: int, document: Mapping[str, Any]) -> bool:
    """Return whether the gateway itself refused: its status, its wording, and nothing of the service's envelope."""
    return (
        status in GATEWAY
        and status < 500
        and document.get("message") == GATEWAY[status].message
        and not document.keys() & {"code", "msg", "data"}
    )


def is_token_refused(answer: Answer) -> bool:
    """Return whether the gateway refused token or signature, before the service saw the call."""
    if answer.status != 401:
        return False
    document = _document(answer)
    return isinstance(document, dict) and _is_gateway_refusal(401, document)


def outcome_of_no_response(lost: NoResponse) -> Unsent | Unknown:
    """Return the outcome of a create without a response."""
    if lost.handed:
        return Unknown(lost.reason)
    return Unsent(lost.reason, withheld=lost.withheld)


def outcome_of_answer(answer: Answer) -> Accepted | Rejected | Throttled | Unknown:
    """Return the outcome of a create by its answer. The caller must know whether a 401 is the first or the second."""
    document = _document(answer)
    if 300 <= answer.status < 400:
        return _unknown(answer, f"unexpected redirect to {clean(answer.location_host, 80) or 'nowhere'}")
    if isinstance(document, UnreadableBody):
        return _unknown(answer, document.reason)
    if _is_gateway_refusal(answer.status, document):
        message = GATEWAY[answer.status].message
        if answer.status == 429:
            return Throttled(retry_after_s(answer.retry_after), message, answer.status)
        return Rejected(answer.status, message, credentials=answer.status in {401, 403})
    code, msg, request_id = document.get("code"), document.get("msg"), _request_id(document)
    if type(code) is not int or not isinstance(msg, str):
        return _unknown(answer, "not an answer of the OTA service", request_id=request_id)
    if code == Code.OK and answer.status == 200:
        data = document.get("data")
        job_id = data.get("jobId") if isinstance(data, dict) else None
        if isinstance(job_id, str) and limits.JOB_ID.fullmatch(job_id):
            return Accepted(job_id, request_id, answer.elapsed_s)
        return _unknown(answer, "success without a usable jobId", code=code, request_id=request_id)
    if code in CREATE_REFUSALS and answer.status in ENVELOPE_STATUSES:
        return Rejected(
            code,
            clean(msg),
            request_id,
            retryable=advise(signal_of_code(code, Operation.CREATE), Operation.CREATE).action is Action.HOLD,
            credentials=code == Code.DENIED,
        )
    return _unknown(answer, f"code {clean(code, 40)}: {clean(msg)}", code=code, request_id=request_id)


def _unknown(answer: Answer, reason: str, *, code: int | None = None, request_id: str = "") -> Unknown:
    return Unknown(
        clean(f"HTTP {answer.status}: {reason}"),
        code,
        answer.status,
        request_id,
        throttled=signal_of_http(answer.status) is Signal.THROTTLED,
    )


def _request_id(document: Mapping[str, Any]) -> str:
    value = document.get("requestId")
    return clean(value, limits.ID_CHARS_MAX) if isinstance(value, str) else ""


def error_of_no_response(lost: NoResponse, operation: Operation) -> ServiceError:
    """Return the error of a call other than create that got no response."""
    signal = Signal.NO_ANSWER if lost.handed else Signal.NOT_CONNECTED
    return ServiceError(
        f"{operation}: {lost.reason}",
        phase=Phase.SENT if lost.handed else Phase.CONNECT,
        failure=failure_of(signal, operation),
        hint=advise(signal, operation).note,
    )


def read_reply(
    answer: Answer, operation: Operation, data: type[_T], *, renewed: bool = False, of_firmware: bool = False
) -> Envelope[_T]:
    """Return the reply of a call other than create, its data read as `data`.

    Raises `ServiceError` for anything but a readable success; `renewed` if the token was renewed for this call,
    `of_firmware` if it is about firmware, which 24404 then means.
    """
    document = _document(answer)
    if 300 <= answer.status < 400:
        host = clean(answer.location_host, 80) or "nowhere"
        raise _error(answer, Signal.ODD_STATUS, operation, f"unexpected redirect to {host}")
    if isinstance(document, dict) and type(document.get("code")) is int:
        # The code decides whatever the status is: which one EnOS sends along is not documented
        return _envelope(answer, document, operation, data, of_firmware=of_firmware)
    refused = isinstance(document, dict) and _is_gateway_refusal(answer.status, document)
    signal = Signal.TOKEN_REFUSED_TWICE if refused and renewed else signal_of_http(answer.status)
    if refused:
        reason = GATEWAY[answer.status].message
    else:
        reason = (
            document.reason if isinstance(document, UnreadableBody) else "not an answer of the OTA service"
        )
    failure = failure_of(signal, operation)
    if failure is Failure.CREDENTIALS and not refused:
        # the status alone may be a proxy's: it proves nothing about our keys
        is_final = advise(signal, operation).action is Action.STOP
        failure = Failure.REFUSED if is_final else Failure.UNREADABLE
    raise _error(
        answer,
        signal,
        operation,
        f"HTTP {answer.status}: {reason}",
        phase=Phase.REFUSED if refused else Phase.ANSWERED,
        failure=failure,
    )


@cache
def _envelope_of(data: Hashable) -> type[Envelope[Any]]:
    """Return the class of replies with such data; pydantic forgets one that nobody holds, and builds it again."""
    return Envelope[data]  # type: ignore[valid-type]  # the class is the argument


def _envelope(
    answer: Answer, document: Mapping[str, Any], operation: Operation, data: type[_T], *, of_firmware: bool
) -> Envelope[_T]:
    code = document["code"]
    if code != Code.OK:
        raise _error(
            answer,
            signal_of_code(code, operation, of_firmware=of_firmware),
            operation,
            f"code {clean(code, 40)}: {clean(document.get('msg') or 'no message')}",
            code=code,
            request_id=_request_id(document),
        )
    if not 200 <= answer.status < 300:
        raise _error(answer, Signal.UNREADABLE, operation, f"success under HTTP {answer.status}")
    try:
        return _envelope_of(data).model_validate(document)  # type: ignore[arg-type]  # a class can be a key
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
    where = clean(".".join(str(part) for part in faults[0]["loc"]), 80)
    raise _error(
        answer,
        Signal.UNREADABLE,
        operation,
        f"cannot read {where}: {clean(faults[0]['type'], 40)}",
        request_id=_request_id(document),
    )


def _error(
    answer: Answer,
    signal: Signal,
    operation: Operation,
    reason: str,
    *,
    phase: Phase = Phase.ANSWERED,
    failure: Failure | None = None,
    code: int | None = None,
    request_id: str = "",
) -> ServiceError:
    """Return what the call raises after this answer; `failure` is that of the signal if None."""
    return ServiceError(
        f"{operation}: {reason}",
        phase=phase,
        failure=failure or failure_of(signal, operation),
        platform_code=code,
        http_status=answer.status,
        explain=explain_words(code, answer.status),
        request_id=request_id,
        retry_after_s=retry_after_s(answer.retry_after),
        hint=advise(signal, operation).note,
    )


def found(job: JobBrief) -> Found:
    """Return the parts of a job by which it can be recognised as ours."""
    return Found(
        job_id=job.job_id,
        name=(job.name.default_value if job.name else None) or "",
        firmware_id=job.firmware_id or "",
        type=job.type or "",
        status=job.status or "",
        create_time_ms=job.create_time,
    )


def job_record(job: JobBrief) -> JobRecord:
    """Return the job with everything that EnOS told of it."""
    brief = found(job)
    return JobRecord(
        brief.job_id,
        brief.name,
        brief.firmware_id,
        brief.type,
        brief.status,
        brief.create_time_ms,
        names=(job.name.i18n_value if job.name else None) or {},
        more=job.model_extra or {},
    )


def task_record(task: TaskBrief) -> TaskRecord:
    """Return the task with all that was told of it; a field that is not of its documented type stays in `more`."""
    more = dict(task.model_extra or {})
    return TaskRecord(
        task_id=task.task_id,
        job_id=task.job_id,
        device_key=task.device_key,
        status=task.status or "",
        progress=take_number(more, "progress"),
        desc=take_text(more, "desc"),
        from_version=take_text(more, "fromVersion"),
        to_version=take_text(more, "toVersion"),
        product_key=take_text(more, "productKey"),
        asset_id=take_text(more, "assetId"),
        update_time_ms=take_number(more, "updateTime"),
        more=more,
    )


def take_text(record: dict[str, Any], name: str) -> str:
    """Take the text out of the record, if it is one or null; else leave it there and return nothing."""
    if not isinstance(record.get(name, ""), str | None):
        return ""
    return record.pop(name, None) or ""


def take_number(record: dict[str, Any], name: str) -> int | None:
    """Take the whole number, which may stand in quotes, out of the record; leave anything else there."""
    value = record.get(name)
    if isinstance(value, str) and WHOLE_NUMBER.fullmatch(value):
        value = int(value)
    if value is not None and type(value) is not int:
        return None
    record.pop(name, None)
    return value
