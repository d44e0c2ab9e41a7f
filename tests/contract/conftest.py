"""Fixtures of the contract: the tenant, and emulators whose behaviour a test chooses."""

import json
import time

import anyio.from_thread
import pytest
from contract_caller import Caller
from contract_tenant import DEVICES, FLEET, ORG, PRODUCT, SELECTORS, Tenant, metadata, real_tenant, setting

from rollout.emulator.http.gateway import DEMO_ACCESS_KEY, DEMO_SECRET_KEY
from rollout.emulator.http.server import EmulatorConfig, serve
from rollout.emulator.platform.knobs import Knobs


@pytest.fixture(scope="session")
def portal():
    """A thread in which emulators serve."""
    with anyio.from_thread.start_blocking_portal("asyncio") as running:
        yield running


class HandClock:
    """Time that starts now and stands still until it is set on."""

    def __init__(self):
        self.now = time.time()

    def __call__(self):
        return self.now

    def pass_s(self, seconds):
        self.now += seconds


@pytest.fixture
def emulated(portal):
    """Start an emulator with settings of the test's own and return its tenant; on a real organisation, skip."""
    if setting("URL"):
        pytest.skip("on an emulator only: a real platform cannot be told to behave so")
    held = []

    def start(**settings):
        clock = HandClock()
        config = EmulatorConfig(
            org_id=ORG, **{"devices": FLEET, "knobs": Knobs(strict_firmware=True)} | settings
        )
        block = portal.wrap_async_context_manager(serve(config, clock))
        running = block.__enter__()
        held.append(block)
        caller = Caller(running.url, DEMO_ACCESS_KEY, DEMO_SECRET_KEY, ORG)

        def control(page, body):
            headers = {"Content-Type": "application/json"}
            answer = caller.send("POST", f"/_admin/{page}", json.dumps(body).encode(), headers)
            assert answer.status == 200, answer.text

        have = {"product": PRODUCT, "devices": DEVICES, "version": "1.0", "selectors": SELECTORS}
        return Tenant(caller, have, clock, clock.pass_s, emulated=True, control=control)

    yield start
    for block in held:
        block.__exit__(None, None, None)


@pytest.fixture
def stocked(emulated):
    """Start an emulator that also holds the two firmwares of the contract: one free, one to be verified first."""

    def start(**settings):
        tenant = emulated(**settings)
        upload = tenant.caller.upload
        tenant.have["firmware"] = upload(metadata(), productKey=PRODUCT).data["firmwareId"]
        guarded = metadata(
            version="2.1", enableVerification=True, maxAllowedForVerification=2, minSuccessForVerified=2
        )
        tenant.have["guarded"] = upload(guarded, productKey=PRODUCT).data["firmwareId"]
        tenant.settle()
        return tenant

    return start


@pytest.fixture
def tenant(request):
    """The organisation the contract is tested on; the test changes nothing there."""
    return real_tenant() if setting("URL") else request.getfixturevalue("stocked")()


@pytest.fixture
def writable(tenant):
    """The same, for a test that makes jobs: they may not push before tomorrow and are deleted after the test."""
    if not tenant.emulated and setting("WRITE") != "1":
        pytest.skip("changes the organisation: set ROLLOUT_CONTRACT_WRITE=1")
    yield tenant
    if not tenant.emulated:
        tenant.clear()
