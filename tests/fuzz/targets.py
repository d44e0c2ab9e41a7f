"""Every reader of what others wrote, as a function of bytes: it may refuse them as documented, and nothing else.

A target returns when the bytes were read or refused; any other exception is a find. What can be said of a good reading
beyond that (a round trip, bytes that bear the answer out) is asserted there. Where a reader takes more than bytes,
their first one chooses it.
"""

import asyncio
import gzip
import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from rollout.codes import CATALOGUE
from rollout.core import events as ev
from rollout.core.campaign_json import campaign_from_json, campaign_to_json
from rollout.core.outcome import Accepted
from rollout.emulator.http.faults import FaultPlan
from rollout.emulator.platform.expression import constraints, matches, parse
from rollout.emulator.platform.refusal import Refusal
from rollout.emulator.platform.search import JOB_FIELDS
from rollout.emulator.population_file import load_fleet_description
from rollout.enos.codes import Operation
from rollout.enos.job_plan import ENOS
from rollout.enos.messages import JobBrief, TokenData
from rollout.enos.translate import Answer, outcome_of_answer, read_reply, strict_object
from rollout.errors import JournalCorrupt, JournalError, PlanError, ServiceError, SettingsError
from rollout.intake.complaints import Complaints
from rollout.intake.device_search import read_search
from rollout.intake.fleet_file import Source, read_rows
from rollout.intake.plan_file import load_plan_file
from rollout.intake.saved_plan import compile_plan, open_saved_plan
from rollout.intake.units import Unreadable
from rollout.journal.codec import decode, encode
from rollout.journal.inbox import Inbox
from rollout.journal.lock import read_holder
from rollout.journal.sqlite import JOURNAL_NAME, SqliteJournal, read_events
from rollout.settings import load_profile

PLANS = Path(__file__).parents[2] / "plans"
ROOM = tempfile.TemporaryDirectory(prefix="fuzz-")
NOW = 1_800_000_000.0


@dataclass(frozen=True)
class Target:
    """`corpus`: bytes to begin from, most of them good. `tokens`: what its language is made of."""

    run: Callable[[bytes], None]
    corpus: Sequence[bytes]
    tokens: Sequence[bytes] = ()


def written(name, data):
    """Write the bytes to a file and return its path."""
    path = Path(ROOM.name) / name
    path.write_bytes(data)
    return path


def assert_told(refusal):
    """A refusal of a document names its file, has known codes, and is shown on one line a fault."""
    for complaint in refusal.complaints:
        assert complaint.code in CATALOGUE
        assert complaint.file.startswith(ROOM.name)
        assert complaint.line >= 0
        assert complaint.column >= 0
        assert "\n" not in complaint.message + complaint.hint


# --- plan files --------------------------------------------------------------------------------------------


def read_plan(data):
    """A plan file; a campaign that is read is the same after it was saved."""
    try:
        document = load_plan_file(written("plan.yaml", data), ENOS, now=NOW)
    except PlanError as refusal:
        assert_told(refusal)
    else:
        saved = json.loads(json.dumps(campaign_to_json(document.campaign)))
        assert campaign_from_json(saved) == document.campaign


def read_fleet_description(data):
    """A description of a made-up fleet."""
    try:
        load_fleet_description(written("fleet.yaml", data))
    except PlanError as refusal:
        assert_told(refusal)


def read_profile(data):
    """A rollout.toml."""
    with suppress(SettingsError):
        load_profile("near", config=written("rollout.toml", data), environment={})


def read_saved_plan(data):
    """A plan.json whose checksum fits, as somebody who edits it may make it."""
    with suppress(ValueError, RecursionError):
        content = json.loads(data)
        if isinstance(content, dict):
            content.pop("checksum", None)
            dumped = json.dumps(content, separators=(",", ":"), sort_keys=True).encode()
            data = json.dumps({"checksum": sha256(dumped).hexdigest(), **content}).encode()
    with suppress(PlanError):
        open_saved_plan(written("plan.json", data)).verify()


def saved_plans():
    """Return a plan.json, and what is left of it without each of its members."""
    whole = json.loads(a_saved_plan())
    return [json.dumps({k: v for k, v in whole.items() if k != gone}).encode() for gone in ("", *whole)]


@cache
def a_saved_plan():
    """Return a plan.json, and leave its devices beside where others are read."""
    written("devices.csv", b"deviceKey\n" + b"".join(b"SN-%05d\n" % n for n in range(30)))
    plan = written("small.yaml", SMALL_PLAN)
    return compile_plan(load_plan_file(plan, ENOS, now=NOW), Path(ROOM.name)).path.read_bytes()


SMALL_PLAN = b"""version: 1
id: c1
name: Small
orgId: o00000000000000
firmwareId: f1
job: {upgradeTimeout: 3600, maximumConcurrency: 10, extra: {a: [1, true, null, 1.5, x]}}
devices: {from: [devices.csv], perJob: 5}
waves:
  - {name: canary, size: 20%, gate: {success: {min: 90%, of: resolved}, soak: 1h}}
  - {name: total, size: rest}
"""
PLAN_TOKENS = (
    *(word.encode() for word in ["version", "id", "name", "orgId", "firmwareId", "seed", "job", "devices", "waves", "size", "gate", "limits"]),
    *(b"upgradeTimeout maximumConcurrency perJob from where exclude spreadBy soak success failed min of".split()),
    *(b"resolved planned rest all canary 1 0 -1 1e400 .nan .inf 0x10 1_000 010 true no null ~ 100% 0.1% 1/3 5/s".split()),
    *(b"99999999999999999999 1h 90d 1970-01-01T00:00:00Z 9999-12-31T23:59:59Z schedule start end retry scope".split()),
    *(b"&a *a <<: !!python/object:os.system --- ... {{ }} [[ ]] ,, :: # | > ' \" \\ \t \xef\xbb\xbf \xc2\xa0 \xe2\x80\xae".split(b" ")),
    b"\n",
    b"\n  ",
    b": ",
    b"- ",
    b"\x00",
    b"\xff\xfe",
)  # fmt: skip

# --- device files ------------------------------------------------------------------------------------------

FORMS = ("csv", "tsv", "txt", "ndjson", "json", "dat", "csv.gz", "json.gz")


def read_fleet(data):
    """A device file of any form; every row has a sound key and the columns that were asked for."""
    form, data = FORMS[data[0] % len(FORMS)] if data else "csv", data[1:]
    path = written(f"devices.{form}", gzip.compress(data, 1) if form.endswith(".gz") else data)
    take_rows(path)


def read_packed_fleet(data):
    """A gzipped device file, damaged."""
    take_rows(written("packed.csv.gz", data))


def read_listed(data):
    """A listing of EnOS's devices, as a plan keeps it, packed."""
    take_rows(written("listing.gz", gzip.compress(data, 1)), listed=True)


def take_rows(path, *, listed=False):
    complaints = Complaints(str(path))
    source = Source(str(path), path, listed=listed)
    for key, values, line in read_rows(source, "deviceKey", ("site",), complaints):
        assert 4 <= len(key) <= 64
        assert key.isascii()
        assert [type(value) for value in values] == [str]
        assert line >= 1
    try:
        complaints.raise_if_failed()
    except PlanError as refusal:
        assert_told(refusal)


FLEETS = (
    b'\0deviceKey,site\nSN-00001,a\nSN-00002,"b, c"\n',
    b"\1deviceKey\tsite\nSN-00001\ta\n",
    b"\2SN-00001\nSN-00002\n",
    b'\3{"deviceKey": "SN-00001", "site": "a"}\n{"deviceKey": "SN-00002", "site": null}\n',
    b'\4[{"deviceKey": "SN-00001", "site": "a"}, "SN-00002"]',
    b"\5deviceKey;site\nSN-00001;a\n",
    b"\6deviceKey,site\nSN-00001,a\n",
    b'\7["SN-00001"]',
)  # fmt: skip
FLEET_TOKENS = (
    *(b'deviceKey site SN-00001 1.23E+15 0012.0 null "" "a"b "a""b" ,, ;; \t\t [[[[ {{{{ ]] }} : {} []'.split(b" ")),
    *(b"\r \r\n \n\n \x00 \xef\xbb\xbf \xff \xe2\x80\x8b \xe2\x80\xae \xd0\xa1N-1 \xef\xbc\xb3N \\ud800 \\u0000 1e999 -0".split(b" ")),
    b"\n",
    b" ",
    b"x" * 300,
)  # fmt: skip

# --- answers -----------------------------------------------------------------------------------------------

STATUSES = (200, 200, 200, 200, 400, 401, 403, 404, 422, 429, 500, 502, 503, 302)
TYPES = ("application/json;charset=UTF-8", "text/html", "")


def read_answer(data):
    """An answer to a create and to reads; a job is believed only where the bytes say so in as many words."""
    first, body = data[0] if data else 0, data[1:]
    answer = Answer(STATUSES[first % len(STATUSES)], body, TYPES[first // len(STATUSES) % len(TYPES)])
    outcome = outcome_of_answer(answer)
    if isinstance(outcome, Accepted):
        document = strict_object(body)
        assert (answer.status, document["code"], document["data"]["jobId"]) == (200, 0, outcome.job_id)
        assert document == json.loads(body)
    for operation, kind in (
        (Operation.READ, list[JobBrief]),
        (Operation.READ, TokenData),
        (Operation.STOP, type(None)),
    ):
        with suppress(ServiceError):
            read_reply(answer, operation, kind)


ANSWERS = (
    b'\0{"code":0,"msg":"OK","requestId":"r1","data":{"jobId":"5f0c2e4b8a0d4e0001a1b2c3"}}',
    b'\0{"code":24404,"msg":"Firmware not found","requestId":"r1","data":null}',
    b'\0{"code":0,"msg":"OK","requestId":"r1","data":[{"jobId":"5f0c2e4b8a0d4e0001a1b2c3","name":{"defaultValue":"c1","i18nValue":{"en_US":"x"}},"type":"upgrade","status":"started","firmwareId":"f1","createTime":1700000000000}],"pagination":{"pageNo":1,"pageSize":200,"totalSize":1,"sortedBy":[]}}',
    b'\5{"requestId":"r1","message":"Unauthorized"}',
    b'\x09{"message":"API rate limit exceeded"}',
    b"\x0e<html>502</html>",
)
ANSWER_TOKENS = (
    *(b'"code" "msg" "data" "jobId" "requestId" "message" "pagination" "totalSize" "createTime" "name" 0 "0" true'.split()),
    *(b"null NaN Infinity -0 1e999 1e-999 99999999999999999999999999 0.0 [] {} [[ {{ ]] }} \\u0000 \\ud800 \xef\xbb\xbf \xff".split()),
    *(str(code).encode() for code in (24400, 24404, 24500, 24616, 99400, 99500, 1203, 429, 11904)),
    b'"code":0,',
    b"[" * 3000,
    b"9" * 5000,
)  # fmt: skip

# --- the languages of searches -----------------------------------------------------------------------------


def read_expression(data):
    """A search expression of the platform's; what it demands of a field is true of every record it matches."""
    with suppress(Refusal):
        expression = parse(data.decode("utf-8", "replace"), JOB_FIELDS)
        record = dict.fromkeys((name for name in JOB_FIELDS if "*" not in name), "a")
        if matches(expression, record.get):
            assert all(
                "a" in values for field, values in constraints(expression).values.items() if field in record
            )


def read_device_search(data):
    """A search for devices, as a plan names it."""
    with suppress(Unreadable):
        read_search("enos:" + data.decode("utf-8", "replace"))


EXPRESSIONS = (
    b"firmwareId='f1' and type=\"upgrade\"",
    b"name like 'c1-w01-' and (status='started' or not status in ('a', 'b'))",
    b"not not exists(name)",
)
EXPRESSION_TOKENS = (
    *(b"firmwareId name type status jobId like in and or not exists ( ) ' \" = != , a 'a' ('a','b') true 1 1.5 -1".split()),
    b" ",
    b"(" * 60,
    b"not " * 60,
    "\u00e9\u202e".encode(),
)  # fmt: skip
SEARCHES = (
    b"productKey=inverter-x and firmwareVersion=1|2",
    b"tag.site like 'a' & exists(attribute.x) and not exists(tag.y)",
)
SEARCH_TOKENS = (
    *(b"productKey firmwareVersion deviceKey tag. attribute. like in and or not exists ( ) ' \" = != | & , x".split()),
    b" ",
    b"a|" * 300,
)  # fmt: skip

FAULTS = (
    b"commit_then_drop=0.2",
    b"error_503=1,on=search+get,from=60,until=120",
    b"http_429=0.1,seconds=3,limit=5",
    b"error_503=1,on=search+get,from=60,until=nan",
    b"delay=0.1234567",
)
FAULT_TOKENS = (
    *(b"commit_then_drop http_429 on= from= until= limit= seconds= nan inf -1 1e400 , = + create search 0x1".split()),
)  # fmt: skip


def read_fault(data):
    """A fault as the emulator is told it; what was read is written as it is read."""
    with suppress(ValueError):
        plan = FaultPlan.parse([data.decode("utf-8", "replace")])
        assert FaultPlan.parse(map(str, plan.faults)) == plan


# --- what a campaign keeps ---------------------------------------------------------------------------------

KINDS = tuple(sorted(ev.EVENTS))


def read_event(data):
    """An event of a journal; what was read is written as it is read."""
    kind = KINDS[data[0] % len(KINDS)] if data else "no.such"
    with suppress(JournalCorrupt):
        event = decode(kind, data[1:].decode("utf-8", "surrogateescape"))
        if kind not in ev.EPHEMERAL:
            assert decode(kind, encode(event)) == event


STORY = (
    ev.CampaignStarted(1.0, "c1", "d1", 10, 2, 1),
    ev.EngineStarted(2.0, "host:1", "0", 60.0, 5.0, paranoid=True),
    ev.BatchCreateSent(3.0, 0, 1, "c1-w01-b000001-abcdefabcdef."),
    ev.BatchJobCreated(4.0, 0, 1, "j1"),
    ev.BatchJobDuplicated(5.0, 0, "j1", ("j2", "j3")),
    ev.WaveAudited(6.0, 0, 5.0, 3, (1, 2), ("x", "y")),
)
EVENTS = tuple(bytes([KINDS.index(event.kind)]) + encode(event).encode() for event in STORY)
EVENT_TOKENS = (
    *(b'"at" "batch" "attempt" "name" "wave" "others" null true NaN -1 1e999 0.5 [] {} "\\ud800" 99999999999999999999'.split()),
    b"[" * 3000,
    b"9" * 5000,
)  # fmt: skip


def read_lock(data):
    """The record beside a journal, which nobody but its holder writes."""
    written("journal.lock", data)
    with suppress(JournalError):
        str(read_holder(Path(ROOM.name)))


def read_order(data):
    """An order in a campaign's inbox: taken, or set aside, and never met again."""
    inbox = Inbox(Path(ROOM.name))
    inbox.directory.mkdir(exist_ok=True)
    written("inbox/1-a.json", data)
    for order in inbox.waiting():
        asyncio.run(inbox.done(order.id))
    assert not inbox.waiting()


ORDERS = (
    b'{"verb":"pause","by":"ana","reason":"storm","id":"0123456789abcdef0123456789abcdef"}',
    b'{"verb":"abort","by":"ana","reason":"","stop_jobs":true,"cancel_pending":false,"id":"0123456789abcdef0123456789abcdef"}',
)

JOURNAL_FILES = (JOURNAL_NAME, f"{JOURNAL_NAME}-wal")
WAVES = 300


@cache
def a_killed_journal():
    """Return the files of a journal whose life was cut off with its events still in the write-ahead log, and its record."""
    import asyncio

    async def live(directory):
        journal = SqliteJournal.create(directory, "c1", "d1", linger_s=0)
        for first in range(0, WAVES, 20):
            await journal.append([ev.WaveOpened(float(n), n) for n in range(first, first + 20)])
        files = {name: (directory / name).read_bytes() for name in (*JOURNAL_FILES, "journal.lock")}
        await journal.aclose()
        return files

    with tempfile.TemporaryDirectory() as place:
        return asyncio.run(live(Path(place)))


def read_journal(data):
    """A journal's two files with some bytes changed or cut off.

    It is refused, or what it says is what was written, up to some event, and the next life does not trust it to be all.
    Each six bytes are one change: file and how, where, and how much.
    """
    files = {name: bytearray(content) for name, content in a_killed_journal().items()}
    for at in range(0, len(data) - 5, 6):
        content = files[JOURNAL_FILES[data[at] & 1]]
        place = int.from_bytes(data[at + 1 : at + 5], "big") % (len(content) or 1)
        if data[at] & 2:
            del content[place:]
        elif content:
            content[place] ^= data[at + 5] or 1
    with tempfile.TemporaryDirectory(dir=ROOM.name) as place:
        directory = Path(place)
        for name, content in files.items():
            (directory / name).write_bytes(content)
        with suppress(JournalError):
            told = [event for _, event in read_events(directory)]
            assert told == [ev.WaveOpened(float(n), n) for n in range(len(told))]
            journal = SqliteJournal.open(directory, linger_s=0)
            try:
                assert list(journal.read()) == told
                assert journal.older_than_lock or not journal.was_clean
            finally:
                journal._connection.close()
                journal._lock.release()
                journal._writer.shutdown()


TARGETS = {
    "plan": Target(read_plan, (SMALL_PLAN, *(path.read_bytes() for path in sorted(PLANS.glob("*.yaml")))), PLAN_TOKENS),
    "fleet description": Target(
        read_fleet_description, [path.read_bytes() for path in sorted(PLANS.glob("fleets/*.yaml"))], PLAN_TOKENS
    ),
    "profile": Target(
        read_profile,
        [b'default_profile = "near"\n[profiles.near]\nurl = "http://127.0.0.1:1"\nlatest_effect = "1s"\nsearch_lag = "500ms"\n'],
        [b"[profiles.near]", b"url", b"=", b'"https://u:p@x/../"', b"1979-05-27", b"nan", b"[[", b'"""', b"\n", b"env:X"],
    ),
    "saved plan": Target(read_saved_plan, saved_plans(), [b"null", b"-1", b"[]", b"{}", b'"x"', b"1e999", b"true", b"0"]),
    "fleet": Target(read_fleet, FLEETS, FLEET_TOKENS),
    "listing": Target(
        read_listed,
        [
            b'["SN-00001", {"site": "a"}]\n["SN-00002", {}]\n',
            b'["SN-00001", 1]\n',
            b'["SN-00001", {"site": 1}]\n',
            b"[" * 3000,
        ],
        [b"1", b"null", b'"x"', b"[]", b"{}", b"[" * 3000, b"9" * 5000, b"\\ud800", b"1e999"],
    ),
    "packed fleet": Target(read_packed_fleet, [gzip.compress(FLEETS[0][1:], mtime=0)]),
    "answer": Target(read_answer, ANSWERS, ANSWER_TOKENS),
    "expression": Target(read_expression, EXPRESSIONS, EXPRESSION_TOKENS),
    "device search": Target(read_device_search, SEARCHES, SEARCH_TOKENS),
    "fault": Target(read_fault, FAULTS, FAULT_TOKENS),
    "event": Target(read_event, EVENTS, EVENT_TOKENS),
    "lock": Target(read_lock, [b'{"host": "h", "pid": 1, "since": 1.0, "beat_at": 2.0, "epoch": 3, "seq": 4}'], ANSWER_TOKENS),
    "order": Target(read_order, ORDERS, ANSWER_TOKENS),
    "journal": Target(read_journal, [b"\0\0\0\x10\0\1", b"\3\0\0\xff\0\0", b"\1\0\0\x30\0\x80"]),
}  # fmt: skip
