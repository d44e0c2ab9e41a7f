"""The command line: parse, call, print; decides nothing.

`rollout` alone and `rollout --help` must answer at once. So this module knows of each verb only its name, its group and
one line of help, and imports the verb's module when the verb is called. Whatever a verb raises becomes one clear message
and a documented exit code here.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import click

from rollout.codes import EXITS


class Verb(NamedTuple):
    """One command: where it is shown, what it is for, how it is called, and where its code is."""

    name: str
    group: str
    help: str
    example: str
    module: str


VERBS = (
    Verb("init", "Prepare", "write a sample plan, device list and profile", "rollout init demo", "init"),
    Verb(
        "validate",
        "Prepare",
        "check a plan file and its device list",
        "rollout validate plans/x.yaml",
        "validate",
    ),
    Verb("plan", "Prepare", "show and save what a campaign would do", "rollout plan plans/x.yaml", "plan"),
    Verb(
        "simulate",
        "Prepare",
        "what a plan does if the firmware is bad",
        "rollout simulate plans/x.yaml --html x.html",
        "simulate",
    ),
    Verb(
        "run", "Run", "carry a campaign out, or go on with it", "rollout run plans/x.yaml --emulator", "run"
    ),
    Verb("pause", "Steer", "create no new jobs from now on", "rollout pause x --reason storm", "steer"),
    Verb("resume", "Steer", "go on after a pause or a halt", "rollout resume x", "steer"),
    Verb("approve", "Steer", "let a wave's gate open", "rollout approve x --wave canary", "steer"),
    Verb("abort", "Steer", "end a campaign for good", "rollout abort x --stop-jobs", "steer"),
    Verb("status", "Look", "where a campaign stands", "rollout status x", "status"),
    Verb("jobs", "Look", "its jobs with ids and outcomes", "rollout jobs x -o csv", "jobs"),
    Verb("explain", "Look", "what a code means and what to do", "rollout explain http 429", "explain"),
    Verb(
        "doctor",
        "Look",
        "what stands between here and the platform",
        "rollout doctor --profile eu-prod",
        "doctor",
    ),
    Verb(
        "request",
        "Look",
        "sign and send one call by hand",
        "rollout request GET /connect-service/v2.1/ota-jobs",
        "request",
    ),
    Verb("emulator", "Try", "a platform to rehearse against", "rollout emulator --port 8484", "emulator"),
    Verb("schema", "Try", "JSON Schema of the plan file", "rollout schema plan", "schema"),
)

HELP_WIDTH = 110


class Program(click.Group):
    """The whole command line."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the verbs in the order of their groups."""
        return [verb.name for verb in VERBS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Return the verb's command, importing its module now."""
        verb = next((verb for verb in VERBS if verb.name == cmd_name), None)
        if verb is None:
            return None
        module = importlib.import_module(f"rollout.cli.{verb.module}")
        command: click.Command = getattr(module, verb.name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write the verbs under their groups, each with one example."""
        for group in dict.fromkeys(verb.group for verb in VERBS):
            with formatter.section(group):
                for verb in VERBS:
                    if verb.group == group:
                        formatter.write(f"  {verb.name:<9} {verb.help:<45} {verb.example}\n")

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write the exit codes and what each means."""
        lines = ["Exit codes:"]
        for number, end in EXITS.items():
            part = f" {number} {end.meaning} ·"
            if len(lines[-1] + part) > HELP_WIDTH:
                lines.append("")
            lines[-1] = f"{lines[-1]}{part}".lstrip()
        formatter.write("\n" + "\n".join(lines).removesuffix(" ·") + "\n")

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002 - click's own signature
        **extra: Any,
    ) -> Any:
        """Run one command line. Ends with `SystemExit` and the exit code, unless `standalone_mode` is false."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        arguments = list(sys.argv[1:] if args is None else args)
        _escape_what_streams_cannot_show()
        try:
            _refuse_broken_text(arguments)
            # The line is kept, so that a command can print how it is repeated.
            extra["obj"] = tuple(arguments)
            code = super().main(
                arguments, prog_name or "rollout", complete_var, standalone_mode=False, **extra
            )
            _flush()
        except BaseException as error:  # noqa: BLE001 - the one place where every failure becomes a message
            from rollout.cli.failure import report  # noqa: PLC0415 - only a failure pays for it

            code = report(error, arguments)
        sys.exit(code if isinstance(code, int) else 0)


def _refuse_broken_text(arguments: list[str]) -> None:
    """Refuse an argument that is not text in the terminal's encoding, before it reaches a file or a log."""
    for number, argument in enumerate(arguments, start=1):
        if any("\ud800" <= character <= "\udfff" for character in argument):
            raise click.UsageError(f"argument {number} is not valid UTF-8")


def _escape_what_streams_cannot_show() -> None:
    """Write characters that the streams' encoding lacks as escapes, instead of raising an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _flush() -> None:
    """Write out what is buffered now, while a failure can still be reported."""
    if sys.stdout is not None:
        sys.stdout.flush()


@click.command(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": HELP_WIDTH},
    invoke_without_command=True,
)
@click.version_option(package_name="enos-rollout", prog_name="rollout")
@click.pass_context
def program(ctx: click.Context) -> None:
    """Bring a firmware to a fleet on the EnOS platform: wave by wave, and no job created twice."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main() -> NoReturn:
    """Run the command line of this process."""
    program.main()
    raise AssertionError("the program left without an exit code")
