"""A study: one plan simulated at several true failure rates, with many seeds, in several processes.

The rates take turns, so an interrupted study has runs of every rate. The result depends on the runs alone: not on the
order in which they finished, and not on the number of processes.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

from rollout.core.reasons import HaltReason
from rollout.engine.interpreter import tune
from rollout.errors import RolloutError
from rollout.forecast.figures import Proportion, quantile
from rollout.forecast.run import ForecastSetup, SimulatedRun, WaveTimes, simulate_once

Rate = float | None
"""The true failure ratio of every device, 0 to 1; None: each device fails as the fleet file says."""


@dataclass(frozen=True, slots=True)
class StudySpec:
    """What to simulate.

    `setup`: called once in each process; returns what the runs share. It must be picklable. `rates`: failure rates to
    try. `seeds`: one run for each rate and seed. `jobs`: number of processes.
    """

    setup: Callable[[], ForecastSetup]
    rates: Sequence[Rate]
    seeds: Sequence[int]
    jobs: int = 1

    @property
    def cases(self) -> list[tuple[Rate, int]]:
        """Rate and seed of every run, in the order in which they are started: the rates take turns."""
        return [(rate, seed) for seed in self.seeds for rate in self.rates]


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Median, 90 % quantile and maximum of one number over several runs."""

    median: float
    p90: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Quantiles | None:
        """Return the quantiles of the values; None if there are no values."""
        if not values:
            return None
        median, p90 = quantile(values, 0.5), quantile(values, 0.9)
        assert median is not None, "there is a value"
        assert p90 is not None, "there is a value"
        return cls(median, p90, max(values))


@dataclass(frozen=True, slots=True)
class RateStudy:
    """All runs at one failure rate, sorted by seed."""

    rate: Rate
    runs: tuple[SimulatedRun, ...]

    def ended(self, ending: str) -> list[SimulatedRun]:
        """Return the runs with this ending."""
        return [run for run in self.runs if run.ending == ending]

    def share(self, ending: str) -> Proportion:
        """Return the proportion of runs with this ending."""
        return Proportion(len(self.ended(ending)), len(self.runs))

    def quantiles(self, of: Callable[[SimulatedRun], float], ending: str | None = None) -> Quantiles | None:
        """Return the quantiles of one number over all runs, or over the runs with this ending; None if there are none."""
        return Quantiles.of([of(run) for run in (self.runs if ending is None else self.ended(ending))])

    @property
    def stops(self) -> list[tuple[int | None, HaltReason, int]]:
        """Wave (None: no gate stopped it), reason and number of the stopped runs; the most frequent first."""
        seen = Counter((run.stop.wave, run.stop.reason) for run in self.runs if run.stop)
        ranked = sorted(
            seen.items(), key=lambda item: (-item[1], -1 if item[0][0] is None else item[0][0], item[0][1])
        )
        return [(wave, reason, count) for (wave, reason), count in ranked]

    def passed(self, wave: int) -> Proportion:
        """Return the proportion of runs in which the gate of the wave passed, among those that opened the wave."""
        opened = [run for run in self.runs if run.waves[wave].opened_s is not None]
        return Proportion(sum(run.waves[wave].passed_s is not None for run in opened), len(opened))

    def times(self, wave: int, of: Callable[[WaveTimes], float | None]) -> Quantiles | None:
        """Return the quantiles of one time of the wave, over the runs that reached it; None if none did."""
        return Quantiles.of([at for run in self.runs if (at := of(run.waves[wave])) is not None])


@dataclass(frozen=True, slots=True)
class Study:
    """The finished runs by rate, in the order of the rates asked for. `asked`: number of runs wanted."""

    by_rate: tuple[RateStudy, ...]
    asked: int

    @property
    def done(self) -> int:
        """Number of finished runs."""
        return sum(len(rate.runs) for rate in self.by_rate)


def exposed(run: SimulatedRun) -> int:
    """Return how many devices had been pushed the firmware when the campaign ended or was stopped."""
    return (run.stop.counts if run.stop else run.ended).reached


def failed(run: SimulatedRun) -> int:
    """Return how many devices had failed when the campaign ended or was stopped."""
    return (run.stop.counts if run.stop else run.ended).failed


def run_study(spec: StudySpec, progress: Callable[[int, int], None]) -> Study:
    """Simulate every rate and seed. `rollout simulate` calls this.

    Args:
        progress: called after each run with the number of finished runs and the number of all runs.
    Returns: all runs; after Ctrl-C those that were finished.
    Raises: RolloutError if a run or a process fails; KeyboardInterrupt if no run was finished.
    """
    wanted = spec.cases
    found: list[SimulatedRun] = []
    try:
        for run in _runs(spec, wanted):
            found.append(run)
            progress(len(found), len(wanted))
    except KeyboardInterrupt:
        if not found:
            raise
    found.sort(key=lambda run: run.seed)
    by_rate = tuple(RateStudy(rate, tuple(t for t in found if t.rate == rate)) for rate in spec.rates)
    return Study(by_rate, len(wanted))


def _runs(spec: StudySpec, wanted: Sequence[tuple[Rate, int]]) -> Iterator[SimulatedRun]:
    if spec.jobs == 1 or len(wanted) == 1:
        setup = spec.setup()
        yield from (simulate_once(setup, rate, seed) for rate, seed in wanted)
        return
    with _processes(spec, min(spec.jobs, len(wanted))) as pool:
        pending: set[Future[SimulatedRun]] = {
            pool.submit(_simulate_here, rate, seed) for rate, seed in wanted
        }
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                try:
                    yield future.result()
                except BrokenProcessPool as broken:
                    hint = "it may have run out of memory: fewer at a time with --jobs 1"
                    raise RolloutError("a simulating process died", code="R902", hint=hint) from broken


@contextmanager
def _processes(spec: StudySpec, jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of processes that hold the setup. When the block is left by an exception, they are terminated."""
    # spawn: a fork would copy the locks and threads of the caller
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, _set_up, (spec,))
    before = set(multiprocessing.active_children())
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        raise
    finally:
        pool.shutdown()


_HERE: list[ForecastSetup] = []
"""The setup of this process; empty except in a process of the pool."""


def _set_up(spec: StudySpec) -> None:
    import signal  # noqa: PLC0415 - only here

    # Ctrl-C reaches every process of the group; only the first one handles it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _HERE.append(spec.setup())
    tune()


def _simulate_here(rate: Rate, seed: int) -> SimulatedRun:
    return simulate_once(_HERE[0], rate, seed)
