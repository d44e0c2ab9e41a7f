"""init, validate, schema and plan: what is written, shown and refused before anything is sent."""

import csv
import json
import stat
from pathlib import Path

import pytest

import rollout.cli.init as init_module
from rollout.app.planning import open_or_compile
from rollout.app.previewing import preview_of
from rollout.app.stores import open_store

REPOSITORY = Path(__file__).parents[2]


def test_init_writes_what_runs_at_once(desk):
    """Plan, devices, profile, schema and editor settings; the plan validates, and is the one in `plans/`."""
    result = desk("init", "demo")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == (
        "next     cd demo && rollout run plans/canary-then-total.yaml --emulator --speed 600"
    )
    demo = desk.path / "demo"
    assert desk("validate", demo / "plans/canary-then-total.yaml").exit_code == 0
    shipped = (REPOSITORY / "plans/canary-then-total.yaml").read_text()
    assert (demo / "plans/canary-then-total.yaml").read_text() == shipped
    assert len((demo / "plans/devices.csv").read_text().splitlines()) == 1 + init_module.DEVICES
    assert json.loads((demo / ".vscode/settings.json").read_text())["yaml.schemas"]
    assert json.loads((demo / ".rollout/plan.schema.json").read_text())["$schema"]
    made = desk(
        "run", "plans/canary-then-total.yaml", "--profile", "nobody", "--config", demo / "rollout.toml"
    )
    assert "profiles here: emulator" in made.stderr


def test_init_never_overwrites_unasked(desk):
    """One file in the way and nothing at all is written; --force is the word for it."""
    (desk.path / "demo").mkdir()
    (desk.path / "demo" / "rollout.toml").write_text("mine")
    result = desk("init", "demo")
    assert result.exit_code == 2
    assert "rollout.toml exists; nothing was written" in result.stderr
    assert [path.name for path in (desk.path / "demo").iterdir()] == ["rollout.toml"]
    assert desk("init", "demo", "--force", "-o", "json").exit_code == 0
    assert (desk.path / "demo" / "rollout.toml").read_text() != "mine"


def test_validate_tells_every_fault_with_its_place(desk):
    """All faults in one pass, one line each with file, line and column, a hint where there is one, then the sum."""
    (desk.path / "bad.yaml").write_text("version: 1\nid: BAD\norgId: o1\nfirmwareId: f1\nwavs: []\n")
    result = desk("validate", "bad.yaml")
    assert result.exit_code == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert any(line.startswith("bad.yaml:2:5: R107 id: ") for line in lines)
    assert any(line.startswith("bad.yaml:5:1: R103 wavs: ") for line in lines)
    assert lines[-2].endswith("errors, 0 warnings")
    assert lines[-1] == "more about a code: rollout explain R106"
    error = json.loads(desk("validate", "bad.yaml", "-o", "json").stderr)
    assert error["complaints"][0]["file"] == "bad.yaml"
    assert error["schema"] == "rollout.error/1"


def test_validate_reads_the_device_lists_too(desk):
    """A damaged key is told with its line; --plan-only leaves the lists alone."""
    (desk.path / "devices.csv").write_text("deviceKey,site\nSN-0001,a\n1.2E+07,a\n")
    result = desk("validate", "plan.yaml")
    assert result.exit_code == 2
    assert "devices.csv:3:1: " in result.stderr
    assert desk("validate", "plan.yaml", "--plan-only").exit_code == 0


def test_validate_takes_a_list_from_standard_input(desk):
    """`-` is standard input; nothing of a validation is left behind."""
    keys = "".join(f"SN-{number:04d}\n" for number in range(40))
    plan = (desk.path / "plan.yaml").read_text().replace("    spreadBy: site\n", "")
    (desk.path / "plan.yaml").write_text(plan)
    result = desk("validate", "plan.yaml", "--devices", "-", input=keys)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "plan.yaml:17:5: R305 waves.total: no gate, so nothing stops it once it has started",
        "plan.yaml: 0 errors, 1 warning",
    ]
    assert not (desk.path / ".rollout").exists()


@pytest.mark.parametrize("what", ["plan", "fleet", "emulator"])
def test_schema_is_json_schema(desk, what):
    """What editors read: a JSON document with its dialect."""
    schema = json.loads(desk("schema", what).stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_plan_shows_one_screen_and_saves(desk):
    """Campaign, target, fleet, waves with gates, calls, the sum of devices at once, L and S, and how to run it."""
    result = desk("plan", "plan.yaml", "--profile", "prod")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[:4] == [
        "Campaign   small · Small campaign",
        "Target     https://gw.example.com · org o1 · firmware f1",
        "Devices    40 rows · 40 in scope",
        "",
    ]
    assert [" ".join(line.split()) for line in lines[4:9]] == [
        "WAVE KIND DEVICES JOBS TOTAL GATE IF NOT",
        "+ canary upgrade 10 1 25% 90% of planned resolved, 90% of resolved ok, pause",
        "stop above 30% of resolved failed, soak 10m",
        "+ total upgrade 30 3 100% none -",
        "",
    ]
    text = result.stdout
    assert "Calls      4 creates at 50/s, 4 open at most: 0s of calling" in text
    assert "At once    no cap: 40 devices at most, the sum of 4 jobs" in text
    assert "sent again only if a search begun L 1m + S 5s after its end finds nothing" in text
    assert "Plan: 4 jobs to create for 40 devices in 2 waves, 0 already created." in text
    assert lines[-1] == "Run exactly this:  rollout run .rollout/small/plan.json --profile prod"
    assert stat.S_IMODE((desk.path / ".rollout").stat().st_mode) == 0o700
    assert sorted(path.name for path in desk.campaign.iterdir()) == ["plan.devices", "plan.json"]
    assert not list((desk.path / ".rollout").glob(".planning-*"))


def test_short_bounds_are_told_as_they_are(desk):
    """What a lost call waits for is never rounded to nothing."""
    assert "begun L 0.3s + S 0.3s after" in desk("plan", "plan.yaml", "--profile", "emulator").stdout


def test_the_preview_fits_a_narrow_terminal(desk):
    """Lines are wrapped between words, below their text; ids and paths stay whole, no row of the table is broken."""
    prepared = open_or_compile(desk.path / "plan.yaml", open_store(desk.path / "state"))
    preview = preview_of(prepared, None)
    narrow = preview.lines(80)
    assert max(len(line) for line in narrow if str(desk.path) not in line) <= 80
    told = " ".join(" ".join(narrow).split())
    for line in preview.lines():
        if not line.startswith(" "):
            assert " ".join(line.split()) in told
    assert "IF NOT" in narrow[4]


def test_a_plan_without_a_profile_can_be_rehearsed(desk):
    """Where nothing says where to run, the line to run is one that works."""
    (desk.path / "rollout.toml").unlink()
    last = desk("plan", "plan.yaml").stdout.splitlines()[-1]
    assert last == "Run exactly this:  rollout run .rollout/small/plan.json --emulator"


def test_plan_is_the_same_every_time_and_differs_by_seed(desk):
    """Same input, same digest; another seed draws other waves."""

    def digest(*flags):
        return json.loads(desk("plan", "plan.yaml", "-o", "json", *flags).stdout)["digest"]

    assert digest() == digest()
    assert digest() != digest("--seed", "8")


def test_plan_tells_whether_there_is_work(desk):
    """Exit 10 with --detailed-exitcode while jobs are to be created."""
    assert desk("plan", "plan.yaml", "--detailed-exitcode").exit_code == 10


def test_plan_writes_which_device_is_in_which_wave(desk):
    """Every device once, as a table for people."""
    assert desk("plan", "plan.yaml", "--waves-csv", "waves.csv").exit_code == 0
    rows = list(csv.DictReader((desk.path / "waves.csv").read_text().splitlines()))
    assert len({row["deviceKey"] for row in rows}) == len(rows) == 40
    assert {row["wave"] for row in rows} == {"canary", "total"}


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (".", "is a directory"),
        ("absent/waves.csv", "does not exist"),
        ("plan.yaml", "is an input"),
        ("devices.csv", "is an input"),
    ],
)
def test_an_output_never_takes_the_place_of_something_else(desk, target, told):
    """Checked before any work. C11."""
    result = desk("plan", "plan.yaml", "--devices", "devices.csv", "--waves-csv", target)
    assert result.exit_code == 2
    assert told in result.stderr
    assert not (desk.path / ".rollout").exists()
