"""`rollout request`: sign and send one call by hand, and see how its signature comes about.

What is shown is what is sent: the same function that makes the text to be hashed makes the one on the screen, with
`***` in place of token and secret. The reply goes to standard output and everything else to standard error, so the
reply can be piped.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import click

from rollout.assembly import caller_of
from rollout.cli.command_line import command_line
from rollout.cli.common import Common, ca_file_option, command, url_option
from rollout.cli.consent import agree
from rollout.cli.console import Console, document
from rollout.cli.profiles import platform_profile
from rollout.cli.types import ORG, Number, Parsed
from rollout.enos.codes import CODES, GATEWAY, PROXY, Code, Meaning
from rollout.enos.signing import Secret, params_data, signed_text
from rollout.enos.translate import JSON_TYPE, Answer, BrokenOff, Unreadable, clean, strict_object
from rollout.enos.transport import Request
from rollout.settings import Profile, follow, reference
from rollout.telemetry.redact import HIDDEN, REDACTOR
from rollout.text import iso_utc

__all__ = ["request"]

READS: Final = frozenset({"get", "search", "searchTask", "searchDeviceUpgrade", "listVersion"})
"""Actions that change nothing, whatever their method; all others may."""

BODY_BYTES_MAX: Final = 8 * 1024 * 1024
"""Bytes of a body that are taken; a gateway takes fewer. Ours."""

TEXT_CHARS_SHOWN: Final = 2_000
"""Characters of a body or of a reply that is no JSON that a screen gets. Ours."""

HIDDEN_SECRET: Final = Secret(HIDDEN)


def _path(text: str) -> str:
    path, _, _ = text.partition("?")
    if "://" in text or not re.fullmatch(r"/?[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*", path) or ".." in path:
        raise ValueError(
            f"expected a path below the gateway, such as /connect-service/v2.1/ota-jobs, got {text[:60]!r}"
        )
    return text


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name):
        raise ValueError(f"expected NAME=VALUE, got {text[:60]!r}")
    return name, value


@dataclass(frozen=True, slots=True)
class Call:
    """What is to be sent."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes | None

    @property
    def may_change(self) -> bool:
        """Whether the platform may be another one afterwards; unknown actions count."""
        action = self.query.get("action")
        return self.method != "GET" if action is None else action not in READS

    @property
    def target(self) -> str:
        """Return path and query as they stand in the request."""
        return f"/{self.path}" + (f"?{urlencode(self.query)}" if self.query else "")


@command("request")
@click.argument("method", metavar="METHOD", type=click.Choice(["GET", "POST"], case_sensitive=False))
@click.argument("path", type=Parsed("PATH", _path))
@click.option(
    "--query",
    "pairs",
    type=Parsed("NAME=VALUE", _pair),
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter, not encoded; again for more. orgId is added from --org or the profile.",
)
@click.option("--body", metavar="FILE|-", help="Sent byte for byte as it is; '-' is standard input.")
@url_option
@ca_file_option
@click.option("--org", type=ORG, metavar="ID", help="Organisation instead of the profile's.")
@click.option(
    "--dry-run", is_flag=True, help="Show what would be sent; nothing leaves, not even for a token."
)
@click.option(
    "--token",
    type=Parsed("REF", reference),
    metavar="REF",
    help="Sign with this token, env:NAME or file:PATH, instead of fetching one.",
)
@click.option(
    "--timestamp",
    type=Number("ms", 1, 999_999_999_999_999, whole=True, digits=15),
    metavar="MS",
    help="Sign for this moment, ms since 1970, instead of now.",
)
@click.option("--yes", is_flag=True, help="Do not ask before a call that may change something.")
@click.option("--confirm", metavar="PROFILE", help="The protected profile's name, instead of typing it.")
def request(
    common: Common,
    *,
    method: str,
    path: str,
    pairs: tuple[tuple[str, str], ...],
    body: str | None,
    url: str | None,
    ca_file: Path | None,
    org: str | None,
    dry_run: bool,
    token: str | None,
    timestamp: int | None,
    yes: bool,
    confirm: str | None,
) -> int:
    """Sign METHOD PATH and send it, once, and show how the signature comes about.

    The reply goes to standard output. Exit code 0 if it is a success, 4 for what the credentials do not allow,
    8 if a call that may change something got no answer, else 1.

    Example: rollout request POST /connect-service/v2.1/ota-jobs --query action=search --profile eu-prod
    """
    console = common.console
    profile = platform_profile(common, url=url, ca_file=ca_file)
    if profile.in_process:
        hint = "run `rollout emulator` and name it: --url http://127.0.0.1:8484"
        raise click.UsageError(f"the emulator of profile {profile.name} lives inside a run only; {hint}")
    call = Call(
        method.upper(),
        path.partition("?")[0].strip("/"),
        _query(path, pairs, org or profile.org_id),
        None if body is None else _read_body(body),
    )
    given = None if token is None else Secret(follow(token, "--token"))
    if given is not None:
        REDACTOR.learn(given.reveal())
    if not console.is_json:
        (console.result if dry_run else console.note)("\n".join(_request_lines(profile, call)))
    if not dry_run:
        agree(
            console,
            profile,
            f"{call.method} {clean(call.query.get('action') or call.path, 60)} may change {profile.name}. Send it?",
            word=profile.name,
            kind="profile's name",
            yes=yes,
            confirm=confirm,
            needed=call.may_change,
        )
    return asyncio.run(_carry_out(console, profile, call, given, timestamp, dry_run=dry_run))


async def _carry_out(
    console: Console,
    profile: Profile,
    call: Call,
    token: Secret | None,
    timestamp_ms: int | None,
    *,
    dry_run: bool,
) -> int:
    """Sign, show, send unless it is a dry run, show what came back; return the exit code."""
    caller = caller_of(profile, call.query.get("orgId", ""))
    try:
        if token is None and not dry_run:
            token = await caller.tokens.current()
            REDACTOR.learn(token.reveal())
        # a text in place of the token makes a signature that is not shown
        signed = caller.signed(
            token or HIDDEN_SECRET,
            call.path,
            call.query,
            call.body,
            method=call.method,
            timestamp_ms=timestamp_ms,
        )
        signing = _signing(call, signed, is_real=token is not None)
        if dry_run:
            if console.is_json:
                console.json(
                    "request", request=_request_json(profile, call), signing=signing, reply=None, exitCode=0
                )
            else:
                console.result("\n".join(_signing_lines(call, signing)))
            return 0
        if not console.is_json:
            console.note("\n".join(_signing_lines(call, signing)))
        answer = await caller.exchange(signed)
    finally:
        await caller.aclose()
    told = _told(call, answer)
    if console.is_json:
        content = {"request": _request_json(profile, call), "signing": signing, "reply": told.reply}
        console.json("request", **content, meaning=told.meaning, exitCode=told.exit_code)
    else:
        console.note("\n".join(told.lines))
        if told.shown:
            console.result(told.shown)
    return told.exit_code


# --- what is sent -------------------------------------------------------------------------------------------


def _query(path: str, pairs: tuple[tuple[str, str], ...], org_id: str | None) -> dict[str, str]:
    """Return the parameters of the path and of the flags, with the organisation; each name once."""
    text = path.partition("?")[2]
    written = parse_qsl(text, keep_blank_values=True, strict_parsing=True) if text else []
    query: dict[str, str] = {}
    for name, value in [*written, *pairs]:
        if name in query:
            raise click.UsageError(f"--query: {name} is given twice; a signature cannot tell which is meant")
        query[name] = value
    if "orgId" not in query and org_id is not None:
        query["orgId"] = org_id
    return query


def _read_body(source: str) -> bytes:
    """Return the bytes of a file or of standard input."""
    if source == "-":
        body = sys.stdin.buffer.read(BODY_BYTES_MAX + 1)
    else:
        with Path(source).open("rb") as file:
            body = file.read(BODY_BYTES_MAX + 1)
    if len(body) > BODY_BYTES_MAX:
        raise click.UsageError(f"--body: larger than {BODY_BYTES_MAX // 1024 // 1024} MiB")
    return body


# --- how it is signed ---------------------------------------------------------------------------------------


def _signing(call: Call, signed: Request, *, is_real: bool) -> dict[str, Any]:
    """Return the steps of the signature, token and secret hidden."""
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


def _request_lines(profile: Profile, call: Call) -> Iterator[str]:
    """Yield what is to be sent, for whoever is asked about it."""
    yield f"request     {call.method} {profile.url}{call.target}"
    if call.body is None:
        return
    yield f"body        {len(call.body):,} bytes, SHA-256 {hashlib.sha256(call.body).hexdigest()}"
    yield from _indented(_clipped(call.body.decode("utf-8", "backslashreplace").removesuffix("\n")))
    if call.body.endswith(b"\n"):
        yield "            note: it ends with a line feed, which is signed and sent too"
    problem = strict_object(call.body)
    if isinstance(problem, Unreadable):
        yield f"            note: {problem.reason}"


def _signing_lines(call: Call, signing: Mapping[str, Any]) -> Iterator[str]:
    """Yield how the signature comes about, step by step, and the headers that come of it."""
    without = "made with the token, which a dry run does not fetch; --token gives one"
    yield ""
    yield "signature   the SHA-256 of these five, joined without anything between them"
    yield f"1 token     {HIDDEN}"
    yield f"2 params    {signing['paramsData'] or '(none)'}"
    if call.query:
        yield f"            by name, in ASCII order, not encoded: {', '.join(signing['parameters'])}"
    yield "3 body      the bytes above, exactly as sent" if call.body else "3 body      (none)"
    yield f"4 timestamp {signing['timestamp']}  ({signing['timestampIso']})"
    yield f"5 secret    {HIDDEN}"
    yield "text"
    yield from _indented(_clipped(signing["text"]))
    yield ""
    yield "headers"
    yield f"  apim-accesstoken  {HIDDEN}"
    yield f"  apim-timestamp    {signing['timestamp']}"
    yield f"  apim-signature    {signing['signature'] or without}"
    if call.body is not None:
        yield f"  Content-Type      {JSON_TYPE}"


def _request_json(profile: Profile, call: Call) -> dict[str, Any]:
    body = None if call.body is None else call.body.decode("utf-8", "backslashreplace")
    return {
        "method": call.method,
        "url": f"{profile.url}{call.target}",
        "query": dict(call.query),
        "bodyText": body,
    }


def _clipped(text: str) -> str:
    if len(text) <= TEXT_CHARS_SHOWN:
        return text
    return f"{text[:TEXT_CHARS_SHOWN]} ... {len(text) - TEXT_CHARS_SHOWN:,} characters more"


def _indented(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        yield f"            {line}"


# --- what came back -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """A reply for people and for programs: `shown` is its body, `lines` all that is said of it."""

    lines: tuple[str, ...]
    shown: str
    reply: Mapping[str, Any] | None
    meaning: str
    exit_code: int


def _told(call: Call, answer: Answer | BrokenOff) -> Told:
    """Return what came back, what it means and the exit code."""
    if isinstance(answer, BrokenOff):
        if not answer.handed:
            return Told(("", f"no reply    {answer.reason}: nothing was sent"), "", None, answer.reason, 1)
        lost = (
            "it may have taken effect: look before it is sent again" if call.may_change else "send it again"
        )
        return Told(
            ("", f"no reply    {answer.reason}; {lost}"), "", None, answer.reason, 8 if call.may_change else 1
        )
    value = strict_object(answer.body)
    kind = clean(answer.content_type, 60) or "no content type"
    head = f"reply       HTTP {answer.status} in {answer.elapsed_s * 1000:,.0f} ms, {len(answer.body):,} bytes, {kind}"
    reply: dict[str, Any] = {
        "httpStatus": answer.status,
        "elapsedMs": round(answer.elapsed_s * 1000),
        "contentType": answer.content_type,
        "truncated": answer.truncated,
    }
    if isinstance(value, Unreadable):
        text = answer.body.decode("utf-8", "backslashreplace")
        lines = ("", head, f"meaning     {value.reason}: not an answer of the platform")
        return Told(lines, _clipped(text), {**reply, "text": text}, value.reason, 1)
    hidden = REDACTOR.value(value)
    code = value.get("code", value.get("status"))
    meaning, exit_code = _meaning(answer.status, value, code)
    lines = ("", head, f"meaning     {meaning}")
    return Told(lines, document(hidden), {**reply, "json": hidden}, meaning, exit_code)


def _meaning(http_status: int, value: Mapping[str, Any], code: object) -> tuple[str, int]:
    """Return in words what a JSON reply says, with the exit code."""
    if type(code) is int and "message" not in value:
        if code == Code.OK and 200 <= http_status < 300:
            return "success", 0
        known = CODES[Code(code)] if code in set(Code) else None
        return _in_words(str(code), known), 4 if code == Code.DENIED else 1
    known = GATEWAY.get(http_status) or PROXY.get(http_status)
    return _in_words(f"HTTP {http_status}", known), 4 if http_status in {401, 403} else 1


def _in_words(label: str, known: Meaning | None) -> str:
    more = command_line("explain", *label.lower().split())
    return f"{label}: {known.meaning}; more: {more}" if known else f"{label}: not published"
