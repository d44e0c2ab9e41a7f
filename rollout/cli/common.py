"""The flags every command has."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rollout.app.stores import STATE_DIR
from rollout.cli.console import Console, Output
from rollout.cli.types import STORE
from rollout.errors import WrongArgument

if TYPE_CHECKING:
    from rollout.app.campaigns import CampaignReader
    from rollout.ports import Store

url_option = click.option("--url", metavar="URL", help="Gateway to call instead of the profile's.")
ca_file_option = click.option(
    "--ca-file", type=click.Path(path_type=Path), metavar="FILE", help="Certificates to trust."
)
refresh_option = click.option(
    "--refresh",
    is_flag=True,
    help="Ask EnOS again for the devices of enos: sources, instead of taking the list that was kept.",
)


@dataclass(frozen=True, slots=True)
class Common:
    """The values of the flags that every command has."""

    console: Console
    state_dir: str
    profile: str | None
    config: Path | None

    def open_store(self) -> Store:
        """Return the store of `--state-dir`; it is closed when the command ends. To be called once in a command."""
        from rollout.app.stores import open_store  # noqa: PLC0415 - not every command looks at campaigns

        store = open_store(self.state_dir)
        click.get_current_context().call_on_close(store.close)
        return store

    def reader(self, campaign: str | None) -> CampaignReader:
        """Return the reader of the campaign of that name; without a name, of the only one there is. Raises NoCampaign, PlanError."""
        from rollout.app.campaigns import CampaignReader, find_campaign  # noqa: PLC0415 - as above

        store = self.open_store()
        return CampaignReader(store, find_campaign(store, campaign))


def command(
    name: str,
    *,
    outputs: Sequence[Output] = (Output.TEXT, Output.JSON),
    context_settings: dict[str, Any] | None = None,
    config: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None,
) -> Callable[[Callable[..., int | None]], click.Command]:
    """Return a decorator that makes a command of a function: it takes `Common` first and returns the exit code, None for 0.

    `context_settings` are click's. `config` is an option --config instead of the one that names a rollout.toml.
    """

    def decorate(function: Callable[..., int | None]) -> click.Command:
        @functools.wraps(function)
        def call(
            *,
            profile: str | None,
            config: Path | None,
            state_dir: str,
            output: str,
            color: str,
            quiet: bool,
            verbose: int,
            no_input: bool,
            **own: Any,
        ) -> int | None:
            console = Console(Output(output), color, quiet, verbose, no_input)
            try:
                return function(Common(console, state_dir, profile, config), **own)
            except WrongArgument as error:
                # the application layer names its argument; for the user it is a flag
                flag = f"--{error.name}: " if error.name else ""
                raise click.UsageError(f"{flag}{error.message}") from error

        options = (
            click.option(
                "--profile", envvar="ROLLOUT_PROFILE", metavar="NAME", help="Profile of rollout.toml to use."
            ),
            config
            or click.option(
                "--config",
                envvar="ROLLOUT_CONFIG",
                type=click.Path(path_type=Path),
                help="Read this rollout.toml and no other.",
            ),
            click.option(
                "--state-dir",
                envvar="ROLLOUT_STATE_DIR",
                type=STORE,
                default=STATE_DIR,
                show_default=True,
                help="Where campaigns keep their state.",
            ),
            click.option(
                "-o",
                "--output",
                type=click.Choice([str(form) for form in outputs]),
                default="text",
                help="Format of the result.",
            ),
            click.option(
                "--color", type=click.Choice(["auto", "always", "never"]), default="auto", help="Use colour."
            ),
            click.option("-q", "--quiet", is_flag=True, help="Print the result and errors only."),
            click.option("-v", "--verbose", count=True, help="More detail; twice for tracebacks."),
            click.option("--no-input", is_flag=True, help="Ask no question; what needs an answer fails."),
        )
        wrapped: Callable[..., Any] = call
        for option in reversed(options):
            wrapped = option(wrapped)
        return click.command(name, context_settings=context_settings)(wrapped)

    return decorate
