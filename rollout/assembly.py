"""The one place that wires an engine: settings in, a campaign carried out.

    profile ─► EnosService ─┐                     ┌─ EventLog ─► events.ndjson, stderr, stdout
    or emulator in-process ─┴► Runner ◄─ journal  ├─ Watch ────► live view or heartbeat
               one Clock ───┘                     ┘

An in-process emulator and the engine share one clock, so that "a soak of two hours" means the same to both
however fast it runs. The clock starts no earlier than the last event of the journal and the last operation of
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
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from rollout import __version__
from rollout.core.campaign import ApiRetry, Campaign
from rollout.core.plan import Plan
from rollout.core.reasons import StopReason
from rollout.core.records import DeviceFilter
from rollout.core.retry import backoff
from rollout.core.state import State
from rollout.engine.clock import Clock
from rollout.engine.control import Inbox
from rollout.engine.interpreter import settle
from rollout.engine.pacing import Pacer, Pacers
from rollout.engine.runner import GRACE_S, EngineSettings, Leave, Runner
from rollout.enos.caller import Caller, at_once
from rollout.enos.codes import Operation
from rollout.enos.devices import EnosDevices, Version
from rollout.enos.messages import Envelope
from rollout.enos.service import EnosService
from rollout.enos.signing import Secret
from rollout.enos.translate import device_expression
from rollout.enos.transport import Transport
from rollout.errors import CampaignBusy, Failure, ServiceError
from rollout.intake.saved_plan import SavedPlan
from rollout.journal.sqlite import JOURNAL_NAME, SqliteJournal
from rollout.settings import DEMO_ACCESS_KEY, DEMO_SECRET_KEY, Profile
from rollout.telemetry.live import LiveView
from rollout.telemetry.observer import EventLog
from rollout.telemetry.redact import REDACTOR
from rollout.telemetry.setup import LogFormat, Outlet, configure
from rollout.telemetry.sink import open_log
from rollout.telemetry.watch import Watch
from rollout.views.progress import Marks

if TYPE_CHECKING:
    from rollout.emulator.platform.population import Population

__all__ = [
    "EMULATOR_LOG",
    "EVENT_LOG",
    "MadeUpFleet",
    "Rehearsal",
    "RunOrder",
    "RunResult",
    "caller_of",
    "carry_out",
    "list_devices",
]

EVENT_LOG = "events.ndjson"
EMULATOR_LOG = "emulator.ndjson"


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The emulator inside this process: how its fleet behaves.

    `columns` are those that the population's strata look at: column to device key to value.
    """

    population: Population
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class RunOrder:
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


async def carry_out(order: RunOrder) -> RunResult:
    """Run the campaign until it is over, must wait, or a signal says leave.

    Raises: JournalHeld where another runner holds it; CampaignBusy where the journal was begun with another
    plan; ServiceError, JournalError and CredentialsMissing as they come. The campaign can always be run again.
    """
    plan = order.saved.plan
    async with AsyncExitStack() as stack:
        journal = _open_journal(order)
        stack.push_async_callback(journal.aclose)
        _refuse_other_plan(journal, plan)
        last_event_at = max((event.at for event in journal.read()), default=0.0)
        log = open_log(order.directory / EVENT_LOG)
        stack.callback(log.close)
        clock = Clock(not_before=max(last_event_at, _emulator_time(order)), speed=order.speed)
        configure((Outlet(log, LogFormat.JSON), *order.outlets), clock=clock)
        url = order.profile.url if order.rehearsal is None else await _start_emulator(stack, order, clock)

        pacers = Pacers.of(plan.campaign.limits)
        caller = caller_of(
            order.profile,
            plan.campaign.org_id,
            url=url,
            read_permit=pacers.read.permit,
            steer_permit=pacers.brake.permit,
        )
        order.on_held()
        service = EnosService(caller, search_by_name=order.profile.search_by_name)
        stack.push_async_callback(service.aclose)
        watch = Watch(clock, order.view, order.marks)
        runner = Runner(
            plan=plan,
            manifest=order.saved.manifest,
            journal=journal,
            service=service,
            pacers=pacers,
            clock=clock,
            settings=_engine_settings(order, journal),
            rng=random.Random(),  # noqa: S311 - spreads retries, protects nothing
            inbox=Inbox(order.directory),
            observers=(EventLog(), watch),
        )
        settle()
        with _signals(runner, watch, order.view) as received:
            showing = asyncio.create_task(watch.show())
            try:
                leave = await runner.run()
            finally:
                showing.cancel()
        log.close()
        return RunResult(leave, runner.state, received[0] if received else None, log.dropped)


def _open_journal(order: RunOrder) -> SqliteJournal:
    plan = order.saved.plan
    if not (order.directory / JOURNAL_NAME).exists():
        return SqliteJournal.create(order.directory, plan.campaign.id, plan.digest)
    return SqliteJournal.open(order.directory)


def _refuse_other_plan(journal: SqliteJournal, plan: Plan) -> None:
    if journal.plan_digest != plan.digest:
        raise CampaignBusy(
            f"{journal.path} was begun with plan {journal.plan_digest}, not {plan.digest}",
            code="R601",
            hint="give the changed plan another id",
        )


def _engine_settings(order: RunOrder, journal: SqliteJournal) -> EngineSettings:
    return EngineSettings(
        runner=f"{socket.gethostname()}:{os.getpid()}",
        version=__version__,
        latest_effect_s=order.profile.latest_effect_s * order.speed,
        search_lag_s=order.profile.search_lag_s * order.speed,
        paranoid=not journal.was_clean or journal.older_than_lock,
        until=order.until,
        exit_on_wait=order.exit_on_wait,
        approve=order.approve,
        approved_by=order.approved_by,
    )


def caller_of(
    profile: Profile,
    org_id: str,
    *,
    url: str | None = None,
    read_permit: Callable[[], Awaitable[None]] = at_once,
    steer_permit: Callable[[], Awaitable[None]] | None = None,
) -> Caller:
    """Return what calls the profile's platform, or the one at `url`; no output shows its keys from now on.

    The emulator's demo keys are public and may be seen.

    Raises: CredentialsMissing, SettingsError.
    """
    keys = profile.credentials()
    app_key, app_secret = keys.access_key.get_secret_value(), keys.secret_key.get_secret_value()
    REDACTOR.learn(*{app_key, app_secret} - {DEMO_ACCESS_KEY, DEMO_SECRET_KEY})
    return Caller(
        Transport(url or profile.url, ca_file=profile.ca_file),
        org_id=org_id,
        app_key=app_key,
        app_secret=Secret(app_secret),
        read_permit=read_permit,
        steer_permit=steer_permit,
    )


# --- devices from the platform --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MadeUpFleet:
    """Devices that the emulator inside this process makes up: their keys, and what else they are."""

    keys: Iterable[str]
    population: Population
    seed: int


async def list_devices(
    profile: Profile,
    campaign: Campaign,
    devices: DeviceFilter,
    rng: random.Random,
    made_up: MadeUpFleet | None = None,
) -> AsyncIterator[tuple[str, Mapping[str, str]]]:
    """Yield key and columns of every device of the campaign's organisation that the filter lets pass, each once.

    Where the profile is the emulator inside this process, its devices are `made_up`. Reads at the campaign's pace, and again after what may pass, as often as its `api_retry` says: there is no
    journal yet to go on from. Raises: ServiceError, also after devices were yielded, and the list is then not
    complete; CredentialsMissing, SettingsError.
    """
    pacer = Pacer(campaign.limits.read)
    await pacer.start()
    async with AsyncExitStack() as stack:
        url = None if made_up is None else await _serve_made_up(stack, campaign, made_up)
        caller = caller_of(profile, campaign.org_id, url=url, read_permit=pacer.permit)
        stack.push_async_callback(caller.aclose)
        patient = _Patient(caller, pacer, campaign.api_retry, rng)
        # V2.4 came with the release that can search jobs by name, but for a correction
        version: Version = "v2.4" if profile.search_by_name else "v2.1"
        async for key, columns in EnosDevices(patient, version=version).search(device_expression(devices)):
            yield key, columns


async def _serve_made_up(stack: AsyncExitStack, campaign: Campaign, fleet: MadeUpFleet) -> str:
    """Start an emulator that has the made-up devices and nothing else to do; return its URL."""
    from rollout.emulator.http.server import EmulatorConfig, serve  # noqa: PLC0415 - only a rehearsal loads the emulator

    nothing: Mapping[str, str] = {}
    config = EmulatorConfig(
        org_id=campaign.org_id,
        seed=fleet.seed,
        population=fleet.population,
        devices=((key, nothing) for key in fleet.keys),
    )
    running = await stack.enter_async_context(serve(config))
    url: str = running.url
    return url


class _Patient:
    """Calls that are repeated while what went wrong may pass; for reads alone."""

    def __init__(self, caller: Caller, pacer: Pacer, policy: ApiRetry, rng: random.Random) -> None:
        self._caller = caller
        self._pacer = pacer
        self._policy = policy
        self._rng = rng

    async def call(
        self,
        operation: Operation,
        path: str,
        query: Mapping[str, str],
        body: bytes | None = None,
        data: type[Any] = object,
    ) -> Envelope[Any]:
        """Return the reply of a read. Raises ServiceError: what is permanent at once, anything else in the end."""
        for attempt in range(1, self._policy.attempts + 1):
            try:
                reply = await self._caller.call(operation, path, query, body, data)
            except ServiceError as error:
                if error.failure.is_final or attempt == self._policy.attempts:
                    raise
                if error.failure is Failure.THROTTLED:
                    await self._pacer.slow_down(error.retry_after_s)
                await asyncio.sleep(backoff(attempt, self._policy, self._rng.random()))
            else:
                await self._pacer.went_well()
                return reply
        raise AssertionError("a policy has at least one attempt")


# --- the emulator --------------------------------------------------------------------------------------------


def _emulator_time(order: RunOrder) -> float:
    """Return when the in-process emulator last did something, in its own time; 0 without one."""
    if order.rehearsal is None:
        return 0.0
    from rollout.emulator.oplog import read_last_time  # noqa: PLC0415 - only a rehearsal loads the emulator

    return read_last_time(order.directory / EMULATOR_LOG) or 0.0


async def _start_emulator(stack: AsyncExitStack, order: RunOrder, clock: Clock) -> str:
    """Start the emulator on a free loopback port, with the plan's devices as its fleet; return its URL."""
    from rollout.emulator.http.server import EmulatorConfig, serve  # noqa: PLC0415 - only a rehearsal loads it

    rehearsal = order.rehearsal
    assert rehearsal is not None, "only a rehearsal has an emulator"
    config = EmulatorConfig(
        org_id=order.saved.plan.campaign.org_id,
        seed=rehearsal.seed,
        speed=order.speed,
        population=rehearsal.population,
        devices=_fleet(order.saved, rehearsal),
        log_path=order.directory / EMULATOR_LOG,
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
