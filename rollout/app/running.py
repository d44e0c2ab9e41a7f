"""Runs a campaign: puts the engine together with its platform, its journal and its observers.

    profile ─► EnosService ─┐                     ┌─ EventLog ─► events.ndjson, stderr, stdout
    or emulator in-process ─┴► Runner ◄─ journal  ├─ Watch ────► live view or heartbeat
               one Clock ───┘                     ┘

An emulator inside this process and the engine share one clock, so that "a soak of two hours" means the same to
both however fast it runs. The clock starts no earlier than the last event of the journal and the last operation of
the emulator's own log: what a killed process wrote is never in the future of the next one.

L and S (how late a create takes effect, how late it is found) are properties of real networks: where the clock
runs `speed` times faster they are `speed` times as many engine seconds.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass

import structlog

from rollout.app.planning import Prepared
from rollout.app.platforms import account_of, platform_of
from rollout.app.profiles import check_org
from rollout.app.rehearsal import Rehearsal
from rollout.app.watch import Screen, Watch
from rollout.core.reasons import StopReason
from rollout.core.state import State
from rollout.engine.clock import Clock
from rollout.engine.interpreter import tune
from rollout.engine.pacing import Pacers
from rollout.engine.runner import GRACE_S, EngineSettings, Leave, Runner
from rollout.enos.job_settings import JobSettings
from rollout.errors import CampaignBusy, WrongArgument
from rollout.intake.saved_plan import SavedPlan
from rollout.ports import EnginePorts, OpenedJournal
from rollout.settings import Profile
from rollout.telemetry.observer import EventLog
from rollout.telemetry.setup import LogFormat, Outlet, configure
from rollout.telemetry.sink import open_log
from rollout.version import __version__
from rollout.views.progress import MARKS, Marks


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One run of one campaign: what is run, on which platform, which observers see it, and when to leave.

    `rehearsal`: the emulator inside this process, where the profile means that one. `speed`: times faster than real
    time, for platforms on this machine only. `until`: leave when the gate of this wave has passed. `exit_on_wait`:
    leave instead of waiting for a person or a soak. `approve`: waves that are approved in advance, by `approved_by`.

    `outlets` get every log record, as the campaign's own event log does; `view` is redrawn, with `marks` as signs.
    `on_held` is called once the campaign is this process's own and its platform can be called. `signals` end the run:
    the first one in good order, the second one at once and with the whole process.
    """

    prepared: Prepared
    profile: Profile
    rehearsal: Rehearsal | None = None
    speed: float = 1.0
    until: int | None = None
    exit_on_wait: bool = False
    approve: tuple[int, ...] = ()
    approved_by: str = ""
    outlets: tuple[Outlet, ...] = ()
    view: Screen | None = None
    marks: Marks = MARKS
    on_held: Callable[[], None] = lambda: None
    signals: tuple[signal.Signals, ...] = ()


@dataclass(frozen=True, slots=True)
class RunResult:
    """How the run ended: `leave` says why, `state` where the campaign stands now.

    `signal` is the number of the signal that ended the run, None if none did. `lines_dropped`: lines of the event log
    that could not be written; the journal has their events.
    """

    leave: Leave
    state: State
    signal: int | None
    lines_dropped: int


async def run_prepared(request: RunRequest) -> RunResult:
    """Run the campaign until it is over, must wait, or a signal says leave. The log is set up for this process.

    Whatever is raised, and even if the task is cancelled, the campaign can be run again.

    Raises: JournalHeld where another runner has the campaign; CampaignBusy where it was begun with another plan;
        SettingsError for a profile of another organisation, WrongArgument for a speed that the platform does not
        have; ServiceError, JournalError and CredentialsMissing as they come.
    """
    check_org(request.profile, request.prepared.saved.plan.campaign.org_id)
    check_speed(request.profile, request.speed)
    assert request.profile.in_process == (request.rehearsal is not None), "a rehearsal is inside this process"
    store, name, plan = request.prepared.store, request.prepared.name, request.prepared.saved.plan
    files = store.files(name)
    platform = platform_of(request.profile)
    for wave in plan.campaign.waves:
        platform.check_job(wave.job)  # settings of a newer program are refused before anything is begun
    async with AsyncExitStack() as stack:
        journal = store.open_journal(name, plan.campaign.id, plan.digest)
        stack.push_async_callback(journal.aclose)
        _refuse_other_plan(journal, request.prepared)
        last_event_at = max((event.at for event in journal.read()), default=0.0)
        log = open_log(files.event_log)
        stack.callback(log.close)
        clock = Clock(not_before=max(last_event_at, _emulator_time(request)), speed=request.speed)
        configure((Outlet(log, LogFormat.JSON), *request.outlets), clock=clock)
        url = (
            request.profile.url if request.rehearsal is None else await _start_emulator(stack, request, clock)
        )
        pacers = Pacers.of(plan.campaign.limits)
        account = account_of(request.profile, plan.campaign.org_id, url=url)
        service = platform.connect(account, read_permit=pacers.read.permit, brake_permit=pacers.brake.permit)
        request.on_held()
        stack.push_async_callback(service.aclose)
        watch = Watch(clock, request.view, request.marks)
        runner = Runner(
            plan=plan,
            ports=EnginePorts(
                manifest=request.prepared.saved.manifest,
                journal=journal,
                service=service,
                orders=store.orders(name),
                observers=(EventLog(), watch),
            ),
            pacers=pacers,
            clock=clock,
            settings=_engine_settings(request, journal),
            rng=random.Random(),  # noqa: S311 - spreads retries, protects nothing
        )
        tune()
        with _signals(runner, watch, request) as received:
            showing = asyncio.create_task(watch.show())
            try:
                leave = await runner.run()
            finally:
                showing.cancel()
        log.close()
        return RunResult(leave, runner.state, received[0] if received else None, log.dropped)


def check_speed(profile: Profile, speed: float) -> None:
    """Raise WrongArgument if the platform does not have that speed."""
    if speed != 1 and not profile.is_local:
        raise WrongArgument("speed", f"{profile.url} lives in real time")


def exit_code(leave: Leave, state: State, signal_number: int | None, *, strict: bool = False) -> int:
    """Return the documented exit code of a run that ended without an error.

    Args:
        signal_number: of the signal that ended the run; None if none did.
        strict: 5 instead of 0 where a finished campaign has devices that did not succeed.
    """
    match leave:
        case Leave.STOPPED:
            return 128 + (signal_number or signal.SIGINT)
        case Leave.HALTED if (state.parked or state.duplicated) and not state.halted_by_gate:
            return 8
        case Leave.ABORTED | Leave.HALTED:
            return 3
        case Leave.WAITING:
            return 6
        case Leave.FINISHED | Leave.REACHED:
            if state.parked or state.duplicated:
                return 8
            tally = state.tally()
            return 5 if strict and leave is Leave.FINISHED and tally.succeeded < tally.planned else 0


def _refuse_other_plan(journal: OpenedJournal, prepared: Prepared) -> None:
    digest = prepared.saved.plan.digest
    if journal.plan_digest != digest:
        raise CampaignBusy(
            f"campaign {prepared.name} was begun with plan {journal.plan_digest}, not {digest}",
            code="R601",
            hint="give the changed plan another id",
        )


def _engine_settings(request: RunRequest, journal: OpenedJournal) -> EngineSettings:
    return EngineSettings(
        runner=f"{socket.gethostname()}:{os.getpid()}",
        version=__version__,
        latest_effect_s=request.profile.latest_effect_s * request.speed,
        search_lag_s=request.profile.search_lag_s * request.speed,
        paranoid=not journal.was_clean or journal.older_than_lock,
        until=request.until,
        exit_on_wait=request.exit_on_wait,
        approve=request.approve,
        approved_by=request.approved_by,
    )


# --- the emulator --------------------------------------------------------------------------------------------


def _emulator_time(request: RunRequest) -> float:
    """Return when the in-process emulator last did something, in its own time; 0 without one."""
    if request.rehearsal is None:
        return 0.0
    from rollout.emulator.oplog import read_last_time  # noqa: PLC0415 - only a rehearsal loads the emulator

    return read_last_time(request.prepared.store.files(request.prepared.name).emulator_log) or 0.0


async def _start_emulator(stack: AsyncExitStack, request: RunRequest, clock: Clock) -> str:
    """Start the emulator on a free loopback port, with the plan's devices as its fleet; return its URL."""
    from rollout.emulator.http.server import EmulatorConfig, serve  # noqa: PLC0415 - only a rehearsal loads it

    rehearsal = request.rehearsal
    assert rehearsal is not None, "only a rehearsal has an emulator"
    config = EmulatorConfig(
        org_id=request.prepared.saved.plan.campaign.org_id,
        seed=rehearsal.seed,
        speed=request.speed,
        population=rehearsal.population,
        devices=_fleet(request.prepared.saved, rehearsal),
        log_path=request.prepared.store.files(request.prepared.name).emulator_log,
    )
    running = await stack.enter_async_context(serve(config, clock))
    url: str = running.url
    return url


def _fleet(saved: SavedPlan, rehearsal: Rehearsal) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield the plan's devices, of the product their wave asks for, with their values in the columns that matter."""
    waves = saved.plan.campaign.waves
    for batch in saved.plan.batches:
        product = JobSettings.of(waves[batch.wave].job).product_key
        common: Mapping[str, str] = {"productKey": product} if product else {}
        for key in saved.manifest.keys(batch.start, batch.stop):
            own = {name: values[key] for name, values in rehearsal.columns.items() if key in values}
            yield key, {**common, **own}


# --- signals -------------------------------------------------------------------------------------------------


@contextmanager
def _signals(runner: Runner, watch: Watch, request: RunRequest) -> Iterator[list[int]]:
    """Let the first of the request's signals stop the runner in good order, and the second end the process.

    Gives the numbers of the signals received so far.
    """
    received: list[int] = []
    loop = asyncio.get_running_loop()

    def receive(number: int) -> None:
        received.append(number)
        if len(received) == 1:
            runner.stop(StopReason.SIGNAL, signal.Signals(number).name)
            watch.say(f"stopping: open calls may end, {GRACE_S:g} s at most; once more leaves at once")
            structlog.get_logger().warning(
                "engine.stopping", signal=signal.Signals(number).name, grace_s=GRACE_S
            )
            return
        if request.view is not None:
            request.view.close()
        # Nothing is lost: the journal has every intent, and the next run looks up every open call.
        os._exit(128 + number)

    for number in request.signals:
        loop.add_signal_handler(number, receive, int(number))
    try:
        yield received
    finally:
        for number in request.signals:
            loop.remove_signal_handler(number)
