"""The benchmark of resuming stays runnable."""

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "resume.py"


def test_prints_its_table():
    """A small campaign is run, stored and resumed; each case has its row, the peer is the unit."""
    done = subprocess.run(
        [sys.executable, PROGRAM, "--batches", "40", "--rounds", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = {line[:12].strip(): line[12:].split() for line in done.stdout.splitlines()}
    assert rows.keys() >= {"json lines", "read", "resume"}
    assert rows["json lines"][-1] == "1.0"
