"""Command lines that are printed to be pasted: they must work as they stand.

Who calls `.venv/bin/rollout` has no `rollout` on the path, and who keeps campaigns elsewhere must say so to every
command. So each line begins with the program as it was called, and names the state directory where it is not the
default one.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from rollout.cli.common import STATE_DIR

__all__ = ["about", "command_line", "state_dir_flag"]

NAME = "rollout"


def command_line(*words: str) -> str:
    """Return the line that calls this program with `words`, quoted for a shell."""
    return shlex.join([_program(), *words])


def about(directory: Path, verb: str, *words: str) -> str:
    """Return the line that calls `verb` on the campaign kept in `directory`."""
    return command_line(verb, directory.name, *words, *state_dir_flag(directory.parent))


def state_dir_flag(state_dir: Path) -> list[str]:
    """Return what names the state directory to another command; nothing for the default one."""
    return [] if state_dir == Path(STATE_DIR) else ["--state-dir", str(state_dir)]


def _program() -> str:
    called = Path(sys.argv[0])
    if called.name != NAME:  # `python -m rollout`, or inside another program
        return NAME
    found = shutil.which(NAME)
    return NAME if found is not None and Path(found).resolve() == called.resolve() else sys.argv[0]
