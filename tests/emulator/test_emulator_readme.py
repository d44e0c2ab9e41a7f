"""The emulator's README: its tables name knobs, faults and tests that exist, and leave out none."""

import re
from pathlib import Path

import pytest

import rollout.emulator
from rollout.emulator.http.faults import FaultKind
from rollout.emulator.http.settings import EXPLAINED, KNOB_NAMES, choices

README = (Path(rollout.emulator.__file__).parent / "README.md").read_text()
TESTS = Path(__file__).parent

ROWS = [
    [cell.strip() for cell in line.strip("| ").split(" |")]
    for line in README.splitlines()
    if line.startswith("| ") and line.count("|") == 5
]
BEHAVIOURS = [row for row in ROWS if re.match("confirmed|inferred|unknown|ours", row[1])]
FAULTS = [row for row in ROWS if row[0].startswith("`") and row not in BEHAVIOURS]


def names_in(file):
    """Return the names of the tests in one of the files that the tables call by their last word."""
    path = TESTS / (f"test_{file}.py" if file == "envision_client" else f"test_emulator_{file}.py")
    return re.findall(r"^(?:async def |def |)(test_\w+|Test\w+)", path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("row", BEHAVIOURS, ids=lambda row: row[0][:40])
def test_behaviour_has_its_tests(row):
    """Each row names files and parts of test names, and each part is in the name of a test of that file."""
    named = [part.partition(":") for part in row[3].split(";")]
    assert named
    for file, _, parts in named:
        names = names_in(file.strip())
        for part in parts.split(","):
            assert part.strip(), row
            assert any(part.strip() in name for name in names), f"{file}: {part}"


def knobs_of(row):
    """Return knob and values of each entry in a row's knob cell."""
    return re.findall(r"`(\w+)` ([^;`]+)", row[2])


@pytest.mark.parametrize("row", [row for row in BEHAVIOURS if "`" in row[2]], ids=lambda row: row[0][:40])
def test_knob_has_its_choices(row):
    """Each knob named exists, and its choices are all there, the default first."""
    assert knobs_of(row) or "fault" in row[2]
    for name, values in knobs_of(row):
        assert name in KNOB_NAMES
        told = tuple(value.strip() for value in values.split(",") if value.strip())
        assert not choices(name) or told == choices(name), name


def test_tables_leave_out_no_knob_and_no_fault():
    """Every knob has a row, and an explanation for the admin page; every fault has a row."""
    knobs = {name for row in BEHAVIOURS for name, _ in knobs_of(row)}
    assert knobs == KNOB_NAMES == EXPLAINED.keys()
    faults = [name for row in FAULTS for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(faults) == sorted(FaultKind)


def test_open_points_have_a_knob():
    """Every row marked unknown names a knob."""
    assert not [row[0] for row in BEHAVIOURS if row[1].startswith("unknown") and not knobs_of(row)]


def test_every_behaviour_is_marked():
    """Every row has a mark that says how sure it is."""
    assert len(BEHAVIOURS) > 60
    assert len(BEHAVIOURS) + len(FAULTS) == len([row for row in ROWS if row[0] not in {"Behaviour", "Fault"}])
