"""Firmware calls: a file's whole life against the emulator, and each call as its page says."""

import hashlib
import json
from contextlib import asynccontextmanager
from email.parser import BytesParser
from email.policy import HTTP

import pytest
from scripted_server import CANARY, TOKEN_CANARY, envelope, http

from rollout.core.campaign import JobSpec, Localized
from rollout.core.outcome import Accepted
from rollout.emulator.http.gateway import DEMO_ACCESS_KEY, DEMO_SECRET_KEY
from rollout.emulator.http.server import EmulatorConfig, serve
from rollout.emulator.platform.knobs import Knobs
from rollout.enos.caller import Caller
from rollout.enos.firmware import DeviceVersion, EnosFirmware, FirmwareRecord, Upload
from rollout.enos.service import EnosService
from rollout.enos.signing import Secret, sign
from rollout.enos.transport import Transport
from rollout.errors import Failure, ServiceError, SettingsError
from rollout.ports import CreateCall

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(256)) * 40


def upload(**changes) -> Upload:
    given = {
        "name": "Inverter 2.1",
        "version": "2.1.0",
        "content": CONTENT,
        "file_name": "inverter-2.1.0.bin",
        "enable_verification": False,
    }
    return Upload(**{**given, **changes})


def page(rows, total=None) -> bytes:
    info = {
        "sortedBy": None,
        "pageNo": 1,
        "pageSize": 200,
        "totalSize": len(rows) if total is None else total,
    }
    return http(envelope(rows, pagination=info))


@asynccontextmanager
async def platform(**settings):
    """A platform on a free port whose clock stands still until it is set on, and a caller for it."""
    now = [1_000_000.0]
    config = EmulatorConfig(**{"knobs": Knobs(read_lag_s=0, materialise_s=0), **settings})
    async with serve(config, lambda: now[0]) as running:
        caller = Caller(
            Transport(running.url),
            org_id=config.org_id,
            app_key=DEMO_ACCESS_KEY,
            app_secret=Secret(DEMO_SECRET_KEY),
        )
        try:
            yield caller, now
        finally:
            await caller.aclose()


async def go():
    """A guard that lets everything through."""


async def test_a_firmware_s_whole_life():
    """Uploaded, found, verified by a job, in use, and deleted; each step is seen by the next."""
    fleet = [(f"dev-{n:04d}", {"productKey": "p1", "firmwareVersion": "1.0"}) for n in range(3)]
    async with platform(devices=fleet) as (caller, now):
        firmware, service = EnosFirmware(caller), EnosService(caller)
        names = {"zh_CN": "逆变器"}
        given = upload(enable_verification=True, names=names, desc="Spring", tags={"line": "a"})
        firmware_id = await firmware.create(given, product_key="p1")
        record = await firmware.get(firmware_id)
        assert (record.name, record.names, record.version) == (given.name, names, "2.1.0")
        assert (record.product_key, record.file_size, record.create_time_ms) == ("p1", 10_240, 10**9)
        assert record.more["sign"] == hashlib.sha256(CONTENT).hexdigest()
        assert record.more["desc"] == "Spring"
        assert record.needs_verification
        spec = JobSpec(platform={"type": "verify", "versionNumbers": ["1.0"]})
        create_call = CreateCall(firmware_id, "verify.", Localized("v", {}), spec, b'"dev-0000","dev-0001"')
        outcome = await service.create(create_call, go)
        assert isinstance(outcome, Accepted)
        busy = [device.device_key async for device in firmware.device_versions(is_upgrading=True)]
        assert sorted(busy) == ["dev-0000", "dev-0001"]
        now[0] += 7200
        assert not (await firmware.get(firmware_id)).needs_verification
        assert sorted(await firmware.list_versions("p1")) == ["1.0", "2.1.0"]
        old = [device async for device in firmware.device_versions(product_keys=["p1"], versions=["1.0"])]
        assert [(d.device_key, d.firmware_version, d.is_upgrading) for d in old] == [
            ("dev-0002", "1.0", False)
        ]
        with pytest.raises(ServiceError) as caught:
            await firmware.delete(firmware_id)
        assert caught.value.platform_code == 24604
        await service.stop_job(outcome.job_id)
        await service.delete_job(outcome.job_id)
        await firmware.delete(firmware_id)
        await firmware.delete(firmware_id)
        with pytest.raises(ServiceError) as caught:
            await firmware.get(firmware_id)
        assert caught.value.platform_code == 24404
        assert caught.value.hint == "only if the firmware was uploaded just now"


async def test_firmware_is_found_by_product_state_and_name():
    """All conditions hold together; the name is compared here, case and all."""
    async with platform() as (caller, _):
        firmware = EnosFirmware(caller, page_size=2)
        uploads = [upload(name=f"Inverter {n}", version=f"2.{n}") for n in range(5)]
        ids = [await firmware.create(u, product_key=f"p{n % 2}") for n, u in enumerate(uploads)]

        async def found(**conditions):
            hits = await firmware.search(**conditions)
            assert hits.complete
            return [ids.index(record.firmware_id) for record in hits.rows]

        assert await found() == [4, 3, 2, 1, 0]
        assert await found(product_keys=["p1"]) == [3, 1]
        assert await found(product_keys=["p0", "p1"], name_part="Inverter 2") == [2]
        assert await found(name_part="inverter") == []
        assert await found(is_verified=True, product_keys=["none"]) == []


async def test_an_upload_is_two_parts_and_signed_without_them(server, connect):
    """Metadata and file are form data, and the signature covers the parameters alone."""
    server.answers = [http(envelope({"firmwareId": "f1"}))]
    service = connect(server.url)
    firmware = EnosFirmware(service._caller)
    given = upload(sign_method="md5", verify_devices_max=10, verify_successes_min=3)
    assert await firmware.create(given, product_key="p1") == "f1"
    (call,) = server.calls
    target = "/connect-service/v2.1/ota-firmwares?action=create&productKey=p1&orgId=o1"
    assert call.head.startswith(f"POST {target} HTTP/1.1")
    query = {"action": "create", "productKey": "p1", "orgId": "o1"}
    timestamp = call.headers["apim-timestamp"]
    expected = sign(Secret(TOKEN_CANARY), query, None, timestamp, Secret(CANARY))
    assert call.headers["apim-signature"] == expected
    head = f"Content-Type: {call.headers['content-type']}\r\n\r\n".encode()
    metadata, file = BytesParser(policy=HTTP).parsebytes(head + call.body).iter_parts()
    assert metadata.get_param("name", header="Content-Disposition") == "metadata"
    assert json.loads(metadata.get_payload(decode=True)) == {
        "name": {"defaultValue": "Inverter 2.1", "i18nValue": {}},
        "version": "2.1.0",
        "signMethod": "md5",
        "sign": hashlib.md5(CONTENT).hexdigest(),
        "enableVerification": False,
        "maxAllowedForVerification": 10,
        "minSuccessForVerified": 3,
    }
    assert file.get_param("name", header="Content-Disposition") == "file"
    assert file.get_filename() == "inverter-2.1.0.bin"
    assert file.get_payload(decode=True) == CONTENT


@pytest.mark.parametrize(
    "changes",
    [
        {"file_name": 'a".bin'},
        {"file_name": "a\r\nb"},
        {"file_name": ""},
        {"desc": "x" * 513},
        {"verify_devices_max": 0},
    ],
)
async def test_what_no_platform_takes_is_not_sent(server, connect, changes):
    """A file name that could leave its quotes and values out of range are refused here."""
    with pytest.raises(SettingsError):
        await EnosFirmware(connect(server.url)._caller).create(upload(**changes))
    assert not server.calls


@pytest.mark.parametrize("code", [24601, 24602])
async def test_a_name_or_version_that_exists_is_told(server, connect, code):
    """After a lost answer this is how one learns that the upload took effect."""
    server.answers = [http(envelope(None, code, "already exists"))]
    with pytest.raises(ServiceError) as caught:
        await EnosFirmware(connect(server.url)._caller).create(upload())
    assert (caught.value.platform_code, caught.value.failure) == (code, Failure.REFUSED)
    assert "look the firmware up by its name" in caught.value.hint


async def test_records_carry_along_what_is_not_known(server, connect):
    """New fields, numbers in quotes and fields of another type refuse no page."""
    server.answers = [
        page([{"firmwareId": "f1", "fileSize": "93", "isVerified": "soon", "version": 2, "colour": "red"}]),
        page([{"deviceKey": "d1", "isUpgrading": None, "firmwareVersion": None, "wave": 3}]),
    ]
    firmware = EnosFirmware(connect(server.url)._caller)
    assert (await firmware.search()).rows == (
        FirmwareRecord("f1", file_size=93, more={"isVerified": "soon", "version": 2, "colour": "red"}),
    )
    assert [device async for device in firmware.device_versions()] == [
        DeviceVersion("d1", more={"isUpgrading": None, "wave": 3})
    ]


async def test_each_call_is_as_documented(server, connect):
    """Method, query and body are those of the operation's page."""
    server.answers = [
        http(envelope({"firmwareId": "f1"})),
        http(envelope(["1.0", "2.0", "1.0"])),
        http(envelope()),
        page([]),
        page([]),
    ]
    firmware = EnosFirmware(connect(server.url)._caller)
    await firmware.get("f1")
    assert await firmware.list_versions("p1") == ["1.0", "2.0"]
    await firmware.delete("f1")
    await firmware.search(product_keys=["p1"], is_verified=True, name_part="x")
    assert [d async for d in firmware.device_versions(versions=["1", "2"], is_upgrading=False)] == []
    heads = [
        call.head.split(" HTTP/1.1")[0].replace("/connect-service/v2.1/ota-firmwares", "")
        for call in server.calls
    ]
    assert heads == [
        "GET ?action=get&firmwareId=f1&orgId=o1",
        "GET ?action=listVersion&productKey=p1&orgId=o1",
        "POST ?action=delete&firmwareId=f1&orgId=o1",
        "POST ?action=search&orgId=o1",
        "POST ?action=searchDeviceUpgrade&orgId=o1",
    ]
    assert [json.loads(call.body)["expression"] for call in server.calls[3:]] == [
        "productKey='p1' and isVerified=true and name like 'x'",
        "firmwareVersion in ('1','2') and isUpgrading=false",
    ]
