"""One HTTP exchange on aiohttp: bounded in time and size, and sure of whether anything was sent.

Every exchange ends as a value, an `Answer` or a `NoResponse`; aiohttp's exceptions stop here, because their texts
hold every request header, the token among them.

*Sent or not* is decided by one fact. aiohttp's trace hooks `on_connection_create_end` and
`on_connection_reuseconn` run when the connection stands and before the first byte. Ours awaits the caller's guard
there and then marks the attempt as handed over. What fails before the mark was not sent, what fails after it
may have been.

*One deadline* runs over each exchange: the connect time-out until the connection stands, none while the guard waits
(its waits have bounds of their own), then the read time-out for all the rest, so a server that sends one byte
a second is cut off too. aiohttp's own time-outs are off: its `connect` one would count the guard's wait.

Two sessions. *Fresh* connections serve one exchange each: an answer nobody asked for, left on a kept connection,
would be taken for the next request's, and a forged job id believed. *Kept* ones serve reads that a wrong answer
cannot hurt. Neither follows redirects (aiohttp would carry our headers and body to the other host),
reads proxies or .netrc from the environment, keeps cookies, or unpacks compressed answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import ssl
import time
from collections.abc import Awaitable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Final, Protocol

import aiohttp
from yarl import URL

from rollout.enos import limits
from rollout.enos.deadlines import Deadlines
from rollout.enos.translate import Answer, NoResponse, clean
from rollout.errors import SettingsError
from rollout.ports import Guard, NotNow

# Time is bounded by the attempt's own deadline.
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)


@dataclass(frozen=True, slots=True)
class Request:
    """What to send. The headers carry token and signature, so no printed form shows them."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


class _GuardRaisedError(Exception):
    """Leaves aiohttp in place of the guard's own exception, which must not pick up aiohttp's frames."""


class _Attempt:
    """One exchange that is being made. aiohttp's hooks and the socket factory find it through `_under_way`."""

    def __init__(self, guard: Guard | None, connect_timeout_s: float, read_timeout_s: float) -> None:
        self.guard = guard
        self.guard_error: Exception | None = None
        self.deadline = asyncio.timeout(connect_timeout_s)
        self.read_timeout_s = read_timeout_s
        self.handed_at: float | None = None
        self.sockets: list[socket.socket] = []

    async def hand_over(self) -> None:
        """Await the guard. When it returns, the request counts as sent; when it raises, nothing is sent."""
        if self.guard is not None:
            self.deadline.reschedule(None)
            try:
                await self.guard()
            except Exception as error:  # noqa: BLE001 - any type; the exchange raises it again
                self.guard_error = error
                raise _GuardRaisedError from None
        self.handed_at = time.monotonic()
        self.deadline.reschedule(asyncio.get_running_loop().time() + self.read_timeout_s)

    def hang_up(self) -> None:
        """Close the sockets of an attempt that sent nothing: aiohttp leaves them open."""
        for sock in self.sockets:
            with contextlib.suppress(OSError):  # closed already
                sock.shutdown(socket.SHUT_RDWR)


_under_way: ContextVar[_Attempt] = ContextVar("_under_way")


async def _hand_over(_session: aiohttp.ClientSession, _context: SimpleNamespace, _params: object) -> None:
    """Trace hook: the connection stands, nothing is written yet."""
    await _under_way.get().hand_over()


def _open_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Return a socket for aiohttp to connect, remembered by the attempt it is for."""
    family, kind, protocol, _, _ = address
    sock = socket.socket(family, kind, protocol)
    _under_way.get().sockets.append(sock)
    return sock


def check_base_url(text: str) -> URL:
    """Return the gateway's address.

    Raises `SettingsError` unless it is https (http only to this machine), with a host, without credentials,
    query or fragment, and not in the link-local range where cloud machines keep their metadata.
    """
    try:
        url = URL(text)
    except ValueError:
        raise SettingsError("the base URL is not a URL") from None
    if url.user is not None or url.password is not None:
        raise SettingsError(
            "the base URL must not hold a user name or password", hint="use app key and secret"
        )
    if not url.host or url.scheme not in {"http", "https"} or url.query_string or url.fragment:
        raise SettingsError(f"the base URL is https://host[:port][/path], not {clean(text, 80)!r}")
    try:
        address = ipaddress.ip_address(url.host)
    except ValueError:
        loopback, link_local = url.host == "localhost", False
    else:
        loopback, link_local = address.is_loopback, address.is_link_local
    if link_local:
        raise SettingsError(f"the base URL points to a link-local address: {url.host}")
    if url.scheme == "http" and not loopback:
        raise SettingsError(
            f"the base URL must be https: {url.host} is not this machine",
            hint="token and signature would cross the network readable",
        )
    return url


def trust(ca_file: Path | None = None) -> ssl.SSLContext:
    """Return the TLS settings: trust the system's certificates, or only those in `ca_file`.

    Raises `SettingsError` if the file holds none.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one: a file without certificates
        reason = "no certificate in it" if isinstance(error, ssl.SSLError) else error.strerror
        raise SettingsError(
            f"{ca_file}: cannot be used: {reason}", hint="name a file of PEM certificates"
        ) from None


class Exchange(Protocol):
    """Sends requests. `Transport` does it over HTTP; a simulation puts its own in virtual time here."""

    async def exchange(
        self, request: Request, *, body_bytes_max: int, fresh: bool = False, guard: Guard | None = None
    ) -> Answer | NoResponse:
        """Send the request and return what came of it; never raises for what network or server do.

        `guard` is awaited once the connection stands, before the first byte; nothing is sent if it raises.
        `NotNow` comes back as `NoResponse(withheld=True)`, any other exception of the guard is raised again.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections; idempotent."""
        ...


class Transport(Exchange):
    """Exchanges with one gateway. Sessions open with the first exchange and close with `aclose`.

    `pooled`: guarded exchanges use kept connections too. For load tests only: see the module's opening.
    """

    def __init__(
        self,
        base_url: str,
        *,
        ssl_context: ssl.SSLContext | None = None,
        ca_file: Path | None = None,
        connect_timeout_s: float = limits.CONNECT_TIMEOUT_S,
        read_timeout_s: float = limits.READ_TIMEOUT_S,
        pooled: bool = False,
    ) -> None:
        self._base = check_base_url(base_url)
        if ssl_context is None and self._base.scheme == "https":
            ssl_context = trust(ca_file)
        self._ssl = ssl_context
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._pooled = pooled
        self._fresh: aiohttp.ClientSession | None = None
        self._kept: aiohttp.ClientSession | None = None
        self._bare: aiohttp.ClientSession | None = None
        self._last_url: tuple[str, Mapping[str, str], URL] | None = None
        self._deadlines = Deadlines(connect_timeout_s + read_timeout_s)
        self._closed = False

    async def exchange(
        self, request: Request, *, body_bytes_max: int, fresh: bool = False, guard: Guard | None = None
    ) -> Answer | NoResponse:
        """Send the request on a connection of its own if it is `fresh`, else on a kept one."""
        assert not self._closed, "the service is closed"
        if self._pooled and guard is not None:
            return await self._exchange_pooled(request, body_bytes_max, guard)
        attempt = _Attempt(guard, self._connect_timeout_s, self._read_timeout_s)
        under_way = _under_way.set(attempt)
        try:
            async with attempt.deadline:
                response = await self._request(self._session(fresh=fresh), request)
                assert attempt.handed_at is not None, "an answer without a connection"
                return await _read(response, body_bytes_max, attempt.handed_at)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, what counts is whether it was before or after
            reason = _reason(error)
        finally:
            _under_way.reset(under_way)
            if attempt.handed_at is None:
                attempt.hang_up()
        # Raised and returned out here, where no exception of aiohttp hangs on as context
        if isinstance(attempt.guard_error, NotNow):
            return NoResponse(clean(attempt.guard_error) or "withheld", handed=False, withheld=True)
        if attempt.guard_error is not None:
            raise attempt.guard_error
        return NoResponse(reason, handed=attempt.handed_at is not None)

    async def _exchange_pooled(
        self, request: Request, body_bytes_max: int, guard: Guard
    ) -> Answer | NoResponse:
        """Send a guarded request on a kept connection, without the hooks, so that a call of a load test costs little.

        The guard is awaited before the connection stands. A failure to connect therefore counts as sent: whoever
        must know better does not use `pooled`.
        """
        try:
            await guard()
        except NotNow as error:
            return NoResponse(clean(error) or "withheld", handed=False, withheld=True)
        self._bare = self._bare or self._open(force_close=False, hooked=False)
        handed_at = time.monotonic()
        try:
            with self._deadlines.one():
                return await _read(await self._request(self._bare, request), body_bytes_max, handed_at)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, it may have been sent
            reason = _reason(error)
        return NoResponse(reason, handed=True)

    def _request(self, session: aiohttp.ClientSession, request: Request) -> Awaitable[aiohttp.ClientResponse]:
        return session.request(
            request.method,
            self._url(request),
            data=request.body,
            headers=request.headers,
            allow_redirects=False,
        )

    def _url(self, request: Request) -> URL:
        """Return the whole address. The last one is kept, because all creates of a campaign have the same."""
        if self._last_url is not None:
            path, query, url = self._last_url
            if path == request.path and query == request.query:
                return url
        url = self._base.joinpath(*request.path.split("/")).with_query(dict(request.query))
        self._last_url = (request.path, dict(request.query), url)
        return url

    def _session(self, *, fresh: bool) -> aiohttp.ClientSession:
        """Return the session to use, opened now if it is the first time: that needs a running loop."""
        if fresh:
            self._fresh = self._fresh or self._open(force_close=True)
            return self._fresh
        self._kept = self._kept or self._open(force_close=False)
        return self._kept

    def _open(self, *, force_close: bool, hooked: bool = True) -> aiohttp.ClientSession:
        hooks = aiohttp.TraceConfig()
        hooks.on_connection_create_end.append(_hand_over)
        hooks.on_connection_reuseconn.append(_hand_over)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=self._ssl or True,
                force_close=force_close,
                limit=0,  # calls in flight are bounded by who sends them; a second queue would only hide them
                socket_factory=_open_socket if hooked else None,
            ),
            timeout=_NO_TIMEOUT,
            trace_configs=[hooks] if hooked else None,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": "enos-rollout",
            },
        )

    async def aclose(self) -> None:
        """Close all connections; idempotent."""
        self._closed = True
        for session in (self._fresh, self._kept, self._bare):
            if session is not None:
                await session.close()


async def _read(response: aiohttp.ClientResponse, body_bytes_max: int, handed_at: float) -> Answer:
    """Return the answer, its body cut once it is longer than allowed; its connection is kept if it came to its end."""
    content = response.content
    try:
        pieces = [await content.readany()]
        size = len(pieces[0])
        # asked only while there is more: a short answer comes whole, and its end need not be waited for
        while not content.at_eof() and size <= body_bytes_max:
            pieces.append(await content.readany())
            size += len(pieces[-1])
    finally:
        response.close()
    headers = response.headers
    return Answer(
        status=response.status,
        body=b"".join(pieces)[:body_bytes_max],
        content_type=headers.get("Content-Type", ""),
        content_encoding=headers.get("Content-Encoding", ""),
        retry_after=headers.get("Retry-After", ""),
        location_host=_host(headers.get("Location", "")),
        truncated=size > body_bytes_max,
        elapsed_s=time.monotonic() - handed_at,
        date=headers.get("Date", ""),
    )


def _host(location: str) -> str:
    """Return the host of a redirect: the rest of it may carry anything."""
    try:
        return (URL(location).host or "") if location else ""
    except ValueError:
        return "an unreadable address"


def _reason(error: Exception) -> str:
    """Return what went wrong, in words that hold nothing of the request: aiohttp's own texts hold its headers."""
    if isinstance(error, TimeoutError):
        return "time-out"
    if isinstance(error, aiohttp.ClientResponseError):
        # aiohttp gives a garbled answer the status 400; only its own wording is of use
        return clean(f"garbled answer: {error.message}")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "name not resolved"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return clean(f"certificate not accepted: {error.certificate_error}")
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return "TLS handshake failed"
    if isinstance(error, OSError) and error.errno:
        return f"{type(error).__name__}: {os.strerror(error.errno)}"
    return type(error).__name__
