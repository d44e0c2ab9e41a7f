"""`emulator --config`: a YAML file of the command's own flags, told on at their places, with the command line before it."""

import json
import urllib.request
from pathlib import Path

import jsonschema
import pytest
import yaml

from rollout.cli.emulator import emulator
from rollout.cli.flags_file import flags_schema
from rollout.emulator.http.settings import KNOB_NAMES, choices
from rollout.enos.signing import Secret, encrypt
from rollout.errors import PlanError

EXAMPLES = sorted((Path(__file__).parents[2] / "plans" / "emulators").glob("*.yaml"))

GIVEN = """\
port: 0
org: o77
speed: 600
quota: 50/s
knob: {batch_errors: partial_error, signature: none}
fault: [delay=0.1, "error_503=1,on=search"]
deny: [firmware search]
devices: devices.csv
"""


def flags(path, *more):
    """Return what the command makes of a file and further flags."""
    return emulator.make_context("emulator", ["--config", str(path), *more]).params


def test_flags_of_the_file_are_the_command_s(desk):
    """Each flag is read as after its name on the command line; files are beside the file, wherever the caller is."""
    (desk.path / "inner").mkdir()
    (desk.path / "inner" / "devices.csv").write_text("deviceKey\nINV-0001\n")
    (desk.path / "inner" / "e.yaml").write_text(GIVEN)
    given = flags(desk.path / "inner" / "e.yaml")
    assert (given["port"], given["org"], given["speed"], str(given["quota"])) == (0, "o77", 600.0, "50/s")
    assert given["knobs"] == (("batch_errors", "partial_error"), ("signature", "none"))
    assert [str(fault) for fault in given["faults"]] == ["delay=0.1", "error_503=1,on=search"]
    assert given["denied"] == ("firmware search",)
    assert given["devices"] == desk.path / "inner" / "devices.csv"


def test_command_line_goes_before_the_file(desk):
    """A flag given on the command line replaces the file's."""
    (desk.path / "e.yaml").write_text(GIVEN)
    given = flags(desk.path / "e.yaml", "--org", "o8", "--devices", "5", "--fault", "reset=1")
    assert (given["org"], given["devices"], [str(fault) for fault in given["faults"]]) == (
        "o8",
        5,
        ["reset=1"],
    )
    assert given["speed"] == 600.0


@pytest.mark.parametrize("name", sorted(KNOB_NAMES))
def test_every_knob_is_set_by_name(desk, name):
    """Each knob, of the platform or the gateway, is taken by its name in the file and after --knob."""
    value = (choices(name) or ("20/s" if name == "quota" else "30",))[-1]
    (desk.path / "e.yaml").write_text(f'knob: {{{name}: "{value}"}}\n')
    assert flags(desk.path / "e.yaml")["knobs"] == ((name, value),)
    assert emulator.make_context("emulator", ["--knob", f"{name}={value}"]).params["knobs"] == (
        (name, value),
    )


CASES = {
    "unknown flag": ("prot: 1\n", ["1:1 R103"]),
    "another command's flag": ("output: json\n", ["1:1 R103"]),
    "a value out of range": ("port: 99999\n", ["1:7 R128"]),
    "an unknown knob": ("knob: {read_lag: 2}\n", ["1:18 R128"]),
    "a knob's value": ("knob: {batch_errors: none}\n", ["1:22 R128"]),
    "an unknown fault": ("fault: [gremlin=1]\n", ["1:9 R128"]),
    "a fault that is no list": ("fault: delay=1\n", ["1:8 R105"]),
    "knobs as a list": ("knob: [a=b]\n", ["1:7 R105"]),
    "a list for one value": ("seed: [1]\n", ["1:7 R105"]),
    "a secret": ("secretKey: abc\n", ["1:1 R122"]),
    "a secret for a reference": ("secret-key: abc\n", ["1:13 R128"]),
    "an unknown permission": ("deny: [everything]\n", ["1:8 R128"]),
    "not a mapping": ("- port\n", ["1:1 R105"]),
    "all at once": ("prot: 1\nport: x\nknob: {a: b}\n", ["1:1 R103", "2:7 R128", "3:11 R128"]),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES.keys())
def test_faults_are_told_at_their_places(desk, text, expected):
    """What the command line would refuse is refused here with line and column, all of it in one pass."""
    (desk.path / "e.yaml").write_text(text)
    with pytest.raises(PlanError) as refused:
        flags(desk.path / "e.yaml")
    assert [f"{c.line}:{c.column} {c.code}" for c in refused.value.complaints] == expected
    assert not any("abc" in str(c) + c.hint for c in refused.value.complaints)
    result = desk("emulator", "--config", "e.yaml")
    assert (result.exit_code, result.stdout, "Traceback" in result.stderr) == (2, "", False)


def test_keys_come_by_reference(desk):
    """The application's own keys are followed from the environment, open the token service, and are never printed."""
    desk.environment |= {"EMU_ACCESS": "my-app", "EMU_SECRET": "my-secret-of-the-app"}
    (desk.path / "e.yaml").write_text("port: 0\naccess-key: env:EMU_ACCESS\nsecret-key: env:EMU_SECRET\n")
    process = desk.begin("emulator", "--config", "e.yaml")
    said = process.stdout.readline() + process.stdout.readline()
    assert "my-app" in said
    assert "my-secret" not in said
    url = next(word for word in said.split() if word.startswith("http://"))
    body = {
        "appKey": "my-app",
        "timestamp": "1600000000000",
        "encryption": encrypt("my-app", "1600000000000", Secret("my-secret-of-the-app")),
    }
    request = urllib.request.Request(url + "/apim-token-service/v2.0/token/get", json.dumps(body).encode())
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)["status"] == 0
    assert desk("emulator", "--access-key", "env:EMU_ACCESS").exit_code == 2
    assert desk("emulator", "--access-key", "env:NONE", "--secret-key", "env:NONE").exit_code == 4


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_sound_and_match_the_schema(path):
    """Every example is taken whole, and the schema that editors use accepts it."""
    assert flags(path)["org"]
    schema = flags_schema(emulator, "title", "urn:x")
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(yaml.safe_load(path.read_text()))
    assert list(validator.iter_errors({"prot": 1}))
    assert list(validator.iter_errors({"fault": "delay=1"}))
    assert all(body["description"] for body in schema["properties"].values())
