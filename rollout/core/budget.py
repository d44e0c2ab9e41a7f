"""How many devices may be in progress at once, over all jobs together.

EnOS's `maximumConcurrency` is per job and nothing on the platform caps the sum. What we control is which jobs
exist, so the budget counts *exposure*: the most devices a job can have in progress from now on, without any
further act of ours. A job exposes `min(maximumConcurrency, devices still open)`; a batch whose create was
sent and whose outcome is open exposes as much as its job would. A new job is created only when its exposure fits into
what is left, so the cap holds at every instant, however stale our counts are: counts only ever lag behind
devices that have finished.
"""

from __future__ import annotations

from rollout.core.campaign import JobSpec


def job_exposure(spec: JobSpec, devices: int) -> int:
    """Return the most devices one job can have in progress; `devices` is 0 when the platform picks them.

    A job without `maximum_concurrency` (EnOS: a verification) may have all its devices in progress together.
    Where the platform picks the devices, their number is not known, so such a job always has `maximum_concurrency`.
    """
    if spec.maximum_concurrency is None:
        assert devices, "a job whose devices the platform picks has a maximum_concurrency"
        return devices
    return min(spec.maximum_concurrency, devices) if devices else spec.maximum_concurrency


def group_exposure(jobs_exposure: int, still_open: int) -> int:
    """Return the most devices several jobs counted together can have in progress."""
    return min(jobs_exposure, still_open)
