"""From a plan file and device files to a saved plan and back: streamed, counted, sealed, and never half there."""

import gzip
import io
import json
import random
import sys
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollout.core import campaign as values
from rollout.core.campaign_json import NewerFormat, campaign_from_json, campaign_to_json
from rollout.core.plan import plan_fleet
from rollout.enos.job_plan import ENOS
from rollout.errors import PlanError
from rollout.intake import fleet_sort
from rollout.intake.plan_file import load_plan_file
from rollout.intake.saved_plan import compile_plan, open_saved_plan, write_waves_csv

PLAN = """\
version: 1
id: demo
orgId: o1
firmwareId: f1
seed: 9
devices:
  from: [a.csv]
  perJob: 20
waves:
  - name: lab
    keys: [DEV-0003, DEV-0004]
    gate: {soak: 1h}
  - name: canary
    size: 10%
    spreadBy: site
    gate: {soak: 1h}
  - name: total
    size: rest
    gate: {soak: 1h}
"""


def fleet(count=200):
    return {f"DEV-{n:04d}": {"site": f"s{n % 7}", "region": "eu" if n % 3 else "us"} for n in range(count)}


def csv_of(rows):
    return "deviceKey,site,region\n" + "".join(f"{k},{v['site']},{v['region']}\n" for k, v in rows)


def write(tmp_path, text=PLAN, **files):
    (tmp_path / "plan.yaml").write_text(text)
    for name, content in files.items():
        path = tmp_path / name.replace("__", ".")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_plan_file(tmp_path / "plan.yaml", ENOS)


def refusal(document, directory, **options):
    with pytest.raises(PlanError) as refused:
        compile_plan(document, directory, **options)
    return refused.value


def test_streamed_and_in_memory_agree(tmp_path, monkeypatch):
    """Planning through buckets on disk gives the very plan that planning in memory gives."""
    monkeypatch.setattr(fleet_sort, "FLUSH_ROWS", 16)
    document = write(tmp_path, a__csv=csv_of(fleet().items()))
    saved = compile_plan(document, tmp_path / "out")
    plan, blob = plan_fleet(document.campaign, document.seed, fleet())
    assert saved.plan == plan
    assert saved.manifest.json_slice(0, len(blob)) == blob.json_slice(0, len(blob))
    assert saved.report.devices == 200


def test_order_split_and_packing_of_files_do_not_matter(tmp_path):
    """The same set of devices in another order, over several files and forms, is the same plan, byte for byte."""
    rows = list(fleet().items())
    one = write(tmp_path, a__csv=csv_of(rows))
    compile_plan(one, tmp_path / "one")
    random.Random(4).shuffle(rows)
    ndjson = "".join(json.dumps({"deviceKey": k, **v}) + "\n" for k, v in rows[120:])
    two = write(
        tmp_path,
        PLAN.replace("[a.csv]", "[b.csv.gz, c.ndjson]"),
        b__csv__gz=gzip.compress(csv_of(rows[:120]).encode()),
        c__ndjson=ndjson,
    )
    compile_plan(two, tmp_path / "two")
    for name in ("plan.json", "plan.devices"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_opened_plan_is_the_saved_one(tmp_path):
    """Opening gives back plan, report and keys as they were saved."""
    document = write(tmp_path, a__csv=csv_of(fleet().items()))
    saved = compile_plan(document, tmp_path / "out")
    opened = open_saved_plan(tmp_path / "out" / "plan.json")
    assert (opened.plan, opened.report) == (saved.plan, saved.report)
    opened.verify()
    assert sorted(
        key for b in opened.plan.batches for key in opened.manifest.keys(b.start, b.stop)
    ) == sorted(fleet())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["plan.devices", "plan.json"]


def test_rows_are_counted(tmp_path):
    """Every row is a device, a repetition, excluded or filtered out, and the first repetitions are named."""
    rows = [*fleet().items(), ("DEV-0007", fleet()["DEV-0007"]), ("DEV-0008", fleet()["DEV-0008"])]
    text = PLAN.replace("  perJob", "  exclude: [x.txt]\n  where: {region: [us, mars]}\n  perJob")
    document = write(
        tmp_path,
        text.replace("DEV-0004", "DEV-0006"),
        a__csv=csv_of(rows),
        x__txt="DEV-0000\nDEV-0001\nDEV-9999\n",
    )
    report = compile_plan(document, tmp_path / "out").report
    assert (report.rows, report.devices, report.filtered, report.excluded, report.duplicates) == (
        202,
        66,
        135,
        1,
        0,
    )
    told = {warning.code: str(warning) for warning in report.warnings}
    assert "no device has region 'mars'" in told["R204"]
    assert told["R204"].startswith(f"{tmp_path}/plan.yaml:9:24:")
    assert "2 excluded devices are not in the fleet" in told["R203"]
    assert f"{tmp_path}/x.txt:2 DEV-0001; {tmp_path}/x.txt:3 DEV-9999" in told["R203"]
    unfiltered = compile_plan(write(tmp_path, PLAN, a__csv=csv_of(rows)), tmp_path / "out").report
    assert (unfiltered.rows, unfiltered.devices, unfiltered.duplicates) == (202, 200, 2)
    assert f"{tmp_path}/a.csv:202 DEV-0007 (also {tmp_path}/a.csv:9)" in str(unfiltered.warnings[0])


def test_device_in_two_strata_is_refused(tmp_path):
    """A device listed twice with different strata is told at the later line; the plan cannot know which holds."""
    rows = [*fleet().items(), ("DEV-0007", {"site": "elsewhere", "region": "eu"})]
    error = refusal(write(tmp_path, a__csv=csv_of(rows)), tmp_path / "out")
    assert [(c.line, c.code) for c in error.complaints] == [(202, "R164")]
    assert "has site 'elsewhere' here and 's0' at" in str(error)
    assert not list((tmp_path / "out").iterdir())


def wave_text(waves):
    return PLAN[: PLAN.index("waves:")] + "waves:\n" + waves


SMALL = "deviceKey,site\n" + "".join(f"DEV-{n:04d},s{n % 3}\n" for n in range(30))

MISFITS = {
    "key not in the fleet": (
        "  - {name: a, keys: [DEV-0001, DEV-0099]}\n  - {name: b, size: rest}\n",
        ["10:32 R145"],
    ),
    "more than there are": (
        "  - {name: a, size: 31}\n  - {name: b, size: rest}\n",
        ["10:21 R139", "11:21 R139"],
    ),
    "nothing left for the rest": ("  - {name: a, size: 30}\n  - {name: b, size: rest}\n", ["11:21 R139"]),
    "nothing left for a share": (
        "  - {name: a, size: 50%}\n  - {name: b, size: 50%}\n  - {name: c, keys: [DEV-0001]}\n  - {name: d, size: rest}\n",
        ["13:21 R139"],
    ),
    "not everybody": ("  - {name: a, size: 50%}\n", ["9:1 R149"]),
    "sample larger than a share": (
        "  - {name: a, size: 10%, gate: {soak: 1h, minSample: 4}}\n  - {name: b, size: rest}\n",
        ["10:54 R138"],
    ),
    "stop sample larger than the rest": (
        "  - {name: a, size: 10%}\n  - {name: b, size: rest, gate: {stopAt: {failed: 5%, of: planned, minSample: 28}}}\n",
        ["11:79 R138"],
    ),
}


@pytest.mark.parametrize(("waves", "expected"), MISFITS.values(), ids=MISFITS.keys())
def test_plans_that_do_not_fit_the_fleet(tmp_path, waves, expected):
    """What only the fleet's size can show is refused at its place in the plan file, and nothing is saved."""
    document = write(tmp_path, wave_text(waves), a__csv=SMALL)
    error = refusal(document, tmp_path / "out")
    assert [f"{c.line}:{c.column} {c.code}" for c in error.complaints if c.severity == "error"] == expected
    assert not list((tmp_path / "out").iterdir())


def test_excluded_device_in_a_wave(tmp_path):
    """A device that is both named by a wave and excluded is refused where the wave names it."""
    text = PLAN.replace("  perJob", "  exclude: [x.txt]\n  perJob")
    error = refusal(
        write(tmp_path, text, a__csv=csv_of(fleet().items()), x__txt="DEV-0004\n"), tmp_path / "out"
    )
    assert [(c.line, c.column, c.code) for c in error.complaints] == [(12, 22, "R146")]


@pytest.mark.parametrize("name", ["../outside.csv", "/etc/passwd", "link/outside.csv", "link.csv"])
def test_device_files_stay_with_the_plan(tmp_path, name):
    """P34: a plan cannot make the program read files outside its directory, by dots, roots or links."""
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "outside.csv").write_text(SMALL)
    (home / "link").symlink_to(tmp_path)
    (home / "link.csv").symlink_to(tmp_path / "outside.csv")
    document = write(home, PLAN.replace("a.csv", name))
    error = refusal(document, tmp_path / "out")
    assert [(c.line, c.column, c.code) for c in error.complaints] == [(7, 10, "R148")]


def test_device_files_may_be_typed(tmp_path, monkeypatch):
    """Files given by the operator replace the plan's and may be anywhere; `-` is standard input."""
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "outside.csv").write_text(csv_of(fleet().items()))
    document = write(home)
    typed = compile_plan(document, tmp_path / "one", devices=[tmp_path / "outside.csv"])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(csv_of(fleet().items()).encode())))
    piped = compile_plan(document, tmp_path / "two", devices=["-"])
    assert typed.plan == piped.plan
    assert typed.plan.devices == 200


@pytest.mark.parametrize("content", ["", "deviceKey,site,region\n"])
def test_empty_lists_are_refused(tmp_path, content):
    """D01: a list that is empty or has nothing but its header is refused, not planned as nobody."""
    error = refusal(write(tmp_path, a__csv=content), tmp_path / "out")
    assert error.code == "R151"


def test_everybody_filtered_out(tmp_path):
    """A filter that leaves no device is refused at `devices`."""
    text = wave_text("  - {name: b, size: rest}\n").replace("  perJob", "  where: {region: [mars]}\n  perJob")
    error = refusal(write(tmp_path, text, a__csv=csv_of(fleet().items())), tmp_path / "out")
    assert [(c.line, c.code) for c in error.complaints if c.severity == "error"] == [(6, "R151")]


def test_thin_strata_are_told(tmp_path):
    """A spread wave too small for all strata says how many get no device."""
    document = write(tmp_path, PLAN.replace("10%", "5"), a__csv=csv_of(fleet().items()))
    warnings = compile_plan(document, tmp_path / "out").report.warnings
    assert [(w.line, w.code) for w in warnings] == [(15, "R201")]
    assert "2 of 7 values of site are too small" in str(warnings[0])


def test_scope_only_plan_needs_no_devices(tmp_path):
    """A plan whose devices EnOS picks is saved with an empty manifest."""
    text = "version: 1\nid: s\norgId: o1\nfirmwareId: f1\nwaves: [{name: all, upgradeScope: {type: total}}]\n"
    saved = compile_plan(write(tmp_path, text), tmp_path / "out")
    assert [(b.devices, b.start, b.stop) for b in saved.plan.batches] == [(0, 0, 0)]
    saved.verify()
    assert refusal(write(tmp_path, text), tmp_path / "out", devices=["x.csv"]).code == "R130"


def test_planning_again_replaces(tmp_path):
    """A second plan in the same directory takes the place of the first, whole."""
    document = write(tmp_path, a__csv=csv_of(fleet().items()))
    first = compile_plan(document, tmp_path / "out")
    second = compile_plan(write(tmp_path, PLAN, a__csv=csv_of(fleet(150).items())), tmp_path / "out")
    assert open_saved_plan(tmp_path / "out" / "plan.json").plan == second.plan != first.plan
    first.verify()  # the old one is still mapped


def test_progress_is_told(tmp_path, monkeypatch):
    """Long readings say how far they are, over all files."""
    monkeypatch.setattr(fleet_sort, "FLUSH_ROWS", 50)
    told = []
    compile_plan(write(tmp_path, a__csv=csv_of(fleet().items())), tmp_path / "out", progress=told.append)
    assert told == [50, 100, 150, 200]


def test_waves_csv_lists_every_device_once(tmp_path):
    """The table of waves has each device with its wave and job name."""
    saved = compile_plan(write(tmp_path, a__csv=csv_of(fleet().items())), tmp_path / "out")
    write_waves_csv(saved, tmp_path / "waves.csv")
    lines = (tmp_path / "waves.csv").read_text().splitlines()
    assert lines[0] == "wave,batch,jobName,deviceKey"
    assert sorted(line.rsplit(",", 1)[1] for line in lines[1:]) == sorted(fleet())
    assert sum(line.startswith("canary,1,demo-w02-b000001-") for line in lines) == 20


def test_unwritable_directory(tmp_path):
    """A plan that cannot be saved says so, without a traceback of the operating system."""
    (tmp_path / "file").write_text("")
    error = refusal(write(tmp_path, a__csv=csv_of(fleet().items())), tmp_path / "file" / "out")
    assert error.code == "R183"


@pytest.fixture
def saved(tmp_path):
    return compile_plan(write(tmp_path, a__csv=csv_of(fleet().items())), tmp_path / "out")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_damage_to_the_plan_is_seen(saved, data):
    """No flipped bit or missing end of plan.json goes unnoticed."""
    raw = bytearray(saved.path.read_bytes())
    at = data.draw(st.integers(0, len(raw) - 2))
    if data.draw(st.booleans()):
        raw[at] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del raw[at:]
    damaged = saved.path.with_name("damaged.json")
    damaged.write_bytes(raw)
    with pytest.raises(PlanError) as refused:
        open_saved_plan(damaged)
    assert refused.value.code in {"R180", "R181", "R182"}


def test_damage_to_the_report_is_seen(saved):
    """What the plan's digest does not cover, such as the counts, is covered by the file's checksum."""
    content = saved.path.read_text()
    assert '"rows":200' in content
    saved.path.write_text(content.replace('"rows":200', '"rows":201'))
    with pytest.raises(PlanError, match="checksum"):
        open_saved_plan(saved.path)


def test_any_damage_to_the_manifest_is_seen(saved):
    """A manifest of another size or with other keys at its ends is refused on opening, any other by `verify`."""
    place = saved.path.parent / "plan.devices"
    raw = place.read_bytes()
    for damaged in (raw[:-1], raw.replace(b"DEV-0003", b"DEV-1003")):
        place.write_bytes(damaged)
        with pytest.raises(PlanError, match="R182"):
            open_saved_plan(saved.path)
    middle = saved.plan.batches[4].start + 1
    place.write_bytes(raw[:middle] + b"X" + raw[middle + 1 :])
    opened = open_saved_plan(saved.path)
    with pytest.raises(PlanError, match="R182"):
        opened.verify()
    place.unlink()
    with pytest.raises(PlanError, match="R182"):
        open_saved_plan(saved.path)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ('{"schema": "rollout.plan/3"}', "R181"),
        ('{"schema": "rollout.plan/x"}', "R182"),
        ('{"schema": "rollout.events/1"}', "R180"),
        ("[1, 2]", "R180"),
        ("version: 1", "R182"),
        ("", "R182"),
    ],
)
def test_foreign_files_are_refused(tmp_path, content, code):
    """What is not a saved plan, or one of a newer program, is refused as that."""
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(PlanError) as refused:
        open_saved_plan(tmp_path / "plan.json")
    assert refused.value.code == code


EVERYTHING = values.Campaign(
    id="all",
    name=values.Localized("All", {"zh_CN": "全"}),
    org_id="o1",
    firmware_id="f1",
    waves=(
        values.Wave(
            "lab",
            values.Keys(("0012345", "1e10")),
            values.JobSpec(maximum_concurrency=None, platform={"type": "verify", "versionNumbers": ["1.10"]}, retry=values.TaskRetry(enabled=True, interval_s=5, count=2)),
            values.Gate(
                values.Threshold(Fraction(1, 3), values.Denominator.PLANNED),
                values.Threshold(Fraction(999, 1000), values.Denominator.RESOLVED),
                values.StopRule(Fraction(1), values.Denominator.PLANNED, 5),
                3,
                0.5,
                7200.0,
                values.OnFail.ABORT,
                approval=True,
            ),
        ),
        values.Wave("ten", values.Count(10), values.JobSpec(schedule=values.PushSchedule(1, 2, repeat_daily=False)), values.Gate(stop=values.StopRule(3))),
        values.Wave("share", values.Share(Fraction(1, 7)), values.JobSpec(platform={"extra": {"a": [1, 1.5, None, True, {"b": "c"}]}}), None, "site"),
        values.Wave("tags", values.Scope("partial", "tags", {"a": ["b"]}), values.JobSpec(grows=True, platform={"productKey": "p"})),
        values.Wave("rest", values.Rest(), values.JobSpec()),
    ),
    limits=values.Limits(devices_in_progress=5),
    api_retry=values.ApiRetry(when_unsure=values.WhenUnsure.PARK),
)  # fmt: skip


def test_campaign_round_trip():
    """A campaign with every kind of value comes back from JSON equal to the last fraction and type."""
    back = campaign_from_json(json.loads(json.dumps(campaign_to_json(EVERYTHING))))
    assert back == EVERYTHING
    stop = back.waves[0].gate.stop.failed
    assert (type(stop), type(back.waves[1].gate.stop.failed)) == (Fraction, int)


def test_other_fields_are_not_half_understood():
    """A campaign with a field that this program does not know, or without one it needs, is refused."""
    data = campaign_to_json(EVERYTHING)
    with pytest.raises(NewerFormat, match=r"campaign\.speed"):
        campaign_from_json({**data, "speed": 1})
    for other in ({k: v for k, v in data.items() if k != "org_id"}, [], None, "x"):
        with pytest.raises(ValueError, match=r"org_id is missing|not a campaign"):
            campaign_from_json(other)
