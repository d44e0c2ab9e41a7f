"""`rollout request`: sign and send one call by hand, and see how its signature comes about.

The reply goes to standard output and everything else to standard error, so that the reply can be piped.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from rollout.app.platforms import account_of
from rollout.app.profiles import platform_profile
from rollout.app.request import (
    Call,
    CallResult,
    call_json,
    checked_path,
    make_call,
    name_and_value,
    send,
    signed_call,
)
from rollout.cli.command_line import command_line
from rollout.cli.common import Common, ca_file_option, command, url_option
from rollout.cli.consent import agree
from rollout.cli.console import Console, document
from rollout.cli.types import ORG, NumberParam, Parsed
from rollout.enos.platform import caller_of
from rollout.enos.signing import Secret
from rollout.enos.translate import JSON_TYPE, UnreadableBody, clean, strict_object
from rollout.settings import Profile, follow, reference
from rollout.telemetry.redact import HIDDEN, REDACTOR

BODY_BYTES_MAX: Final = 8 * 1024 * 1024
"""Largest body that is read, bytes; a gateway accepts less. Ours."""

TEXT_CHARS_SHOWN: Final = 2_000
"""Characters of a body, or of a reply that is no JSON, that are shown. Ours."""


@command("request")
@click.argument("method", metavar="METHOD", type=click.Choice(["GET", "POST"], case_sensitive=False))
@click.argument("path", type=Parsed("PATH", checked_path))
@click.option(
    "--query",
    "pairs",
    type=Parsed("NAME=VALUE", name_and_value),
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
    type=NumberParam("ms", 1, 999_999_999_999_999, whole=True, digits=15),
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
    profile = platform_profile(common.profile, config=common.config, url=url, ca_file=ca_file)
    if profile.in_process:
        hint = "run `rollout emulator` and name it: --url http://127.0.0.1:8484"
        raise click.UsageError(f"the emulator of profile {profile.name} lives inside a run only; {hint}")
    content = None if body is None else _read_body(body)
    call = make_call(method, path, pairs, org_id=org or profile.org_id, body=content)
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
    return asyncio.run(_sign_and_send(console, profile, call, given, timestamp, dry_run=dry_run))


async def _sign_and_send(
    console: Console,
    profile: Profile,
    call: Call,
    token: Secret | None,
    timestamp_ms: int | None,
    *,
    dry_run: bool,
) -> int:
    """Sign, show, send unless it is a dry run, show what came back; return the exit code."""
    caller = caller_of(account_of(profile, call.query.get("orgId", "")))
    sent = call_json(profile, call)
    try:
        signed = await signed_call(caller, call, token=token, timestamp_ms=timestamp_ms, dry_run=dry_run)
        if dry_run:
            if console.is_json:
                console.json("request", request=sent, signing=signed.steps, reply=None, exitCode=0)
            else:
                console.result("\n".join(_signing_lines(call, signed.steps)))
            return 0
        if not console.is_json:
            console.note("\n".join(_signing_lines(call, signed.steps)))
        result = await send(caller, signed)
    finally:
        await caller.aclose()
    meaning = result.meaning
    if result.explain:
        meaning = f"{meaning}; more: {command_line('explain', *result.explain)}"
    if console.is_json:
        console.json(
            "request",
            request=sent,
            signing=signed.steps,
            reply=result.reply,
            meaning=meaning,
            exitCode=result.exit_code,
        )
        return result.exit_code
    console.note("\n".join(_result_lines(call, result, meaning)))
    if result.reply is not None and (shown := _shown(result.reply)):
        console.result(shown)
    return result.exit_code


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


def _request_lines(profile: Profile, call: Call) -> Iterator[str]:
    """Yield what is to be sent, for the person who is asked about it."""
    yield f"request     {call.method} {profile.url}{call.target}"
    if call.body is None:
        return
    yield f"body        {len(call.body):,} bytes, SHA-256 {hashlib.sha256(call.body).hexdigest()}"
    yield from _indented(_clipped(call.body.decode("utf-8", "backslashreplace").removesuffix("\n")))
    if call.body.endswith(b"\n"):
        yield "            note: it ends with a line feed, which is signed and sent too"
    problem = strict_object(call.body)
    if isinstance(problem, UnreadableBody):
        yield f"            note: {problem.reason}"


def _signing_lines(call: Call, signing: Mapping[str, Any]) -> Iterator[str]:
    """Yield how the signature comes about, step by step, and the headers."""
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


def _result_lines(call: Call, result: CallResult, meaning: str) -> Iterator[str]:
    """Yield what is said of a reply, or of its absence."""
    yield ""
    if result.reply is None:
        if not result.handed:
            yield f"no reply    {meaning}: nothing was sent"
            return
        lost = "it may have taken effect: look before it is sent again"
        yield f"no reply    {meaning}; {lost if call.may_change else 'send it again'}"
        return
    kind = clean(result.reply["contentType"], 60) or "no content type"
    status, elapsed_ms = result.reply["httpStatus"], result.reply["elapsedMs"]
    yield f"reply       HTTP {status} in {elapsed_ms:,} ms, {result.size:,} bytes, {kind}"
    yield f"meaning     {meaning}" + ("" if "json" in result.reply else ": not an answer of the platform")


def _shown(reply: Mapping[str, Any]) -> str:
    return document(reply["json"]) if "json" in reply else _clipped(reply["text"])


def _clipped(text: str) -> str:
    if len(text) <= TEXT_CHARS_SHOWN:
        return text
    return f"{text[:TEXT_CHARS_SHOWN]} ... {len(text) - TEXT_CHARS_SHOWN:,} characters more"


def _indented(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        yield f"            {line}"
