"""The saved plan: what `run` executes, the same on any machine, however the device list has changed since.

It is two files in one directory. `plan.devices` is the manifest: all keys in plan order, `"k1","k2",...`, of which
slices are read through a memory map. `plan.json` is everything else: the campaign, the seed, the waves, and for
every batch its slice and its digest. Opening takes a few milliseconds for thousands of batches, since nothing is
done for each device.

    {"schema": "rollout.plan/2", "checksum": sha256 of all other members, "digest": sha256 of the plan,
     "savedBy": version of rollout, "campaign": {…}, "seed": n,
     "manifest": {"schema": "rollout.devices/1", "file", "bytes", "sha256"},
     "waves": [{"name", "devices", "batches"}, …], "batches": [[wave, devices, start, stop, digest], …],
     "report": {"rows", "duplicates", "excluded", "filtered", "devices", "warnings": […], "listings": […]}}

The digest is taken over the text of schema, campaign, seed, waves and batches as it stands in the file, and of
the manifest's sha256. So it is the same for every later program. Plans of format 1 open for ever (`format_1`). A
plan of a newer format, or with a field that this program does not know, is refused (R181) with the version that
saved it.

Where devices came from EnOS's search, `plan.listing-*.gz` holds the search's answer (see `intake.listing`), so that
the same plan can be made again. `run` does not need it.

Each file is written under another name and moved into place when it is complete and on disk, the manifest first.
After a crash in between the two files do not fit together, and `open_saved_plan` refuses them.
"""

from __future__ import annotations

import csv
import hashlib
import json
import mmap
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from rollout.codes import Severity
from rollout.core.campaign import Campaign, Scope, Share
from rollout.core.campaign_json import PLAN_FORMAT, NewerFormat, campaign_from_json, canonical
from rollout.core.names import batch_name
from rollout.core.plan import (
    PLAN_SCHEMA,
    Batch,
    Cutter,
    KeyBlob,
    Plan,
    PlannedWave,
    Quota,
    Seal,
    ThinSpread,
    assign_waves,
    batch_digest,
    plan_digest,
    seals_of,
    size_waves,
    written_plan,
)
from rollout.errors import Complaint, PlanError
from rollout.intake import format_1
from rollout.intake.complaints import Complaints, Loc, quoted
from rollout.intake.device_search import is_search
from rollout.intake.document import PlanDocument
from rollout.intake.files import Unopened, open_regular, replacing, unnamed_file
from rollout.intake.fleet_file import Source
from rollout.intake.fleet_sort import Counts, SortedFleet, sort_fleet
from rollout.intake.listing import DeviceListing
from rollout.intake.rules import check_sizes
from rollout.ports import PLAN_NAME
from rollout.version import __version__

MANIFEST_NAME = "plan.devices"
MANIFEST_SCHEMA = "rollout.devices/1"
"""What a saved plan calls the form of its manifest; plans of format 1 do not say, and have this one."""

_DIGESTED = ("schema", "campaign", "seed", "waves", "batches")
_MEMBERS = frozenset({*_DIGESTED, "digest", "savedBy", "manifest", "report"})

PLAN_BYTES_MAX = 256 << 20
"""Bytes of plan.json: two million batches. Ours."""

_COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class PlanningReport:
    """How many rows the device list had and what became of them; `rows` is the sum of the other four counts.

    `listings` are the searches of EnOS that the list, or what it excludes, came from.
    """

    rows: int = 0
    duplicates: int = 0
    excluded: int = 0
    filtered: int = 0
    devices: int = 0
    warnings: tuple[Complaint, ...] = ()
    listings: tuple[DeviceListing, ...] = ()


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A plan on disk, with its manifest; `path` is that of plan.json."""

    path: Path
    plan: Plan
    manifest: KeyBlob
    report: PlanningReport
    manifest_sha256: str = field(repr=False)
    seals: tuple[Seal, ...] = field(repr=False, compare=False)
    """For each wave what its batches' digests share, in the form of the plan's own format."""

    def is_same_as(self, other: SavedPlan) -> bool:
        """Return whether both do the same to the same devices; the formats they were saved in may differ."""
        if self.plan.digest == other.plan.digest:
            return True
        mine, others = self.plan, other.plan
        return (
            self.manifest_sha256 == other.manifest_sha256
            and (mine.campaign, mine.seed, mine.waves) == (others.campaign, others.seed, others.waves)
            and [(b.start, b.stop) for b in mine.batches] == [(b.start, b.stop) for b in others.batches]
        )

    def verify(self) -> None:
        """Read the whole manifest and compare it, and every batch, with the digests. Raises PlanError."""
        place = self.path.parent / MANIFEST_NAME
        blob_digest = hashlib.sha256()
        for start in range(0, len(self.manifest), _COPY_BYTES):
            blob_digest.update(self.manifest.json_slice(start, start + _COPY_BYTES))
        if blob_digest.hexdigest() != self.manifest_sha256:
            raise _refused("R182", place, "is damaged: its digest is not the plan's")
        for wave in self.plan.waves:
            _check_batches(self, self.plan.batches[wave.first : wave.last], place)


def compile_plan(
    document: PlanDocument,
    directory: Path,
    *,
    devices: Sequence[str | Path] | None = None,
    listings: Sequence[DeviceListing] = (),
    progress: Callable[[int], None] | None = None,
) -> SavedPlan:
    """Plan the document's fleet and save the plan into `directory`, replacing one that is there.

    Args:
        devices: device files instead of those the plan names; `-` is standard input.
        listings: the listing of each `enos:` search among the sources. They lie in `directory`, or where the plan
            will be moved.
        progress: called with the number of rows read so far, every 65,536 rows.
    Raises: PlanError with all faults of the device files, or of the plan with this fleet; nothing is
        written then.
    """
    complaints = Complaints(str(document.path), document.places)
    complaints.extend(document.warnings)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            _compile(
                document,
                directory,
                complaints,
                stack,
                devices=devices,
                listings=listings,
                progress=progress,
            )
    except OSError as error:
        reason = error.strerror or str(error)
        raise _refused("R183", directory, f"the plan cannot be saved: {reason.lower()}") from error
    return open_saved_plan(directory / PLAN_NAME)


def open_saved_plan(path: Path) -> SavedPlan:
    """Open a saved plan.

    Checks all of plan.json, and of the manifest its size, its first and its last batch; `verify` checks the
    rest. Raises: PlanError if it is not a saved plan, is damaged, or was made by a newer program.
    """
    data = _read_plan_json(path)
    try:
        first_format = data["schema"] == format_1.SCHEMA
        written = data["campaign"]
        campaign = campaign_from_json(format_1.campaign_of_format_2(written) if first_format else written)
        seals = format_1.seals_1(written) if first_format else seals_of(written)
        waves, batches = _waves_and_batches(data["waves"], data["batches"])
        manifest_sha256, size = str(data["manifest"]["sha256"]), int(data["manifest"]["bytes"])
        digest = (
            format_1.plan_digest_1(data)
            if first_format
            else plan_digest({name: data[name] for name in _DIGESTED}, manifest_sha256)
        )
        report = _report_from_json(data["report"], path.parent)
        seed = int(data["seed"])
    except NewerFormat as unknown:
        raise _newer(path, data, f"has {unknown}, which this program does not know") from unknown
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise _refused("R182", path, f"is damaged: {type(error).__name__} in its content") from error
    if digest != data.get("digest"):
        raise _refused("R182", path, "is damaged: its digest is not that of its content")
    plan = Plan(campaign, seed, waves, batches, sum(wave.devices for wave in waves), digest)
    place = path.parent / MANIFEST_NAME
    saved = SavedPlan(path, plan, _map_manifest(place, size), report, manifest_sha256, tuple(seals))
    listed = [batch for batch in batches if batch.devices]
    _check_batches(saved, [*listed[:1], *listed[1:][-1:]], place)
    return saved


def write_waves_csv(saved: SavedPlan, path: Path) -> None:
    """Write which device is in which wave and job: wave, batch number, job name, device key. Raises OSError."""
    with replacing(path) as binary:
        text = os.fdopen(os.dup(binary.fileno()), "w", encoding="utf-8", newline="")
        with text:
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(("wave", "batch", "jobName", "deviceKey"))
            for batch in saved.plan.batches:
                wave, name = saved.plan.waves[batch.wave].name, batch_name(saved.plan.campaign.id, batch)
                keys = saved.manifest.keys(batch.start, batch.stop)
                writer.writerows((wave, batch.number, name, key) for key in keys)


# Planning


def _compile(
    document: PlanDocument,
    directory: Path,
    complaints: Complaints,
    stack: ExitStack,
    *,
    devices: Sequence[str | Path] | None,
    listings: Sequence[DeviceListing],
    progress: Callable[[int], None] | None,
) -> None:
    campaign = document.campaign
    if all(isinstance(wave.size, Scope) for wave in campaign.waves):
        if devices:
            complaints.add("R130", "no wave takes devices from a list: EnOS picks them all", loc=("waves",))
            complaints.raise_if_failed()
        fleet: SortedFleet | None = None
    else:
        fleet = sort_fleet(
            document.devices,
            campaign.waves,
            document.seed,
            sources=fleet_sources(document, devices, listings, complaints),
            exclude=_sources(document, document.devices.exclude, "exclude", listings, complaints),
            scratch=directory,
            stack=stack,
            complaints=complaints,
            progress=progress,
        )
        if fleet is None:
            complaints.raise_if_failed()
            return
    counts = Counts() if fleet is None else fleet.counts
    quotas, uncovered = size_waves(campaign.waves, counts.devices)
    _check_quotas(complaints, document, quotas, uncovered, counts)
    complaints.raise_if_failed()
    parts = [unnamed_file(directory, stack) for _ in campaign.waves]
    cutter = Cutter(campaign, lambda wave, text: parts[wave].write(text))
    if fleet is not None:
        assignment = assign_waves(campaign.waves, quotas, counts.devices, fleet.fixed, fleet.strata)
        _warn_of_thin(complaints, campaign, assignment.thin)
        position = 0
        for keys in fleet.chunks():
            cutter.take(keys, assignment.wave_of[position : position + len(keys)])
            position += len(keys)
    waves, batches = cutter.finish()
    warnings = complaints.raise_if_failed()
    size, sha256 = _write_manifest(directory, parts)
    written = written_plan(campaign, document.seed, waves, batches)
    content = {
        **written,
        "digest": plan_digest(written, sha256),
        "savedBy": __version__,
        "manifest": {"schema": MANIFEST_SCHEMA, "file": MANIFEST_NAME, "bytes": size, "sha256": sha256},
        "report": {
            **asdict(counts),
            "warnings": [_warning_to_json(warning) for warning in warnings],
            "listings": [listing.to_json() for listing in listings],
        },
    }
    with replacing(directory / PLAN_NAME) as file:
        file.write(canonical({"checksum": _checksum(content), **content}) + b"\n")


def fleet_sources(
    document: PlanDocument,
    devices: Sequence[str | Path] | None,
    listings: Sequence[DeviceListing],
    complaints: Complaints,
) -> list[Source]:
    """Return the sources of the fleet: those of the plan, or the files given instead. Faults go to `complaints`."""
    if devices is not None:
        return [_typed_source(name) for name in devices]
    names = document.devices.files
    products = {p for listing in listings if listing.source in names for p in listing.products}
    if len(products) > 1 and len(document.devices.where.get("productKey", ())) != 1:
        listed = ", ".join(map(quoted, sorted(products)))
        hint = "add productKey=... to the search, or where: {productKey: [...]}"
        message = f"EnOS lists devices of more than one product: {listed}"
        complaints.add("R173", message, loc=("devices", "from"), hint=hint)
    return _sources(document, names, "from", listings, complaints)


def _sources(
    document: PlanDocument,
    names: Sequence[str],
    key: str,
    listings: Sequence[DeviceListing],
    complaints: Complaints,
) -> list[Source]:
    """Return the files and listings a plan names; one that leads out of the plan's directory is a fault."""
    base = document.path.parent
    listed = {listing.source: listing.path for listing in listings}
    sources = []
    for index, name in enumerate(names):
        if is_search(name):
            sources.append(Source(name, listed[name], listed=True))
            continue
        if name == "-":
            sources.append(Source("<stdin>", None))
            continue
        path = base / name
        try:
            resolved = path.resolve()
            inside = resolved.is_relative_to(base.resolve())
        except (OSError, RuntimeError):  # a loop of links: RuntimeError up to Python 3.12
            resolved, inside = path, False
        if inside:
            sources.append(Source(str(path), resolved))
        else:
            hint = "files elsewhere can be given on the command line"
            loc: Loc = ("devices", key, index)
            complaints.add("R148", f"{name!r} is outside the plan's directory", loc=loc, hint=hint)
    return sources


def _typed_source(name: str | Path) -> Source:
    return Source("<stdin>", None) if str(name) == "-" else Source(str(name), Path(name), trusted=True)


def _check_quotas(
    complaints: Complaints, document: PlanDocument, quotas: Sequence[Quota], uncovered: int, counts: Counts
) -> None:
    campaign = document.campaign
    if not counts.devices and not all(isinstance(wave.size, Scope) for wave in campaign.waves):
        message = f"0 devices in scope: {counts.excluded:,} excluded, {counts.filtered:,} filtered out"
        complaints.add("R151", message, loc=("devices",), at_key=True)
        return
    sizes: list[int | None] = []
    for index, (wave, quota) in enumerate(zip(campaign.waves, quotas, strict=True)):
        sizes.append(None if isinstance(wave.size, Scope) else quota.given)
        loc: Loc = ("waves", index, "size")
        if isinstance(wave.size, Scope):
            continue
        if quota.given < quota.asked and not isinstance(wave.size, Share):
            message = (
                f"asks for {quota.asked:,} devices, {max(0, quota.given):,} are left of {counts.devices:,}"
            )
            complaints.add("R139", message, loc=loc)
        elif quota.given <= 0:
            complaints.add("R139", f"no devices are left for it of {counts.devices:,}", loc=loc)
    if uncovered > 0:
        if any(isinstance(wave.size, Scope) for wave in campaign.waves):
            message = (
                f"{uncovered:,} listed devices are in no wave of their own; EnOS's scope must reach them"
            )
            complaints.add("R307", message, loc=("waves",), at_key=True)
        else:
            hint = "add a wave of size: rest, or exclude the devices"
            complaints.add(
                "R149", f"{uncovered:,} devices are in no wave", loc=("waves",), at_key=True, hint=hint
            )
    check_sizes(
        complaints,
        campaign.waves,
        sizes,
        document.check_size,
        per_job=campaign.per_job,
        limits=campaign.limits,
    )


def _warn_of_thin(complaints: Complaints, campaign: Campaign, thin: Sequence[ThinSpread]) -> None:
    for spread in thin:
        wave = campaign.waves[spread.wave]
        message = (
            f"{spread.missed:,} of {spread.strata:,} values of {wave.spread_by} are too small "
            "to be in a sample of this size"
        )
        complaints.add("R201", message, loc=("waves", spread.wave, "spreadBy"))


# Files


def _write_manifest(directory: Path, parts: Sequence[IO[bytes]]) -> tuple[int, str]:
    """Join the waves' parts into the manifest and return its size and sha256."""
    digest = hashlib.sha256()
    size = 0
    with replacing(directory / MANIFEST_NAME) as file:
        for part in parts:
            if size and part.tell():
                digest.update(b",")
                size += file.write(b",")
            part.seek(0)
            while text := part.read(_COPY_BYTES):
                digest.update(text)
                size += file.write(text)
    return size, digest.hexdigest()


def _checksum(content: object) -> str:
    return hashlib.sha256(canonical(content)).hexdigest()


def _read_plan_json(path: Path) -> dict[str, Any]:
    try:
        with open_regular(path) as file:
            raw = file.read(PLAN_BYTES_MAX + 1)
    except Unopened as refusal:
        raise _refused("R180", path, str(refusal)) from refusal
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _refused("R182", path, "is not JSON: no saved plan, or a damaged one") from error
    schema = data.get("schema") if isinstance(data, dict) else None
    name, _, number = str(schema).partition("/")
    if name != "rollout.plan":
        raise _refused("R180", path, "is not a saved plan", hint="`rollout plan` saves one")
    if schema not in (PLAN_SCHEMA, format_1.SCHEMA):
        if number.isdigit() and int(number) > PLAN_FORMAT:
            raise _newer(path, data, f"has the format {schema}, this program reads up to {PLAN_SCHEMA}")
        raise _refused("R182", path, f"has the format {schema}, which there never was")
    content: dict[str, Any] = data
    if content.pop("checksum", None) != _checksum(content):
        raise _refused("R182", path, "is damaged: its checksum is not that of its content")
    unknown = content.keys() - _MEMBERS
    manifest = content.get("manifest", {})
    if unknown or manifest.get("schema", MANIFEST_SCHEMA) != MANIFEST_SCHEMA:
        what = ", ".join(sorted(unknown)) or f"a manifest of the form {manifest['schema']}"
        raise _newer(path, content, f"has {what}, which this program does not know")
    return content


def _waves_and_batches(
    waves: Sequence[Any], rows: Sequence[Any]
) -> tuple[tuple[PlannedWave, ...], tuple[Batch, ...]]:
    """Return waves and batches; indices and numbers, being counted, are not stored."""
    planned: list[PlannedWave] = []
    first = 0
    for index, wave in enumerate(waves):
        last = first + wave["batches"]
        planned.append(PlannedWave(index, wave["name"], wave["devices"], first, last))
        first = last
    starts = [wave.first for wave in planned]
    batches = tuple(
        Batch(index, wave, index - starts[wave] + 1, devices, start, stop, digest)
        for index, (wave, devices, start, stop, digest) in enumerate(rows)
    )
    return tuple(planned), batches


def _warning_to_json(warning: Complaint) -> dict[str, Any]:
    return {
        "file": warning.file,
        "line": warning.line,
        "column": warning.column,
        "code": warning.code,
        "message": warning.message,
        "hint": warning.hint,
        "severity": warning.severity.value,
        "field": warning.field,
    }


def _report_from_json(data: dict[str, Any], directory: Path) -> PlanningReport:
    """Return the report. It is told and nothing depends on it, so what a newer program added is passed over."""
    warnings = tuple(
        Complaint(
            file=warning["file"],
            line=warning["line"],
            column=warning["column"],
            code=warning["code"],
            message=warning["message"],
            hint=warning.get("hint", ""),
            severity=Severity(warning.get("severity", Severity.ERROR)),
            field=warning.get("field", ""),
        )
        for warning in data["warnings"]
    )
    # plans of before there were listings have none
    listings = tuple(DeviceListing.from_json(listing, directory) for listing in data.get("listings", ()))
    counts = {name: int(data[name]) for name in ("rows", "duplicates", "excluded", "filtered", "devices")}
    return PlanningReport(**counts, warnings=warnings, listings=listings)


def _map_manifest(path: Path, size: int) -> KeyBlob:
    try:
        with open_regular(path) as file:
            found = os.fstat(file.fileno()).st_size
            if found != size:
                raise _refused("R182", path, f"is damaged: {found:,} bytes, the plan has {size:,}")
            # an empty file cannot be mapped: a plan whose devices are all EnOS's to pick
            return KeyBlob(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b"")
    except Unopened as refusal:
        raise _refused("R182", path, str(refusal)) from refusal


def _check_batches(saved: SavedPlan, batches: Sequence[Batch], place: Path) -> None:
    for batch in batches:
        if (
            batch_digest(saved.seals[batch.wave], saved.manifest.keys(batch.start, batch.stop))
            != batch.digest
        ):
            wave = saved.plan.waves[batch.wave].name
            raise _refused(
                "R182", place, f"is damaged: batch {batch.number} of wave {wave} has another digest"
            )


def _newer(path: Path, data: dict[str, Any], message: str) -> PlanError:
    """Return the refusal of a plan that a newer program saved, with the version that is needed."""
    version = data.get("savedBy")
    needed = f"rollout {version} or newer" if isinstance(version, str) else "the program that saved it"
    return _refused("R181", path, message, hint=f"use {needed}")


def _refused(code: str, path: Path, message: str, *, hint: str = "") -> PlanError:
    return PlanError(Complaint(str(path), 0, 0, code, message, hint))
