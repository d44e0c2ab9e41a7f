"""What a plan file says, as values: the campaign, where its devices are listed, and where each value stands.

It is a module of its own so that code which only passes a document on does not load pydantic and YAML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rollout.core.campaign import Campaign
from rollout.core.records import DeviceFilter
from rollout.errors import Complaint
from rollout.intake.complaints import Places
from rollout.intake.rules import SizeRule


@dataclass(frozen=True, slots=True)
class DeviceSelection:
    """Which rows of which files are the fleet.

    `files` and `exclude` are names as the plan has them, relative to its directory; those that begin with `enos:`
    are searches, and `searches` has what each asks for. A row belongs to the fleet if, for every column of
    `where`, its value is one of those given.
    """

    files: tuple[str, ...] = ()
    key: str = "deviceKey"
    exclude: tuple[str, ...] = ()
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    searches: Mapping[str, DeviceFilter] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlanDocument:
    """A plan file that was read without a fault. Made by `load_plan_file`, used by `compile_plan`."""

    path: Path
    campaign: Campaign
    devices: DeviceSelection
    seed: int
    """Draws which devices go first; 0 to 2**63 - 1."""
    check_size: SizeRule
    """The platform's own check of a wave's number of devices, for the planner, which knows them all."""
    warnings: tuple[Complaint, ...] = ()
    places: Places = field(default_factory=Places)
    """Where each value stands in the file, for complaints that the planner has."""
