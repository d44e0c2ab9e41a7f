"""What a platform adds to the plan file: its `job` block, its `upgradeScope`, and its own rules.

`plan_file` reads plans of any platform: it is handed a `PlatformPlan`. EnOS's is `enos.job_plan.ENOS`; another
platform would have its own, beside its client.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from rollout.core.campaign import JobSpec, Scope
from rollout.intake.complaints import Complaints, Loc
from rollout.intake.rules import SizeRule, WaveRule
from rollout.intake.scalars import Block
from rollout.intake.yaml_text import Document


class PlatformScope(Block):
    """A plan's `upgradeScope`: the platform picks the devices. A platform's own class has the keys."""

    @abstractmethod
    def to_scope(self, document: Document, complaints: Complaints, loc: Loc) -> Scope | None:
        """Return the scope, or None after telling `complaints` what is wrong with it."""
        ...


class PlatformJob(Block):
    """A plan's `job`: what every create call sends. A platform's own class has the keys."""

    @property
    @abstractmethod
    def scope(self) -> PlatformScope | None:
        """The scope for waves that name no devices of their own; None if the block has none."""
        ...

    def overridden_by(self, other: Self | None) -> Self:
        """Return this block with the keys that `other` has; `other` is a wave's own `job`."""
        return self if other is None else self.model_copy(update=dict(other.written()))

    def written(self) -> Mapping[str, object]:
        """Return the values of the keys that stand in the file."""
        return {name: getattr(self, name) for name in self.model_fields_set}

    @abstractmethod
    def to_spec(self, document: Document, complaints: Complaints, index: int, *, scoped: bool) -> JobSpec:
        """Return what the create calls of a wave send; what cannot be sent goes to `complaints`.

        Args:
            index: the wave, counted from 0; `rules.job_loc` tells where each key of its job stands.
            scoped: whether the platform picks the wave's devices.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PlatformPlan:
    """All that a platform adds to the plan file. There is one of each platform, compared by identity."""

    job: type[PlatformJob]
    """Model of `job`."""
    scope: type[PlatformScope]
    """Model of `upgradeScope`."""
    check_wave: WaveRule
    check_size: SizeRule
    misplaced: Mapping[str, str]
    """Keys that people write in the wrong place or form, with what to write instead."""
    texts: tuple[Loc, ...]
    """Keys of `job` that hold text which other YAML readers may take for something else; `*` is any index."""
