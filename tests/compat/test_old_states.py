"""State directories that earlier releases wrote are opened by this one: seen, steered and run to their end.

Each folder beside this file is what one release wrote, by `python tests/compat/make.py`: a small campaign planned, running
(killed while it created jobs), waiting for an approval, with orders that nobody took, paused, halted, passed by a person
and aborted by its second gate, aborted, finished; what that release said of them in `expected`; and plans of all kinds.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
RELEASES = sorted(path.parent for path in HERE.glob("*/states.json"))
STATES = [
    (release, name) for release in RELEASES for name in json.loads((release / "states.json").read_text())
]
PLANS = [(release, plan) for release in RELEASES for plan in sorted((release / "plans").iterdir())]
JOB_FIELDS = ("batch", "name", "jobId", "devices", "attempts", "code", "adopted")


def rollout(*arguments, cwd):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ENOS_")}
    return subprocess.run(
        [sys.executable, "-m", "rollout", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def read(directory, verb):
    done = rollout(verb, "--state-dir", str(directory), "-o", "json", cwd=directory)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def copied(release, name, tmp_path):
    """Copy the state with the permissions it had: a checkout makes files readable by all."""
    target = tmp_path / "state"
    shutil.copytree(release / name, target)
    for path in target.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    target.chmod(0o700)
    return target


def names_by_batch(directory, tmp_path):
    """Return the name of each of the plan's jobs by its batch."""
    file = tmp_path / "waves.csv"
    plan = next(directory.glob("*/plan.json"))
    done = rollout("plan", str(plan), "--state-dir", str(directory), "--waves-csv", str(file), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with file.open(newline="") as rows:
        return {f"{row['wave']}/{int(row['batch']):04d}": row["jobName"] for row in csv.DictReader(rows)}


def label(case):
    return case.name if isinstance(case, Path) else str(case)


@pytest.mark.parametrize(("release", "name"), STATES, ids=label)
def test_an_earlier_state_is_seen_as_it_was(release, name, tmp_path):
    """`status` and `jobs` give the numbers, states and ids that the release itself gave."""
    directory = copied(release, name, tmp_path)
    expected = json.loads((release / "expected" / f"{name}.status.json").read_text())
    seen = read(directory, "status")
    for field in (
        "campaignId",
        "status",
        "planDigest",
        "jobs",
        "devices",
        "startedAt",
        "lastEventAt",
        "endedAt",
    ):
        assert seen[field] == expected[field], field
    assert [order["id"] for order in seen["orders"]] == [order["id"] for order in expected["orders"]]
    for wave, before in zip(seen["waves"], expected["waves"], strict=True):
        for field in ("name", "status", "jobs", "counts", "approvedBy"):
            assert wave[field] == before[field], (before["name"], field)
    jobs = json.loads((release / "expected" / f"{name}.jobs.json").read_text())["jobs"]
    found = read(directory, "jobs")["jobs"]
    assert [[job[f] for f in JOB_FIELDS] for job in found] == [[job[f] for f in JOB_FIELDS] for job in jobs]


@pytest.mark.parametrize(("release", "name"), STATES, ids=label)
def test_an_earlier_campaign_goes_on_to_its_end(release, name, tmp_path):
    """It ends as it would have under its own release, and every job bears the name that was planned then."""
    case = json.loads((release / "states.json").read_text())[name]
    directory = copied(release, name, tmp_path)
    planned = names_by_batch(directory, tmp_path)
    before = {job["batch"]: job["jobId"] for job in read(directory, "jobs")["jobs"] if job["jobId"]}
    for verb, *rest in case.get("orders", []):
        done = rollout(verb, "compat", *rest, "--state-dir", str(directory), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    plan = directory / "compat" / "plan.json"
    done = rollout(
        "run", str(plan), "--emulator", "--speed", "3000", "--yes", *case["flags"],
        "--state-dir", str(directory), "--log-format", "console", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == case["exit"], done.stdout + done.stderr
    seen = read(directory, "status")
    assert seen["status"] == case["after"]
    jobs = read(directory, "jobs")["jobs"]
    assert all(job["name"] == planned[job["batch"]] for job in jobs)
    assert before.items() <= {job["batch"]: job["jobId"] for job in jobs}.items()
    if case["after"] == "finished":
        assert {job["batch"] for job in jobs} == planned.keys()
        assert seen["devices"]["planned"] == len((release / "devices.csv").read_text().splitlines()) - 1


@pytest.mark.parametrize(("release", "plan"), PLANS, ids=label)
def test_an_earlier_plan_opens(release, plan, tmp_path):
    """A saved plan of every kind is shown with the digest it was saved with."""
    directory = copied(release, Path("plans") / plan.name, tmp_path)
    saved = json.loads((directory / "plan.json").read_text())
    done = rollout("plan", str(directory / "plan.json"), "-o", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert saved["digest"] in done.stdout
