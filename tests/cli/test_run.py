"""`run` as people and machines call it: a process of its own, an emulator over HTTP, kills, signals and refusals."""

import csv
import json
import os
import pty
import shlex
import signal
import stat
import subprocess
import sys
import urllib.request
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from support.plans import build

from rollout.app.running import exit_code
from rollout.core.state import State
from rollout.engine.runner import Leave
from rollout.enos.job_plan import ENOS
from rollout.intake.plan_file import load_plan_file
from rollout.intake.saved_plan import compile_plan

SPEED = "2000"
REHEARSE = ("run", "plan.yaml", "--emulator", "--speed", SPEED)


def numbers(text):
    """Return the sums of the end summary."""
    line = next(line for line in text.splitlines() if " TOTAL=" in line)
    return {
        name: int(value.replace(",", "")) for name, value in (pair.split("=") for pair in line.split()[1:])
    }


def records(desk):
    """Return the campaign's event log."""
    return [json.loads(line) for line in (desk.campaign / "events.ndjson").read_text().splitlines()]


def creates(desk):
    """Return the keys of every create the in-process emulator has carried out, call by call."""
    lines = [json.loads(line) for line in (desk.campaign / "emulator.ndjson").read_text().splitlines()]
    calls = [line["with"] for line in lines[1:] if "create" in line["do"]]
    return [json.dumps(call).count("SN-") for call in calls], Counter(
        word for call in calls for word in json.dumps(call).split('"') if word.startswith("SN-")
    )


def test_a_campaign_runs_to_its_end(desk):
    """Exit 0, sums that add up to the fleet, a log with ids, private files, and a second run that changes nothing."""
    done = desk.run(*REHEARSE)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert numbers(done.stdout) == {"JOBS": 4, "OK": 40, "FAILED": 0, "OPEN": 0, "TOTAL": 40}
    assert done.stdout.startswith("Finished small in ")
    assert "Plan: 4 jobs to create for 40 devices in 2 waves, 0 already created." in done.stderr

    log = records(desk)
    created = [record for record in log if record["event"] == "batch.job_created"]
    batches = ["canary/0001", "total/0001", "total/0002", "total/0003"]
    assert sorted(record["batch"] for record in created) == batches
    for record in created:
        assert record.keys() >= {
            "timestamp",
            "ts",
            "level",
            "campaignId",
            "seq",
            "wave",
            "attempt",
            "jobId",
            "requestId",
        }
    assert [record["seq"] for record in log if "seq" in record] == sorted(
        record["seq"] for record in log if "seq" in record
    )
    for path in desk.campaign.rglob("*"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path

    before = (desk.campaign / "emulator.ndjson").read_bytes()
    again = desk.run(*REHEARSE)
    assert (again.returncode, numbers(again.stdout)) == (0, numbers(done.stdout))
    assert (desk.campaign / "emulator.ndjson").read_bytes() == before

    status = json.loads(desk("status", "-o", "json").stdout)
    assert (status["schema"], status["status"], status["runner"]) == ("rollout.status/1", "finished", None)
    jobs = list(csv.DictReader(desk("jobs", "small", "-o", "csv").stdout.splitlines()))
    assert {job["batch"]: job["jobId"] for job in jobs} == {
        record["batch"]: record["jobId"] for record in created
    }
    assert desk("plan", "plan.yaml", "--detailed-exitcode").exit_code == 0
    assert "is finished; nothing can change that" in desk("pause", "small").stderr


def test_another_plan_for_a_begun_campaign_is_refused(desk):
    """The campaign keeps the plan it began with; both digests are told. C08."""
    done = desk.run(*REHEARSE, "--until", "canary")
    assert done.returncode == 0
    old = json.loads((desk.campaign / "plan.json").read_text())["digest"]
    (desk.path / "plan.yaml").write_text((desk.path / "plan.yaml").read_text().replace("25%", "50%"))
    for verb in ("plan", "run"):
        result = desk(verb, "plan.yaml", *(["--emulator"] if verb == "run" else []))
        assert result.exit_code == 2
        assert f"exists with another plan: begun with sha256 {old}, now " in result.stderr
    assert json.loads((desk.campaign / "plan.json").read_text())["digest"] == old


def test_a_killed_run_goes_on_and_creates_nothing_twice(desk):
    """`kill -9` of runner and emulator together; the same line again finishes, each device in exactly one job.

    The accelerated clock goes on where it was, however little real time has passed.
    """
    process = desk.begin(*REHEARSE)
    desk.wait_for(process, "wave=total batch=total/")
    process.kill()
    process.communicate()
    died = desk("status", "small").stdout
    assert "none alive; the last one died" in died
    assert f"rollout {shlex.join(REHEARSE)}" in died
    done = desk.run(*REHEARSE)
    assert (done.returncode, numbers(done.stdout)["OK"]) == (0, 40)
    log = records(desk)
    second = [place for place, record in enumerate(log) if record["event"] == "engine.started"][1]
    assert max(record["ts"] for record in log[:second]) <= min(record["ts"] for record in log[second:])
    sizes, devices = creates(desk)
    assert sizes == [10, 10, 10, 10]
    assert set(devices.values()) == {1}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_how_to_go_on(desk, number, code):
    """The first signal ends the run in good order and prints the line that was typed, which goes on."""
    process = desk.begin(*REHEARSE)
    desk.wait_for(process, "batch.job_created")
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert f"Interrupted, state saved. Go on with:  rollout {shlex.join(REHEARSE)}" in err
    assert "Traceback" not in err
    assert numbers(out)["TOTAL"] == 40
    assert "left in good order" in desk("status", "small").stdout


def test_a_second_runner_is_refused_and_told_who_holds_it(desk):
    """Exit 7 with the holder's process id; steering the first works meanwhile. C09."""
    process = desk.begin("run", "plan.yaml", "--emulator")
    desk.wait_for(process, "batch.job_created")
    second = desk.run(*REHEARSE)
    assert second.returncode == 7
    assert f"in use by process {process.pid}" in second.stderr
    assert f"pid {process.pid}" in desk("status", "small").stdout
    paused = desk("pause", "small", "--reason", "storm", "-o", "json")
    assert json.loads(paused.stdout)["taken"] is True
    assert "paused (storm)" in desk("status", "small").stdout
    aborted = desk("abort", "small", "--stop-jobs", "--cancel-pending", "--yes")
    assert aborted.stdout.startswith("aborted by ")
    process.communicate(timeout=30)
    assert process.returncode == 3
    assert desk("status", "small", "--wait").exit_code == 3


def test_a_bad_firmware_is_stopped_in_the_canary(desk):
    """Exit 3; nothing of the next wave is created; the way on is told."""
    done = desk.run(*REHEARSE, "--fail", "90%")
    assert done.returncode == 3
    assert done.stdout.startswith("Halted small in wave canary: ")
    assert {record["wave"] for record in records(desk) if record["event"] == "batch.job_created"} == {
        "canary"
    }
    assert "rollout resume small" in done.stderr
    assert "rollout approve small --wave canary" in done.stderr


def test_what_is_told_to_do_next_names_the_state_directory(desk):
    """The commands of the last lines work as they are printed, wherever the state is kept."""
    done = desk.run(*REHEARSE, "--fail", "90%", "--state-dir", "elsewhere")
    assert "rollout jobs small --state-dir elsewhere" in done.stdout
    line = next(line for line in done.stderr.splitlines() if "rollout approve" in line)
    told = shlex.split(line[line.index("rollout approve") :])
    looked = desk("status", "small", "--state-dir", "elsewhere").stdout
    assert "rollout approve small --wave canary --state-dir elsewhere" in looked
    assert "rollout resume small --state-dir elsewhere" in looked
    assert desk.run(*told[1:]).returncode == 0


def test_a_wave_that_was_reached_is_not_waited_for_again(desk):
    """The line to go on with leaves `--until` out, so that it does go on; `status` tells the same line."""
    done = desk.run(*REHEARSE, "--until", "canary")
    assert (done.returncode, done.stdout.startswith("Left small unfinished after ")) == (0, True)
    line = f"rollout {shlex.join(REHEARSE)}"
    assert done.stderr.splitlines()[-1] == f"Go on with:  {line}"
    looked = desk("status", "small").stdout
    assert looked.splitlines()[-1].endswith(f"go on with:  {line}")
    assert "small  unfinished, waiting for " in looked
    assert desk.run(*shlex.split(line)[1:]).returncode == 0


def test_the_preview_of_a_begun_campaign_counts_what_is_left(desk):
    """No soak of a gate that passed, and after the end nothing at all."""
    fresh = json.loads(desk("plan", "plan.yaml", "-o", "json").stdout)
    assert (fresh["soakSeconds"], fresh["jobsToCreate"]) == (600, 4)
    assert desk.run(*REHEARSE, "--until", "canary").returncode == 0
    begun = json.loads(desk("plan", "plan.yaml", "-o", "json").stdout)
    assert (begun["soakSeconds"], begun["jobsToCreate"], begun["jobsCreated"]) == (0, 3, 1)
    assert desk("abort", "small", "--yes").exit_code == 0
    assert desk.run(*REHEARSE).returncode == 3
    over = desk("plan", "plan.yaml")
    assert "Plan: the campaign is aborted, 1 job created; nothing is left to do." in over.stdout
    assert "Earliest" not in over.stdout
    assert "Run exactly this" not in over.stdout


def test_a_rehearsal_keeps_its_settings(desk):
    """Other devices under the same jobs would be another platform: refused, with the line that does go on."""
    assert desk.run(*REHEARSE, "--until", "canary").returncode == 0
    other = desk.run(*REHEARSE, "--fail", "90%")
    assert other.returncode == 2
    assert "State saved" not in other.stderr
    hint = other.stderr.splitlines()[-1]
    assert f"rollout {shlex.join(REHEARSE)};" in hint
    assert "--state-dir DIR" in hint
    assert shlex.join(REHEARSE) in desk("status", "small").stdout.splitlines()[-1]


def test_an_approval_that_changes_nothing_says_so(desk):
    """A gate that asks for none, or has opened already, is told as such; the order is recorded all the same."""
    assert desk.run(*REHEARSE, "--until", "canary").returncode == 0
    assert "this gate has opened already" in desk("approve", "small", "--wave", "canary").stdout
    assert "this gate does not wait for an approval" in desk("approve", "small", "--wave", "total").stdout


def test_the_rehearsals_devices_are_of_the_plans_product(desk):
    """A plan that names a product finds its devices in the emulator inside the process."""
    plan = (desk.path / "plan.yaml").read_text().replace("job: {", "job: {productKey: inv7, ")
    (desk.path / "plan.yaml").write_text(plan)
    done = desk.run(*REHEARSE)
    assert (done.returncode, numbers(done.stdout)["OK"]) == (0, 40)


def test_devices_the_platform_has_no_task_for_are_told(desk):
    """A platform that does not know the devices leaves them open; summary and status say why."""
    process = desk.begin("emulator", "--port", "0", "--org", "o1", "--speed", SPEED, "--devices", "5")
    url = next(word for word in process.stdout.readline().split() if word.startswith("http://"))
    (desk.path / "rollout.toml").write_text(
        f'[profiles.near]\nurl = "{url}"\nlatest_effect = "300ms"\nsearch_lag = "300ms"\n'
    )
    plan = (desk.path / "plan.yaml").read_text().replace("soak: 10m", "deadline: 30m")
    (desk.path / "plan.yaml").write_text(plan)
    done = desk.run("run", "plan.yaml", "--profile", "near", "--speed", SPEED, "--yes")
    assert done.returncode == 3
    assert "10 without a task" in done.stdout
    assert "10 open · 10 without a task" in desk("status", "small").stdout


def test_one_bad_site_is_read_from_the_device_list(desk):
    """The site's devices fail, the others do not."""
    gateless = (
        (desk.path / "plan.yaml").read_text().replace("stopAt: {failed: 30%, of: resolved, minSample: 3}", "")
    )
    (desk.path / "plan.yaml").write_text(gateless.replace("success: {min: 90%, of: resolved}", ""))
    done = desk.run(*REHEARSE, "--bad-site", "site-2:100%")
    assert (done.returncode, numbers(done.stdout)["FAILED"]) == (0, 10)
    for wrong in ("site-9:100%", "site-2", "site-2:200%"):
        assert desk("run", "plan.yaml", "--emulator", "--bad-site", wrong).exit_code == 2


def test_a_fleet_file_says_how_devices_behave(desk):
    """Strata are looked up in the plan's own lists where these have the column, else drawn; --fail goes before the file."""
    plan = (desk.path / "plan.yaml").read_text()
    gateless = plan.replace("stopAt: {failed: 30%, of: resolved, minSample: 3}", "")
    (desk.path / "plan.yaml").write_text(gateless.replace("success: {min: 90%, of: resolved}", ""))
    fleet = desk.path / "fleet.yaml"
    fleet.write_text(
        "version: 1\ncolumns: {site: {site-9: 1}, radio: {lora: 1}}\n"
        "strata:\n  - {where: {site: [site-2], radio: [lora]}, failed: 100%}\n"
    )
    rehearse = (*REHEARSE, "--fleet", "fleet.yaml")
    done = desk.run(*rehearse)
    assert "R204 strata[1].where.site[1]: no device has site 'site-2'" in done.stderr
    assert (done.returncode, numbers(done.stdout)["FAILED"]) == (0, 10)
    spared = desk.run(*rehearse, "--fail", "0%", "--state-dir", "spared")
    assert (spared.returncode, numbers(spared.stdout)["FAILED"]) == (0, 0)
    fleet.write_text("version: 1\nstrata:\n  - {where: {colour: [red]}, failed: 100%}\n")
    assert "R152" in desk(*rehearse, "--state-dir", "absent").stderr
    for wrong, told in (("devices.csv", "goes to --devices"), ("none.yaml", "R100")):
        result = desk("run", "plan.yaml", "--emulator", "--fleet", wrong)
        assert (result.exit_code, told in result.stderr) == (2, True)


def test_a_fleet_file_needs_the_emulator(desk):
    """A description of devices means nothing to a real platform."""
    result = desk("run", "plan.yaml", "--url", "http://127.0.0.1:1", "--fleet", "fleet.yaml")
    assert (result.exit_code, "add --emulator" in result.stderr) == (2, True)


def test_the_emulator_plays_a_described_fleet_alone(desk):
    """The file's devices exist, with its columns; a device list goes before the file's own devices."""
    (desk.path / "fleet.yaml").write_text(
        "version: 1\ncolumns: {ring: {one: 1}}\nstrata: [{where: {site: [site-1]}, failed: 5%}]\n"
        'devices: {count: 7, keys: "ABC-{n:02}"}\n'
    )

    def devices(*more):
        process = desk.begin("emulator", "--port", "0", "--fleet", "fleet.yaml", *more)
        url = next(word for word in process.stdout.readline().split() if word.startswith("http://"))
        with urllib.request.urlopen(url + "/_admin/state") as answer:
            return json.load(answer)["devices"]

    assert devices() == 7
    assert devices("--devices", "devices.csv") == 40
    assert devices("--devices", "3") == 3


def test_an_approval_is_waited_for_or_given_in_advance(desk):
    """--exit-on-wait leaves with 6; an approval in the inbox counts with the next run."""
    (desk.path / "plan.yaml").write_text(
        (desk.path / "plan.yaml").read_text().replace("      soak: 10m\n", "      approval: required\n")
    )
    waits = desk.run(*REHEARSE, "--exit-on-wait", "-o", "json")
    assert (waits.returncode, json.loads(waits.stdout)["result"]) == (6, "waiting")
    assert "rollout approve small --wave canary\nThen:  rollout run " in waits.stderr
    assert desk("status", "small", "--wait", "--for=approval").exit_code == 0
    assert desk("status", "small", "--wait", "--for=finished", "--timeout", "1ms").exit_code == 6
    queued = desk("approve", "small", "--wave", "canary", "--comment", "CHG-1042").stdout
    assert "queued   approved canary: no runner lives" in queued
    looked = desk("status", "small").stdout
    assert "approve canary by " in looked
    assert looked.splitlines()[-1].endswith(
        f"go on with:  rollout {shlex.join(REHEARSE)} --exit-on-wait -o json"
    )
    done = desk.run(*REHEARSE)
    assert done.returncode == 0
    assert "approved by " in done.stdout
    (approval,) = (record for record in records(desk) if record["event"] == "approval.given")
    assert approval["comment"] == "CHG-1042"


def test_events_can_be_streamed(desk):
    """With `--events -` standard output is the event log and nothing else; the summary goes to standard error."""
    done = desk.run(*REHEARSE, "--events", "-", "--log-format", "json", "--approve", "canary", "-q")
    assert done.returncode == 0
    assert [json.loads(line) for line in done.stdout.splitlines()] == records(desk)


def test_nobody_to_ask_is_told_which_flag_answers(desk):
    """Without a terminal the question has a flag: --yes, or --confirm with the id on a protected profile."""
    environment = {"PROD_ACCESS": "ak", "PROD_SECRET": "sk"}
    desk.environment.update(environment)
    asked = desk("run", "plan.yaml", "--profile", "stage")
    assert (asked.exit_code, "repeat it with --yes" in asked.stderr) == (2, True)
    asked = desk("run", "plan.yaml", "--profile", "prod")
    assert (asked.exit_code, "repeat it with --confirm small" in asked.stderr) == (2, True)
    refused = desk("run", "plan.yaml", "--profile", "prod", "--yes")
    assert (refused.exit_code, "protected: --confirm small instead of --yes" in refused.stderr) == (2, True)
    wrong = desk("run", "plan.yaml", "--profile", "prod", "--confirm", "large")
    assert (wrong.exit_code, "the campaign id is small" in wrong.stderr) == (2, True)
    assert not (desk.campaign / "journal.db").exists()


def test_a_plan_of_another_organisation_is_refused(desk):
    """The profile's organisation and the plan's must agree before anything is sent."""
    desk.environment.update({"PROD_ACCESS": "ak", "PROD_SECRET": "sk"})
    (desk.path / "plan.yaml").write_text(
        (desk.path / "plan.yaml").read_text().replace("orgId: o1", "orgId: o2")
    )
    result = desk("run", "plan.yaml", "--profile", "prod", "--confirm", "small")
    assert (result.exit_code, "is for organisation o1, the plan for o2" in result.stderr) == (2, True)


def test_only_a_platform_of_ones_own_runs_faster(desk):
    """--speed and the fleet's habits are for emulators."""
    desk.environment.update({"PROD_ACCESS": "ak", "PROD_SECRET": "sk"})
    assert "lives in real time" in desk("run", "plan.yaml", "--profile", "stage", "--speed", "2").stderr
    assert "add --emulator" in desk("run", "plan.yaml", "--profile", "stage", "--fail", "1%").stderr


def test_looking_creates_nothing(desk):
    """status, jobs and the orders on a campaign that was never run say so and leave no journal. C07."""
    assert desk("plan", "plan.yaml").exit_code == 0
    assert "planned, never run" in desk("status", "small").stdout
    assert (
        desk("jobs", "small").stdout == "BATCH  STATE  JOB ID  DEVICES  CODE  MESSAGE  ATTEMPTS  REQUEST ID\n"
    )
    planned = desk("jobs", "small", "--state", "planned", "-o", "ndjson").stdout.splitlines()
    assert [json.loads(line)["batch"] for line in planned] == [
        "canary/0001",
        "total/0001",
        "total/0002",
        "total/0003",
    ]
    for order in (["pause"], ["resume"], ["approve", "--wave", "canary"], ["abort", "--yes"]):
        result = desk(order[0], "small", *order[1:])
        assert (result.exit_code, "was never run" in result.stderr) == (2, True)
    assert sorted(path.name for path in desk.campaign.iterdir()) == ["plan.devices", "plan.json"]


def test_a_second_signal_leaves_at_once(desk):
    """With a call open that does not end, the first signal waits for it, the second does not; the next run looks it up."""
    history = desk.path / "history.ndjson"
    fault = ("--fault", "slow_answer=1,limit=1,seconds=30")
    slow = desk.begin("emulator", "--port", "0", "--speed", SPEED, "--log", history, *fault)
    url = next(word for word in slow.stdout.readline().split() if word.startswith("http://"))
    (desk.path / "plan.yaml").write_text(
        (desk.path / "plan.yaml").read_text().replace("o1", "o00000000000000")
    )
    (desk.path / "rollout.toml").write_text(
        f'default_profile = "near"\n[profiles.near]\nurl = "{url}"\nlatest_effect = "300ms"\nsearch_lag = "300ms"\n'
    )
    line = ("run", "plan.yaml", "--yes", "--speed", SPEED)
    process = desk.begin(*line)
    # The platform has carried a create out, after its log's first line, and keeps its answer back.
    while history.read_bytes().count(b"\n") < 2:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    desk.wait_for(process, "engine.stopping")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 130
    done = desk.run(*line)
    assert (done.returncode, numbers(done.stdout)["OK"]) == (0, 40)
    assert "adopted=true" in done.stderr


def test_a_platform_out_of_reach_is_exit_1(desk):
    """After the retries of the plan: one line, the way on, and no traceback."""
    (desk.path / "plan.yaml").write_text(
        (desk.path / "plan.yaml").read_text() + "apiRetry: {attempts: 1, first: 10ms, max: 10ms}\n"
    )
    done = desk.run("run", "plan.yaml", "--url", "http://127.0.0.1:9", "--yes")
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: " in done.stderr
    assert "State saved. Go on with:  rollout run plan.yaml --url http://127.0.0.1:9 --yes" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_state_directory_that_is_none_is_told(desk):
    """The system's own words for the path, no traceback."""
    result = desk("plan", "plan.yaml", "--state-dir", "devices.csv/x")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: devices.csv/x: Not a directory [R901]\n"


def test_a_link_in_the_logs_place_is_refused(desk):
    """Nothing is sent and nothing is written through it."""
    desk.campaign.mkdir(parents=True)
    (desk.campaign / "events.ndjson").symlink_to(desk.path / "elsewhere")
    refused = desk.run(*REHEARSE)
    assert (refused.returncode, "events.ndjson: cannot be written" in refused.stderr) == (2, True)
    assert not (desk.path / "elsewhere").exists()


def test_a_terminal_gets_a_live_view_and_the_log_goes_to_its_file(desk):
    """Standard error is redrawn in place; no log line is mixed in; the summary is on standard output."""
    master, slave = pty.openpty()
    line = [sys.executable, "-m", "rollout", *REHEARSE]
    environment = {**desk.environment, "TERM": "xterm", "COLUMNS": "120", "LINES": "30"}
    process = subprocess.Popen(
        line, cwd=desk.path, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave
    )
    os.close(slave)
    seen = b""
    with suppress(OSError):  # the terminal's other end reports its close as an error
        while part := os.read(master, 65_536):
            seen += part
    out, _ = process.communicate()
    os.close(master)
    assert process.returncode == 0
    assert numbers(out.decode())["OK"] == 40
    assert "small · wave 1 of 2".encode() in seen
    assert b"\x1b[" in seen
    assert b"batch.job_created" not in seen
    assert any(record["event"] == "batch.job_created" for record in records(desk))


def test_a_question_is_answered_at_the_terminal(desk):
    """A protected profile wants the campaign's id typed; anything else runs nothing."""
    desk.environment.update({"PROD_ACCESS": "ak", "PROD_SECRET": "sk", "TERM": "dumb"})
    master, slave = pty.openpty()
    line = [sys.executable, "-m", "rollout", "run", "plan.yaml", "--profile", "prod"]
    process = subprocess.Popen(
        line,
        cwd=desk.path,
        env=desk.environment,
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(slave)
    os.write(master, b"large\n")
    _, err = process.communicate(timeout=30)
    os.close(master)
    assert process.returncode == 2
    assert "Create 4 jobs in prod? Type the campaign id to go on:" in err
    assert "error: not run" in err
    assert not (desk.campaign / "journal.db").exists()


def test_a_run_leaves_no_core_dump(desk):
    """What is in memory, keys included, is never written by the system. S24."""
    process = desk.begin("run", "plan.yaml", "--emulator")
    desk.wait_for(process, "batch.job_created")
    limits = Path(f"/proc/{process.pid}/limits").read_text()
    process.terminate()
    process.communicate(timeout=30)
    (core,) = (line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4] == "0"


def test_strict_says_five_where_devices_failed(desk):
    """Within the gates' tolerance the campaign finishes; --strict makes the failures an exit code."""
    line = (*REHEARSE, "--fail", "3%")
    assert desk.run(*line).returncode == 0
    assert desk.run(*line, "--strict").returncode == 5


@pytest.mark.parametrize(
    ("leave", "facts", "strict", "code"),
    [
        (Leave.FINISHED, {}, False, 0),
        (Leave.FINISHED, {"parked": {0}}, False, 8),
        (Leave.FINISHED, {"duplicated": {0}}, True, 8),
        (Leave.FINISHED, {}, True, 5),
        (Leave.REACHED, {}, True, 0),
        (Leave.HALTED, {"parked": {0}}, False, 8),
        (Leave.HALTED, {"parked": {0}, "halted_by_gate": True}, False, 3),
        (Leave.HALTED, {"duplicated": {0}}, False, 8),
        (Leave.HALTED, {"duplicated": {0}, "halted_by_gate": True}, False, 3),
        (Leave.ABORTED, {}, False, 3),
        (Leave.WAITING, {}, False, 6),
        (Leave.STOPPED, {}, False, 130),
    ],
)
def test_each_end_has_its_exit_code(leave, facts, strict, code):
    """The table of the documentation; doubt about a create outranks failed devices."""
    plan, _ = build(("all", [5], None, None))
    state = State.initial(plan)
    for name, value in facts.items():
        setattr(state, name, value)
    assert exit_code(leave, state, None, strict=strict) == code


def test_settings_of_a_newer_program_are_not_sent(desk):
    """A saved plan with a job setting that this program does not know is refused before anything is begun."""
    document = load_plan_file(desk.path / "plan.yaml", ENOS)
    waves = [
        replace(wave, job=replace(wave.job, platform={**wave.job.platform, "region": "eu"}))
        for wave in document.campaign.waves
    ]
    campaign = replace(document.campaign, waves=tuple(waves))
    newer = replace(document, campaign=campaign, check_size=lambda *_: None)
    plan = compile_plan(newer, desk.campaign).path
    done = desk.run("run", plan, "--emulator", "--speed", SPEED)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "R181" in done.stderr
    assert "region" in done.stderr
    assert not (desk.campaign / "journal.db").exists()
