"""Command lines that are printed for the user to paste: they must work unchanged.

A user who calls `.venv/bin/rollout` has no `rollout` on the path, and a user who keeps campaigns in another place must
name it in every command. So each line begins with the program as it was called, and names the state directory unless it
is the default one.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from rollout.app.stores import STATE_DIR

NAME = "rollout"


def command_line(*words: str) -> str:
    """Return the line that calls this program with `words`, quoted for a shell."""
    return shlex.join([_program(), *words])


def about(store: str, campaign: str, verb: str, *words: str) -> str:
    """Return the line that calls `verb` on the campaign. `store` is the address of the store that keeps it."""
    flags = [] if store == STATE_DIR else ["--state-dir", store]
    return command_line(verb, campaign, *words, *flags)


def _program() -> str:
    called = Path(sys.argv[0])
    if called.name != NAME:  # `python -m rollout`, or inside another program
        return NAME
    found = shutil.which(NAME)
    return NAME if found is not None and Path(found).resolve() == called.resolve() else sys.argv[0]
