"""The calls beside the nine: firmware, devices, and the emulator's own admin routes."""

import html
import json
import re

import aiohttp
import pytest
from emulator_client import FIRMWARE, JOBS, TOKEN_GET, TOKEN_REFRESH, keys, upgrade

from rollout.emulator.http.faults import WHAT_FAULTS_DO, FaultPlan
from rollout.emulator.http.gateway import GatewayRules
from rollout.emulator.http.server import EmulatorConfig, serve_forever
from rollout.emulator.http.settings import EXPLAINED, choices
from rollout.emulator.platform.knobs import Knobs

pytestmark = pytest.mark.anyio

NOW = Knobs(read_lag_s=0, materialise_s=0)
METADATA = {
    "name": {"defaultValue": "pump", "i18nValue": {}},
    "version": "2.0",
    "signMethod": "sha256",
    "sign": "ab",
    "enableVerification": False,
}


async def upload(client, metadata, file=b"\0" * 100):
    """Send a firmware as the page describes: multipart, of which only the parameters are signed."""
    query = {"action": "create", "orgId": "o00000000000000", "productKey": "emulated-product"}
    headers = client.signed(query, None)
    del headers["Content-Type"]
    form = aiohttp.FormData()
    form.add_field("metadata", json.dumps(metadata), content_type="application/json")
    if file is not None:
        form.add_field("file", file, filename="pump.bin")
    return await client.send("POST", FIRMWARE, query=query, body=form, headers=headers)


async def test_firmware_from_upload_to_deletion(emulator):
    """A firmware is uploaded, read, found, rolled out, kept while a job uses it, and deleted after."""
    async with emulator(knobs=NOW) as (running, client):
        firmware = (await upload(client, METADATA)).data["firmwareId"]
        record = (await client.call("get", path=FIRMWARE, method="GET", firmwareId=firmware)).data
        assert (record["version"], record["fileSize"], record["isVerified"]) == ("2.0", 100, False)
        found = await client.call("search", {"expression": "name like 'PUMP'"}, path=FIRMWARE)
        assert [f["firmwareId"] for f in found.data] == [firmware]
        job = (await client.create(upgrade(keys(1)), firmware)).data["jobId"]
        assert (await client.call("delete", path=FIRMWARE, firmwareId=firmware)).code == 24604
        working = await client.call("searchDeviceUpgrade", {"expression": "isUpgrading=true"}, path=FIRMWARE)
        assert [d["deviceKey"] for d in working.data] == keys(1)
        running.service.advance()
        await client.call("stop", jobId=job)
        await client.call("delete", jobId=job)
        assert (await client.call("delete", path=FIRMWARE, firmwareId=firmware)).code == 0
        gone = await client.call("get", path=FIRMWARE, method="GET", firmwareId=firmware)
        assert (gone.code, gone.json["msg"]) == (24404, "Firmware not found")


async def test_upload_without_its_parts_is_refused(emulator):
    """An upload lacking its file, or with metadata that is no JSON object, is 99400."""
    async with emulator() as (_, client):
        assert (await upload(client, METADATA, file=None)).code == 99400
        assert (await upload(client, [])).code == 99400
        assert (await client.call("create", {}, path=FIRMWARE)).code == 99400


async def test_versions_are_listed_by_product(emulator):
    """ListVersion gives the versions reported by a product's devices, by GET or POST."""
    devices = [("dev-0001", {"firmwareVersion": "1.0"}), ("dev-0002", {"firmwareVersion": "1.1"})]
    async with emulator(devices=devices) as (_, client):
        for method in ("GET", "POST"):
            answer = await client.call(
                "listVersion", path=FIRMWARE, method=method, productKey="emulated-product"
            )
            assert answer.data == ["1.0", "1.1"]


@pytest.mark.parametrize("version", ["v2.1", "v2.4"])
async def test_device_search_on_both_paths(emulator, version):
    """Devices are searched on either version's path, up to 1,000 a page."""
    async with emulator(devices=[(key, {}) for key in keys(300)]) as (_, client):
        path = f"/connect-service/{version}/devices"
        answer = await client.call("search", {"pagination": {"pageSize": 1000}}, path=path)
        assert len(answer.data) == answer.json["pagination"]["totalSize"] == 300
        assert (await client.call("search", {"pagination": {"pageSize": 1001}}, path=path)).code == 99400


async def test_admin_state_tells_the_truth(emulator, clock):
    """The state shows jobs, counts, maxima, doubled names and the last calls, without read lag."""
    async with emulator(knobs=Knobs(materialise_s=0), faults=FaultPlan.parse(["duplicate_delivery=1"])) as (
        _,
        client,
    ):
        await client.create(upgrade(keys(5), maximumConcurrency=2))
        state = (await client.send("GET", "/_admin/state")).json
        assert state["jobs"] == 2
        assert state["tasks"] == {"init": 6, "published": 4, "upgrading": 0, "succeeded": 0, "failed": 0}
        assert state["inProgress"] == state["inProgressMax"] == 4
        assert state["jobsWithSameName"] == {"job-1.": 2}
        assert state["creates"] == 1
        assert state["faults"] == [{"fault": "duplicate_delivery=1", "struck": 1}]
        assert state["calls"][0]["action"] == "create"
        assert len((await client.send("GET", "/_admin/state?jobs=1")).json["newestJobs"]) == 1


async def test_admin_page_escapes_what_callers_sent(emulator):
    """A job name with markup, and whatever else callers or the log could hold, is shown as text."""
    async with emulator() as (_, client):
        await client.create(upgrade(keys(1), name="<script>alert(1)</script>"))
        query = {"action": "search<img>", "orgId": "o00000000000000", "note": "'><u>"}
        spoilt = client.signed(query, b"{}") | {"apim-signature": "0"}
        await client.send("POST", JOBS, query=query, body=b"{}", headers=spoilt)
        page = await client.send("GET", "/_admin")
        assert page.headers["Content-Type"].startswith("text/html")
        assert "&lt;script&gt;" in page.text
        assert "&lt;u&gt;" in page.text
        for markup in ("<script", "<img", "<u>"):
            assert markup not in page.text


async def test_admin_page_runs_nothing_and_loads_nothing(emulator):
    """The policy of the page allows its own style sheet and forms alone, and the page keeps to it."""
    async with emulator() as (_, client):
        page = await client.send("GET", "/_admin?refresh=1")
        assert "default-src 'none'; style-src 'self'" in page.headers["Content-Security-Policy"]
        assert not re.findall(r"\bstyle=|\bon\w+=|https?://", page.text)
        (sheet,) = re.findall(r'<link rel="stylesheet" href="([^"]+)"', page.text)
        assert (await client.send("GET", sheet)).headers["Content-Type"].startswith("text/css")
        assert 'http-equiv="refresh"' in page.text
        assert 'http-equiv="refresh"' not in (await client.send("GET", "/_admin")).text


async def test_admin_page_shows_all_there_is(emulator, clock):
    """The page shows jobs with counts, every knob with its choices, every fault, and calls with their signatures."""
    plan = FaultPlan.parse(["error_503=1,on=stop"])
    async with emulator(knobs=NOW, faults=plan) as (_, client):
        await client.create(upgrade(keys(3), name="wave-7", maximumConcurrency=1))
        await client.call("stop", jobId="x")
        page = (await client.send("GET", "/_admin")).text
        assert "wave-7" in page
        assert "<title>2 init, 1 published</title>" in page
        for name, what in EXPLAINED.items():
            assert f'name="{name}"' in page
            assert html.escape(what) in page
            assert all(re.search(f"<option(?: selected)?>{word}</option>", page) for word in choices(name))
        assert all(html.escape(what) in page for what in WHAT_FAULTS_DO.values())
        assert page.count("class='turned'") == len({"read_lag_s", "materialise_s", "any_device"})
        assert "error_503=1,on=stop</textarea>" in page


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        ({}, "good"),
        ({"apim-accesstoken": ""}, "refused: no apim-accesstoken"),
        ({"apim-accesstoken": "x"}, "refused: token unknown or expired"),
        ({"apim-timestamp": ""}, "refused: no apim-timestamp"),
        ({"apim-timestamp": "soon"}, "refused: apim-timestamp is no number"),
        ({"apim-timestamp": "1600000000000"}, r"refused: apim-timestamp is -[0-9.]+ s off"),
        (
            {"apim-signature": "0" * 64},
            r"refused: signature is not that of TOKEN \+ actionsearchorgIdo00000000000000 \+ BODY \+ [0-9]+ \+ SECRET",
        ),
    ],
)
async def test_request_log_says_what_was_wrong_with_a_signature(emulator, spoil, why):
    """The request log, not the reply, says which part of a signature is wrong; it shows no secret."""
    async with emulator(rules=GatewayRules(skew_s_max=60)) as (running, client):
        query = {"action": "search", "orgId": "o00000000000000"}
        headers = client.signed(query, b"{}") | spoil
        await client.send("POST", JOBS, query=query, body=b"{}", headers=headers)
        seen = running.service.calls[-1].signature
        assert re.fullmatch(why, seen)
        assert client.token not in seen


async def test_admin_is_called_by_address_only(emulator):
    """Under a Host name other than localhost, neither page nor state nor knobs are given (DNS rebinding)."""
    async with emulator() as (_, client):
        port = client.url.rpartition(":")[2]
        for method, path in (("GET", "/_admin"), ("GET", "/_admin/state"), ("POST", "/_admin/knobs")):
            headers = {"Host": f"rebound.example:{port}"}
            assert (await client.send(method, path, body=b"{}", headers=headers)).status == 403
            headers = {"Host": f"localhost:{port}"}
            assert (await client.send(method, path, body=b"{}", headers=headers)).status == 200


async def test_knobs_turn_at_run_time(emulator):
    """Knobs posted to the admin route, as JSON or from the form, are set from then on; wrong ones change nothing."""
    async with emulator() as (running, client):
        answer = await client.send(
            "POST", "/_admin/knobs", body=b'{"read_lag_s": 0, "batch_errors": "partial_error"}'
        )
        assert answer.json["read_lag_s"] == 0
        wrong = await client.send("POST", "/_admin/knobs", body=b'{"read_lag_s": "long"}')
        assert (wrong.status, "read_lag_s is a time" in wrong.text) == (400, True)
        form = aiohttp.FormData({"read_lag_s": "3"})
        assert (await client.send("POST", "/_admin/knobs", body=form)).status == 200
        assert running.platform.knobs.read_lag_s == 3
        assert running.platform.knobs.batch_errors == "partial_error"


async def test_knobs_of_the_gateway_turn_at_run_time(emulator):
    """Flow control, signatures and skew are set by name like other knobs; a wrong value changes nothing."""
    async with emulator() as (running, client):

        async def turn(**settings):
            return await client.send("POST", "/_admin/knobs", body=json.dumps(settings).encode())

        assert (await turn(quota="1/h+retry", skew_s_max=30, read_lag_s=1)).json["quota"] == "1/h+retry"
        assert (await client.call("search", {})).status == 200
        turned = await client.call("search", {})
        assert (turned.status, "Retry-After" in turned.headers) == (429, True)
        assert (await turn(quota="none", signature="sometimes")).status == 400
        assert (await client.call("search", {})).status == 429
        assert (await turn(quota=None, signature="none", read_lag_s=5)).json["skew_s_max"] == 30
        client.token = "anything"
        assert (await client.call("search", {})).status == 200
        assert running.platform.knobs.read_lag_s == 5
        assert (await turn(body_bytes_max=100)).json["body_bytes_max"] == 100
        assert (await client.create(upgrade(keys(50)))).status == 413
        assert (await turn(body_bytes_max=5000)).status == 200
        assert (await client.create(upgrade(keys(50)))).code == 0


async def test_rules_of_the_token_service(emulator):
    """Knobs: a repeated encryption passes, a get makes another token, a refreshed token stays valid."""
    rules = {"encryption_replay": "accept", "get_while_valid": "new", "old_after_refresh": "lives"}
    async with emulator(rules=GatewayRules(**rules)) as (_, client):
        first = client.token
        body = json.dumps(client.token_body()).encode()
        replies = [(await client.send("POST", TOKEN_GET, body=body)).json for _ in range(2)]
        assert [reply["status"] for reply in replies] == [0, 0]
        assert len({first, *(reply["data"]["accessToken"] for reply in replies)}) == 3
        assert (await client.call("search", {})).status == 401
        client.token = replies[1]["data"]["accessToken"]
        refresh = json.dumps(client.token_body(accessToken=client.token)).encode()
        renewed = (await client.send("POST", TOKEN_REFRESH, body=refresh)).json["data"]["accessToken"]
        for token in (client.token, renewed):
            client.token = token
            assert (await client.call("search", {})).code == 0


@pytest.mark.parametrize(("knob", "absent"), [("null", False), ("absent", True)])
async def test_error_data_is_null_or_absent(emulator, knob, absent):
    """A refusal's data is null, or left out of the envelope."""
    async with emulator(knobs=Knobs(error_data=knob)) as (_, client):
        answer = await client.call("stop", jobId="no")
        assert ("data" not in answer.json) is absent
        assert answer.json["code"] == 24404


async def test_faults_turn_at_run_time(emulator):
    """Faults posted to the admin route replace the plan; unreadable ones are refused and change nothing."""
    async with emulator() as (running, client):
        assert (
            await client.send("POST", "/_admin/faults", body=b'{"faults": ["error_503=1"]}')
        ).status == 200
        assert (await client.create(upgrade(keys(1)))).status == 503
        assert (await client.send("POST", "/_admin/faults", body=b'{"faults": ["gremlin=1"]}')).status == 400
        assert (await client.send("POST", "/_admin/faults", body=b'{"faults": 7}')).status == 400
        assert (await client.create(upgrade(keys(1)))).status == 503
        await client.send("POST", "/_admin/faults", body=aiohttp.FormData({"faults": "delay=1\nreset=0.5"}))
        assert [str(fault) for fault in running.service.faults.plan.faults] == ["delay=1", "reset=0.5"]


async def test_devices_report_through_the_admin_route(emulator):
    """A posted device is registered with its columns; anything but texts is refused."""
    async with emulator(knobs=NOW) as (running, client):
        body = b'{"deviceKey": "dev-0001", "firmwareVersion": "1.0", "site": "ulm"}'
        assert (await client.send("POST", "/_admin/devices", body=body)).status == 200
        assert running.platform.devices.row(0) == {"firmwareVersion": "1.0", "site": "ulm"}
        for wrong in (b'{"deviceKey": 1}', b'{"site": "ulm"}', b"[]", b"{"):
            assert (await client.send("POST", "/_admin/devices", body=wrong)).status == 400


async def test_pages_of_other_origins_may_not_post(emulator):
    """A post from a page of another origin is refused."""
    async with emulator() as (_, client):
        headers = {"Origin": "http://elsewhere.example"}
        assert (await client.send("POST", "/_admin/knobs", body=b"{}", headers=headers)).status == 403


async def test_stand_alone_emulator_says_where_it_is():
    """serve_forever announces address, pace and the demonstration's keys, and ends when cancelled."""
    import anyio

    said = []
    async with anyio.create_task_group() as tasks:
        with anyio.fail_after(10):

            def announce(line):
                said.append(line)
                if len(said) == 2:
                    tasks.cancel_scope.cancel()

            await serve_forever(EmulatorConfig(speed=600), announce)
    assert "http://127.0.0.1:" in said[0]
    assert "1 s here = 10 min there" in said[0]
    assert "demo-access-key" in said[1]
