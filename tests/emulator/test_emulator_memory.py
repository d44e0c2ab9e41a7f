"""The log: after a kill, the next emulator on it is the same platform."""

import asyncio
import json
import subprocess
import sys

import pytest
from emulator_client import Client, keys, new_session, upgrade
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.emulator.http.faults import FaultPlan
from rollout.emulator.http.server import EmulatorConfig, ScaledClock, serve
from rollout.emulator.oplog import OpLog, read_last_time
from rollout.emulator.platform.history import HistoryEntry, apply_entry
from rollout.emulator.platform.knobs import Knobs
from rollout.emulator.platform.model import EmulatedPlatform
from rollout.emulator.platform.population import Population
from rollout.emulator.platform.refusal import Refusal
from rollout.emulator.platform.search import search_jobs, search_tasks
from rollout.errors import RolloutError

FIELD = Population(failed_ratio=0.2, offline_ratio=0.2, sleeper_ratio=0.5, mute_ratio=0.05)


def portrait(platform, now):
    """Return all that can be known of a platform at a time."""
    jobs = search_jobs(platform, now, {"pagination": {"pageSize": 200}})
    tasks = [
        [platform.task_id(job, position), *row]
        for job in platform.all_jobs
        for position, row in enumerate(
            zip(job.tasks.devices, job.tasks.status, job.tasks.generations, strict=True)
        )
    ]
    counts = [search_tasks(platform, now, {"expression": f"status='{s}'"}).total for s in ("init", "failed")]
    return jobs.records, tasks, counts, platform.meters.device_seconds(now), platform.meters.in_progress_max


@pytest.mark.anyio
async def test_emulator_lives_on_after_its_process(emulator, clock, tmp_path):
    """A second emulator on the same log has the same jobs, ids, tasks and device histories."""
    settings = {"log_path": tmp_path / "emulator.log", "population": FIELD, "seed": 7}
    async with emulator(**settings, faults=FaultPlan.parse(["commit_then_drop=1,limit=1"])) as (
        first,
        client,
    ):
        with pytest.raises(Exception, match=r"disconnected|reset"):
            await client.create(upgrade(keys(5)))
        job_id = (await client.create(upgrade(keys(50, 10), name="job-2."))).data["jobId"]
        clock.pass_s(300)
        await client.call("cancelTask", {"deviceKeys": keys(1, 59)}, jobId=job_id)
        clock.pass_s(300)
        await client.call("stop", jobId=job_id)
        await client.call("stop", jobId=job_id)
        clock.pass_s(500)
        before = portrait(first.platform, clock())
    async with emulator(**settings) as (second, _):
        assert portrait(second.platform, clock()) == before


@pytest.mark.anyio
async def test_operation_is_on_disk_before_its_answer(emulator, tmp_path):
    """When a create is answered, its line can be read from the file."""
    path = tmp_path / "emulator.log"
    async with emulator(log_path=path) as (_, client):
        await client.create(upgrade(keys(2)))
        assert json.loads(path.read_text().splitlines()[-1])["do"] == "create"


def test_killed_process_leaves_a_readable_log(tmp_path):
    """After `kill -9` directly after an entry was appended, the entry is in the log."""
    path = tmp_path / "emulator.log"
    program = f"""
import os, signal
from pathlib import Path
from rollout.emulator.platform.history import HistoryEntry
from rollout.emulator.oplog import OpLog
log = OpLog(Path({str(path)!r}), {{}}, 5.0)
log.append(HistoryEntry(6.0, "stop", {{"jobId": "x"}}))
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program], check=False)
    with OpLog(path, {}, 99.0) as log:
        assert (log.start, log.last_time) == (5.0, 6.0)
        assert list(log.entries()) == [HistoryEntry(6.0, "stop", {"jobId": "x"})]


def test_torn_last_line_is_cut_off(tmp_path):
    """An incomplete last line is removed, and the next entry follows the complete ones."""
    path = tmp_path / "emulator.log"
    with OpLog(path, {}, 5.0) as log:
        log.append(HistoryEntry(6.0, "stop", {"jobId": "x"}))
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"at":7.0,"do":"st')
    assert read_last_time(path) == 6.0
    with OpLog(path, {}, 5.0) as log:
        log.append(HistoryEntry(8.0, "start", {"jobId": "x"}))
    assert path.read_bytes().startswith(whole)
    assert read_last_time(path) == 8.0


def test_log_of_other_settings_is_refused(tmp_path):
    """A log with other settings is refused, with a hint."""
    path = tmp_path / "emulator.log"
    OpLog(path, {"seed": 1}, 5.0).__exit__(None, None, None)
    with pytest.raises(RolloutError, match="other settings"):
        OpLog(path, {"seed": 2}, 5.0)


@pytest.mark.parametrize("content", ["hello\n", "[]\n", '{"format":"other"}\n'])
def test_foreign_file_is_refused(tmp_path, content):
    """A file that is not such a log is refused and not changed."""
    path = tmp_path / "emulator.log"
    path.write_text(content)
    with pytest.raises(RolloutError, match="not a"):
        OpLog(path, {}, 5.0)
    assert path.read_text() == content


def test_log_has_one_holder(tmp_path):
    """A second emulator cannot open a log in use; it can after the first has closed it."""
    path = tmp_path / "emulator.log"
    with OpLog(path, {}, 5.0), pytest.raises(RolloutError, match="in use"):
        OpLog(path, {}, 5.0)
    OpLog(path, {}, 5.0).__exit__(None, None, None)


def test_last_time_of_no_log_is_unknown(tmp_path):
    """Without a log there is no time before which a clock must not start."""
    assert read_last_time(tmp_path / "none") is None


@pytest.mark.anyio
async def test_own_clock_begins_no_earlier_than_the_log_ends(tmp_path):
    """If the log ends later than now, the emulator's clock starts at the log's end."""
    path = tmp_path / "emulator.log"
    far = ScaledClock(1.0, start=4e9)
    async with serve(EmulatorConfig(log_path=path), far) as running:
        running.service.apply("setKnobs", {"read_lag_s": 0})
    async with serve(EmulatorConfig(log_path=path)) as running:
        assert running.clock() >= 4e9
        assert running.platform.knobs.read_lag_s == 0


actions = st.lists(
    st.tuples(
        st.floats(0, 2000),
        st.sampled_from(
            ["create", "createLater", "start", "stop", "delete", "cancelTask", "retryTask", "setKnobs"]
        ),
        st.integers(0, 3),
        st.integers(1, 8),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(actions, st.lists(st.floats(0, 40_000), max_size=10))
def test_history_does_not_depend_on_who_looks_when(steps, looks):
    """The same operations at the same times give the same platform, however often it is read in between."""
    start = 1_000_000.0
    # ids are owed to the seed, so they are known before there are jobs
    other = EmulatedPlatform(seed=1, start=start)
    ids = [other.create_job(start, "fw", upgrade(keys(1))) for _ in range(4)]

    def live(looks):
        platform = EmulatedPlatform(seed=1, start=start, population=FIELD, knobs=Knobs(any_device=True))
        at = start
        looks = sorted(looks)
        for gap_s, name, which, count in steps:
            at += gap_s
            while looks and start + looks[0] < at:
                portrait(platform, start + looks.pop(0))
            body = upgrade(keys(count, which * 4), maximumConcurrency=2)
            job = ids[which]
            args = {
                "create": {"firmwareId": "fw", "body": body},
                "createLater": {"firmwareId": "fw", "body": body, "delayS": 50.0},
                "setKnobs": {"stop_running": "fail" if which % 2 else "continue"},
            }.get(name, {"jobId": job, "body": {"deviceKeys": keys(count, which * 4)}})
            try:
                apply_entry(platform, HistoryEntry(at, name, args))
            except Refusal:
                continue
        return portrait(platform, at + 30_000)

    assert live([]) == live(looks)


STAND_ALONE = """
import asyncio, sys
from pathlib import Path
from rollout.emulator.http.server import EmulatorConfig, serve_forever
asyncio.run(serve_forever(EmulatorConfig(log_path=Path(sys.argv[1])), lambda line: print(line, flush=True)))
"""


@pytest.mark.anyio
async def test_stand_alone_emulator_survives_kill_9(tmp_path):
    """A server that is killed as soon as a create was answered has the same job with the same id when started again."""

    async def live(work):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", STAND_ALONE, str(tmp_path / "log"), stdout=asyncio.subprocess.PIPE
        )
        line = (await process.stdout.readline()).decode()
        async with new_session() as session:
            client = Client(session, line.split()[1])
            await client.log_in()
            result = await work(client)
        process.kill()
        await process.communicate()
        return result

    async def create(client):
        return (await client.create(upgrade(keys(5)))).data["jobId"]

    async def stop(client):
        jobs = (await client.send("GET", "/_admin/state")).json["newestJobs"]
        return [job["jobId"] for job in jobs], (await client.call("stop", jobId=jobs[0]["jobId"])).code

    made = await live(create)
    assert await live(stop) == ([made], 0)
    assert await live(stop) == ([made], 24616)
