"""Campaign + fleet + seed → plan: waves of batches that cover the fleet exactly.

The fleet comes as rows in any order; the plan depends only on the set of rows, the campaign and the seed,
never on the order of the file or on the machine.
"""

from __future__ import annotations

from dataclasses import dataclass

from rollout.core.campaign import Campaign

__all__ = ["Batch", "Plan", "PlannedWave", "batch_name", "wave_prefix"]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one create call sends.

    `index` counts from 0 over the plan, `number` from 1 inside the wave. `start` and `stop` are byte
    offsets into the manifest blob (equal for a scope wave, whose devices EnOS picks; `devices` is then 0).
    `digest` (12 hex digits) binds firmware, job settings and the sorted device keys.
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
    """A wave with its place in the plan: batches `first` to `last`, exclusive; N devices."""

    index: int
    name: str
    devices: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The saved plan: what `run` executes. `digest` covers all of it and the manifest."""

    campaign: Campaign
    seed: int
    waves: tuple[PlannedWave, ...]
    batches: tuple[Batch, ...]
    devices: int
    digest: str


def wave_prefix(campaign_id: str, wave: int) -> str:
    """Return what the names of all jobs of one wave start with, and no other wave's."""
    return f"{campaign_id}-w{wave + 1:02d}-b"


def batch_name(campaign_id: str, batch: Batch) -> str:
    """Return the batch's unique job name.

    Fixed width with a final dot, so no name is part of another and a fuzzy search cannot confuse them;
    the digest makes a job found by name a job with our content. ASCII letters, digits, hyphens and a dot.
    """
    return f"{wave_prefix(campaign_id, batch.wave)}{batch.number:06d}-{batch.digest}."
