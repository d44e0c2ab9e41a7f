"""`rollout doctor`, called as a user calls it, with a platform beside it."""

import json
import socket

import pytest

DEMO = {"ENOS_ACCESS_KEY": "demo-access-key", "ENOS_SECRET_KEY": "canary-of-a-wrong-secret"}
ORG = "o00000000000000"


@pytest.fixture
def emulator(desk):
    """The URL of an emulator that runs as a process of its own."""
    process = desk.begin("emulator", "--port", "0")
    return process.stdout.readline().split()[1]


@pytest.fixture
def dead():
    """A URL where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


def test_all_is_well(desk, emulator):
    """A line a look, a summary, exit code 0."""
    done = desk("doctor", "--url", emulator, "--org", ORG)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in lines[:-1]] == [
        *("program", "state", "profile", "keys", "name", "connection", "tls", "clock", "token"),
        *("jobs", "tasks", "firmware", "devices", "changes"),
    ]
    assert {line.split()[0] for line in lines[:-2]} <= {"ok", "warning"}
    assert lines[-1].endswith("0 failed, 1 skipped")


def test_a_wrong_secret(desk, emulator):
    """Exit code 4; the reference is named and the secret is in no output."""
    desk.environment |= DEMO
    done = desk.run("doctor", "--url", emulator, "--org", ORG)
    assert done.returncode == 4
    assert "secret_key from env:ENOS_SECRET_KEY" in done.stdout
    assert "failed   token         no token: status 1003" in done.stdout
    assert "skipped  jobs          token failed" in done.stdout
    assert DEMO["ENOS_SECRET_KEY"] not in done.stdout + done.stderr


def test_no_keys(desk):
    """Exit code 4, and what to export; the rest of the way is looked at all the same."""
    done = desk("doctor", "--url", "https://gateway.invalid", "--org", ORG)
    assert done.exit_code == 4
    assert "hint: export ENOS_ACCESS_KEY" in done.stdout
    assert "failed   name          gateway.invalid:" in done.stdout


def test_nobody_there(desk, dead):
    """Exit code 1."""
    done = desk("doctor", "--url", dead, "--org", ORG)
    assert done.exit_code == 1
    assert "Connection refused" in done.stdout


def test_no_organisation(desk, emulator):
    """Exit code 2, and where one can be named; a token is fetched all the same."""
    done = desk("doctor", "--url", emulator)
    assert done.exit_code == 2
    assert "--org ID" in done.stdout
    assert "ok       token" in done.stdout
    assert "skipped  jobs          no organisation" in done.stdout


def test_a_plan(desk, emulator):
    """Its organisation is used and its firmware is looked up, which an emulator makes up later."""
    plan = desk.path / "plan.yaml"
    plan.write_text(plan.read_text().replace("orgId: o1", f"orgId: {ORG}"))
    done = desk("doctor", "plan.yaml", "--url", emulator)
    assert done.exit_code == 0
    assert f"org {ORG}" in done.stdout
    assert "warning  plan firmware" in done.stdout
    assert "ok       plan jobs" in done.stdout


def test_a_plan_for_another_organisation(desk):
    """The profile's and the plan's must be the same; a flag that contradicts the plan is refused."""
    desk.environment |= {"PROD_ACCESS": "canary-prod-access", "PROD_SECRET": "canary-prod-secret"}
    (desk.path / "plan.yaml").write_text(
        (desk.path / "plan.yaml").read_text().replace("orgId: o1", "orgId: o2")
    )
    done = desk("doctor", "plan.yaml", "--profile", "prod")
    assert "failed   profile" in done.stdout
    assert "prod is for organisation o1, the plan for o2" in done.stdout
    assert done.exit_code == 2
    assert desk("doctor", "plan.yaml", "--profile", "stage", "--org", "o3").exit_code == 2


def test_the_emulator_inside(desk):
    """There is nothing but this machine to look at."""
    done = desk("doctor")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == "3 ok, 0 warnings, 0 failed, 0 skipped"


def test_as_json(desk, dead):
    """One document with every look, its figures and its exit code."""
    done = desk("doctor", "--url", dead, "--org", ORG, "-o", "json")
    report = json.loads(done.stdout)
    assert (report["schema"], report["exitCode"], done.exit_code) == ("rollout.doctor/1", 1, 1)
    assert (report["url"], report["orgId"]) == (dead, ORG)
    failed = [check for check in report["checks"] if check["status"] == "failed"]
    assert [(check["check"], check["exitCode"]) for check in failed] == [("connection", 1)]
    assert failed[0]["hint"]


def test_a_state_directory_that_cannot_be_written(desk, dead):
    """It is told with its path; a place that does not exist yet is judged by what is above it."""
    (desk.path / "file").write_text("")
    done = desk("doctor", "--url", dead, "--org", ORG, "--state-dir", str(desk.path / "file" / "below"))
    assert "failed   state" in done.stdout
    assert done.exit_code == 2
    done = desk("doctor", "--url", dead, "--org", ORG, "--state-dir", str(desk.path / "new" / "below"))
    assert f"ok       state         {desk.path}: writable" in done.stdout
    assert not (desk.path / "new").exists()


def test_nowhere(desk):
    """Without any platform named it says how to name one."""
    (desk.path / "rollout.toml").unlink()
    done = desk("doctor")
    assert done.exit_code == 2
    assert "[R404]" in done.stderr
