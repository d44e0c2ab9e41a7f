"""What a create call comes to, whatever server, proxy or network do. Over real sockets."""

import asyncio
import gzip
import socket
import struct

import pytest
from scripted_server import envelope, http

from rollout.core.outcome import Accepted, Rejected, Throttled, Unknown, Unsent
from rollout.enos import limits
from rollout.enos.signing import Secret, sign
from rollout.enos.transport import Request, Transport, _under_way
from rollout.ports import NotNow

pytestmark = pytest.mark.anyio

SUCCESS = envelope({"jobId": "5e9f0c1d2b3a4f5e6d7c8b9a"})
ACCEPTED = http(SUCCESS)
BODY = ACCEPTED.split(b"\r\n\r\n", 1)[1]


def raw(body: bytes, **changes: str) -> bytes:
    return http(body, **changes)


def headed(*lines: bytes, body: bytes = BODY) -> bytes:
    return b"\r\n".join((b"HTTP/1.1 200 OK", b"Content-Type: application/json", *lines, b"", body))


UNBELIEVABLE = {
    "A01 empty body": raw(b""),
    "A02 login page": raw(b"<html>please log in</html>", kind="text/html"),
    "A03 truncated JSON": raw(BODY[:-3]),
    "A03 not UTF-8": raw(b'{"code":0,"msg":"\xff","data":{"jobId":"j1"}}'),
    "A03 byte order mark": raw(b"\xef\xbb\xbf" + BODY),
    "A03 trailing data": raw(BODY + b"{}"),
    "A04 NaN": raw(b'{"code":0,"msg":"OK","data":{"jobId":"j1"},"x":NaN}'),
    "A04 1e999": raw(b'{"code":0,"msg":"OK","data":{"jobId":"j1"},"x":1e999}'),
    "A05 a code twice": raw(b'{"code":24404,"code":0,"msg":"OK","data":{"jobId":"j1"}}'),
    "A05 a jobId twice": raw(b'{"code":0,"msg":"OK","data":{"jobId":"j1","jobId":"j2"}}'),
    "A06 nested 30,000 deep": raw(b"[" * 30_000),
    "A06 integer of 5,000 digits": raw(b'{"code":' + b"9" * 5000 + b',"msg":"OK","data":null}'),
    "A07 code missing": raw(b'{"msg":"OK","data":{"jobId":"j1"}}'),
    "A07 code in quotes": http(envelope({"jobId": "j1"}, code="0")),
    "A07 code false": http(envelope({"jobId": "j1"}, code=False)),
    "A07 code a float": http(envelope({"jobId": "j1"}, code=0.0)),
    "A07 refusal as true": http(envelope(None, code=True)),
    "A07 msg missing": raw(b'{"code":0,"data":{"jobId":"j1"}}'),
    "A07 a list": raw(b"[0]"),
    "A08 data null": http(envelope(None)),
    "A08 data a list": http(envelope(["j1"])),
    "A08 jobId missing": http(envelope({})),
    "A08 jobId a number": http(envelope({"jobId": 17})),
    "A08 jobId empty": http(envelope({"jobId": ""})),
    "A08 jobId with a line feed": http(envelope({"jobId": "j1\n"})),
    "A08 jobId with a quote": http(envelope({"jobId": "j1'"})),
    "A08 jobId of 2,000 characters": http(envelope({"jobId": "j" * 2000})),
    "A10 unknown code": http(envelope(None, code=24699, msg="?")),
    "A10 code of another operation": http(envelope(None, code=24615, msg="Job has started")),
    "A10 service failed": http(envelope(None, code=24500, msg="OTA service internal error")),
    "A10 platform failed": http(envelope(None, code=99500, msg="Internal Server Error")),
    "A11 negative length": headed(b"Content-Length: -5"),
    "A11 two lengths": headed(b"Content-Length: 10", b"Content-Length: 20"),
    "A11 length and chunks": headed(b"Content-Length: 10", b"Transfer-Encoding: chunked"),
    "A11 bad chunk": headed(b"Transfer-Encoding: chunked", body=b"zz\r\n" + BODY),
    "A11 garbage": b"\x16\x03\x01\x02\x00 what is this\r\n\r\n",
    "A11 HTTP/0.9": BODY,
    "A12 length too large": headed(b"Content-Length: 5000"),
    "A12 chunks cut off": headed(b"Transfer-Encoding: chunked", body=b"ff\r\n" + BODY),
    "A13 no length, body cut": headed(body=BODY[:-9]),
    "A14 header of 20,000 bytes": headed(b"X: " + b"x" * 20_000, b"Content-Length: %d" % len(BODY)),
    "A14 header with NUL": headed(b"X: a\x00b", b"Content-Length: %d" % len(BODY)),
    "A15 status 101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + BODY,
    "A15 status 999": http(SUCCESS, "999 Odd"),
    "A15 status 201": http(SUCCESS, "201 Created"),
    "A15 status 204 with a body": http(SUCCESS, "204 No Content"),
    "A16 gzip": headed(
        b"Content-Encoding: gzip", b"Content-Length: 99", body=gzip.compress(BODY).ljust(99, b"\0")
    ),
    "A16 unknown encoding": headed(b"Content-Encoding: br", b"Content-Length: %d" % len(BODY)),
    "A17 redirect": http(SUCCESS, "302 Found", "Location: http://elsewhere.invalid/?apim=1"),
    "A17 permanent redirect": http(SUCCESS, "308 Permanent Redirect", "Location: /elsewhere"),
    "success under an error status": http(SUCCESS, "500 Internal Server Error"),
    "refusal under a server error": http(envelope(None, 24404, "Firmware not found"), "502 Bad Gateway"),
    "refusal without a message": raw(b'{"code":24404,"data":null}'),
    "gateway 500": http({"message": "An unexpected error occurred"}, "500 Internal Server Error"),
    "gateway 503": http({"message": "Service unavailable"}, "503 Service Unavailable"),
    "408": http({"message": "Request Timeout"}, "408 Request Timeout"),
    "409": http({"message": "Conflict"}, "409 Conflict"),
    "425": http({"message": "Too Early"}, "425 Too Early"),
    "403 in other words": http({"message": "Forbidden"}, "403 Forbidden"),
    "403 by a web server": raw(b"<h1>403</h1>", status="403 Forbidden", kind="text/html"),
    "429 by a proxy": raw(b"slow down", status="429 Too Many Requests", kind="text/plain"),
    "429 with a code": http({"message": "API rate limit exceeded", "code": 1}, "429 Too Many Requests"),
    "413 by a proxy": raw(b"too large", status="413 Request Entity Too Large", kind="text/plain"),
    "401 in other words": http({"message": "Unauthorized"}, "401 Unauthorized"),
}


@pytest.mark.parametrize("answer", UNBELIEVABLE.values(), ids=UNBELIEVABLE.keys())
async def test_what_is_not_on_the_list_is_unknown(server, connect, create_call, passing, answer):
    """A garbled, foreign or unlisted answer never counts as success or refusal: the job may exist."""
    server.answers = [answer]
    outcome = await connect(server.url).create(create_call, passing)
    assert isinstance(outcome, Unknown), outcome
    assert outcome.reason.isprintable()
    assert len(outcome.reason) <= limits.MESSAGE_CHARS_MAX


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (http(envelope(None, 24404, "Firmware not found")), Rejected(24404, "Firmware not found", "r-1")),
        (http(envelope(None, 24610, "not verified")), Rejected(24610, "not verified", "r-1", retryable=True)),
        (http(envelope(None, 24611, "total")), Rejected(24611, "total", "r-1")),
        (http(envelope(None, 24612, "max[5]")), Rejected(24612, "max[5]", "r-1")),
        (http(envelope(None, 99400, "Invalid Argument")), Rejected(99400, "Invalid Argument", "r-1")),
        (http(envelope(None, 99403, "Denied")), Rejected(99403, "Denied", "r-1", credentials=True)),
        (http(envelope(None, 99404, "none")), Rejected(99404, "none", "r-1")),
        (http(envelope(None, 11404, "device")), Rejected(11404, "device", "r-1")),
        (http(envelope(None, 11611, "product")), Rejected(11611, "product", "r-1")),
        (http(envelope(None, 24404, "mapped"), "404 Not Found"), Rejected(24404, "mapped", "r-1")),
        (
            http({"message": "API rate limit exceeded"}, "429 Too Many Requests", "Retry-After: 7"),
            Throttled(7.0, "API rate limit exceeded", 429),
        ),
        (
            http({"message": "API rate limit exceeded"}, "429 Too Many Requests"),
            Throttled(None, "API rate limit exceeded", 429),
        ),
        (
            http({"message": "Your IP address is not allowed"}, "403 Forbidden"),
            Rejected(403, "Your IP address is not allowed", credentials=True),
        ),
        (
            http({"message": "Request size limit exceeded"}, "413 Payload Too Large"),
            Rejected(413, "Request size limit exceeded"),
        ),
        (
            http({"message": "Cannot process request body"}, "400 Bad Request"),
            Rejected(400, "Cannot process request body"),
        ),
    ],
    ids=lambda value: (
        None if isinstance(value, bytes) else type(value).__name__ + str(getattr(value, "code", ""))
    ),
)
async def test_a_listed_refusal_is_definite(  # noqa: PLR0917 - pytest passes them by name
    server, connect, create_call, passing, answer, expected
):
    """A09: what the platform or its gateway is documented to refuse, made no job."""
    server.answers = [answer]
    assert await connect(server.url).create(create_call, passing) == expected


async def test_a_complete_success_is_accepted(server, connect, create_call, passing):
    """A well-formed success gives the job's id, and takes time."""
    server.answers = [ACCEPTED]
    outcome = await connect(server.url).create(create_call, passing)
    assert isinstance(outcome, Accepted)
    assert (outcome.job_id, outcome.request_id) == ("5e9f0c1d2b3a4f5e6d7c8b9a", "r-1")
    assert outcome.elapsed_s > 0


async def test_a_success_in_chunks_is_accepted(server, connect, create_call, passing):
    """How the answer is framed does not matter as long as it is whole."""
    server.answers = [
        headed(b"Transfer-Encoding: chunked", body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))
    ]
    assert isinstance(await connect(server.url).create(create_call, passing), Accepted)


async def test_an_informational_answer_may_come_first(server, connect, create_call, passing):
    """100 Continue and 103 Early Hints are no answer; the one after them is."""
    server.answers = [b"HTTP/1.1 103 Early Hints\r\n\r\n" + ACCEPTED]
    assert isinstance(await connect(server.url).create(create_call, passing), Accepted)


async def test_the_request_is_as_documented(server, connect, create_call, passing):
    """Path, query, headers and body arrive as the create page describes them, and the signature fits the bytes."""
    server.answers = [ACCEPTED]
    await connect(server.url, app_secret=Secret("s3")).create(create_call, passing)
    (call,) = server.calls
    assert call.target == "/connect-service/v2.1/ota-jobs?action=create&orgId=o1&firmwareId=fw1"
    headers = call.headers
    assert headers["content-type"] == "application/json;charset=UTF-8"
    assert headers["accept-encoding"] == "identity"
    query = {"action": "create", "orgId": "o1", "firmwareId": "fw1"}
    token = Secret(headers["apim-accesstoken"])
    signature = sign(token, query, call.body, headers["apim-timestamp"], Secret("s3"))
    assert headers["apim-signature"] == signature


async def test_an_answer_too_large_is_unknown(server, connect, create_call, passing):
    """A22: reading stops at the cap, however much is offered."""
    server.answers = [http(envelope({"jobId": "j1"}, pad="x" * limits.CREATE_REPLY_BYTES_MAX))]
    outcome = await connect(server.url).create(create_call, passing)
    assert isinstance(outcome, Unknown)
    assert "too large" in outcome.reason


async def test_an_endless_answer_is_cut(server, connect, create_call, passing):
    """F22: a server that never stops sending does not fill the memory."""
    sent = 0

    async def flood(call, writer):
        nonlocal sent
        writer.write(headed(b"Content-Length: 999999999", body=b""))
        while True:
            writer.write(b" " * 65536)
            sent += 65536
            await writer.drain()

    server.answers = [flood]
    assert isinstance(await connect(server.url).create(create_call, passing), Unknown)
    assert sent < 64 * limits.CREATE_REPLY_BYTES_MAX


async def test_the_message_of_a_refusal_is_harmless(server, connect, create_call, passing):
    """A24: escape codes, line feeds and length of a foreign text never reach a log."""
    server.answers = [http(envelope(None, 99400, "\x1b[31mred\n" + "x" * 5000 + "\u202e"))]
    outcome = await connect(server.url).create(create_call, passing)
    assert isinstance(outcome, Rejected)
    assert outcome.message.startswith("\\x1b[31mred\\x0a")
    assert outcome.message.isprintable()
    assert len(outcome.message) == limits.MESSAGE_CHARS_MAX


async def reset(call, writer):
    """Hang up with a RST."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def hang_up(call, writer):
    """Hang up politely, without an answer."""


async def half_an_answer_then_reset(call, writer):
    writer.write(ACCEPTED[:-20])
    await writer.drain()
    await reset(call, writer)


@pytest.mark.parametrize("script", [reset, hang_up, half_an_answer_then_reset])
async def test_a_connection_lost_after_sending_is_unknown(server, connect, create_call, passing, script):
    """F14, F15: the service may have acted before the line went dead."""
    server.answers = [script]
    assert isinstance(await connect(server.url).create(create_call, passing), Unknown)
    assert len(server.calls) == 1


async def silence(call, writer):
    await asyncio.Event().wait()


async def drop_by_drop(call, writer):
    writer.write(headed(b"Content-Length: 60000", body=b""))
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0)


async def endless_prelude(call, writer):
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0)


@pytest.mark.parametrize("script", [silence, drop_by_drop, endless_prelude])
async def test_a_server_that_does_not_come_to_an_end_is_given_up(
    server, connect, create_call, passing, script
):
    """F21: the read time-out is a total, so a byte now and then does not keep a call alive."""
    server.answers = [script]
    outcome = await connect(server.url, read_timeout_s=0.05).create(create_call, passing)
    assert outcome == Unknown("time-out")


async def test_a_late_answer_reaches_nobody_else(server, connect, create_call, passing):
    """A26: a second answer on the same connection is not taken for the next create's."""
    server.answers = [ACCEPTED + http(envelope({"jobId": "forged"})), ACCEPTED]
    service = connect(server.url)
    outcomes = [await service.create(create_call, passing) for _ in range(3)]
    assert {outcome.job_id for outcome in outcomes} == {"5e9f0c1d2b3a4f5e6d7c8b9a"}


async def test_each_create_has_a_connection_of_its_own(server, connect, create_call, passing):
    """Nothing left over on a kept connection can be taken for the answer to a create."""
    server.answers = [ACCEPTED]
    service = connect(server.url)
    for _ in range(3):
        await service.create(create_call, passing)
    assert len({call.connection for call in server.calls}) == 3


async def test_creates_share_connections_when_told_to(server, connect, create_call):
    """A load test may keep connections, and the guard is still asked each time."""
    asked = 0

    async def guard():
        nonlocal asked
        asked += 1

    server.answers = [ACCEPTED]
    service = connect(server.url, pooled=True)
    for _ in range(3):
        await service.create(create_call, guard)
    assert {call.connection for call in server.calls} == {server.calls[0].connection}
    assert asked == 3


async def test_a_call_on_a_shared_connection_has_its_deadline_too(server, connect, create_call, passing):
    """Never answered, it ends as unknown, and its connection is not used again."""
    server.answers = [silence, ACCEPTED]
    service = connect(server.url, pooled=True, connect_timeout_s=0.2, read_timeout_s=0.2)
    assert await service.create(create_call, passing) == Unknown("time-out")
    assert isinstance(await service.create(create_call, passing), Accepted)
    assert len({call.connection for call in server.calls}) == 2


def test_the_kept_address_is_not_that_of_another_query():
    """Even if the caller uses its query's dict again."""
    transport, query = Transport("http://127.0.0.1:1"), {"action": "create"}
    request = Request("POST", "ota-jobs", query, {})
    assert transport._url(request).query["action"] == "create"
    query["action"] = "delete"
    assert transport._url(request).query["action"] == "delete"


async def test_no_redirect_is_followed(server, connect, create_call, passing):
    """A17: headers, body and belief stay with the gateway we were told of; the reason names a host and no more."""
    server.answers = [
        http({}, "307 Temporary Redirect", "Location: " + server.url + "/else?token=x"),
        ACCEPTED,
    ]
    outcome = await connect(server.url).create(create_call, passing)
    assert outcome == Unknown("HTTP 307: unexpected redirect to 127.0.0.1", None, 307)
    assert len(server.calls) == 1


# ── the guard ────────────────────────────────────────────────────────────────────────────────────


async def test_the_guard_is_asked_before_the_first_byte(server, connect, create_call):
    """While the guard thinks, the connection stands and the server has not seen a byte of the request."""
    seen = []

    async def guard():
        for _ in range(100):  # turns of the loop in which a byte on its way would arrive
            await asyncio.sleep(0)
        seen.append((server.connections, server.bytes_received, len(server.calls)))

    server.answers = [ACCEPTED]
    service = connect(server.url)
    await service.create(create_call, guard)
    server.bytes_received = 0
    await service.create(create_call, guard)
    # One connection for the token, then one for each create
    assert [(connections, calls) for connections, _, calls in seen] == [(2, 0), (3, 1)]
    assert seen[1][1] == 0


async def test_a_guard_that_says_not_now_withholds_the_call(server, connect, create_call):
    """Nothing is sent, the connection is closed, and the outcome says that it was we who stopped it."""

    async def guard():
        raise NotNow("the campaign is paused")

    server.answers = [ACCEPTED]
    service = connect(server.url)
    assert await service.create(create_call, guard) == Unsent("the campaign is paused", withheld=True)
    assert not server.calls


@pytest.mark.parametrize("error", [OSError("disk"), TimeoutError("journal"), ValueError("bug")])
async def test_a_guard_that_fails_sends_nothing_and_its_error_comes_through(
    server, connect, create_call, error
):
    """Even a type that HTTP clients raise themselves comes back as the very same exception."""

    async def guard():
        raise error

    server.answers = [ACCEPTED]
    with pytest.raises(type(error)) as caught:
        await connect(server.url).create(create_call, guard)
    assert caught.value is error
    assert not server.calls


async def test_a_create_cancelled_while_the_guard_waits_is_not_sent(server, connect, create_call):
    """A cancelled permit leaves no request and no open connection."""
    waiting = asyncio.Event()

    async def guard():
        waiting.set()
        await asyncio.Event().wait()

    server.answers = [ACCEPTED]
    task = asyncio.create_task(connect(server.url).create(create_call, guard))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not server.calls


async def test_a_withheld_connection_is_closed(connect, server, create_call):
    """The server sees the end of a connection that was opened for nothing."""
    ended = asyncio.Event()

    async def watch(reader, writer):
        assert await reader.read() == b""
        ended.set()
        writer.close()

    async def guard():
        raise NotNow

    listener = await asyncio.start_server(watch, "127.0.0.1", 0)
    service = connect(server.url)
    server.answers = [ACCEPTED]
    await service._caller.tokens.current()
    service._caller._exchange._base = service._caller._exchange._base.with_port(
        listener.sockets[0].getsockname()[1]
    )
    assert (await service.create(create_call, guard)).withheld
    await asyncio.wait_for(ended.wait(), 5)
    listener.close()


async def test_the_guard_may_wait_longer_than_the_time_outs(server, connect, create_call):
    """Waiting for a permit is neither connecting nor reading: no deadline runs meanwhile, one does afterwards."""
    deadlines = []

    async def guard():
        deadlines.append(_under_way.get().deadline)
        assert deadlines[0].when() is None

    async def look(call, writer):
        assert deadlines[0].when() is not None
        writer.write(ACCEPTED)

    server.answers = [look]
    assert isinstance(await connect(server.url).create(create_call, guard), Accepted)


# ── before anything is sent ──────────────────────────────────────────────────────────────────────


async def never():
    raise AssertionError("the guard was asked without a connection")


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


async def moved_to(service, **parts):
    """Fetch the token, then point the service elsewhere, so that the create call is the one that fails."""
    await service._caller.tokens.current()
    base = service._caller._exchange._base
    service._caller._exchange._base = base.with_host(parts.get("host", base.host)).with_port(parts["port"])
    if "scheme" in parts:
        service._caller._exchange._base = service._caller._exchange._base.with_scheme(parts["scheme"])
    return service


async def test_a_closed_port_is_unsent(server, connect, create_call):
    """F12: where nobody listens, nothing arrives."""
    service = await moved_to(connect(server.url), port=closed_port())
    outcome = await service.create(create_call, never)
    assert isinstance(outcome, Unsent)
    assert not outcome.withheld
    assert "refused" in outcome.reason


async def test_an_unknown_host_is_unsent(server, connect, create_call):
    """F12: without an address there is no connection."""
    service = await moved_to(connect(server.url), host="gateway.invalid", port=443)
    assert isinstance(await service.create(create_call, never), Unsent)


async def test_a_failed_tls_handshake_is_unsent(server, connect, create_call):
    """F12: a plain server behind an https address gets no request."""

    async def plain(reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert b"fw1" not in await reader.read()
        writer.close()

    listener = await asyncio.start_server(plain, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    service = await moved_to(connect(server.url), port=port, scheme="https")
    assert await service.create(create_call, never) == Unsent("TLS handshake failed")
    listener.close()


async def test_a_connection_that_does_not_come_about_is_unsent(server, connect, create_call):
    """F12, F13: a time-out before the connection is as harmless as a refusal."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        port = sock.getsockname()[1]
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        service = await moved_to(connect(server.url, connect_timeout_s=0.05), port=port)
        outcome = await service.create(create_call, never)
        for filler in fillers:
            filler.close()
    assert outcome == Unsent("time-out")


async def test_without_a_token_nothing_is_sent(server, connect, create_call):
    """A token service that is away for now is not a refusal of the batch."""
    server.tokens = [http({"message": "Service unavailable"}, "503 Service Unavailable")]
    outcome = await connect(server.url).create(create_call, never)
    assert isinstance(outcome, Unsent)


@pytest.mark.parametrize("status", [1002, 1003, 1004, 1202])
async def test_wrong_credentials_refuse_every_batch(server, connect, create_call, status):
    """No batch can pass with a wrong key or secret, and the outcome says so."""
    server.tokens = [http({"status": status, "msg": "no", "data": None})]
    outcome = await connect(server.url).create(create_call, never)
    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.credentials) == (status, True)


async def test_a_refused_token_is_renewed_once_and_the_create_sent_again(server, connect, create_call):
    """The gateway refuses before the service acts, so a second sending makes one job; the guard is asked again."""
    asked = 0

    async def guard():
        nonlocal asked
        asked += 1

    server.answers = [http({"message": "Invalid authentication credentials"}, "401 Unauthorized"), ACCEPTED]
    assert isinstance(await connect(server.url).create(create_call, guard), Accepted)
    assert len(server.token_calls) == 2
    assert asked == 2


async def test_a_second_refused_token_stops(server, connect, create_call, passing):
    """When a new token does not help, clock or secret are wrong."""
    server.answers = [http({"message": "Invalid authentication credentials"}, "401 Unauthorized")]
    outcome = await connect(server.url).create(create_call, passing)
    assert outcome == Rejected(401, "Invalid authentication credentials", credentials=True)
    assert len(server.calls) == 2
