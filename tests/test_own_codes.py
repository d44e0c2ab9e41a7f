"""The catalogue of our own codes against the program that uses them."""

import ast
import importlib
import re
from pathlib import Path

import pytest
from support.plans import build

import rollout
from rollout.app.running import exit_code
from rollout.cli.plan import WORK_TO_DO
from rollout.codes import CATALOGUE, EXITS, Severity
from rollout.core.state import State
from rollout.engine.runner import Leave
from rollout.errors import RolloutError

PACKAGE = Path(rollout.__file__).parent


def codes_raised(package: Path = PACKAGE) -> dict[str, str]:
    """Return every code that stands in the program as a text of its own, with a file that has it."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        if path == PACKAGE / "codes.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
            if is_text and re.fullmatch(r"R[0-9]{3}", node.value):
                found[node.value] = str(path)
    return found


def test_every_code_is_explained_and_every_explanation_has_a_code():
    """What the program raises and what the catalogue explains are the same codes, none more and none less."""
    raised = codes_raised()
    assert {code: place for code, place in raised.items() if code not in CATALOGUE} == {}
    assert CATALOGUE.keys() - raised.keys() == set()


def test_the_walk_sees_a_code(tmp_path):
    """The walk is not blind: a code in any file is found, also where a choice is made between two."""
    (tmp_path / "a.py").write_text("fault('R998' if bad else 'R997', 'why')\n'''About R996.'''\n")
    assert codes_raised(tmp_path).keys() == {"R997", "R998"}


@pytest.mark.parametrize("code", CATALOGUE)
def test_each_explanation_is_whole(code):
    """R and three digits; what it means, how one comes by it, what to do; warnings are R110 and those from R2 and R3."""
    own = CATALOGUE[code]
    assert re.fullmatch(r"R[0-9]{3}", code)
    assert own.meaning
    assert own.cause.endswith(".")
    assert own.remedy.endswith(".")
    warns = code == "R110" or code[1] in "23"
    assert own.severity is (Severity.WARNING if warns else Severity.ERROR)


def exits_of_errors(kind=RolloutError):
    """Return the exit codes of all errors raised on purpose."""
    return {kind.exit_code}.union(*(exits_of_errors(below) for below in kind.__subclasses__()))


def test_every_exit_code_is_explained():
    """Those of the errors, of a run's ends and of `plan`; each with its meaning, its cause and what to do."""
    for path in sorted(PACKAGE.rglob("[!_]*.py")):
        importlib.import_module(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))
    state = State.initial(build(("all", [2], None, None))[0])
    ends = {exit_code(leave, state, None, strict=True) for leave in Leave}
    assert exits_of_errors() | ends | {WORK_TO_DO, 1, 4, 8, 143} == EXITS.keys()
    for end in EXITS.values():
        assert end.meaning
        assert end.cause.endswith(".")
        assert end.remedy.endswith(".")
