"""Which jobs are asked about together, and how often, within the read budget.

EnOS pushes nothing and knows no "changed since", so progress is counted: one call per status, and one
expression may name many jobs (`jobId in (…)`). Counting a group of jobs costs as much as counting one, but
tells less about each, and the budget can only give back what a group has surely finished. So groups are as
small as the read budget allows: a full round over all open jobs should take about `ROUND_S`.

How often: what a group tells changes the slower the older it is, so news are followed at a share of its age.
A young canary is watched every few seconds, a job of two days is not; whatever happens is known at most `LATE` of
the time that it took to happen late. While nothing is heard the wait grows further. A gate that waits for
a count of its own does not wait for this rhythm: `decide` asks at once.
"""

from __future__ import annotations

from math import ceil

from rollout.core.budget import job_exposure
from rollout.core.campaign import Limits
from rollout.core.plan import Plan

__all__ = [
    "CALLS_PER_COUNT",
    "LATE",
    "PERIOD_MAX_S",
    "PERIOD_MIN_S",
    "PERIOD_NEWS_MAX_S",
    "group_size",
    "next_period",
]

CALLS_PER_COUNT = 4
"""Read calls one count of a group takes: enrolled, in progress, succeeded, failed."""
ROUND_S = 15.0
"""How long one round over all open jobs may take at the configured read rate. Seconds."""
GROUP_MAX = 100
"""Most jobs in one expression; 24-character ids, so about 2.7 kB. The platform publishes no bound."""
PERIOD_MIN_S = 5.0
"""Least time between two counts of a group. The platform's reads lag about 2 s behind. Seconds."""
LATE = 1 / 50
"""How late news of a group may be, as a share of its age: 12 s after ten minutes."""
PERIOD_NEWS_MAX_S = 30.0
"""Most time between two counts of a group that is changing. Seconds."""
PERIOD_MAX_S = 120.0
"""Most time between two counts of a group of which nothing is heard: as long as creation goes on without any sight
of the devices (`decide.BLIND_MAX_S`). Seconds."""


def group_size(plan: Plan, wave: int, limits: Limits) -> int:
    """Return how many jobs of the wave are counted together, 1 to `GROUP_MAX`."""
    planned = plan.waves[wave]
    jobs = planned.last - planned.first
    if limits.devices_in_progress is not None:
        spec = plan.campaign.waves[wave].job
        largest = max((plan.batches[i].devices for i in range(planned.first, planned.last)), default=0)
        jobs = min(jobs, ceil(limits.devices_in_progress / job_exposure(spec, largest)) + 1)
    return max(1, min(GROUP_MAX, ceil(jobs * CALLS_PER_COUNT / (limits.read.rate * ROUND_S))))


def next_period(last_s: float, *, changed: bool, age_s: float) -> float:
    """Return how long to wait before the next count: short after news, growing while there is none. Seconds.

    Args:
        last_s: how long was waited before this one.
        age_s: how long ago the group got its newest job.
    """
    if changed:
        return min(PERIOD_NEWS_MAX_S, max(PERIOD_MIN_S, age_s * LATE))
    return min(PERIOD_MAX_S, last_s * 1.5)
