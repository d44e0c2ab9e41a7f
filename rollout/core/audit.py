"""What we believe of a wave's jobs against what the platform lists.

All names of a wave's jobs share a prefix no other job has, so one listing answers three questions: is the
prefix free before the first create; did a lost or restored journal forget jobs; has every batch exactly one
job, before the next wave builds on it.
"""

from __future__ import annotations

from rollout.core import events as ev
from rollout.core.lifecycle import BatchStatus, CampaignStatus, WaveStatus
from rollout.core.names import JobName
from rollout.core.outcome import Found, Listing
from rollout.core.state import State

FOREIGN_MAX = 20
"""Foreign names kept of one listing; a person needs a few to find out whose they are."""
_IN_DOUBT = frozenset({BatchStatus.SENT, BatchStatus.UNKNOWN})
"""Batches that are looked up on their own; an audit does not interfere."""


def compare(state: State, wave: int, listing: Listing, *, began_at: float, now: float) -> list[ev.Event]:
    """Return the facts a complete listing of the wave's jobs, begun at `began_at`, amounts to.

    The last of them is the `WaveAudited`; before it stand jobs adopted and duplicates found.
    """
    assert listing.complete, "an incomplete listing proves nothing"
    planned = state.plan.waves[wave]
    # before its first create every job of the wave is somebody else's; an abort looks for what to brake
    begun = state.waves[wave].status is not WaveStatus.WAITING or state.status is CampaignStatus.ABORTING
    names = {
        JobName.of(state.campaign.id, state.plan.batches[i]): i for i in range(planned.first, planned.last)
    }
    jobs: dict[int, list[Found]] = {}
    foreign: list[str] = []
    seen = 0
    for job in listing.jobs:
        name = JobName.parse(job.name)
        if name is not None and name.campaign != state.campaign.id:
            continue  # another campaign's, whose id begins like the names of our wave
        seen += 1
        index = None if name is None else names.get(name)
        if index is None or not begun:
            foreign.append(job.name)
        else:
            jobs.setdefault(index, []).append(job)
    facts: list[ev.Event] = []
    missing: list[int] = []
    if begun:
        for index, found in sorted(jobs.items()):
            facts += _facts_of_batch(state, index, found, now)
        visible_from = began_at - state.search_lag_s
        for index in range(planned.first, planned.last):
            batch = state.batches.get(index)
            made = batch is not None and batch.status in {BatchStatus.CREATED, BatchStatus.DUPLICATED}
            if (
                made
                and batch is not None
                and index not in jobs
                and state.vouched(batch.created_at) <= visible_from
            ):
                missing.append(index)
    retry_at = now + 2 * state.search_lag_s if missing else None
    facts.append(
        ev.WaveAudited(now, wave, began_at, seen, tuple(missing), tuple(foreign[:FOREIGN_MAX]), retry_at)
    )
    return facts


def _facts_of_batch(state: State, index: int, found: list[Found], now: float) -> list[ev.Event]:
    status = state.status_of(index)
    if status in _IN_DOUBT:
        return []
    first, *others = sorted(found, key=lambda job: (job.create_time_ms or 0, job.job_id))
    known = state.batches[index].job_id if index in state.batches else ""
    if status is BatchStatus.DUPLICATED:
        more = [
            job.job_id
            for job in found
            if job.job_id != known and job.job_id not in state.batches[index].others
        ]
        return [ev.BatchJobDuplicated(now, index, known, tuple(more))] if more else []
    if others or (status is BatchStatus.CREATED and first.job_id != known):
        return [ev.BatchJobDuplicated(now, index, first.job_id, tuple(job.job_id for job in others))]
    if status in {BatchStatus.PLANNED, BatchStatus.PARKED}:
        attempt = state.batches[index].attempt if index in state.batches else 0
        return [ev.BatchJobCreated(now, index, attempt, first.job_id, adopted=True)]
    return []
