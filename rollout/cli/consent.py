"""The question before something is changed on a platform."""

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
    """Return if the operator agrees.

    Args:
        word: what must be typed for a protected profile, or given as `--confirm`; `kind` names it in messages.
        yes: agreed in advance by `--yes`, which is not enough for a protected profile.
        confirm: the value of `--confirm`, None without it.
        needed: False where nothing would be changed: nobody is asked then, but a wrong `--confirm` is refused.
    Raises: click.UsageError if the operator does not agree, or nobody can be asked.
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
