"""The record of a firmware: against the emulator, and as its page says."""

import pytest
from scripted_server import envelope, http

from rollout.emulator.http.gateway import DEMO_ACCESS_KEY, DEMO_SECRET_KEY
from rollout.emulator.http.server import EmulatorConfig, serve
from rollout.emulator.platform.knobs import Knobs
from rollout.enos.caller import Caller
from rollout.enos.firmware import FirmwareRecord, read_firmware
from rollout.enos.signing import Secret
from rollout.enos.transport import Transport
from rollout.errors import Failure, ServiceError

pytestmark = pytest.mark.anyio


async def test_a_firmware_that_is_not_there_is_gone():
    """The platform's 24404 names the firmware here, and the caller learns that there is none."""
    async with serve(EmulatorConfig(knobs=Knobs(strict_firmware=True))) as running:
        caller = Caller(
            Transport(running.url),
            org_id=running.config.org_id,
            app_key=DEMO_ACCESS_KEY,
            app_secret=Secret(DEMO_SECRET_KEY),
        )
        with pytest.raises(ServiceError) as caught:
            await read_firmware(caller, "nothing")
        await caller.aclose()
    assert (caught.value.platform_code, caught.value.failure) == (24404, Failure.GONE)


async def test_the_call_is_as_documented(server, connect):
    """Method and query are those of the operation's page."""
    server.answers = [http(envelope({"firmwareId": "f1"}))]
    assert await read_firmware(connect(server.url)._caller, "f1") == FirmwareRecord("f1")
    (call,) = server.calls
    target = "/connect-service/v2.1/ota-firmwares?action=get&firmwareId=f1&orgId=o1"
    assert call.head.startswith(f"GET {target} HTTP/1.1")


async def test_a_record_carries_along_what_is_not_known(server, connect):
    """New fields, numbers in quotes and fields of another type are no reason to fail."""
    told = {"firmwareId": "f1", "fileSize": "93", "isVerified": "soon", "version": 2, "colour": "red"}
    server.answers = [http(envelope(told))]
    assert await read_firmware(connect(server.url)._caller, "f1") == FirmwareRecord(
        "f1", file_size=93, more={"isVerified": "soon", "version": 2, "colour": "red"}
    )


@pytest.mark.parametrize(
    ("record", "needs"),
    [
        (FirmwareRecord("f1", enable_verification=True, is_verified=False), True),
        (FirmwareRecord("f1", enable_verification=True), True),
        (FirmwareRecord("f1", enable_verification=True, is_verified=True), False),
        (FirmwareRecord("f1", enable_verification=False), False),
        (FirmwareRecord("f1"), False),
    ],
)
def test_a_firmware_needs_verification_until_it_is_said_to_be_verified(record, needs):
    """Silence about the result counts as not verified, silence about the duty as none."""
    assert record.needs_verification is needs


async def test_a_success_without_a_firmware_is_unreadable(server, connect):
    """An empty success tells nothing."""
    server.answers = [http(envelope())]
    with pytest.raises(ServiceError) as caught:
        await read_firmware(connect(server.url)._caller, "f1")
    assert caught.value.failure is Failure.UNREADABLE
