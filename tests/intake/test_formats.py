"""Saved plans of every format that was ever written open for ever, with their own digests, names and meaning."""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

import rollout
from rollout.core import campaign as values
from rollout.core import campaign_json
from rollout.core.campaign_json import (
    CAMPAIGN_DEFAULTS,
    PLAN_FORMAT,
    campaign_from_json,
    campaign_to_json,
    canonical,
)
from rollout.core.names import batch_name
from rollout.enos.job_plan import ENOS
from rollout.errors import PlanError
from rollout.intake.plan_file import load_plan_file
from rollout.intake.saved_plan import compile_plan, open_saved_plan

SAVED = Path(__file__).parent / "saved"
FORMATS = ["format_1", "format_2"]


def facts(name):
    """The digest and the job names that were noted when the plan was saved."""
    first, *names = (SAVED / name / "names.txt").read_text().splitlines()
    return first.rpartition(" ")[2], names


def edited(directory, name, change):
    """A copy of a saved plan in which `change` edited the JSON, with a checksum that fits; as a program writes it."""
    shutil.copytree(SAVED / name, directory, dirs_exist_ok=True)
    path = directory / "plan.json"
    data = json.loads(path.read_text())
    change(data)
    del data["checksum"]
    data["checksum"] = hashlib.sha256(canonical(data)).hexdigest()
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_a_saved_plan_opens_as_it_was_saved(name):
    """Its digest and the names of all its jobs are those noted when it was saved, and every batch is verified."""
    saved = open_saved_plan(SAVED / name / "plan.json")
    digest, names = facts(name)
    assert saved.plan.digest == digest
    assert [batch_name("saved", batch) for batch in saved.plan.batches] == names
    saved.verify()


def test_both_formats_say_the_same():
    """The same plan file, saved in either format, is the same campaign and recognised as the same plan."""
    one, two = (open_saved_plan(SAVED / name / "plan.json") for name in FORMATS)
    assert one.plan.campaign == two.plan.campaign
    assert one.plan.digest != two.plan.digest
    assert one.is_same_as(two)
    assert two.is_same_as(one)


def test_planning_again_is_recognised(tmp_path):
    """A plan file planned by this program is the plan that an older one saved; a changed one is not."""
    for name in ("plan.yaml", "devices.csv"):
        shutil.copy(SAVED / name, tmp_path)
    begun = open_saved_plan(SAVED / "format_1" / "plan.json")
    again = compile_plan(load_plan_file(tmp_path / "plan.yaml", ENOS, now=1.79e9), tmp_path / "out")
    assert again.is_same_as(begun)
    text = (tmp_path / "plan.yaml").read_text()
    for before, after in (("soak: 90m", "soak: 91m"), ("seed: 5", "seed: 6"), ("perJob: 20", "perJob: 21")):
        assert before in text
        (tmp_path / "plan.yaml").write_text(text.replace(before, after))
        other = compile_plan(load_plan_file(tmp_path / "plan.yaml", ENOS, now=1.79e9), tmp_path / "out")
        assert not other.is_same_as(begun), after


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["campaign"]["waves"][0]["gate"].update(speed=1),
        lambda data: data["campaign"]["waves"][0]["job"].update(speed=1),
        lambda data: data["campaign"].update(speed=1),
        lambda data: data["campaign"]["waves"][1]["gate"].update(on_fail="rollback"),
        lambda data: data["campaign"]["waves"][4]["size"].update(kind="sample"),
        lambda data: data.update(speed=1),
        lambda data: data["manifest"].update(schema="rollout.devices/2"),
        lambda data: data.update(schema=f"rollout.plan/{PLAN_FORMAT + 1}"),
    ],
    ids=["gate", "job", "campaign", "word", "size", "member", "manifest", "format"],
)
def test_what_a_newer_program_wrote_is_refused_with_its_version(tmp_path, change):
    """A field, word or format of a newer program is R181 and names the version that is needed, never half understood."""

    def newer(data):
        change(data)
        data["savedBy"] = "7.8.9"

    with pytest.raises(PlanError) as refused:
        open_saved_plan(edited(tmp_path, "format_2", newer))
    (complaint,) = refused.value.complaints
    assert complaint.code == "R181"
    assert "rollout 7.8.9 or newer" in complaint.hint


@pytest.mark.parametrize("name", FORMATS)
def test_a_changed_value_is_damage(tmp_path, name):
    """A value changed with a checksum that fits is still found: by the plan's digest."""

    def change(data):
        data["campaign"]["waves"][1]["gate"]["soak_s"] = 1.0

    with pytest.raises(PlanError, match="R182"):
        open_saved_plan(edited(tmp_path, name, change))


@pytest.mark.parametrize("part", ["gate", "job"])
@pytest.mark.parametrize("act", ["more", "less"])
def test_format_1_has_the_fields_it_had(tmp_path, part, act):
    """Format 1 wrote every field; a plan of it with one more or one less was not written by any program."""

    def change(data):
        fields_of = data["campaign"]["waves"][1][part]
        if act == "more":
            fields_of["speed"] = 1
        else:
            fields_of.popitem()

    with pytest.raises(PlanError, match="R182"):
        open_saved_plan(edited(tmp_path, "format_1", change))


def test_a_field_at_its_default_is_not_written():
    """The smallest campaign is written in five fields, and comes back whole."""
    rest = values.Wave("all", values.Rest(), values.JobSpec())
    smallest = values.Campaign("c", values.Localized("C"), "o", "f", (rest,))
    written = campaign_to_json(smallest)
    assert written == {
        "id": "c",
        "name": {"default": "C"},
        "org_id": "o",
        "firmware_id": "f",
        "waves": [{"name": "all", "size": {"kind": "rest"}, "job": {}}],
    }
    assert campaign_from_json(written) == smallest


CLASSES = [
    kind
    for kind in vars(values).values()
    if isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == values.__name__
]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_defaults_are_pinned(kind):
    """Each default is pinned for the format that is written, or is empty: later defaults change no saved campaign.

    Fails where a default was changed: then begin a new format (see the opening of `core.campaign_json`).
    """
    pinned = CAMPAIGN_DEFAULTS[PLAN_FORMAT].get(kind.__name__, {})
    hints = get_type_hints(kind)
    own = {each.name: each for each in fields(kind)}
    assert pinned.keys() <= own.keys()
    for name, each in own.items():
        if each.default is MISSING and each.default_factory is MISSING:
            assert name not in pinned
            continue
        default = each.default if each.default_factory is MISSING else each.default_factory()
        if name in pinned:
            assert campaign_json._encode(default) == pinned[name], name
        else:
            assert default in (None, False, (), {}), f"{kind.__name__}.{name} is to be pinned"
            assert campaign_json._empty(hints[name]) is not campaign_json._NONE, get_args(hints[name])


LATER = """\
import sys
from pathlib import Path

path = Path(sys.argv[1]) / "rollout/core/campaign.py"
text = path.read_text()
for kind, field in (
    ("Gate", "    error_codes: tuple[str, ...] = ()"),
    ("JobSpec", "    region: str | None = None"),
    ("Campaign", "    owner: str | None = None"),
    ("Wave", "    paused: bool = False"),
    ("Limits", "    per_site: Mapping[str, int] = field(default_factory=dict)"),
):
    end = text.index(f"class {kind}:")
    end = text.find("\\n\\n\\n", end)
    end = len(text) if end < 0 else end
    text = text[:end].rstrip() + "\\n" + field + "\\n" + text[end:]
for old, new in (
    ("on_fail: OnFail = OnFail.PAUSE", "on_fail: OnFail = OnFail.ABORT"),
    ("upgrade_timeout_s: int = 7200", "upgrade_timeout_s: int = 3600"),
    ("maximum_concurrency: int | None = 300", "maximum_concurrency: int | None = 10"),
    ("stragglers_after_s: float = 7200.0", "stragglers_after_s: float = 60.0"),
    ("spread_by: str | None = None", "spread_by: str | None = 'site'"),
    ("rate=10.0, burst=5", "rate=1.0"),
):
    assert old in text, old
    text = text.replace(old, new)
path.write_text(text)
"""

SHOW = """\
import sys
from rollout.core import campaign
from rollout.core.names import batch_name
from pathlib import Path
from rollout.intake.saved_plan import open_saved_plan

for name in sys.argv[1:]:
    saved = open_saved_plan(Path(name))
    saved.verify()
    plan = saved.plan
    print(plan.digest)
    for batch in plan.batches:
        print(batch_name(plan.campaign.id, batch))
    limits = plan.campaign.limits
    print(plan.campaign.stragglers_after_s, limits.create, limits.read, limits.devices_in_progress)
    for wave in plan.campaign.waves:
        gate, job = wave.gate, wave.job
        print(wave.name, wave.size, wave.spread_by, gate and (gate.on_fail, gate.stop, gate.soak_s, gate.success))
        print(job.upgrade_timeout_s, job.maximum_concurrency, job.retry, job.schedule, job.grows, job.platform)
print(campaign.Gate(), len(campaign.Gate.__slots__), file=sys.stderr)
"""


def shown(root):
    """What a program whose package lies in `root` says of all kept plans."""
    plans = [str(SAVED / name / "plan.json") for name in FORMATS]
    done = subprocess.run(
        [sys.executable, "-c", SHOW, *plans], cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout, done.stderr


def test_a_later_program_reads_what_was_saved_before(tmp_path):
    """With new fields in five classes and other defaults in five places, digests, names and meaning stay."""
    package = Path(rollout.__file__).parent
    shutil.copytree(package, tmp_path / "rollout", ignore=shutil.ignore_patterns("__pycache__"))
    before, now = shown(tmp_path)
    subprocess.run([sys.executable, "-c", LATER, str(tmp_path)], check=True)
    after, later = shown(tmp_path)
    assert after == before
    assert now != later, "the later program is another one"
