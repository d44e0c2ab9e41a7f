"""A YAML file of a command's flags: each flag by its name, read as on the command line, every fault shown with its place.

    speed: 600                      --speed 600
    fault: [delay=0.1, reset=0.05]  --fault delay=0.1 --fault reset=0.05
    knob: {read_lag_s: 0}           --knob read_lag_s=0

A flag on the command line overrides the file. A path in the file is relative to the file's own directory.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import click

from rollout.intake.complaints import Complaints, Loc, quoted
from rollout.intake.yaml_text import Data, read_yaml

COMMON = frozenset(
    {"profile", "config", "state-dir", "output", "color", "quiet", "verbose", "no-input", "help"}
)
"""Flags that every command has; they do not belong in a command's file."""


def config_option(secrets: Collection[str]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option `--config FILE`: the file's flags become the defaults of this call.

    Args:
        secrets: keys that people may write where only references belong.
    """

    def load(ctx: click.Context, _: click.Parameter, path: Path | None) -> Path | None:
        if path is not None:
            ctx.default_map = _read(path, ctx, secrets)
        return path

    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        is_eager=True,
        callback=load,
        help="Flags of this command in a YAML file, each by its name; the command line overrides it.",
    )


def flags_schema(command: click.Command, title: str, schema_id: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a command's file of flags."""
    one = {"type": ["string", "number", "boolean"]}
    properties: dict[str, Any] = {}
    for name, option in _options(command).items():
        kind: dict[str, Any] = dict(one)
        if option.multiple:
            kind = {"type": "array", "items": one}
        if _is_pairs(option):
            kind = {"type": "object", "additionalProperties": one}
        properties[name] = kind | {"description": option.help or ""}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": schema_id,
        "title": title,
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }


def _options(command: click.Command) -> dict[str, click.Option]:
    """Return the command's own options by their long names."""
    named = {
        opt.removeprefix("--"): option
        for option in command.params
        if isinstance(option, click.Option)
        for opt in option.opts
        if opt.startswith("--")
    }
    return {name: option for name, option in named.items() if name not in COMMON}


def _is_pairs(option: click.Option) -> bool:
    return option.multiple and option.metavar is not None and option.metavar.startswith("NAME=VALUE")


def _read(path: Path, ctx: click.Context, secrets: Collection[str]) -> dict[str, Any]:
    """Return the file's flags as click's defaults. Raises: PlanError with every fault."""
    complaints = Complaints(str(path))
    document = read_yaml(path, complaints)
    values: dict[str, Any] = {}
    if document is not None:
        complaints.places = document.places
        if isinstance(document.data, dict):
            options = _options(ctx.command)
            for name, value in document.data.items():
                option = options.get(name)
                if option is None:
                    _unknown(complaints, name, list(options), secrets)
                    continue
                assert option.name is not None, "every option has a parameter"
                texts = _texts(complaints, option, name, value)
                read = [_checked(complaints, option, path, text, loc) for text, loc in texts]
                values[option.name] = read if option.multiple else next(iter(read), None)
        else:
            complaints.add("R105", f"expected a mapping of flags, got {quoted(document.data)}", loc=())
    complaints.raise_if_failed()
    return values


def _unknown(complaints: Complaints, name: str, known: list[str], secrets: Collection[str]) -> None:
    if name in secrets:
        hint = "access-key and secret-key take references: env:NAME or file:PATH"
        complaints.add("R122", "a secret does not belong in a file", loc=(name,), hint=hint, at_key=True)
        return
    close = difflib.get_close_matches(name.lower().replace("_", "-"), known, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"
    complaints.add("R103", "unknown flag", loc=(name,), hint=hint, at_key=True)


def _texts(complaints: Complaints, option: click.Option, name: str, value: Data) -> list[tuple[str, Loc]]:
    """Return the flag's values as a command line has them, each with its place."""
    wish = "a value"
    if _is_pairs(option):
        wish = "a mapping of names to values"
        if isinstance(value, dict):
            pairs = [(key, inner, (name, key)) for key, inner in value.items()]
            if all(isinstance(inner, str) for _, inner, _ in pairs):
                return [(f"{key}={inner}", loc) for key, inner, loc in pairs]
    elif option.multiple:
        wish = "a list of values"
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return [(str(item), (name, number)) for number, item in enumerate(value)]
    elif isinstance(value, str):
        return [(value, (name,))]
    complaints.add("R105", f"expected {wish}, got {quoted(value)}", loc=(name,))
    return []


def _checked(complaints: Complaints, option: click.Option, path: Path, text: str, loc: Loc) -> str:
    """Return the value as the flag takes it, with paths relative to the file; add a complaint where it cannot be taken."""
    beside = str(path.parent / text)
    if isinstance(option.type, click.Path) or Path(beside).is_file():
        text = beside
    try:
        option.type.convert(text, option, None)
    except click.BadParameter as error:
        complaints.add("R128", error.message, loc=loc)
    return text
