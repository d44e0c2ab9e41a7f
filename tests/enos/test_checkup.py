"""What is found between this machine and a platform: the first cause, and what to do about it."""

import asyncio
import shutil
import socket
import ssl
import subprocess
import time
from contextlib import asynccontextmanager

import pytest
from scripted_server import envelope, grant, http

from rollout.core.campaign import Campaign, JobSpec, Localized, Rest, Wave
from rollout.core.names import JobName
from rollout.core.outcome import Accepted
from rollout.emulator.http.gateway import DEMO_ACCESS_KEY, DEMO_SECRET_KEY, GatewayRules
from rollout.emulator.http.server import EmulatorConfig, serve
from rollout.emulator.platform.knobs import Knobs
from rollout.enos.caller import Caller, at_once
from rollout.enos.checkup import Target, examine
from rollout.enos.job_settings import JobSettings, JobType
from rollout.enos.service import EnosService
from rollout.enos.signing import Secret
from rollout.enos.transport import Transport
from rollout.ports import CreateCall, Finding, Health

pytestmark = pytest.mark.anyio

ORDER = ["name", "connection", "tls", "clock", "token", "jobs", "tasks", "firmware", "devices", "changes"]
DENIED = "code 99403: Denied resource"


@asynccontextmanager
async def target(
    url=None, *, secret=DEMO_SECRET_KEY, org_id=None, ahead_s=0.0, without_keys=False, **settings
):
    """A target whose clock is ahead of the platform's; the platform is an emulator unless `url` is given."""

    def now():
        return time.time() + ahead_s

    own = {name: settings.pop(name) for name in ("campaign", "search_by_name", "ca_file") if name in settings}
    config = EmulatorConfig(**{"knobs": Knobs(read_lag_s=0), **settings})
    async with serve(config) as running:
        transport = Transport(url or running.url)
        caller = Caller(
            transport,
            org_id=config.org_id if org_id is None else org_id,
            app_key=DEMO_ACCESS_KEY,
            app_secret=Secret(secret),
            now=now,
        )
        try:
            yield Target(url or running.url, caller=None if without_keys else caller, now=now, **own)
        finally:
            await caller.aclose()


async def look(target) -> dict[str, Finding]:
    return {found.name: found async for found in examine(target)}


def health(found) -> str:
    return " ".join(f"{finding.health[0]}" for finding in found.values())


def a_campaign(firmware_id="fw-2", first=JobType.UPGRADE, sources=("1.0",)) -> Campaign:
    job = JobSpec(platform=JobSettings(type=first, version_numbers=sources).to_platform())
    wave = Wave("all", Rest(), job)
    return Campaign("c1", Localized("c1", {}), "o00000000000000", firmware_id, (wave,))


async def test_all_is_well():
    """Every look in its order, and nothing to do."""
    async with target() as here:
        found = await look(here)
    assert list(found) == ORDER
    assert health(found) == "o o o o o o o o o s"
    assert not any(finding.remedy or finding.exit_code for finding in found.values())
    assert found["token"].facts["expiresInS"] == 7200
    assert found["jobs"].seen == "can be read; 0 in o00000000000000"


async def test_a_name_nobody_knows():
    """Nothing after the name can be looked at."""
    async with target("https://gateway.invalid") as here:
        found = await look(here)
    assert (found["name"].health, found["name"].exit_code) == (Health.FAILED, 1)
    assert found["name"].seen.startswith("gateway.invalid: ")
    assert {finding.seen for finding in list(found.values())[1:]} == {"name failed"}


async def test_a_port_where_nobody_listens():
    """The refusal is told with address and port, once, and the rest is skipped."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    async with target(f"http://127.0.0.1:{port}") as here:
        found = await look(here)
    assert found["connection"].seen == f"127.0.0.1 port {port}: Connection refused"
    assert health(found) == "o f s s s s s s s s"


@pytest.mark.parametrize(
    ("ahead_s", "expected", "words"),
    [
        (3600, Health.FAILED, "ahead of"),
        (-3600, Health.FAILED, "behind"),
        (30, Health.WARNING, "ahead of"),
        (-30, Health.WARNING, "behind"),
        (2.5, Health.OK, "ahead of"),
        (0, Health.OK, "agrees"),
    ],
)
async def test_a_clock_that_is_off(ahead_s, expected, words):
    """The offset to the gateway's clock is told, with its sign."""
    async with target(ahead_s=ahead_s) as here:
        clock = (await look(here))["clock"]
    assert clock.health is expected
    assert words in clock.seen
    assert abs(clock.facts["aheadS"] - ahead_s) <= clock.facts["withinS"] + 0.1


async def test_a_clock_comes_before_the_keys():
    """Where signatures are refused and the clock is off, the clock is to blame."""
    async with target(ahead_s=3600, rules=GatewayRules(skew_s_max=60)) as here:
        found = await look(here)
    assert found["token"].remedy.startswith("set the clock first; if it still fails: Check the profile's")
    assert [finding.exit_code for finding in found.values() if finding.exit_code] == [4, 4]


async def test_a_gateway_without_a_clock(server):
    """It is told that the clocks could not be compared."""
    server.answers = [http({})]
    async with target(server.url, without_keys=True) as here:
        clock = (await look(here))["clock"]
    assert (clock.health, clock.seen) == (Health.WARNING, "the gateway tells no time")


async def test_a_wrong_secret():
    """The token service's word for it, what to do, and exit code 4."""
    async with target(secret="wrong") as here:
        found = await look(here)
    assert found["token"].seen == "no token: status 1003: app secret or timestamp is wrong"
    assert (found["token"].facts["code"], found["token"].exit_code) == (1003, 4)
    assert {finding.seen for finding in list(found.values())[5:]} == {"token failed"}


async def test_without_keys_the_way_is_still_looked_at():
    """Name, connection, TLS and clock need none."""
    async with target(without_keys=True) as here:
        found = await look(here)
    assert health(found) == "o o o o s s s s s s"
    assert found["token"].seen == found["jobs"].seen == "no keys"


async def test_without_an_organisation_there_is_still_a_token():
    """Only what is asked in somebody's name needs one."""
    async with target(org_id="") as here:
        found = await look(here)
    assert health(found) == "o o o o o s s s s s"
    assert found["jobs"].seen == "no organisation"


async def test_an_organisation_that_does_not_exist():
    """It is the configuration, not the permission."""
    async with target(org_id="nobody") as here:
        found = await look(here)
    assert (found["jobs"].health, found["jobs"].exit_code) == (Health.FAILED, 2)
    assert "organisation's id" in found["jobs"].remedy
    assert {finding.seen for finding in list(found.values())[6:]} == {"jobs failed"}


async def test_jobs_that_may_not_be_read():
    """Without Read OTA nothing works."""
    async with target(denied=frozenset({"search"})) as here:
        jobs = (await look(here))["jobs"]
    assert (jobs.health, jobs.exit_code) == (Health.FAILED, 4)
    assert DENIED in jobs.seen
    assert "requestId" in jobs.seen
    assert jobs.remedy == "grant the application the permission Read OTA in this organisation"


async def test_what_a_campaign_can_do_without_is_a_warning():
    """Firmware and devices need not be readable to run a plan that is there."""
    async with target(denied=frozenset({"firmware search", "device search"})) as here:
        found = await look(here)
    assert health(found) == "o o o o o o o w w s"
    assert "without it device lists cannot come from EnOS" in found["devices"].remedy
    assert not any(finding.exit_code for finding in found.values())


async def test_older_releases_are_asked_for_devices_in_their_way(server):
    """Before 2.4 there is only V2.1."""
    info = {"sortedBy": None, "pageNo": 1, "pageSize": 1, "totalSize": 3}
    server.answers = [http(envelope([], pagination=info), "200 OK", "Date: Fri, 27 Nov 2026 20:00:00 GMT")]
    server.tokens = [http(grant())]
    async with target(server.url, search_by_name=False) as here:
        found = await look(here)
    assert found["devices"].facts == {"total": 3}
    assert server.calls[-1].target.startswith("/connect-service/v2.1/devices?action=search")


# ── TLS ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for localhost that signed itself, good for 60 days, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl makes the certificate")
    place = tmp_path_factory.mktemp("tls")
    key, certificate = place / "key.pem", place / "cert.pem"
    words = f"req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {certificate} -days 60 -subj /CN=localhost"
    subprocess.run(
        [openssl, *words.split(), "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True
    )
    return certificate, key


@asynccontextmanager
async def tls_server(certificate):
    """A server that shakes hands and says nothing; gives its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    async def close(reader, writer):
        writer.transport.abort()

    listener = await asyncio.start_server(close, "127.0.0.1", 0, ssl=context)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()


async def shake(url, **settings):
    async with target(url, without_keys=True, **settings) as here:
        return await look(here)


async def test_a_certificate_nobody_vouches_for_is_not_accepted(certificate):
    """The reason is told, and how to trust one's own gateway; nothing goes on without it."""
    async with tls_server(certificate) as port:
        found = await shake(f"https://localhost:{port}")
    assert found["tls"].seen == "certificate not accepted: self-signed certificate"
    assert "--ca-file" in found["tls"].remedy
    assert (found["tls"].exit_code, found["clock"].seen) == (1, "tls failed")


async def test_a_certificate_that_is_vouched_for(certificate):
    """Version, whose it is, who signed it and how long it lasts."""
    async with tls_server(certificate) as port:
        tls = (await shake(f"https://localhost:{port}", ca_file=certificate[0]))["tls"]
    assert tls.health is Health.OK
    assert tls.seen.startswith("TLSv1.3, certificate of localhost, signed by itself, until ")
    assert tls.facts["daysLeft"] in {59, 60}


async def test_a_certificate_that_soon_ends(certificate):
    """Three weeks ahead there is time to have it renewed."""
    async with tls_server(certificate) as port:
        url = f"https://localhost:{port}"
        tls = (await shake(url, ca_file=certificate[0], ahead_s=45 * 86_400))["tls"]
    assert tls.health is Health.WARNING
    assert tls.facts["daysLeft"] in {14, 15}


async def test_a_certificate_of_another_name(certificate):
    """A trusted certificate for another host is none."""
    async with tls_server(certificate) as port:
        tls = (await shake(f"https://127.0.0.1:{port}", ca_file=certificate[0]))["tls"]
    assert tls.health is Health.FAILED
    assert tls.remedy == "call the gateway by a name its certificate has"


async def test_a_file_without_certificates(certificate):
    """Keys are no certificates, and the file is named."""
    async with tls_server(certificate) as port:
        tls = (await shake(f"https://localhost:{port}", ca_file=certificate[1]))["tls"]
    assert (tls.health, tls.exit_code) == (Health.FAILED, 2)
    assert tls.seen == f"{certificate[1]}: cannot be used: no certificate in it"


async def test_a_port_without_tls(server):
    """An http port that is called by https."""
    found = await shake(server.url.replace("http://127.0.0.1", "https://localhost"))
    assert found["tls"].seen.startswith("no handshake: ")
    assert found["tls"].exit_code == 1


# ── plans ────────────────────────────────────────────────────────────────────────────────────────


def metadata(**changes):
    given = {
        "name": {"defaultValue": "Inverter", "i18nValue": {}},
        "version": "2.1.0",
        "signMethod": "md5",
        "sign": "0" * 32,
        "enableVerification": True,
    }
    return given | changes


@asynccontextmanager
async def planned(firmware, **plan):
    """A target with a plan for a firmware that was uploaded."""
    async with serve(EmulatorConfig(knobs=Knobs(read_lag_s=0))) as running:
        now = time.time()
        firmware_id = running.platform.create_firmware(now, None, firmware, 9)
        caller = Caller(
            Transport(running.url),
            org_id="o00000000000000",
            app_key=DEMO_ACCESS_KEY,
            app_secret=Secret(DEMO_SECRET_KEY),
        )
        try:
            yield Target(running.url, caller=caller, campaign=a_campaign(firmware_id, **plan))
        finally:
            await caller.aclose()


@pytest.mark.parametrize(
    ("firmware", "plan", "expected", "words"),
    [
        ({"enableVerification": False}, {}, Health.OK, "Inverter, version 2.1.0"),
        ({}, {"first": JobType.VERIFY}, Health.OK, "Inverter, version 2.1.0"),
        ({}, {}, Health.WARNING, "not verified yet"),
        ({}, {"sources": ("1.0", "2.1.0")}, Health.WARNING, "also a version to upgrade from"),
    ],
)
async def test_the_plan_s_firmware(firmware, plan, expected, words):
    """What would be refused, or done twice, is told before anything is made."""
    async with planned(metadata(**firmware), **plan) as here:
        found = await look(here)
    assert list(found) == [*ORDER, "plan firmware", "plan jobs"]
    assert found["plan firmware"].health is expected
    assert words in found["plan firmware"].seen
    assert found["plan jobs"].seen == "searched by name; none of this campaign yet"


async def test_only_the_campaign_s_own_jobs_are_counted():
    """A job of a campaign whose id begins like this one's is not one of this campaign's."""
    async with planned(metadata(enableVerification=False)) as here:
        service = EnosService(here.caller)
        campaign = here.campaign
        job = JobSpec(platform=JobSettings(product_key="emulated-product").to_platform())
        for owner in (campaign.id, f"{campaign.id}-w01-b"):
            name = JobName(owner, 0, 1, "0123456789ab").text
            call = CreateCall(campaign.firmware_id, name, campaign.name, job, b'"dev-1"')
            assert isinstance(await service.create(call, at_once), Accepted)
        found = await look(here)
    assert found["plan jobs"].seen == "1 of this campaign"


async def test_a_firmware_that_does_not_exist():
    """24404 is the plan's fault."""
    async with target(campaign=a_campaign("nowhere")) as here:
        firmware = (await look(here))["plan firmware"]
    assert (firmware.health, firmware.exit_code, firmware.facts["code"]) == (Health.FAILED, 2, 24404)


async def test_a_release_that_cannot_search_by_name(server):
    """The setting that helps is named."""
    info = {"sortedBy": None, "pageNo": 1, "pageSize": 1, "totalSize": 0}

    async def answer(call, writer):
        if b"name.defaultValue" in call.body:
            writer.write(http(envelope(None, 99400, "Invalid Argument: name")))
        else:
            writer.write(http(envelope([], pagination=info)))
        await writer.drain()

    server.answers = [answer]
    async with target(server.url, campaign=a_campaign()) as here:
        found = await look(here)
    assert (found["plan jobs"].health, found["plan jobs"].exit_code) == (Health.FAILED, 2)
    assert "search_by_name = false" in found["plan jobs"].remedy
