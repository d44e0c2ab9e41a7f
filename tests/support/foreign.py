"""Separate virtual environments for packages that tests need and that must not be installed in ours.

A group of `[dependency-groups]` in pyproject.toml is installed once, into an environment below the one the tests run in.
Tests start its Python as a process. If it cannot be installed, for example without a package index, the tests that need
it are skipped with the reason. If `CI` is set they fail instead, so that no test is left out unnoticed.
"""

import fcntl
import functools
import os
import subprocess
import sys
import tempfile
import tomllib
import zlib
from pathlib import Path

import pytest

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
INSTALL_S_MAX = 240
"""Seconds an installation may take; with a reachable index each takes about five."""


def python_of(group: str) -> Path:
    """Return the Python interpreter of the environment with a dependency group; makes the environment if it is missing."""
    home, why_not = _prepared(group)
    if why_not:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(why_not)
    return home / "bin" / "python"


@functools.cache
def _prepared(group: str) -> tuple[Path, str]:
    """Return the environment's directory, and why it cannot be made; that text is empty if it is there."""
    wanted = sorted(tomllib.loads(PYPROJECT.read_text())["dependency-groups"][group])
    home = Path(sys.prefix) / "foreign" / f"{group}-{zlib.crc32(repr(wanted).encode()):08x}"
    if not home.exists():
        try:
            _make(home, group)
        except (OSError, subprocess.SubprocessError) as error:
            told = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
            return home, f"dependency group {group} cannot be installed: {told}"
    return home, ""


def _make(home: Path, group: str) -> None:
    """Install into a temporary directory, then rename it, so that nobody finds it half made.

    One process at a time makes it; the others wait.
    """
    home.parent.mkdir(exist_ok=True)
    with (
        home.with_suffix(".lock").open("w") as lock,
        tempfile.TemporaryDirectory(dir=home.parent, ignore_cleanup_errors=True) as made,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        if home.exists():
            return
        place = Path(made) / "environment"
        subprocess.run(
            [sys.executable, "-m", "venv", "--without-pip", place], check=True, capture_output=True, text=True
        )
        install = [sys.executable, "-m", "pip", "--python", place / "bin" / "python", "install", "-q"]
        subprocess.run(
            [*install, "--retries", "1", "--group", f"{PYPROJECT}:{group}"],
            check=True,
            capture_output=True,
            text=True,
            timeout=INSTALL_S_MAX,
        )
        place.rename(home)
