"""`rollout explain`: what a code means, what causes it, what to do, and how this program goes on after it.

The texts are kept elsewhere, one table a family: our own in `rollout.codes`, the platform's in `rollout.enos.codes`.
This module finds and shows them. A code is found in any form in which it is printed: `24610`, `code 24610:` out of
a message, `HTTP 429`, `[R601]`, `-3` from a task's progress.
"""

from __future__ import annotations

import difflib
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import click

from rollout.cli.command_line import command_line
from rollout.cli.common import Common, command
from rollout.codes import CATALOGUE, EXITS, OwnCode, Severity
from rollout.enos.codes import (
    CODES,
    DEVICE_REPLIES,
    GATEWAY,
    PROXY,
    SDK_STATUS,
    STEPS,
    TOKEN_STATUS,
    TREATMENT,
    Action,
    Advice,
    Meaning,
    Operation,
    Signal,
    Step,
    advise,
    signal_of_code,
    signal_of_http,
    signal_of_token,
)
from rollout.errors import RolloutError
from rollout.text import clipped


class NoSuchCode(RolloutError):
    """The code is in no table."""

    exit_code = 2


class Family(StrEnum):
    """Where a code comes from; the value is its name in JSON."""

    OWN = "rollout"
    ENOS = "enos"
    HTTP = "http"
    TOKEN = "token"  # noqa: S105 - the name of a family
    SDK = "apim_status"
    STEP = "step"
    REPLY = "reply"
    EXIT = "exit"


TITLES: Final[Mapping[Family, str]] = {
    Family.OWN: "rollout's own",
    Family.ENOS: "EnOS: `code` of an answer",
    Family.HTTP: "HTTP status: the gateway, or a proxy on the way",
    Family.TOKEN: "token service: `status` of an answer",
    Family.SDK: "SDK token scheme: `apim_status` of an answer",
    Family.STEP: "device: `progress` of a failed task",
    Family.REPLY: "device protocol: `code` of a reply to a device",
    Family.EXIT: "exit code of this program",
}
LABELS: Final[Mapping[Family, str]] = {
    Family.OWN: "",
    Family.ENOS: "EnOS ",
    Family.HTTP: "HTTP ",
    Family.TOKEN: "token status ",
    Family.SDK: "apim_status ",
    Family.STEP: "device step ",
    Family.REPLY: "device reply ",
    Family.EXIT: "exit code ",
}

_DEVICE: Final = frozenset({Family.STEP, Family.REPLY})
WORDS: Final[Mapping[str, frozenset[Family]]] = {
    "rollout": frozenset({Family.OWN}),
    "own": frozenset({Family.OWN}),
    "enos": frozenset({Family.ENOS}),
    "http": frozenset({Family.HTTP}),
    "gateway": frozenset({Family.HTTP}),
    "token": frozenset({Family.TOKEN}),
    "apim_status": frozenset({Family.SDK}),
    "sdk": frozenset({Family.SDK}),
    "step": frozenset({Family.STEP}),
    "progress": frozenset({Family.STEP}),
    "reply": frozenset({Family.REPLY}),
    "device": _DEVICE,
    "exit": frozenset({Family.EXIT}),
}
"""Words before a code that say which families it may be of. Without a code they list these families."""

SILENT: Final = frozenset({"code", "error", "status", "warning", ""})
"""Words that stand before a code in messages and do not say its family."""

ACTIONS: Final[Mapping[Action, str]] = {
    Action.OK: "goes on",
    Action.DONE: "counts as done",
    Action.AGAIN: "sent again after a backoff",
    Action.RECON: "looked up first, never blindly repeated",
    Action.AUTH: "sent again after the token is renewed, once",
    Action.FIX: "something must change before it is sent again",
    Action.HOLD: "waits, then sent again",
    Action.STOP: "final, a person must look at it",
}

NAMES: Final[Mapping[Operation, str]] = {
    Operation.READ: "get, search",
    Operation.CREATE: "create",
    Operation.START: "start",
    Operation.STOP: "stop",
    Operation.TASKS: "cancel, retry tasks",
    Operation.DELETE: "delete",
    Operation.UPLOAD: "upload firmware",
}

MAKERS_OWN: Final = Meaning(
    "",
    "a fault in the device maker's own numbering",
    "Steps below -5 are free for the maker of the device.",
    "Ask the maker, or look at `desc` of the task.",
    "developing device OTA (device connection)",
)

DOCUMENT_REFUSED: Final = "the file is refused with all its faults, exit code 2; nothing is sent"
WARNED: Final = "shown as a warning; the command goes on"
FAILED_DEVICE: Final = (
    "the device counts as failed in gates and budgets; EnOS retries it as far as job.retryPolicy says"
)
RESTARTED: Final = "a supervisor may start the same line again"
NOT_RESTARTED: Final = "nothing should start it again before somebody has looked"
NEVER_MET: Final = "never met: only devices see it"


@dataclass(frozen=True, slots=True)
class Treatment:
    """What is done after a code in one group of calls: `calls` names them for people. `known` if the code is expected there."""

    calls: str
    operations: tuple[Operation, ...]
    advice: Advice
    known: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """One code with all that is shown of it. `here` says how this program goes on where that depends on no call."""

    family: Family
    code: str
    meaning: Meaning
    severity: Severity | None = None
    here: str = ""
    treatment: tuple[Treatment, ...] = ()

    @property
    def label(self) -> str:
        """Return the code with the name of its family."""
        return f"{LABELS[self.family]}{self.code}"


@command("explain", context_settings={"ignore_unknown_options": True})
@click.argument("code", nargs=-1)
def explain(common: Common, *, code: tuple[str, ...]) -> None:
    """Show what CODE means and what to do about it; without CODE, list all codes.

    EnOS's codes, HTTP statuses, token statuses, device steps (-3), rollout's own (R601) and its exit codes
    (exit 8). A word before the code says whose it is (http 429, token 1003), and alone lists all of that kind. Sources are pages of the
    EnOS Connection Service API, release 2.4.4, where no other is named.

    Example: rollout explain http 429
    """
    found = _found(code)
    listed = not code or all(word.lower() in WORDS for word in code)
    if common.console.is_json:
        common.console.json("explain", codes=[_json(entry) for entry in found])
        return
    columns = common.console.columns(sys.stdout)
    if listed:
        common.console.result("\n".join(_list(found, columns)))
    else:
        common.console.result("\n\n".join("\n".join(_page(entry, columns)) for entry in found))


# --- finding --------------------------------------------------------------------------------------------------


def _found(words: Sequence[str]) -> list[Entry]:
    """Return the entries that the words of the command line name, in their order; all entries where no code is named.

    Raises: NoSuchCode.
    """
    known = list(_entries())
    wanted = frozenset(Family)
    found: list[Entry] = []
    unknown: list[NoSuchCode] = []
    asked = False
    for token in re.split(r"[\s,;:=\[\]()'\"`]+", " ".join(words)):
        word, code = _parted(token)
        if word is not None:
            wanted = WORDS[word]
        if code in SILENT:
            continue
        asked = True
        choice = [entry for entry in known if entry.family in wanted]
        hits = [entry for entry in choice if entry.code == code.upper()]
        if (
            not hits
            and Family.STEP in wanted
            and re.fullmatch(r"-[0-9]{1,9}", code)
            and int(code) < min(Step)
        ):
            hits = [_step(code, MAKERS_OWN)]
        if hits:
            found += hits
        elif re.search(r"[0-9]", code) or code.startswith("-"):
            raise _no_such_code(code, choice)
        else:
            unknown.append(_no_such_code(code, choice))
        wanted = frozenset(Family)
    # a whole message may be pasted: its code stands among other words
    if unknown and not found:
        raise unknown[0]
    return found if asked else [entry for entry in known if entry.family in wanted]


def _parted(token: str) -> tuple[str | None, str]:
    """Return word and code of one token: `http429` has both, `HTTP` no code (empty), `429` no word (None)."""
    lowered = token.lower()
    if lowered in WORDS:
        return lowered, ""
    match = re.fullmatch(r"([a-z_]+?)[_/]?(-?[0-9]+)", lowered)
    return (match[1], match[2]) if match is not None and match[1] in WORDS else (None, token)


def _no_such_code(code: str, known: Sequence[Entry]) -> NoSuchCode:
    """Return the error for a code that is in no table, with the codes that look like it."""
    shown = code[:40]
    if re.fullmatch(r"[0-9]{1,9}", code):
        alike = [entry for entry in known if len(entry.code) == len(code) and entry.code.isdigit()]
        close = sorted(alike, key=lambda entry: abs(int(entry.code) - int(code)))[:3]
    else:
        near = difflib.get_close_matches(code.upper(), [entry.code for entry in known], n=3)
        close = [entry for entry in known if entry.code in near]
    labels = [entry.label for entry in close]
    labels += difflib.get_close_matches(code.lower(), WORDS, n=1, cutoff=0.5) if not labels else []
    message = f"no code {shown!r}"
    if re.fullmatch(r"[0-9]{5}", code):
        message = (
            f"code {shown} is not published; after it a create is {ACTIONS[Action.RECON]}, "
            "and after any other call a person must look at it"
        )
    guess = f"did you mean {' or '.join(labels)}? " if labels else ""
    return NoSuchCode(message, hint=f"{guess}{command_line('explain')} lists all")


def _entries() -> Iterator[Entry]:
    """Yield the entries of all codes, family by family."""
    for name, own in sorted(CATALOGUE.items()):
        here = DOCUMENT_REFUSED if name.startswith("R1") else ""
        here = WARNED if own.severity is Severity.WARNING else here
        yield Entry(Family.OWN, name, _of_own(own), own.severity, here)
    for code, meaning in CODES.items():
        signals = {operation: signal_of_code(code, operation) for operation in Operation}
        yield _answer(Family.ENOS, code, meaning, signals)
    for status, meaning in sorted([*GATEWAY.items(), *PROXY.items()]):
        entry = _answer(Family.HTTP, status, meaning, dict.fromkeys(Operation, signal_of_http(status)))
        if status == 401:
            twice = _treatments(dict.fromkeys(Operation, Signal.TOKEN_REFUSED_TWICE))
            again = tuple(Treatment("a second time", t.operations, t.advice) for t in twice)
            entry = Entry(entry.family, entry.code, meaning, treatment=entry.treatment + again)
        yield entry
    for token, meaning in TOKEN_STATUS.items():
        yield _answer(Family.TOKEN, token, meaning, dict.fromkeys(Operation, signal_of_token(token)))
    for sdk, meaning in SDK_STATUS.items():
        yield _answer(Family.SDK, sdk, meaning, dict.fromkeys(Operation, Signal.SDK_TOKEN_REFUSED))
    for step, meaning in STEPS.items():
        yield _step(str(int(step)), meaning)
    for reply, meaning in DEVICE_REPLIES.items():
        yield Entry(Family.REPLY, str(int(reply)), meaning, here=NEVER_MET)
    for number, end in EXITS.items():
        here = "" if end.restart is None else RESTARTED if end.restart else NOT_RESTARTED
        yield Entry(Family.EXIT, str(number), Meaning("", end.meaning, end.cause, end.remedy, ""), here=here)


def _of_own(own: OwnCode) -> Meaning:
    return Meaning("", own.meaning, own.cause, own.remedy, own.source)


def _step(number: str, meaning: Meaning) -> Entry:
    return Entry(Family.STEP, number, meaning, here=FAILED_DEVICE)


def _answer(family: Family, code: int, meaning: Meaning, signals: Mapping[Operation, Signal]) -> Entry:
    return Entry(family, str(int(code)), meaning, treatment=_treatments(signals))


def _treatments(signals: Mapping[Operation, Signal]) -> tuple[Treatment, ...]:
    """Return what is done after each signal. Operations with the same advice share a row; unexpected ones come last."""
    groups: dict[tuple[bool, Advice], list[Operation]] = {}
    for operation, signal in signals.items():
        advice = advise(signal, operation)
        known = operation in TREATMENT[signal]
        # of a code that is not expected only the action is shown
        groups.setdefault((known, advice if known else Advice(advice.action)), []).append(operation)
    return tuple(
        Treatment(_calls(operations), tuple(operations), advice, known)
        for (known, advice), operations in sorted(groups.items(), key=lambda item: not item[0][0])
    )


def _calls(operations: Sequence[Operation]) -> str:
    if len(operations) == len(Operation):
        return "any call"
    return ", ".join(NAMES[operation] for operation in operations)


# --- showing --------------------------------------------------------------------------------------------------

_LABEL_WIDTH: Final = 12


def _list(entries: Sequence[Entry], columns: int | None) -> Iterator[str]:
    width = max(len(entry.code) for entry in entries)
    for family in dict.fromkeys(entry.family for entry in entries):
        yield TITLES[family]
        for entry in entries:
            if entry.family is family:
                warning = "warning: " if entry.severity is Severity.WARNING else ""
                line = f"  {entry.code:<{width}}  {warning}{entry.meaning.meaning}"
                yield clipped(line, columns) if columns else line
        yield ""
    yield f"One of them in full:  {command_line('explain', 'CODE')}"


def _page(entry: Entry, columns: int | None) -> Iterator[str]:
    meaning = entry.meaning
    kind = f"  {entry.severity}" if entry.severity is not None else ""
    yield f"{entry.label}{kind}"
    rows = [
        ("Says", meaning.message),
        ("Means", meaning.meaning),
        ("Cause", meaning.cause),
        ("Do", meaning.remedy),
        ("Restart" if entry.family is Family.EXIT else "In rollout", entry.here),
        *zip(["In rollout", *[""] * 9], _treatment_lines(entry.treatment), strict=False),
        ("Source", meaning.page or "a rule of rollout's own"),
    ]
    for label, text in rows:
        if text:
            yield from _wrapped(f"{label:<{_LABEL_WIDTH}}{text}", columns)


def _treatment_lines(treatments: Iterable[Treatment]) -> Iterator[str]:
    for treatment in treatments:
        if treatment.known:
            note = f": {treatment.advice.note}" if treatment.advice.note else ""
            yield f"{treatment.calls}: {_action(treatment.advice)}{note}"
        else:
            yield f"{treatment.calls}: not expected; {_action(treatment.advice)}"


def _action(advice: Advice) -> str:
    tries = f", {advice.tries} times at most" if advice.tries is not None else ""
    wait = f", {advice.wait_s:g} s later at the earliest" if advice.wait_s else ""
    return f"{ACTIONS[advice.action]}{tries}{wait}"


def _wrapped(line: str, columns: int | None) -> list[str]:
    if columns is None or len(line) <= columns:
        return [line]
    below = " " * _LABEL_WIDTH
    return textwrap.wrap(line, max(columns, 40), subsequent_indent=below, break_on_hyphens=False)


def _json(entry: Entry) -> dict[str, Any]:
    return {
        "code": entry.code,
        "family": str(entry.family),
        "label": entry.label,
        "severity": None if entry.severity is None else str(entry.severity),
        "message": entry.meaning.message,
        "meaning": entry.meaning.meaning,
        "cause": entry.meaning.cause,
        "remedy": entry.meaning.remedy,
        "inRollout": entry.here,
        "treatment": [
            {
                "operations": [str(operation) for operation in treatment.operations],
                "afterRenewal": treatment.calls == "a second time",
                "course": str(treatment.advice.action),
                "note": treatment.advice.note,
                "tries": treatment.advice.tries,
                "waitSeconds": treatment.advice.wait_s,
                "expected": treatment.known,
            }
            for treatment in entry.treatment
        ],
        "source": entry.meaning.page,
    }
