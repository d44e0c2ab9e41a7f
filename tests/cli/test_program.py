"""The program as a whole: help at once, one clear message for every failure, the documented exit codes."""

import json
import subprocess
import sys

import click
import pytest

from rollout.cli import VERBS, program
from rollout.cli.command_line import about, command_line
from rollout.cli.failure import report
from rollout.errors import Failure, JournalHeld, Phase, ServiceError
from rollout.settings import CredentialsMissing

CANARY = "cAnAry-secret-78"


def test_alone_it_tells_all_verbs_in_their_groups(desk):
    """`rollout` alone is help, not an error: five groups, every verb with one example."""
    result = desk()
    assert result.exit_code == 0
    places = [result.stdout.index(f"\n{group}:\n") for group in ("Prepare", "Run", "Steer", "Look", "Try")]
    assert places == sorted(places)
    for verb in VERBS:
        assert verb.example in result.stdout


def test_help_imports_no_verb_and_nothing_heavy(desk):
    """What makes it slow is not loaded: no models, no HTTP, no terminal library, no log library, no asyncio."""
    code = (
        "import sys\nfrom rollout.cli import program\n"
        "try:\n    program.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'pydantic', 'aiohttp', 'rich', 'structlog', 'asyncio', 'yaml', 'sqlite3'} & set(sys.modules)\n"
        "verbs = [name for name in sys.modules if name.startswith('rollout.cli.')]\n"
        "sys.exit(f'{heavy} {verbs}' if heavy or verbs else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_every_verb_has_help_with_an_example(desk, verb):
    """`--help` of each verb names the common flags and shows a call."""
    result = desk(verb, "--help")
    assert result.exit_code == 0
    assert f"Example: rollout {verb}" in result.stdout
    for flag in ("--profile", "--state-dir", "--output", "--no-input"):
        assert flag in result.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nope"], "No such command 'nope'"),
        (["run"], "Missing argument 'PLAN'"),
        (["status", "--stat", "x"], "No such option '--stat'"),
        (["run", "plan.yaml", "--secret-key", "x"], "No such option '--secret-key'"),
        (["status", "--output", "xml"], "'xml' is not one of"),
        (["status", "nothing"], "no campaign 'nothing'"),
        (["status", "../../etc"], "no campaign '../../etc'"),
        (["status"], "which campaign?"),
        (["plan", "plan.yaml", "--state-dir", "memory:"], "would be gone when it ends"),
        (["validate", "absent.yaml"], "absent.yaml: R100 cannot be read"),
        (["run", "plan.yaml", "--profile", "nobody"], "no profile 'nobody'"),
        (["run", "plan.yaml", "--config", "absent.toml"], "absent.toml: cannot be read"),
        (["run", "plan.yaml", "--url", "http://gw.example.com"], "--url: expected https"),
        (["run", "plan.yaml", "--events", "file"], "--events: only '-'"),
        (["run", "plan.yaml", "--emulator", "--until", "x"], "--until: no wave 'x'; there are canary, total"),
        (["run", "plan.yaml", "--emulator", "--approve", "x"], "--approve: no wave 'x'"),
        (["run", "plan.yaml", "--emulator", "--url", "http://127.0.0.1:1"], "exclude each other"),
        (["run", "plan.yaml", "--profile", "stage", "--yes"], "PROD_ACCESS: not set"),
    ],
)
def test_a_wrong_call_is_told_on_standard_error(desk, arguments, told):
    """Nothing on standard output, an `error:` or a place, no traceback, exit 2 (4 for missing keys)."""
    result = desk(*arguments)
    assert told in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert result.exit_code == (4 if "PROD_ACCESS" in told else 2)


NUMBERS = ["0", "-1", "nan", "inf", "1e400", "1_0", "١٢", " 5", "+5", "0x5", ""]


FLAGS = ["--speed", "--port", "--devices", "--read-lag", "--fail", "--quota", "--seed"]
ZERO_IS_FINE = ("--port", "--fail", "--seed", "--read-lag")


@pytest.mark.parametrize(
    ("flag", "value"),
    [(flag, value) for flag in FLAGS for value in NUMBERS if value != "0" or flag not in ZERO_IS_FINE],
)
def test_numbers_are_read_strictly(desk, flag, value):
    """Forms that Python's own `int` and `float` would take are refused before anything starts. C01."""
    result = desk("emulator", flag, value)
    assert result.exit_code == 2
    assert flag in result.stderr


def test_an_argument_that_is_not_text_is_refused(desk):
    """Bytes outside UTF-8 reach the program as lone surrogates; they are refused by number. C06."""
    result = desk("status", "abc\udcff")
    assert result.exit_code == 2
    assert "argument 2 is not valid UTF-8" in result.stderr


@pytest.mark.parametrize("form", [["-o", "json"], ["-ojson"], ["--output=json"], ["--output", "json"]])
def test_errors_are_json_for_those_who_read_json(desk, form):
    """One object on standard error, also where the line cannot even be parsed."""
    for arguments in (["status", "x", *form], ["validate", *form]):
        result = desk(*arguments)
        error = json.loads(result.stderr)
        assert (error["schema"], error["exitCode"], result.stdout) == ("rollout.error/1", 2, "")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (click.UsageError("x"), 2),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (CredentialsMissing("x"), 4),
        (ServiceError("x", phase=Phase.SENT, failure=Failure.NO_RESPONSE), 1),
        (ServiceError("x", phase=Phase.REFUSED, failure=Failure.CREDENTIALS), 4),
        (RuntimeError("x"), 1),
    ],
)
def test_every_failure_has_its_exit_code(desk, error, code):
    """Scripts branch on the code without reading text."""
    assert report(error, ["status"]) == code


def test_another_runner_is_exit_7(desk, tmp_path):
    """The lock's own error carries the code."""
    assert report(JournalHeld(tmp_path, "process 7"), ["run"]) == 7


def test_a_service_error_tells_codes_and_request(desk, capsys):
    """What support asks for first: EnOS's code and the request's id."""
    error = ServiceError(
        "no such firmware",
        phase=Phase.ANSWERED,
        failure=Failure.GONE,
        platform_code=24404,
        explain=("24404",),
        request_id="req-1",
    )
    report(error, ["run", "-o", "json"])
    assert json.loads(capsys.readouterr().err)["enos"] == {
        "code": 24404,
        "msg": "no such firmware",
        "requestId": "req-1",
    }
    report(error, ["run"])
    assert capsys.readouterr().err == (
        "error: no such firmware requestId=req-1\nmore: rollout explain 24404\n"
    )


def test_an_unexpected_error_is_one_line_and_a_file(desk, capsys, monkeypatch):
    """No traceback unless asked for twice; the details, without secrets, are in the state directory."""
    monkeypatch.setenv("ENOS_SECRET_KEY", CANARY)
    (desk.path / ".rollout").mkdir()
    assert report(RuntimeError(f"broken by {CANARY}"), ["status", "-v"]) == 1
    told = capsys.readouterr().err
    assert told.splitlines()[0].startswith("error: unexpected RuntimeError")
    assert ".rollout/errors.log" in told
    assert "Traceback" not in told
    kept = (desk.path / ".rollout" / "errors.log").read_text()
    assert "broken by ***" in kept
    report(RuntimeError(CANARY), ["status", "-vv"])
    shown = capsys.readouterr().err
    assert "RuntimeError: ***" in shown
    assert CANARY not in kept + shown


def test_a_reader_that_goes_away_is_no_failure(desk):
    """`rollout schema plan | head -1` ends quietly. C12."""
    line = f"{sys.executable} -m rollout schema plan | head -c 10"
    done = subprocess.run(
        line, shell=True, cwd=desk.path, env=desk.environment, capture_output=True, check=False
    )
    assert (len(done.stdout), done.stderr) == (10, b"")


@pytest.mark.parametrize("redirect", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_failure(desk, redirect):
    """A service manager may close what it does not want. C12."""
    line = f"{sys.executable} -m rollout plan plan.yaml {redirect}"
    done = subprocess.run(
        line, shell=True, cwd=desk.path, env=desk.environment, capture_output=True, check=False
    )
    assert done.returncode == 0


def test_a_plain_locale_gets_escaped_text(desk):
    """In the C locale every sign has an ASCII form and nothing raises. C12."""
    environment = {**desk.environment, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    line = [sys.executable, "-m", "rollout", "plan", "plan.yaml"]
    done = subprocess.run(line, cwd=desk.path, env=environment, capture_output=True, check=False)
    assert done.returncode == 0
    assert done.stdout.isascii()


def test_the_program_is_a_click_command_named_in_the_package():
    """The installed script and `python -m rollout` are the same thing."""
    assert isinstance(program, click.Group)


@pytest.mark.parametrize(
    ("called", "path", "told"),
    [
        ("bin/rollout", "", "bin/rollout"),
        ("bin/rollout", "bin", "rollout"),
        ("bin/rollout", "other", "bin/rollout"),
        ("site-packages/rollout/__main__.py", "", "rollout"),
    ],
)
def test_a_printed_line_calls_the_program_as_it_was_called(tmp_path, monkeypatch, called, path, told):
    """Whoever calls it by its path has no `rollout` to type; the name alone only where the shell finds this one by it."""
    monkeypatch.chdir(tmp_path)
    for folder in ("bin", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "rollout").write_text("#!/bin/sh\n")
        (tmp_path / folder / "rollout").chmod(0o755)
    monkeypatch.setattr(sys, "argv", [called])
    monkeypatch.setenv("PATH", str(tmp_path / path) if path else "")
    assert command_line("run", "my plan.yaml") == f"{told} run 'my plan.yaml'"
    assert about(str(tmp_path / "state"), "x", "jobs") == f"{told} jobs x --state-dir {tmp_path / 'state'}"
    assert about(".rollout", "x", "jobs") == f"{told} jobs x"


def test_flags_are_checked_before_anything_is_shown(desk):
    """A wave that is not in the plan is told at once, not below a screen of preview."""
    result = desk("run", "plan.yaml", "--emulator", "--until", "x")
    assert "Campaign" not in result.stderr
    assert result.stderr.splitlines()[-2].startswith("error: --until: no wave 'x'")


def test_the_emulator_takes_the_organisation_of_ones_plans(desk):
    """A plan runs against it as it stands; an id that is none is refused."""
    process = desk.begin("emulator", "--port", "0", "--org", "o1", "--speed", "2000")
    url = next(word for word in process.stdout.readline().split() if word.startswith("http://"))
    assert "org o1" in process.stdout.readline()
    (desk.path / "rollout.toml").write_text(
        f'[profiles.near]\nurl = "{url}"\nlatest_effect = "300ms"\nsearch_lag = "300ms"\n'
    )
    done = desk.run("run", "plan.yaml", "--profile", "near", "--speed", "2000", "--yes")
    assert done.returncode == 0, done.stderr
    assert desk("emulator", "--org", "o 1").exit_code == 2
