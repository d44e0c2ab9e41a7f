"""How the platform says no: a code and its literal text, carried to the caller in the envelope."""

from __future__ import annotations

from rollout.enos.codes import CODES, Code


class Refusal(Exception):
    """An operation was refused and had no effect, unless the operation says otherwise.

    `message` is the code's own text where nothing more is to be said.
    Source of codes and texts: the error tables of the operation pages of the OTA API v2.1.
    """

    def __init__(self, code: Code, message: str | None = None) -> None:
        self.code = code
        self.message = CODES[code].message if message is None else message
        super().__init__(f"{code} {self.message}")


def invalid(why: str) -> Refusal:
    """Return the common refusal of an argument that cannot be used."""
    return Refusal(Code.INVALID_ARGUMENT, f"Invalid Argument: {why}")
