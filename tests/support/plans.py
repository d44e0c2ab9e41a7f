"""Plans and manifests without files, for tests of what comes after planning."""

import json
from dataclasses import replace
from fractions import Fraction

from rollout.core.campaign import (
    CallLimit,
    Campaign,
    Denominator,
    Gate,
    JobSpec,
    Limits,
    Localized,
    Rest,
    StopRule,
    Threshold,
    Wave,
)
from rollout.core.plan import Batch, Plan, PlannedWave


def success(share="0.9", of=Denominator.RESOLVED):
    return Threshold(Fraction(share), of)


def gate(**parts):
    """A gate that asks for 90 % of planned resolved and 90 % of resolved succeeded."""
    return replace(
        Gate(
            success=success(),
            resolved=success("0.9", Denominator.PLANNED),
            stop=StopRule(Fraction(1, 10), min_sample=10),
        ),
        **parts,
    )


class BlobManifest:
    """A manifest over one blob in memory."""

    def __init__(self, blob):
        self.blob = blob

    def json_slice(self, start, stop):
        return self.blob[start:stop]

    def keys(self, start, stop):
        return json.loads(b"[" + self.blob[start:stop] + b"]")


def build(*waves, campaign_id="c1", limits=None, **campaign):
    """Return (plan, manifest) of waves given as (name, batch sizes, gate or None, JobSpec or None)."""
    blob, batches, planned, asked = b"", [], [], []
    for index, (name, sizes, its_gate, spec) in enumerate(waves):
        first = len(batches)
        for number, size in enumerate(sizes, 1):
            keys = [f"{name}-{number:04d}-{n:04d}" for n in range(size)]
            if blob:
                blob += b","
            start = len(blob)
            blob += json.dumps(keys, separators=(",", ":"))[1:-1].encode()
            batches.append(Batch(len(batches), index, number, size, start, len(blob), f"{len(batches):012x}"))
        planned.append(PlannedWave(index, name, sum(sizes), first, len(batches)))
        asked.append(Wave(name, Rest(), spec or JobSpec(platform={"versionNumbers": ["1.0"]}), its_gate))
    order = Campaign(
        campaign_id,
        Localized("test"),
        "o1",
        "fw1",
        tuple(asked),
        limits=limits or Limits(CallLimit(1000.0, in_flight=4), CallLimit(1000.0, in_flight=4)),
        **campaign,
    )
    plan = Plan(order, 1, tuple(planned), tuple(batches), sum(w.devices for w in planned), "d" * 64)
    return plan, BlobManifest(blob)
