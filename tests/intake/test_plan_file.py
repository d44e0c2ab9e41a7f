"""The plan file: what is written is what the campaign says, exactly; the schema and the examples agree."""

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import jsonschema
import pytest
import yaml
from support.listings import listed, meters

from rollout.core.campaign import (
    ApiRetry,
    CallLimit,
    Count,
    Denominator,
    Gate,
    JobSpec,
    Keys,
    Limits,
    Localized,
    OnFail,
    PushSchedule,
    Rest,
    Scope,
    Share,
    StopRule,
    TaskRetry,
    Threshold,
    WhenUnsure,
)
from rollout.enos.job_plan import ENOS
from rollout.enos.job_settings import JobSettings, JobType
from rollout.errors import PlanError
from rollout.intake.complaints import Complaints
from rollout.intake.plan_file import load_plan_file
from rollout.intake.plan_model import plan_schema
from rollout.intake.saved_plan import compile_plan
from rollout.intake.yaml_text import read_yaml

PLANS = Path(__file__).parents[2] / "plans"
EXAMPLES = sorted(PLANS.glob("*.yaml"))

FULL = """\
version: 1
id: full
name: {defaultValue: Full, i18nValue: {en_US: Full, zh_CN: 全}}
orgId: o15724268424841
firmwareId: 5ee1a90c29b990001b9c1880
seed: 42
job:
  upgradePolicy: incremental
  enableUpgradeRequest: true
  versionNumbers: [1.10, "1.9", 010]
  upgradeTimeout: "7200"
  maximumConcurrency: 25
  retryPolicy: {enableRetry: true, retryInterval: 600, retryCount: 2}
  schedulePolicy: {isRepeatDaily: true, startTimestamp: 2026-11-23T09:00:00+01:00, endTimestamp: 1795446000000}
  productKey: "0012"
  extra: {startAfterCreate: true, timezoneOffsetInMinutes: 60, note: "60", nested: [1.5, ~x]}
devices:
  from: [a.csv, sub/b.txt.gz]
  key: serial
  exclude: [c.txt]
  where: {region: [no, eu]}
  perJob: 250
waves:
  - name: lab
    keys: [0012345, "1e10"]
    job: {type: verify, upgradeTimeout: 300}
    gate: {success: {min: 100%, of: planned}, deadline: 1d, onFail: abort}
  - name: ten
    size: 10
    gate:
      resolved: {min: 0.995, of: planned}
      success: {min: 99.9%, of: resolved}
      stopAt: {failed: 0, of: planned}
      minSample: 3
      soak: 1h30m
      approval: required
  - name: share
    size: 12.5%
    spreadBy: site
    gate: {stopAt: {failed: 2.5%, of: resolved, minSample: 7}}
  - name: scoped
    upgradeScope: {type: partial, attributes: {rev: [3, "3", 1.5, true, 007]}}
  - name: rest
    size: rest
limits:
  create: {rate: 30/min, burst: 2, inFlight: 5}
  read: {burst: 9}
  devicesInProgress: 6000
apiRetry: {attempts: 3, first: 500ms, max: 1m30s, whenUnsure: park}
stragglersAfter: 2h
"""


def load(tmp_path, text):
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    return load_plan_file(path, ENOS, now=1_795_000_000.0)


def test_every_key_arrives(tmp_path):
    """Each key of the format is found in the campaign, exact and with its type."""
    document = load(tmp_path, FULL)
    campaign = document.campaign
    assert document.seed == 42
    assert document.path == tmp_path / "plan.yaml"
    selection = document.devices
    assert (selection.files, selection.key, selection.exclude) == (
        ("a.csv", "sub/b.txt.gz"),
        "serial",
        ("c.txt",),
    )
    assert selection.where == {"region": ("no", "eu")}
    assert campaign.name == Localized("Full", {"en_US": "Full", "zh_CN": "全"})
    assert (campaign.id, campaign.org_id, campaign.per_job) == ("full", "o15724268424841", 250)
    assert campaign.firmware_id == "5ee1a90c29b990001b9c1880"
    settings = JobSettings(
        version_numbers=("1.10", "1.9", "010"),
        upgrade_policy="incremental",
        enable_upgrade_request=True,
        product_key="0012",
        extra={"startAfterCreate": True, "timezoneOffsetInMinutes": 60, "note": "60", "nested": [1.5, "~x"]},
    )
    job = JobSpec(
        upgrade_timeout_s=7200,
        maximum_concurrency=25,
        retry=TaskRetry(enabled=True, interval_s=600, count=2),
        schedule=PushSchedule(1795420800000, 1795446000000, repeat_daily=True),
        grows=True,
        platform=settings.to_platform(),
    )
    lab, ten, share, scoped, rest = campaign.waves
    assert lab.size == Keys(("0012345", "1e10"))
    verify = replace(settings, type=JobType.VERIFY)
    assert lab.job == replace(
        job, upgrade_timeout_s=300, maximum_concurrency=None, grows=False, platform=verify.to_platform()
    )
    assert lab.gate == Gate(
        success=Threshold(Fraction(1), Denominator.PLANNED), deadline_s=86_400.0, on_fail=OnFail.ABORT
    )
    assert (ten.size, ten.job) == (Count(10), job)
    assert ten.gate == Gate(
        success=Threshold(Fraction(999, 1000), Denominator.RESOLVED),
        resolved=Threshold(Fraction(995, 1000), Denominator.PLANNED),
        stop=StopRule(0, Denominator.PLANNED),
        min_sample=3,
        soak_s=5400.0,
        approval=True,
    )
    assert (share.size, share.spread_by) == (Share(Fraction(1, 8)), "site")
    assert share.gate is not None
    assert share.gate.stop == StopRule(Fraction(1, 40), Denominator.RESOLVED, 7)
    assert scoped.size == Scope("partial", "attributes", {"rev": [3, "3", 1.5, True, "007"]})
    assert (rest.size, rest.gate) == (Rest(), None)
    assert campaign.limits == Limits(CallLimit(0.5, 2, 5), CallLimit(10.0, 9, 4), 6000)
    assert campaign.api_retry == ApiRetry(3, 0.5, 90.0, WhenUnsure.PARK)
    assert campaign.stragglers_after_s == 7200.0


SMALL = """\
version: 1
id: small
orgId: o1
firmwareId: f1
devices: {from: [d.txt]}
waves: [{name: all, size: rest}]
"""


def test_what_is_left_out_has_safe_values(tmp_path):
    """A plan of six lines has the standard job, limits and retries, the id as name, and a seed of its own."""
    document = load(tmp_path, SMALL)
    campaign = document.campaign
    assert campaign.waves[0].job == JobSpec(platform=JobSettings().to_platform())
    assert (campaign.limits, campaign.api_retry) == (Limits(), ApiRetry())
    assert (campaign.name, campaign.per_job) == (Localized("small"), 500)
    assert campaign.stragglers_after_s == 7200.0
    assert document.seed == load(tmp_path, SMALL).seed
    assert document.seed != load(tmp_path, SMALL.replace("small", "other")).seed


def test_json_is_a_plan_too(tmp_path):
    """The same plan as JSON, as it may come from a script, is read alike."""
    text = (
        '{"version": 1, "id": "small", "orgId": "o1", "firmwareId": "f1",\n'
        ' "devices": {"from": ["d.txt"]}, "waves": [{"name": "all", "size": "rest"}]}'
    )
    assert load(tmp_path, text).campaign == load(tmp_path, SMALL).campaign


def test_a_common_scope_serves_waves_without_devices(tmp_path):
    """`job.upgradeScope` is the scope of waves that name no devices of their own; each is one call."""
    text = SMALL.replace("devices: {from: [d.txt]}", "job: {upgradeScope: {type: total}}").replace(
        ", size: rest", ""
    )
    assert load(tmp_path, text).campaign.waves[0].size == Scope("total")
    both = SMALL.replace("devices:", "job: {upgradeScope: {type: total}}\ndevices:")
    with pytest.raises(PlanError, match="7:27: R130"):
        load(tmp_path, both)


def test_the_fleet_may_come_from_elsewhere(tmp_path):
    """A plan without a device list is refused, unless the list is given in another way."""
    text = SMALL.replace("devices: {from: [d.txt]}\n", "")
    with pytest.raises(PlanError, match="R106"):
        load(tmp_path, text)
    assert load_plan_file(tmp_path / "plan.yaml", ENOS, fleet_given=True).devices.files == ()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_load_and_plan(tmp_path, path):
    """Every plan in plans/ is sound, covers its devices, and says nothing worse than it should."""
    document = load_plan_file(path, ENOS)
    assert {warning.code for warning in document.warnings} <= {"R305"}
    listings = [
        listed(
            tmp_path,
            meters(0 if source in document.devices.exclude else 5000),
            name=f"{at}.gz",
            source=source,
        )
        for at, source in enumerate(document.devices.searches)
    ]
    saved = compile_plan(document, tmp_path, listings=listings)
    assert saved.plan.devices == saved.report.devices
    saved.verify()


def test_demo_shape(tmp_path):
    """The demo is 2,000 devices in three waves: a canary of 5 % from the sites, 20 %, and the rest."""
    saved = compile_plan(load_plan_file(PLANS / "canary-then-total.yaml", ENOS), tmp_path)
    shape = [(wave.name, wave.devices, wave.last - wave.first) for wave in saved.plan.waves]
    assert shape == [("canary", 100, 1), ("early", 400, 4), ("total", 1500, 15)]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_match_the_schema(path):
    """The schema accepts every example, both as our reader sees it (text) and as an editor does (numbers)."""
    schema = plan_schema(ENOS)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    document = read_yaml(path, Complaints(str(path)))
    assert document is not None
    validator.validate(document.data)
    validator.validate(yaml.safe_load(path.read_text()))


def test_schema_refuses_what_the_reader_refuses():
    """An editor marks unknown keys, bad words and two kinds of size at once."""
    validator = jsonschema.Draft202012Validator(plan_schema(ENOS))
    sound = yaml.safe_load(SMALL)
    validator.validate(sound)
    wave = {"name": "all", "size": "rest"}
    for bad in (
        sound | {"wave": []},
        sound | {"id": "Big"},
        sound | {"job": {"upgradePolicy": "snapshots"}},
        sound | {"job": {"upgradeTimeout": 200}},
        sound | {"waves": [wave | {"keys": ["DEV-1"]}]},
        sound | {"waves": [wave | {"gate": {"success": {"min": "99 percent", "of": "planned"}}}]},
        sound | {"limits": {"create": {"rate": "2"}}},
        sound | {"name": None},
    ):
        assert list(validator.iter_errors(bad)), bad


def test_schema_explains_every_key():
    """Each key of the schema has a description, and the whole says which dialect it is."""
    schema = plan_schema(ENOS)
    assert schema["$schema"].endswith("2020-12/schema")
    assert schema["$id"]
    assert schema["title"]
    for block in (schema, *schema["$defs"].values()):
        for key, body in block["properties"].items():
            assert body.get("description"), key


def test_opening_a_saved_plan_loads_no_models():
    """Whoever only runs a saved plan does not wait for pydantic or a YAML reader to load."""
    program = "import sys, rollout.intake.saved_plan; print({'pydantic', 'yaml'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_share_of_the_resolved_alone_still_waits_for_coverage(tmp_path):
    """`success` of the resolved brings 90 % of the planned with it: one device that succeeded opens no gate."""
    text = (
        FULL[: FULL.index("waves:")]
        + "waves: [{name: all, size: rest, gate: {success: {min: 99%, of: resolved}}}]\n"
    )
    gate = load(tmp_path, text).campaign.waves[0].gate
    assert gate.resolved == Threshold(Fraction(9, 10), Denominator.PLANNED)
