"""The client against the emulator, over HTTP: every operation, every kind of trouble, both readings of the unknowns."""

from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from rollout.core.campaign import JobSpec, Localized, Scope
from rollout.core.names import WaveNames
from rollout.core.outcome import Accepted, Rejected, Throttled, Unknown
from rollout.core.records import JobFilter, TaskState
from rollout.emulator.http.faults import FaultPlan
from rollout.emulator.http.gateway import DEMO_ACCESS_KEY, DEMO_SECRET_KEY, GatewayRules
from rollout.emulator.http.server import EmulatorConfig, serve
from rollout.emulator.platform.knobs import Knobs
from rollout.enos.caller import Caller
from rollout.enos.job_settings import JobSettings
from rollout.enos.service import EnosService
from rollout.enos.signing import Secret
from rollout.enos.transport import Transport
from rollout.errors import Failure, ServiceError
from rollout.ports import CreateCall

pytestmark = pytest.mark.anyio

ORG = "o00000000000000"
AT_ONCE = Knobs(read_lag_s=0, materialise_s=0, unknown_fields="refuse", numeric_strings="refuse")
"""Reads show everything at once; a body with an undocumented field is refused."""


class HandClock:
    """Time that stands still until it is set on."""

    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


async def go():
    """A guard that lets everything through."""


def a_call(number=1, devices=3, **changes) -> CreateCall:
    keys = ",".join(f'"dev-{number:02d}-{n:04d}"' for n in range(devices)).encode()
    given = {
        "firmware_id": "fw-2",
        "name": f"c1-w01-b{number:06d}-0123456789ab.",
        "label": Localized("Spring", {"en_US": "Spring", "zh_CN": "春"}),
        "spec": JobSpec(platform={"versionNumbers": ["1.0"]}),
        "device_keys": keys,
    }
    return CreateCall(**{**given, **changes})


@pytest.fixture
def platform():
    """Start a platform on a free port, with a client for it and a clock that stands still."""

    @asynccontextmanager
    async def start(secret=DEMO_SECRET_KEY, org_id=ORG, page_size=200, faults=(), **settings):
        clock = HandClock()
        config = EmulatorConfig(**{"knobs": AT_ONCE, "faults": FaultPlan.parse(faults), **settings})
        async with serve(config, clock) as running:
            service = EnosService(
                Caller(
                    Transport(running.url),
                    org_id=org_id,
                    app_key=DEMO_ACCESS_KEY,
                    app_secret=Secret(secret),
                ),
                page_size=page_size,
            )
            try:
                yield running, service, clock
            finally:
                await service.aclose()

    return start


async def create(service, create_call) -> str:
    outcome = await service.create(create_call, go)
    assert isinstance(outcome, Accepted), outcome
    return outcome.job_id


@pytest.mark.parametrize("name", ["partial", "total", "verify"])
async def test_each_kind_of_body_is_taken(platform, name):
    """The platform, strict about unknown fields, accepts what we send for each kind of job."""
    orders = {
        "partial": a_call(),
        "total": a_call(device_keys=b"", scope=Scope("total")),
        "verify": a_call(spec=JobSpec(platform={"type": "verify", "versionNumbers": ["1.0"]})),
    }
    async with platform() as (_, service, _clock):
        job_id = await create(service, orders[name])
        assert (await service.get_job(job_id)).type == JobSettings.of(orders[name].spec).type


@pytest.mark.parametrize("status", ["200", "mapped"])
async def test_refusals_are_definite_however_their_status(platform, status):
    """A code decides, whether the platform sends it with 200 or with a status of its own."""
    knobs = replace(AT_ONCE, error_status=status, strict_firmware=True)
    async with platform(knobs=knobs) as (_, service, _clock):
        outcome = await service.create(a_call(), go)
        assert isinstance(outcome, Rejected)
        assert outcome.code == 24404
        with pytest.raises(ServiceError) as caught:
            await service.start_job("0" * 24)
        assert caught.value.platform_code == 24404


async def test_jobs_are_found_by_name_and_by_wave(platform):
    """Among many jobs, over several pages, exactly ours; a wave's names find the wave."""
    async with platform(page_size=3) as (_, service, _clock):
        ids = [await create(service, a_call(number, devices=1)) for number in range(1, 12)]
        look = {"firmware_id": "fw-2", "spec": JobSpec()}
        one = await service.find_jobs(**look, names="c1-w01-b000007-0123456789ab.")
        assert ([job.job_id for job in one.jobs], one.complete) == ([ids[6]], True)
        wave = await service.find_jobs(**look, names=WaveNames("c1", 0))
        assert ([job.job_id for job in wave.jobs], wave.complete) == (ids[::-1], True)
        none = await service.find_jobs(**look, names="c1-w02-b000001-0123456789ab.")
        assert (none.jobs, none.complete) == ((), True)


async def test_tasks_in_shuffled_order_are_all_seen(platform):
    """The order of tasks may change with every page; no device is missed and none comes twice."""
    async with platform(page_size=20, knobs=replace(AT_ONCE, task_order="shuffled")) as (_, service, _clock):
        job_id = await create(service, a_call(devices=60))
        keys = await service.list_task_keys(
            job_id, [TaskState.WAITING, TaskState.NOTIFIED, TaskState.UPGRADING]
        )
        assert len(keys) == len(set(keys)) == 60


@pytest.mark.parametrize(
    ("fault", "made"),
    [
        ("commit_then_drop=1,limit=1", 1),
        ("commit_then_reset=1,limit=1", 1),
        ("commit_then_500=1,limit=1", 1),
        ("commit_then_24500=1,limit=1", 1),
        ("truncated=1,limit=1", 1),
        ("half_closed=1,limit=1", 1),
        ("drop_before_commit=1,limit=1", 0),
        ("reset=1,limit=1", 0),
        ("error_24500=1,limit=1", 0),
        ("error_500=1,limit=1", 0),
        ("error_503=1,limit=1", 0),
    ],
)
async def test_a_create_with_trouble_is_unknown_and_can_be_looked_up(platform, fault, made):
    """Done or not done, the caller cannot tell from the answer, and can tell from the search."""
    async with platform(faults=[fault]) as (_, service, _clock):
        create_call = a_call()
        outcome = await service.create(create_call, go)
        assert isinstance(outcome, Unknown), outcome
        listing = await service.find_jobs(firmware_id="fw-2", spec=JobSpec(), names=create_call.name)
        assert (len(listing.jobs), listing.complete) == (made, True)


async def test_flow_control_is_a_definite_no(platform):
    """429 made no job, and its wait is passed on."""
    async with platform(faults=["http_429=1,limit=1,seconds=3"]) as (_, service, _clock):
        assert await service.create(a_call(), go) == Throttled(3.0, "API rate limit exceeded", 429)
        await create(service, a_call())


@pytest.mark.parametrize("struck", ["create", "search"])
async def test_a_revoked_token_is_renewed_unseen(platform, struck):
    """A token that another process ended costs one renewal and makes one job."""
    async with platform(faults=[f"unauthorized=1,limit=1,on={struck}"]) as (_, service, _clock):
        job_id = await create(service, a_call())
        hits = await service.search_jobs(JobFilter(firmware_ids=("fw-2",)))
        assert [job.job_id for job in hits.rows] == [job_id]


async def test_signatures_hold_for_every_operation_and_text(platform):
    """A gateway that checks strictly takes names in any script, spaces and signs."""
    create_call = a_call(label=Localized("é", {"zh_CN": "春 & 夏 + 100 %"}), firmware_id="fw 2+%/é")
    async with platform(rules=GatewayRules(signature="strict", skew_s_max=60)) as (_, service, _clock):
        job = await service.get_job(await create(service, create_call))
        assert job.firmware_id == "fw 2+%/é"
        assert job.names == {"zh_CN": f"春 & 夏 + 100 % · {create_call.name}"}


async def test_a_wrong_secret_stops_everything(platform):
    """No batch passes, and the operator is told that it is the credentials."""
    async with platform(secret="wrong") as (_, service, _clock):
        outcome = await service.create(a_call(), go)
        assert isinstance(outcome, Rejected)
        assert outcome.credentials
        with pytest.raises(ServiceError) as caught:
            await service.get_job("0" * 24)
        assert caught.value.failure is Failure.CREDENTIALS


async def test_a_denied_operation_says_so(platform):
    """99403 on create concerns every batch."""
    async with platform(denied=frozenset({"create"})) as (_, service, _clock):
        outcome = await service.create(a_call(), go)
        assert isinstance(outcome, Rejected)
        assert (outcome.code, outcome.credentials) == (99403, True)
