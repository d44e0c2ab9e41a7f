"""One token for all, asked for once, renewed in time, shown to nobody."""

import asyncio
import json
import pickle
import traceback

import pytest
from scripted_server import CANARY, TOKEN_CANARY, envelope, grant, http

from rollout.enos import limits
from rollout.enos.signing import Secret, encrypt
from rollout.enos.tokens import Grant, NoToken, read_token
from rollout.enos.translate import Answer, NoResponse
from rollout.errors import Failure, Phase, ServiceError

pytestmark = pytest.mark.anyio

DONE = http(envelope())
REFUSED = http({"message": "Invalid authentication credentials"}, "401 Unauthorized")


def status(number: int) -> bytes:
    return http({"status": number, "msg": "no", "data": None})


async def test_the_request_is_as_documented(server, connect):
    """Key, encryption and timestamp, as the token page has them."""
    server.answers = [DONE]
    await connect(server.url, app_secret=Secret("s3"), now=lambda: 1_600_000_000.0).stop_job("j1")
    (call,) = server.token_calls
    assert call.target == "/apim-token-service/v2.0/token/get"
    assert json.loads(call.body) == {
        "appKey": "key-1",
        "encryption": encrypt("key-1", 1_600_000_000_000, Secret("s3")),
        "timestamp": 1_600_000_000_000,
    }
    assert server.calls[0].headers["apim-accesstoken"] == TOKEN_CANARY
    assert int(server.calls[0].headers["apim-timestamp"]) > 1_600_000_000_000


async def test_many_callers_share_one_request(server, connect):
    """Eight calls at once ask for one token."""
    server.answers = [DONE]
    service = connect(server.url)
    await asyncio.gather(*(service.stop_job(f"j{n}") for n in range(8)))
    assert len(server.token_calls) == 1
    assert len(server.calls) == 8


async def test_those_who_waited_share_a_failure(server, connect):
    """A dead token service is not asked once for every caller in turn."""
    server.tokens = [status(1005)]
    service = connect(server.url)
    results = await asyncio.gather(*(service.stop_job(f"j{n}") for n in range(8)), return_exceptions=True)
    assert all(isinstance(result, ServiceError) for result in results)
    assert len(server.token_calls) == 1


async def test_a_failure_is_not_kept(server, connect):
    """The next caller asks anew."""
    server.tokens, server.answers = [status(1005), http(grant())], [DONE]
    service = connect(server.url)
    with pytest.raises(ServiceError):
        await service.stop_job("j1")
    await service.stop_job("j1")


async def test_a_repeated_timestamp_is_replaced_by_a_later_one(server, connect):
    """1001: the service takes an equal encryption for a replay."""
    server.tokens, server.answers = [status(1001), http(grant())], [DONE]
    await connect(server.url, now=lambda: 5.0).stop_job("j1")
    assert [json.loads(call.body)["timestamp"] for call in server.token_calls] == [5000, 5001]


async def test_a_timestamp_refused_for_ever_is_an_error(server, connect):
    """1001 is met a bounded number of times."""
    server.tokens = [status(1001)]
    with pytest.raises(ServiceError, match="1001"):
        await connect(server.url).stop_job("j1")
    assert len(server.token_calls) == limits.TOKEN_TRIES_MAX


async def age(service, seconds):
    """Let the token grow older without waiting."""
    service._caller.tokens._good_until -= seconds
    service._caller.tokens._refresh_at -= seconds


async def test_a_token_is_refreshed_ten_minutes_ahead(server, connect):
    """Until then it is used; then it is exchanged for a new one, which is named in the request."""
    server.tokens, server.answers = [http(grant("first")), http(grant("second"))], [DONE]
    service = connect(server.url)
    await service.stop_job("j1")
    await age(service, 6590)
    await service.stop_job("j1")
    await age(service, 20)
    await service.stop_job("j1")
    assert [call.headers["apim-accesstoken"] for call in server.calls] == ["first", "first", "second"]
    assert server.token_calls[1].target.endswith("/token/refresh")
    assert json.loads(server.token_calls[1].body)["accessToken"] == "first"


async def test_a_token_still_good_outlives_a_failed_refresh(server, connect):
    """The call goes out with the old token, and the refresh is tried again later, not with every call."""
    server.tokens, server.answers = [http(grant("first")), status(1005), http(grant("second"))], [DONE]
    service = connect(server.url)
    await service.stop_job("j1")
    await age(service, 6700)
    await service.stop_job("j1")
    await service.stop_job("j1")
    assert len(server.token_calls) == 2
    await age(service, limits.TOKEN_RETRY_S)
    await service.stop_job("j1")
    assert [call.headers["apim-accesstoken"] for call in server.calls] == [
        "first",
        "first",
        "first",
        "second",
    ]


@pytest.mark.parametrize("number", [1203, 1204])
async def test_a_token_that_cannot_be_refreshed_is_asked_for_anew(server, connect, number):
    """1203 and 1204 mean: get, do not refresh."""
    server.tokens, server.answers = [http(grant("first")), status(number), http(grant("second"))], [DONE]
    service = connect(server.url)
    await service.stop_job("j1")
    await age(service, 6700)
    await service.stop_job("j1")
    assert [call.target.rsplit("/", 1)[1] for call in server.token_calls] == ["get", "refresh", "get"]


async def test_a_token_at_its_end_is_asked_for_anew(server, connect):
    """After the end there is nothing to refresh."""
    server.tokens, server.answers = [http(grant("first")), http(grant("second"))], [DONE]
    service = connect(server.url)
    await service.stop_job("j1")
    await age(service, 7201)
    await service.stop_job("j1")
    assert [call.target.rsplit("/", 1)[1] for call in server.token_calls] == ["get", "get"]


async def test_a_refused_token_is_renewed_once_for_all(server, connect):
    """Another process may have refreshed it: ask again, once, however many calls were refused."""
    server.tokens = [http(grant("first")), http(grant("second"))]

    async def by_token(call, writer):
        writer.write(DONE if call.headers["apim-accesstoken"] == "second" else REFUSED)
        await writer.drain()

    server.answers = [by_token]
    service = connect(server.url)
    await asyncio.gather(*(service.stop_job(f"j{n}") for n in range(5)))
    assert len(server.token_calls) == 2


async def test_a_token_replaced_meanwhile_is_not_dropped(server, connect):
    """A refusal that comes late concerns the old token."""
    server.tokens, server.answers = [http(grant("first")), http(grant("second"))], [DONE]
    keeper = connect(server.url)._caller.tokens
    first = await keeper.current()
    keeper.refuse(first)
    second = await keeper.current()
    keeper.refuse(first)
    assert await keeper.current() is second


async def test_a_token_refused_twice_is_an_error_of_the_credentials(server, connect):
    """A read stops where a create is rejected."""
    server.answers = [REFUSED]
    with pytest.raises(ServiceError) as caught:
        await connect(server.url).stop_job("j1")
    assert (caught.value.failure, caught.value.http_status) == (Failure.CREDENTIALS, 401)


@pytest.mark.parametrize("number", [1002, 1003, 1004, 1202])
async def test_wrong_credentials_are_permanent(server, connect, number):
    """No retry mends a wrong secret."""
    server.tokens = [status(number)]
    with pytest.raises(ServiceError) as caught:
        await connect(server.url).stop_job("j1")
    error = caught.value
    assert (error.phase, error.platform_code, error.failure) == (Phase.CONNECT, number, Failure.CREDENTIALS)
    assert error.exit_code == 4


async def test_a_token_request_cancelled_leaves_the_others_served(server, connect):
    """Whoever asked first may go; the next in line asks."""
    gone = asyncio.Event()

    async def first_never(call, writer):
        gone.set()
        await asyncio.Event().wait()

    server.tokens, server.answers = [first_never, http(grant())], [DONE]
    service = connect(server.url)
    first, second = (asyncio.create_task(service.stop_job(f"j{n}")) for n in range(2))
    await gone.wait()
    first.cancel()
    await second
    with pytest.raises(asyncio.CancelledError):
        await first


def reply(body: object) -> Answer:
    return Answer(200, json.dumps(body).encode(), "application/json")


@pytest.mark.parametrize(
    ("expire", "lifetime_s"),
    [(7200, 7200), (3600, 3600), ("3600", 3600), (0, 60), (-1, 60), (None, 60), (10**12, 7200)],
)
def test_a_lifetime_is_clipped(expire, lifetime_s):
    """A25: no token is believed for ever, none is asked for every second."""
    result = read_token(reply(grant(expire=expire)))
    assert isinstance(result, Grant)
    assert result.lifetime_s == lifetime_s


def test_a_lifetime_left_out_is_short():
    """A25: without a word on its life a token is renewed soon."""
    result = read_token(reply({"status": 0, "data": {"accessToken": "t"}}))
    assert isinstance(result, Grant)
    assert result.lifetime_s == limits.TOKEN_LIFETIME_S_MIN


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b""),
        Answer(200, b"<html>", "text/html"),
        Answer(200, b'{"status":0}', truncated=True),
        Answer(503, b"{}"),
        reply({"status": "0", "data": {"accessToken": "t"}}),
        reply({"status": False, "data": {"accessToken": "t"}}),
        reply({"status": 0}),
        reply({"status": 0, "data": {"accessToken": ""}}),
        reply({"status": 0, "data": {"accessToken": "a\r\nX: b"}}),
        reply({"status": 0, "data": {"accessToken": "a b"}}),
        reply({"status": 0, "data": {"accessToken": 5}}),
        reply({"status": 0, "data": {"accessToken": "t", "expire": "soon"}}),
        NoResponse("time-out", handed=True),
        NoResponse("name not resolved", handed=False),
    ],
)
def test_no_token_comes_out_of_a_garbled_answer(answer):
    """Only a whole success gives a token, and one that fits into a header; the rest may pass by itself."""
    result = read_token(answer)
    assert isinstance(result, NoToken)
    assert not result.error().failure.is_final


def test_an_unknown_status_keeps_its_message():
    """What the service said is shown, printable."""
    result = read_token(reply({"status": 1999, "msg": "new\nrule"}))
    assert isinstance(result, NoToken)
    assert result.reason == "status 1999: new\\x0arule"


def test_a_throttled_token_service_is_waited_for():
    """429 on the token service passes, after the wait it asks for."""
    result = read_token(Answer(429, b'{"message":"API rate limit exceeded"}', retry_after="9"))
    assert isinstance(result, NoToken)
    assert (result.error().retry_after_s, result.error().failure) == (9.0, Failure.THROTTLED)


# ── secrets ──────────────────────────────────────────────────────────────────────────────────────


def every_form(error: BaseException) -> str:
    """Return all that a careless logger could make of an exception."""
    below = error.__traceback__.tb_next  # the test's own frame knows the secrets, of course
    captured = traceback.TracebackException(type(error), error, below, capture_locals=True)
    forms = [
        repr(error),
        str(error),
        repr(vars(error)),
        "".join(captured.format()),
        repr(pickle.dumps(error.args)),
    ]
    while captured is not None:  # also what is suppressed in print
        assert captured.stack
        forms += [str(frame.locals) for frame in captured.stack]
        captured = captured.__cause__ or captured.__context__
    return "\n".join(forms)


@pytest.mark.parametrize(
    ("tokens", "answers"),
    [
        ([status(1003)], [DONE]),
        ([http({"status": 0, "data": {"accessToken": [TOKEN_CANARY]}})], [DONE]),
        ([http(grant())], [REFUSED]),
        ([http(grant()), status(1003)], [REFUSED]),
        ([http(grant())], [b"\x00garbage\r\n\r\n"]),
        ([http(grant())], [http(b"<html>")]),
        ([http(grant())], [http({}, "302 Found", "Location: https://x.invalid/" + TOKEN_CANARY)]),
        ([http(grant())], [http(envelope({"jobId": 5}))]),
        ([http(grant())], [b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"]),
    ],
    ids=[
        "encryption",
        "odd token",
        "401",
        "401 and no renewal",
        "garbage",
        "page",
        "redirect",
        "odd data",
        "cut",
    ],
)
async def test_no_error_shows_a_secret(server, connect, create_call, tokens, answers):
    """Neither the text of an error nor the locals of its frames hold secret, token or signature."""
    server.tokens, server.answers = tokens, answers
    with pytest.raises(ServiceError) as caught:
        await connect(server.url, read_timeout_s=1.0).get_job("j1")
    shown = every_form(caught.value)
    assert CANARY not in shown
    assert TOKEN_CANARY not in shown
    for call in server.calls:
        assert call.headers["apim-signature"] not in shown


@pytest.mark.parametrize("error", [OSError("disk"), ValueError("bug")])
async def test_a_guard_s_error_carries_nothing_of_the_call(server, connect, create_call, error):
    """It passes through the HTTP client without its frames, whose locals hold the headers."""

    async def guard():
        raise error

    with pytest.raises(type(error)) as caught:
        await connect(server.url).create(create_call, guard)
    shown = every_form(caught.value)
    assert CANARY not in shown
    assert TOKEN_CANARY not in shown


async def test_no_outcome_shows_a_secret(server, connect, create_call, passing):
    """A garbled answer's reason holds nothing of the request."""
    server.answers = [b"\x00garbage\r\n\r\n"]
    shown = repr(await connect(server.url).create(create_call, passing))
    assert CANARY not in shown
    assert TOKEN_CANARY not in shown


async def test_no_part_of_the_service_shows_a_secret(server, connect):
    """Printing the objects around a call tells nothing."""
    server.answers = [DONE]
    service = connect(server.url)
    await service.stop_job("j1")
    parts = [
        service,
        service._caller.tokens,
        service._caller._exchange,
        service._caller,
        service._caller.signed(Secret(TOKEN_CANARY), "x", {"action": "x"}, None),
    ]
    shown = "".join(repr(part) + repr(getattr(part, "__dict__", "")) for part in parts)
    assert CANARY not in shown
    assert TOKEN_CANARY not in shown
