"""The programs of `benchmarks/` run: small numbers, so that they are there when the large ones are wanted."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize(
    ("program", "arguments", "columns"),
    [
        ("planning.py", ["--keys", "2000", "--rounds", "1"], ["script", "rollout"]),
        (
            "create_path.py",
            ["--creates", "60", "--rounds", "1", "--in-flight", "8", "--keys", "20"],
            ["bare", "script", "rollout"],
        ),
        (
            "emulator.py",
            ["--devices", "4000", "--jobs", "20", "--creates", "3", "--rounds", "1"],
            ["lists", "emulator", "echo", "served"],
        ),
        (
            "simulation.py",
            ["--devices", "2000", "--seeds", "2", "--million", "4000", "--jobs", "1"],
            ["study", "campaign", "heap"],
        ),
    ],
)
def test_it_prints_its_table(program, arguments, columns):
    """Every case has its line, the peer beside us."""
    done = subprocess.run(
        [sys.executable, BENCHMARKS / program, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line.strip()]
    assert [line[0] for line in lines if line[0] in columns] == columns
