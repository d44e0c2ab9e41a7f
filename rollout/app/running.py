"""A campaign is carried out: the engine with its platform, its journal and everybody who is told.

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
from pathlib import Path

import structlog

from rollout import __version__
from rollout.app.caller import caller_of
from rollout.app.campaigns import EMULATOR_LOG, EVENT_LOG
from rollout.app.rehearsal import Rehearsal
from rollout.core.plan import Plan
from rollout.core.reasons import StopReason
from rollout.core.state import State
from rollout.engine.clock import Clock
from rollout.engine.interpreter import settle
from rollout.engine.orders import Inbox
from rollout.engine.pacing import Pacers
from rollout.engine.runner import GRACE_S, EngineSettings, Leave, Runner
from rollout.enos.service import EnosService
from rollout.errors import CampaignBusy
from rollout.intake.saved_plan import SavedPlan
from rollout.journal.sqlite import JOURNAL_NAME, SqliteJournal
from rollout.settings import Profile
from rollout.telemetry.live import LiveView
from rollout.telemetry.observer import EventLog
from rollout.telemetry.setup import LogFormat, Outlet, configure
from rollout.telemetry.sink import open_log
from rollout.telemetry.watch import Watch
from rollout.views.progress import Marks


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One run of one campaign: what, where to, and when to leave.

    `speed` above 1 is for platforms on this machine only. `outlets` are told every log record beside the
    campaign's own event log; `view`, where there is one, is redrawn. `on_held` is called once the
    campaign is this process's own and its platform can be called.
    """

    saved: SavedPlan
    directory: Path
    profile: Profile
    marks: Marks
    speed: float = 1.0
    rehearsal: Rehearsal | None = None
    until: int | None = None
    exit_on_wait: bool = False
    approve: tuple[int, ...] = ()
    approved_by: str = ""
    outlets: tuple[Outlet, ...] = ()
    view: LiveView | None = None
    on_held: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class RunResult:
    """How the run ended. `signal` is the number of the signal that ended it, if one did.

    `lines_dropped` of the event log could not be written; the journal has what they told.
    """

    leave: Leave
    state: State
    signal: int | None
    lines_dropped: int


async def run_campaign(request: RunRequest) -> RunResult:
    """Run the campaign until it is over, must wait, or a signal says leave.

    Raises: JournalHeld where another runner holds it; CampaignBusy where the journal was begun with another
    plan; ServiceError, JournalError and CredentialsMissing as they come. The campaign can always be run again.
    """
    plan = request.saved.plan
    async with AsyncExitStack() as stack:
        journal = _open_journal(request)
        stack.push_async_callback(journal.aclose)
        _refuse_other_plan(journal, plan)
        last_event_at = max((event.at for event in journal.read()), default=0.0)
        log = open_log(request.directory / EVENT_LOG)
        stack.callback(log.close)
        clock = Clock(not_before=max(last_event_at, _emulator_time(request)), speed=request.speed)
        configure((Outlet(log, LogFormat.JSON), *request.outlets), clock=clock)
        url = (
            request.profile.url if request.rehearsal is None else await _start_emulator(stack, request, clock)
        )

        pacers = Pacers.of(plan.campaign.limits)
        caller = caller_of(
            request.profile,
            plan.campaign.org_id,
            url=url,
            read_permit=pacers.read.permit,
            steer_permit=pacers.brake.permit,
        )
        request.on_held()
        service = EnosService(caller, search_by_name=request.profile.search_by_name)
        stack.push_async_callback(service.aclose)
        watch = Watch(clock, request.view, request.marks)
        runner = Runner(
            plan=plan,
            manifest=request.saved.manifest,
            journal=journal,
            service=service,
            pacers=pacers,
            clock=clock,
            settings=_engine_settings(request, journal),
            rng=random.Random(),  # noqa: S311 - spreads retries, protects nothing
            inbox=Inbox(request.directory),
            observers=(EventLog(), watch),
        )
        settle()
        with _signals(runner, watch, request.view) as received:
            showing = asyncio.create_task(watch.show())
            try:
                leave = await runner.run()
            finally:
                showing.cancel()
        log.close()
        return RunResult(leave, runner.state, received[0] if received else None, log.dropped)


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


def _open_journal(request: RunRequest) -> SqliteJournal:
    plan = request.saved.plan
    if not (request.directory / JOURNAL_NAME).exists():
        return SqliteJournal.create(request.directory, plan.campaign.id, plan.digest)
    return SqliteJournal.open(request.directory)


def _refuse_other_plan(journal: SqliteJournal, plan: Plan) -> None:
    if journal.plan_digest != plan.digest:
        raise CampaignBusy(
            f"{journal.path} was begun with plan {journal.plan_digest}, not {plan.digest}",
            code="R601",
            hint="give the changed plan another id",
        )


def _engine_settings(request: RunRequest, journal: SqliteJournal) -> EngineSettings:
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

    return read_last_time(request.directory / EMULATOR_LOG) or 0.0


async def _start_emulator(stack: AsyncExitStack, request: RunRequest, clock: Clock) -> str:
    """Start the emulator on a free loopback port, with the plan's devices as its fleet; return its URL."""
    from rollout.emulator.http.server import EmulatorConfig, serve  # noqa: PLC0415 - only a rehearsal loads it

    rehearsal = request.rehearsal
    assert rehearsal is not None, "only a rehearsal has an emulator"
    config = EmulatorConfig(
        org_id=request.saved.plan.campaign.org_id,
        seed=rehearsal.seed,
        speed=request.speed,
        population=rehearsal.population,
        devices=_fleet(request.saved, rehearsal),
        log_path=request.directory / EMULATOR_LOG,
    )
    running = await stack.enter_async_context(serve(config, clock))
    url: str = running.url
    return url


def _fleet(saved: SavedPlan, rehearsal: Rehearsal) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield the plan's devices, of the product their wave asks for, with their values in the columns that matter."""
    waves = saved.plan.campaign.waves
    for batch in saved.plan.batches:
        product = waves[batch.wave].job.product_key
        common: Mapping[str, str] = {"productKey": product} if product else {}
        for key in saved.manifest.keys(batch.start, batch.stop):
            own = {name: values[key] for name, values in rehearsal.columns.items() if key in values}
            yield key, {**common, **own}


# --- signals -------------------------------------------------------------------------------------------------


@contextmanager
def _signals(runner: Runner, watch: Watch, view: LiveView | None) -> Iterator[list[int]]:
    """Let the first SIGINT or SIGTERM stop the runner in good order, and the second leave at once."""
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
        if view is not None:
            view.close()
        # Nothing is lost: the journal has every intent, and an open call is in doubt in the next life.
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, receive, int(number))
    try:
        yield received
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
