"""How the platform says no: a code and its literal text, carried to the caller in the envelope."""

from __future__ import annotations

__all__ = ["Refusal", "invalid"]

INVALID_ARGUMENT = 99400


class Refusal(Exception):
    """An operation was refused and had no effect, unless the operation says otherwise.

    Source of codes and texts: the error tables of the operation pages of the OTA API v2.1.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message


def invalid(why: str) -> Refusal:
    """Return the common refusal of an argument that cannot be used."""
    return Refusal(INVALID_ARGUMENT, f"Invalid Argument: {why}")
