"""Runs campaigns until a number of real `kill -9` has hit them; prints a table with a row for each trouble and way to kill.

    python tests/system/kill_campaigns.py [--kills 500] [--way call …] [--seed N] [--workers 2]

Every campaign has a platform of its own, in a process that stays alive. A life is one process of the program. Ten lives of a
campaign are ended, and then the same command finishes it. The ways:

- `moment`: killed some milliseconds after a line of output;
- `damaged`: the same, and the end of the journal's write-ahead log is cut off or altered, or the whole log is removed;
- `call`: killed when it enters a system call of any kind (this and the next need strace);
- `failure`: a call to the disk or for a descriptor fails, once or from then on. A life that goes on is killed.

Columns: lives that were killed; lives that a failure ended; jobs on the platform; jobs and devices made twice; devices in
no job; batches left to a person; anything else that is not as promised; the longest time from the start of a last life
until it was at work, in seconds. Exit code 1 if twice, lost, parked or else is not 0; the directory of such a campaign
is kept, and its seed repeats its random choices.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # as pytest's settings do for tests
from campaigns_at_hand import Account
from kills import (
    TROUBLES,
    AtACall,
    AtAFailure,
    AtAMoment,
    AtAMomentAndDamaged,
    Killer,
    KillReport,
    calls_made,
    run_killed,
)
from processes import Desk
from support.strace import find_strace

KILLS_A_RUN = 10
WAYS = ("moment", "damaged", "call", "failure")
HEAD = (
    "trouble",
    "killed at",
    "campaigns",
    "kills",
    "failures",
    "jobs",
    "twice",
    "lost",
    "parked",
    "else",
    "resume s",
)


@dataclass(frozen=True, slots=True)
class KillRun:
    """One campaign to be killed. Its random choices depend on `seed`, which all campaigns share, and `number`."""

    trouble: str
    way: str
    killer: Killer
    seed: int
    number: int

    def run(self):
        """Run the campaign and return its report; print one that is not sound at once."""
        path = Path(tempfile.mkdtemp(prefix="killed-"))
        desk = Desk(path)
        try:
            report = run_killed(
                desk,
                TROUBLES[self.trouble],
                self.killer,
                kills=KILLS_A_RUN,
                seed=f"{self.seed}/{self.number}",
            )
        except (AssertionError, subprocess.TimeoutExpired) as error:
            # for example a wait without end; the other campaigns go on
            report = KillReport((), Account(0, 0, 0, 0), 0, 0.0, 0.0, (f"{type(error).__name__}: {error}",))
        finally:
            desk.clear_away()
        if report.is_sound:
            shutil.rmtree(path)
        else:
            print(f"{path}: not as promised, seed {self.seed}/{self.number}: {report}", flush=True)
        return report


def ways():
    """Return the ways in which lives can be killed on this machine, by name."""
    strace, why_not = find_strace()
    moments = {"moment": AtAMoment(), "damaged": AtAMomentAndDamaged()}
    if not strace:
        print(f"no kills at system calls: {why_not}")
        return moments
    with tempfile.TemporaryDirectory() as path:
        desk = Desk(Path(path))
        try:
            made = calls_made(desk, strace)
        finally:
            desk.clear_away()
    return {**moments, "call": AtACall(strace, made), "failure": AtAFailure(strace, made)}


def run_all(kills, names, seed, workers):
    """Run campaigns, `workers` at a time, until `kills` kills have hit; return the runs with their reports."""
    kinds = list(product(TROUBLES, [(name, way) for name, way in ways().items() if name in names]))
    if not kinds:
        raise SystemExit("no life can be ended in this way here")
    done, numbers = [], count()
    with ThreadPoolExecutor(workers) as pool:
        while (landed := sum(len(report.hits) - failures_of(report) for _, report in done)) < kills:
            more = [next(numbers) for _ in range(-(-(kills - landed) // KILLS_A_RUN))]
            runs = [KillRun(trouble, *way, seed, n) for n in more for trouble, way in [kinds[n % len(kinds)]]]
            for run, report in zip(runs, pool.map(KillRun.run, runs), strict=True):
                done.append((run, report))
                print(f"\r{len(done)} campaigns", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return done


def failures_of(report):
    """Return how many lives a failed call ended."""
    return sum("=" in hit for hit in report.hits)


def row(reports):
    """Return the figures of some reports, one for each column of the table."""
    return (
        len(reports),
        sum(len(report.hits) for report in reports) - (failures := sum(map(failures_of, reports))),
        failures,
        sum(report.account.jobs for report in reports),
        sum(report.account.duplicates for report in reports),
        sum(report.account.lost for report in reports),
        sum(report.parked for report in reports),
        sum(report.account.foreign + len(report.broken) for report in reports),
        f"{max((report.back_s for report in reports), default=0.0):.1f}",
    )


def table(done):
    """Return the lines of the table; the last has the sums."""
    kinds = dict.fromkeys((run.trouble, run.way) for run, _ in done)
    rows = [
        HEAD,
        *((*kind, *row([o for t, o in done if (t.trouble, t.way) == kind])) for kind in kinds),
        ("all", "", *row([report for _, report in done])),
    ]
    widths = [max(len(str(cells[n])) for cells in rows) for n in range(len(HEAD))]
    return [
        "  ".join(
            f"{cell:<{width}}" if n < 2 else f"{cell:>{width}}"
            for n, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in rows
    ]


def main():
    """Parse, run, print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=500, help="kills that must land, at least")
    parser.add_argument("--way", choices=WAYS, action="append", help="how lives end; all ways, if left out")
    parser.add_argument("--seed", type=int, help="what all chance follows from")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="campaigns at once")
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(10**9) if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    done = run_all(asked.kills, asked.way or WAYS, seed, asked.workers)
    print(*table(done), sep="\n")
    at_calls = Counter(hit for _, report in done for hit in report.hits if not hit.startswith("line "))
    print("at calls:", ", ".join(f"{call} {times}" for call, times in at_calls.most_common()) or "none")
    return 0 if all(report.is_sound for _, report in done) else 1


if __name__ == "__main__":
    sys.exit(main())
