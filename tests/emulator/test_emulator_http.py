"""The emulator over real sockets: tokens, signatures, the nine operations, gateway refusals."""

import json

import aiohttp
import pytest
from emulator_client import FIRMWARE, JOBS, ORG, TOKEN_GET, TOKEN_REFRESH, Client, keys, upgrade, verify

from rollout.emulator.http.gateway import CallQuota, GatewayRules
from rollout.emulator.platform.knobs import Knobs
from rollout.emulator.platform.population import Population
from rollout.enos.signing import encrypt

pytestmark = pytest.mark.anyio

NOW = Knobs(read_lag_s=0, materialise_s=0)
"""A platform whose reads show everything at once."""


async def test_walk_through_of_all_nine_operations(emulator, clock):
    """The order of calls of the platform's own samples succeeds from create to delete."""
    async with emulator(knobs=NOW, population=Population(failed_ratio=1.0)) as (_, client):
        created = await client.create(upgrade(keys(3), maximumConcurrency=1))
        assert created.json.keys() == {"code", "msg", "requestId", "data"}
        job_id = created.data["jobId"]
        assert len(job_id) == 24
        int(job_id, 16)
        job = (await client.call("get", method="GET", jobId=job_id)).data
        assert (job["status"], job["firmwareId"], job["maximumConcurrency"]) == ("started", "fw-2", 1)
        assert job["upgradeScope"]["tags"] is None
        found = await client.call("search", {"expression": "name.defaultValue like 'job-1.'"})
        assert [j["jobId"] for j in found.data] == [job_id]
        assert found.json["pagination"] == {"sortedBy": None, "pageNo": 1, "pageSize": 10, "totalSize": 1}
        assert (await client.call("start", jobId=job_id)).code == 24615
        tasks = await client.call("searchTask", {"expression": f"jobId='{job_id}'"})
        assert sorted(task["deviceKey"] for task in tasks.data) == keys(3)
        assert sorted(task["status"] for task in tasks.data) == ["init", "init", "published"]
        waiting = next(task["deviceKey"] for task in tasks.data if task["status"] == "init")
        cancelled = await client.call("cancelTask", {"deviceKeys": [waiting]}, jobId=job_id)
        assert (cancelled.code, cancelled.data) == (0, None)
        clock.pass_s(7200)
        assert await client.count(f"jobId='{job_id}' and status='failed'") == 3
        assert (await client.call("retryTask", {"deviceKeys": [waiting]}, jobId=job_id)).code == 0
        assert (await client.call("delete", jobId=job_id)).code == 24618
        assert (await client.call("stop", jobId=job_id)).code == 0
        assert (await client.call("delete", jobId=job_id)).code == 0
        gone = await client.call("get", method="GET", jobId=job_id)
        assert (gone.code, gone.json["msg"], gone.data) == (24404, "Job not found", None)
        assert await client.count(f"jobId='{job_id}'") == 0


CODES = {
    "job unknown to start": ("start", None, {"jobId": "no"}, 24404, "Job not found"),
    "job unknown to stop": ("stop", None, {"jobId": "no"}, 24404, "Job not found"),
    "job unknown to delete": ("delete", None, {"jobId": "no"}, 24404, "Job not found"),
    "job unknown to cancel": ("cancelTask", {"deviceKeys": ["d"]}, {"jobId": "no"}, 24404, "Job not found"),
    "job unknown to retry": ("retryTask", {"deviceKeys": ["d"]}, {"jobId": "no"}, 24404, "Job not found"),
    "start a started job": ("start", None, {"jobId": "started"}, 24615, "Job has started"),
    "stop a stopped job": ("stop", None, {"jobId": "stopped"}, 24616, "Job has stopped"),
    "cancel in a stopped job": (
        "cancelTask",
        {"deviceKeys": ["d"]},
        {"jobId": "stopped"},
        24617,
        "Job not running",
    ),
    "retry in a stopped job": (
        "retryTask",
        {"deviceKeys": ["d"]},
        {"jobId": "stopped"},
        24617,
        "Job not running",
    ),
    "delete a started job": (
        "delete",
        None,
        {"jobId": "started"},
        24618,
        "Not allowed to delete running job",
    ),
    "cancel a task at work": (
        "cancelTask",
        {"deviceKeys": ["dev-000000"]},
        {"jobId": "started"},
        24620,
        "Only init or published tasks can be canceled",
    ),
    "retry a task at work": (
        "retryTask",
        {"deviceKeys": ["dev-000000"]},
        {"jobId": "started"},
        24621,
        "Only failed tasks can be retried",
    ),
    "verify everything": (
        "create",
        {"type": "verify", "upgradeScope": {"type": "total"}},
        {"firmwareId": "fw"},
        24611,
        "upgradeScope type total is not allowed for verification task",
    ),
    "verify too many": (
        "create",
        verify(keys(6)),
        {"firmwareId": "fw"},
        24612,
        "Exceeded max verification deviceKeys, max[5]",
    ),
    "no action": (None, {}, {}, 99400, "Invalid Argument: action is missing"),
    "strange action": ("update", {}, {}, 99400, "Invalid Argument: action 'update' is not known for POST"),
    "strange organisation": ("search", {}, {"org": "o9"}, 99400, "Invalid Argument: orgId does not exist"),
    "no organisation": ("search", {}, {"org": None}, 99400, "Invalid Argument: orgId is missing"),
    "no firmware": ("create", upgrade(keys(1)), {}, 99400, "Invalid Argument: firmwareId is missing"),
    "no job": ("stop", None, {}, 99400, "Invalid Argument: jobId is missing"),
    "no body": ("create", None, {"firmwareId": "fw"}, 99400, "Invalid Argument: body is not an object"),
    "no keys": ("cancelTask", {}, {"jobId": "started"}, 99400, "Invalid Argument: deviceKeys is missing"),
    "strange field": (
        "searchTask",
        {"expression": "taskId='1'"},
        {},
        99400,
        "Invalid Argument: unknown field 'taskId' in expression",
    ),
    "page too large": (
        "search",
        {"pagination": {"pageSize": 201}},
        {},
        99400,
        "Invalid Argument: pagination.pageSize is above 200",
    ),
    "sorters": (
        "search",
        {"pagination": {"sorters": [{"field": "name", "order": "ASC"}]}},
        {},
        99400,
        "Invalid Argument: pagination.sorters is not supported",
    ),
    "no permission": ("create", upgrade(keys(1)), {"firmwareId": "denied"}, 99403, "Denied resource: create"),
}


@pytest.mark.parametrize("case", CODES)
async def test_every_refusal_has_its_code_and_text(emulator, clock, case):
    """Each documented code comes with HTTP 200, the literal text, a request id and no data."""
    action, body, query, code, message = CODES[case]
    denied = frozenset({"create"}) if case == "no permission" else frozenset()
    async with emulator(knobs=NOW, denied=denied) as (running, client):
        started = running.platform.create_job(clock(), "fw", upgrade(keys(2)))
        stopped = running.platform.create_job(clock(), "fw", upgrade(keys(2, 10)))
        running.platform.stop_job(clock(), stopped)
        clock.pass_s(30)
        running.service._denied = denied
        named = {"started": started, "stopped": stopped}
        query = {name: named.get(value, value) for name, value in query.items()}
        answer = await client.call(action, body, **query)
        assert answer.status == 200
        assert (answer.code, answer.json["msg"]) == (code, message)
        assert answer.data is None
        assert len(answer.json["requestId"]) == 36


async def test_error_status_can_follow_the_code(emulator):
    """With `error_status` mapped, a refusal's HTTP status is the end of its code, or 409 where a rule forbids the call."""
    async with emulator(knobs=Knobs(error_status="mapped")) as (_, client):
        created = await client.create(upgrade(keys(1)))
        assert (await client.call("start", jobId=created.data["jobId"])).status == 409
        assert (await client.call("stop", jobId="no")).status == 404
        assert (await client.call("stop")).status == 400


@pytest.mark.parametrize(
    ("rules", "spoil", "status"),
    [
        ({}, {}, 200),
        ({}, {"apim-accesstoken": "other"}, 401),
        ({}, {"apim-signature": "0" * 64}, 401),
        ({}, {"apim-timestamp": "soon"}, 401),
        ({"signature": "token"}, {"apim-signature": ""}, 200),
        ({"signature": "token"}, {"apim-accesstoken": "other"}, 401),
        ({"signature": "none"}, {"apim-accesstoken": "anything"}, 200),
        ({"skew_s_max": 60}, {}, 200),
    ],
)
async def test_credentials_are_checked_as_strictly_as_told(emulator, rules, spoil, status):
    """A wrong token, signature or timestamp is a 401 in the gateway's own body shape."""
    async with emulator(rules=GatewayRules(**rules)) as (_, client):
        query = {"action": "search", "orgId": "o00000000000000"}
        headers = client.signed(query, b"{}") | spoil
        answer = await client.send("POST", JOBS, query=query, body=b"{}", headers=headers)
        assert answer.status == status
        if status == 401:
            assert answer.json == {"message": "Invalid authentication credentials"}


async def test_signature_covers_the_very_bytes_of_the_body(emulator):
    """A body that differs from the signed one by a blank is rejected."""
    async with emulator() as (_, client):
        query = {"action": "search", "orgId": "o00000000000000"}
        headers = client.signed(query, b'{"a":1}')
        answer = await client.send("POST", JOBS, query=query, body=b'{"a": 1}', headers=headers)
        assert answer.status == 401


async def test_old_timestamp_is_refused_where_skew_is_bounded(emulator):
    """With a bound on the skew, a correctly signed call from an hour ago is a 401."""
    async with emulator(rules=GatewayRules(skew_s_max=60)) as (_, client):
        real_ms = client.timestamps._now
        client.timestamps._now = lambda: real_ms() - 3600
        client.timestamps._last = 0
        assert (await client.call("search", {})).status == 401


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 0),
        ({"appKey": "other"}, 1002),
        ({"encryption": "0" * 64}, 1003),
        ({"timestamp": "soon"}, 1004),
        ({"appKey": ""}, 1202),
        ({"encryption": None}, 1202),
    ],
)
async def test_token_service_answers_with_its_own_status(emulator, change, status):
    """Each fault of a token request has its documented status, with HTTP 200."""
    async with emulator(log_in=False) as (_, client):
        answer = await client.send("POST", TOKEN_GET, body=json.dumps(client.token_body() | change).encode())
        assert (answer.status, answer.json["status"]) == (200, status)


async def test_token_timestamp_may_be_a_text(emulator):
    """Envision's Java client sends the timestamp as a string; that is taken."""
    async with emulator(log_in=False) as (_, client):
        body = {"appKey": client.access_key, "timestamp": "1600000000000"}
        body["encryption"] = encrypt(client.access_key, "1600000000000", client.secret)
        assert (await client.send("POST", TOKEN_GET, body=json.dumps(body).encode())).json["status"] == 0


async def test_repeated_encryption_is_a_replay(emulator):
    """The same token request twice: 1001 the second time."""
    async with emulator(log_in=False) as (_, client):
        body = json.dumps(client.token_body()).encode()
        assert (await client.send("POST", TOKEN_GET, body=body)).json["status"] == 0
        assert (await client.send("POST", TOKEN_GET, body=body)).json["status"] == 1001


async def test_token_stays_the_same_while_valid_and_refresh_ends_it(emulator):
    """A second get gives the same token; a refresh gives a new one, and the old one is invalid."""
    async with emulator() as (_, client):
        first = client.token
        again = await client.log_in()
        assert client.token == first
        assert 0 < again.json["data"]["expire"] <= 7200
        body = json.dumps(client.token_body(accessToken=first)).encode()
        renewed = (await client.send("POST", TOKEN_REFRESH, body=body)).json["data"]["accessToken"]
        assert renewed != first
        assert (await client.call("search", {})).status == 401
        client.token = renewed
        assert (await client.call("search", {})).code == 0
        body = json.dumps(client.token_body(accessToken=first)).encode()
        assert (await client.send("POST", TOKEN_REFRESH, body=body)).json["status"] == 1204


async def test_unknown_application_gets_no_token(emulator):
    """Another key pair is told that its key is unknown."""
    async with emulator(log_in=False) as (running, client):
        stranger = Client(client.session, running.url, access_key="stranger")
        answer = await stranger.send("POST", TOKEN_GET, body=json.dumps(stranger.token_body()).encode())
        assert answer.json["status"] == 1002


@pytest.mark.parametrize("told", [True, False])
async def test_quota_refuses_the_call_after_the_last(emulator, told):
    """Above the quota: 429 in the gateway's shape, with Retry-After only if so configured, nothing done."""
    async with emulator(rules=GatewayRules(quota=CallQuota(2, 3600, retry_after=told))) as (running, client):
        answers = [await client.create(upgrade(keys(1, n))) for n in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert answers[2].json == {"message": "API rate limit exceeded"}
        assert ("Retry-After" in answers[2].headers) is told
        assert len(running.platform.jobs) == 2


async def test_too_large_a_body_is_refused_by_the_gateway(emulator):
    """Above the size bound: 413 in the gateway's shape, and no job; without a valid token it is 401."""
    async with emulator(rules=GatewayRules(body_bytes_max=1000)) as (running, client):
        answer = await client.create(upgrade(keys(200)))
        assert (answer.status, answer.json) == (413, {"message": "Request size limit exceeded"})
        client.token = "other"
        assert (await client.create(upgrade(keys(200)))).status == 401
        assert not running.platform.jobs


async def test_unreadable_body_is_refused_by_the_gateway(emulator):
    """What is not JSON is a 400 in the gateway's shape."""
    async with emulator() as (_, client):
        query = {"action": "search", "orgId": "o00000000000000"}
        answer = await client.send("POST", JOBS, query=query, body=b"{", headers=client.signed(query, b"{"))
        assert (answer.status, answer.json) == (400, {"message": "Cannot process request body"})


PART = b'--b\r\nContent-Disposition: form-data; name="metadata"\r\n'
MULTIPART = {
    "no boundary": ("multipart/form-data", b"{}"),
    "a boundary that is none": ("multipart/form-data; boundary=" + "b" * 100, b"--b\r\n"),
    "a part with headers that are none": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="\xff\x16"\r\n\r\n1\r\n--b--\r\n',
    ),
    "a part in an unknown encoding": (
        "multipart/form-data; boundary=b",
        PART + b"Content-Transfer-Encoding: rot13\r\n\r\n1\r\n--b--\r\n",
    ),
    "text in an unknown character set": (
        "multipart/form-data; boundary=b",
        PART + b"Content-Type: text/plain; charset=klingon\r\n\r\n1\r\n--b--\r\n",
    ),
}


@pytest.mark.parametrize("case", MULTIPART)
async def test_multipart_that_is_none_is_refused_by_the_gateway(emulator, case):
    """A broken multipart body is a 400 on every path, after the credentials have been checked."""
    content_type, body = MULTIPART[case]
    async with emulator() as (_, client):
        query = {"action": "create", "orgId": ORG}
        headers = client.signed(query, None) | {"Content-Type": content_type}
        answer = await client.send("POST", FIRMWARE, query=query, body=body, headers=headers)
        assert (answer.status, answer.json) == (400, {"message": "Cannot process request body"})
        answer = await client.send("POST", TOKEN_GET, body=body, headers={"Content-Type": content_type})
        assert answer.status == 400
        headers["apim-accesstoken"] = "other"
        assert (await client.send("POST", FIRMWARE, query=query, body=body, headers=headers)).status == 401


async def test_unknown_path_has_no_route(emulator):
    """On any other path than the documented ones the gateway answers 404."""
    async with emulator() as (_, client):
        answer = await client.call("search", {}, path="/connect-service/v2.1/elsewhere")
        assert answer.status == 404
        assert "message" in answer.json


async def test_get_with_an_empty_object_as_body_is_taken(emulator, clock):
    """Envision's Python sample sends `{}` even with get and stop; both work."""
    async with emulator(knobs=NOW) as (_, client):
        job_id = (await client.create(upgrade(keys(1)))).data["jobId"]
        assert (await client.call("get", {}, jobId=job_id)).code == 0
        assert (await client.call("stop", {}, jobId=job_id)).code == 0


async def test_creates_are_counted_as_they_arrive(emulator):
    """Every create call that reaches the socket is stamped, refused ones too."""
    async with emulator() as (running, client):
        await client.create(upgrade(keys(1)))
        client.token = "other"
        await client.create(upgrade(keys(1)))
        assert len(running.platform.meters.arrivals) == 2


async def test_emulator_does_not_listen_to_the_world():
    """A host other than the loopback interface is refused, unless `open_network` is set."""
    from rollout.emulator.http.server import EmulatorConfig
    from rollout.errors import SettingsError

    with pytest.raises(SettingsError):
        EmulatorConfig(host="0.0.0.0")
    EmulatorConfig(host="0.0.0.0", open_network=True)


async def test_stopping_leaves_nothing_behind(emulator):
    """After the block the port is closed."""
    async with emulator() as (running, _):
        url = running.url
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(url)
