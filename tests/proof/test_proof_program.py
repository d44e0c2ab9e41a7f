"""`python -m rollout.proof` as its user sees it."""

from click.testing import CliRunner
from mutants import MUTANTS

from rollout.proof.__main__ import prove
from rollout.proof.trials import TROUBLES


def run(*arguments):
    return CliRunner().invoke(prove, list(arguments))


def test_one_seed_is_told_whole():
    """Plan, script, journal, ending: everything that is needed to understand what happened."""
    result = run("--seed", "7", "--trouble", "answer lost")
    assert result.exit_code == 0
    for part in (
        "seed 7, answer lost",
        "plan: ",
        "limits: create ",
        "BatchCreateSent(",
        "ending: finished",
        "trace ",
    ):
        assert part in result.output


def test_many_seeds_are_counted():
    """How many, how fast, how they ended, and what they came across or missed."""
    result = run("--seeds", "6", "--jobs", "1", "--from", "40")
    assert result.exit_code == 0
    for part in ("seeds 40 to 45", "6 trials", "0 with violations", "endings: ", "never reached: "):
        assert part in result.output


def test_what_is_broken_is_told_with_its_seed():
    """An engine without intents: exit code 1, and each violation names the seed that shows it again."""
    with next(mutant for mutant in MUTANTS if mutant.name == "no intent before the send").patch():
        result = run("--seeds", "3", "--jobs", "1")
    assert result.exit_code == 1
    assert "VIOLATION seed 0, " in result.output
    assert "no_create_without_a_durable_intent" in result.output


def test_the_table_has_a_row_for_each_trouble(tmp_path):
    """The published table is this one, with more seeds."""
    path = tmp_path / "README.md"
    assert run("--table", str(path), "--seeds", "1", "--jobs", "1").exit_code == 0
    rows = [
        line.split(" | ")[0].removeprefix("| ")
        for line in path.read_text().splitlines()
        if line.startswith("| ")
    ]
    assert rows[2:] == [*TROUBLES, "**all**"]


def test_a_table_that_cannot_be_written_is_refused_at_once(tmp_path):
    """The table file is opened before the first trial, not after an hour of trials."""
    result = run("--table", str(tmp_path / "nowhere" / "README.md"))
    assert result.exit_code == 2
    assert "cannot be written" in result.output
