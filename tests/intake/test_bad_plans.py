"""Bad plan files: each fault is told at its place, all of them in one pass, and never as a traceback."""

import os
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollout.enos.job_plan import ENOS
from rollout.errors import PlanError, Severity
from rollout.intake.plan_file import load_plan_file

GOOD = """\
version: 1
id: demo
orgId: o1
firmwareId: f1
job:
  upgradeTimeout: 600
  maximumConcurrency: 10
devices:
  from: [devices.csv]
waves:
  - name: canary
    size: 10%
    gate:
      success: {min: 90%, of: resolved}
      soak: 1h
  - name: total
    size: rest
    gate: {stopAt: {failed: 5%, of: resolved, minSample: 5}}
limits:
  create: {rate: 2/s}
"""

NOW = 1_795_400_000.0


def edited(*edits):
    text = GOOD
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def faults(tmp_path, content, *, warnings=False):
    """The places and codes of a plan's errors, in the order they are told."""
    path = tmp_path / "plan.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    try:
        complaints = load_plan_file(path, ENOS, now=NOW).warnings
    except PlanError as error:
        complaints = error.complaints
    return [
        f"{c.line}:{c.column} {c.code}"
        for c in complaints
        if (c.severity is Severity.WARNING) is warnings and c.file == str(path)
    ]


FILE_CASES = {
    "P03 larger than 1 MiB": (GOOD + "#" * (1 << 20), ["0:0 R111"]),
    "P04 empty": ("", ["0:0 R112"]),
    "P04 only comments": ("# nothing\n", ["0:0 R112"]),
    "P05 two documents": (GOOD + "---\nid: other\n", ["21:1 R116"]),
    "P06 latin-1": (edited(("orgId: o1", "name: Gerät")).encode("latin-1"), ["3:10 R113"]),
    "P07 UTF-16": (GOOD.encode("utf-16"), ["0:0 R113"]),
    "P08 tab indent": (edited(("  upgradeTimeout", "\tupgradeTimeout")), ["6:1 R115"]),
    "P08 unclosed list": (edited(("[devices.csv]", "[devices.csv")), ["10:6 R115"]),
    "P09 NUL": (edited(("demo", "de\0mo")), ["2:7 R114"]),
    "P09 bidi override": (edited(("demo", "de\u202emo")), ["2:7 R114"]),
    "P10 duplicate key": (edited(("{rate: 2/s}", "{rate: 2/s, rate: 9/s}")), ["20:23 R117"]),
    "P12 alias": (edited(("10%", "&a 10%"), ("rest", "*a")), ["12:11 R118", "17:11 R118"]),
    "P14 merge key": (edited(("{rate: 2/s}", "{<<: {rate: 2/s}}")), ["20:12 R120"]),
    "P15 tag": (edited(("10%", "!!python/name:os.system 10%")), ["12:11 R119"]),
    "P16 too deep": ("a: " + "[" * 3000 + "]" * 3000, ["1:24 R121"]),
    "a list": ("- a\n- b\n", ["1:1 R105"]),
    "a word": ("plan\n", ["1:1 R105"]),
    "a key that is a list": (edited(("{rate: 2/s}", "{[rate]: 2/s}")), ["20:12 R105"]),
}

VALUE_CASES = {
    "P11 unknown key": (edited(("maximumConcurrency", "maxConcurrency")), ["7:3 R103"]),
    "P11 later idea": (edited(("limits:", "windows: []\nlimits:")), ["19:1 R103"]),
    "P17 yes for a flag": (edited(("  upgradeTimeout", "  enableUpgradeRequest: yes\n  upgradeTimeout")), ["6:25 R105"]),
    "P18 base 60": (edited(("soak: 1h", "soak: 1:30")), ["15:13 R108"]),
    "P19 underscored number": (edited(("600", "1_000")), ["6:19 R105"]),
    "P20 exponent": (edited(("600", "6e2")), ["6:19 R105"]),
    "P21 not a number": (edited(("min: 90%", "min: .nan")), ["14:22 R104"]),
    "P22 infinite rate": (edited(("2/s", ".inf")), ["20:18 R109"]),
    "P22 infinite share": (edited(("failed: 5%", "failed: .inf")), ["18:29 R104"]),
    "P23 bare 5 for a share": (edited(("min: 90%", "min: 5")), ["14:22 R104"]),
    "P23 more than all": (edited(("min: 90%", "min: 101%")), ["14:22 R104"]),
    "P24 negative": (edited(("maximumConcurrency: 10", "maximumConcurrency: -1")), ["7:23 R102"]),
    "P24 true for a number": (edited(("maximumConcurrency: 10", "maximumConcurrency: true")), ["7:23 R105"]),
    "P24 huge": (edited(("maximumConcurrency: 10", "maximumConcurrency: 1" + "0" * 30)), ["7:23 R102"]),
    "P24 rate of 0": (edited(("2/s", "0/s")), ["20:18 R102"]),
    "P25 no waves": (GOOD[: GOOD.index("waves:")] + "waves: []\n", ["10:8 R102"]),
    "P25 more than the fleet": (edited(("10%", "60%"), ("rest", "50%")), ["17:11 R137"]),
    "P27 sample larger than the wave": (edited(("10%", "10"), ("      soak", "      minSample: 11\n      soak")), ["15:18 R138"]),
    "P28 batch size": (edited(("[devices.csv]", "[devices.csv]\n  perJob: 10001")), ["10:11 R102"]),
    "P30 schedule without zone": (
        edited(("  maximumC", "  schedulePolicy: {startTimestamp: 2026-12-01T09:00, endTimestamp: 1796115600}\n  maximumC")),
        ["7:36 R123", "7:68 R123"],
    ),
    "P30 ends before it starts": (
        edited(("  maximumC", "  schedulePolicy: {startTimestamp: 1796115600000, endTimestamp: 1796115500000}\n  maximumC")),
        ["7:65 R143"],
    ),
    "P31 firmware id": (edited(("f1", "\"f'1\"")), ["4:13 R107"]),
    "P32 campaign id": (edited(("demo", "Demo_%")), ["2:5 R107"]),
    "P33 secret": (edited(("limits:", "appSecret: s3cr3t\nlimits:")), ["19:1 R122"]),
    "upgradeTimeout low": (edited(("600", "299")), ["6:19 R102"]),
    "upgradeTimeout high": (edited(("600", "172801")), ["6:19 R102"]),
    "upgradeTimeout with unit": (edited(("600", "2h")), ["6:19 R105"]),
    "retryInterval": (
        edited(("  maximumC", "  retryPolicy: {enableRetry: true, retryInterval: 86401, retryCount: 2}\n  maximumC")),
        ["7:51 R102"],
    ),
    "retryCount": (
        edited(("  maximumC", "  retryPolicy: {enableRetry: true, retryInterval: 5, retryCount: 6}\n  maximumC")),
        ["7:66 R102"],
    ),
    "retry without its numbers": (edited(("  maximumC", "  retryPolicy: {enableRetry: true}\n  maximumC")), ["7:16 R142"] * 2),
    "no value": (edited(("upgradeTimeout: 600", "upgradeTimeout:")), ["6:18 R105"]),
    "a list for a number": (edited(("600", "[600]")), ["6:19 R105"]),
    "a word for a block": (edited(("gate: {stopAt: {failed: 5%, of: resolved, minSample: 5}}", "gate: none")), ["18:11 R105"]),
    "a word for a list": (edited(("[devices.csv]", "devices.csv")), ["9:9 R105"]),
    "missing key": (edited(("orgId: o1\n", "")), ["1:1 R106"]),
    "other version": (edited(("version: 1", "version: 2")), ["1:10 R101"]),
    "typo in a word": (edited(("  maximumC", "  upgradePolicy: snapshots\n  maximumC")), ["7:18 R101"]),
    "share of nothing said": (edited(("failed: 5%, of: resolved", "failed: 5%")), ["18:20 R106"]),
    "empty gate": (edited(("gate: {stopAt: {failed: 5%, of: resolved, minSample: 5}}", "gate: {deadline: 2d}")), ["18:11 R106"]),
    "deadline before soak": (edited(("soak: 1h", "soak: 1h\n      deadline: 30m")), ["16:17 R141"]),
    "two waves of one name": (edited(("name: total", "name: Canary")), ["16:11 R135"]),
    "two rests": (edited(("size: 10%", "size: rest")), ["17:11 R136"]),
    "after the rest": (edited(("size: 10%", "size: rest"), ("    size: rest\n    gate: {", "    size: 5\n    gate: {")), ["17:11 R136"]),
    "size and keys": (edited(("size: 10%", "size: 10%\n    keys: [DEV-1]")), ["11:5 R130"]),
    "no size": (edited(("    size: 10%\n", "")), ["11:5 R130"]),
    "size as a decimal": (edited(("size: 10%", "size: 0.1")), ["12:11 R104"]),
    "size of 0": (edited(("size: 10%", "size: 0")), ["12:11 R102"]),
    "key too short": (edited(("size: 10%", "keys: [DEV-1, abc]")), ["12:19 R107"]),
    "key twice": (edited(("size: 10%", "keys: [DEV-1, DEV-2, DEV-1]")), ["12:26 R144"]),
    "two selectors": (
        edited(("size: 10%", "upgradeScope: {type: partial, tags: {a: [b]}, assetIds: [x]}")),
        ["12:19 R130"],
    ),
    "partial without selector": (edited(("size: 10%", "upgradeScope: {type: partial}")), ["12:19 R130"]),
    "empty selector": (edited(("size: 10%", "upgradeScope: {type: partial, assetIds: []}")), ["12:45 R102"]),
    "verify with total": (
        edited(("size: 10%", "upgradeScope: {type: total}\n    job: {type: verify}")),
        ["12:26 R131"],
    ),
    "verify with groups": (
        edited(("size: 10%", "upgradeScope: {type: partial, deviceGroupIds: [g]}\n    job: {type: verify}")),
        ["12:51 R131"],
    ),
    "six asset trees": (
        edited(("size: 10%", "upgradeScope: {type: partial, assetTrees: [" + ", ".join(f"{{treeId: t{i}}}" for i in range(6)) + "]}")),
        ["12:47 R132"],
    ),
    "includedNotes": (
        edited(("size: 10%", "upgradeScope: {type: partial, assetTrees: [{treeId: t, includedNotes: [n]}]}")),
        ["12:60 R103"],
    ),
    "budget below one job": (edited(("  create:", "  devicesInProgress: 9\n  create:"), ("10%", "100")), ["7:23 R140"]),
    "no device list": (edited(("devices:\n  from: [devices.csv]\n", "")), ["9:5 R106"]),
    "extra replaces a field": (edited(("  maximumC", "  extra: {upgradeTimeout: 1}\n  maximumC")), ["7:11 R124"]),
}  # fmt: skip


@pytest.mark.parametrize(("content", "expected"), FILE_CASES.values(), ids=FILE_CASES.keys())
def test_file_is_refused_at_its_place(tmp_path, content, expected):
    """What makes a file unreadable or ambiguous is refused, with line and column where there is one."""
    assert faults(tmp_path, content) == expected


@pytest.mark.parametrize(("content", "expected"), VALUE_CASES.values(), ids=VALUE_CASES.keys())
def test_value_is_refused_at_its_place(tmp_path, content, expected):
    """A fault is told where it stands, under its own code, and causes no other."""
    assert faults(tmp_path, content) == expected


def test_good_plan_has_no_fault(tmp_path):
    """The plan that the tables break is itself sound."""
    assert faults(tmp_path, GOOD) == faults(tmp_path, GOOD, warnings=True) == []


def test_all_faults_in_one_pass(tmp_path):
    """Faults of the file, of values and between values of different blocks are told together, by place."""
    content = edited(
        ("upgradeTimeout: 600", "upgradeTimeout: 200"),
        ("size: 10%", "size: 10%\n    sprdBy: site"),
        ("soak: 1h", "soak: 1h\n      deadline: 10m"),
        ("name: total", "name: canary"),
        ("2/s", "2"),
        ("limits:", "limits:\n  password: x"),
    )
    content += "version: 1\n"
    assert faults(tmp_path, content) == [
        "6:19 R102",
        "13:5 R103",
        "22:3 R122",
        "23:18 R109",
        "24:1 R117",
    ]
    only_the_job_is_sound_to_read = content.replace("200", "600").replace("    sprdBy: site\n", "")
    assert faults(tmp_path, only_the_job_is_sound_to_read) == [
        "16:17 R141",
        "17:11 R135",
        "21:3 R122",
        "22:18 R109",
        "23:1 R117",
    ]


def test_at_most_twenty_are_told(tmp_path):
    """Of thirty faults twenty are told, the first ones of the file, and the others are counted."""
    path = tmp_path / "plan.yaml"
    path.write_text(GOOD + "".join(f"unknown{number}: 1\n" for number in range(30)))
    with pytest.raises(PlanError) as refused:
        load_plan_file(path, ENOS, now=NOW)
    told = refused.value.complaints
    assert [c.line for c in told[:20]] == list(range(21, 41))
    assert len(told) == 21
    assert str(told[-1]).endswith("R199 and 10 more faults")


def test_messages_name_place_path_and_way_out(tmp_path):
    """A complaint reads `file:line:col: CODE path: message`, and a typo comes with the word that was meant."""
    path = tmp_path / "plan.yaml"
    path.write_text(edited(("  maximumConcurrency", "  upgradePolicy: snapshots\n  maxConcurrency")))
    with pytest.raises(PlanError) as refused:
        load_plan_file(path, ENOS, now=NOW)
    first, second = refused.value.complaints
    assert (
        str(first) == f"{path}:7:18: R101 job.upgradePolicy: 'snapshots' is not one of snapshot, incremental"
    )
    assert first.hint == "did you mean 'snapshot'?"
    assert str(second) == f"{path}:8:3: R103 job.maxConcurrency: unknown key"
    assert second.hint == "EnOS calls it 'maximumConcurrency'"
    assert refused.value.exit_code == 2


def test_waves_are_called_by_name(tmp_path):
    """A fault inside a wave names the wave, not its number."""
    path = tmp_path / "plan.yaml"
    path.write_text(edited(("min: 90%", "min: 99 percent")))
    with pytest.raises(
        PlanError, match=re.escape("waves.canary.gate.success.min: '99 percent' is not a share")
    ):
        load_plan_file(path, ENOS, now=NOW)


def test_no_secret_is_repeated(tmp_path):
    """A secret in a plan is refused without being shown."""
    path = tmp_path / "plan.yaml"
    path.write_text(edited(("limits:", "accessSecret: s3cr3t-value\nlimits:")))
    with pytest.raises(PlanError) as refused:
        load_plan_file(path, ENOS, now=NOW)
    assert not any("s3cr3t" in str(c) + c.hint for c in refused.value.complaints)


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo"])
def test_only_regular_files_are_read(tmp_path, kind):
    """P01, P02: a missing file, a directory and a FIFO are refused without waiting for anything."""
    path = tmp_path / "plan.yaml"
    if kind == "directory":
        path.mkdir()
    if kind == "fifo":
        os.mkfifo(path)
    with pytest.raises(PlanError) as refused:
        load_plan_file(path, ENOS)
    assert refused.value.code == "R100"


WARNING_CASES = {
    "R110 unquoted version": (edited(("  maximumC", "  versionNumbers: [1.10, v1]\n  maximumC")), ["7:20 R110"]),
    "R110 unquoted key": (edited(("size: 10%", "keys: [0012345, '0012346']")), ["12:12 R110"]),
    "R301 verification of six": (
        edited(("size: 10%", "keys: [DEV-1, DEV-2, DEV-3, DEV-4, DEV-5, DEV-6]\n    job: {type: verify}")),
        ["11:5 R301"],
    ),
    "R302 deadline below the time-out": (edited(("soak: 1h", "soak: 0s\n      deadline: 9m")), ["16:17 R302"]),
    "R303 locale": (
        edited(("orgId", "name: {defaultValue: Demo, i18nValue: {en-US: Demo}}\norgId")),
        ["3:40 R303"],
    ),
    "R304 extra": (edited(("  maximumC", "  extra: {startAfterCreate: true}\n  maximumC")), ["7:10 R304"]),
    "R305 no gate": (edited(("    gate: {stopAt: {failed: 5%, of: resolved, minSample: 5}}\n", "")), ["16:5 R305"]),
    "R306 coarse budget": (edited(("  create:", "  devicesInProgress: 150\n  create:"), ("10%", "200")), ["20:22 R306"]),
    "R308 schedule over": (
        edited(("  maximumC", "  schedulePolicy: {startTimestamp: 1577836800000, endTimestamp: 1577923200000}\n  maximumC")),
        ["7:65 R308"],
    ),
    "R309 short schedule": (
        edited(("  maximumC", "  schedulePolicy: {startTimestamp: 1796115500000, endTimestamp: 1796115600000}\n  maximumC")),
        ["7:19 R309"],
    ),
    "R311 retry numbers switched off": (
        edited(("  maximumC", "  retryPolicy: {enableRetry: false, retryCount: 2}\n  maximumC")),
        ["7:49 R311"],
    ),
    "R312 stop rule alone": (
        edited(("      success: {min: 90%, of: resolved}\n      soak: 1h", "      stopAt: {failed: 5}")),
        ["14:7 R312"],
    ),
    "R310 incremental": (edited(("  maximumC", "  upgradePolicy: incremental\n  maximumC")), ["7:18 R310"]),
}  # fmt: skip


@pytest.mark.parametrize(("content", "expected"), WARNING_CASES.values(), ids=WARNING_CASES.keys())
def test_doubtful_plans_warn(tmp_path, content, expected):
    """What is allowed and probably not meant is loaded, with a warning at its place."""
    assert faults(tmp_path, content) == []
    assert faults(tmp_path, content, warnings=True) == expected


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_edit_breaks_the_reader(tmp_path, data):
    """Whatever is put into a plan, taken out or moved, it is loaded or refused with a complaint."""
    words = re.findall(r"[\w.%]+|\W", GOOD)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(words) - 1))
        new = data.draw(
            st.sampled_from(["", "[]", "{}", "null", "-1", ".nan", "[a]", "{a: b}", "\t", "'", "\n", *words])
        )
        words[at : at + data.draw(st.integers(0, 3))] = [new]
    path = tmp_path / "plan.yaml"
    path.write_text("".join(words))
    try:
        load_plan_file(path, ENOS, now=NOW)
    except PlanError as refused:
        told = [str(complaint) for complaint in refused.complaints]
        assert all(re.match(re.escape(str(path)) + r"(:\d+:\d+)?: R\d{3} ", line) for line in told)
