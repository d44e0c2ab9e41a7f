"""`rollout simulate`: what a plan does to a fleet if the firmware is bad, before anything is sent.

The real engine runs the plan in virtual time, many times; nothing is saved and no platform is called. The same command
prints the same bytes: the campaign begins at a fixed moment, or at `--start`.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rollout.app.campaigns import find_campaign
from rollout.app.planning import DeviceSource, plan_aside
from rollout.app.rehearsal import made_up_keys, open_fleet, population_of, strata_columns
from rollout.cli.command_line import about
from rollout.cli.common import Common, command
from rollout.cli.console import Console
from rollout.cli.failure import INTERRUPTED
from rollout.cli.types import DURATION, SEED, SHARE, NumberParam, Parsed, check_output_file
from rollout.core.plan import Plan
from rollout.errors import NoCampaign
from rollout.intake.units import read_timestamp_ms
from rollout.settings import Profile, emulator_profile, load_profile

if TYPE_CHECKING:
    from rollout.emulator.population_file import FleetDescription
    from rollout.forecast.study import Rate


RATES = "healthy,1%,5%,20%,100%"
RATES_MAX = 20
"""Failure rates of one study. Ours."""
SEEDS_MAX = 100_000
JOBS_MAX = 256

STANDARD_FLEET = "standard devices: always online, half of them through in 10m, none fails by itself (describe yours: --fleet)"

MADE_UP_SEED = 1
"""The fleet that is assumed where a plan lists its devices and no fleet is described."""

SAY_EVERY_S = 5.0
"""How often progress is printed. Real seconds."""


def _rates(text: str) -> tuple[Rate, ...]:
    """Read `healthy,1%,0.2`: each once, in the order given."""
    found: dict[Rate, None] = {}
    for word in text.split(","):
        try:
            found[None if word.strip() == "healthy" else float(SHARE.convert(word.strip(), None, None))] = (
                None
            )
        except click.BadParameter:
            raise ValueError(
                f"expected 'healthy' and shares such as 5%, with commas between them; got {word[:40]!r}"
            ) from None
    if len(found) > RATES_MAX:
        raise ValueError(f"at most {RATES_MAX} rates, got {len(found)}")
    return tuple(found)


def _start(text: str) -> float:
    # digits alone would be read as epoch milliseconds, which nobody types on purpose
    if re.fullmatch(r"[0-9]+", text):
        raise ValueError(f"expected a time such as 2026-11-23T08:00:00Z, got {text[:40]!r}")
    return read_timestamp_ms(text) / 1000


@command("simulate")
@click.argument("plan", type=click.Path(path_type=Path), required=False)
@click.option(
    "--fleet", type=click.Path(path_type=Path), metavar="FILE", help="How devices behave (plans/fleets)."
)
@click.option("--devices", multiple=True, metavar="FILE", help="Device list instead of the plan's own.")
@click.option("--seed", type=SEED, help="Draw the waves with this seed instead of the plan's.")
@click.option(
    "--seeds",
    type=NumberParam("seeds", 1, SEEDS_MAX, whole=True),
    default="20",
    show_default=True,
    help="Runs at each failure rate.",
)
@click.option(
    "--rates",
    type=Parsed("RATES", _rates),
    default=RATES,
    show_default=True,
    metavar="RATES",
    help="True failure rates to try; healthy is the fleet as it is described.",
)
@click.option(
    "--jobs",
    type=NumberParam("jobs", 1, JOBS_MAX, whole=True),
    help="Processes; one for each core if not given.",
)
@click.option(
    "--start",
    type=Parsed("TIME", _start),
    metavar="TIME",
    help="When the campaign begins: 2026-11-23T08:00:00Z.",
)
@click.option(
    "--approve-after",
    type=DURATION,
    default="1h",
    show_default=True,
    help="How long a gate waits for its person.",
)
@click.option(
    "--within",
    type=DURATION,
    default="60d",
    show_default=True,
    help="A campaign not over by then never ends.",
)
@click.option(
    "--against",
    metavar="CAMPAIGN",
    help="Instead of a plan: compare a campaign that is over with its simulation.",
)
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Also write a page with plots.")
def simulate(
    common: Common,
    *,
    plan: Path | None,
    fleet: Path | None,
    devices: tuple[str, ...],
    seed: int | None,
    seeds: int,
    rates: tuple[Rate, ...],
    jobs: int | None,
    start: float | None,
    approve_after: float,
    within: float,
    against: str | None,
    html: Path | None,
) -> int:
    """Show what PLAN does to a fleet at several true failure rates: who is exposed, when it stops, when it ends.

    Runs the real engine in virtual time, once for each rate and seed. L and S are those of --profile.

    Example: rollout simulate plans/canary-then-total.yaml --fleet plans/fleets/mixed.yaml --seeds 50
    """
    if against is not None:
        if plan is not None or fleet is not None or devices or html is not None:
            raise click.UsageError(
                "--against: plan, devices and fleet are the campaign's own, and there is no page"
            )
        return _calibrate(
            common, against, seeds=int(seeds), jobs=int(jobs) if jobs is not None else _cores(), within=within
        )
    if plan is None:
        raise click.UsageError("Missing argument 'PLAN', or --against CAMPAIGN")
    # loads the engine and the emulator, which `--help` does not need
    from rollout.forecast.report import StudyReport  # noqa: PLC0415
    from rollout.forecast.run import open_setup  # noqa: PLC0415
    from rollout.forecast.study import StudySpec, run_study  # noqa: PLC0415
    from rollout.simulation.world import START  # noqa: PLC0415

    if html is not None:
        check_output_file(
            html, plan, *([fleet] if fleet else []), *(Path(name) for name in devices if name != "-")
        )
    loaded = load_profile(common.profile, config=common.config)
    bounds = loaded or Profile(name="", url="")
    described = open_fleet(fleet, common.console.note)
    with tempfile.TemporaryDirectory(prefix="rollout-simulate-") as scratch:
        source = _device_source(common.console, loaded, described)
        saved, written = plan_aside(
            plan, common.open_store(), Path(scratch), devices=devices, seed=seed, devices_from=source
        )
        planned = saved.plan
        begin = start if start is not None else _schedule_start(planned) or START
        spec = StudySpec(
            partial(
                open_setup,
                saved.path,
                population=population_of(described, failed=None, offline=None),
                columns=strata_columns(described, saved.report, written, devices),
                made_up=made_up_keys(planned, described),
                latest_effect_s=bounds.latest_effect_s,
                search_lag_s=bounds.search_lag_s,
                approve_after_s=approve_after,
                within_s=within,
                start=begin,
            ),
            rates,
            range(1, int(seeds) + 1),
            int(jobs) if jobs is not None else _cores(),
        )
        study = run_study(spec, _Progress(common.console))
    report = StudyReport(
        planned,
        study,
        STANDARD_FLEET if fleet is None else str(fleet),
        int(seeds),
        begin,
        approve_after,
        within,
    )
    if html is not None:
        from rollout.forecast.page import html_page  # noqa: PLC0415 - only for those who ask

        html.write_text(html_page(report), encoding="utf-8")
        common.console.note(f"Wrote {html}")
    if common.console.is_json:
        common.console.json("simulate", **report.document())
    else:
        common.console.result("\n".join(report.lines()))
    return 0 if study.done == study.asked else INTERRUPTED


def _calibrate(common: Common, name: str, *, seeds: int, jobs: int, within: float) -> int:
    """Print what happened, from the campaign's journal, beside what the simulation gives."""
    from rollout.forecast.calibration import Calibration, NotOver, read_actual  # noqa: PLC0415 - as above
    from rollout.forecast.run import open_setup  # noqa: PLC0415 - as above
    from rollout.forecast.study import StudySpec, run_study  # noqa: PLC0415 - as above

    store = common.open_store()
    name = find_campaign(store, name)
    if not store.has_journal(name):
        line = about(store.address, name, "status")
        raise NoCampaign(f"campaign {name} was never run", hint=f"{line} shows it")
    path = store.plan_path(name)
    events = (event for _, event in store.events(name))
    try:
        actual = read_actual(open_setup(path).plan, events)
    except NotOver as error:
        raise NoCampaign(str(error), hint="only what is over can be compared") from error
    setup = partial(
        open_setup,
        path,
        population=actual.population,
        latest_effect_s=actual.latest_effect_s,
        search_lag_s=actual.search_lag_s,
        approve_after_s=actual.approve_after_s,
        within_s=within,
        start=actual.start,
    )
    study = run_study(StudySpec(setup, [None], range(1, seeds + 1), jobs), _Progress(common.console))
    calibration = Calibration(actual, study.by_rate[0], study.asked)
    if common.console.is_json:
        common.console.json("calibration", **calibration.document())
    else:
        common.console.result("\n".join(calibration.lines()))
    return 0 if study.done == study.asked else INTERRUPTED


def _device_source(console: Console, profile: Profile | None, fleet: FleetDescription | None) -> DeviceSource:
    """Return the source of devices for a plan that takes them from EnOS: the fleet file if it has devices, else the profile's platform."""
    if fleet is None or fleet.devices is None:
        return DeviceSource(profile, note=console.note)
    from rollout.app.devices import MadeUpFleet  # noqa: PLC0415 - only where devices are made up

    population = population_of(fleet, failed=None, offline=None)
    made_up = MadeUpFleet(fleet.devices, population, MADE_UP_SEED)
    return DeviceSource(emulator_profile(profile), note=console.note, made_up=made_up)


def _schedule_start(plan: Plan) -> float | None:
    """Return when the first push window of the plan begins, seconds since the epoch; None without one."""
    schedules = [wave.job.schedule for wave in plan.campaign.waves if wave.job.schedule is not None]
    return min((schedule.start_ms / 1000 for schedule in schedules), default=None)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Progress:
    """Prints from time to time how many runs are done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = self._said = time.monotonic()

    def __call__(self, done: int, of: int) -> None:
        now = time.monotonic()
        if now - self._said >= SAY_EVERY_S and done < of:
            self._said = now
            self._console.note(f"{done:,} of {of:,} runs, {now - self._began:.0f} s")
            sys.stderr.flush()
