"""One trial → report: what happened, what was broken, what was reached, and a hash of it all.

`explore` runs many seeds over the cores; `enumerate_crashes` stops one small campaign at every step there is.
"""

from __future__ import annotations

import gc
import hashlib
import multiprocessing
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from random import Random

from rollout.core import events as ev
from rollout.core.lifecycle import CampaignStatus
from rollout.proof.acts import Ending, Tamper, conclude, perform
from rollout.proof.checkers import Evidence, Violation, check
from rollout.proof.trials import ENUMERATED, GAPS_S, Crash, Trial, draw_crash, draw_trial
from rollout.simulation.world import World

__all__ = [
    "REACHED",
    "Report",
    "enumerate_crashes",
    "explore",
    "list_crashes",
    "run_crash",
    "run_seed",
    "run_trial",
]

CHUNK = 20
"""Trials handed to a process at once."""

REACHED = (
    "adopted",
    "re-sent",
    "parked",
    "duplicate noticed",
    "throttled",
    "unsent",
    "refused token",
    "permit thrown away",
    "crash with a create in flight",
    "crash inside a quarantine",
    "stop with creates in flight",
    "later page needed",
    "paranoid resume",
    "commits lost",
    "halted",
    "resumed",
    "approved",
    "aborted",
    "job stopped",
    "batch sent three times",
)
"""What a set of trials that is worth anything comes across, each at least once."""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one trial.

    `creates`: how often a create left. `doubled`: batches with more than one job; `lost`: batches without one in a
    campaign that says it is finished. `steps`: crash points of the last life of the script; `died_at`: where lives
    ended. `trace`: a hash of journal, sends and jobs; equal for equal seeds.
    """

    seed: int
    trouble: str
    ending: Ending | None
    violations: tuple[Violation, ...]
    reached: Counter[str]
    lives: int = 0
    creates: int = 0
    doubled: int = 0
    lost: int = 0
    virtual_s: float = 0.0
    steps: int = 0
    died_at: tuple[str, ...] = ()
    trace: str = ""


def run_trial(trial: Trial, tell: Callable[[str], object] | None = None) -> Report:
    """Run the trial to its end and judge it; an error of the program is a violation like any other.

    Args:
        tell: takes the journal as it stands at the end, line by line.
    """
    with World(trial.scenario) as world:
        try:
            for act in trial.acts:
                perform(world, act)
            steps = world.life.power.steps if world.lives else 0
            ending = conclude(world)
        except Exception as error:  # noqa: BLE001 - whatever the program raised is what is looked for
            where = traceback.extract_tb(error.__traceback__)[-1]
            told = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"
            return Report(
                trial.seed, trial.trouble, None, (Violation("no_error_of_the_program", told),), Counter()
            )
        tampered = any(isinstance(act, Tamper) and act.what != "imitate" for act in trial.acts)
        if tell is not None:
            for at, event in world.disk.history():
                tell(f"{at - trial.scenario.start:10.3f}  {event}")
        evidence = Evidence(world, ending, trial.within_bounds, tampered)
        finished = evidence.state.status is CampaignStatus.FINISHED
        return Report(
            trial.seed,
            trial.trouble,
            ending,
            tuple(check(evidence)),
            _reached(evidence),
            lives=len(world.lives),
            creates=len(world.network.sent),
            doubled=len(evidence.doubled),
            lost=sum(name not in evidence.jobs for name in evidence.names) if finished else 0,
            virtual_s=world.loop.time(),
            steps=steps,
            died_at=tuple(life.power.died_at for life in world.lives if life.power.died_at),
            trace=_trace(world),
        )


def _reached(evidence: Evidence) -> Counter[str]:
    """Count what the trial came across."""
    world, state = evidence.world, evidence.state
    reached: Counter[str] = Counter()
    reached["later page needed"] = world.network.later_pages
    reached["paranoid resume"] = world.paranoid
    reached["commits lost"] = world.disk.lost
    reached["refused token"] = sum(sent.refused for sent in world.network.sent)
    reached["batch sent three times"] = sum(batch.attempt >= 3 for batch in state.batches.values())
    for moment in evidence.history:
        match moment.event:
            case ev.BatchJobCreated(adopted=True):
                reached["adopted"] += 1
            case ev.BatchResendAllowed():
                reached["re-sent"] += 1
            case ev.BatchParked():
                reached["parked"] += 1
            case ev.BatchJobDuplicated():
                reached["duplicate noticed"] += 1
            case ev.BatchCreateThrottled():
                reached["throttled"] += 1
            case ev.BatchCreateUnsent(withheld=withheld):
                reached["permit thrown away" if withheld else "unsent"] += 1
            case ev.EngineStarted():
                reached["crash with a create in flight"] += bool(moment.in_flight)
                reached["crash inside a quarantine"] += bool(moment.unknown)
            case ev.CampaignPaused() | ev.CampaignHalted() | ev.CampaignAbortRequested():
                reached["stop with creates in flight"] += bool(moment.in_flight)
                reached["halted"] += isinstance(moment.event, ev.CampaignHalted)
            case ev.CampaignResumed():
                reached["resumed"] += 1
            case ev.ApprovalGiven():
                reached["approved"] += 1
            case ev.CampaignAborted():
                reached["aborted"] += 1
            case ev.JobStopped():
                reached["job stopped"] += 1
            case _:
                pass
    return +reached


def _trace(world: World) -> str:
    seen = hashlib.sha256()
    for commit in world.disk.commits:
        seen.update(repr(commit).encode())
    for sent in world.network.sent:
        seen.update(f"{sent.at!r} {sent.name}".encode())
    for job in world.platform.all_jobs:
        seen.update(f"{job.id} {job.created_at!r} {job.counts}".encode())
    return seen.hexdigest()[:16]


def run_seed(case: tuple[int, str | None]) -> Report:
    """Draw and run one trial: its seed and its trouble, None where the seed decides."""
    return run_trial(draw_trial(*case))


def explore(cases: Iterable[tuple[int, str | None]], jobs: int = 1) -> Iterator[Report]:
    """Yield the reports of many trials, in their order, run by `jobs` processes."""
    yield from _spread(run_seed, cases, jobs)


def run_crash(crash: Crash) -> Report:
    """Run the small campaign with one crash."""
    return run_trial(draw_crash(crash))


def list_crashes(
    lags_s: Iterable[float] = (0.0, 2.0, 30.0),
    gaps_s: Iterable[float] = GAPS_S,
    seeds: Iterable[int] = (0,),
    troubles: Iterable[str] = ENUMERATED,
) -> Iterator[Crash]:
    """Yield every crash of the small campaign: each step of it, under each trouble, lag and seed, before each gap.

    Each is followed, at the first gap, by one with a second death at a step that is drawn, and one with lost commits.
    """
    gaps = tuple(gaps_s)
    for trouble, lag_s, seed in product(troubles, tuple(lags_s), tuple(seeds)):
        whole = Crash(trouble, lag_s, seed)
        dice = Random(f"{whole}/second")  # noqa: S311 - repeatable chance is the purpose
        for at in range(1, run_crash(whole).steps + 1):
            crash = replace(whole, at=at)
            yield from (replace(crash, gap_s=gap_s) for gap_s in gaps)
            yield replace(crash, then=dice.randint(1, 40), gap_s=gaps[0])
            yield replace(crash, lost=dice.randint(1, 3), gap_s=gaps[0])


def enumerate_crashes(crashes: Iterable[Crash], jobs: int = 1) -> Iterator[Report]:
    """Yield the reports of many crashes, in their order, run by `jobs` processes."""
    yield from _spread(run_crash, crashes, jobs)


def _spread(work: Callable[..., Report], cases: Iterable[object], jobs: int) -> Iterator[Report]:
    if jobs == 1:
        yield from map(work, cases)
        return
    # forked once everything is imported; what stands then need not be looked through for garbage
    gc.freeze()
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield from pool.imap(work, cases, CHUNK)
