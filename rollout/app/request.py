"""One call to the platform, signed and sent by hand: for a look, or to find out why a signature is refused.

What is shown of a signature is what is sent: the function that makes the text to be hashed also makes the text to be
shown, with `***` in place of token and secret.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from rollout.enos.caller import Caller
from rollout.enos.codes import CODES, GATEWAY, PROXY, Code, Meaning
from rollout.enos.signing import Secret, params_data, signed_text
from rollout.enos.translate import Answer, NoResponse, UnreadableBody, strict_object
from rollout.enos.transport import Request
from rollout.errors import WrongArgument
from rollout.settings import Profile
from rollout.telemetry.redact import HIDDEN, REDACTOR
from rollout.text import iso_utc

READING_ACTIONS: Final = frozenset({"get", "search", "searchTask", "searchDeviceUpgrade", "listVersion"})
"""Actions that change nothing, whatever their method; all others may."""

HIDDEN_SECRET: Final = Secret(HIDDEN)


@dataclass(frozen=True, slots=True)
class Call:
    """What is to be sent. `path` has no leading slash; `query` is not encoded; `body` is sent byte for byte."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes | None

    @property
    def may_change(self) -> bool:
        """Whether the call may change something on the platform; an unknown action may."""
        action = self.query.get("action")
        return self.method != "GET" if action is None else action not in READING_ACTIONS

    @property
    def target(self) -> str:
        """Path and query as they stand in the request."""
        return f"/{self.path}" + (f"?{urlencode(self.query)}" if self.query else "")


@dataclass(frozen=True, slots=True)
class SignedCall:
    """A call with its signature. `steps` tells how the signature came about; token and secret are hidden in it."""

    call: Call
    request: Request
    steps: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CallResult:
    """What came of a call.

    `reply` is None where none came; then `meaning` says why, and `handed` is false if nothing had left either.
    `reply` holds the platform's JSON under `json`, or what else came under `text`. `explain` are the words after
    `rollout explain` that tell more; empty if there is no more. `size` is that of the reply's body, in bytes.
    """

    meaning: str
    exit_code: int
    reply: Mapping[str, Any] | None = None
    explain: tuple[str, ...] = ()
    size: int = 0
    handed: bool = True


def checked_path(text: str) -> str:
    """Return the text if it is a path below the gateway, perhaps with a query. Raises ValueError otherwise."""
    path, _, _ = text.partition("?")
    if "://" in text or not re.fullmatch(r"/?[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*", path) or ".." in path:
        raise ValueError(
            f"expected a path below the gateway, such as /connect-service/v2.1/ota-jobs, got {text[:60]!r}"
        )
    return text


def name_and_value(text: str) -> tuple[str, str]:
    """Return the two parts of `NAME=VALUE`. Raises ValueError for anything else."""
    name, signed_call, value = text.partition("=")
    if not signed_call or not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name):
        raise ValueError(f"expected NAME=VALUE, got {text[:60]!r}")
    return name, value


def make_call(
    method: str, path: str, pairs: Iterable[tuple[str, str]], *, org_id: str | None, body: bytes | None
) -> Call:
    """Return the call of a path, which may have a query, and further parameters.

    Args:
        org_id: added as `orgId` unless the parameters have one.
    Raises: WrongArgument where a parameter is given twice.
    """
    where, _, text = path.partition("?")
    written = parse_qsl(text, keep_blank_values=True, strict_parsing=True) if text else []
    query: dict[str, str] = {}
    for name, value in [*written, *pairs]:
        if name in query:
            raise WrongArgument("query", f"{name} is given twice; a signature cannot tell which is meant")
        query[name] = value
    if "orgId" not in query and org_id is not None:
        query["orgId"] = org_id
    return Call(method.upper(), where.strip("/"), query, body)


async def signed_call(
    caller: Caller, call: Call, *, token: Secret | None, timestamp_ms: int | None, dry_run: bool
) -> SignedCall:
    """Return the call, signed. Nothing is sent, except for a token where none is given and it is no dry run.

    Args:
        timestamp_ms: the moment to sign for, ms since 1970; None is now.
    Raises: ServiceError where no token can be had.
    """
    if token is None and not dry_run:
        token = await caller.tokens.current()
        REDACTOR.learn(token.reveal())
    # a text in place of the token makes a signature that is not shown
    request = caller.signed(
        token or HIDDEN_SECRET,
        call.path,
        call.query,
        call.body,
        method=call.method,
        timestamp_ms=timestamp_ms,
    )
    return SignedCall(call, request, _steps(call, request, is_real=token is not None))


async def send(caller: Caller, signed: SignedCall) -> CallResult:
    """Send the call once and return what came of it. Exit codes: 0 success, 4 credentials, 8 unknown outcome, else 1."""
    answer = await caller.exchange(signed.request)
    if isinstance(answer, NoResponse):
        lost = answer.handed and signed.call.may_change
        return CallResult(answer.reason, 8 if lost else 1, handed=answer.handed)
    reply: dict[str, Any] = {
        "httpStatus": answer.status,
        "elapsedMs": round(answer.elapsed_s * 1000),
        "contentType": answer.content_type,
        "truncated": answer.truncated,
    }
    return _meaning_of(answer, reply)


def call_json(profile: Profile, call: Call) -> dict[str, Any]:
    """Return the call as a JSON object, unsigned."""
    return {
        "method": call.method,
        "url": f"{profile.url}{call.target}",
        "query": dict(call.query),
        "bodyText": None if call.body is None else call.body.decode("utf-8", "backslashreplace"),
    }


def _steps(call: Call, signed: Request, *, is_real: bool) -> dict[str, Any]:
    """Return the steps of the signature as a JSON object. `signature` is None if it was made without a token."""
    timestamp = int(signed.headers["apim-timestamp"])
    text = signed_text(HIDDEN_SECRET, call.query, call.body, timestamp, HIDDEN_SECRET)
    return {
        "parameters": [f"{name}={call.query[name]}" for name in sorted(call.query)],
        "paramsData": params_data(call.query),
        "bodyBytes": len(call.body or b""),
        "bodySha256": hashlib.sha256(call.body).hexdigest() if call.body else None,
        "timestamp": timestamp,
        "timestampIso": iso_utc(timestamp / 1000),
        "text": text.decode("utf-8", "backslashreplace"),
        "signature": signed.headers["apim-signature"] if is_real else None,
    }


def _meaning_of(answer: Answer, reply: dict[str, Any]) -> CallResult:
    size = len(answer.body)
    value = strict_object(answer.body)
    if isinstance(value, UnreadableBody):
        text = answer.body.decode("utf-8", "backslashreplace")
        return CallResult(value.reason, 1, {**reply, "text": text}, size=size)
    reply["json"] = REDACTOR.value(value)
    code = value.get("code", value.get("status"))
    if type(code) is int and "message" not in value:
        if code == Code.OK and 200 <= answer.status < 300:
            return CallResult("success", 0, reply, size=size)
        known = CODES[Code(code)] if code in set(Code) else None
        return _in_words(str(code), known, 4 if code == Code.DENIED else 1, reply, size)
    known = GATEWAY.get(answer.status) or PROXY.get(answer.status)
    exit_code = 4 if answer.status in {401, 403} else 1
    return _in_words(f"HTTP {answer.status}", known, exit_code, reply, size)


def _in_words(
    label: str, known: Meaning | None, exit_code: int, reply: Mapping[str, Any], size: int
) -> CallResult:
    """Return what a code means; `label` is the code as `rollout explain` takes it."""
    if known is None:
        return CallResult(f"{label}: not published", exit_code, reply, size=size)
    return CallResult(f"{label}: {known.meaning}", exit_code, reply, tuple(label.lower().split()), size)
