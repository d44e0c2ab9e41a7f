"""Names of jobs: how a batch's job is called on the platform, and what a name says about whose job it is.

A name has four parts: campaign, wave, batch and digest. Two names are the same job of ours only if all four are
equal, so names are read into `JobName` and compared whole. How a name begins proves nothing: the campaign
`a-w01-b` has jobs whose names begin like those of wave 1 of the campaign `a`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rollout.core.plan import Batch

_NAME = re.compile(r"([a-z0-9][a-z0-9-]*)-w([0-9]{2,3})-b([0-9]{6,})-([0-9a-f]{12})\.")


@dataclass(frozen=True, slots=True)
class JobName:
    """The parts of a job's name. `wave` counts from 0 over the plan, `number` from 1 inside the wave.

    `digest` (12 hex digits) binds what the create call sends.
    """

    campaign: str
    wave: int
    number: int
    digest: str

    @classmethod
    def of(cls, campaign_id: str, batch: Batch) -> JobName:
        """Return the name of the batch's job."""
        return cls(campaign_id, batch.wave, batch.number, batch.digest)

    @classmethod
    def parse(cls, text: str) -> JobName | None:
        """Return the parts of a name; None if no campaign of ours can have made it."""
        match = _NAME.fullmatch(text)
        if match is None:
            return None
        campaign, wave, number, digest = match.groups()
        name = cls(campaign, int(wave) - 1, int(number), digest)
        # `w001` would be read like `w01`: only the one way of writing a name is a name
        return name if name.wave >= 0 and name.number and name.text == text else None

    @property
    def text(self) -> str:
        """The name as the platform knows it.

        Fixed width with a final dot, so no name is part of another and a fuzzy search cannot confuse them.
        ASCII letters, digits, hyphens and a dot.
        """
        return f"{_wave_prefix(self.campaign, self.wave)}{self.number:06d}-{self.digest}."


@dataclass(frozen=True, slots=True)
class WaveNames:
    """The names of all jobs of one wave, which is counted from 0; of all waves of the campaign if `wave` is None."""

    campaign: str
    wave: int | None = None

    @property
    def prefix(self) -> str:
        """What these names start with. The platform is searched by it; what it finds may be another campaign's."""
        return f"{self.campaign}-w" if self.wave is None else _wave_prefix(self.campaign, self.wave)

    def includes(self, text: str) -> bool:
        """Return whether the name is one of these.

        A name that no campaign of ours can have made, but that starts as these do, is included: nobody can say whose
        job it is, so an audit must see it.
        """
        name = JobName.parse(text)
        if name is None:
            return text.startswith(self.prefix)
        return name.campaign == self.campaign and self.wave in (None, name.wave)


def _wave_prefix(campaign_id: str, wave: int) -> str:
    """Return what the names of all jobs of one wave start with."""
    return f"{campaign_id}-w{wave + 1:02d}-b"


def batch_name(campaign_id: str, batch: Batch) -> str:
    """Return the batch's unique job name; its digest makes a job found by name a job with our content."""
    return JobName.of(campaign_id, batch).text
