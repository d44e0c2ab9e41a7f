"""Writes campaigns as files, and checks what the platform holds when one is over."""

from collections import Counter
from dataclasses import dataclass

from processes import creates

from rollout.core.names import batch_name
from rollout.intake.saved_plan import open_saved_plan

PROFILE = """\
default_profile = "near"

[profiles.near]
url = "{url}"
latest_effect = "{bounds[0]}"
search_lag = "{bounds[1]}"
"""

BOUNDS = ("1s", "500ms")
"""`latest_effect` and `search_lag` of the profile, in real time; this machine may be busy."""


def lay_out(
    desk, url, *, name="c1", devices, per_job, canary, rate=25, sample=2, gate="", rest="", bounds=BOUNDS
):
    """Write plan.yaml (`canary` devices first, then all others), its device list and the profile `near`."""
    (desk.path / "rollout.toml").write_text(PROFILE.format(url=url, bounds=bounds))
    (desk.path / "devices.csv").write_text("deviceKey\n" + "".join(f"SN-{n:05d}\n" for n in range(devices)))
    (desk.path / "plan.yaml").write_text(f"""\
version: 1
id: {name}
name: System test
orgId: o00000000000000
firmwareId: f1
seed: 7
job: {{upgradeTimeout: 3600, maximumConcurrency: 10}}
devices: {{from: [devices.csv], perJob: {per_job}}}
waves:
  - name: canary
    size: {canary}
    gate:
      resolved: {{min: 90%, of: planned}}
      success: {{min: 90%, of: resolved}}
      stopAt: {{failed: 30%, of: resolved, minSample: {sample}}}
      {gate or "soak: 1m"}
  - name: total
    size: rest
limits:
  create: {{rate: {rate}/s, inFlight: 4}}
  read: {{rate: 100/s, burst: 20, inFlight: 4}}
{rest}
""")


def assert_exact(desk, emulator, name="c1"):
    """Assert that the platform has one job for each batch, with its name and devices, and each device in exactly one job."""
    saved = open_saved_plan(desk.campaign(name) / "plan.json")
    batches = saved.plan.batches
    assert emulator.names() == Counter(batch_name(name, batch) for batch in batches)
    state = emulator.state()
    assert (state["jobs"], state["jobsWithSameName"]) == (len(batches), {})
    assert {job["name"]: sum(job["tasks"].values()) for job in state["newestJobs"]} == {
        batch_name(name, batch): batch.devices for batch in batches
    }
    fleet = [key for batch in batches for key in saved.manifest.keys(batch.start, batch.stop)]
    assert held(emulator.log) == Counter(fleet)
    assert len(set(fleet)) == len(fleet)


@dataclass(frozen=True, slots=True)
class Account:
    """What a platform holds, compared with the plan of a campaign.

    `duplicates`: jobs beyond the first of their batch, plus jobs of a device beyond its first. `lost`: devices in no job.
    `foreign`: jobs that belong to no batch, or have other devices than their batch.
    """

    jobs: int
    duplicates: int
    lost: int
    foreign: int

    @property
    def is_exact(self):
        """Whether each batch is one job with its devices, and each device is in it alone."""
        return not (self.duplicates or self.lost or self.foreign)


def account(desk, emulator, name="c1"):
    """Return the account of a campaign: differences are counted, not asserted."""
    saved = open_saved_plan(desk.campaign(name) / "plan.json")
    planned = {
        batch_name(name, batch): Counter(saved.manifest.keys(batch.start, batch.stop))
        for batch in saved.plan.batches
    }
    fleet = sum(planned.values(), Counter())
    names, devices = emulator.names(), held(emulator.log)
    twice = [counted - Counter(set(counted)) for counted in (names, devices)]
    made = [(job["name"]["defaultValue"], job["upgradeScope"]["deviceKeys"]) for job in bodies(emulator.log)]
    return Account(
        jobs=names.total(),
        duplicates=sum(more.total() for more in twice),
        lost=(fleet - devices).total(),
        foreign=sum(planned.get(job) != Counter(keys) for job, keys in made)
        + len(names.keys() - planned.keys()),
    )


def held(log):
    """Return device key → jobs created with it, from an emulator's log."""
    return Counter(key for body in bodies(log) for key in body["upgradeScope"]["deviceKeys"])


def bodies(log):
    """Return the body of each create that an emulator carried out, from its log."""
    return [create["body"] for create in creates(log)]
