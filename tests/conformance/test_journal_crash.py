"""The journal's promise under violence: a process killed at any moment, and a disk that is full."""

import asyncio
import shutil
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest
from journal_life import live, look
from support.strace import find_strace, traced

from rollout.core.events import WaveOpened
from rollout.journal.lock import read_holder
from rollout.journal.sqlite import SqliteJournal

pytestmark = pytest.mark.anyio

# each child is waited for at once, so blocking the loop of a test harms nobody
# ruff: noqa: ASYNC220, ASYNC221
CHILD = Path(__file__).with_name("journal_child.py")


def numbered(n):
    return WaveOpened(float(n), n)


def check(journal, acknowledged):
    """All acknowledged events are there, and what is there is a gapless prefix of what was appended."""
    stored = list(journal.read())
    assert stored == [numbered(n) for n in range(1, len(stored) + 1)]
    assert max(acknowledged, default=0) <= len(stored)
    return len(stored)


async def test_kill_at_many_moments(tmp_path):
    """SIGKILL after 0, 1, 2 … acknowledged events, life after life on one journal: nothing acknowledged is lost."""
    stored = 0
    for moment in (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 987):
        with subprocess.Popen([sys.executable, CHILD, tmp_path], stdout=subprocess.PIPE) as child:
            early = [int(child.stdout.readline()) for _ in range(moment)]
            if moment:
                assert read_holder(tmp_path).pid == child.pid
            child.kill()
            # the kill may tear the last line; what has no end was not told
            rest, _, _ = child.stdout.read().rpartition(b"\n")
        acknowledged = early + [int(line) for line in rest.split()]
        assert len(acknowledged) >= moment
        assert read_holder(tmp_path) is None, "the kernel gives the lock back"
        if not (tmp_path / "journal.db").exists():
            assert not acknowledged
            continue
        journal = SqliteJournal.open(tmp_path)
        assert not journal.was_clean
        assert not journal.older_than_lock
        now_stored = check(journal, acknowledged)
        assert now_stored >= stored
        stored = now_stored
        await journal.aclose(clean=False)


@pytest.mark.parametrize("limit", [40_000, 60_000, 61_441, 100_000, 200_000])
async def test_disk_full(tmp_path, limit):
    """When a write fails every caller is told, nothing more is stored, and all acknowledged events are there."""
    child = subprocess.run(
        [sys.executable, CHILD, tmp_path, str(limit)], capture_output=True, check=False, timeout=60
    )
    assert child.stderr.split() == [b"R709"] * 9, child.stderr.decode()
    assert child.returncode == 0
    acknowledged = [int(line) for line in child.stdout.split()]
    assert acknowledged
    journal = SqliteJournal.open(tmp_path, linger_s=0)
    assert not journal.was_clean
    assert not journal.older_than_lock
    stored = check(journal, acknowledged)
    assert stored <= len(acknowledged) + 8, "at most the commit that failed may be there all the same"
    await journal.append([numbered(stored + 1)])
    check(journal, [stored + 1])
    await journal.aclose()


def test_kill_before_every_line(tmp_path):
    """Wherever a life that creates or opens, appends and closes is cut off, the next one finds a sound journal."""
    program = CHILD.with_name("journal_crash_points.py")
    done = subprocess.run([sys.executable, program, tmp_path], capture_output=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr.decode()
    assert not done.stderr
    assert min(int(lines) for lines in done.stdout.split()) > 100, (
        "the enumeration found its way into the room"
    )


@pytest.mark.parametrize("base", [0, 2], ids=["creates", "opens"])
def test_kill_at_every_call(tmp_path, base):
    """Cut off on entering any call that writes, syncs, cuts or renames a file: sound for onlookers and for the next life."""
    strace, why_not = find_strace()
    if not strace:
        pytest.skip(why_not)
    template = tmp_path / "template"
    template.mkdir()
    if base:
        asyncio.run(live(template, 1, lambda text: None))
    program = [sys.executable, CHILD.with_name("journal_life.py")]
    made = {}
    for call in ("pwrite64", "fdatasync", "fsync", "rename", "ftruncate", "unlink"):
        for number in count(1):
            directory = tmp_path / f"{call}-{number}"
            shutil.copytree(template, directory)
            before = traced(strace, f"{call}:signal=SIGKILL:when={number}")
            done = subprocess.run(
                [*before, *program, directory, str(base + 1)],
                cwd=tmp_path,
                capture_output=True,
                check=False,
                timeout=60,
            )
            assert done.returncode in {0, -signal.SIGKILL}, done.stderr.decode()
            asyncio.run(look(directory, base, done.stdout.split(), born=base == 0))
            if done.returncode == 0:
                made[call] = number - 1
                break
    assert made["pwrite64"] > 10, made
    assert made["fdatasync"] >= 5, made
