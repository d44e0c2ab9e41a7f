"""Why things stand as they do, as codes for programs.

A code is stored in journals and told in JSON, so its text never changes and is never given to another reason. What
people read is made of a code and its data in `rollout.views.words`; nothing compares or takes apart those sentences.
"""

from __future__ import annotations

from enum import StrEnum


class HoldReason(StrEnum):
    """What a closed gate waits for."""

    CREATING = "creating"
    """Jobs of the wave are still to be created."""
    SAMPLE = "sample"
    """Too few devices are resolved to judge."""
    COVERAGE = "coverage"
    """Not enough devices are resolved."""
    SUCCESS = "success"
    """Not enough of them have succeeded."""
    SOAK = "soak"
    """The thresholds must hold for some time."""
    APPROVAL = "approval"
    """A person must agree."""
    AUDIT = "audit"
    """The wave's jobs are listed once more."""
    STALE = "stale"
    """The counts are from before the moment that is judged."""


class HaltReason(StrEnum):
    """Why a rule stopped the campaign. The first three are verdicts of a wave's gate."""

    STOP_RULE = "stop_rule"
    """Too many devices failed."""
    OUT_OF_REACH = "out_of_reach"
    """The thresholds can never hold any more."""
    DEADLINE = "deadline"
    """The thresholds did not hold in time."""
    CREATE_REFUSED = "create_refused"
    """The platform refused a create for good."""
    BATCHES_PARKED = "batches_parked"
    """All is done but batches whose create could not be settled."""
    JOB_DUPLICATED = "job_duplicated"
    """A batch has more than one job."""
    FOREIGN_JOBS = "foreign_jobs"
    """Jobs bear names of this campaign that it did not give."""
    JOBS_MISSING = "jobs_missing"
    """Jobs that were created are not found on the platform."""


class BatchReason(StrEnum):
    """Why a batch has no job, or not just one."""

    UNSENT = "unsent"
    """Nothing of the create left this machine."""
    THROTTLED = "throttled"
    """Flow control refused the create."""
    REFUSED = "refused"
    """The platform refused the create."""
    UNKNOWN = "unknown"
    """Whether the create took effect is unknown."""
    WITNESSED = "witnessed"
    """Parked: no job bears its name, yet its devices have tasks in some job."""
    PARK_ASKED = "park_asked"
    """Parked: no job was found, and the plan asks for a person then."""
    TOO_OFTEN = "too_often"
    """Parked: no job was found after the last attempt that is allowed."""
    DUPLICATED = "duplicated"
    """More than one job bears its name."""


class LookupReason(StrEnum):
    """Why a search for a batch's job settled nothing."""

    TOO_EARLY = "too_early"
    """Nothing was found, and it is too early for that to be a proof."""
    INCOMPLETE = "incomplete"
    """Nothing was found, and not everything was read."""
    FAILED = "failed"
    """The search itself failed."""


class StopReason(StrEnum):
    """Why a runner left a campaign that is not over."""

    HALTED = "halted"
    """A rule stopped the campaign, and nothing is open any more."""
    WAITING = "waiting"
    """Only a person or a soak can bring the campaign on, and the runner was asked not to wait."""
    REACHED = "reached"
    """The wave that was asked for has passed its gate."""
    INTERRUPTED = "interrupted"
    """The program that runs it asked it to."""
    SIGNAL = "signal"
    """A signal asked the process to end."""
    GAVE_UP = "gave_up"
    """No call can get through."""
