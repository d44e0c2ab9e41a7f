"""Campaigns that are killed again and again, under trouble, and what the platform holds once they are over.

A trial is one campaign and one platform, which lives on in a process of its own. What chance decides about a trial
follows from its seed; where exactly in a life a moment or a system call falls is the machine's.
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
"""L and S, real: how late the platform may act and be seen, on this machine, which may be busy."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong between the program and the platform while the campaign is killed."""

    faults: tuple[str, ...] = ()
    bounds: tuple[str, str] = NEAR


LATE = "seconds=960"
"""A late effect comes 0.8 real seconds after everybody gave the call up; L has room for a machine that is late too."""

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
    """Starts a life and kills it."""

    forgets: bool
    """Whether a kill also takes from the journal what it had stored."""

    def __call__(self, desk: Desk, rng: random.Random) -> str | None:
        """Return what hit the life, or None if it was over before."""


LINES_MOST = 45
"""Lines a life may say before it is killed: a dozen of preview, then one for each thing that happens."""


class AtAMoment:
    """Kills a life some milliseconds after it has said its n-th line; after no line, while it starts and plans."""

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
    """Kills a life on entering the n-th system call of a kind; `made` says which numbers are worth it."""

    strace: str
    made: Mapping[str, range]
    forgets = False

    def __call__(self, desk, rng):
        """Kill a life at a call, rare kinds more often than their share; if it makes no more of them, where it is then."""
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
    # of storage, and of the limits a process has; socket and connect are what a table that is full comes to
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
    """Lets the n-th system call of a kind fail, and often all after it: a disk that is full, breaks, or has come back.

    What goes on all the same is killed, as is a life that makes no more of the calls.
    """

    strace: str
    made: Mapping[str, range]
    forgets = False

    def __call__(self, desk, rng):
        """Return which call ended a life by failing, or where the life was when it was killed."""
        call = rng.choice(sorted(FAILURES.keys() & self.made.keys()))
        error = rng.choice(FAILURES[call])
        numbers = self.made[call]
        # the earlier, the more of a life is left to suffer from it
        number = numbers[int(len(numbers) * rng.random() ** 2)]
        inject = f"{call}:error={error}:when={number}{rng.choice(('', '+'))}"
        life = desk.start(*LINE, before=traced(self.strace, inject))
        if life.err.find("", LINES_MOST + 1) is not None:
            life.clear_away()
            return f"line {LINES_MOST + 1}"
        return f"{call}={error}" if life.end().code else None


def torn(path, rng):
    """Cut the file off in its last page, as a disk does that lost power while it wrote."""
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
    """Remove the file, as a copy does that forgot it."""
    path.unlink()


class AtAMomentAndDamaged(AtAMoment):
    """The same, and the end of the write-ahead log is damaged: what was committed last is gone, or all of it."""

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
    """Watch one life, and return for each kind of system call the numbers from the journal's first write on.

    They are those of the thread that makes most of them, since strace counts the calls of each thread for itself.
    """
    emulator = desk.emulator("--speed", SPEED)
    lay_out_for_kills(desk, emulator, TROUBLES["none"])
    # no life that is to be killed says more than the first wave does
    done = desk.start(*LINE, "--until", "canary", before=traced(strace)).end()
    assert done.code == 0, done.err
    before, whole = Counter(), Counter()
    for line in (desk.path / "trace").read_text(errors="replace").splitlines():
        # `… resumed>` is the other half of a call that was counted; signals and ends are no calls
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
"""How a life may end here: done, stopped by a failure, refused before it began, killed."""

# --- trials ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a trial came to. `back_s` and `done_s` run from the start of the last life, real seconds.

    `hits` tells what killed each life, `broken` what was not as promised beside the platform's own account.
    """

    hits: tuple[str, ...]
    account: Account
    parked: int
    back_s: float
    done_s: float
    broken: tuple[str, ...]

    @property
    def is_sound(self):
        """Whether all was done, exactly once, and told so."""
        return not (self.broken or self.parked) and self.account.is_exact


def lay_out_for_kills(desk, emulator, trouble):
    """Write the campaign of a trial."""
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
    """Return what is wrong with a journal that should have an intent for each job the platform has."""
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
    """Say, as a person does, that jobs of a wave the journal has forgotten are ours; return whether that was asked."""
    status = desk.run("status", "c1", "-o", "json")
    asked = not status.code and json.loads(status.out)["status"] == "halted"
    if asked:
        assert "foreign jobs" in status.out, status.out
        assert desk.run("resume", "c1").code == 0
    return asked


def run_trial(desk, trouble, killer, *, kills, seed):
    """Run a campaign under a trouble, kill it so often, let the same line finish it, and ask the platform."""
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
        # each wave that was forgotten with its jobs is asked about once
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
    return Outcome(
        hits=tuple(hits),
        account=account(desk, emulator),
        parked=told.get("jobs", {}).get("parked", 0),
        back_s=back_s,
        done_s=monotonic() - begun,
        broken=tuple(broken),
    )
