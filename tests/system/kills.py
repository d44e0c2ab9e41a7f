"""Campaigns that are killed again and again, under trouble, and what the platform holds once they are over.

A life is one process of the program, from its start to its end. A run is one campaign on a platform of its own, which
stays alive in another process: lives that are killed, and a last one that finishes the campaign. The random choices of a
run depend on its seed; where exactly in a life a moment or a system call falls depends on the machine.
"""

import json
import os
import random
import re
import signal
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from campaigns_at_hand import Account, account, lay_out
from processes import Desk
from support.strace import traced

from rollout.core.events import BatchCreateSent
from rollout.errors import JournalError
from rollout.journal.sqlite import JOURNAL_NAME, read_events

SPEED = "1200"
"""Times faster than real: ten minutes of a device's work take half a second."""
LINE = ("run", "plan.yaml", "--yes", "--speed", SPEED, "-v")
BATCHES = 80
PER_JOB = 2
WAVES = 2
CREATE_RATE = 40

NEAR = ("500ms", "200ms")
FAR = ("2s", "200ms")
"""`latest_effect` and `search_lag` of the profile, in real time; this machine may be busy."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong between the program and the platform while the campaign is killed."""

    faults: tuple[str, ...] = ()
    bounds: tuple[str, str] = NEAR


LATE = "seconds=960"
"""A late effect comes 0.8 real seconds after the call was given up; `FAR` has room for a machine that is late too."""

TROUBLES = {
    "none": Trouble(),
    "request lost": Trouble(("drop_before_commit=0.25",)),
    "answer lost": Trouble(("commit_then_drop=0.25",)),
    "5xx after effect": Trouble(("commit_then_500=0.15", "commit_then_24500=0.15")),
    "cut answer": Trouble(("truncated=0.15", "half_closed=0.15")),
    "slow answer": Trouble(("slow_answer=0.7,seconds=0.2",)),
    "late effect": Trouble((f"delay=0.2,{LATE}",), FAR),
    "throttled": Trouble(("http_429=0.3",)),
    "all of these": Trouble(
        (
            "drop_before_commit=0.06",
            "commit_then_drop=0.06",
            "commit_then_500=0.06",
            "truncated=0.06",
            "slow_answer=0.2,seconds=0.2",
            f"delay=0.06,{LATE}",
            "http_429=0.1",
        ),
        FAR,
    ),
}


# --- kills -------------------------------------------------------------------------------------------------


class Killer(Protocol):
    """A way to start a life and kill it."""

    forgets: bool
    """Whether the kill also damages the journal, so that it loses events."""

    def __call__(self, desk: Desk, rng: random.Random) -> str | None:
        """Start a life and kill it; return what the kill hit, for the table, or None if the life ended before."""


LINES_MOST = 45
"""Lines of output before a life is killed at the latest: a dozen of preview, then one for each event."""


class AtAMoment:
    """Kills a life some milliseconds after its n-th line of output; n = 0 is while it starts and plans."""

    forgets = False

    def __call__(self, desk, rng):
        """Kill a life at a moment."""
        lines = rng.randint(0, LINES_MOST)
        seconds = rng.uniform(0, 0.06 if lines else 0.4)
        life = desk.start(*LINE)
        if lines and life.err.find("", lines) is None:
            return None
        return f"line {lines}" if life.kill_after(seconds) else None


@dataclass(frozen=True)
class AtACall:
    """Kills a life when it enters the n-th system call of a kind. `made`: call → the numbers n to choose from."""

    strace: str
    made: Mapping[str, range]
    forgets = False

    def __call__(self, desk, rng):
        """Kill a life at a call; rare kinds are chosen more often than their share.

        A life that does not make the call again is killed after `LINES_MOST` lines.
        """
        kinds = sorted(self.made)
        call = rng.choices(kinds, [len(self.made[kind]) ** 0.5 for kind in kinds])[0]
        number = rng.choice(self.made[call])
        inject = f"{call}:signal=SIGKILL:when={number}"
        life = desk.start(*LINE, before=traced(self.strace, inject))
        if life.err.find("", LINES_MOST + 1) is not None:
            life.clear_away()  # it and strace, which would let it go
            return f"line {LINES_MOST + 1}"
        return call if life.end().code == -signal.SIGKILL else None


FAILURES = {
    # errors of a disk, and of a process without free descriptors
    "pwrite64": ("ENOSPC", "EIO"),
    "fdatasync": ("EIO", "ENOSPC"),
    "fsync": ("EIO",),
    "ftruncate": ("EIO",),
    "write": ("ENOSPC", "EIO"),
    "socket": ("EMFILE",),
    "unlink": ("EROFS",),
    "rename": ("ENOSPC",),
    "pread64": ("EIO",),
}


@dataclass(frozen=True)
class AtAFailure:
    """Lets the n-th system call of a kind fail, and often all later ones: a disk that is full, broken or read-only.

    A life that goes on all the same is killed, and so is one that does not make the call again.
    """

    strace: str
    made: Mapping[str, range]
    forgets = False

    def __call__(self, desk, rng):
        """Start a life; return which failed call ended it, or after which line it was killed."""
        call = rng.choice(sorted(FAILURES.keys() & self.made.keys()))
        error = rng.choice(FAILURES[call])
        numbers = self.made[call]
        # early calls are chosen more often: more of the life then comes after the failure
        number = numbers[int(len(numbers) * rng.random() ** 2)]
        inject = f"{call}:error={error}:when={number}{rng.choice(('', '+'))}"
        life = desk.start(*LINE, before=traced(self.strace, inject))
        if life.err.find("", LINES_MOST + 1) is not None:
            life.clear_away()
            return f"line {LINES_MOST + 1}"
        return f"{call}={error}" if life.end().code else None


def torn(path, rng):
    """Cut the file off within its last page, as after a power cut during a write."""
    os.truncate(path, max(0, path.stat().st_size - rng.randint(1, 4096)))


def flipped(path, rng):
    """Turn one bit of the last page."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size - rng.randint(1, min(4096, size)))
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1 << rng.randrange(8)]))


def deleted(path, rng):
    """Remove the file, as if the directory was copied without it."""
    path.unlink()


class AtAMomentAndDamaged(AtAMoment):
    """The same, and then the end of the journal's write-ahead log is damaged: the last commits are lost, or all of them."""

    forgets = True

    def __call__(self, desk, rng):
        """Kill a life at a moment, then damage what it left."""
        hit = super().__call__(desk, rng)
        log = desk.campaign("c1") / f"{JOURNAL_NAME}-wal"
        if hit is None or not log.exists() or not log.stat().st_size:
            return hit
        damage = rng.choice((torn, flipped, deleted))
        damage(log, rng)
        return f"{damage.__name__} log"


def calls_made(desk, strace):
    """Trace one life; return for each kind of system call the numbers of the calls made since the journal's first write.

    strace counts the calls of each thread separately; the numbers are those of the thread that makes most of them.
    """
    emulator = desk.emulator("--speed", SPEED)
    lay_out_for_kills(desk, emulator, TROUBLES["none"])
    # a life that is to be killed never gets further than the first wave
    done = desk.start(*LINE, "--until", "canary", before=traced(strace)).end()
    assert done.code == 0, done.err
    before, whole = Counter(), Counter()
    for line in (desk.path / "trace").read_text(errors="replace").splitlines():
        # `… resumed>` is the second half of a call that was counted already; signals and exits are no calls
        found = re.match(r"(\d+) +(\w+)\(", line)
        if found is None:
            continue
        thread, call = found.groups()
        if call == "pwrite64" and not before:
            before = whole.copy()
        whole[call, thread] += 1
    made = {}
    for (call, thread), times in whole.items():
        since = before[call, thread]
        numbers = range(since + 1, times + 1)
        if len(numbers) > len(made.get(call, ())):
            made[call] = numbers
    return made


ENDS = {0, 1, 2, -signal.SIGKILL}
"""Exit codes that a life may end with: done, stopped by a failure, refused before it began, killed."""

# --- runs ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KillReport:
    """The result of a run. `back_s`, `done_s`: real seconds from the start of the last life until it was at work, until its end.

    `hits`: what hit each life. `account`: what the platform holds. `parked`: batches left to a person. `broken`: sentences
    about anything else that is not as promised.
    """

    hits: tuple[str, ...]
    account: Account
    parked: int
    back_s: float
    done_s: float
    broken: tuple[str, ...]

    @property
    def is_sound(self):
        """Whether every batch is one job with its devices and nothing else was wrong."""
        return not (self.broken or self.parked) and self.account.is_exact


def lay_out_for_kills(desk, emulator, trouble):
    """Write the campaign of a run."""
    lay_out(
        desk,
        emulator.url,
        devices=BATCHES * PER_JOB,
        per_job=PER_JOB,
        canary="25%",
        rate=CREATE_RATE,
        rest="apiRetry: {attempts: 20}",
        bounds=trouble.bounds,
    )


def unannounced(desk, emulator):
    """Return a sentence for each job on the platform that has no intent in the journal, or why the journal cannot be read."""
    directory = desk.campaign("c1")
    announced = set()
    if (directory / JOURNAL_NAME).exists():
        try:
            announced = {
                event.name for _, event in read_events(directory) if isinstance(event, BatchCreateSent)
            }
        except JournalError as error:
            return [str(error)]
    return [f"{name} exists without an intent" for name in emulator.names().keys() - announced]


def vouch(desk):
    """Resume a campaign that has halted over jobs its damaged journal does not know; return whether it had halted."""
    status = desk.run("status", "c1", "-o", "json")
    asked = not status.code and json.loads(status.out)["status"] == "halted"
    if asked:
        assert "foreign jobs" in status.out, status.out
        assert desk.run("resume", "c1").code == 0
    return asked


def run_killed(desk, trouble, killer, *, kills, seed):
    """Run a campaign under a trouble, end `kills` lives, let the same command finish it; return the report."""
    rng = random.Random(seed)
    faults = [f"--fault={fault}" for fault in trouble.faults]
    emulator = desk.emulator("--speed", SPEED, "--seed", rng.randrange(10**9), *faults)
    lay_out_for_kills(desk, emulator, trouble)
    hits, broken = [], []
    for _ in range(kills):
        if hit := killer(desk, rng):
            hits.append(hit)
        if killer.forgets:
            vouch(desk)
        else:
            broken += [f"after {hit}: {fault}" for fault in unannounced(desk, emulator)]
    begun = monotonic()
    last = desk.start(*LINE, "-o", "json")
    last.err.find("engine.started")
    back_s = monotonic() - begun
    done = last.end()
    for _ in range(WAVES):
        # it halts once for each wave that the journal has lost
        if killer.forgets and vouch(desk):
            done = desk.run(*LINE, "-o", "json")
    told = json.loads(done.out) if done.out else {}
    broken += [
        f"a life ended with {life.code}: {life.err}"
        for life in desk.ended()
        if life.code not in (ENDS | {3} if killer.forgets else ENDS) or "Traceback" in life.err
    ]
    devices = told.get("devices", {})
    if (done.code, devices.get("succeeded"), devices.get("planned")) != (0, *[BATCHES * PER_JOB] * 2):
        broken.append(f"the last life ended with {done.code}: {done.out}\n{done.err[-3000:]}")
    return KillReport(
        hits=tuple(hits),
        account=account(desk, emulator),
        parked=told.get("jobs", {}).get("parked", 0),
        back_s=back_s,
        done_s=monotonic() - begun,
        broken=tuple(broken),
    )
