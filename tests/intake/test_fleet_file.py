"""Device files: good rows come word for word, damage is told with its line."""

import gzip
import io
import json
import re
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollout.errors import PlanError
from rollout.intake import fleet_file
from rollout.intake.complaints import Complaints
from rollout.intake.fleet_file import Source, read_rows


def read(path, *, key="deviceKey", columns=()):
    complaints = Complaints(str(path))
    rows = list(read_rows(Source(str(path), path), key, columns, complaints))
    complaints.raise_if_failed()
    return rows


def faults(path, **options):
    try:
        read(path, **options)
    except PlanError as error:
        return [f"{c.line}:{c.column} {c.code}" for c in error.complaints]
    return []


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


GOOD = {
    "csv": ("d.csv", "deviceKey,site\n0012345,a\nSN.1-x_Z,b\n"),
    "csv with a mark": ("d.csv", "\ufeffdeviceKey,site\n0012345,a\nSN.1-x_Z,b\n"),
    "csv with DOS lines": ("d.csv", "deviceKey,site\r\n0012345,a\r\nSN.1-x_Z,b\r\n"),
    "csv with bare CR": ("d.csv", "deviceKey,site\r0012345,a\rSN.1-x_Z,b\r"),
    "csv with quotes": ("d.csv", 'site,"deviceKey"\na,"0012345"\n"b","SN.1-x_Z"'),
    "csv with a field of two lines": ("d.csv", 'note,deviceKey,site\n"one\ntwo",0012345,a\n,SN.1-x_Z,b\n'),
    "csv packed": ("d.csv.gz", gzip.compress(b"deviceKey,site\n0012345,a\nSN.1-x_Z,b\n")),
    "tsv": ("d.tsv", "deviceKey\tsite\n0012345\ta\nSN.1-x_Z\tb\n"),
    "ndjson": ("d.ndjson", '{"deviceKey":"0012345","site":"a"}\n\n{"site":"b","deviceKey":"SN.1-x_Z"}\n'),
    "json": ("d.json", '[{"deviceKey":"0012345","site":"a"},\n {"deviceKey":"SN.1-x_Z","site":"b"}]\n'),
}


@pytest.mark.parametrize(("name", "content"), GOOD.values(), ids=GOOD.keys())
def test_every_form_gives_the_same_rows(tmp_path, name, content):
    """Keys and columns come out word for word, whatever the form; leading zeros stay."""
    rows = read(write(tmp_path, name, content), columns=("site",))
    assert [row[:2] for row in rows] == [("0012345", ("a",)), ("SN.1-x_Z", ("b",))]


@pytest.mark.parametrize("content", ["# note\n0012345\n\nSN.1-x_Z\n", "0012345\r\nSN.1-x_Z"])
def test_plain_lines(tmp_path, content):
    """A .txt file has one key a line, with notes and empty lines between them."""
    assert [row[0] for row in read(write(tmp_path, "d.txt", content))] == ["0012345", "SN.1-x_Z"]


def test_json_strings(tmp_path):
    """Lists of plain strings are device keys, in JSON and NDJSON."""
    assert [r[0] for r in read(write(tmp_path, "d.json", '["0012345",\n"SN-1"]'))] == ["0012345", "SN-1"]
    assert [r[0] for r in read(write(tmp_path, "d.ndjson", '"0012345"\n"SN-1"\n'))] == ["0012345", "SN-1"]
    assert read(write(tmp_path, "e.json", " [ ] ")) == []


@pytest.mark.parametrize(
    "content",
    ["deviceKey,site\nDEV-1,a\n", "deviceKey\tsite\nDEV-1\ta\n", "deviceKey\nDEV-1\n", "DEV-1\n", '{"deviceKey":"DEV-1"}\n', '["DEV-1"]'],
)  # fmt: skip
def test_form_of_standard_input_is_seen(monkeypatch, content):
    """Standard input has no name to tell its form; the first line does."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    complaints = Complaints("plan")
    rows = list(read_rows(Source("<stdin>", None), "deviceKey", (), complaints))
    assert [row[0] for row in rows] == ["DEV-1"]
    assert not complaints.failed


CSV = "deviceKey,site\n"

BAD = {
    "D03 unclosed quote": ("d.csv", CSV + 'DEV-1,a\n"DEV-2,b\n' + "DEV-3,c\n" * 3, ["3:1 R154"]),
    "D03 unclosed quote, closed by the next one": ("d.csv", CSV + '"DEV-1,a\nDEV-2,b\n"DEV-3",c\n', ["2:1 R154"]),
    "D04 text after a quote": ("d.csv", CSV + '"DEV"-1,a\nDEV-2\n', ["2:1 R155", "3:1 R156"]),
    "D05 line without end": ("d.txt", "A" * 70_000, ["1:1 R166"]),
    "D06 NUL": ("d.csv", CSV + "DEV-1,a\nDE\0V-2,b\n", ["3:3 R161"]),
    "D07 semicolons": ("d.csv", "deviceKey;site\nDEV-1;a\n", ["1:1 R153"]),
    "D07 tabs": ("d.csv", "deviceKey\tsite\nDEV-1\ta\n", ["1:1 R153"]),
    "D11 zero-width": ("d.csv", CSV + "a,b\nDEV-\u200b1,a\n", ["2:1 R157", "3:5 R160"]),
    "D11 right-to-left": ("d.csv", CSV + "DEV-1,si\u202ete\n", ["2:9 R160"]),
    "D11 no-break space": ("d.txt", "DEV\u00a012\n", ["1:4 R160"]),
    "D12 Cyrillic": ("d.csv", CSV + "D\u0415V-1,a\n", ["2:2 R168"]),
    "D12 fullwidth": ("d.txt", "DEV-\uff11\n", ["1:5 R168"]),
    "D13 blanks": ("d.csv", CSV + " DEV-1,a\nDEV-2,b \n", ["2:1 R159", "3:7 R159"]),
    "D14 exponent": ("d.csv", CSV + "DEV-1,a\n1.2E+07,b\n", ["3:1 R158"]),
    "D14 comma exponent": ("d.tsv", "deviceKey\n1,23E+15\n", ["2:1 R158"]),
    "D14 trailing .0": ("d.csv", "site,deviceKey\na,12345.0\n", ["2:3 R158"]),
    "D15 JSON number": ("d.ndjson", '{"deviceKey": "DEV-1"}\n{"deviceKey": 12345}\n', ["2:15 R162"]),
    "D15 JSON number in a list": ("d.json", '["DEV-1",\n 12345]', ["2:1 R162"]),
    "D16 lone surrogate": ("d.ndjson", '{"deviceKey": "DEV\\ud800"}\n', ["1:19 R160"]),
    "D16 latin-1": ("d.csv", CSV.encode() + b"DEV-1,S\xfcd\n", ["2:8 R113"]),
    "D17 too long": ("d.csv", CSV + "D" * 65 + ",a\n", ["2:1 R157"]),
    "D17 too short": ("d.csv", CSV + "abc,a\n", ["2:1 R157"]),
    "D17 empty": ("d.csv", CSV + ",a\n", ["2:1 R157"]),
    "D17 null": ("d.csv", CSV + "null,a\n", ["2:1 R157"]),
    "D17 not available": ("d.txt", "N/A\n", ["1:1 R157"]),
    "D18 quote in a key": ("d.txt", "DEV'1\n", ["1:1 R157"]),
    "D23 missing column": ("d.csv", "deviceID,site\nDEV-1,a\n", ["1:1 R152"]),
    "D23 column twice": ("d.csv", "deviceKey,deviceKey\nDEV-1,DEV-2\n", ["1:1 R152"]),
    "D23 missing member": ("d.ndjson", '{"key": "DEV-1"}\n', ["1:1 R152"]),
    "D24 too few and too many": ("d.csv", CSV + "DEV-1\nDEV-2,b\nDEV-3,c,d\n", ["2:1 R156", "4:1 R156"]),
    "key column in the middle": ("d.csv", 'site,deviceKey,x\n"a,b",DEV 1,y\n', ["2:7 R157"]),
    "quoted key": ("d.csv", 'site,deviceKey\na,"DEV 1"\n', ["2:4 R157"]),
    "malformed JSON line": ("d.ndjson", '"DEV-1"\n{"deviceKey" "DEV-2"}\n"DEV-3"\n', ["2:14 R163"]),
    "malformed JSON": ("d.json", '["DEV-1"\n "DEV-2"]', ["2:2 R163"]),
    "JSON that ends early": ("d.json", '["DEV-1"', ["1:9 R163"]),
    "JSON that is no list": ("d.json", '{"deviceKey": "DEV-1"}', ["1:1 R163"]),
    "JSON too deep": ("d.ndjson", "[" * 60_000 + "\n", ["1:1 R163"]),
    "packed and cut off": ("d.csv.gz", gzip.compress(CSV.encode() * 100)[:-9], ["0:0 R165"]),
    "a spreadsheet": ("d.xlsx", "PK", ["0:0 R150"]),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "expected"), BAD.values(), ids=BAD.keys())
def test_damage_is_told_with_its_place(tmp_path, name, content, expected):
    """Each kind of damage is refused at line and column, and the rows around it are still looked at."""
    columns = ("site",) if "site" in str(content) and "deviceKey" in str(content) else ()
    found = faults(write(tmp_path, name, content), columns=columns if name == "d.csv" else ())
    assert found == expected


def test_missing_column_names_those_there_are(tmp_path):
    """A missing column is named together with the columns of the file and the likely one."""
    path = write(tmp_path, "d.csv", "deviceID,site\nDEV-1,a\n")
    with pytest.raises(PlanError) as refused:
        read(path)
    assert "no column 'deviceKey'; the columns are 'deviceID', 'site'" in str(refused.value)
    assert refused.value.hint == "did you mean 'deviceID'?"


def test_plain_lines_have_no_columns(tmp_path):
    """A plan that spreads by a column cannot use a list of plain lines, and is told so."""
    assert faults(write(tmp_path, "d.txt", "DEV-1\n"), columns=("site",)) == ["1:1 R152"]


def test_ten_thousand_bad_rows_are_twenty_complaints_and_a_count(tmp_path):
    """A file full of damage is told in twenty lines, whatever its length."""
    path = write(tmp_path, "d.csv", CSV + "bad key,a\n" * 10_000)
    with pytest.raises(PlanError) as refused:
        read(path)
    assert [c.line for c in refused.value.complaints[:20]] == list(range(2, 22))
    assert refused.value.complaints[20].message == "and 9,980 more faults"


def test_packed_bombs_are_refused(tmp_path):
    """A file that expands beyond a hundred times its size is not read to its end."""
    path = write(tmp_path, "d.txt.gz", gzip.compress(b"#" * 60 + b"\n" * (40 << 20)))
    assert faults(path) == ["0:0 R165"]


def test_size_is_bounded(tmp_path, monkeypatch):
    """A device file beyond the bound is refused."""
    monkeypatch.setattr(fleet_file, "FLEET_BYTES_MAX", 1000)
    assert faults(write(tmp_path, "d.txt", "DEV-1\n" * 200)) == ["0:0 R111"]


def test_file_changed_while_read(tmp_path):
    """A file that is written to while it is read is refused: half of it may be old."""
    path = write(tmp_path, "d.txt", "DEV-1\nDEV-2\n")
    complaints = Complaints("plan")
    rows = read_rows(Source("d.txt", path), "deviceKey", (), complaints)
    next(rows)
    path.write_text("DEV-1\nDEV-2\nDEV-3\n")
    assert len(list(rows)) >= 1
    with pytest.raises(PlanError, match="R167"):
        complaints.raise_if_failed()


def test_a_plans_file_may_not_be_a_link_or_a_pipe(tmp_path):
    """The last part of a path from a plan is opened without following links; a typed one may be a link."""
    write(tmp_path, "real.txt", "DEV-1\n")
    (tmp_path / "link.txt").symlink_to("real.txt")
    assert faults(tmp_path / "link.txt") == ["0:0 R150"]
    complaints = Complaints("plan")
    typed = Source("link.txt", tmp_path / "link.txt", trusted=True)
    assert list(read_rows(typed, "deviceKey", (), complaints)) == [("DEV-1", (), 1)]


def test_json_keys_round_trip(tmp_path):
    """Device keys come out of JSON byte for byte."""
    keys = ["0000", "A.b-C_d", "9" * 64, "1E10", "12.05"]
    assert [row[0] for row in read(write(tmp_path, "d.json", json.dumps(keys)))] == keys


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["d.csv", "d.tsv", "d.txt", "d.ndjson", "d.json", "d"]),
    pieces=st.lists(
        st.one_of(
            st.sampled_from(
                ["deviceKey", ",", "\t", "\n", "\r", '"', "DEV-1", "[", "]", "{", "}", ":", "#", " ", "\0"]
            ),
            st.text(max_size=3),
            st.binary(max_size=2),
        ),
        max_size=30,
    ),
)
def test_no_content_breaks_the_reader(tmp_path, name, pieces):
    """Whatever stands in a device file, it is read or refused; every key that comes out is sound."""
    content = b"".join(
        piece if isinstance(piece, bytes) else piece.encode("utf-8", "surrogatepass") for piece in pieces
    )
    complaints = Complaints("plan")
    rows = list(
        read_rows(Source(name, write(tmp_path, name, content), trusted=True), "deviceKey", (), complaints)
    )
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]{4,64}", row[0]) for row in rows)
