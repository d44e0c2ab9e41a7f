"""A failure becomes a message and an exit code; a user sees a traceback only on request.

Exit codes are promised to users (`rollout --help` lists them). An error that is raised on purpose carries its own.
Any other error is a fault of ours: it exits 1, one line says so, and its traceback, free of secrets, goes to a file.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from pathlib import Path

import click

from rollout.app.stores import STATE_DIR
from rollout.cli.command_line import command_line
from rollout.cli.console import Console, Output, document, envelope
from rollout.codes import Severity
from rollout.errors import Complaint, PlanError, RolloutError, ServiceError
from rollout.telemetry.redact import REDACTOR
from rollout.text import counted

MORE_FAULTS = "R199"
"""The code of the complaint that says how many more errors there are."""

FAULT_OF_OURS, SYSTEM_REFUSED = "R900", "R901"

INTERRUPTED = 130
USAGE = 2
UNEXPECTED = 1

ERROR_LOG = "errors.log"


def report(error: BaseException, arguments: list[str]) -> int:
    """Print what went wrong, as text or JSON as the command line says, and return the exit code."""
    for variable in ("ENOS_ACCESS_KEY", "ENOS_SECRET_KEY"):
        # the failure may have come before the keys were read, and so before the redactor knew them
        if value := os.environ.get(variable):
            REDACTOR.learn(value)
    console = Console(Output.JSON if _wants_json(arguments) else Output.TEXT)
    match error:
        case SystemExit():
            return error.code if isinstance(error.code, int) else UNEXPECTED
        case KeyboardInterrupt() | click.Abort():
            return INTERRUPTED
        case BrokenPipeError():
            # Python flushes the stream at exit and would complain again
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return 0
        case click.exceptions.Exit():
            return error.exit_code
        case click.UsageError():
            verb = [error.ctx.info_name] if error.ctx and error.ctx.parent and error.ctx.info_name else []
            hint = command_line(*verb, "--help")
            return _print(console, USAGE, error.format_message(), hint=hint)
        case click.ClickException():
            return _print(console, USAGE, error.format_message())
        case PlanError():
            return _print_complaints(console, error)
        case RolloutError():
            _show_traceback(error, arguments)
            return _print(
                console, error.exit_code, error.message, code=error.code, hint=error.hint, cause=error
            )
        case OSError() if error.filename is not None:
            # a path of the user's, or of the state directory: the system's own words say what is wrong with it
            return _print(console, UNEXPECTED, f"{error.filename}: {error.strerror}", code=SYSTEM_REFUSED)
        case _:
            return _print_unexpected(console, error, arguments)


def complaint_lines(complaints: tuple[Complaint, ...]) -> list[str]:
    """Return the complaints as lines, with their counts at the end. Readers give at most 20 errors, then R199."""
    lines: list[str] = []
    for complaint in complaints:
        lines.append(str(complaint))
        if complaint.hint:
            lines.append(f"  hint: {complaint.hint}")
    shown = [complaint for complaint in complaints if complaint.code != MORE_FAULTS]
    errors = sum(complaint.severity is Severity.ERROR for complaint in shown)
    more = "more than " if len(shown) < len(complaints) else ""
    lines.append(f"{more}{counted(errors, 'error')}, {counted(len(shown) - errors, 'warning')}")
    return lines


def complaint_json(complaint: Complaint) -> dict[str, object]:
    """Return one complaint as a JSON object."""
    return {
        "file": complaint.file,
        "line": complaint.line,
        "column": complaint.column,
        "code": complaint.code,
        "severity": str(complaint.severity),
        "field": complaint.field,
        "message": complaint.message,
        "hint": complaint.hint,
    }


def _wants_json(arguments: list[str]) -> bool:
    """Return whether the command line asks for JSON. The words are searched: the command line may be one that cannot be parsed."""
    joined = [argument.removeprefix("--output=").removeprefix("-o") for argument in arguments]
    forms = {"json", "ndjson"}
    return any(
        (text in forms and argument != text) or (argument in ("-o", "--output") and following in forms)
        for argument, text, following in zip(arguments, joined, [*arguments[1:], ""], strict=True)
    )


def _print(
    console: Console,
    exit_code: int,
    message: str,
    *,
    code: str = "",
    hint: str = "",
    cause: RolloutError | None = None,
) -> int:
    if console.is_json:
        content: dict[str, object] = {"code": code, "message": message, "hint": hint, "exitCode": exit_code}
        if isinstance(cause, ServiceError):
            content["phase"] = str(cause.phase)
            content["enos"] = {
                "code": cause.platform_code,
                "msg": cause.message,
                "requestId": cause.request_id,
            }
        _print_json(console, content)
        return exit_code
    details = f" [{code}]" if code else ""
    if isinstance(cause, ServiceError) and cause.request_id:
        details += f" requestId={cause.request_id}"
    console.warn(f"error: {message}{details}")
    if hint:
        console.warn(f"hint: {hint}")
    if (more := _explained_by(code, cause)) and code not in (FAULT_OF_OURS, SYSTEM_REFUSED):
        console.warn(f"more: {more}")
    return exit_code


def _explained_by(code: str, cause: RolloutError | None) -> str:
    """Return the command line that explains the failure's code, ours or the platform's; empty if it has none."""
    if isinstance(cause, ServiceError) and cause.explain:
        return command_line("explain", *cause.explain)
    return command_line("explain", code) if code else ""


def _print_complaints(console: Console, error: PlanError) -> int:
    if console.is_json:
        content = {
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
            "exitCode": error.exit_code,
            "complaints": [complaint_json(complaint) for complaint in error.complaints],
        }
        _print_json(console, content)
    else:
        more = f"more about a code: {command_line('explain', error.code)}"
        console.warn("\n".join([*complaint_lines(error.complaints), more]))
    return error.exit_code


def _print_json(console: Console, content: dict[str, object]) -> None:
    console.warn(document(envelope("error", **content), indent=None))


def _print_unexpected(console: Console, error: BaseException, arguments: list[str]) -> int:
    text = REDACTOR.text("".join(traceback.format_exception(error)))
    if _verbosity(arguments) >= 2:
        console.warn(text)
    kind = type(error).__name__
    place = _keep(text, arguments)
    hint = f"details in {place}" if place else "run it again with -vv for details"
    return _print(
        console, UNEXPECTED, f"unexpected {kind}; this is a fault of rollout", code=FAULT_OF_OURS, hint=hint
    )


def _show_traceback(error: BaseException, arguments: list[str]) -> None:
    if _verbosity(arguments) >= 2:
        Console().warn("".join(traceback.format_exception(error)))


def _verbosity(arguments: list[str]) -> int:
    """Count the `-v` of the command line."""
    short = [
        text
        for text in arguments
        if text.startswith("-") and not text.startswith("--") and set(text[1:]) == {"v"}
    ]
    return sum(len(text) - 1 for text in short) + arguments.count("--verbose")


def _keep(text: str, arguments: list[str]) -> Path | None:
    """Append the traceback to the error log of the state directory; return its path, None if it cannot be written."""
    state_dir = Path(os.environ.get("ROLLOUT_STATE_DIR", STATE_DIR))
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if argument == "--state-dir":
            state_dir = Path(following)
        elif argument.startswith("--state-dir="):
            state_dir = Path(argument.partition("=")[2])
    path = state_dir / ERROR_LOG
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(
                f"--- {time.strftime('%Y-%m-%dT%H:%M:%S%z')} python {sys.version.split()[0]}\n{text}\n"
            )
    except OSError:
        # no state directory yet, or a full disk: the hint then says how to see the details
        return None
    return path
