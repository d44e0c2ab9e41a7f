"""`kill -9` on entering the n-th system call of a kind: between any two steps of journal and network.

A first campaign, only watched, tells how often each call is made; the moments are drawn from all of them. Counted
is the thread that makes the most: strace counts the calls of each thread for itself.
"""

import random
import re
import shutil
import signal
import subprocess
from collections import Counter

import pytest
from campaigns_at_hand import assert_exact, lay_out
from processes import Desk

CALLS = {
    "store": "pwrite64",
    "sync": "fdatasync",
    "connect": "connect",
    # what a loop calls to send and to receive: uvloop the first, asyncio's own the second
    "send": "write,sendto",
    "receive": "read,recvfrom",
}
KILLS_EACH = 3
SPEED = "1200"
LINE = ("run", "plan.yaml", "--yes", "--speed", SPEED)


@pytest.fixture(scope="module")
def strace(tmp_path_factory):
    """Where strace is, if it can trace here."""
    found = shutil.which("strace")
    if found is None:
        pytest.skip("strace is not installed")
    trace = tmp_path_factory.mktemp("strace") / "trace"
    tried = subprocess.run(
        [found, "-f", "-o", trace, "true"], capture_output=True, text=True, timeout=60, check=False
    )
    if tried.returncode:
        pytest.skip(f"strace cannot trace here: {tried.stderr.strip()}")
    return found


@pytest.fixture(scope="module")
def watched(strace, tmp_path_factory):
    """How often each thread made each call: before the journal was opened, and in the whole of a run."""
    desk = Desk(tmp_path_factory.mktemp("watched"))
    try:
        six_batches(desk)
        every = ",".join(CALLS.values())
        done = desk.start(*LINE, before=(strace, "-f", "-o", "trace", "-e", f"trace={every}")).end()
    finally:
        desk.clear_away()
    assert done.code == 0, done.err
    before, whole = Counter(), Counter()
    for line in (desk.path / "trace").read_text().splitlines():
        thread, call = re.match(r"(\d+) +(\w*)", line).groups()
        if call == "pwrite64" and not before:
            before = whole.copy()
        whole[call, thread] += 1
    return before, whole


def six_batches(desk):
    """Write a campaign of six batches, and start the platform it is for; it takes its time to answer a create.

    So there is a create under way at any moment of creating, and its job exists.
    """
    emulator = desk.emulator("--speed", SPEED, "--fault", "slow_answer=1,seconds=0.2")
    # a killed life's creates stay in doubt until L + S after the next one's start, which takes a while by itself
    lay_out(desk, emulator.url, devices=12, per_job=2, canary="4", rate=5, bounds=("500ms", "200ms"))
    return emulator


@pytest.mark.parametrize("kind", CALLS)
def test_kills_at_calls(desk, strace, watched, kind):
    """Killed as it is about to store, sync, connect, send or receive: exit 0, one job a batch, every device once."""
    before, whole = watched
    made = {key: whole[key] - before[key] for key in whole if key[0] in CALLS[kind].split(",")}
    key = max(made, key=made.get)
    # Most creates are in the first half; once all are made a kill proves little.
    numbers = range(before[key] + 1, before[key] + made[key] * 6 // 10 + KILLS_EACH + 1)
    emulator = six_batches(desk)
    hits = []
    for number in sorted(random.Random(kind).sample(numbers, KILLS_EACH)):
        inject = f"inject={key[0]}:signal=SIGKILL:when={number}"
        life = desk.start(
            *LINE, before=(strace, "-f", "-o", "trace", "-e", f"trace={key[0]}", "-e", inject)
        ).end()
        hits.append(
            f"{key[0]} {number}: {'killed' if life.code == -signal.SIGKILL else f'exit {life.code}'}, {len(emulator.names())} jobs"
        )
    done = desk.run(*LINE)
    print(*hits, sep="; ")
    assert done.code == 0, done.err
    assert done.sums == {"JOBS": 6, "OK": 12, "FAILED": 0, "OPEN": 0, "TOTAL": 12}
    assert_exact(desk, emulator)
    assert any("killed" in hit for hit in hits)
