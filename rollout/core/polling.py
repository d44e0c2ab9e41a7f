"""Which jobs are asked about together, and how often, within the read budget.

EnOS pushes nothing and knows no "changed since", so progress is counted: one call per status, and one
expression may name many jobs (`jobId in (…)`). Counting a group of jobs costs as much as counting one, but
tells less about each, and the budget can only give back what a group has surely finished. So groups are as
small as the read budget allows: a full round over all open jobs should take about `ROUND_S`.
"""

from __future__ import annotations

from math import ceil

from rollout.core.budget import job_exposure
from rollout.core.campaign import Limits
from rollout.core.plan import Plan

__all__ = ["CALLS_PER_COUNT", "PERIOD_MAX_S", "PERIOD_MIN_S", "group_size", "next_period"]

CALLS_PER_COUNT = 4
"""Read calls one count of a group takes: enrolled, in progress, succeeded, failed."""
ROUND_S = 15.0
"""How long one round over all open jobs may take at the configured read rate. Seconds."""
GROUP_MAX = 100
"""Most jobs in one expression; 24-character ids, so about 2.7 kB. The platform publishes no bound."""
PERIOD_MIN_S = 5.0
"""Least time between two counts of a group. The platform's reads lag about 2 s behind. Seconds."""
PERIOD_MAX_S = 30.0
"""Most time between two counts of a group of which nothing is heard. Seconds."""


def group_size(plan: Plan, wave: int, limits: Limits) -> int:
    """Return how many jobs of the wave are counted together, 1 to `GROUP_MAX`."""
    planned = plan.waves[wave]
    jobs = planned.last - planned.first
    if limits.devices_in_progress is not None:
        spec = plan.campaign.waves[wave].job
        largest = max((plan.batches[i].devices for i in range(planned.first, planned.last)), default=0)
        jobs = min(jobs, ceil(limits.devices_in_progress / job_exposure(spec, largest)) + 1)
    return max(1, min(GROUP_MAX, ceil(jobs * CALLS_PER_COUNT / (limits.read.rate * ROUND_S))))


def next_period(last: float, *, changed: bool) -> float:
    """Return how long to wait before the next count: short after news, growing while there is none. Seconds."""
    return PERIOD_MIN_S if changed else min(PERIOD_MAX_S, last * 1.5)
