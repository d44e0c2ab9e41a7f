"""What every platform's client promises, in code: see `rollout.ports.JobService`.

An implementation joins by a class with a `begin` like `OverTheWire`'s, named in `IMPLEMENTATIONS`.
"""

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from random import Random

import pytest

from rollout.core.campaign import JobSpec, Localized, Scope
from rollout.core.names import WaveNames
from rollout.core.outcome import Accepted, Rejected, Unsent
from rollout.core.records import JobFilter, TaskFilter, TaskState
from rollout.emulator.http.faults import Faults
from rollout.emulator.http.gateway import DEMO_ACCESS_KEY, DEMO_SECRET_KEY, Gateway, GatewayRules, KeyPair
from rollout.emulator.http.server import EmulatorConfig, serve
from rollout.emulator.http.service import Service
from rollout.emulator.platform.knobs import Knobs
from rollout.emulator.platform.model import EmulatedPlatform
from rollout.emulator.platform.population import Population
from rollout.enos.caller import Caller
from rollout.enos.limits import PAGE_SIZE_MAX
from rollout.enos.service import EnosService
from rollout.enos.signing import Secret
from rollout.enos.transport import Transport
from rollout.errors import Failure, ServiceError
from rollout.ports import CreateCall, JobService, NotNow
from rollout.simulation.power import Power
from rollout.simulation.wires import Network, SimService, Wires

pytestmark = pytest.mark.anyio

AT_ONCE = Knobs(read_lag_s=0, materialise_s=0)
"""A platform whose reads show everything at once."""

DONE_S = 7200.0
"""Long enough for every device to end its attempt."""


class OverTheWire:
    """EnOS's client against the emulator, over a real socket."""

    @staticmethod
    @asynccontextmanager
    async def begin(config: EmulatorConfig, clock: Callable[[], float]):
        """Start a platform of these settings that lives by `clock`; give a service for it."""
        async with serve(config, clock) as running:
            service = EnosService(
                Caller(
                    Transport(running.url),
                    org_id=config.org_id,
                    app_key=DEMO_ACCESS_KEY,
                    app_secret=Secret(DEMO_SECRET_KEY),
                )
            )
            try:
                yield service
            finally:
                await service.aclose()


class InSimulation:
    """The simulated client on the emulator's model: no sockets, and counts by a short cut of its own."""

    @staticmethod
    @asynccontextmanager
    async def begin(config: EmulatorConfig, clock: Callable[[], float]):
        """Start a world without a campaign that lives by `clock`; give the client of its first life."""
        platform = EmulatedPlatform(
            seed=config.seed,
            start=clock(),
            org_id=config.org_id,
            population=config.population,
            knobs=replace(config.knobs, any_device=True),
        )
        service = Service(
            platform,
            Gateway(KeyPair(), GatewayRules(signature="none"), config.seed),
            Faults(config.faults, config.seed),
            clock=clock,
            wall=clock,
            record=lambda _: None,
        )
        wires = Wires(connect_s=(0.0, 0.0), transit_s=(0.0, 0.0))
        network = Network(
            asyncio.get_running_loop(), service, wires, Random(0), now=clock, intents=lambda _: 1
        )
        yield SimService(
            network,
            Power(),
            0,
            org_id=config.org_id,
            read_permit=go,
            steer_permit=go,
            page_size=PAGE_SIZE_MAX,
        )


IMPLEMENTATIONS = (OverTheWire, InSimulation)


class HandClock:
    """Time that stands still until it is set on."""

    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


@dataclass
class World:
    """A service, and the time of the platform behind it."""

    service: JobService
    clock: HandClock

    def wait(self, seconds):
        self.clock.now += seconds

    async def create(self, number=1, **changes) -> str:
        """Make a job of `a_call` and return its id."""
        outcome = await self.service.create(a_call(number, **changes), go)
        assert isinstance(outcome, Accepted), outcome
        return outcome.job_id

    async def keys(self, job_id, *states) -> set[str]:
        return set(await self.service.list_task_keys(job_id, states))


async def go():
    """A guard that lets everything through."""


def device_keys(number, devices=3) -> list[str]:
    return [f"dev-{number:02d}-{n:04d}" for n in range(devices)]


def a_call(number=1, devices=3, **changes) -> CreateCall:
    """An upgrade of devices of its own."""
    given = {
        "firmware_id": "fw-2",
        "name": f"c1-w01-b{number:06d}-0123456789ab.",
        "label": Localized("Spring", {"en_US": "Spring", "zh_CN": "春"}),
        "spec": JobSpec(platform={"versionNumbers": ["1.0"]}),
        "device_keys": ",".join(f'"{key}"' for key in device_keys(number, devices)).encode(),
    }
    return CreateCall(**{**given, **changes})


@pytest.fixture(params=IMPLEMENTATIONS, ids=lambda implementation: implementation.__name__)
def world(request):
    """Start a platform with settings of its own, as an asynchronous context."""

    @asynccontextmanager
    async def begin(**settings):
        clock = HandClock()
        async with request.param.begin(EmulatorConfig(**{"knobs": AT_ONCE, **settings}), clock) as service:
            yield World(service, clock)

    return begin


# ── creating ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_create_that_is_let_go_makes_one_job(world):
    """Accepted names the job, and the job is that of the call."""
    async with world() as w:
        job_id = await w.create()
        (job,) = (await w.service.search_jobs(JobFilter())).rows
        assert (job.job_id, job.name, job.firmware_id, job.type) == (
            job_id,
            a_call().name,
            "fw-2",
            "upgrade",
        )
        assert await w.keys(job_id, TaskState.WAITING, TaskState.NOTIFIED, TaskState.UPGRADING) == set(
            device_keys(1)
        )


async def test_a_create_its_guard_withholds_makes_no_job(world):
    """`NotNow` comes back as unsent, and nothing has happened."""

    async def stay():
        raise NotNow("paused")

    async with world() as w:
        assert await w.service.create(a_call(), stay) == Unsent("paused", withheld=True)
        assert (await w.service.search_jobs(JobFilter())).rows == ()


async def test_what_a_guard_raises_reaches_the_caller(world):
    """Anything but `NotNow` is the caller's own failure; nothing is sent."""

    async def fail():
        raise KeyError("slip")

    async with world() as w:
        with pytest.raises(KeyError, match="slip"):
            await w.service.create(a_call(), fail)
        assert (await w.service.search_jobs(JobFilter())).rows == ()


async def test_a_guard_is_asked_before_anything_happens(world):
    """When the guard is awaited there is no job yet."""
    seen = []

    async with world() as w:

        async def look():
            seen.append((await w.service.search_jobs(JobFilter())).rows)

        assert isinstance(await w.service.create(a_call(), look), Accepted)
    assert seen == [()]


@pytest.mark.parametrize(
    ("create_call", "knobs", "code"),
    [
        (a_call(), Knobs(strict_firmware=True), 24404),
        (
            a_call(device_keys=b"", scope=Scope("total"), spec=JobSpec(platform={"type": "verify"})),
            AT_ONCE,
            24611,
        ),
        (a_call(devices=6, spec=JobSpec(platform={"type": "verify"})), AT_ONCE, 24612),
    ],
    ids=["no such firmware", "verification of everything", "too many to verify"],
)
async def test_a_refused_create_is_an_outcome(world, create_call, knobs, code):
    """The platform's no is a value with its code, and no job is there."""
    async with world(knobs=knobs) as w:
        outcome = await w.service.create(create_call, go)
        assert isinstance(outcome, Rejected)
        assert outcome.code == code
        assert (await w.service.search_jobs(JobFilter())).rows == ()


# ── jobs ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_job_is_found_by_its_exact_name_or_its_wave(world):
    """Other names, firmware and types are not ours, however alike."""
    async with world() as w:
        first = await w.create(1)
        second = await w.create(2)
        await w.create(3, name="c1-w02-b000001-0123456789ab.")
        await w.create(4, name=a_call(1).name, firmware_id="fw-3")
        await w.create(5, name=a_call(1).name, spec=JobSpec(platform={"type": "verify"}))
        ours = {"firmware_id": "fw-2", "spec": JobSpec()}
        one = await w.service.find_jobs(**ours, names=a_call(1).name)
        assert ([job.job_id for job in one.jobs], one.complete) == ([first], True)
        wave = await w.service.find_jobs(**ours, names=WaveNames("c1", 0))
        assert ({job.job_id for job in wave.jobs}, wave.complete) == ({first, second}, True)
        none = await w.service.find_jobs(**ours, names="c1-w01-b")
        assert (none.jobs, none.complete) == ((), True)


async def test_a_record_tells_all_of_a_job(world):
    """What a campaign uses has a field; the rest is there under the platform's names."""
    async with world() as w:
        job_id = await w.create(spec=JobSpec(platform={"versionNumbers": ["1.0"]}, maximum_concurrency=7))
        job = await w.service.get_job(job_id)
        assert (job.name, job.status, job.create_time_ms) == (a_call().name, "started", 1_000_000_000)
        assert job.names == {locale: f"{text} · {job.name}" for locale, text in a_call().label.i18n.items()}
        assert job.more["maximumConcurrency"] == 7
        assert job.more["upgradeScope"]["deviceKeys"] == device_keys(1)


async def test_a_job_that_is_not_there_is_gone(world):
    """Only deleting and stopping take absence for success."""
    async with world() as w:
        for call in (w.service.get_job, w.service.start_job):
            with pytest.raises(ServiceError) as caught:
                await call("0" * 24)
            assert caught.value.failure is Failure.GONE
        await w.service.stop_job("0" * 24)
        await w.service.delete_job("0" * 24)


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        (JobFilter(), {1, 2, 3}),
        (JobFilter(firmware_ids=("fw-2",)), {1, 2}),
        (JobFilter(firmware_ids=("fw-2", "fw-3")), {1, 2, 3}),
        (JobFilter(type="verify"), {2}),
        (JobFilter(status="stopped"), {3}),
        (JobFilter(name_part="b000002"), {2}),
        (JobFilter(name_part="B000002"), set()),
        (JobFilter(product_keys=("none",)), set()),
        (JobFilter(firmware_versions=("none",)), set()),
        (JobFilter(firmware_ids=("fw-2",), type="upgrade", status="started", name_part="c1-"), {1}),
    ],
)
async def test_a_filter_names_the_jobs(world, jobs, expected):
    """All conditions hold together, any value of one will do, an empty filter asks for everything."""
    async with world() as w:
        ids = {
            await w.create(1): 1,
            await w.create(2, spec=JobSpec(platform={"type": "verify"})): 2,
            (stopped := await w.create(3, firmware_id="fw-3")): 3,
        }
        await w.service.stop_job(stopped)
        hits = await w.service.search_jobs(jobs)
        assert [ids[job.job_id] for job in hits.rows] == sorted(expected, reverse=True), "newest first"
        assert hits.complete


async def test_starting_and_stopping_hold_when_repeated(world):
    """The job is as asked; asking for what holds already is a success."""
    async with world() as w:
        job_id = await w.create()
        for act, status in (
            (w.service.stop_job, "stopped"),
            (w.service.stop_job, "stopped"),
            (w.service.start_job, "started"),
            (w.service.start_job, "started"),
        ):
            await act(job_id)
            assert (await w.service.get_job(job_id)).status == status


async def test_a_job_is_deleted_once_it_is_stopped(world):
    """In use while it is started; gone afterwards, and deleting it again is a success."""
    async with world() as w:
        job_id = await w.create()
        with pytest.raises(ServiceError) as caught:
            await w.service.delete_job(job_id)
        assert caught.value.failure is Failure.IN_USE
        await w.service.stop_job(job_id)
        await w.service.delete_job(job_id)
        assert (await w.service.search_jobs(JobFilter())).rows == ()
        await w.service.delete_job(job_id)
        with pytest.raises(ServiceError) as caught:
            await w.service.get_job(job_id)
        assert caught.value.failure is Failure.GONE


async def test_reads_may_lag_behind_writes(world):
    """A job just made may not be seen for a while, and then is; creating it again would double it."""
    async with world(knobs=Knobs(read_lag_s=2, materialise_s=0)) as w:
        job_id = await w.create()
        look = {"firmware_id": "fw-2", "spec": JobSpec(), "names": a_call().name}
        assert (await w.service.find_jobs(**look)).jobs == ()
        with pytest.raises(ServiceError) as caught:
            await w.service.get_job(job_id)
        assert caught.value.failure is Failure.GONE
        w.wait(3)
        assert [job.job_id for job in (await w.service.find_jobs(**look)).jobs] == [job_id]
        assert (await w.service.get_job(job_id)).job_id == job_id


# ── tasks ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_record_tells_all_of_a_task(world):
    """Which device, of which job, how far and why."""
    async with world(population=Population(failed_ratio=1.0, failure_steps={-3: 1.0})) as w:
        job_id = await w.create(devices=1)
        w.wait(DONE_S)
        (task,) = (await w.service.search_tasks(TaskFilter())).rows
        assert (task.job_id, task.device_key, task.status) == (job_id, "dev-01-0000", "failed")
        assert (task.progress, task.from_version) == (-3, "1.0")
        assert task.desc
        assert task.update_time_ms is not None
        assert 1_000_000_000 < task.update_time_ms <= int(w.clock.now * 1000)


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        (lambda jobs: TaskFilter(), {1, 2}),
        (lambda jobs: TaskFilter(job_ids=(jobs[1],)), {1}),
        (lambda jobs: TaskFilter(job_ids=tuple(jobs.values())), {1, 2}),
        (lambda jobs: TaskFilter(device_keys=("dev-02-0000", "dev-09-0000")), {2}),
        (lambda jobs: TaskFilter(statuses=("failed",)), {2}),
        (lambda jobs: TaskFilter(statuses=("failed", "succeeded")), {1, 2}),
        (lambda jobs: TaskFilter(statuses=("none",)), set()),
        (lambda jobs: TaskFilter(from_versions=("1.0",)), {1, 2}),
        (lambda jobs: TaskFilter(from_versions=("9.9",)), set()),
        (lambda jobs: TaskFilter(to_versions=("none",)), set()),
        (lambda jobs: TaskFilter(descs=("none",)), set()),
        (lambda jobs: TaskFilter(job_ids=(jobs[1],), statuses=("failed",)), set()),
    ],
)
async def test_a_filter_names_the_tasks(world, tasks, expected):
    """All conditions hold together, any value of one will do, an empty filter asks for everything."""
    async with world() as w:
        jobs = {1: await w.create(1, devices=1)}
        w.wait(DONE_S)
        jobs[2] = await w.create(2, devices=1)
        await w.service.cancel_tasks(jobs[2], device_keys(2, 1))
        hits = await w.service.search_tasks(tasks(jobs))
        assert {int(task.device_key[4:6]) for task in hits.rows} == expected
        assert hits.complete


async def test_every_task_comes_once_however_many_there_are(world):
    """Pages, their order and long lists of devices are the service's business."""
    keys = device_keys(1, 450)
    async with world() as w:
        job_id = await w.create(devices=450)
        for tasks in (TaskFilter(job_ids=(job_id,)), TaskFilter(device_keys=tuple(keys))):
            hits = await w.service.search_tasks(tasks)
            assert sorted(task.device_key for task in hits.rows) == keys
            assert hits.complete
        listed = await w.service.list_task_keys(
            job_id, [TaskState.WAITING, TaskState.NOTIFIED, TaskState.UPGRADING]
        )
        assert sorted(listed) == keys


async def test_counts_are_of_the_jobs_and_states_asked_for(world):
    """All states when none is named."""
    async with world() as w:
        first = await w.create(1, devices=3)
        w.wait(DONE_S)
        second = await w.create(2, devices=5)
        count = w.service.count_tasks
        assert await count([first, second]) == 8
        assert await count([first]) == 3
        assert await count([first, second], [TaskState.SUCCEEDED]) == 3
        assert await count([first, second], [TaskState.WAITING, TaskState.NOTIFIED, TaskState.SUCCEEDED]) == 8
        assert await count([second], [TaskState.SUCCEEDED, TaskState.FAILED]) == 0


async def test_a_witness_is_a_job_of_the_firmware_that_is_not_known(world):
    """Known jobs, other firmware and other devices do not count."""
    async with world() as w:
        known = await w.create(1)
        await w.create(2, firmware_id="fw-3")
        stranger = await w.create(3)
        await w.create(4)
        keys = [f"dev-{number:02d}-0000" for number in (1, 2, 3)]
        look = {"firmware_id": "fw-2", "device_keys": keys}
        assert await w.service.find_witnesses(**look, known=frozenset({known})) == (stranger,)
        assert await w.service.find_witnesses(**look, known=frozenset({known, stranger})) == ()


async def test_what_cannot_be_quoted_is_not_asked_for(world):
    """A value that could leave its quotes raises, before anything is sent."""
    async with world() as w:
        for call in (
            w.service.search_jobs(JobFilter(firmware_versions=("1' or status='started",))),
            w.service.search_tasks(TaskFilter(descs=("a\\b",))),
            w.service.count_tasks(['"']),
        ):
            with pytest.raises(ServiceError) as caught:
                await call
            assert caught.value.failure is Failure.REFUSED


async def test_waiting_tasks_are_cancelled(world):
    """Those in init and published end; the others' fate is theirs."""
    async with world() as w:
        job_id = await w.create(
            devices=4, spec=JobSpec(platform={"versionNumbers": ["1.0"]}, maximum_concurrency=2)
        )
        assert await w.keys(job_id, TaskState.WAITING) == {"dev-01-0002", "dev-01-0003"}
        await w.service.cancel_tasks(job_id, ["dev-01-0002", "dev-01-0000"])
        hits = await w.service.search_tasks(TaskFilter(device_keys=("dev-01-0002", "dev-01-0000")))
        assert [task.status for task in hits.rows] == ["failed", "failed"]
        assert await w.keys(job_id, TaskState.WAITING, TaskState.NOTIFIED) == {"dev-01-0001", "dev-01-0003"}


async def test_failed_tasks_are_retried(world):
    """They start anew, and only they."""
    async with world(population=Population(failed_ratio=1.0)) as w:
        job_id = await w.create()
        w.wait(DONE_S)
        assert await w.keys(job_id, TaskState.FAILED) == set(device_keys(1))
        await w.service.retry_tasks(job_id, ["dev-01-0001"])
        assert await w.keys(job_id, TaskState.FAILED) == {"dev-01-0000", "dev-01-0002"}
        assert await w.keys(job_id, TaskState.WAITING, TaskState.NOTIFIED) == {"dev-01-0001"}


async def test_tasks_in_the_wrong_state_are_told(world):
    """The caller is told, and reads the tasks again."""
    async with world() as w:
        job_id = await w.create()
        with pytest.raises(ServiceError) as caught:
            await w.service.retry_tasks(job_id, ["dev-01-0000"])
        assert caught.value.failure is Failure.NOT_RETRYABLE_NOW
        w.wait(DONE_S)
        with pytest.raises(ServiceError) as caught:
            await w.service.cancel_tasks(job_id, ["dev-01-0000"])
        assert caught.value.failure is Failure.NOT_CANCELLABLE_NOW


async def test_tasks_of_a_stopped_job_are_left_alone(world):
    """Not running: cancel first, stop then."""
    async with world() as w:
        job_id = await w.create()
        await w.service.stop_job(job_id)
        for call in (w.service.cancel_tasks, w.service.retry_tasks):
            with pytest.raises(ServiceError) as caught:
                await call(job_id, ["dev-01-0000"])
            assert caught.value.failure is Failure.NOT_RUNNING


# ── itself ───────────────────────────────────────────────────────────────────────────────────────


async def test_every_method_of_the_port_is_the_service_s_own(world):
    """None is the protocol's empty one."""
    async with world() as w:
        methods = {name for name in vars(JobService) if not name.startswith("_")}
        assert "create" in methods
        assert all(getattr(type(w.service), name) is not getattr(JobService, name) for name in methods)


async def test_closing_twice_is_fine(world):
    """Cleanup may run more than once."""
    async with world() as w:
        await w.create()
        await w.service.aclose()
        await w.service.aclose()
