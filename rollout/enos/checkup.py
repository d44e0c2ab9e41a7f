"""The check-up of the way from this machine to the platform: one look after another, and nothing is changed.

    name ─► connection ─► TLS ─► clock ─► token ─► what the application may read ─► what a plan relies on

Each look is a row of a table with what it needs; where that failed, the look is skipped and says why, so a report
names the first cause and not its consequences. The looks at permissions are searches of one row.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from yarl import URL

from rollout.core.campaign import DAY_S, Campaign
from rollout.core.names import JobName, WaveNames
from rollout.enos import limits
from rollout.enos.caller import Caller
from rollout.enos.codes import TOKEN_STATUS, Code, Operation, TokenStatus
from rollout.enos.firmware import read_firmware
from rollout.enos.job_settings import JobSettings, JobType
from rollout.enos.paths import DEVICES_PATH, FIRMWARE_PATH, JOBS_PATH
from rollout.enos.service import EnosService
from rollout.enos.translate import NoResponse, clean, search_body
from rollout.enos.transport import Request, Transport, check_base_url, trust
from rollout.errors import RolloutError, ServiceError
from rollout.ports import Finding, Health

SKEW_S_NOTED: Final = 5.0
"""A clock further off than this is worth a warning: it is not kept. Ours."""
SKEW_S_MAX: Final = 300.0
"""A clock further off than this counts as failed: gateways commonly refuse signatures older than five minutes. Ours;
how much EnOS allows is not published."""
CERTIFICATE_DAYS_NOTED: Final = 21
"""Fewer days than this before a certificate ends are worth a warning. Ours."""

UNREACHABLE, CONFIGURATION, CREDENTIALS = 1, 2, 4
"""Exit codes of what failed."""


@dataclass(frozen=True, slots=True)
class Target:
    """What to look at.

    `caller` is None where there are no keys; then the looks that need them are skipped. Its organisation may be empty. `campaign` is that of a plan, whose
    firmware and job names are looked up.
    """

    url: str
    ca_file: Path | None = None
    caller: Caller | None = None
    search_by_name: bool = True
    campaign: Campaign | None = None
    now: Callable[[], float] = time.time


def _ok(seen: str, **facts: Any) -> Finding:
    return Finding("", Health.OK, seen, facts=facts)


def _warning(seen: str, remedy: str, **facts: Any) -> Finding:
    return Finding("", Health.WARNING, seen, remedy, facts)


def _failed(seen: str, remedy: str, exit_code: int, **facts: Any) -> Finding:
    return Finding("", Health.FAILED, seen, remedy, facts, exit_code)


async def examine(target: Target) -> AsyncIterator[Finding]:
    """Yield the findings as they come, always the same ones in the same order. Never raises for what is found."""
    looks = LOOKS if target.campaign is not None else LOOKS[: -len(PLAN_LOOKS)]
    bad: dict[str, str] = {}
    if target.caller is None:
        bad["keys"] = "no keys"
    elif not target.caller.org_id:
        bad["organisation"] = "no organisation"
    for name, needs, look in looks:
        missing = next((bad[need] for need in needs if need in bad), None)
        if missing is not None:
            bad[name] = missing
            yield Finding(name, Health.SKIPPED, missing)
            continue
        found = replace(await look(target), name=name)
        if found.health is Health.FAILED:
            if "clock" in bad:
                found = replace(found, remedy=f"set the clock first; if it still fails: {found.remedy}")
            bad[name] = f"{name} failed"
        yield found


# ── the way there ────────────────────────────────────────────────────────────────────────────────


async def _look_up(target: Target) -> Finding:
    """Look the gateway's name up."""
    url = check_base_url(target.url)
    host, began = url.host or "", time.monotonic()
    try:
        addresses = await _addresses(url)
    except TimeoutError:
        return _failed(f"{host}: no answer within {limits.CONNECT_TIMEOUT_S:g} s", _CHECK_NAME, UNREACHABLE)
    except OSError as error:
        return _failed(f"{host}: {clean(error.strerror or error)}", _CHECK_NAME, UNREACHABLE)
    shown = ", ".join(addresses[:4]) + (f" and {len(addresses) - 4} more" if len(addresses) > 4 else "")
    elapsed_ms = _ms(began)
    seen = f"{host} is an address" if addresses == [host] else f"{host} is {shown} ({elapsed_ms} ms)"
    return _ok(seen, host=host, addresses=addresses, elapsedMs=elapsed_ms)


_CHECK_NAME: Final = "check the url's spelling, this machine's name servers and, if one is needed, the VPN"


async def _addresses(url: URL) -> list[str]:
    """Return the addresses of the host, each once, in the order to try them. Raises OSError, TimeoutError."""
    assert url.host is not None, "a base URL has a host"
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(limits.CONNECT_TIMEOUT_S):
        found = await loop.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def _connect(target: Target) -> Finding:
    """Open a connection to the first address that takes one."""
    url = check_base_url(target.url)
    refused = []
    for address in await _addresses(url):
        began = time.monotonic()
        try:
            async with asyncio.timeout(limits.CONNECT_TIMEOUT_S):
                _, writer = await asyncio.open_connection(address, url.port)
        except (OSError, TimeoutError) as error:
            refused.append(f"{address} port {url.port}: {_why(error)}")
            continue
        writer.transport.abort()
        elapsed_ms = _ms(began)
        facts = {"address": address, "port": url.port, "elapsedMs": elapsed_ms}
        if refused:
            return _warning(
                f"{address} port {url.port} in {elapsed_ms} ms; {'; '.join(refused)}",
                "calls try the other addresses first and may lose time with them",
                **facts,
            )
        return _ok(f"{address} port {url.port} in {elapsed_ms} ms", **facts)
    return _failed(
        "; ".join(refused),
        "check port and firewall, and that the gateway, or the emulator, runs",
        UNREACHABLE,
    )


async def _shake_hands(target: Target) -> Finding:
    """Agree on encryption, as every call does, and look at the gateway's certificate."""
    url = check_base_url(target.url)
    if url.scheme == "http":
        return _ok("none: plain http, and not beyond this machine", version=None)
    try:
        context = trust(target.ca_file)
        async with asyncio.timeout(limits.CONNECT_TIMEOUT_S):
            _, writer = await asyncio.open_connection(url.host, url.port, ssl=context)
    except RolloutError as error:
        return _failed(error.message, error.hint, error.exit_code)
    except ssl.SSLCertVerificationError as error:
        remedy = _distrust(error.verify_message, target.ca_file)
        return _failed(f"certificate not accepted: {clean(error.verify_message)}", remedy, UNREACHABLE)
    except ssl.SSLError as error:
        remedy = "is this the gateway's https port? at least TLS 1.2 is needed"
        return _failed(f"no handshake: {clean(error.reason or error)}", remedy, UNREACHABLE)
    except (OSError, TimeoutError) as error:
        remedy = "is this the gateway's https port?"
        return _failed(f"no handshake: {_why(error)}", remedy, UNREACHABLE)
    channel = writer.get_extra_info("ssl_object")
    version, certificate = channel.version(), channel.getpeercert()
    writer.transport.abort()
    ends = ssl.cert_time_to_seconds(certificate["notAfter"])
    days = int((ends - target.now()) // DAY_S)
    subject, issuer = _name_of(certificate["subject"]), _name_of(certificate["issuer"])
    by = "signed by itself" if certificate["subject"] == certificate["issuer"] else f"signed by {issuer}"
    until = datetime.fromtimestamp(ends, UTC).strftime("%Y-%m-%d")
    seen = f"{version}, certificate of {subject}, {by}, until {until} ({days} days)"
    facts = {
        "version": version,
        "subject": subject,
        "issuer": issuer,
        "notAfter": int(ends * 1000),
        "daysLeft": days,
    }
    if days < CERTIFICATE_DAYS_NOTED:
        return _warning(seen, "tell whoever runs the gateway: every call fails once it is over", **facts)
    return _ok(seen, **facts)


def _distrust(message: str, ca_file: Path | None) -> str:
    """Return what to do about a certificate that was not accepted."""
    if "Hostname mismatch" in message or "IP address mismatch" in message:
        return "call the gateway by a name its certificate has"
    if "expired" in message or "not yet valid" in message:
        return "check this machine's date; if it is right, the gateway needs a new certificate"
    if ca_file is not None:
        return f"{ca_file} does not hold the certificate of who signed it"
    return "if the gateway is yours, name the certificate of who signed it: --ca-file FILE, or ca_file in the profile"


def _name_of(name: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    """Return the name of a certificate's subject or issuer: the common name, else the organisation."""
    parts = {key: value for part in name for key, value in part}
    return clean(parts.get("commonName") or parts.get("organizationName") or "nobody named", 80)


async def _compare_clocks(target: Target) -> Finding:
    """Compare this machine's clock with the gateway's `Date`, which has whole seconds."""
    transport = Transport(target.url, ca_file=target.ca_file)
    try:
        answer = await transport.exchange(
            Request("GET", "", {}, {}), body_bytes_max=limits.TOKEN_REPLY_BYTES_MAX, fresh=True
        )
    finally:
        await transport.aclose()
    if isinstance(answer, NoResponse):
        return _failed(answer.reason, "this is not how a gateway behaves: check the url", UNREACHABLE)
    answered_at = target.now() - answer.elapsed_s / 2
    try:
        theirs = parsedate_to_datetime(answer.date).timestamp() + 0.5
    except ValueError:
        return _warning("the gateway tells no time", "compare this machine's clock with a time server")
    ahead_s, within_s = answered_at - theirs, 0.5 + answer.elapsed_s / 2
    facts = {"aheadS": round(ahead_s, 1), "withinS": round(within_s, 1)}
    if abs(ahead_s) <= within_s:
        return _ok(f"agrees with the gateway's within {within_s:.1f} s", **facts)
    seen = f"{abs(ahead_s):,.1f} s {'ahead of' if ahead_s > 0 else 'behind'} the gateway's (give or take {within_s:.1f} s)"
    if abs(ahead_s) > SKEW_S_MAX:
        return _failed(seen, f"set the clock: signatures carry the time. {_KEEP}", CREDENTIALS, **facts)
    if abs(ahead_s) > SKEW_S_NOTED:
        return _warning(seen, f"set the clock before signatures are refused. {_KEEP}", **facts)
    return _ok(seen, **facts)


_KEEP: Final = "A time service (chrony, systemd-timesyncd) keeps it right"


def _why(error: Exception) -> str:
    """Return what went wrong with a connection, without addresses."""
    if isinstance(error, TimeoutError):
        return f"no answer within {limits.CONNECT_TIMEOUT_S:g} s"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return type(error).__name__


def _ms(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


# ── who we are ───────────────────────────────────────────────────────────────────────────────────


async def _fetch_token(target: Target) -> Finding:
    """Get a token, as every run does first."""
    try:
        await _caller(target).tokens.current()
    except ServiceError as error:
        status = error.platform_code
        known = status in set(TokenStatus) if status is not None else False
        remedy = TOKEN_STATUS[TokenStatus(status)].remedy if known and status is not None else error.hint
        return _service_failure(error, remedy)
    left_s = round(_caller(target).tokens.left_s)
    return _ok(f"good for {left_s:,} s", expiresInS=left_s)


def _caller(target: Target) -> Caller:
    assert target.caller is not None, "without keys these looks are skipped"
    return target.caller


def _service_failure(error: ServiceError, remedy: str = "", exit_code: int | None = None) -> Finding:
    """Return the finding of a call that failed, its request id beside it."""
    request = f" (requestId {error.request_id})" if error.request_id else ""
    facts = {"code": error.platform_code, "httpStatus": error.http_status, "requestId": error.request_id}
    return _failed(
        clean(error.message) + request, remedy or error.hint, exit_code or error.exit_code, **facts
    )


# ── what we may do ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Permission:
    """What one search of one row shows. `lost` is what does not work without it; empty if nothing works."""

    noun: str
    path: str
    action: str
    name: str
    lost: str = ""


PERMISSIONS_TO_READ: Final = (
    _Permission("jobs", JOBS_PATH, "search", "the permission Read OTA"),
    _Permission("tasks", JOBS_PATH, "searchTask", "the permission Read OTA"),
    _Permission(
        "firmware",
        FIRMWARE_PATH,
        "search",
        "the permission Read of the service Firmware",
        "plans cannot be compared with their firmware",
    ),
    _Permission(
        "devices",
        DEVICES_PATH,
        "search",
        "the permission to read devices",
        "device lists cannot come from EnOS",
    ),
)
"""Permissions as named in 2.4; from 3.0 on the application is granted the API itself."""


async def _may_read(permission: _Permission, target: Target) -> Finding:
    """Search for one row."""
    caller = _caller(target)
    path = permission.path.format(version="v2.4" if target.search_by_name else "v2.1")
    body = search_body("", page_no=1, page_size=1)
    try:
        reply = await caller.call(Operation.READ, path, {"action": permission.action}, body)
    except ServiceError as error:
        return _no_read(error, permission)
    total = reply.pagination.total_size if reply.pagination is not None else None
    return _ok(f"can be read; {'some' if total is None else f'{total:,}'} in {caller.org_id}", total=total)


async def _leave_alone(_: Target) -> Finding:
    """Return that permissions to change something are not looked at: no harmless call shows them."""
    return Finding("", Health.SKIPPED, "whether jobs may be created, stopped and deleted, only a run shows")


def _no_read(error: ServiceError, permission: _Permission) -> Finding:
    """Return the finding of a search that was refused or failed."""
    if error.platform_code == Code.DENIED:
        remedy = f"grant the application {permission.name} in this organisation"
        found = _service_failure(error, remedy)
        if not permission.lost:
            return found
        remedy = f"{remedy}; without it {permission.lost}"
        return replace(found, health=Health.WARNING, remedy=remedy, exit_code=0)
    if error.platform_code == Code.INVALID_ARGUMENT:
        return _service_failure(
            error, "check the organisation's id: orgId of the plan, org_id of the profile", CONFIGURATION
        )
    return _service_failure(error)


# ── what a plan relies on ────────────────────────────────────────────────────────────────────────


async def _find_firmware(target: Target) -> Finding:
    """Look the plan's firmware up, and whether it may be rolled out."""
    campaign = _campaign(target)
    try:
        firmware = await read_firmware(_caller(target), campaign.firmware_id)
    except ServiceError as error:
        if error.platform_code == Code.NOT_FOUND:
            return _service_failure(error, "check firmwareId and orgId of the plan", CONFIGURATION)
        return _service_failure(error)
    seen = f"{clean(firmware.name, 80) or firmware.firmware_id}, version {clean(firmware.version, 40) or 'not told'}"
    facts = {
        "firmwareId": firmware.firmware_id,
        "version": firmware.version,
        "isVerified": firmware.is_verified,
    }
    sources = {version for wave in campaign.waves for version in JobSettings.of(wave.job).version_numbers}
    if firmware.version in sources:
        remedy = f"take {firmware.version} out of versionNumbers, or devices that have it are upgraded again"
        return _warning(f"{seen}, which is also a version to upgrade from", remedy, **facts)
    if firmware.needs_verification and JobSettings.of(campaign.waves[0].job).type is not JobType.VERIFY:
        remedy = (
            "begin the plan with a wave of `job: {type: verify}`: upgrade jobs are refused (24610) until then"
        )
        return _warning(f"{seen}, not verified yet", remedy, **facts)
    return _ok(f"{seen}{', verified' if firmware.is_verified else ''}", **facts)


async def _find_names(target: Target) -> Finding:
    """Search the campaign's jobs by name, as the engine does when the answer to a create is lost."""
    campaign = _campaign(target)
    # closing the service would close the caller, which is somebody else's
    service = EnosService(_caller(target), search_by_name=target.search_by_name)
    jobs, complete = 0, True
    try:
        for spec in {JobSettings.of(wave.job).type: wave.job for wave in campaign.waves}.values():
            listing = await service.find_jobs(
                firmware_id=campaign.firmware_id, spec=spec, names=WaveNames(campaign.id)
            )
            jobs += sum(JobName.parse(job.name) is not None for job in listing.jobs)
            complete = complete and listing.complete
    except ServiceError as error:
        if error.platform_code == Code.INVALID_ARGUMENT and target.search_by_name:
            remedy = "releases before 2.4 cannot search jobs by name: search_by_name = false in the profile"
            return _service_failure(error, remedy, CONFIGURATION)
        return _service_failure(error)
    facts = {"jobs": jobs, "complete": complete}
    if not complete:
        remedy = "a lost answer can then not be settled by itself; try again when fewer jobs are made"
        return _warning("the pages of the search never agreed", remedy, **facts)
    return _ok(
        f"{jobs:,} of this campaign" if jobs else "searched by name; none of this campaign yet", **facts
    )


def _campaign(target: Target) -> Campaign:
    assert target.campaign is not None, "without a plan these looks are left out"
    return target.campaign


Look = tuple[str, tuple[str, ...], Callable[[Target], Awaitable[Finding]]]

NEEDED_TO_READ = ("token", "organisation")

PLAN_LOOKS: Final[tuple[Look, ...]] = (
    ("plan firmware", ("jobs",), _find_firmware),
    ("plan jobs", ("jobs",), _find_names),
)

LOOKS: Final[tuple[Look, ...]] = (
    ("name", (), _look_up),
    ("connection", ("name",), _connect),
    ("tls", ("connection",), _shake_hands),
    ("clock", ("tls",), _compare_clocks),
    ("token", ("tls", "keys"), _fetch_token),
    *(
        (read.noun, NEEDED_TO_READ if read is PERMISSIONS_TO_READ[0] else ("jobs",), partial(_may_read, read))
        for read in PERMISSIONS_TO_READ
    ),
    ("changes", ("jobs",), _leave_alone),
    *PLAN_LOOKS,
)
"""Every look: its name, what it needs, and how to look."""
