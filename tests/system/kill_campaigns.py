"""As many campaigns as it takes for so many real `kill -9`, and a table: one row for each trouble and way to be killed.

    python tests/system/kill_campaigns.py [--kills 500] [--way call …] [--seed N] [--workers 2]

Every campaign has a platform of its own in a process that lives on. Its lives are ended ten times, and then the same
line finishes it. How they end:

- `moment`: killed some milliseconds after the life has said something;
- `damaged`: so, and the end of the journal's write-ahead log is cut off, altered, or all of it removed;
- `call`: killed on entering a system call of any kind (this and the next need strace);
- `failure`: a call to the disk or for a descriptor fails, once or from then on. A life that goes on is killed.

Columns: lives that were killed, and that ended by a failure; jobs on the platform; jobs and devices made twice; devices
in no job; batches left to a person; anything else that is not as promised; the longest time from the start of a last
life until it was back at work, in seconds. Ends with 1 if any of the four is not 0; such a campaign's directory is
kept, and its seed makes it again.
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
    Outcome,
    calls_made,
    run_trial,
)
from processes import Desk
from support.strace import find_strace

KILLS_A_TRIAL = 10
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
class Trial:
    """One campaign to be killed: `number` is what its chance follows from, beside the seed of all."""

    trouble: str
    way: str
    killer: Killer
    seed: int
    number: int

    def run(self):
        """Carry it out and return its outcome; what is not sound is told at once."""
        path = Path(tempfile.mkdtemp(prefix="killed-"))
        desk = Desk(path)
        try:
            outcome = run_trial(
                desk,
                TROUBLES[self.trouble],
                self.killer,
                kills=KILLS_A_TRIAL,
                seed=f"{self.seed}/{self.number}",
            )
        except (AssertionError, subprocess.TimeoutExpired) as error:
            # a wait that never ended, say; the others go on
            outcome = Outcome((), Account(0, 0, 0, 0), 0, 0.0, 0.0, (f"{type(error).__name__}: {error}",))
        finally:
            desk.clear_away()
        if outcome.is_sound:
            shutil.rmtree(path)
        else:
            print(f"{path}: not as promised, seed {self.seed}/{self.number}: {outcome}", flush=True)
        return outcome


def ways():
    """Return how lives can be killed here, by name."""
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
    """Run trials side by side until so many kills have landed; return them with their outcomes."""
    kinds = list(product(TROUBLES, [(name, way) for name, way in ways().items() if name in names]))
    if not kinds:
        raise SystemExit("no life can be ended in this way here")
    done, numbers = [], count()
    with ThreadPoolExecutor(workers) as pool:
        while (landed := sum(len(outcome.hits) - failures_of(outcome) for _, outcome in done)) < kills:
            more = [next(numbers) for _ in range(-(-(kills - landed) // KILLS_A_TRIAL))]
            trials = [Trial(trouble, *way, seed, n) for n in more for trouble, way in [kinds[n % len(kinds)]]]
            for trial, outcome in zip(trials, pool.map(Trial.run, trials), strict=True):
                done.append((trial, outcome))
                print(f"\r{len(done)} campaigns", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return done


def failures_of(outcome):
    """Return how many lives ended by themselves, because a call failed."""
    return sum("=" in hit for hit in outcome.hits)


def row(outcomes):
    """Return the figures of some outcomes, in the order of the table's columns."""
    return (
        len(outcomes),
        sum(len(outcome.hits) for outcome in outcomes) - (failures := sum(map(failures_of, outcomes))),
        failures,
        sum(outcome.account.jobs for outcome in outcomes),
        sum(outcome.account.duplicates for outcome in outcomes),
        sum(outcome.account.lost for outcome in outcomes),
        sum(outcome.parked for outcome in outcomes),
        sum(outcome.account.foreign + len(outcome.broken) for outcome in outcomes),
        f"{max((outcome.back_s for outcome in outcomes), default=0.0):.1f}",
    )


def table(done):
    """Return the lines of the table, the sum of all last."""
    kinds = dict.fromkeys((trial.trouble, trial.way) for trial, _ in done)
    rows = [
        HEAD,
        *((*kind, *row([o for t, o in done if (t.trouble, t.way) == kind])) for kind in kinds),
        ("all", "", *row([outcome for _, outcome in done])),
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
    at_calls = Counter(hit for _, outcome in done for hit in outcome.hits if not hit.startswith("line "))
    print("at calls:", ", ".join(f"{call} {times}" for call, times in at_calls.most_common()) or "none")
    return 0 if all(outcome.is_sound for _, outcome in done) else 1


if __name__ == "__main__":
    sys.exit(main())
