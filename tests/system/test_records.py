"""What a run leaves behind: an event log with the result of every create call, and sums that add up."""

import json
from collections import Counter

import pytest
from campaigns_at_hand import assert_exact, lay_out
from processes import Desk

SPEED = "1500"
LINE = ("run", "plan.yaml", "--yes", "--speed", SPEED)
FAULTS = ("commit_then_drop=0.2", "drop_before_commit=0.15", "error_24500=0.15", "http_429=0.15")
BOUNDS = ("500ms", "200ms")
PLACE = {"timestamp", "ts", "level", "campaignId", "seq", "wave", "batch"}


@pytest.fixture(scope="module")
def troubled(tmp_path_factory):
    """Runs a campaign of 40 batches whose creates fail in four ways; yields desk, platform and the JSON result."""
    desk = Desk(tmp_path_factory.mktemp("troubled"))
    try:
        emulator = desk.emulator("--speed", SPEED, "--fail", "4%", *(f"--fault={fault}" for fault in FAULTS))
        rest = "apiRetry: {attempts: 20}"
        lay_out(
            desk,
            emulator.url,
            devices=200,
            per_job=5,
            canary="50",
            rate=40,
            sample=40,
            rest=rest,
            bounds=BOUNDS,
        )
        done = desk.run(*LINE, "-o", "json")
        assert done.code == 0, done.err
        assert_exact(desk, emulator)
        yield desk, emulator, json.loads(done.out)
    finally:
        desk.clear_away()


def test_every_create_and_every_failure_is_told(troubled):
    """Records have job, request, wave, batch, attempt and code; each unknown batch is found, or proved absent and sent again."""
    desk, emulator, _ = troubled
    records = desk.records("c1")
    assert [record["seq"] for record in records if "seq" in record] == sorted(
        record["seq"] for record in records if "seq" in record
    )
    fates = {}
    for record in records:
        if "batch" in record:
            assert record.keys() >= PLACE
            fates.setdefault(record["batch"], []).append(record)
    names = {row["batch"]: row["name"] for row in rows(desk)}
    jobs = {job["name"]: job["jobId"] for job in emulator.state()["newestJobs"]}
    seen = Counter()
    for batch, told in fates.items():
        *failures, created = told
        assert created["event"] == "batch.job_created"
        assert created["jobId"] == jobs[names[batch]]
        assert created.keys() >= {"attempt", "devices"}
        # a job that was found has no request of its own
        assert ("requestId" in created) != created.get("adopted", False)
        doubt = False
        for record in failures:
            match record["event"]:
                case "batch.create_throttled":
                    assert (record["code"], doubt) == (429, False)
                case "batch.outcome_unknown":
                    assert not doubt
                    # an error of the service has its code and request, a lost answer has neither
                    assert ("code" in record) == ("requestId" in record) == (record.get("code") == 24500)
                    doubt = True
                case "batch.lookup_inconclusive":
                    assert doubt
                case "batch.resend_allowed":
                    assert doubt
                    doubt = False
                case other:
                    raise AssertionError(f"{batch}: {other}")
            seen[record["event"], record.get("code")] += 1
            if record["event"] != "batch.lookup_inconclusive" and record["event"] != "batch.resend_allowed":
                assert record["attempt"] >= 1
        assert doubt == created.get("adopted", False)
        seen["adopted"] += doubt
    assert len(fates) == 40
    # each fault has struck, and each time there is a record of it
    struck = {entry["fault"].partition("=")[0]: entry["struck"] for entry in emulator.state()["faults"]}
    assert all(struck.values())
    assert seen["batch.create_throttled", 429] == struck["http_429"]
    assert seen["batch.outcome_unknown", 24500] == struck["error_24500"]
    assert seen["batch.outcome_unknown", None] == struck["commit_then_drop"] + struck["drop_before_commit"]
    assert seen["adopted"] == struck["commit_then_drop"]
    assert seen["batch.resend_allowed", None] == struck["drop_before_commit"] + struck["error_24500"]


def rows(desk):
    """Return `jobs -o json`'s rows."""
    told = json.loads(desk.run("jobs", "c1", "-o", "json").out)
    assert told["schema"] == "rollout.jobs/1"
    return told["jobs"]


def test_results_for_programs_add_up(troubled):
    """`run`, `status` and `jobs` agree with each other and with the platform, for each wave and in total."""
    desk, emulator, result = troubled
    status = json.loads(desk.run("status", "-o", "json").out)
    assert (result["schema"], result["exitCode"], result["result"]) == ("rollout.run/1", 0, "finished")
    assert (status["schema"], status["status"]) == ("rollout.status/1", "finished")
    assert result["waves"] == status["waves"]
    devices = result["devices"]
    assert devices["planned"] == devices["succeeded"] + devices["failed"] + devices["open"] == 200
    for part in ("planned", "succeeded", "failed"):
        assert devices[part] == status["devices"][part]
        column = "failedFinal" if part == "failed" else part
        assert devices[part] == sum(wave["counts"][column] for wave in result["waves"])
    tasks = emulator.state()["tasks"]
    assert (devices["succeeded"], devices["failed"]) == (tasks["succeeded"], tasks["failed"])
    assert devices["failed"] > 0
    told = rows(desk)
    assert Counter(row["state"] for row in told) == {"created": 40}
    adopted = sum(row["adopted"] for row in told)
    assert {kind: jobs for kind, jobs in result["jobs"].items() if jobs} == {
        "created": 40,
        "adopted": adopted,
    }
    assert sum(row["devices"] for row in told) == 200
