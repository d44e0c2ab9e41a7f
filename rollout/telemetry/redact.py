"""Secrets are removed from every text, as the last step before it is shown or stored.

Code does not log secrets on purpose. This guards against the accident: an error text of a library that carries a
header, a value that the platform sends back. The redactor knows the secret values of this run in the forms in which
they leak (as they are, base64, hexadecimal, percent-encoded) and the names of fields that only ever hold a secret.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

HIDDEN = "***"

_SECRET_NAME = re.compile(
    r"(?i)^(apim-\w+|authorization|(app|secret|access)[-_]?(secret|key|token)|password|"
    r"device[-_]?secret|session[-_]?key)$"
)
_SECRET_HEADER = re.compile(
    # "$TOKEN" is left: a script that is printed has a variable's name there, not a value
    r"(?i)(apim-(?:accesstoken|signature|timestamp)['\"]?\s*[:=]\s*['\"]?)(?!\$(?-i:[A-Z]+)\")[^\s'\",;)}]+"
)


def forms(value: str) -> list[str]:
    """Return the texts in which `value` may appear, longest first: itself and its usual encodings."""
    raw = value.encode()
    # Base64 inside a longer text can start at any of three offsets; only the middle is the same each time.
    shifted = [
        base64.b64encode(b"\0" * pad + raw).decode()[4 if pad else 0 :].rstrip("=") for pad in range(3)
    ]
    inner = [text[:-1] for text in shifted if len(text) > 8]
    encodings = {
        value,
        raw.hex(),
        raw.hex().upper(),
        quote(value, safe=""),
        base64.b64encode(raw).decode(),
        *inner,
    }
    return sorted((text for text in encodings if text), key=len, reverse=True)


class Redactor:
    """Replaces every known secret value in texts and nested values by `***`."""

    def __init__(self) -> None:
        self._texts: set[str] = set()
        self._values: re.Pattern[str] | None = None
        self._written: re.Pattern[bytes] | None = None

    def learn(self, *secrets: str) -> None:
        """Hide these values from now on."""
        self._texts.update(text for secret in secrets for text in forms(secret))
        # longest first: where one secret contains another, the whole of the longer one must be hidden
        ordered = sorted(self._texts, key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, ordered))) if ordered else None
        # the same inside a JSON line, where quotes and backslashes are escaped
        written = sorted({json.dumps(text)[1:-1].encode() for text in ordered})
        # a form that contains another one is found by the shorter one
        shortest = [w for w in written if not any(o in w for o in written if o != w)]
        self._written = re.compile(b"|".join(map(re.escape, shortest))) if shortest else None

    def finds(self, line: bytes) -> bool:
        """Return whether an ASCII JSON line holds anything that must be hidden."""
        return b"apim-" in line.lower() or (
            self._written is not None and self._written.search(line) is not None
        )

    @staticmethod
    def is_harmless_name(name: str) -> bool:
        """Return whether a field of this name may hold anything but a secret."""
        return name.isascii() and name.isidentifier() and not _SECRET_NAME.match(name)

    def text(self, text: str) -> str:
        """Return `text` without any known secret and without the value of any `apim-` header."""
        if self._values is not None:
            text = self._values.sub(HIDDEN, text)
        return _SECRET_HEADER.sub(rf"\1{HIDDEN}", text) if "apim-" in text.lower() else text

    def value(self, value: Any) -> Any:
        """Return `value`, JSON-like, with every text in it redacted and secret-named fields hidden."""
        match value:
            case str():
                return self.text(value)
            case bytes():
                return self.text(value.decode("utf-8", "backslashreplace"))
            case Mapping():
                return {
                    self.text(str(key)): HIDDEN if _SECRET_NAME.match(str(key)) else self.value(item)
                    for key, item in value.items()
                }
            case list() | tuple() | set() | frozenset():
                return [self.value(item) for item in value]
            case None | bool() | int() | float():
                return value
            case _:
                # the text of an unknown object may hold anything, headers included: only its type is shown
                return f"<{type(value).__name__}>"


REDACTOR = Redactor()
"""The redactor of this process: code that reads a secret calls `learn`, code that writes a text calls `text` or `value`."""
