"""Makes the plan from campaign, fleet and seed: waves of batches that cover the fleet exactly.

The fleet comes as rows in any order; the plan depends only on the set of rows, the campaign and the seed,
never on the order of the file or on the machine. Each key has a place drawn by a keyed hash (`draw_places`);
sorted by it, the fleet is in *plan order*, a shuffle that any machine repeats. Three steps follow:

1. `size_waves`: how many devices each wave gets. Explicit keys first, then the sizes in order.
2. `assign_waves`: which ones. Waves take from the front of plan order; a spread wave takes from the front of
   each stratum, in numbers that differ from the fair share by less than one (largest remainders).
3. `Cutter`: each wave's devices, in plan order, cut into batches and sealed with a digest.

*Digests.* A batch's digest is part of its job's name, by which a job whose create call was lost is found again.
So it is fixed by what the create call sends, and by nothing else: the firmware, the display names by locale, the
fields of the wave's `JobSpec` (of which a platform may leave some out for a kind of job that does not have them), the
scope or the set of device keys. Gates, limits, the name and order of waves,
columns of the fleet and all else that is not sent may change and no digest does (a wave's number and a batch's
number stand in the job's name beside it). A plan's digest covers the whole campaign, every batch and the
manifest; the journal is bound to it. Both are taken over the canonical JSON text of the values *as they are
written* into the saved plan (see `core.campaign_json`), so a plan that is opened by a newer program has the
digests it was saved with.

Ten million devices are never ten million objects: the steps work on one byte and one code a device, and the
keys end up in one JSON-ready blob (`KeyBlob`) of which a batch is a slice. `plan_fleet` does it all in memory
for a fleet that fits; `intake.saved_plan` does the same in pieces for one that does not.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final, Protocol, assert_never

from rollout.core.campaign import Campaign, Count, Keys, Rest, Scope, Share, Wave
from rollout.core.campaign_json import PLAN_FORMAT, campaign_to_json, canonical

PLAN_SCHEMA: Final = f"rollout.plan/{PLAN_FORMAT}"
"""What a saved plan calls its format."""

NO_WAVE = 255
"""The byte of a device that no wave has taken; so waves are numbered 0 to 254."""

SEED_BYTES = 8
"""Bytes of a seed, which is the key of the hash: 0 to 2**64 - 1."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one create call sends.

    `index` counts from 0 over the plan, `number` from 1 inside the wave. `start` and `stop` are byte
    offsets into the manifest blob (equal for a scope wave, whose devices the platform picks; `devices` is then 0).
    `digest` (12 hex digits) binds what the call sends: see this module's opening.
    """

    index: int
    wave: int
    number: int
    devices: int
    start: int
    stop: int
    digest: str


@dataclass(frozen=True, slots=True)
class PlannedWave:
    """A wave in the plan. Its batches are `first` to `last`, `last` excluded; a scope wave has 0 devices."""

    index: int
    name: str
    devices: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What `run` executes. `digest` covers all of it and the manifest, as it was when the plan was saved."""

    campaign: Campaign
    seed: int
    waves: tuple[PlannedWave, ...]
    batches: tuple[Batch, ...]
    devices: int
    digest: str


@dataclass(frozen=True, slots=True)
class Quota:
    """How many devices a wave asks for, and how many it is given: fewer only if the fleet is too small."""

    asked: int
    given: int


@dataclass(frozen=True, slots=True)
class Strata:
    """The stratum of each device, in plan order, for the waves of a campaign that are spread.

    `cells` has one code for each device. `labels[code]` has that cell's values, one for each of `columns`.
    """

    columns: tuple[str, ...] = ()
    cells: Sequence[int] = ()
    labels: Sequence[tuple[str, ...]] = ()


@dataclass(frozen=True, slots=True)
class ThinSpread:
    """A spread wave that takes no device from `missed` of the `strata` strata that still had devices."""

    wave: int
    missed: int
    strata: int


@dataclass(frozen=True, slots=True)
class Assignment:
    """Every device's wave in plan order, one byte each, `NO_WAVE` if none; and the waves whose spread is too thin."""

    wave_of: bytearray
    thin: tuple[ThinSpread, ...]


def draw_places(seed: int) -> Callable[[str], str]:
    """Return the function from a device key to its place in plan order: 16 hex digits.

    Two keys practically never have the same place (64 bits); if they do, the order of the keys decides.
    """
    keyed = hashlib.blake2b(digest_size=8, key=seed.to_bytes(SEED_BYTES, "big"))

    def place(key: str) -> str:
        drawn = keyed.copy()
        drawn.update(key.encode())
        return drawn.hexdigest()

    return place


def size_waves(waves: Sequence[Wave], devices: int) -> tuple[list[Quota], int]:
    """Return each wave's quota of `devices`, and how many devices no wave takes.

    Waves with explicit keys are served first, wherever they stand in the plan. A share is a share of the whole
    fleet, rounded up, but not more than is left. A scope takes nothing: the platform picks its devices.
    """
    quotas = {
        index: Quota(len(wave.size.keys), len(wave.size.keys))
        for index, wave in enumerate(waves)
        if isinstance(wave.size, Keys)
    }
    left = devices - sum(quota.given for quota in quotas.values())
    for index, wave in enumerate(waves):
        match wave.size:
            case Keys():
                continue
            case Scope():
                asked = given = 0
            case Count(count):
                asked, given = count, min(count, left)
            case Share(share):
                asked = ceil(share * devices)
                given = min(asked, left)
            case Rest():
                asked = given = left
            case _:
                assert_never(wave.size)
        quotas[index] = Quota(asked, given)
        left -= given
    return [quotas[index] for index in range(len(waves))], left


def apportion(seats: int, strata: Mapping[str, int]) -> dict[str, int]:
    """Return each stratum's part of `seats` by largest remainders; equal remainders go by label.

    Args:
        strata: devices by label, none negative, `seats` or more in sum.
    Returns: whole numbers that add up to `seats`, each less than one away from the fair share.
    Source: Hamilton's method.
    """
    total = sum(strata.values())
    assert 0 <= seats <= total, "a wave takes no more than is left"
    if seats == 0:
        return dict.fromkeys(strata, 0)
    parts = {label: seats * count // total for label, count in strata.items()}
    by_remainder = sorted(strata, key=lambda label: (-(seats * strata[label] % total), label))
    for label in by_remainder[: seats - sum(parts.values())]:
        parts[label] += 1
    return parts


def assign_waves(
    waves: Sequence[Wave], quotas: Sequence[Quota], devices: int, fixed: Mapping[int, int], strata: Strata
) -> Assignment:
    """Return which wave takes which device.

    Args:
        quotas: as `size_waves` gave them for these waves and devices.
        fixed: wave by place in plan order, for devices that a wave names.
    """
    wave_of = bytearray([NO_WAVE]) * devices
    left = Counter(strata.cells)
    for position, wave_index in fixed.items():
        wave_of[position] = wave_index
        if strata.columns:
            left[strata.cells[position]] -= 1
    thin: list[ThinSpread] = []
    for index, (wave, quota) in enumerate(zip(waves, quotas, strict=True)):
        if isinstance(wave.size, Keys | Scope) or not quota.given:
            continue
        if isinstance(wave.size, Rest):
            # nothing that takes from the fleet comes after the rest, so `left` need not follow
            wave_of = wave_of.translate(bytes(range(NO_WAVE)) + bytes([index]))
        elif wave.spread_by is None:
            _take_front(wave_of, index, quota.given, strata, left)
        else:
            column = strata.columns.index(wave.spread_by)
            open_by: Counter[str] = Counter()
            for cell, count in left.items():
                open_by[strata.labels[cell][column]] += count
            parts = apportion(quota.given, open_by)
            missed = sum(1 for label, part in parts.items() if not part and open_by[label])
            if missed:
                thin.append(ThinSpread(index, missed, sum(1 for count in open_by.values() if count)))
            _take_spread(wave_of, index, parts, column=column, strata=strata, left=left)
    return Assignment(wave_of, tuple(thin))


def _take_front(wave_of: bytearray, wave: int, count: int, strata: Strata, left: Counter[int]) -> None:
    position = -1
    for _ in range(count):
        position = wave_of.index(NO_WAVE, position + 1)
        wave_of[position] = wave
        if strata.columns:
            left[strata.cells[position]] -= 1


def _take_spread(
    wave_of: bytearray,
    wave: int,
    parts: Mapping[str, int],
    *,
    column: int,
    strata: Strata,
    left: Counter[int],
) -> None:
    cells = strata.cells
    count = sum(parts.values())
    # one list look-up a device instead of two: the number is shared by all cells with the same label
    open_parts = {label: [part] for label, part in parts.items()}
    part_of = [open_parts[labels[column]] for labels in strata.labels]
    position = -1
    while count:
        position = wave_of.index(NO_WAVE, position + 1)
        cell = cells[position]
        part = part_of[cell]
        if part[0]:
            part[0] -= 1
            wave_of[position] = wave
            left[cell] -= 1
            count -= 1


class Seal(Protocol):
    """A hash that was begun; a copy of it is ended with a batch's keys."""

    def copy(self) -> Seal:
        """Return a hash that goes on from here by itself."""
        ...

    def update(self, data: bytes, /) -> None:
        """Add data."""
        ...

    def hexdigest(self) -> str:
        """Return the digest of all data so far, as hex digits."""
        ...


def seals_of(campaign: Mapping[str, Any]) -> list[Seal]:
    """Return for each wave the part of its batches' digests that they share.

    Args:
        campaign: as `campaign_to_json` wrote it.
    """
    return [
        hashlib.sha256(
            canonical(
                [
                    "rollout.batch/2",
                    campaign["firmware_id"],
                    campaign["name"].get("i18n", {}),
                    wave["job"],
                    wave["size"] if wave["size"]["kind"] == "scope" else None,
                ]
            )
        )
        for wave in campaign["waves"]
    ]


def batch_digest(seal: Seal, keys: Sequence[str]) -> str:
    """Return 12 hex digits that bind what the wave's seal covers and the set of device keys."""
    digest = seal.copy()
    digest.update("\n".join(("", *sorted(keys))).encode())
    return digest.hexdigest()[:12]


def written_plan(
    campaign: Campaign, seed: int, waves: Sequence[PlannedWave], batches: Sequence[Batch]
) -> dict[str, Any]:
    """Return the plan as it is written: the members of `plan.json` that say what will be done."""
    return {
        "schema": PLAN_SCHEMA,
        "campaign": campaign_to_json(campaign),
        "seed": seed,
        "waves": [{"name": w.name, "devices": w.devices, "batches": w.last - w.first} for w in waves],
        "batches": [[b.wave, b.devices, b.start, b.stop, b.digest] for b in batches],
    }


def plan_digest(written: Mapping[str, Any], blob_sha256: str) -> str:
    """Return the sha256 (hex) that covers a plan as `written_plan` gave it, and its manifest."""
    return hashlib.sha256(canonical([written, blob_sha256])).hexdigest()


class Cutter:
    """Cuts devices that come in plan order into batches of their waves, and gives each batch its digest.

    `write(wave, text)` appends to the wave's part of the blob; the parts, joined by commas in the order of
    the waves, are the blob. Memory holds less than one batch of keys for each wave.
    """

    def __init__(self, campaign: Campaign, write: Callable[[int, bytes], object]) -> None:
        self._campaign = campaign
        self._write = write
        self._open: list[list[str]] = [[] for _ in campaign.waves]
        self._written = [0] * len(campaign.waves)
        self._pieces: list[list[tuple[int, int, int, str]]] = [[] for _ in campaign.waves]
        self._seals = seals_of(campaign_to_json(campaign))

    def take(self, keys: Sequence[str], wave_of: Sequence[int]) -> None:
        """Take the next keys in plan order, each with its wave; those without one are left out."""
        opened = self._open
        for key, wave in zip(keys, wave_of, strict=True):
            if wave != NO_WAVE:
                opened[wave].append(key)
        per_job = self._campaign.per_job
        for wave, pending in enumerate(opened):
            whole = len(pending) // per_job * per_job
            for start in range(0, whole, per_job):
                self._cut(wave, pending[start : start + per_job])
            del pending[:whole]

    def finish(self) -> tuple[tuple[PlannedWave, ...], tuple[Batch, ...]]:
        """Cut what is left and return the waves and batches of the whole plan."""
        waves: list[PlannedWave] = []
        batches: list[Batch] = []
        base = 0
        for index, wave in enumerate(self._campaign.waves):
            if self._open[index]:
                self._cut(index, self._open[index])
            pieces = self._pieces[index]
            if isinstance(wave.size, Scope):
                pieces = [(0, 0, 0, batch_digest(self._seals[index], ()))]
            elif base and pieces:
                base += 1  # the comma between two waves
            first = len(batches)
            batches += (
                Batch(first + position, index, position + 1, devices, base + start, base + stop, digest)
                for position, (devices, start, stop, digest) in enumerate(pieces)
            )
            devices = sum(piece[0] for piece in pieces)
            waves.append(PlannedWave(index, wave.name, devices, first, len(batches)))
            base += self._written[index]
        return tuple(waves), tuple(batches)

    def _cut(self, wave: int, keys: list[str]) -> None:
        text = ('"' + '","'.join(keys) + '"').encode()
        start = self._written[wave]
        if start:
            self._write(wave, b",")
            start += 1
        self._write(wave, text)
        self._written[wave] = start + len(text)
        self._pieces[wave].append(
            (len(keys), start, start + len(text), batch_digest(self._seals[wave], keys))
        )


class _Bytes(Protocol):
    def __getitem__(self, part: slice, /) -> bytes: ...
    def __len__(self) -> int: ...


class KeyBlob:
    """The manifest: all device keys in plan order as `"k1","k2",…`; bytes or a memory-mapped file.

    A batch is a slice of it, so only the batches asked for are loaded. It is a `ports.Manifest`.
    """

    def __init__(self, blob: _Bytes) -> None:
        self._blob = blob

    def __len__(self) -> int:
        return len(self._blob)

    def json_slice(self, start: int, stop: int) -> bytes:
        """Return the keys as they stand in a request body, without brackets."""
        return self._blob[start:stop]

    def keys(self, start: int, stop: int) -> list[str]:
        """Return the keys, in plan order."""
        if start == stop:
            return []
        return self._blob[start + 1 : stop - 1].decode().split('","')


def plan_fleet(campaign: Campaign, seed: int, fleet: Mapping[str, Mapping[str, str]]) -> tuple[Plan, KeyBlob]:
    """Plan a fleet that fits into memory.

    Args:
        fleet: device key to its columns, of which those that waves spread by are needed.
    Raises: ValueError if a wave gets no device, fewer than it asked for, or one that is not in the fleet,
        or if devices are left over.
    """
    place = draw_places(seed)
    keys = sorted(fleet, key=lambda key: (place(key), key))
    quotas, uncovered = size_waves(campaign.waves, len(keys))
    for wave, quota in zip(campaign.waves, quotas, strict=True):
        if isinstance(wave.size, Scope):
            continue
        if not quota.given or (quota.given < quota.asked and not isinstance(wave.size, Share)):
            raise ValueError(f"wave {wave.name} asks for {quota.asked} devices and can have {quota.given}")
    if uncovered and not any(isinstance(wave.size, Scope) for wave in campaign.waves):
        raise ValueError(f"{uncovered} devices are in no wave")
    columns = spread_columns(campaign.waves)
    codes: dict[tuple[str, ...], int] = {}
    cells = array(
        "I", (codes.setdefault(tuple(fleet[k][c] for c in columns), len(codes)) for k in keys if columns)
    )
    named = {
        key: index
        for index, wave in enumerate(campaign.waves)
        if isinstance(wave.size, Keys)
        for key in wave.size.keys
    }
    fixed = {position: named[key] for position, key in enumerate(keys) if key in named}
    if len(fixed) != sum(len(wave.size.keys) for wave in campaign.waves if isinstance(wave.size, Keys)):
        raise ValueError("a wave names a device that is not in the fleet, or was named before")
    assignment = assign_waves(campaign.waves, quotas, len(keys), fixed, Strata(columns, cells, tuple(codes)))
    parts = [bytearray() for _ in campaign.waves]
    cutter = Cutter(campaign, lambda wave, text: parts[wave].extend(text))
    cutter.take(keys, assignment.wave_of)
    waves, batches = cutter.finish()
    blob = b",".join(bytes(part) for part in parts if part)
    digest = plan_digest(written_plan(campaign, seed, waves, batches), hashlib.sha256(blob).hexdigest())
    return Plan(campaign, seed, waves, batches, sum(wave.devices for wave in waves), digest), KeyBlob(blob)


def spread_columns(waves: Sequence[Wave]) -> tuple[str, ...]:
    """Return the columns that waves spread by, each once, in order of the waves."""
    return tuple(dict.fromkeys(wave.spread_by for wave in waves if wave.spread_by is not None))


def batch_label(plan: Plan, batch: int) -> str:
    """Return how people name a batch: `canary/0001`, the wave and the number in it; four digits or more."""
    planned = plan.batches[batch]
    return f"{plan.waves[planned.wave].name}/{planned.number:04d}"
