"""A journal that is older than what was sent: somebody restored a backup, or a disk lied about a power cut."""

import json
import os
import shutil
import signal

KEPT = ("journal.db", "journal.db-wal", "journal.db-shm")


def jobs_by_name(desk):
    """How often the in-process emulator has made a job of each name, from its own log."""
    lines = (desk.campaign / "emulator.ndjson").read_text().splitlines()
    names = {}
    for line in map(json.loads, lines[1:]):
        if "create" in line["do"]:
            name = line["with"]["body"]["name"]["defaultValue"]
            names[name] = names.get(name, 0) + 1
    return names


def killed_at(desk, *run, text):
    """Run until standard error shows `text`, then kill without warning."""
    process = desk.begin(*run)
    desk.wait_for(process, text)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)


def test_an_older_journal_is_recognised_and_creates_nothing_twice(desk):
    """Killed, backed up, gone on with, killed again, the backup restored: the next run knows it cannot know."""
    slow = (
        (desk.path / "plan.yaml")
        .read_text()
        .replace("rate: 50/s", "rate: 10/s")
        .replace("perJob: 10", "perJob: 2")
    )
    (desk.path / "plan.yaml").write_text(slow)
    run = ("run", "plan.yaml", "--emulator", "--speed", "2000")
    killed_at(desk, *run, text="batch.job_created")
    backup = desk.path / "backup"
    backup.mkdir()
    for name in KEPT:
        if (desk.campaign / name).exists():
            shutil.copy2(desk.campaign / name, backup / name)
    killed_at(desk, *run, text="wave=total batch=total/0003")
    before = jobs_by_name(desk)
    assert len(before) >= 4
    for name in KEPT:
        (desk.campaign / name).unlink(missing_ok=True)
        if (backup / name).exists():
            shutil.copy2(backup / name, desk.campaign / name)
    done = desk.run(*run)
    records = [json.loads(line) for line in (desk.campaign / "events.ndjson").read_text().splitlines()]
    lives = [record for record in records if record["event"] == "engine.started"]
    assert lives[-1]["paranoid"] is True
    if done.returncode == 3:  # a wave it never heard of has jobs: a person says that they are ours
        assert "foreign jobs" in done.stderr + done.stdout
        assert desk.run("resume", "small").returncode == 0
        done = desk.run(*run)
    assert done.returncode == 0, done.stderr
    made = jobs_by_name(desk)
    assert set(made.values()) == {1}, made
    assert set(before) <= set(made)
