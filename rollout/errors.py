"""Every exception that a caller of `rollout` may catch.

Expected outcomes, such as a throttled or an unknown create, are values and no exceptions: see `core.outcome`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rollout.codes import Severity


class RolloutError(Exception):
    """Base of all errors that the program raises on purpose.

    `code`: ours, such as `R201`, a row of `rollout.codes`. `hint`: one sentence on what to do. Both may be empty.
    """

    exit_code: int = 1

    def __init__(self, message: str, *, code: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Complaint:
    """One fault of a document: where it stands, what was expected, what to do.

    `line` and `column` count from 1; 0 means the fault has no place in the file.
    """

    file: str
    line: int
    column: int
    code: str
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR
    field: str = ""

    def __str__(self) -> str:
        place = self.file
        if self.line:
            place += f":{self.line}:{self.column}"
        return f"{place}: {self.code} {self.message}"


class PlanError(RolloutError):
    """A plan, fleet or saved plan was refused; `complaints` holds every fault found in one pass."""

    exit_code = 2

    def __init__(self, *complaints: Complaint) -> None:
        errors = [c for c in complaints if c.severity is Severity.ERROR]
        assert errors, "a PlanError needs at least one error"
        super().__init__(str(errors[0]), code=errors[0].code, hint=errors[0].hint)
        self.complaints = complaints


class SettingsError(RolloutError):
    """A profile, environment variable or flag cannot be used as given."""

    exit_code = 2


class OtherRehearsal(SettingsError):
    """An emulator's memory was begun with other settings, so it cannot be the same platform."""


class Phase(StrEnum):
    """How far a call had come when it failed.

    CONNECT: nothing was written. SENT: the request was handed to a connection, and no answer came. ANSWERED: an answer
    came. REFUSED: the gateway refused the call before the service saw it. Only after CONNECT and REFUSED is it certain
    that the call had no effect.
    """

    CONNECT = "connect"
    REFUSED = "refused"
    SENT = "sent"
    ANSWERED = "answered"


class Failure(StrEnum):
    """What went wrong with a call, in words that hold for every platform. The platform's client sets it.

    The engine decides by this and by nothing else. `REFUSED` and `CREDENTIALS` are final: the same call is not
    answered differently later.
    """

    UNREACHABLE = "unreachable"
    """No connection: nothing was sent."""
    NO_RESPONSE = "no_response"
    """The request was sent and no answer came."""
    UNAVAILABLE = "unavailable"
    """The platform answered that it failed itself. A repeat may pass."""
    UNREADABLE = "unreadable"
    """An answer came that cannot be read, or pages that contradict each other. A repeat may pass."""
    THROTTLED = "throttled"
    """Flow control refused the call. `retry_after_s` says how long to wait, where the platform told."""
    TOO_LARGE = "too_large"
    """The call names too much at once."""
    ALREADY_SO = "already_so"
    """What the call asks for holds already."""
    GONE = "gone"
    """What the call names is not there. Right after it was made it may only be hidden from reads."""
    NOT_RUNNING = "not_running"
    """The job is stopped, so its tasks cannot be changed."""
    IN_USE = "in_use"
    """What the call removes or replaces is in use: a job that runs, a firmware that jobs need."""
    NOT_CANCELLABLE_NOW = "not_cancellable_now"
    """Some of the tasks have begun or ended: read them again."""
    NOT_RETRYABLE_NOW = "not_retryable_now"
    """Some of the tasks have not failed: read them again."""
    REFUSED = "refused"
    """The platform will never carry out this call as it is."""
    CREDENTIALS = "credentials"
    """Keys, permissions or this machine's address are not accepted. No call will pass until a person acts."""

    @property
    def is_final(self) -> bool:
        """Whether a repeat of the same call is pointless."""
        return self in {Failure.REFUSED, Failure.CREDENTIALS}


class ServiceError(RolloutError):
    """A call to the platform failed; never carries a header, a token or a request body.

    Args:
        phase: how far the call had come.
        failure: what happened; all decisions look at this.
        platform_code: the platform's own code, None where it told none. For people and `rollout explain`; nothing
            is decided by it outside the platform's client.
        http_status: the answer's HTTP status, for the same use; None without an answer.
        explain: the words after `rollout explain` that tell more of the code; empty if there is no more.
        request_id: by which the platform's operators find the call; may be empty.
        retry_after_s: seconds the platform asked to wait; None where it did not.
    """

    def __init__(
        self,
        message: str,
        *,
        phase: Phase,
        failure: Failure,
        platform_code: int | None = None,
        http_status: int | None = None,
        explain: tuple[str, ...] = (),
        request_id: str = "",
        retry_after_s: float | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.phase = phase
        self.failure = failure
        self.platform_code = platform_code
        self.http_status = http_status
        self.explain = explain
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.exit_code = 4 if failure is Failure.CREDENTIALS else 1


class JournalError(RolloutError):
    """The journal could not be read or written; nothing may be sent after it."""


class JournalCorrupt(JournalError):
    """The file is not a journal of ours, is newer than this program, or is damaged."""


class JournalHeld(JournalError):
    """Another runner holds the campaign."""

    exit_code = 7

    def __init__(self, place: Path | str, holder: str) -> None:
        super().__init__(
            f"{place}: in use by {holder}",
            code="R701",
            hint="one runner per campaign; `rollout status` shows it, `rollout pause` steers it",
        )
        self.holder = holder


class CampaignBusy(RolloutError):
    """The campaign exists with other content than the plan that was given."""

    exit_code = 2


class NoCampaign(RolloutError):
    """There is no such campaign, or it was never run."""

    exit_code = 2


class OrderRefused(RolloutError):
    """The order makes no sense for the campaign as it stands."""

    exit_code = 2


class WrongArgument(RolloutError):
    """An argument cannot be used as given. `name` is the argument's; the command line shows it as a flag: `--name`."""

    exit_code = 2

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name
