"""explain: every code found as it was met, told whole, and no nonsense answered with a traceback."""

import json

import pytest

from rollout.cli.failure import report
from rollout.codes import CATALOGUE, EXITS
from rollout.enos.codes import (
    CODES,
    DEVICE_REPLIES,
    GATEWAY,
    PROXY,
    SDK_STATUS,
    STEPS,
    TOKEN_STATUS,
    Operation,
    Signal,
    advise,
    explain_words,
)
from rollout.errors import Failure, Phase, ServiceError

TABLES = [CATALOGUE, CODES, GATEWAY, PROXY, TOKEN_STATUS, SDK_STATUS, STEPS, DEVICE_REPLIES, EXITS]


def explained(desk, *words):
    """Return what `explain` tells a program about the words."""
    result = desk("explain", "-o", "json", *words)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)["codes"]


@pytest.mark.parametrize(
    ("words", "labels"),
    [
        (["24610"], ["EnOS 24610"]),
        (["EnOS 24610"], ["EnOS 24610"]),
        (["enos", "24610"], ["EnOS 24610"]),
        (["code 24610: Not allowed to create job"], ["EnOS 24610"]),
        (["http", "429"], ["HTTP 429"]),
        (["HTTP429"], ["HTTP 429"]),
        (["429"], ["HTTP 429"]),
        (["502"], ["HTTP 502"]),
        (["R601"], ["R601"]),
        (["[r601]"], ["R601"]),
        (["-3"], ["device step -3"]),
        (["progress=-3"], ["device step -3"]),
        (["-12"], ["device step -12"]),
        (["764"], ["device reply 764"]),
        (["1003"], ["token status 1003"]),
        (["apim_status", "4011"], ["apim_status 4011"]),
        (["0"], ["EnOS 0", "token status 0", "exit code 0"]),
        (["exit", "8"], ["exit code 8"]),
        (["exit code 143"], ["exit code 143"]),
        (["token", "0"], ["token status 0"]),
        (["R101", "24404", "http 503"], ["R101", "EnOS 24404", "HTTP 503"]),
    ],
)
def test_a_code_is_found_as_it_was_met(desk, words, labels):
    """With its family's word, without it, out of a message, in either case; several at once in their order."""
    assert [code["label"] for code in explained(desk, *words)] == labels


def test_one_code_in_full(desk):
    """Its own words, meaning, cause, what to do, how rollout goes on by kind of call, and the page."""
    result = desk("explain", "24404")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "EnOS 24404",
        "Says        Job not found",
        "Means       no such job, or on create and firmware calls (`Firmware not found`) no such firmware",
        (
            "Cause       The id is misspelt or of another organisation, the object was deleted, or it is younger than "
            "reads lag (2 s)."
        ),
        "Do          Check firmwareId and orgId of the plan; look whether somebody deleted the job in the console.",
        (
            "In rollout  get, search, start, stop, cancel, retry tasks: sent again after a backoff, 3 times at most, 2 s "
            "later at the earliest: a job made seconds ago may not be visible yet; an older one is gone"
        ),
        "            create: final, a person must look at it: check the firmware id and the organisation",
        "            delete: counts as done",
        "            upload firmware: not expected; final, a person must look at it",
        "Source      create_ota_job, get_ota_job and all pages of job and task operations",
    ]


def test_a_code_of_ours_in_full(desk):
    """Whether it refuses or warns, and on whose page its rule rests."""
    lines = desk("explain", "R308").stdout.splitlines()
    assert lines[0] == "R308  warning"
    assert lines[-2] == "In rollout  shown as a warning; the command goes on"
    assert lines[-1] == "Source      create_ota_job (SchedulePolicy struct)"
    assert "exit code 2" in desk("explain", "R104").stdout


@pytest.mark.parametrize("code", ["24404", "24500", "24612", "99403"])
def test_the_treatment_is_that_of_the_table(desk, code):
    """What is told of each kind of call is the cell that the client itself goes by."""
    (told,) = explained(desk, code)
    courses = {operation: part["course"] for part in told["treatment"] for operation in part["operations"]}
    rows = {
        "24404": lambda op: Signal.FIRMWARE_NOT_FOUND if op is Operation.CREATE else Signal.JOB_NOT_FOUND,
        "24500": lambda op: Signal.OTA_INTERNAL_ERROR,
        "24612": lambda op: Signal.TOO_MANY_VERIFY_DEVICES,
        "99403": lambda op: Signal.DENIED,
    }
    assert courses == {op: advise(rows[code](op), op).action for op in Operation}


def test_a_second_401_is_told_apart(desk):
    """The first renews the token, the second is for a person: clock or keys."""
    (told,) = explained(desk, "http 401")
    assert [(part["course"], part["afterRenewal"]) for part in told["treatment"]] == [
        ("auth", False),
        ("stop", True),
    ]


def test_alone_it_lists_every_code_of_every_table(desk):
    """Nothing that has an explanation is missing from the list; a family's word lists that family."""
    lines = desk("explain").stdout.splitlines()
    assert sum(line.startswith("  ") for line in lines) == sum(map(len, TABLES))
    assert lines[-1] == "One of them in full:  rollout explain CODE"
    assert len(explained(desk)) == sum(map(len, TABLES))
    assert {code["family"] for code in explained(desk, "device")} == {"step", "reply"}
    assert [code["code"] for code in explained(desk, "own")] == sorted(CATALOGUE)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["24613"], ["not published", "looked up first", "did you mean EnOS 24612 or EnOS 24611"]),
        (["R6001"], ["no code 'R6001'", "did you mean R601"]),
        (["R999"], ["no code 'R999'", "did you mean R199"]),
        (["http", "501"], ["no code '501'", "did you mean HTTP 500 or HTTP 502"]),
        (["htp"], ["did you mean http?"]),
        (["--fof"], ["no code '--fof'"]),
        (["\x1bR1"], [r"no code '\x1bR1'"]),
        (["9" * 5000], ["no code '9999"]),
        (["-" + "9" * 50], ["no code '-9999"]),
        (["٤٢"], ["no code"]),
    ],
)
def test_what_nobody_knows_is_refused(desk, words, told):
    """Exit 2, the codes it may have been meant for, and where all are listed; nothing on standard output."""
    result = desk("explain", *words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert "rollout explain lists all" in result.stderr
    for text in told:
        assert text in result.stderr


@pytest.mark.parametrize(
    ("code", "status", "line"),
    [
        (24404, 200, "more: rollout explain 24404"),
        (None, 429, "more: rollout explain http 429"),
        (None, 418, None),
        (None, None, None),
    ],
)
def test_an_error_says_where_its_code_is_explained(desk, capsys, code, status, line):
    """The last line of a failed call is the one to paste, where there is a code to explain."""
    error = ServiceError(
        "read: no", phase=Phase.ANSWERED, failure=Failure.REFUSED, explain=explain_words(code, status)
    )
    assert report(error, ["status"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == (line or "error: read: no")


def test_a_refused_setting_says_where_its_code_is_explained(desk):
    """The same for codes of ours; the line works as it is printed."""
    last = desk("run", "plan.yaml", "--profile", "stage", "--yes").stderr.splitlines()[-1]
    assert last == "more: rollout explain R401"
    assert desk(*last.split()[2:]).exit_code == 0


def test_a_refused_campaign_says_where_its_code_is_explained(desk):
    """After a create was refused, the end of the run and the status name the code's explanation before the way on."""
    emulator = desk.begin(
        "emulator", "--port", "0", "--org", "o1", "--read-lag", "0s", "--fault", "error_400=1,on=create"
    )
    url = emulator.stdout.readline().split()[1]
    (desk.path / "rollout.toml").write_text(
        f'[profiles.here]\nurl = "{url}"\nlatest_effect = "200ms"\nsearch_lag = "200ms"\n'
    )
    done = desk.run("run", "plan.yaml", "--profile", "here", "--yes")
    assert done.returncode == 3, done.stderr
    line = next(line for line in done.stderr.splitlines() if line.startswith("What 400 means:  "))
    assert done.stderr.index(line) < done.stderr.index("Once the cause is gone")
    assert "what 400 means:  rollout explain 400" in desk("status").stdout
    assert "What a code means:  rollout explain CODE" in desk("jobs").stderr
