"""Campaigns written out as files, and what must be true of the platform once one is over."""

from collections import Counter

from processes import creates

from rollout.core.plan import batch_name
from rollout.intake.saved_plan import open_saved_plan

SPEED = "300"
"""Times faster than real: ten minutes of a device's work take two seconds."""

PROFILE = """\
default_profile = "near"

[profiles.near]
url = "{url}"
latest_effect = "{bounds[0]}"
search_lag = "{bounds[1]}"
"""

BOUNDS = ("1s", "500ms")
"""L and S, real: how late the platform may act and be seen. It is on this machine, which may be busy."""


def lay_out(
    desk, url, *, name="c1", devices, per_job, canary, rate=25, sample=2, gate="", rest="", bounds=BOUNDS
):
    """Write plan.yaml (`canary` of the devices first, then all others), its device list and the profile `near`."""
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
    """One job for each batch, under its name and with its devices; every device in exactly one job."""
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


def held(log):
    """Return for each device how many jobs were created with it, by an emulator's log."""
    return Counter(key for create in creates(log) for key in create["body"]["upgradeScope"]["deviceKeys"])
