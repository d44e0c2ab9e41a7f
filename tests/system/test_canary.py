"""No secret in anything a run leaves behind, whatever breaks: state directory, log, streams, tracebacks."""

import base64
import json
import re
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from campaigns_at_hand import lay_out

ACCESS = "cAnAry-access/01+x="
SECRET = "cAnAry-secret/42+y="
SPEED = "1500"
LINE = ("run", "plan.yaml", "--yes", "--speed", SPEED, "-vv")
KEYS = {"CANARY_ACCESS": ACCESS, "CANARY_SECRET": SECRET}


def forms(value):
    """Return the texts that show a leak of `value`; they are computed without the redactor's code."""
    raw = value.encode()
    middle = [base64.b64encode(b"x" * pad + raw)[4:-4] for pad in range(3)]
    return [raw, raw.hex().encode(), raw.hex().upper().encode(), quote(value, safe="").encode(), *middle]


def leaks(desk, *ended):
    """Return each place and form in which a key is found: files of the campaign, and output of the processes `ended`."""
    files = {str(path): path.read_bytes() for path in (desk.path / ".rollout").rglob("*") if path.is_file()}
    streams = {
        f"{name} of process {n}": text.encode()
        for n, end in enumerate(ended)
        for name, text in (("out", end.out), ("err", end.err))
    }
    return [
        (place, form)
        for value in (SECRET, ACCESS)
        for form in forms(value)
        for place, content in (files | streams).items()
        if form in content
    ]


def keyed(desk, *faults, **keys):
    """Start a platform with the canary keys, or with `keys`; write a campaign whose profile refers to them."""
    script = Path(__file__).with_name("keyed_platform.py")
    program = desk.launch([sys.executable, str(script), *faults], SPEED=SPEED, **(KEYS | keys))
    url = next(word for word in program.out.expect("http://").split() if word.startswith("http://"))
    refer(desk, url)


def refer(desk, url):
    """Write a campaign and a profile that names variables with the keys, which the program cannot know in advance."""
    lay_out(desk, url, devices=60, per_job=2, canary="20", rate=20, rest="apiRetry: {attempts: 20}")
    with (desk.path / "rollout.toml").open("a") as profile:
        profile.write('access_key = "env:CANARY_ACCESS"\nsecret_key = "env:CANARY_SECRET"\n')


def test_a_troubled_run_leaves_no_secret(desk):
    """Lost answers, service errors, cut replies, a revoked token, a kill: the run ends well and everything is clean."""
    keyed(
        desk,
        "commit_then_drop=0.2",
        "error_24500=0.1",
        "truncated=0.2,on=create+search",
        # twice in a row would count as refused credentials, which the next test covers
        "unauthorized=1,on=search,limit=1",
        "unauthorized=1,limit=1",
    )
    life = desk.start(*LINE, **KEYS)
    life.err.expect("batch.job_created", 5)
    assert life.kill_after(0)
    killed = life.end()
    # checked before the next life clears up: write-ahead log, lock, the incomplete end of the event log
    assert leaks(desk, killed) == []
    done = desk.run(*LINE, **KEYS)
    assert done.code == 0, done.err
    assert "WARNING batch.outcome_unknown" in killed.err + done.err
    assert done.sums["OK"] == 60
    asked = [desk.run(*verb, "-o", "json", **KEYS) for verb in (("status",), ("jobs",))]
    assert leaks(desk, killed, done, *asked) == []


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("trouble", ["another secret", "every token revoked"])
def test_refused_keys_are_told_without_showing_them(desk, trouble, form):
    """Exit code 4; even with all details, the traceback included, no key is shown."""
    if trouble == "another secret":
        keyed(desk, CANARY_SECRET="another")
    else:
        keyed(desk, "unauthorized=1,on=create+search")
    done = desk.run(*LINE, "-o", form, **KEYS)
    assert done.code == 4, done.err
    assert "Traceback" in done.err
    if form == "json":
        assert json.loads(done.err.splitlines()[-1])["exitCode"] == 4
    assert leaks(desk, done) == []


@pytest.mark.parametrize("spoilt", [SECRET + "\n", SECRET + "\r\nHost: x", " " + SECRET, ""])
def test_an_unusable_secret_is_told_by_its_variable(desk, spoilt):
    """Exit code 2, or 4 if the secret is empty; the variable is named and its value is not shown. C03."""
    refer(desk, "https://gw.example.com")
    done = desk.run("run", "plan.yaml", "--yes", "-vv", **(KEYS | {"CANARY_SECRET": spoilt}))
    assert done.code == (2 if spoilt else 4)
    assert "CANARY_SECRET" in done.err
    assert leaks(desk, done) == []


def test_the_search_finds_what_it_looks_for(desk):
    """A leak that was planted is found, in each form; so the tests above would see one."""
    folder = desk.path / ".rollout"
    folder.mkdir()
    for form in forms(SECRET):
        (folder / "leak").write_bytes(b"before " + form + b" after")
        assert leaks(desk)


def test_a_living_runner_cannot_be_looked_into(desk):
    """No key on its command line, private files, no core dump, and no other process of the user reads its memory."""
    keyed(desk)
    life = desk.start(*LINE, **KEYS)
    life.err.expect("batch.job_created")
    told = {name: Path(f"/proc/{life.pid}/{name}").read_text() for name in ("cmdline", "limits", "status")}
    assert not any(form.decode() in told["cmdline"] for key in (ACCESS, SECRET) for form in forms(key))
    assert re.search(r"Max core file size +0 ", told["limits"])
    assert "Umask:\t0077" in told["status"]
    # root can read every process, so the process itself is asked whether it can be dumped
    asks = (
        "import ctypes; from rollout.app import process; process.harden(); print(ctypes.CDLL(None).prctl(3))"
    )
    assert desk.launch([sys.executable, "-c", asks]).end().out == "0\n"
