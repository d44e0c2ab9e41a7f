"""A wave's `gate` in the plan file: its keys, and the core's value that they become.

A new criterion of the gate: a field of `core.campaign.Gate`, its rule in `core.gate`, and here its key and the
line in `GateBlock.to_gate`.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated

from pydantic import Field

from rollout.core.campaign import Denominator, Gate, OnFail, StopRule, Threshold
from rollout.intake.complaints import Complaints, Loc
from rollout.intake.scalars import FRACTION, Block, Read, choice, seconds, whole
from rollout.intake.units import SHARE_PATTERN, read_stop

COVERAGE = Threshold(Fraction(9, 10), Denominator.PLANNED)
"""What `resolved` is where only a share of the resolved is asked for: the first device to succeed is 100 % of them."""

_STOP = Read(
    read_stop,
    {
        "anyOf": [
            {"type": "string", "pattern": SHARE_PATTERN + "|^[0-9]{1,8}$"},
            {"type": "number", "minimum": 0},
        ],
        "examples": ["5%", 3],
    },
)


class ThresholdBlock(Block):
    """At least this share of these devices."""

    min: Annotated[Fraction, FRACTION] = Field(description="The share.")
    of: Annotated[str, choice(*Denominator)] = Field(
        description="Share of all planned, or of the resolved devices."
    )

    def to_threshold(self) -> Threshold:
        """Return the core's value."""
        return Threshold(self.min, Denominator(self.of))


class StopBlock(Block):
    """Halt when more than this have failed."""

    failed: Annotated[Fraction | int, _STOP] = Field(description="A share, or a number of devices.")
    of: Annotated[str, choice(*Denominator)] | None = Field(
        default=None, description="What a share is a share of."
    )
    min_sample: Annotated[int, whole(1, unit="devices")] = Field(
        default=1, alias="minSample", description="Devices that must be resolved before a share counts."
    )

    def to_stop(self, complaints: Complaints, loc: Loc) -> StopRule | None:
        """Return the core's value, or None after telling that a share does not say of what it is one."""
        if isinstance(self.failed, Fraction) and self.of is None:
            hint = f"of: {' or of: '.join(Denominator)}"
            complaints.add("R106", "a share needs to say of what", loc=loc, hint=hint)
            return None
        return StopRule(self.failed, Denominator(self.of or Denominator.RESOLVED), self.min_sample)


class GateBlock(Block):
    """What must hold before the next wave opens; all parts together."""

    success: ThresholdBlock | None = Field(default=None, description="Devices that must have succeeded.")
    resolved: ThresholdBlock | None = Field(
        default=None, description="Devices that must have come to an end."
    )
    min_sample: Annotated[int, whole(1, unit="devices")] = Field(
        default=1, alias="minSample", description="Devices that must be resolved before the gate can open."
    )
    stop_at: StopBlock | None = Field(default=None, alias="stopAt", description="When to halt.")
    soak: Annotated[float, seconds()] = Field(
        default=0.0, description="Time to wait after the thresholds hold."
    )
    deadline: Annotated[float, seconds(1)] | None = Field(
        default=None,
        description="Time after the wave's opening when the gate has failed if it is not satisfied.",
    )
    on_fail: Annotated[str, choice(*OnFail)] = Field(
        default="pause", alias="onFail", description="Create nothing more, or end the campaign."
    )
    approval: Annotated[str, choice("required", "none")] = Field(
        default="none", description="Whether a person must let the next wave open."
    )

    def to_gate(self, complaints: Complaints, loc: Loc) -> Gate | None:
        """Return the core's value, or None after telling `complaints` what is wrong with it."""
        stop = None
        if self.stop_at is not None:
            stop = self.stop_at.to_stop(complaints, (*loc, "stopAt"))
            if stop is None:
                return None
        return Gate(
            success=None if self.success is None else self.success.to_threshold(),
            resolved=self._coverage(),
            stop=stop,
            min_sample=self.min_sample,
            soak_s=self.soak,
            deadline_s=self.deadline,
            on_fail=OnFail(self.on_fail),
            approval=self.approval == "required",
        )

    def _coverage(self) -> Threshold | None:
        if self.resolved is not None:
            return self.resolved.to_threshold()
        if self.success is not None and self.success.of == Denominator.RESOLVED:
            return COVERAGE
        return None
