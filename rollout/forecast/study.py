"""Many trials of one plan: at several true failure rates, with many seeds, over several processes.

The rates take turns, so that a study that is interrupted has something to say about each. What it says depends on the
trials alone, never on the order they came in or on how many processes ran them.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

from rollout.engine.interpreter import settle
from rollout.errors import RolloutError
from rollout.forecast.figures import Share, quantile
from rollout.forecast.run import Bench, Trial, WaveTimes, try_once

__all__ = ["Middle", "Rate", "RateStudy", "Study", "StudyOrder", "carry_out", "exposed", "failed"]

Rate = float | None
"""A true share of failures for all devices; None: the fleet as it is described."""


@dataclass(frozen=True, slots=True)
class StudyOrder:
    """What to try. `bench` makes what the trials share, in every process anew; it must survive pickling."""

    bench: Callable[[], Bench]
    rates: Sequence[Rate]
    seeds: Sequence[int]
    jobs: int = 1

    @property
    def trials(self) -> list[tuple[Rate, int]]:
        """All trials, the rates taking turns."""
        return [(rate, seed) for seed in self.seeds for rate in self.rates]


@dataclass(frozen=True, slots=True)
class Middle:
    """What half of the runs, and nine of ten, do not exceed; and the most of any."""

    median: float
    most_90: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Middle | None:
        """Return the figures of the values, None of nothing."""
        if not values:
            return None
        median, most_90 = quantile(values, 0.5), quantile(values, 0.9)
        assert median is not None, "there is a value"
        assert most_90 is not None, "there is a value"
        return cls(median, most_90, max(values))


@dataclass(frozen=True, slots=True)
class RateStudy:
    """All trials at one rate, by seed."""

    rate: Rate
    trials: tuple[Trial, ...]

    def ended(self, ending: str) -> list[Trial]:
        """Return the trials that ended so."""
        return [trial for trial in self.trials if trial.ending == ending]

    def share(self, ending: str) -> Share:
        """Return the share of trials that ended so."""
        return Share(len(self.ended(ending)), len(self.trials))

    def middle(self, of: Callable[[Trial], float], ending: str | None = None) -> Middle | None:
        """Return the figures of one number over the trials, or over those that ended so."""
        return Middle.of([of(trial) for trial in (self.trials if ending is None else self.ended(ending))])

    @property
    def stops(self) -> list[tuple[int | None, str, int]]:
        """Where trials were stopped: wave, reason, how many; most frequent first."""
        seen = Counter((trial.stop.wave, trial.stop.reason) for trial in self.trials if trial.stop)
        order = sorted(
            seen.items(), key=lambda item: (-item[1], -1 if item[0][0] is None else item[0][0], item[0][1])
        )
        return [(wave, reason, count) for (wave, reason), count in order]

    def passed(self, wave: int) -> Share:
        """Return the share of trials, of those that opened the wave, in which its gate passed."""
        opened = [trial for trial in self.trials if trial.waves[wave].opened_s is not None]
        return Share(sum(trial.waves[wave].passed_s is not None for trial in opened), len(opened))

    def times(self, wave: int, of: Callable[[WaveTimes], float | None]) -> Middle | None:
        """Return the figures of one of the wave's times, over the trials that got there."""
        return Middle.of([at for trial in self.trials if (at := of(trial.waves[wave])) is not None])


@dataclass(frozen=True, slots=True)
class Study:
    """The trials that were done, by rate in the order asked for; `asked` were wanted."""

    by_rate: tuple[RateStudy, ...]
    asked: int

    @property
    def done(self) -> int:
        """Trials there are."""
        return sum(len(rate.trials) for rate in self.by_rate)


def exposed(trial: Trial) -> int:
    """Return how many devices had been pushed the firmware when the campaign ended or was stopped."""
    return (trial.stop.toll if trial.stop else trial.ended).reached


def failed(trial: Trial) -> int:
    """Return how many devices had failed when the campaign ended or was stopped."""
    return (trial.stop.toll if trial.stop else trial.ended).failed


def carry_out(order: StudyOrder, progress: Callable[[int, int], None]) -> Study:
    """Try everything; interrupted by the keyboard, return what is there.

    Args:
        progress: told after each trial how many are done, of how many.
    Raises: RolloutError where a trial, or a process, fails.
    """
    wanted = order.trials
    found: list[Trial] = []
    try:
        for trial in _trials(order, wanted):
            found.append(trial)
            progress(len(found), len(wanted))
    except KeyboardInterrupt:
        if not found:
            raise
    found.sort(key=lambda trial: trial.seed)
    by_rate = tuple(RateStudy(rate, tuple(t for t in found if t.rate == rate)) for rate in order.rates)
    return Study(by_rate, len(wanted))


def _trials(order: StudyOrder, wanted: Sequence[tuple[Rate, int]]) -> Iterator[Trial]:
    if order.jobs == 1 or len(wanted) == 1:
        bench = order.bench()
        yield from (try_once(bench, rate, seed) for rate, seed in wanted)
        return
    with _processes(order, min(order.jobs, len(wanted))) as pool:
        pending: set[Future[Trial]] = {pool.submit(_try_here, rate, seed) for rate, seed in wanted}
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                try:
                    yield future.result()
                except BrokenProcessPool as broken:
                    hint = "it may have run out of memory: fewer at a time with --jobs 1"
                    raise RolloutError("a simulating process died", code="R902", hint=hint) from broken


@contextmanager
def _processes(order: StudyOrder, jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Give processes that are ready to try; whoever leaves early leaves none behind."""
    # started afresh: a fork would copy locks and threads of whoever calls
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, _set_up, (order,))
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


_HERE: list[Bench] = []
"""The bench of this process, if it is one that only simulates."""


def _set_up(order: StudyOrder) -> None:
    import signal  # noqa: PLC0415 - only here

    # the keyboard interrupts the whole group; the first process decides what becomes of it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _HERE.append(order.bench())
    settle()


def _try_here(rate: Rate, seed: int) -> Trial:
    return try_once(_HERE[0], rate, seed)
