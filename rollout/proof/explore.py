"""Running trials: one trial gives one result with its violations, what it came across, and a hash of everything.

`explore` runs many seeds in several processes. `enumerate_crashes` kills one small campaign at every crash point.
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
from rollout.proof.acts import Tamper, TrialEnding, apply_act, conclude
from rollout.proof.checkers import TrialEvidence, Violation, check
from rollout.proof.trials import ENUMERATED, GAPS_S, Crash, Trial, draw_crash, draw_trial
from rollout.simulation.world import World

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
"""What a useful set of trials comes across, each at least once. The program prints the names it never reached."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What became of one trial.

    `ending`: None if the program raised an error. `reached`: counts by the names in `REACHED`. `creates`: creates that
    left. `doubled`: batches with more than one job. `lost`: batches without a job in a campaign that says it is finished.
    `virtual_s`: virtual seconds it took. `steps`: crash points passed by the last process of the script. `died_at`: crash
    points at which processes died. `trace`: hash of journal, creates and jobs; equal for equal seeds.
    """

    seed: int
    trouble: str
    ending: TrialEnding | None
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


def run_trial(trial: Trial, show: Callable[[str], object] | None = None) -> TrialResult:
    """Run the trial to its end and check every rule. An error of the program becomes a violation.

    Args:
        show: called with each line of the journal at the end; None: the journal is not shown.
    """
    with World(trial.scenario) as world:
        try:
            for act in trial.acts:
                apply_act(world, act)
            steps = world.life.power.steps if world.lives else 0
            ending = conclude(world)
        except Exception as error:  # noqa: BLE001 - any error of the program is what this looks for
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"
            return TrialResult(
                trial.seed, trial.trouble, None, (Violation("no_error_of_the_program", text),), Counter()
            )
        tampered = any(isinstance(act, Tamper) and act.what != "imitate" for act in trial.acts)
        if show is not None:
            for at, event in world.disk.history():
                show(f"{at - trial.scenario.start:10.3f}  {event}")
        evidence = TrialEvidence(world, ending, trial.within_bounds, tampered)
        finished = evidence.state.status is CampaignStatus.FINISHED
        return TrialResult(
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


def _reached(evidence: TrialEvidence) -> Counter[str]:
    """Return how often the trial came across each name in `REACHED`; names never met are left out."""
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


def run_seed(case: tuple[int, str | None]) -> TrialResult:
    """Draw and run one trial.

    Args:
        case: seed and trouble; None as trouble: the seed decides.
    """
    return run_trial(draw_trial(*case))


def explore(cases: Iterable[tuple[int, str | None]], jobs: int = 1) -> Iterator[TrialResult]:
    """Yield the results of many trials, in the order of the cases, run by `jobs` processes."""
    yield from _spread(run_seed, cases, jobs)


def run_crash(crash: Crash) -> TrialResult:
    """Run the small campaign with this crash."""
    return run_trial(draw_crash(crash))


def list_crashes(
    lags_s: Iterable[float] = (0.0, 2.0, 30.0),
    gaps_s: Iterable[float] = GAPS_S,
    seeds: Iterable[int] = (0,),
    troubles: Iterable[str] = ENUMERATED,
) -> Iterator[Crash]:
    """Yield every crash of the small campaign: at each crash point, under each trouble, lag and seed, with each gap.

    After each of them come, with the first gap, one with a second death at a crash point that is drawn, and one with lost
    commits.
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


def enumerate_crashes(crashes: Iterable[Crash], jobs: int = 1) -> Iterator[TrialResult]:
    """Yield the results of many crashes, in their order, run by `jobs` processes."""
    yield from _spread(run_crash, crashes, jobs)


def _spread(work: Callable[..., TrialResult], cases: Iterable[object], jobs: int) -> Iterator[TrialResult]:
    if jobs == 1:
        yield from map(work, cases)
        return
    # the processes are forked after all imports; freezing keeps the collector from walking through what is shared
    gc.freeze()
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield from pool.imap(work, cases, CHUNK)
