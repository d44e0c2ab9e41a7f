"""Faults: for each kind, what the caller sees and whether the call has taken effect."""

import asyncio
import json

import aiohttp
import pytest
from emulator_client import TOKEN_GET, keys, upgrade

from rollout.emulator.http.faults import Fault, FaultKind, FaultPlan, Faults
from rollout.emulator.platform.knobs import Knobs

pytestmark = pytest.mark.anyio

NOW = Knobs(read_lag_s=0, materialise_s=0)

NO_ANSWER = "no answer"

RESULTS = {
    FaultKind.COMMIT_THEN_DROP: (NO_ANSWER, 1),
    FaultKind.COMMIT_THEN_RESET: (NO_ANSWER, 1),
    FaultKind.COMMIT_THEN_500: (500, 1),
    FaultKind.COMMIT_THEN_502: (502, 1),
    FaultKind.COMMIT_THEN_503: (503, 1),
    FaultKind.COMMIT_THEN_504: (504, 1),
    FaultKind.COMMIT_THEN_24500: (24500, 1),
    FaultKind.COMMIT_THEN_99500: (99500, 1),
    FaultKind.DROP_BEFORE_COMMIT: (NO_ANSWER, 0),
    FaultKind.RESET: (NO_ANSWER, 0),
    FaultKind.ERROR_400: (400, 0),
    FaultKind.ERROR_403: (403, 0),
    FaultKind.ERROR_413: (413, 0),
    FaultKind.ERROR_500: (500, 0),
    FaultKind.ERROR_502: (502, 0),
    FaultKind.ERROR_503: (503, 0),
    FaultKind.ERROR_504: (504, 0),
    FaultKind.ERROR_24500: (24500, 0),
    FaultKind.ERROR_99404: (99404, 0),
    FaultKind.ERROR_99500: (99500, 0),
    FaultKind.HTTP_429: (429, 0),
    FaultKind.UNAUTHORIZED: (401, 0),
    FaultKind.APIM_4011: ("no code", 0),
    FaultKind.APIM_4012: ("no code", 0),
    FaultKind.DELAY: (NO_ANSWER, 0),
    FaultKind.SLOW_ANSWER: (0, 1),
    FaultKind.TRUNCATED: ("not JSON", 1),
    FaultKind.HALF_CLOSED: (NO_ANSWER, 1),
    FaultKind.DUPLICATE_DELIVERY: (0, 2),
}
"""What the caller sees of a struck create, and how many jobs there are afterwards."""

ELSEWHERE = {FaultKind.ERROR_1005, FaultKind.ERROR_1203, FaultKind.READ_LAG}
"""Faults that strike other calls than create; each has a test of its own."""

GATEWAYS_OWN = {
    FaultKind.ERROR_400: "Cannot process request body",
    FaultKind.ERROR_403: "Your IP address is not allowed",
    FaultKind.ERROR_413: "Request size limit exceeded",
    FaultKind.HTTP_429: "API rate limit exceeded",
    FaultKind.ERROR_500: "An unexpected error occurred",
    FaultKind.ERROR_503: "Service unavailable",
    FaultKind.UNAUTHORIZED: "Invalid authentication credentials",
}


async def _create(client):
    try:
        answer = await client.create(upgrade(keys(2)))
    except aiohttp.ClientError:
        return NO_ANSWER
    if answer.status != 200:
        return answer.status
    try:
        return answer.json.get("code", "no code")
    except ValueError:
        return "not JSON"


@pytest.mark.parametrize("kind", RESULTS)
async def test_each_fault_does_what_its_name_says(emulator, kind):
    """What the caller sees and how many jobs exist is fixed for every kind of fault."""
    plan = FaultPlan((Fault(kind, 1.0),))
    async with emulator(knobs=NOW, faults=plan) as (running, client):
        seen = await _create(client)
        assert (seen, len(running.platform.jobs)) == RESULTS[kind]
        assert running.service.calls[-1].fault == kind


def test_every_fault_has_its_test():
    """No kind of fault is left out."""
    assert RESULTS.keys() | ELSEWHERE == set(FaultKind)


@pytest.mark.parametrize("kind", GATEWAYS_OWN)
async def test_gateway_refuses_in_its_own_shape(emulator, kind):
    """The gateway's published statuses come with its text in `message` and without the platform's envelope."""
    async with emulator(faults=FaultPlan((Fault(kind, 1.0),))) as (_, client):
        answer = await client.create(upgrade(keys(1)))
        assert answer.json == {"message": GATEWAYS_OWN[kind]}


@pytest.mark.parametrize("kind", [FaultKind.ERROR_502, FaultKind.COMMIT_THEN_504])
async def test_proxies_answer_with_a_page(emulator, kind):
    """A proxy in front of the gateway answers with an HTML page."""
    async with emulator(faults=FaultPlan((Fault(kind, 1.0),))) as (_, client):
        answer = await client.create(upgrade(keys(1)))
        assert answer.headers["Content-Type"] == "text/html"
        assert answer.text.startswith("<html>")


@pytest.mark.parametrize(("kind", "status"), [(FaultKind.ERROR_1005, 1005), (FaultKind.ERROR_1203, 1203)])
async def test_token_service_fails_by_its_own_status(emulator, kind, status):
    """A struck token request gets HTTP 200 with the status and no token; other calls are not struck."""
    async with emulator(faults=FaultPlan((Fault(kind, 1.0, limit=1),)), log_in=False) as (_, client):
        answer = await client.send("POST", TOKEN_GET, body=json.dumps(client.token_body()).encode())
        assert (answer.status, answer.json["status"], answer.data) == (200, status, None)
        await client.log_in()
        assert (await client.create(upgrade(keys(1)))).code == 0


async def test_read_lag_holds_searches_back(emulator, clock):
    """After a struck search all searches show the state of that moment, for at most the fault's seconds."""
    plan = FaultPlan.parse(["read_lag=1,limit=1,seconds=30"])
    async with emulator(knobs=NOW, faults=plan, seed=2) as (_, client):

        async def seen():
            return (await client.call("search", {})).json["pagination"]["totalSize"]

        assert await seen() == 0
        await client.create(upgrade(keys(1)))
        late = 0
        while await seen() == 0:
            clock.pass_s(1)
            late += 1
        assert 1 < late < 30
        await client.create(upgrade(keys(1, 1)))
        assert await seen() == 2


async def test_delayed_create_takes_effect_later(emulator, clock):
    """A delayed create makes its job once the delay is over on the emulator's clock, not before."""
    async with emulator(knobs=NOW, faults=FaultPlan.parse(["delay=1,seconds=20"])) as (running, client):
        assert await _create(client) == NO_ANSWER
        clock.pass_s(19.9)
        running.service.advance()
        assert not running.platform.jobs
        clock.pass_s(0.1)
        found = await client.call("search", {"expression": "name like 'job-1.'"})
        assert found.json["pagination"]["totalSize"] == 1


async def test_revoked_token_is_replaced_by_a_new_one(emulator):
    """After a 401 in mid-run the old token stays invalid; a new one can be fetched at once."""
    async with emulator(faults=FaultPlan.parse(["unauthorized=1,limit=1"])) as (_, client):
        assert (await client.create(upgrade(keys(1)))).status == 401
        assert (await client.create(upgrade(keys(1)))).status == 401
        old = client.token
        await client.log_in()
        assert client.token != old
        assert (await client.create(upgrade(keys(1)))).code == 0


async def test_retry_after_is_told_if_the_fault_has_seconds(emulator):
    """A 429 carries Retry-After with the fault's seconds, and none without."""
    async with emulator(faults=FaultPlan.parse(["http_429=1,seconds=7,limit=1", "http_429=1"])) as (
        _,
        client,
    ):
        assert (await client.create(upgrade(keys(1)))).headers["Retry-After"] == "7"
        assert "Retry-After" not in (await client.create(upgrade(keys(1)))).headers


async def test_fault_strikes_only_its_operations_in_its_window(emulator, clock):
    """A fault strikes its operations only, and only within its window; all other calls are answered as usual."""
    plan = FaultPlan.parse(["error_503=1,on=search+token,from=10,until=20"])
    async with emulator(faults=plan) as (_, client):
        assert (await client.call("search", {})).status == 200
        clock.pass_s(10)
        assert (await client.call("search", {})).status == 503
        assert (await client.create(upgrade(keys(1)))).status == 200
        clock.pass_s(10)
        assert (await client.call("search", {})).status == 200


async def test_concurrent_callers_get_their_own_faults(emulator):
    """One call in five is struck, whoever makes it, and every struck create still has its job."""
    plan = FaultPlan.parse(["commit_then_drop=0.2"])
    async with emulator(knobs=NOW, faults=plan, seed=3) as (running, client):
        seen = await asyncio.gather(*(_create(client) for _ in range(50)))
        assert len(running.platform.jobs) == 50
        assert seen.count(NO_ANSWER) == running.service.faults.struck[0] > 0


def test_same_seed_strikes_the_same_calls():
    """Which of a row of calls are struck depends on the seed alone; about as many as the probability says."""
    plan = FaultPlan.parse(["commit_then_drop=0.2"])

    def row(seed):
        faults = Faults(plan, seed)
        return [faults.draw("create", 0.0) is not None for _ in range(1000)]

    assert row(1) == row(1) != row(2)
    assert 150 < sum(row(1)) < 250


@pytest.mark.parametrize(
    "text",
    [
        "commit_then_drop=0.2",
        "delay=0.5,seconds=20",
        "error_503=1,on=get+search,from=5,until=60.5,limit=3",
        "http_429=0.1",
        "delay=0.1234567,from=1234567.5",
        "error_1005=0.5",
        "read_lag=0.2,on=searchTask,seconds=10",
    ],
)
def test_faults_read_what_they_write(text):
    """A fault written as text is read back as the same fault."""
    assert str(Fault.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("gremlin=0.1", "no fault is called 'gremlin'"),
        ("delay=2", "0 to 1"),
        ("delay=x", "could not convert"),
        ("delay=1,on=everything", "no operation everything"),
        ("delay=1,often=3", "no option often"),
        ("delay=1,limit=-1", "cannot be negative"),
        ("delay=1,seconds=1e400", "are finite"),
        ("error_503=1,on=search+get,from=60,until=nan", "are finite"),
        ("error_1005=1,on=create", "strikes the token service only"),
        ("error_24500=1,on=token", "no status of the token service"),
    ],
)
def test_unreadable_faults_say_why(text, why):
    """A text that is no fault is refused; the message says what is wrong and what is allowed."""
    with pytest.raises(ValueError, match=why):
        Fault.parse(text)
