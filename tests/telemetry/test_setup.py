"""Log lines: one a record, redacted and escaped; an outlet that fails never delays the caller."""

import json
import os
import stat

import pytest
import structlog

from rollout.errors import SettingsError
from rollout.telemetry.redact import Redactor
from rollout.telemetry.setup import LogFormat, Outlet, configure, console_line, json_line
from rollout.telemetry.sink import LineSink, open_log

SECRET = "cAnAry-secret-77"


@pytest.fixture(autouse=True)
def restored():
    """Leave structlog as it was for other tests."""
    yield
    structlog.reset_defaults()


def records(path, *calls, least="debug"):
    """Return the lines that `calls` on a logger leave in a log file."""
    redactor = Redactor()
    redactor.learn(SECRET)
    sink = open_log(path)
    configure([Outlet(sink, LogFormat.JSON, least)], redactor=redactor, clock=lambda: 1_795_429_452.5)
    for call in calls:
        call(structlog.get_logger())
    sink.close()
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_a_record_has_time_level_name_and_its_fields(tmp_path):
    """What a log reader filters by stands in fields of its own."""
    (line,) = records(
        tmp_path / "log", lambda log: log.warning("batch.outcome_unknown", batch="canary/0001", code=24500)
    )
    assert line == {
        "timestamp": "2026-11-23T10:24:12.500Z",
        "ts": 1_795_429_452_500,
        "level": "warning",
        "event": "batch.outcome_unknown",
        "batch": "canary/0001",
        "code": 24500,
    }


def test_a_record_handed_over_whole_is_as_flat_as_one_in_keywords(tmp_path):
    """Fields handed over as one value, as the event log does, are redacted as well."""
    whole, apart, secret = records(
        tmp_path / "log",
        lambda log: log.info("x", fields={"jobId": "j1", "code": 0}),
        lambda log: log.info("x", jobId="j1", code=0),
        lambda log: log.info("x", fields={"message": f"so: {SECRET}"}),
    )
    assert whole == apart
    assert whole["jobId"] == "j1"
    assert secret["message"] == "so: ***"


def test_one_line_a_record_whatever_is_in_it(tmp_path):
    """A line feed forges no record, an escape repaints no terminal, a direction mark turns nothing round."""
    path = tmp_path / "log"
    (line,) = records(
        path, lambda log: log.info("x", message="a\n{}\r\x1b[2J\u202e", nested={"k\n": ["\x9b"]})
    )
    assert line["message"] == "a\\x0a{}\\x0d\\x1b[2J\\u202e"
    assert line["nested"] == {"k\\x0a": ["\\x9b"]}
    assert path.read_bytes().count(b"\n") == 1


@pytest.mark.parametrize("form", LogFormat)
@pytest.mark.parametrize("sign", ["\n", "\r", "\x1b[2J", "\x7f", "\x9b", "\u202e"])
def test_every_outlet_escapes_what_would_act_on_a_terminal(tmp_path, form, sign):
    """Each sign on its own, in plain text and as JSON."""
    sink = open_log(tmp_path / "log")
    configure([Outlet(sink, form)])
    structlog.get_logger().info("x", message=f"before{sign}after")
    sink.close()
    written = (tmp_path / "log").read_text()
    assert sign not in written.removesuffix("\n")
    assert "before\\" in written


def test_no_secret_passes(tmp_path):
    """Neither as a value nor inside a text, nor as a field's name."""
    path = tmp_path / "log"
    records(
        path,
        lambda log: log.error(
            SECRET.join(("a", "b")), headers={"apim-accesstoken": "unknown-0"}, extra=[SECRET]
        ),
    )
    assert SECRET.encode() not in path.read_bytes()
    assert b"unknown-0" not in path.read_bytes()


def test_each_outlet_has_its_own_least_level(tmp_path):
    """The file keeps all; a terminal may ask for less."""
    assert records(tmp_path / "a", lambda log: log.debug("x"), least="info") == []
    assert len(records(tmp_path / "b", lambda log: log.debug("x"))) == 1


def test_huge_integers_are_written(tmp_path):
    """The platform may send any number as a code; the fast encoder takes 64 bits only."""
    (line,) = records(tmp_path / "log", lambda log: log.info("x", code=10**30))
    assert line["code"] == 10**30


def test_the_log_file_is_private_and_appended_to(tmp_path):
    """Mode 0600 from the start, and a torn last line of a killed process is ended first."""
    path = tmp_path / "log"
    path.write_bytes(b'{"torn":')
    records(tmp_path / "new", lambda log: log.info("x"))
    sink = open_log(path)
    sink.write(b"{}\n")
    sink.close()
    assert path.read_bytes() == b'{"torn":\n{}\n'
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_only_a_plain_file_is_a_log(tmp_path, kind):
    """A link or a pipe planted in its place is refused."""
    path = tmp_path / "log"
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(SettingsError):
        open_log(path)


def test_a_reader_that_went_away_costs_lines_and_nothing_else():
    """Writing to a closed pipe drops and counts; it never raises."""
    reader, writer = os.pipe()
    os.close(reader)
    sink = LineSink(writer, owned=True)
    sink.write(b"lost\n")
    sink.close()
    assert sink.dropped == 1
    sink.write(b"too late\n")
    assert sink.dropped == 2


def test_a_reader_that_sleeps_never_blocks_the_writer():
    """With the pipe full and the queue full, further lines are dropped at once; closing gives up in time."""
    reader, writer = os.pipe()
    sink = LineSink(writer, owned=False, lines_max=10)
    line = b"x" * 4095 + b"\n"
    for _ in range(200):
        sink.write(line)
    assert sink.dropped > 0
    sink.close(wait_s=0.01)
    while sink._thread.is_alive():
        os.read(reader, 65_536)
    os.close(reader)
    os.close(writer)


def test_a_full_disk_costs_lines_and_nothing_else():
    """A device without room drops and counts."""
    sink = LineSink(os.open("/dev/full", os.O_WRONLY), owned=True)
    sink.write(b"lost\n")
    sink.close()
    assert sink.dropped == 1


def test_the_console_form_reads_like_a_sentence():
    """Time, name, pairs; words with spaces are quoted; the campaign, known to the reader, is left out."""
    fields = {
        "timestamp": "2026-11-23T08:06:13.420Z",
        "ts": 1,
        "level": "warning",
        "event": "batch.create_throttled",
        "campaignId": "x",
        "seq": 3,
        "wave": "canary",
        "reason": "slow down",
        "wait_s": 2.0,
        "code": None,
    }
    assert console_line(fields) == (
        b'2026-11-23T08:06:13.420Z WARNING batch.create_throttled wave=canary reason="slow down" wait_s=2\n'
    )
    assert json_line({"a": 1}) == b'{"a":1}\n'


def test_people_read_moments_and_programs_read_seconds():
    """A field whose name says that it is a time is a date on the console and a number in JSON; a length of time is a number in both."""
    fields = {"timestamp": "t", "event": "gate.held", "until": 1795420569.699, "retryAt": 0.5, "waitS": 1.5}
    assert console_line(fields) == (
        b"t gate.held              until=2026-11-23T07:56:09.699Z retryAt=1970-01-01T00:00:00.500Z waitS=1.5\n"
    )
    assert b'"until":1795420569.699' in json_line(fields)
