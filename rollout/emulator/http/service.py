"""From a call to its reply: checks in their order, routes, envelope, faults. Knows no aiohttp.

A call is checked in this order, which no page states. First the gateway: token and signature (401), flow control (429),
size (413). Then the platform: action, `orgId` and the other parameters (99400), permission (99403), existence
(24404), body (99400), the operation's own rules. A fault is drawn after the gateway has let the call pass.

A change of the platform is given to `record` before it is applied. So the history is complete whenever the process ends.
"""

from __future__ import annotations

import json
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from http import HTTPStatus
from typing import Any

from rollout.emulator.http.faults import Fault, FaultKind, Faults
from rollout.emulator.http.gateway import Gateway, Rejection, token_reply
from rollout.emulator.http.settings import with_knobs
from rollout.emulator.platform import search
from rollout.emulator.platform.chance import dice
from rollout.emulator.platform.history import HistoryEntry, apply_entry
from rollout.emulator.platform.knobs import WHAT_KNOBS_DO
from rollout.emulator.platform.model import EmulatedPlatform
from rollout.emulator.platform.refusal import Refusal, invalid
from rollout.enos.codes import CODES, GATEWAY, PROXY, Code, SdkStatus, TokenStatus
from rollout.enos.paths import DEVICES_PATH, FIRMWARE_PATH, GET_ACTIONS, JOBS_PATH, TOKEN_PATH

CALLS_REMEMBERED = 500
"""Calls that the request log keeps. Ours."""

JOBS_ROUTE = f"/{JOBS_PATH}"
FIRMWARE_ROUTE = f"/{FIRMWARE_PATH}"
DEVICE_ROUTES = frozenset({f"/{DEVICES_PATH.format(version=version)}" for version in ("v2.1", "v2.4")})
TOKEN_ROUTE = f"/{TOKEN_PATH}/"

CHECKED = {"strict": "good", "token": "token good", "none": "not checked"}
"""What the request log says about the signature of a call that passed, by the knob `signature`."""

JOB_ACTIONS = frozenset(
    {"create", "get", "search", "start", "stop", "delete", "searchTask", "cancelTask", "retryTask"}
)
FIRMWARE_ACTIONS = frozenset({"create", "get", "search", "listVersion", "searchDeviceUpgrade", "delete"})
DEVICE_ACTIONS = frozenset({"search"})

PERMISSIONS = (
    JOB_ACTIONS
    | {f"firmware {action}" for action in FIRMWARE_ACTIONS}
    | {f"device {action}" for action in DEVICE_ACTIONS}
)
"""The actions that `denied` can name."""


class Delivery(Enum):
    """How a reply is sent."""

    WHOLE = auto()  # in full
    CLOSE = auto()  # not at all: the connection is closed
    RESET = auto()  # not at all: the connection is reset
    HALF = auto()  # the headers and half of the body, then the connection is closed


@dataclass(frozen=True, slots=True)
class HttpCall:
    """One HTTP request. `headers`: by lower-case name. `body`: None if it was larger than `body_bytes_max`.

    `upload`: the parts of a multipart body by name, None for any other body; uploads are not signed. `unreadable`: the body
    is not what its headers say, for example no multipart.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes | None
    upload: Mapping[str, bytes] | None = None
    unreadable: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP reply and how it is sent. `wait_s`: real seconds to wait before."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    delivery: Delivery = Delivery.WHOLE
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """One line of the request log. `at`: the emulator's clock. `code`: None without an envelope. `fault`: empty if none."""

    at: float
    method: str
    path: str
    action: str
    status: int
    code: int | None
    request_id: str
    signature: str
    fault: str


class Service:
    """Answers calls with gateway, faults and platform, and keeps a log of the last ones (`calls`).

    Args:
        clock: returns the platform's time, seconds since the epoch.
        wall: returns the real time, seconds since the epoch.
        record: called with every change before it is applied.
        denied: actions that this application has no permission for (99403).
    """

    def __init__(
        self,
        platform: EmulatedPlatform,
        gateway: Gateway,
        faults: Faults,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        record: Callable[[HistoryEntry], None],
        denied: frozenset[str] = frozenset(),
    ) -> None:
        self.platform = platform
        self.gateway = gateway
        self.faults = faults
        self.calls: deque[LoggedCall] = deque(maxlen=CALLS_REMEMBERED)
        self._clock = clock
        self._wall = wall
        self._record = record
        self._denied = denied
        self._started_at = clock()
        self._answered = 0

    def now(self) -> float:
        """Return the platform's time, seconds since the epoch; it never goes back."""
        return max(self._clock(), self.platform.now)

    def advance(self) -> None:
        """Run the platform's timers that are due by now."""
        self.platform.advance(self.now())

    def apply(self, name: str, args: Mapping[str, Any]) -> Any:
        """Record a change and apply it to the platform now; return what the platform returns. Raises: what it raises."""
        entry = HistoryEntry(self.now(), name, args)
        self._record(entry)
        return apply_entry(self.platform, entry)

    def set_knobs(self, settings: Mapping[str, Any]) -> None:
        """Set knobs of platform and gateway by name.

        Raises: ValueError naming the first that cannot be set; then none is.
        """
        _, rules = with_knobs(self.platform.knobs, self.gateway.rules, settings)
        for_platform = {name: value for name, value in settings.items() if name in WHAT_KNOBS_DO}
        if for_platform:
            self.apply("setKnobs", for_platform)
        self.gateway.rules = rules

    def answer(self, call: HttpCall) -> Reply:
        """Return the reply to a call; never raises for what a caller sends."""
        self._answered += 1
        request_id = str(
            uuid.UUID(int=dice(self.platform.seed, "call", self._answered).getrandbits(128), version=4)
        )
        action = call.query.get("action", "")
        if call.path.startswith(TOKEN_ROUTE):
            fault = self._draw_fault("token")
            reply = self._answer_under(fault, lambda: self._token_reply(call), request_id)
            signature = "none needed"
        else:
            rejection = self._check_at_gateway(call)
            signature = CHECKED[self.gateway.rules.signature]
            if rejection is not None and rejection.status == 401:
                signature = f"refused: {rejection.why}"
            if rejection is not None:
                fault = None
                reply = _gateway_reply(rejection)
            else:
                fault = self._draw_fault(_fault_operation(call.path, action))
                reply = self._answer_under(
                    fault, lambda: self._platform_reply(call, action, request_id), request_id, call
                )
        self._remember(call, reply, request_id, signature, fault)
        return reply

    # --- gateway --------------------------------------------------------------------------------------------------

    def _check_at_gateway(self, call: HttpCall) -> Rejection | None:
        """Return the gateway's rejection; None if the call passes."""
        now = self._wall()
        if call.body is None:
            # the body was not read, so its signature cannot be checked
            return (
                self.gateway.check_token(call.headers, now) or self.gateway.check_quota(now) or Rejection(413)
            )
        signed = None if call.upload is not None else call.body
        return (
            self.gateway.check_credentials(call.headers, call.query, signed, now)
            or self.gateway.check_quota(now)
            or (Rejection(400) if call.unreadable else None)
        )

    def _token_reply(self, call: HttpCall) -> Reply:
        try:
            body = json.loads(call.body or b"")
        except (ValueError, RecursionError):
            return _gateway_reply(Rejection(400))
        if call.path == TOKEN_ROUTE + "get":
            return _json_reply(200, self.gateway.get_token(body, self._wall()))
        if call.path == TOKEN_ROUTE + "refresh":
            return _json_reply(200, self.gateway.refresh_token(body, self._wall()))
        return _no_route()

    # --- faults -----------------------------------------------------------------------------------------------------

    def _draw_fault(self, operation: str) -> Fault | None:
        return self.faults.draw(operation, self.now() - self._started_at)

    def _answer_under(
        self, fault: Fault | None, act: Callable[[], Reply], request_id: str, call: HttpCall | None = None
    ) -> Reply:
        """Return the reply to a call struck by `fault`, or by none. `act` carries the call out and returns its reply."""
        if fault is None:
            return act()
        gone = Reply(0, b"", delivery=Delivery.CLOSE)
        match fault.kind:
            case FaultKind.COMMIT_THEN_DROP:
                act()
                return gone
            case FaultKind.COMMIT_THEN_RESET:
                act()
                return Reply(0, b"", delivery=Delivery.RESET)
            case FaultKind.DROP_BEFORE_COMMIT:
                return gone
            case FaultKind.RESET:
                return Reply(0, b"", delivery=Delivery.RESET)
            case FaultKind.HTTP_429:
                return _gateway_reply(Rejection(429, int(fault.seconds) or None))
            case FaultKind.UNAUTHORIZED:
                self.gateway.revoke_token()
                return _gateway_reply(Rejection(401))
            case FaultKind.APIM_4011:
                return _json_reply(200, self.gateway.renewal(SdkStatus.ADOPT_REFRESH_TOKEN))
            case FaultKind.APIM_4012:
                return _json_reply(200, self.gateway.renewal(SdkStatus.BUILD_NEW_TOKEN))
            case FaultKind.DELAY:
                if call is not None and call.path == JOBS_ROUTE and call.query.get("action") == "create":
                    self._create_later(call, fault.seconds)
                return gone
            case FaultKind.READ_LAG:
                self.platform.hold_reads(self.now(), fault.seconds)
                return act()
            case FaultKind.SLOW_ANSWER:
                return replace(act(), wait_s=fault.seconds)
            case FaultKind.TRUNCATED:
                reply = act()
                return Reply(reply.status, reply.body[: len(reply.body) // 2], reply.headers)
            case FaultKind.HALF_CLOSED:
                return replace(act(), delivery=Delivery.HALF)
            case FaultKind.DUPLICATE_DELIVERY:
                reply = act()
                act()
                return reply
            case _:
                number = fault.kind.number
                assert number is not None, f"{fault.kind} has nothing to be answered with"
                if fault.kind.commits:
                    act()
                return self._answered_with(number, request_id)

    def _answered_with(self, number: int, request_id: str) -> Reply:
        """Return the reply with a status or code, in the shape of its sender: proxy, gateway, token service or platform."""
        if number in PROXY:
            page = f"<html><body><h1>{number} {HTTPStatus(number).phrase}</h1></body></html>"
            return Reply(number, page.encode(), {"Content-Type": "text/html"})
        if number in GATEWAY:
            return _gateway_reply(Rejection(number))
        if number < Code.DEVICE_NOT_FOUND:
            return _json_reply(200, token_reply(TokenStatus(number)))
        return self._refusal(Refusal(Code(number)), request_id)

    def _create_later(self, call: HttpCall, delay_s: float) -> None:
        try:
            body = json.loads(call.body or b"")
        except ValueError:
            # a body that is not JSON can have no effect
            return
        args = {"firmwareId": call.query.get("firmwareId", ""), "body": body, "delayS": delay_s}
        self.apply("createLater", args)

    # --- platform ---------------------------------------------------------------------------------------------------

    def _platform_reply(self, call: HttpCall, action: str, request_id: str) -> Reply:
        try:
            return self._success(self._route(call, action), request_id)
        except Refusal as refusal:
            return self._refusal(refusal, request_id)
        except _UnreadableBody:
            return _gateway_reply(Rejection(400))
        except _NoRoute:
            return _no_route()

    def _route(self, call: HttpCall, action: str) -> Any:
        if call.path == JOBS_ROUTE:
            return self._on_jobs(call, action)
        if call.path == FIRMWARE_ROUTE:
            return self._on_firmware(call, action)
        if call.path in DEVICE_ROUTES:
            return self._on_devices(call, action)
        raise _NoRoute

    def _on_jobs(self, call: HttpCall, action: str) -> Any:
        self._check_query(call, action, JOB_ACTIONS, action)
        match action:
            case "create":
                firmware_id = _parameter(call, "firmwareId")
                return {"jobId": self.apply("create", {"firmwareId": firmware_id, "body": _body(call)})}
            case "get":
                return search.get_job(self.platform, self.now(), _parameter(call, "jobId"))
            case "search":
                return search.search_jobs(self.platform, self.now(), _body(call, empty={}))
            case "searchTask":
                return search.search_tasks(self.platform, self.now(), _body(call, empty={}))
            case "start" | "stop" | "delete":
                return self.apply(action, {"jobId": _parameter(call, "jobId")})
            case _:
                return self.apply(action, {"jobId": _parameter(call, "jobId"), "body": _body(call, empty={})})

    def _on_firmware(self, call: HttpCall, action: str) -> Any:
        self._check_query(call, action, FIRMWARE_ACTIONS, f"firmware {action}")
        match action:
            case "create":
                upload = call.upload or {}
                if "metadata" not in upload or "file" not in upload:
                    raise invalid("the parts metadata and file are mandatory")
                try:
                    metadata = json.loads(upload["metadata"])
                except ValueError:
                    raise invalid("metadata cannot be read") from None
                args = {
                    "productKey": call.query.get("productKey") or None,
                    "metadata": metadata,
                    "fileSize": len(upload["file"]),
                }
                return {"firmwareId": self.apply("createFirmware", args)}
            case "get":
                return search.get_firmware(self.platform, self.now(), _parameter(call, "firmwareId"))
            case "search":
                return search.search_firmware(self.platform, self.now(), _body(call, empty={}))
            case "searchDeviceUpgrade":
                return search.search_device_upgrades(self.platform, self.now(), _body(call, empty={}))
            case "listVersion":
                return search.list_versions(self.platform, self.now(), _parameter(call, "productKey"))
            case _:
                return self.apply("deleteFirmware", {"firmwareId": _parameter(call, "firmwareId")})

    def _on_devices(self, call: HttpCall, action: str) -> Any:
        self._check_query(call, action, DEVICE_ACTIONS, f"device {action}")
        return search.search_devices(self.platform, self.now(), _body(call, empty={}))

    def _check_query(self, call: HttpCall, action: str, known: frozenset[str], permission: str) -> None:
        if not action:
            raise invalid("action is missing")
        if action not in known or (call.method != "POST" and action not in GET_ACTIONS):
            raise invalid(f"action {action!r} is not known for {call.method}")
        if _parameter(call, "orgId") != self.platform.org_id:
            raise invalid("orgId does not exist")
        if permission in self._denied:
            raise Refusal(Code.DENIED, f"Denied resource: {permission}")

    # --- replies ----------------------------------------------------------------------------------------------------

    def _success(self, data: Any, request_id: str) -> Reply:
        envelope: dict[str, Any] = {"code": 0, "msg": CODES[Code.OK].message, "requestId": request_id}
        if isinstance(data, search.Page):
            return _json_reply(200, envelope | {"data": data.records, "pagination": data.to_json()})
        return _json_reply(200, envelope | {"data": data})

    def _refusal(self, refusal: Refusal, request_id: str) -> Reply:
        envelope = {"code": int(refusal.code), "msg": refusal.message, "requestId": request_id}
        if self.platform.knobs.error_data == "null":
            envelope["data"] = None
        if self.platform.knobs.error_status == "200":
            return _json_reply(200, envelope)
        # the last three digits are an HTTP status, or else stand for a rule that forbids the call
        tail = refusal.code % 1000
        return _json_reply(tail if tail in {400, 403, 404, 500} else 409, envelope)

    def _remember(
        self, call: HttpCall, reply: Reply, request_id: str, signature: str, fault: Fault | None
    ) -> None:
        code: int | None = None
        if reply.delivery is Delivery.WHOLE and reply.body.startswith(b'{"code":'):
            code = int(reply.body[len(b'{"code":') :].split(b",", 1)[0])
        self.calls.append(
            LoggedCall(
                at=self.now(),
                method=call.method,
                path=call.path,
                action=call.query.get("action", ""),
                status=reply.status,
                code=code,
                request_id=request_id,
                signature=signature,
                fault="" if fault is None else fault.kind.value,
            )
        )


class _UnreadableBody(Exception):
    """The body is not JSON; the gateway rejects it."""


class _NoRoute(Exception):
    """The path is unknown."""


def _fault_operation(path: str, action: str) -> str:
    if path == FIRMWARE_ROUTE:
        return "firmware"
    return "device" if path in DEVICE_ROUTES else action


def _parameter(call: HttpCall, name: str) -> str:
    value = call.query.get(name)
    if not value:
        raise invalid(f"{name} is missing")
    return value


def _body(call: HttpCall, empty: Any = None) -> Any:
    """Return the JSON of the body, or `empty` where there is none."""
    if not call.body:
        return empty
    try:
        return json.loads(call.body)
    except (ValueError, RecursionError):
        raise _UnreadableBody from None


def _json_reply(status: int, content: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Reply:
    # ASCII: texts that callers sent may contain code points that UTF-8 cannot encode
    body = json.dumps(content, separators=(",", ":")).encode()
    return Reply(status, body, {"Content-Type": "application/json;charset=UTF-8", **(headers or {})})


def _gateway_reply(rejection: Rejection) -> Reply:
    headers = {} if rejection.retry_after_s is None else {"Retry-After": str(rejection.retry_after_s)}
    return _json_reply(rejection.status, rejection.body, headers)


def _no_route() -> Reply:
    # the text of Kong: the documented messages of this gateway read like those of its plugins
    return _json_reply(404, {"message": "no Route matched with those values"})
