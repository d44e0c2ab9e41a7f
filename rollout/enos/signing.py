"""The signature of a call and the proof of a token request. No I/O.

A call carries the token, a timestamp and a hash over both, the parameters, the body and the secret. The gateway
computes the same hash from what it received, so the body is serialised once, and the same bytes are signed and sent.
The gateway takes a timestamp it has seen before for a replay (token status 1001), hence `Timestamps`.
Source: page invoke_api_with_access_token, 2.3.0 and 3.0.0.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping


class Secret:
    """A text that must not be seen: every printed, formatted or pickled form of it is `***`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text. Never keep it in a local variable: tracebacks show those."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        return (Secret, ("***",))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Secret:
        return self


class Timestamps:
    """Milliseconds since the epoch, each larger than all before, however fast or backwards the clock goes.

    `now` gives seconds since the epoch.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._last = 0

    def next_ms(self) -> int:
        """Return the present time in ms, or one more than the last answer if that is not later."""
        self._last = max(int(self._now() * 1000), self._last + 1)
        return self._last


def encrypt(app_key: str, timestamp_ms: int | str, app_secret: Secret) -> str:
    """Return the `encryption` of a token request: 64 lower-case hex digits."""
    return hashlib.sha256(f"{app_key}{timestamp_ms}{app_secret.reveal()}".encode()).hexdigest()


def params_data(query: Mapping[str, str]) -> str:
    """Return names and values of the decoded query, sorted by name in ASCII order, without separators."""
    return "".join([name + query[name] for name in sorted(query)])


def signed_text(
    token: Secret, query: Mapping[str, str], body: bytes | None, timestamp_ms: int | str, app_secret: Secret
) -> bytes:
    """Return what the signature of a call is the hash of: token, parameters, body, timestamp and secret, joined."""
    # at once: a body may be large, and no secret stands in a variable
    return b"".join(
        (
            f"{token.reveal()}{params_data(query)}".encode(),
            body or b"",
            f"{timestamp_ms}{app_secret.reveal()}".encode(),
        )
    )


def sign(
    token: Secret, query: Mapping[str, str], body: bytes | None, timestamp_ms: int | str, app_secret: Secret
) -> str:
    """Return `apim-signature`: 64 lower-case hex digits over exactly the bytes to be sent.

    `query` holds every parameter, `action` and `orgId` too. `body` is None when the request has none; `{}` counts.
    """
    return hashlib.sha256(signed_text(token, query, body, timestamp_ms, app_secret)).hexdigest()
