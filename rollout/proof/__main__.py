"""`python -m rollout.proof`: as many seeded campaigns as wanted, every crash of a small one, or the fault table.

Exit code 0 where everything held, 1 where something did not.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from rollout.proof.explore import REACHED, TrialResult, enumerate_crashes, explore, list_crashes, run_trial
from rollout.proof.table import Table
from rollout.proof.trials import TROUBLES, draw_trial

SHOWN_MAX = 20
"""Trials whose violations are printed; the rest is only counted."""
PROGRESS_EVERY_S = 10.0
"""Interval of the progress lines. Real seconds."""
WRITTEN_SEEDS = 10
"""The table file is rewritten after this many seeds of each trouble."""


@click.command(help=__doc__)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="How many seeds; with --table, of each trouble.",
)
@click.option("--from", "first", default=0, show_default=True, help="The first seed.")
@click.option(
    "--jobs", type=click.IntRange(1), default=os.cpu_count() or 1, show_default=True, help="Processes."
)
@click.option(
    "--trouble",
    type=click.Choice(list(TROUBLES)),
    metavar="NAME",
    help="Only trials of this trouble: a row of the fault table.",
)
@click.option("--seed", type=int, help="Run one seed and tell everything about it.")
@click.option(
    "--enumerate", "crashes", is_flag=True, help="Stop a small campaign at every step, under each trouble."
)
@click.option(
    "--table", type=click.Path(path_type=Path), help="Write the fault table here, anew as it grows."
)
def prove(
    *,
    seeds: int,
    first: int,
    jobs: int,
    trouble: str | None,
    seed: int | None,
    crashes: bool,
    table: Path | None,
) -> None:
    """Run what the options ask for."""
    if seed is not None:
        sys.exit(_print_one(seed, trouble))
    if crashes:
        results = enumerate_crashes(list(list_crashes()), jobs)
        sys.exit(_print_all(results, f"every crash, {jobs} processes"))
    if table is not None:
        sys.exit(_write_table(table, first, seeds, [trouble] if trouble else list(TROUBLES), jobs))
    results = explore(((number, trouble) for number in range(first, first + seeds)), jobs)
    sys.exit(_print_all(results, f"seeds {first} to {first + seeds - 1}, {jobs} processes"))


def _print_one(seed: int, trouble: str | None) -> int:
    trial = draw_trial(seed, trouble)
    click.echo(str(trial))
    result = run_trial(trial, show=click.echo)
    click.echo(
        f"ending: {result.ending}, {result.lives} lives, {result.virtual_s:.0f} virtual s, trace {result.trace}"
    )
    click.echo(f"reached: {_listed(result.reached)}")
    for violation in result.violations:
        click.echo(f"VIOLATION {violation}")
    return 1 if result.violations else 0


def _print_all(results: Iterable[TrialResult], what: str) -> int:
    click.echo(what)
    count, broken = 0, 0
    began = time.monotonic()
    reached: Counter[str] = Counter()
    endings: Counter[str] = Counter()
    died: Counter[str] = Counter()
    for result in _with_progress(results):
        count += 1
        reached += result.reached
        endings[str(result.ending)] += 1
        died.update(result.died_at)
        broken += bool(result.violations)
        if result.violations and broken <= SHOWN_MAX:
            for violation in result.violations:
                click.echo(f"VIOLATION seed {result.seed}, {result.trouble}: {violation}")
    took = time.monotonic() - began
    click.echo(f"{count:,} trials in {took:.0f} s ({count / took:.0f}/s), {broken} with violations")
    click.echo(f"endings: {_listed(endings)}")
    click.echo(f"deaths: {sum(died.values()):,} at {len(died)} kinds of step")
    click.echo(f"reached: {_listed(reached)}")
    never = [name for name in REACHED if not reached[name]]
    if never:
        click.echo(f"never reached: {', '.join(never)}")
    return 1 if broken else 0


def _write_table(path: Path, first: int, seeds: int, troubles: list[str], jobs: int) -> int:
    table = Table(troubles)
    try:
        path.write_text(table.markdown(), encoding="utf-8")
    except OSError as error:
        raise click.BadParameter(
            f"{path} cannot be written: {error.strerror}", param_hint="--table"
        ) from error
    # the seeds are the outer loop, so a run that is ended early has treated all troubles alike
    cases = ((number, trouble) for number in range(first, first + seeds) for trouble in troubles)
    for count, result in enumerate(_with_progress(explore(cases, jobs)), 1):
        table.add(result)
        for violation in result.violations:
            click.echo(f"VIOLATION seed {result.seed}, {result.trouble}: {violation}")
        if not count % (WRITTEN_SEEDS * len(troubles)):
            path.write_text(table.markdown(), encoding="utf-8")
    path.write_text(table.markdown(), encoding="utf-8")
    return 1 if table.violations else 0


def _with_progress(results: Iterable[TrialResult]) -> Iterator[TrialResult]:
    began = shown_at = time.monotonic()
    for count, result in enumerate(results, 1):
        yield result
        now = time.monotonic()
        if now - shown_at >= PROGRESS_EVERY_S:
            shown_at = now
            click.echo(f"{count:,} trials, {count / (now - began):.0f}/s", err=True)


def _listed(counted: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counted.most_common()) or "nothing"


if __name__ == "__main__":
    prove()
