"""What one create call led to. One of five outcomes. Only what is proved counts as definite.

`Unsent` may be repeated, `Throttled` and `Rejected` were refused before any effect, `Accepted` made a job.
Whatever is none of these is `Unknown`: it may or may not have taken effect and is looked up before
anything else happens (see `core.retry`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accepted:
    """A complete, well-formed success."""

    job_id: str
    request_id: str = ""
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Rejected:
    """A listed refusal: the platform said no and did nothing.

    `code` is the platform's own, for display. `retryable`: the refusal waits for an outside condition, such as a
    firmware that is not verified yet. `credentials`: keys, permissions or address are not accepted, so no batch
    can pass.
    """

    code: int
    message: str
    request_id: str = ""
    retryable: bool = False
    credentials: bool = False


@dataclass(frozen=True, slots=True)
class Throttled:
    """Flow control refused the call before it had any effect.

    `retry_after_s`: the wait asked for, 0 to 300 s. `code` is the platform's own, for display.
    """

    retry_after_s: float | None = None
    message: str = ""
    code: int | None = None


@dataclass(frozen=True, slots=True)
class Unsent:
    """No byte of the request left this machine; `withheld` if our own last check stopped it."""

    reason: str
    withheld: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """The request may have taken effect; `reason` says what was seen instead of an answer.

    `code` and `http_status` are the platform's own, for display. `throttled`: the answer looks like flow control,
    though not in the platform's documented words; calls should go out more slowly.
    """

    reason: str
    code: int | None = None
    http_status: int | None = None
    request_id: str = ""
    throttled: bool = False


Outcome = Accepted | Rejected | Throttled | Unsent | Unknown


@dataclass(frozen=True, slots=True)
class Found:
    """A job seen on the platform, with what is needed to recognise it as ours."""

    job_id: str
    name: str
    firmware_id: str
    type: str
    status: str = ""
    create_time_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """The jobs that a search by name found, compared by their whole names. `complete` only if every page was read and the pages agree."""

    jobs: tuple[Found, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a search for one batch's job found: exact-name matches, and the device witness.

    `witness` holds ids of jobs, other than the known ones, of our firmware that have tasks for the
    batch's devices; not empty means somebody's job reached these devices.
    """

    found: tuple[Found, ...]
    complete: bool
    witness: tuple[str, ...] = ()
