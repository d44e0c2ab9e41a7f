"""Devices from EnOS's own search: every one once, or an error."""

import json

import pytest
from scripted_server import envelope, http

from rollout.emulator.http.gateway import DEMO_ACCESS_KEY, DEMO_SECRET_KEY
from rollout.emulator.http.server import EmulatorConfig, serve
from rollout.emulator.platform.knobs import Knobs
from rollout.enos import limits
from rollout.enos.caller import Caller
from rollout.enos.devices import EnosDevices
from rollout.enos.signing import Secret
from rollout.enos.transport import Transport
from rollout.errors import ServiceError

pytestmark = pytest.mark.anyio


def page(rows, total=None, number=1) -> bytes:
    total = len(rows) if total is None else total
    info = {"sortedBy": None, "pageNo": number, "pageSize": 2, "totalSize": total}
    return http(envelope(rows, pagination=info))


def device(number, **more):
    return {"assetId": f"a{number}", "deviceKey": f"d{number}", **more}


async def keys(service, **settings):
    devices = EnosDevices(service._caller, **{"page_size": 2, **settings})
    return [key async for key, _ in devices.search("productKey='p1'")]


@pytest.mark.parametrize(("version", "size"), [("v2.4", 500), ("v2.1", 200)])
async def test_the_search_is_as_documented(server, connect, version, size):
    """Path, query and body are those of either page."""
    server.answers = [page([device(1)])]
    assert await keys(connect(server.url), version=version, page_size=None) == ["d1"]
    (call,) = server.calls
    assert call.head.startswith(f"POST /connect-service/{version}/devices?action=search&orgId=o1 HTTP/1.1")
    assert json.loads(call.body) == {
        "expression": "productKey='p1'",
        "pagination": {"pageNo": 1, "pageSize": size},
    }


async def test_all_pages_come_in_order(server, connect):
    """One reading suffices where nothing changes."""
    server.answers = [
        page([device(1), device(2)], 5, 1),
        page([device(3), device(4)], 5, 2),
        page([device(5)], 5, 3),
    ]
    assert await keys(connect(server.url)) == ["d1", "d2", "d3", "d4", "d5"]
    assert len(server.calls) == 3


async def test_a_device_shifted_to_the_next_page_comes_once(server, connect):
    """A device made meanwhile repeats a row; the pages are read again, and the new one is not missed."""
    server.answers = [
        page([device(2), device(1)], 3, 1),
        page([device(1), device(0)], 4, 2),
        page([], 4, 3),
        page([device(3), device(2)], 4, 1),
        page([device(1), device(0)], 4, 2),
    ]
    assert await keys(connect(server.url)) == ["d2", "d1", "d0", "d3"]


async def test_a_device_skipped_by_a_deletion_comes_later(server, connect):
    """Rows that moved up between two pages are met in another reading."""
    server.answers = [
        page([device(4), device(3)], 4, 1),
        page([device(1)], 3, 2),
        page([], 3, 3),
        page([device(4), device(2)], 3, 1),
        page([device(1)], 3, 2),
    ]
    assert await keys(connect(server.url)) == ["d4", "d3", "d1", "d2"]


async def test_equal_keys_of_two_products_are_two_devices(server, connect):
    """Asset ids tell devices apart; without them, product and key do."""
    rows = [
        {"deviceKey": "d1", "productKey": "p1"},
        {"deviceKey": "d1", "productKey": "p2"},
        {"deviceKey": "d1", "productKey": "p1"},
        {"assetId": "a1", "deviceKey": "d1"},
        {"assetId": "a2", "deviceKey": "d1"},
        {"assetId": "a1", "deviceKey": "d1"},
    ]
    server.answers = [page(rows, 4)]
    assert await keys(connect(server.url)) == ["d1"] * 4


@pytest.mark.parametrize(
    "answer",
    [page([device(1)], 2), http(envelope([device(1)])), page([device(1)], 1, 7), page([device(1)], 0)],
    ids=["rows missing", "no total", "another page", "more rows than the total"],
)
async def test_pages_that_never_agree_are_an_error(server, connect, answer):
    """A list that may lack a device is none; and nobody reads for ever."""
    server.answers = [answer]
    seen = []

    async def collect():
        async for key, _ in EnosDevices(connect(server.url)._caller, page_size=2).search():
            seen.append(key)

    with pytest.raises(ServiceError, match="never agreed: 1 seen"):
        await collect()
    assert seen == ["d1"]
    assert len(server.calls) <= 2 * limits.STREAM_PASSES_MAX


async def test_columns_are_named_as_in_expressions(server, connect):
    """Every field is a text, tags and attributes one each; nothing a device signs on with is among them."""
    server.answers = [
        page(
            [
                device(
                    1,
                    productKey="p1",
                    firmwareVersion="1.10",
                    deviceName={"defaultValue": "Inverter", "i18nValue": {"zh_CN": "逆变器"}},
                    deviceTags={"site": "s1", "empty": None},
                    deviceAttributes={"ratedPower": 5.5, "grid": True, "place": {"lat": 1}, "name": "n"},
                    createTime=7,
                    modelId=None,
                    deviceSecret="canary-secret",
                    sessionKey="canary-key",
                    newField=["x"],
                )
            ]
        )
    ]
    ((key, columns),) = [found async for found in EnosDevices(connect(server.url)._caller).search()]
    assert key == "d1"
    assert columns == {
        "assetId": "a1",
        "productKey": "p1",
        "firmwareVersion": "1.10",
        "deviceName": "Inverter",
        "deviceTags.site": "s1",
        "deviceAttributes.ratedPower": "5.5",
        "deviceAttributes.grid": "true",
        "deviceAttributes.place": '{"lat":1}',
        "deviceAttributes.name": "n",
        "createTime": "7",
        "newField": '["x"]',
    }


async def test_a_wrong_expression_is_told(server, connect):
    """The platform's refusal reaches the caller, with its code."""
    server.answers = [http(envelope(None, 99400, "Invalid Argument: colour"))]
    with pytest.raises(ServiceError, match="Invalid Argument: colour") as caught:
        await keys(connect(server.url))
    assert caught.value.platform_code == 99400


@pytest.mark.parametrize("version", ["v2.1", "v2.4"])
async def test_the_emulator_s_fleet_is_listed(version):
    """Against the emulator, over HTTP: exactly the devices that match, with their columns."""
    fleet = [
        (f"dev-{n:04d}", {"productKey": f"p{n % 2}", "site": f"s{n % 4}", "attributes.power": str(n)})
        for n in range(1_100)
    ]
    config = EmulatorConfig(devices=fleet, knobs=Knobs(read_lag_s=0))
    async with serve(config) as running:
        caller = Caller(
            Transport(running.url),
            org_id=config.org_id,
            app_key=DEMO_ACCESS_KEY,
            app_secret=Secret(DEMO_SECRET_KEY),
        )
        devices = EnosDevices(caller, version=version)
        everything = [key async for key, _ in devices.search()]
        found = {key: row async for key, row in devices.search("productKey='p1' and deviceTags.site='s3'")}
        await caller.aclose()
    assert sorted(everything) == [key for key, _ in fleet]
    assert sorted(found) == [key for key, row in fleet if row["site"] == "s3"]
    assert found["dev-0003"]["deviceAttributes.power"] == "3"
    assert found["dev-0003"]["deviceTags.site"] == "s3"
