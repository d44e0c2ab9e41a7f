"""What a command prints: the result to standard output, everything else to standard error.

A reader that goes away (`rollout jobs | head`) ends the printing, not the command: a campaign goes on, and the exit
code stays what it would have been.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TextIO

import click

from rollout.telemetry.redact import REDACTOR
from rollout.text import safe


class Output(StrEnum):
    """The form of a result."""

    TEXT = "text"
    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"


def document(value: Any, *, indent: int | None = 2) -> str:
    """Return JSON in ASCII, which every terminal, locale and tool can read."""
    return json.dumps(value, indent=indent)


def envelope(schema: str, **content: Any) -> dict[str, Any]:
    """Return a JSON result: its schema with version first, such as `rollout.status/1`, then the content."""
    return {"schema": f"rollout.{schema}/1", **content}


@dataclass(frozen=True, slots=True)
class Console:
    """Prints for one command, as the flags ask for."""

    output: Output = Output.TEXT
    color: str = "auto"
    quiet: bool = False
    verbosity: int = 0
    no_input: bool = False

    @property
    def is_json(self) -> bool:
        """Whether a program reads the result."""
        return self.output is not Output.TEXT

    def result(self, text: str) -> None:
        """Print the result: lines, each escaped."""
        _write(sys.stdout, text)

    def json(self, schema: str, **content: Any) -> None:
        """Print the content as one JSON document that names its schema."""
        _write(sys.stdout, document(envelope(schema, **content)))

    def note(self, text: str) -> None:
        """Print a line beside the result; `--quiet` leaves it out."""
        if not self.quiet:
            _write(sys.stderr, text)

    def warn(self, text: str) -> None:
        """Print a line that `--quiet` does not leave out: an error, or what an error needs."""
        _write(sys.stderr, text)

    @property
    def can_ask(self) -> bool:
        """Whether a person can answer a question: standard input is a terminal, and `--no-input` is not set."""
        return not self.no_input and sys.stdin is not None and sys.stdin.isatty()

    def ask(self, question: str) -> str:
        """Print the question and return the line that is typed. Raises `click.Abort` at the end of the input."""
        _write(sys.stderr, question, end=" ")
        line = sys.stdin.readline()
        if not line:
            raise click.Abort
        return line.strip()

    def columns(self, stream: TextIO | None) -> int | None:
        """Return the width of the terminal behind `stream`, COLUMNS first; None if there is none or it gives no width."""
        if stream is None or not stream.isatty():
            return None
        asked = os.environ.get("COLUMNS", "")
        if re.fullmatch(r"[1-9][0-9]{0,4}", asked):
            return int(asked)
        return os.get_terminal_size(stream.fileno()).columns or None

    def colored(self, stream: TextIO) -> bool:
        """Return whether colour may be used on `stream`: `--color always`, or a terminal without NO_COLOR."""
        if self.color == "always":
            return True
        return self.color == "auto" and is_terminal(stream) and not os.environ.get("NO_COLOR")

    @property
    def live(self) -> bool:
        """Whether standard error is a terminal on which a view may be redrawn."""
        return not self.is_json and not self.quiet and is_terminal(sys.stderr)


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether the stream is a terminal that can move its cursor. No environment variable makes it one."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def _write(stream: TextIO | None, text: str, end: str = "\n") -> None:
    if stream is None:
        return
    shown = "\n".join(safe(line) for line in REDACTOR.text(text).split("\n"))
    try:
        stream.write(shown + end)
        stream.flush()
    except BrokenPipeError:
        # Nobody reads any more. Without this, Python would complain again when it flushes the stream at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
