"""Which jobs are asked about together, and how often, within the read budget.

EnOS pushes nothing and knows no "changed since", so progress is counted: one call per status, and one
expression may name many jobs (`jobId in (…)`). Counting a group of jobs costs as much as counting one, but
tells less about each, and the budget can only give back what a group has surely finished. So groups are as
small as the read budget allows: a full round over all open jobs should take about `ROUND_S`.

How often: when something should have happened. A group is counted again when, at the pace seen last, the share `LATE` of its
devices has come to an end. The wait grows while nothing happens. It is at most the share `LATE` of the group's age: what
took ten minutes to happen is known half a minute later. Before the first device has ended it is the share `FIRST`.

A group of which only a few devices are still open can change little in the figures of its wave. The fewer they are, the
less often it is counted: a thousand jobs that each wait for sleeping devices must not take the read budget from the
one that goes wrong. A gate that waits for a count does not wait for this rhythm: `decide` asks at once.

The results go into events (`CampaignStarted`, `TasksCounted`), so the constants here may change at any time.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from rollout.core import events as ev
from rollout.core.budget import job_exposure
from rollout.core.campaign import Limits
from rollout.core.plan import Plan

CALLS_PER_COUNT = 4
"""Read calls one count of a group takes: enrolled, in progress, succeeded, failed."""
ROUND_S = 15.0
"""How long one round over all open jobs may take at the configured read rate. Seconds."""
GROUP_MAX = 100
"""Most jobs in one expression; 24-character ids, so about 2.7 kB. The platform publishes no bound."""
PERIOD_MIN_S = 5.0
"""Least time between two counts of a group, and between its first job and the first count. The platform's reads lag about
2 s behind. Seconds."""
LATE = 1 / 25
"""How late news of a group may be: the share of its age, and of its devices that may have ended unseen."""
FIRST = 1 / 10
"""How late the first end of a group's devices may be known, as a share of the time it took."""
SIGHT_S = 120.0
"""Most time between two counts of a group with devices at work, or with all devices open: as long as creation goes
on without any sight of them (`decide.BLIND_MAX_S`). Seconds."""
PERIOD_MAX_S = 1800.0
"""Most time between two counts of any group that is still open. Seconds."""
GROWTH = 1.5
"""How much longer than the last wait the next one may be."""


def group_size(plan: Plan, wave: int, limits: Limits) -> int:
    """Return how many jobs of the wave are counted together, 1 to `GROUP_MAX`."""
    planned = plan.waves[wave]
    jobs = planned.last - planned.first
    if limits.devices_in_progress is not None:
        spec = plan.campaign.waves[wave].job
        largest = max((plan.batches[i].devices for i in range(planned.first, planned.last)), default=0)
        jobs = min(jobs, ceil(limits.devices_in_progress / job_exposure(spec, largest)) + 1)
    return max(1, min(GROUP_MAX, ceil(jobs * CALLS_PER_COUNT / (limits.read.rate * ROUND_S))))


class Pace(NamedTuple):
    """How a group moves, as two counts of it show. Seconds and devices.

    `last_s`: how long ago the count before this one was; `age_s`: how long ago the group got its newest job.
    `news`: devices that came to an end between the two. `devices`: all of the group; `still_open`: those that may still
    come to an end; `in_progress`: those at work.
    """

    last_s: float
    news: int
    devices: int
    still_open: int
    in_progress: int
    age_s: float


def next_period(pace: Pace) -> float:
    """Return how long to wait before a group's next count. Seconds."""
    aim = max(1.0, pace.devices * LATE)
    wait = pace.last_s * (min(GROWTH, aim / pace.news) if pace.news else GROWTH)
    few = 1.0 if pace.in_progress else max(1.0, pace.devices / max(1, pace.still_open))
    late = FIRST if pace.still_open == pace.devices else LATE
    return max(PERIOD_MIN_S, min(wait, SIGHT_S * few, PERIOD_MAX_S, pace.age_s * late))


def started(plan: Plan, now: float) -> ev.CampaignStarted:
    """Return the fact that the campaign begins, with what is agreed on counting its jobs."""
    limits = plan.campaign.limits
    return ev.CampaignStarted(
        now,
        plan.campaign.id,
        plan.digest,
        plan.devices,
        len(plan.batches),
        len(plan.waves),
        tuple(group_size(plan, wave.index, limits) for wave in plan.waves),
        PERIOD_MIN_S,
    )
