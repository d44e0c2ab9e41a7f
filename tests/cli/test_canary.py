"""No secret in anything a run leaves behind, whatever breaks: state directory, log, streams, tracebacks."""

import base64
import subprocess
import sys
from urllib.parse import quote

import anyio
import pytest

from rollout.emulator.faults import FaultPlan
from rollout.emulator.gateway import Credentials
from rollout.emulator.server import EmulatorConfig, serve
from rollout.enos.signing import Secret

pytestmark = pytest.mark.anyio

ACCESS = "cAnAry-access/01+x="
SECRET = "cAnAry-secret/42+y="


def forms(value):
    """Return the texts by which a leak of `value` would be found, worked out apart from the redactor."""
    raw = value.encode()
    middle = [base64.b64encode(b"x" * pad + raw)[4:-4] for pad in range(3)]
    return [raw, raw.hex().encode(), raw.hex().upper().encode(), quote(value, safe="").encode(), *middle]


def leaks(desk, *texts):
    """Return where a form of either key is found."""
    files = {str(path): path.read_bytes() for path in (desk.path / ".rollout").rglob("*") if path.is_file()}
    places = files | {f"stream {number}": text for number, text in enumerate(texts)}
    return [
        (place, form)
        for value in (SECRET, ACCESS)
        for form in forms(value)
        for place, content in places.items()
        if form in content
    ]


async def call(desk, url, *arguments, secret=SECRET):
    """Run the program with the canary keys against `url`."""
    environment = {**desk.environment, "ENOS_URL": url, "ENOS_ACCESS_KEY": ACCESS, "ENOS_SECRET_KEY": secret}
    # A profile for machines on this side of the network, with the bounds of a test.
    (desk.path / "rollout.toml").write_text(
        'default_profile = "near"\n[profiles.near]\nlatest_effect = "300ms"\nsearch_lag = "300ms"\n'
    )
    with anyio.fail_after(60):
        return await anyio.run_process(
            [sys.executable, "-m", "rollout", *arguments],
            cwd=desk.path,
            env=environment,
            stdin=subprocess.DEVNULL,
            check=False,
        )


async def test_a_troubled_run_leaves_no_secret(desk):
    """Lost answers, service errors, cut replies, a revoked token: the run ends well and every file is clean."""
    faults = (
        "commit_then_drop=0.3",
        "error_24500=0.2",
        "truncated=0.2,on=create+search",
        "unauthorized=0.3,on=create+search",
    )
    config = EmulatorConfig(
        org_id="o1",
        credentials=Credentials(ACCESS, Secret(SECRET)),
        speed=2000,
        faults=FaultPlan.parse(faults),
    )
    async with serve(config) as running:
        done = await call(desk, running.url, "run", "plan.yaml", "--yes", "--speed", "2000", "-vv")
    assert done.returncode == 0, done.stderr
    assert b"WARNING batch.outcome_unknown" in done.stderr
    assert b"OK=40 FAILED=0 OPEN=0 TOTAL=40" in done.stdout
    assert leaks(desk, done.stdout, done.stderr) == []


async def test_refused_keys_are_told_without_showing_them(desk):
    """The wrong secret ends with exit 4, also with all details asked for."""
    config = EmulatorConfig(org_id="o1", credentials=Credentials(ACCESS, Secret("another")), speed=2000)
    async with serve(config) as running:
        done = await call(
            desk, running.url, "run", "plan.yaml", "--yes", "--speed", "2000", "-vv", "-o", "json"
        )
    assert done.returncode == 4
    assert leaks(desk, done.stdout, done.stderr) == []


@pytest.mark.parametrize("spoilt", [SECRET + "\n", SECRET + "\r\nHost: x", " " + SECRET, ""])
async def test_an_unusable_secret_is_told_by_its_variable(desk, spoilt):
    """Exit 2, or 4 where it is empty; the variable is named and the value is not shown. C03."""
    done = await call(desk, "https://gw.example.com", "run", "plan.yaml", "--yes", "-vv", secret=spoilt)
    assert done.returncode == (2 if spoilt else 4)
    assert b"ENOS_SECRET_KEY" in done.stderr
    assert leaks(desk, done.stdout, done.stderr) == []


async def test_the_search_finds_what_it_looks_for(desk):
    """The test above is worth something: a planted leak is found in each form."""
    folder = desk.path / ".rollout"
    folder.mkdir()
    for form in forms(SECRET):
        (folder / "leak").write_bytes(b"before " + form + b" after")
        assert leaks(desk)
