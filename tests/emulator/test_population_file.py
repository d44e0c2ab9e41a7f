"""Fleet files: each key sets its field; mistakes are reported at their places; schema, examples and README agree."""

import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollout.emulator.platform.population import Habits, Population, Stratum
from rollout.emulator.population_file import fleet_schema, load_fleet_description
from rollout.errors import PlanError
from rollout.intake.complaints import Complaints
from rollout.intake.yaml_text import read_yaml

FLEETS = Path(__file__).parents[2] / "plans" / "fleets"
EXAMPLES = sorted(FLEETS.glob("*.yaml"))

FULL = """\
version: 1
failed: 2.5%
failureSteps: {-1: 3, -4: 20%, -17: 0.5}
mute: 1%
firstReport: {from: 500ms, to: 1m}
work: {median: 1h30m, sigma: 0.8}
online:
  sleepers: 3%
  away: 0.25
  awayFor: {from: 0s, to: 2d}
  daily: {share: 40%, from: "18:30", to: "06:00:15", spread: 2h}
requestEvery: 5m
columns:
  firmwareVersion: {1.10: 70%, "1.9": 30%}
  site: {ulm: 1}
strata:
  - where: {site: [ulm, kiel], firmwareVersion: [1.10]}
    failed: 50%
    online: {away: 0%}
  - where: {radio: [lora]}
    work: {sigma: 0}
devices: {count: 12, keys: "INV-{n:03}-x"}
"""

GOOD = "version: 1\nfailed: 1%\n"


def read(tmp_path, text):
    path = tmp_path / "fleet.yaml"
    path.write_text(text)
    return load_fleet_description(path)


def faults(tmp_path, text):
    """Return places and codes of all complaints, warnings too."""
    try:
        complaints = read(tmp_path, text).warnings
    except PlanError as error:
        complaints = error.complaints
    return [f"{c.line}:{c.column} {c.code}" for c in complaints]


def test_every_key_means_its_field(tmp_path):
    """Each key sets the field of its name, in seconds and shares; a stratum keeps what it does not change."""
    fleet = read(tmp_path, FULL)
    common = {
        "failed_ratio": 0.025,
        "failure_steps": {-1: 3.0, -4: 0.2, -17: 0.5},
        "mute_ratio": 0.01,
        "first_report_s": (0.5, 60.0),
        "work_s_median": 5400.0,
        "work_s_sigma": 0.8,
        "sleeper_ratio": 0.03,
        "offline_ratio": 0.25,
        "offline_s": (0.0, 172_800.0),
        "daily_ratio": 0.4,
        "daily_s": (66_600, 21_615),
        "daily_spread_s": 7200.0,
        "request_s": 300.0,
    }
    assert fleet.population == Population(
        **common,
        columns={"firmwareVersion": {"1.10": 0.7, "1.9": 0.3}, "site": {"ulm": 1.0}},
        strata=(
            Stratum(
                {"site": ("ulm", "kiel"), "firmwareVersion": ("1.10",)},
                Habits(**common | {"failed_ratio": 0.5, "offline_ratio": 0.0}),
            ),
            Stratum({"radio": ("lora",)}, Habits(**common | {"work_s_sigma": 0.0})),
        ),
    )
    assert fleet.stratified_by == ("site", "firmwareVersion", "radio")
    keys = list(fleet.devices)
    assert (len(keys), keys[0], keys[-1]) == (12, "INV-001-x", "INV-012-x")


def test_what_is_left_out_is_the_standard(tmp_path):
    """A file with nothing but its version gives the emulator's standard fleet, and no devices."""
    fleet = read(tmp_path, "version: 1\n")
    assert (fleet.population, fleet.devices) == (Population(), None)


CASES = {
    "no version": ("failed: 1%\n", ["1:1 R106"]),
    "other version": ("version: 2\n", ["1:10 R101"]),
    "a bare number for a share": (GOOD.replace("1%", "5"), ["2:9 R104"]),
    "a key of code": (GOOD + "failedRatio: 1%\n", ["3:1 R103"]),
    "a habit in the wrong block": (GOOD + "sleepers: 1%\n", ["3:1 R103"]),
    "a secret": (GOOD + "appSecret: abc\n", ["3:1 R122"]),
    "a weight below 0": (GOOD + "columns: {site: {ulm: -1, kiel: 2}}\n", ["3:23 R125"]),
    "weights of nothing": (GOOD + "columns: {site: {ulm: 0}}\nfailureSteps: {-1: 0%}\n", ["3:17 R125", "4:15 R125"]),
    "a column without values": (GOOD + "columns: {site: {}}\n", ["3:17 R102"]),
    "a step that is none": (GOOD + "failureSteps: {0: 1, -129: 1, -x: 1}\n", ["3:16 R102", "3:22 R102", "3:31 R102"]),
    "a span in reverse": (
        GOOD + "firstReport: {from: 2s, to: 1s}\nonline: {awayFor: {from: 2h, to: 1h}}\n",
        ["3:29 R102", "4:34 R102"],
    ),
    "hours that are none": (GOOD + "online: {daily: {share: 1%, from: 6:00, to: 24:00}}\n", ["3:35 R126", "3:45 R126"]),
    "a day without end": (GOOD + 'online: {daily: {share: 1%, from: "06:00", to: "06:00"}}\n', ["3:48 R102"]),
    "work for ever": (GOOD + "work: {median: 8d, sigma: 4}\n", ["3:16 R102", "3:27 R102"]),
    "a stratum of everybody": (GOOD + "strata:\n  - failed: 1%\n", ["4:5 R106"]),
    "a stratum of nobody": (GOOD + "columns: {site: {ulm: 1, bonn: 0}}\nstrata:\n  - where: {site: [ulm, kiel, bonn]}\n", ["5:25 R204", "5:31 R204"]),
    "keys without number": (GOOD + "devices: {count: 5, keys: sim}\n", ["3:27 R127"]),
    "keys with blanks": (GOOD + 'devices: {count: 5, keys: "a b{n}"}\n', ["3:27 R127"]),
    "keys too short": (GOOD + 'devices: {count: 2000, keys: "x{n}"}\n', ["3:30 R127"]),
    "keys too long": (GOOD + 'devices: {count: 5, keys: "x{n:64}"}\n', ["3:27 R127"]),
    "too many devices": (GOOD + "devices: {count: 10000001}\n", ["3:18 R102"]),
    "too many strata": (GOOD + "strata:\n" + "  - {where: {a: [b]}}\n" * 101, ["4:3 R102"]),
    "not a mapping": ("- version\n", ["1:1 R105"]),
    "not YAML": ("version: [\n", ["2:1 R115"]),
    "empty": ("", ["0:0 R112"]),
    "several at once": ("failed: 5\nwrk: 1\ncolumns: {a: {b: x}}\n", ["1:1 R106", "1:9 R104", "2:1 R103", "3:18 R125"]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES.keys())
def test_fault_is_told_at_its_place(tmp_path, text, expected):
    """All mistakes are reported in one pass, each with its place and code."""
    assert faults(tmp_path, text) == expected


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_sound_and_match_the_schema(path):
    """Every example loads without a warning; the schema accepts it as our reader sees it and as an editor does."""
    fleet = load_fleet_description(path)
    assert not fleet.warnings
    assert fleet.devices is not None
    schema = fleet_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    document = read_yaml(path, Complaints(str(path)))
    validator.validate(document.data)
    validator.validate(yaml.safe_load(path.read_text()))


def test_schema_refuses_what_the_reader_refuses():
    """The schema refuses unknown keys, shares without a percent sign and times of day that do not exist."""
    validator = jsonschema.Draft202012Validator(fleet_schema())
    sound = yaml.safe_load(FULL)
    validator.validate(sound)
    for bad in (
        {"failed": "1%"},
        sound | {"faild": "1%"},
        sound | {"failed": 5},
        sound | {"strata": [{"failed": "1%"}]},
        sound | {"online": {"daily": {"share": "1%", "from": "6 am", "to": "19:00"}}},
        sound | {"devices": {}},
    ):
        assert list(validator.iter_errors(bad)), bad


def test_schema_explains_every_key_and_the_documents_name_it():
    """Each key of the schema has a description and stands in the fleets' README as code, as does each example."""
    text = (FLEETS / "README.md").read_text()
    words = set(re.findall(r"[A-Za-z]+", " ".join(re.findall(r"`([^`]+)`", text))))
    schema = fleet_schema()
    for block in (schema, *schema["$defs"].values()):
        for key, body in block["properties"].items():
            assert body.get("description"), key
            assert key in words
    assert all(f"({path.name})" in text for path in EXAMPLES)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_edit_breaks_the_reader(tmp_path, data):
    """A fleet file with any text put in, taken out or moved is loaded or refused with a complaint."""
    words = re.findall(r"[\w.%]+|\W", FULL)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(words) - 1))
        new = data.draw(
            st.sampled_from(["", "[]", "{}", "null", "-1", ".nan", "[a]", "{a: b}", "\t", "'", "\n", *words])
        )
        words[at : at + data.draw(st.integers(0, 3))] = [new]
    try:
        read(tmp_path, "".join(words))
    except PlanError as refused:
        told = [str(complaint) for complaint in refused.complaints]
        assert all(re.search(r"fleet\.yaml(:\d+:\d+)?: R\d{3} ", line) for line in told)
