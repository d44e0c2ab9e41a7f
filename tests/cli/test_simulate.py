"""simulate: the page, the document, what is refused, and every plan we ship."""

import asyncio
import json
import signal
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest

from rollout.emulator.platform.population import Population
from rollout.intake.saved_plan import open_saved_plan
from rollout.journal.sqlite import SqliteJournal
from rollout.simulation.world import Scenario, World

PLANS = Path(__file__).parents[2] / "plans"
CASES = [
    ("approval.yaml", None),
    ("by-tags.yaml", "meters.yaml"),
    ("canary-then-total.yaml", "mixed.yaml"),
    ("from-enos.yaml", "old-radio.yaml"),
    ("smallest.yaml", None),
    ("verify-first.yaml", "healthy.yaml"),
]

NUMBER = {"type": "number"}
FIGURES = {
    "anyOf": [
        {"type": "null"},
        {
            "type": "object",
            "required": ["median", "p90", "max"],
            "properties": {"median": NUMBER, "p90": NUMBER, "max": NUMBER},
        },
    ]
}
SHARE = {
    "type": "object",
    "required": ["runs", "of", "share", "low", "high"],
    "properties": {name: {"type": "number", "minimum": 0} for name in ("runs", "of", "share", "low", "high")},
}
CALLS = {
    "type": "object",
    "required": ["total", "minutePeak", "minuteAllowed"],
    "properties": {"total": FIGURES, "minutePeak": FIGURES, "minuteAllowed": NUMBER},
}
WAVE_TIMES = ("openedSeconds", "passedSeconds", "finishedSeconds")
RATE_FIGURES = (
    "finishSeconds",
    "stopSeconds",
    "exposed",
    "failed",
    "exposedLater",
    "failedLater",
    "openAtEnd",
    "neverEnded",
    "stragglers",
    "devicesAtOnce",
)
RATE = {
    "type": "object",
    "required": ["rate", "label", "runs", "finished", "stopped", "waiting", "stops", *RATE_FIGURES, "waves"],
    "properties": {
        "rate": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "label": {"type": "string"},
        **dict.fromkeys(("finished", "stopped", "waiting"), SHARE),
        **dict.fromkeys(RATE_FIGURES, FIGURES),
        **dict.fromkeys(("creates", "reads"), CALLS),
        "stops": {"type": "array", "items": {"required": ["wave", "reason", "runs"]}},
        "waves": {
            "type": "array",
            "items": {
                "required": ["name", "passed", *WAVE_TIMES],
                "properties": {"passed": SHARE, **dict.fromkeys(WAVE_TIMES, FIGURES)},
            },
        },
    },
}
SCHEMA = {
    "type": "object",
    "required": ["schema", "schemaVersion", "campaignId", "planDigest", "devices", "jobs", "waves", "fleet"],
    "properties": {
        "schema": {"const": "rollout.simulate/1"},
        "schemaVersion": {"const": 1},
        "start": {"type": "integer"},
        "startIso": {"type": "string"},
        "runsAsked": {"type": "integer"},
        "runsDone": {"type": "integer"},
        "rates": {"type": "array", "items": RATE, "minItems": 1},
        "warnings": {"type": "array", "items": {"required": ["kind", "text"]}},
    },
}
"""What programs may rely on for as long as `schemaVersion` is 1; fields may be added."""


def test_every_plan_we_ship_is_simulated():
    """The table of cases leaves none out."""
    assert [name for name, _ in CASES] == sorted(path.name for path in PLANS.glob("*.yaml"))


@pytest.mark.parametrize(("plan", "fleet"), CASES)
def test_each_shipped_plan_gives_its_document(desk, plan, fleet):
    """Every run ends, a build that fails everywhere never reaches more devices than it fails on, nothing is left behind."""
    given = [] if fleet is None else ["--fleet", PLANS / "fleets" / fleet]
    seeds = 1 if plan == "from-enos.yaml" else 2
    line = ("simulate", PLANS / plan, *given, "--seeds", str(seeds), "--jobs", "1", "-o", "json", "-q")
    result = desk(*line)
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    jsonschema.validate(document, SCHEMA)
    assert document["runsDone"] == document["runsAsked"] == 5 * seeds
    assert [rate["label"] for rate in document["rates"]] == ["healthy", "1%", "5%", "20%", "100%"]
    worst = document["rates"][-1]
    assert worst["failed"]["max"] <= worst["exposed"]["max"]
    if plan != "smallest.yaml":
        assert worst["stopped"]["share"] == 1.0
        assert worst["exposed"]["max"] <= 160
    assert not (desk.path / ".rollout").exists()


def test_the_page_is_one_screen(desk):
    """Fleet, runs, a line for each build, the course of the healthy one, and what to know; also of a saved plan."""
    desk("plan", "plan.yaml")
    for plan in ("plan.yaml", ".rollout/small/plan.json"):
        result = desk("simulate", plan, "--seeds", "5", "--rates", "healthy,100%", "--jobs", "1")
        assert (result.exit_code, result.stderr) == (0, "")
        lines = result.stdout.splitlines()
        assert lines[0] == "Simulated  small · 40 devices in 2 waves, 4 jobs · from Thu 2026-01-01 00:00 UTC"
        assert lines[1].startswith("Fleet      standard devices")
        assert [line.split()[0] for line in lines[4:7]] == ["BUILD", "healthy", "100%"]
        assert "100% (57-100%)" in lines[6]
        assert "canary: " in lines[6]
        assert [line.split()[0] for line in lines[9:16]] == [
            "Finish",
            "Wave",
            "Wave",
            "Creates",
            "Reads",
            "At",
            "Sleepers",
        ]
        assert "Warnings" in lines
        assert max(map(len, lines)) <= 150


def test_the_same_command_prints_the_same_bytes(desk):
    """In other processes, and in other numbers of them; whatever order the runs end in."""
    line = ("simulate", "plan.yaml", "--seeds", "3", "--rates", "healthy,20%", "-o", "json")
    one, two = desk.run(*line, "--jobs", "1"), desk.run(*line, "--jobs", "2")
    assert one.returncode == two.returncode == 0, one.stderr + two.stderr
    assert one.stdout == two.stdout
    other = desk.run(*line, "--jobs", "1", "--start", "2026-07-01T12:00:00Z")
    assert json.loads(other.stdout)["startIso"] == "2026-07-01T12:00:00.000Z"


class Reader(HTMLParser):
    """Takes a page apart: tags, attributes and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.words, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "br", "path", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("path", "circle"):
            assert self.open.pop() == tag, "tags are closed in their order"

    def handle_data(self, data):
        self.words.append(data)


def test_the_html_page_stands_alone(desk):
    """Plots, table and warnings in one file that loads nothing and runs nothing; the result still goes to stdout."""
    result = desk(
        "simulate",
        "plan.yaml",
        "--seeds",
        "3",
        "--rates",
        "healthy,100%",
        "--jobs",
        "1",
        "--html",
        "page.html",
    )
    assert result.exit_code == 0
    assert "Simulated" in result.stdout
    text = (desk.path / "page.html").read_text()
    page = Reader(text)
    assert page.open == []
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name in ("src", "href") or name.startswith("on")]
    assert page.tags.count("svg") == 3, "exposure by rate, and a course for each build"
    words = " ".join(page.words)
    for told in (
        "What to know before running it",
        "devices exposed",
        "100% build",
        "time from the start",
        "healthy",
    ):
        assert told in words


def test_the_html_page_shows_text_as_text(desk):
    """A campaign's name, a wave's and a file's are shown, never obeyed."""
    (desk.path / "<b>fleet.yaml").write_text("version: 1\nfailed: 5%\n")
    plan = (desk.path / "plan.yaml").read_text()
    (desk.path / "plan.yaml").write_text(
        plan.replace("name: Small campaign", "name: '<script>alert(1)</script>&'")
    )
    given = ("--seeds", "1", "--rates", "healthy", "--jobs", "1", "--fleet", "<b>fleet.yaml")
    assert desk("simulate", "plan.yaml", *given, "--html", "page.html").exit_code == 0
    text = (desk.path / "page.html").read_text()
    assert "<h1>&lt;script&gt;alert(1)&lt;/script&gt;&amp;</h1>" in text
    assert "<b>fleet" not in text


@pytest.fixture
def ended(desk):
    """The small campaign, carried out in virtual time, with its journal where a run would have left it."""
    assert desk("plan", "plan.yaml").exit_code == 0
    saved = open_saved_plan(desk.campaign / "plan.json")
    plan, manifest = saved.plan, saved.manifest
    keys = [key for batch in plan.batches for key in manifest.keys(batch.start, batch.stop)]
    fleet = Population(failed_ratio=0.02, work_s_median=900.0)
    with World(Scenario(3, plan, manifest, [(key, {}) for key in keys], population=fleet)) as world:
        world.boot()
        assert world.run(86_400.0)
        events = list(world.disk.read())

    async def keep():
        journal = SqliteJournal.create(desk.campaign, plan.campaign.id, plan.digest)
        await journal.append(events)
        await journal.aclose()

    asyncio.run(keep())
    return desk


def test_against_a_campaign_that_is_over(ended):
    """Its own durations and exposure beside the predicted ones, in text and as a document."""
    line = ("simulate", "--against", "small", "--seeds", "5", "--jobs", "1")
    result = ended(*line)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert [text.split()[0] for text in lines[:3]] == ["Campaign", "Estimated", "Simulated"]
    assert lines[4].split() == ["ACTUAL", "PREDICTED", "10%", "90%", "OFF", "BY"]
    assert [text.rsplit("  ")[0].strip() for text in lines[5:]] == [
        "canary: gate",
        "canary: through",
        "total: gate",
        "total: through",
        "campaign",
        "devices exposed",
        "devices failed",
    ]
    document = json.loads(ended(*line, "-o", "json").stdout)
    assert (document["schema"], document["schemaVersion"]) == ("rollout.calibration/1", 1)
    assert (document["ending"], document["runsDone"]) == ("finished", 5)
    assert document["estimated"]["devices"] == 40
    campaign = next(row for row in document["rows"] if row["what"] == "campaign")
    assert abs(campaign["offBy"]) < 0.25


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--against", "nothing"], "no campaign 'nothing'"),
        (["--against", "../x"], "no campaign '../x'"),
        (["--against", "small"], "campaign small was never run"),
        (["plan.yaml", "--against", "small"], "are the campaign's own"),
        (["--against", "small", "--html", "x.html"], "are the campaign's own"),
    ],
)
def test_against_nothing_is_refused(desk, arguments, told):
    """Exit 2 and the reason, for a campaign that is not there, was never run, or is given besides a plan."""
    desk("plan", "plan.yaml")
    result = desk("simulate", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr


def test_an_interrupt_prints_what_is_there(desk):
    """Ctrl-C ends the study, not its result: the page of the runs that were done, and exit 130."""
    process = desk.begin("simulate", "plan.yaml", "--seeds", "20000", "--jobs", "2", "-o", "json")
    desk.wait_for(process, " runs, ")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    document = json.loads(out)
    assert 0 < document["runsDone"] < document["runsAsked"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["absent.yaml"], "absent.yaml: R100 cannot be read"),
        (["plan.yaml", "--rates", "5%,bad"], "expected 'healthy' and shares such as 5%"),
        (["plan.yaml", "--rates", "101%"], "expected 'healthy' and shares such as 5%"),
        (["plan.yaml", "--rates", ",".join(f"{n}%" for n in range(21))], "at most 20 rates, got 21"),
        (["plan.yaml", "--seeds", "0"], "expected a whole number from 1 to 100,000"),
        (["plan.yaml", "--jobs", "0"], "expected a whole number from 1 to 256"),
        (["plan.yaml", "--start", "1764000000"], "expected a time such as 2026-11-23T08:00:00Z"),
        (["plan.yaml", "--start", "tomorrow"], "--start"),
        (["plan.yaml", "--approve-after", "soon"], "expected a duration such as"),
        (["plan.yaml", "--fleet", "devices.csv"], "is no YAML file; a list of devices goes to --devices"),
        (["plan.yaml", "--fleet", "absent.yaml"], "absent.yaml: R100 cannot be read"),
        (["plan.yaml", "--html", "nowhere/page.html"], "its directory does not exist"),
        (["plan.yaml", "--html", "plan.yaml"], "is an input of this command"),
        (["plan.yaml", "--profile", "nobody"], "no profile 'nobody'"),
        ([], "Missing argument 'PLAN'"),
    ],
)
def test_a_wrong_call_is_refused_before_anything_runs(desk, arguments, told):
    """Exit 2, the reason on standard error, nothing on standard output."""
    result = desk("simulate", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert "Traceback" not in result.stderr
