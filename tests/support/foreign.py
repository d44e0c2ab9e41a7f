"""Environments of their own for what must not, or need not, live in ours.

A group of `[dependency-groups]` in pyproject.toml is installed into a virtual environment below the one the tests run
in, once; the tests start its Python as a process. Where it cannot be installed, for want of a package index say,
the tests that ask for it skip and say why; where `CI` is set they fail instead, so that none is left out unseen.
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
    """Return the Python interpreter of an environment that holds the dependency group; makes it if need be."""
    home, why_not = _prepared(group)
    if why_not:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(why_not)
    return home / "bin" / "python"


@functools.cache
def _prepared(group: str) -> tuple[Path, str]:
    """Return where the environment is, and why it is not there, empty if it is."""
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
    """Install beside, then rename: whoever finds the place finds it whole. One at a time makes it, the others wait."""
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
