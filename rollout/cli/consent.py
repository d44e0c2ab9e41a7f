"""Asking before something is changed on a platform."""

from __future__ import annotations

import click

from rollout.cli.console import Console
from rollout.settings import Profile


def agree(
    console: Console,
    profile: Profile,
    question: str,
    *,
    word: str,
    kind: str,
    yes: bool,
    confirm: str | None,
    needed: bool = True,
) -> None:
    """Return if the operator agrees; raises UsageError otherwise, also where nobody can be asked.

    Args:
        word: what a protected profile wants typed, or given as `--confirm`; `kind` says what it is.
        yes: agreed in advance, which is not enough for a protected profile.
        needed: False where nothing would be changed; a wrong `--confirm` is told all the same.
    """
    if confirm is not None and confirm != word:
        raise click.UsageError(f"--confirm: the {kind} is {word}")
    if not needed or confirm is not None or (yes and not profile.protected):
        return
    if yes:
        raise click.UsageError(f"profile {profile.name} is protected: --confirm {word} instead of --yes")
    if not console.can_ask:
        flag = f"--confirm {word}" if profile.protected else "--yes"
        raise click.UsageError(f"nobody can answer here: repeat it with {flag}")
    if profile.protected:
        agreed = console.ask(f"{question} Type the {kind} to go on:") == word
    else:
        agreed = console.ask(f"{question} [y/N]").lower() in ("y", "yes")
    if not agreed:
        raise click.UsageError("not run")
