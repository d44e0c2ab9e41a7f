"""Signals, orders and refusals, checked by what a platform in a process of its own holds."""

import json
import shlex
import signal

import pytest
from campaigns_at_hand import assert_exact, lay_out

SPEED = "1500"
LINE = ("run", "plan.yaml", "--yes", "--speed", SPEED)
RETRY = "apiRetry: {attempts: 3, first: 10ms, max: 10ms}"


def canary_only(names):
    """Return whether every job belongs to the first wave; job names contain the wave's number."""
    return all(name.startswith("c1-w01-") for name in names)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_nothing_in_doubt(desk, number, code):
    """A signal during creates: no batch is left unknown, and the printed command goes on."""
    emulator = desk.emulator("--speed", SPEED)
    lay_out(desk, emulator.url, devices=60, per_job=2, canary="20", rate=20)
    life = desk.start(*LINE)
    life.err.expect("batch.job_created", 5)
    life.signal(number)
    ended = life.end()
    assert ended.code == code
    assert f"Interrupted, state saved. Go on with:  rollout {shlex.join(LINE)}\n" in ended.err
    assert ended.sums["JOBS"] == len(emulator.names()) < 30
    told = json.loads(desk.run("status", "-o", "json").out)
    assert (told["leftInGoodOrder"], told["jobs"]["unknown"]) == (True, 0)
    done = desk.run(*LINE)
    assert (done.code, done.sums["OK"]) == (0, 60)
    assert "adopted" not in done.err
    assert_exact(desk, emulator)


def test_people_steer_a_living_runner(desk):
    """A second runner is refused; approve, pause, resume and abort from other processes take effect."""
    emulator = desk.emulator("--speed", "200")
    lay_out(desk, emulator.url, devices=400, per_job=5, canary="10", rate=10, gate="approval: required")
    life = desk.start("run", "plan.yaml", "--yes", "--speed", "200")
    life.err.expect("reason=approval")
    names = emulator.names()
    assert (len(names), canary_only(names)) == (2, True)

    second = desk.run("run", "plan.yaml", "--yes", "--speed", "200")
    assert (second.code, f"in use by process {life.pid} on" in second.err) == (7, True)

    assert desk.run("approve", "c1", "--wave", "canary").out.startswith("approved canary by ")
    life.err.expect("wave=total batch=total/", 3)
    assert desk.run("pause", "c1", "--reason", "storm").out.startswith("paused by ")
    life.err.expect("campaign.paused")
    held = len(emulator.names())
    told = json.loads(desk.run("status", "-o", "json").out)
    assert (told["status"], told["runner"]["pid"], told["jobs"]["created"]) == ("paused", life.pid, held)
    assert len(emulator.names()) == held < 82

    assert desk.run("resume", "c1").out.startswith("resumed by ")
    life.err.expect("batch.job_created", held + 3)
    aborted = desk.run("abort", "c1", "--stop-jobs", "--cancel-pending", "--yes")
    assert aborted.out.startswith("aborted by ")
    ended = life.end()
    assert ended.code == 3
    assert ended.out.startswith("Aborted c1 after ")
    state = emulator.state()
    assert ended.sums["JOBS"] == state["jobs"] < 82
    unfinished = ("init", "published", "upgrading")
    running = [job for job in state["newestJobs"] if any(job["tasks"][status] for status in unfinished)]
    assert {job["status"] for job in running} == {"stopped"}
    refused = desk.run("resume", "c1")
    assert (refused.code, "is aborted; nothing can change that" in refused.err) == (2, True)


def test_a_run_that_leaves_in_time_is_taken_up(desk):
    """`--exit-on-wait` ends with 6, `--until` with 0; the platform has only the canary's jobs until the campaign goes on."""
    emulator = desk.emulator("--speed", SPEED)
    lay_out(desk, emulator.url, devices=20, per_job=5, canary="10", gate="approval: required")
    waits = desk.run(*LINE, "--exit-on-wait", "-o", "json")
    assert (waits.code, json.loads(waits.out)["result"]) == (6, "waiting")
    assert canary_only(emulator.names())
    reached = desk.run(*LINE, "--until", "canary", "--approve", "canary", "-o", "json")
    assert (reached.code, json.loads(reached.out)["result"]) == (0, "reached")
    assert canary_only(emulator.names())
    assert desk.run(*LINE).code == 0
    assert_exact(desk, emulator)


def test_a_bad_firmware_never_reaches_the_next_wave(desk):
    """Most of the canary fails: exit code 3, also when run again, and no job of the next wave is created."""
    emulator = desk.emulator("--speed", SPEED, "--fail", "80%")
    lay_out(desk, emulator.url, devices=40, per_job=5, canary="20")
    for _ in range(2):
        ended = desk.run(*LINE)
        assert ended.code == 3
        assert ended.out.startswith("Halted c1 in wave canary: ")
    names = emulator.names()
    assert 1 <= len(names) <= 4, "the canary's own jobs, or as many as there were before it failed"
    assert canary_only(names)


@pytest.mark.parametrize("trouble", ["wrong keys", "nobody there"])
def test_a_platform_that_takes_nothing(desk, trouble):
    """Refused keys are exit code 4, no platform is 1; nothing is created, and the same campaign then runs."""
    emulator = desk.emulator("--speed", SPEED)
    lay_out(desk, emulator.url, devices=10, per_job=5, canary="5", rest=RETRY)
    if trouble == "wrong keys":
        ended = desk.run(*LINE, ENOS_ACCESS_KEY="demo-access-key", ENOS_SECRET_KEY="another")
    else:
        emulator.kill()
        ended = desk.run(*LINE)
        emulator = desk.emulator("--speed", SPEED)
    assert (ended.code, ended.out, "Traceback" in ended.err) == (
        4 if trouble == "wrong keys" else 1,
        "",
        False,
    )
    assert f"State saved. Go on with:  rollout {shlex.join(LINE)}\n" in ended.err
    assert emulator.names() == {}
    assert desk.run(*LINE, "--url", emulator.url).code == 0
    assert_exact(desk, emulator)


def test_a_platform_that_dies_and_comes_back(desk):
    """A campaign survives an outage of the platform; ended during it, it goes on at the platform's new address."""
    emulator = desk.emulator("--speed", SPEED)
    lay_out(desk, emulator.url, devices=60, per_job=2, canary="20", rate=20)
    life = desk.start(*LINE)
    life.err.expect("batch.job_created", 5)
    emulator.kill()
    life.err.expect("Connection refused", 10)
    life.signal(signal.SIGTERM)
    assert life.end().code == 143
    back = desk.emulator("--speed", SPEED)
    done = desk.run(*LINE, "--url", back.url)
    assert (done.code, done.sums["OK"]) == (0, 60)
    assert_exact(desk, back)


def test_doubt_is_parked_where_the_plan_says_so(desk):
    """A lost create with `whenUnsure: park` is never sent again: exit code 8 each time it is run, as text and as JSON."""
    emulator = desk.emulator("--speed", SPEED)
    lay_out(desk, emulator.url, devices=20, per_job=5, canary="5", rest="apiRetry: {whenUnsure: park}")
    assert desk.run(*LINE, "--until", "canary").code == 0
    emulator.set_faults("drop_before_commit=1,limit=1")
    for _ in range(2):
        parked = desk.run(*LINE, "-o", "json")
        told = json.loads(parked.out)
        assert (parked.code, told["exitCode"], told["jobs"]["parked"]) == (8, 8, 1), parked.err
    assert len(emulator.names()) == 3
    (row,) = json.loads(desk.run("jobs", "c1", "--state", "parked", "-o", "json").out)["jobs"]
    assert (row["wave"], row["jobId"], row["attempts"]) == ("total", "", 1)
