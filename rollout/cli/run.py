"""`rollout run`: carry a campaign out, or go on with one, after showing it and asking once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from rollout.app.campaigns import remember_run
from rollout.app.devices import MadeUpFleet
from rollout.app.next_steps import next_steps
from rollout.app.orders import who
from rollout.app.planning import DeviceSource, open_or_compile
from rollout.app.previewing import preview_of
from rollout.app.process import check_clock, harden
from rollout.app.profiles import check_org, ignored_proxies, platform_profile
from rollout.app.rehearsal import open_fleet, population_of, rehearsal_of
from rollout.app.running import RunRequest, RunResult, check_speed, exit_code, run_prepared
from rollout.cli.command_line import about, command_line
from rollout.cli.common import Common, ca_file_option, command, refresh_option, url_option
from rollout.cli.consent import agree
from rollout.cli.console import Console
from rollout.cli.live import LiveView
from rollout.cli.steps import run_line, step_views
from rollout.cli.types import SEED, SHARE, SITE_SHARE, SPEED
from rollout.engine.runner import Leave
from rollout.errors import CampaignBusy, JournalHeld, OtherRehearsal, RolloutError, SettingsError
from rollout.settings import Profile, emulator_profile, load_profile
from rollout.telemetry.setup import LogFormat, Outlet
from rollout.telemetry.sink import stream_sink
from rollout.views.progress import marks_for, run_document, summary_lines

STDOUT, STDERR = 1, 2


@command("run")
@click.argument("plan", type=click.Path(path_type=Path))
@click.option("--devices", multiple=True, metavar="FILE", help="Device list instead of the plan's own.")
@click.option("--seed", type=SEED, help="Draw the waves with this seed instead of the plan's.")
@url_option
@refresh_option
@ca_file_option
@click.option("--yes", is_flag=True, help="Do not ask; not enough for a protected profile.")
@click.option("--confirm", metavar="ID", help="The campaign's id, instead of typing it.")
@click.option("--until", metavar="WAVE", help="Leave when the gate of this wave has passed.")
@click.option("--exit-on-wait", is_flag=True, help="Leave (6) instead of waiting for a person or a soak.")
@click.option("--strict", is_flag=True, help="End with 5 where devices failed or are open, gates or not.")
@click.option("--approve", multiple=True, metavar="WAVE", help="Approve this wave in advance.")
@click.option("--events", metavar="-", help="'-': also write the event log to standard output.")
@click.option(
    "--log-format", type=click.Choice([str(form) for form in LogFormat]), help="Log to stderr, no live view."
)
@click.option("--emulator", is_flag=True, help="Rehearse on an emulator inside this process.")
@click.option(
    "--speed", type=SPEED, default="1", help="Times faster than real; platforms on this machine only."
)
@click.option(
    "--fleet",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With --emulator: how its devices behave (plans/fleets).",
)
@click.option("--fail", type=SHARE, help="With --emulator: share of upgrades that fail, of any device.")
@click.option("--offline", type=SHARE, help="With --emulator: share of devices that are away.")
@click.option(
    "--bad-site", type=SITE_SHARE, multiple=True, metavar="SITE:SHARE", help="With --emulator: one bad site."
)
@click.option("--emulator-seed", type=SEED, default="0", help="With --emulator: what chance follows from.")
@click.pass_context
def run(
    ctx: click.Context,
    common: Common,
    *,
    plan: Path,
    devices: tuple[str, ...],
    seed: int | None,
    url: str | None,
    refresh: bool,
    ca_file: Path | None,
    yes: bool,
    confirm: str | None,
    until: str | None,
    exit_on_wait: bool,
    strict: bool,
    approve: tuple[str, ...],
    events: str | None,
    log_format: str | None,
    emulator: bool,
    speed: float,
    fleet: Path | None,
    fail: float | None,
    offline: float | None,
    bad_site: tuple[tuple[str, float], ...],
    emulator_seed: int,
) -> int:
    """Carry out the campaign of PLAN, a plan file or a saved plan.json; go on with it if it was begun.

    Example: rollout run plans/canary-then-total.yaml --emulator --speed 600
    """
    console = common.console
    if events not in (None, "-"):
        raise click.UsageError("--events: only '-' (standard output); the log is always in events.ndjson")
    harden()
    if os.geteuid() == 0:
        console.note("note: running as root is not needed")
    check_clock()
    profile = _profile(common, url=url, ca_file=ca_file, emulator=emulator)
    check_speed(profile, speed)
    if not profile.in_process and (fleet or fail is not None or offline is not None or bad_site):
        raise click.UsageError(
            "--fleet, --fail, --offline and --bad-site describe the emulator: add --emulator"
        )
    described = open_fleet(fleet, console.note)
    population = population_of(described, failed=fail, offline=offline) if profile.in_process else None
    made_up = None
    if population is not None and described is not None and described.devices is not None:
        made_up = MadeUpFleet(described.devices, population, emulator_seed)
    source = DeviceSource(profile, refresh, console.note, made_up)
    prepared = open_or_compile(plan, common.open_store(), devices=devices, seed=seed, devices_from=source)
    names = [wave.name for wave in prepared.saved.plan.waves]
    until_wave = None if until is None else _wave(names, until, "--until")
    approved = tuple(_wave(names, name, "--approve") for name in approve)
    rehearsal = None
    if population is not None:
        rehearsal = rehearsal_of(
            prepared, described, population, devices=devices, bad_site=bad_site, seed=emulator_seed
        )
    check_org(profile, prepared.saved.plan.campaign.org_id)
    preview = preview_of(prepared, profile, speed)
    if not console.is_json:
        console.note("\n".join([*preview.lines(console.columns(sys.stderr)), ""]))
    if preview.jobs_left:
        prepared.store.require_room(prepared.name, preview.jobs_left)
    agree(
        console,
        profile,
        f"Create {preview.jobs_left:,} jobs in {profile.name}?",
        word=prepared.saved.plan.campaign.id,
        kind="campaign id",
        yes=yes,
        confirm=confirm,
        needed=preview.jobs_left > 0 and not profile.in_process,
    )
    arguments = list(ctx.find_root().obj or ())
    request = RunRequest(
        prepared=prepared,
        profile=profile,
        signals=(signal.SIGINT, signal.SIGTERM),
        marks=marks_for(getattr(sys.stderr, "encoding", None)),
        speed=speed,
        rehearsal=rehearsal,
        until=until_wave,
        exit_on_wait=exit_on_wait,
        approve=approved,
        approved_by=who(),
        on_held=partial(remember_run, prepared.store, prepared.name, arguments),
    )
    return _run(console, request, arguments, events=events == "-", log_format=log_format, strict=strict)


# --- before -------------------------------------------------------------------------------------------------


def _profile(common: Common, *, url: str | None, ca_file: Path | None, emulator: bool) -> Profile:
    """Return the profile of the run. Raises where its keys are missing."""
    if emulator and url is not None:
        raise click.UsageError("--emulator and --url exclude each other")
    if emulator:
        return emulator_profile(load_profile(common.profile, config=common.config, url=url, ca_file=ca_file))
    loaded = platform_profile(
        common.profile,
        config=common.config,
        url=url,
        ca_file=ca_file,
        instead="--emulator rehearses in this process; ",
    )
    loaded.credentials()  # missing keys are reported before anything is planned or asked
    if common.console.verbosity:
        for field, source in (loaded.origin or {}).items():
            common.console.note(f"{field} from {source}")
    if ignored := ignored_proxies(loaded):
        common.console.note(f"note: {', '.join(ignored)} is set and not used")
    return loaded


def _wave(names: list[str], name: str, flag: str) -> int:
    if name not in names:
        raise click.UsageError(f"{flag}: no wave {name!r}; there are {', '.join(names)}")
    return names.index(name)


# --- the run ------------------------------------------------------------------------------------------------


def _run(
    console: Console,
    request: RunRequest,
    arguments: list[str],
    *,
    events: bool,
    log_format: str | None,
    strict: bool,
) -> int:
    """Run the campaign, print how the run ended, and return the exit code."""
    least = "error" if console.quiet else "debug" if console.verbosity else "info"
    outlets: list[Outlet] = []
    view: LiveView | None = None
    if log_format is None and console.live:
        view = LiveView(color=console.colored(sys.stderr))
    else:
        outlets.append(Outlet(stream_sink(STDERR), LogFormat(log_format or LogFormat.CONSOLE), least))
    if events:
        outlets.append(Outlet(stream_sink(STDOUT), LogFormat.JSON))
    store, name = request.prepared.store, request.prepared.name
    begun_with = run_line(store, name)
    try:
        result = _in_loop(lambda: run_prepared(replace(request, outlets=tuple(outlets), view=view)))
    except OtherRehearsal as error:
        hint = f"go on with this one: {begun_with}; or give another one a place of its own: --state-dir DIR"
        raise OtherRehearsal("this rehearsal was begun with other settings", hint=hint) from error
    except RolloutError as error:
        if not isinstance(error, JournalHeld | CampaignBusy | SettingsError):
            # Whatever went wrong, the journal has all that happened: the same command line continues from there.
            console.note(f"State saved. Go on with:  {command_line(*arguments)}")
        raise
    finally:
        if view is not None:
            view.close()
        for outlet in outlets:
            outlet.sink.close()
    code = exit_code(result.leave, result.state, result.signal, strict=strict)
    dropped = result.lines_dropped + sum(outlet.sink.dropped for outlet in outlets)
    if dropped:
        console.note(f"note: {dropped:,} log lines could not be written")
    _print_end(console, result, code, about(store.address, name, "jobs"), to_stderr=events)
    if result.leave is Leave.REACHED:
        # The wave of `--until` has passed: with the same flag the next run would end at once.
        arguments = _without_until(arguments)
        remember_run(store, name, arguments)
    steps = step_views(next_steps(result.state, alive=False), store, name, command_line(*arguments))
    _advise(console, result.leave, [str(step) for step in steps])
    return code


def _in_loop(main: Callable[[], Coroutine[Any, Any, RunResult]]) -> RunResult:
    """Run the coroutine on uvloop where it is installed, else on asyncio's own loop."""
    try:
        import uvloop  # noqa: PLC0415 - the `speed` extra is optional

        factory: Callable[[], asyncio.AbstractEventLoop] | None = uvloop.new_event_loop
    except ImportError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())


def _print_end(console: Console, result: RunResult, code: int, jobs_line: str, *, to_stderr: bool) -> None:
    """Print how the run ended, to standard error where standard output has the event log."""
    state = result.state
    if console.is_json and not to_stderr:
        console.json("run", **run_document(state, result=result.leave.value, exit_code=code))
        return
    stream = sys.stderr if to_stderr else sys.stdout
    text = "\n".join(summary_lines(state, marks_for(getattr(stream, "encoding", None))))
    (console.note if to_stderr else console.result)(f"{text}\nJobs and their ids:  {jobs_line}")


def _without_until(arguments: list[str]) -> list[str]:
    """Return the command line without `--until` and its wave."""
    kept: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--until":
            next(words, None)
        elif not word.startswith("--until="):
            kept.append(word)
    return kept


def _advise(console: Console, leave: Leave, lines: list[str]) -> None:
    """Print what the operator may do next, if there is anything."""
    if leave is Leave.STOPPED:
        lines[:1] = [f"Interrupted, state saved. {lines[0]}" if lines else "Interrupted, state saved."]
    if lines:
        console.note("\n".join(lines))
