"""Listings: the devices that EnOS's device search returned, kept as a file beside the saved plan.

A fleet on the platform changes by the hour. So the platform is asked once, the whole answer is written down, and
from then on it is read like a device file: the same plan gives the same waves tomorrow, and a campaign that was
begun is recognised. The file is gzip with one JSON line for each device, `["key", {"column": "value", ...}]`. Its
digest and where it came from stand in the saved plan.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from rollout.intake.files import Unopened, open_regular

KEPT: Final = frozenset(
    {"assetId", "productKey", "productType", "modelId", "firmwareVersion", "status", "deviceName"}
)
"""Columns that every listing keeps, beside all tags. Attributes can be many: only those the plan names are kept."""

PRODUCTS_SHOWN_MAX: Final = 3
"""Products of a listing that are kept and named in a complaint. More than one is a fault."""

_COPY_BYTES: Final = 1 << 20


class DamagedListing(Exception):
    """The file is not as it was written. The text says why and is shown after the source's name."""


@dataclass(frozen=True, slots=True)
class DeviceListing:
    """One search's devices. `source` as the plan has it; `url` who was asked, at `asked_at` (s since the epoch).

    `products` are their product keys, sorted, the first three.
    """

    source: str
    url: str
    asked_at: float
    found: int
    products: tuple[str, ...]
    sha256: str
    path: Path

    def to_json(self) -> dict[str, Any]:
        """Return the listing as a member of the saved plan."""
        return {
            "source": self.source,
            "url": self.url,
            "askedAt": round(self.asked_at * 1000),
            "found": self.found,
            "products": list(self.products),
            "file": self.path.name,
            "sha256": self.sha256,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], directory: Path) -> DeviceListing:
        """Return the listing that `to_json` wrote into a plan of `directory`. Raises KeyError, TypeError, ValueError."""
        name = data["file"]
        if not isinstance(name, str) or Path(name).name != name:
            raise ValueError("a listing lies beside its plan")
        return cls(
            source=str(data["source"]),
            url=str(data["url"]),
            asked_at=float(data["askedAt"]) / 1000,
            found=int(data["found"]),
            products=tuple(map(str, data["products"])),
            sha256=str(data["sha256"]),
            path=directory / name,
        )

    def check(self) -> None:
        """Compare the file with its digest. Raises DamagedListing."""
        try:
            with open_regular(self.path) as file:
                digest = hashlib.sha256()
                while text := file.read(_COPY_BYTES):
                    digest.update(text)
        except Unopened as refusal:
            raise DamagedListing(str(refusal)) from refusal
        if digest.hexdigest() != self.sha256:
            raise DamagedListing("is damaged: its digest is not the plan's")


class ListingWriter:
    """Writes a listing device by device. Use it as a context manager and call `finish` inside.

    Args:
        columns: those that the plan names, kept beside those of `KEPT`.
    """

    def __init__(self, path: Path, columns: Collection[str]) -> None:
        self._path = path
        self._kept = KEPT.union(columns)
        self._products: set[str] = set()
        self.found = 0
        # without name and time in its head, the same devices are the same bytes
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._raw = os.fdopen(descriptor, "wb")
        packed = gzip.GzipFile("", "wb", compresslevel=1, fileobj=self._raw, mtime=0)
        self._text = io.TextIOWrapper(packed, encoding="ascii", newline="\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._raw.closed:
            self._text.close()
            self._raw.close()

    def add(self, key: str, columns: Mapping[str, str]) -> None:
        """Write one device."""
        kept = {
            name: value
            for name, value in columns.items()
            if name in self._kept or name.startswith("deviceTags.")
        }
        self._text.write(json.dumps([key, kept], separators=(",", ":")) + "\n")
        self.found += 1
        if product := columns.get("productKey"):
            self._products.add(product)

    def finish(self, source: str, url: str, asked_at: float) -> DeviceListing:
        """End the file, wait until it is on disk, and return its listing. Raises OSError."""
        self._text.close()
        self._raw.flush()
        os.fsync(self._raw.fileno())
        self._raw.close()
        products = tuple(sorted(self._products)[:PRODUCTS_SHOWN_MAX])
        with self._path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return DeviceListing(source, url, asked_at, self.found, products, sha256, self._path)


def read_listing(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield key and columns of each device, in the order in which the platform gave them. Raises DamagedListing."""
    try:
        with open_regular(path) as raw, gzip.GzipFile(fileobj=raw) as packed:
            for line in io.TextIOWrapper(io.BufferedReader(packed), encoding="ascii"):
                match json.loads(line):
                    case [str(key), dict(columns)] if {*map(type, columns.values())} <= {str}:
                        yield key, columns
                    case _:
                        raise ValueError("a line is not a key and its columns")  # noqa: TRY301 - mapped with the rest
    except Unopened as refusal:
        raise DamagedListing(str(refusal)) from refusal
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise DamagedListing(f"is damaged: {error}") from error
