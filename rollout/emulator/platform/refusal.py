"""How the platform refuses a call: a code and its text, which the caller gets in the envelope."""

from __future__ import annotations

from rollout.enos.codes import CODES, Code


class Refusal(Exception):
    """The platform refused a call. The call changed nothing, unless the method that raises says otherwise.

    `message`: the published text of the code, if none is given.
    Source of codes and texts: the error tables of the operation pages of the OTA API v2.1.
    """

    def __init__(self, code: Code, message: str | None = None) -> None:
        self.code = code
        self.message = CODES[code].message if message is None else message
        super().__init__(f"{code} {self.message}")


def invalid(why: str) -> Refusal:
    """Return the refusal 99400, the common code for an argument that cannot be used."""
    return Refusal(Code.INVALID_ARGUMENT, f"Invalid Argument: {why}")
