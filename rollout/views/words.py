"""Words for codes: what people read where the program keeps a member of an enumeration.

One table each, with a row for every member. Nothing but these tables and the templates of this room speaks to
people of a state, so that a second language is a second set of tables. Programs read the members' values, which
never change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rollout.core.gate import HoldReason
from rollout.core.lifecycle import BatchStatus, CampaignStatus

STATUSES: Final[Mapping[CampaignStatus, str]] = {
    CampaignStatus.NEW: "new",
    CampaignStatus.RUNNING: "running",
    CampaignStatus.PAUSED: "paused",
    CampaignStatus.HALTED: "halted",
    CampaignStatus.ABORTING: "aborting",
    CampaignStatus.ABORTED: "aborted",
    CampaignStatus.FINISHED: "finished",
}
"""Where a campaign stands."""

BATCHES: Final[Mapping[BatchStatus, str]] = {
    BatchStatus.PLANNED: "planned",
    BatchStatus.SENT: "sent",
    BatchStatus.UNKNOWN: "unknown",
    BatchStatus.CREATED: "created",
    BatchStatus.REJECTED: "rejected",
    BatchStatus.PARKED: "parked",
    BatchStatus.DUPLICATED: "duplicated",
}
"""Where a batch stands."""

WAITS: Final[Mapping[str, str]] = {
    HoldReason.CREATING: "jobs to be created",
    HoldReason.SAMPLE: "enough resolved devices to tell",
    HoldReason.COVERAGE: "devices",
    HoldReason.SUCCESS: "more devices to succeed",
    HoldReason.SOAK: "soak",
    HoldReason.APPROVAL: "approval",
    HoldReason.AUDIT: "the audit of the wave's jobs",
    HoldReason.STALE: "newer counts",
}
"""What a campaign waits for while a gate is held."""
