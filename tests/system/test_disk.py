"""A disk that is small, fills up or becomes read-only: reported in time, and nothing is lost.

Mounting a disk needs root. `test_kills.py` has disks that fail at single calls, which needs strace only.
"""

import subprocess
from contextlib import suppress

import pytest
from campaigns_at_hand import account
from kills import BATCHES, LINE, TROUBLES, lay_out_for_kills, unannounced
from processes import creates


class Disk:
    """A disk in memory, mounted on the directory with the campaign's state."""

    def __init__(self, place):
        self.place = place
        self._ballast = place / "ballast"

    def mount(self, *options):
        """Mount it, or change how it is mounted; return the error text, empty if it worked."""
        line = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", self.place]
        return subprocess.run(line, capture_output=True, text=True, check=False).stderr.strip()

    def change(self, *options):
        """Change how it is mounted."""
        assert not self.mount("remount", *options)

    def fill(self, left_bytes=0):
        """Fill it up until `left_bytes` are free."""
        with self._ballast.open("wb", buffering=0) as file:
            with suppress(OSError):  # no space left, which is the end
                while True:
                    file.write(bytes(4096))
            file.truncate(file.tell() - left_bytes)

    def free(self):
        """Free the space again."""
        self._ballast.unlink()


@pytest.fixture
def disk(desk):
    """A disk of 32 MB for the campaign; skips the test if none can be mounted here."""
    place = desk.path / ".rollout"
    place.mkdir()
    disk = Disk(place)
    if why_not := disk.mount("size=32m"):
        pytest.skip(f"no disk can be mounted here: {why_not}")
    yield disk
    desk.clear_away()
    subprocess.run(["umount", "--recursive", place], check=True)


@pytest.fixture
def emulator(desk):
    """A platform, and a campaign of 80 jobs for it."""
    emulator = desk.emulator("--speed", LINE[LINE.index("--speed") + 1])
    lay_out_for_kills(desk, emulator, TROUBLES["none"])
    return emulator


def assert_finishes(desk, emulator):
    """Assert that the same command finishes the campaign, with one job for each batch."""
    done = desk.run(*LINE)
    assert done.code == 0, done.err
    found = account(desk, emulator)
    assert (found.is_exact, found.jobs) == (True, BATCHES)


def test_too_little_room_is_told_before_anything_is_sent(desk, disk, emulator):
    """R710 says how much is free and how much is needed, as text and as JSON; with more room the campaign runs."""
    disk.fill(left_bytes=2 << 20)
    for form in ("text", "json"):
        ended = desk.run(*LINE, "-o", form)
        assert (ended.code, ended.out) == (1, "")
        assert "R710" in ended.err
        assert "MB are free, a campaign with 80 jobs to go needs 17.1 MB" in ended.err
    assert creates(emulator.log) == []
    disk.free()
    assert_finishes(desk, emulator)


def test_a_disk_that_fills_up_stops_the_run(desk, disk, emulator):
    """R709 and exit code 1, no job without an intent; `status` still works; with room again the campaign goes on."""
    life = desk.start(*LINE)
    life.err.expect("batch.job_created", 5)
    disk.fill()
    ended = life.end()
    assert ended.code == 1
    assert "not stored: database or disk is full [R709]" in ended.err
    assert "Go on with:  rollout run plan.yaml" in ended.err
    assert "Traceback" not in ended.err
    assert unannounced(desk, emulator) == []
    made = len(creates(emulator.log))
    assert 5 <= made < BATCHES
    status = desk.run("status", "c1")
    assert (status.code, "the last one died" in status.out) == (0, True)
    again = desk.run(*LINE)
    assert (again.code, len(creates(emulator.log))) == (2 if "R183" in again.err else 1, made)
    disk.free()
    assert_finishes(desk, emulator)


def test_what_cannot_be_written_is_told_before_anything_is_sent(desk, disk, emulator):
    """A disk or a journal that became read-only: R706 names the file, nothing is sent, and `status` still works."""
    life = desk.start(*LINE)
    life.err.expect("batch.job_created", 5)
    assert life.kill_after(0)
    made = len(creates(emulator.log))
    journal = desk.campaign("c1") / "journal.db"

    def refused(path):
        ended = desk.run("run", desk.campaign("c1") / "plan.json", *LINE[2:])
        assert ended.code == 1
        assert f"{path}: Read-only file system [R706]" in ended.err
        assert len(creates(emulator.log)) == made
        assert desk.run("status", "c1").code == 0

    disk.change("ro")
    refused(journal.with_name("journal.lock"))
    disk.change("rw")
    subprocess.run(["mount", "--bind", journal, journal], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", journal], check=True)
    refused(journal)
    subprocess.run(["umount", journal], check=True)
    assert_finishes(desk, emulator)
