"""One campaign: fold, decide, perform, append, until it is closed or somebody says leave.

The steering task alone decides; a fixed set of workers carries out what it hands them (a task per call would
halve the throughput). A fact is folded only after the journal made it durable, in journal order, so that the
living state and the state of a later replay are the same thing.

Leaving: `stop()` hands out nothing more, lets open calls end for `GRACE_S`, then drops them. A create dropped
so stays "sent" in the journal and is in doubt in the next life; nothing here ever calls it unsent.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from random import Random

import anyio

from rollout.core import events as ev
from rollout.core.commands import CancelTasks, Command, CountTasks, CreateJob, RecordFact, StopJob, UnderWay
from rollout.core.decide import decide
from rollout.core.fold import fold
from rollout.core.lifecycle import CampaignStatus, WaveStatus
from rollout.core.plan import Plan
from rollout.core.polling import started
from rollout.core.reasons import HoldReason, StopReason
from rollout.core.state import State
from rollout.engine.clock import Clock
from rollout.engine.orders import fact_of
from rollout.engine.pacing import Pacers
from rollout.engine.performer import Performer
from rollout.errors import RolloutError, ServiceError
from rollout.ports import EnginePorts, Observer

GRACE_S = 10.0
"""How long open calls may take to end after `stop()`. Real seconds."""
BRAKE_WORKERS = 2
"""Workers kept for stopping and cancelling, so that counting never stands in their way."""


class Leave(StrEnum):
    """Why a run ended without an error."""

    FINISHED = "finished"
    ABORTED = "aborted"
    HALTED = "halted"
    WAITING = "waiting"
    REACHED = "reached"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How one run behaves. `latest_effect_s` (L) and `search_lag_s` (S) are seconds of the engine's clock.

    `until`: leave when this wave's gate has passed. `exit_on_wait`: leave instead of waiting for a person or a
    soak. `approve`: waves approved in advance.
    """

    runner: str
    version: str
    latest_effect_s: float = 60.0
    search_lag_s: float = 5.0
    paranoid: bool = False
    until: int | None = None
    exit_on_wait: bool = False
    approve: tuple[int, ...] = ()
    approved_by: str = ""


class Runner:
    """Runs one campaign in this process. `state` may be read at any time, changed never."""

    def __init__(
        self,
        *,
        plan: Plan,
        ports: EnginePorts,
        pacers: Pacers,
        clock: Clock,
        settings: EngineSettings,
        rng: Random,
    ) -> None:
        self.state = State.initial(plan)
        self._pacers = pacers
        self._journal = ports.journal
        self._clock = clock
        self._settings = settings
        self._orders = ports.orders
        self._observers = list(ports.observers)
        self._under_way = UnderWay()
        self._unfolded: deque[ev.Event] = deque()
        self._folded = 0
        self._stop_reason: StopReason | None = None
        self._stop_message = ""
        self._error: RolloutError | None = None
        self._wake = asyncio.Event()
        self._creates: asyncio.Queue[Command] = asyncio.Queue()
        self._reads: asyncio.Queue[Command] = asyncio.Queue()
        self._brakes: asyncio.Queue[Command] = asyncio.Queue()
        self._next_look = 0.0
        self._performer = Performer(
            state=self.state, ports=ports, clock=clock, pacers=pacers, rng=rng, engine=self
        )

    def observe(self, observer: Observer) -> None:
        """Tell `observer` of every event from now on, after it was folded and after those who came before."""
        self._observers.append(observer)

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called: no new call may go out."""
        return self._stop_reason is not None

    def stop(self, reason: StopReason = StopReason.INTERRUPTED, message: str = "") -> None:
        """Leave in good order: no new call, open ones may end. Safe to call at any time; the first reason stands.

        Args:
            message: the signal's name, or the error for which nothing can go on.
        """
        if self._stop_reason is None:
            self._stop_reason, self._stop_message = reason, message
        self._wake.set()

    def look(self) -> None:
        """Decide anew at once: something outside has changed, such as the orders."""
        self._next_look = 0.0
        self._wake.set()

    async def run(self) -> Leave:
        """Take the campaign up where its journal ends and go on until it is over or must wait.

        Raises: `ServiceError` where no call can get through, `JournalError` where the journal fails; both
        leave the campaign so that the next run goes on.
        """
        for event in self._journal.read():
            fold(self.state, event)
        await self._pacers.start()
        leave = Leave.STOPPED
        try:
            async with anyio.create_task_group() as tasks:
                limits = self.state.campaign.limits
                lanes = ((self._creates, limits.create.in_flight), (self._reads, limits.read.in_flight))
                for lane, workers in (*lanes, (self._brakes, BRAKE_WORKERS)):
                    for _ in range(workers):
                        tasks.start_soon(self._work, lane)
                await self._begin()
                leave = await self._steer()
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise _first(group) from None
        if self._error is not None:
            raise self._error
        return leave

    async def record(self, events: list[ev.Event]) -> None:
        """Make facts durable, then fold them and tell the observers; in the order they were given."""
        self._unfolded.extend(events)
        durable = await self._journal.append(events)
        # all of the commit at once, not each caller its own: the same work done in a row takes half the time
        while self._folded < durable:
            self._folded += 1
            self.note(self._unfolded.popleft())

    # --- steering ------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        now, settings, plan = self._clock(), self._settings, self.state.plan
        if self.state.status is CampaignStatus.NEW:
            await self.record([started(plan, now)])
        if self.state.closed:
            return
        await self.record(
            [
                ev.EngineStarted(
                    now,
                    settings.runner,
                    settings.version,
                    settings.latest_effect_s,
                    settings.search_lag_s,
                    settings.paranoid,
                )
            ]
        )
        given = [
            ev.ApprovalGiven(now, wave, settings.approved_by, "in advance")
            for wave in settings.approve
            # what halted was judged after the approval was thought of: to pass it takes an order of its own
            if not self.state.waves[wave].approved and self.state.status is not CampaignStatus.HALTED
        ]
        if given:
            await self.record(list(given))

    async def _steer(self) -> Leave:
        while True:
            self._wake.clear()
            await self._take_orders()
            leave = self._reason_to_leave()
            if leave is not None:
                await self._drain()
                if not self.state.closed:
                    reason = self._stop_reason or StopReason(leave.value)
                    await self.record([ev.EngineStopped(self._clock(), reason, self._stop_message)])
                return leave
            decision = decide(self.state, self._clock(), self._under_way)
            facts = [command.event for command in decision.commands if isinstance(command, RecordFact)]
            if facts:
                await self.record(facts)
                continue
            commands = decision.commands
            if self._settings.exit_on_wait and self._waits():
                # counts that are due again and again keep nobody here; those under way end first, and are judged
                commands = [command for command in commands if not isinstance(command, CountTasks)]
                if not commands and not self._under_way:
                    self.stop(StopReason.WAITING)
                    continue
            for command in commands:
                self._hand_out(command)
            await self._sleep(decision.wake_at)

    def _reason_to_leave(self) -> Leave | None:
        status = self.state.status
        if status is CampaignStatus.FINISHED:
            return Leave.FINISHED
        if status is CampaignStatus.ABORTED:
            return Leave.ABORTED
        if self._stop_reason is not None:
            return Leave.WAITING if self._stop_reason is StopReason.WAITING else Leave.STOPPED
        until = self._settings.until
        if until is not None and self.state.waves[until].status in {WaveStatus.PASSED, WaveStatus.FINISHED}:
            return Leave.REACHED
        halted = status is CampaignStatus.HALTED
        if halted and not self.state.unknown and not self.state.brakes and not self._under_way:
            return Leave.HALTED
        return None

    def _waits(self) -> bool:
        """Return whether only a person or a soak can bring the campaign on, as far as this life has looked."""
        if self.state.unsighted - self.state.blind.keys():
            return False  # what has happened since the last life is news
        if self.state.status is CampaignStatus.PAUSED or self.state.stalled:
            return True
        frontier = next((wave for wave in self.state.waves if wave.status is WaveStatus.OPEN), None)
        return frontier is not None and frontier.held in {HoldReason.SOAK, HoldReason.APPROVAL}

    def _hand_out(self, command: Command) -> None:
        self._under_way.begin(command)
        if isinstance(command, CreateJob):
            self._creates.put_nowait(command)
        elif isinstance(command, StopJob | CancelTasks):
            self._brakes.put_nowait(command)
        else:
            self._reads.put_nowait(command)

    async def _sleep(self, wake_at: float) -> None:
        """Wait for news, for `wake_at`, or for the next look at the orders."""
        if self._wake.is_set():
            return
        wait = inf if wake_at == inf else max(0.0, self._clock.real(wake_at - self._clock()))
        if self._orders is not None:
            wait = min(wait, self._orders.look_every_s)
        if wait == inf:
            await self._wake.wait()
            return
        timer = asyncio.get_running_loop().call_later(wait, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    async def _drain(self) -> None:
        """Let open calls end; drop what nobody has begun yet."""
        for lane in (self._creates, self._reads, self._brakes):
            while not lane.empty():
                self._under_way.end(lane.get_nowait())
        with anyio.move_on_after(GRACE_S):
            while self._under_way:
                self._wake.clear()
                await self._wake.wait()

    # --- working -------------------------------------------------------------------------------------------

    async def _work(self, lane: asyncio.Queue[Command]) -> None:
        while True:
            command = await lane.get()
            try:
                await self._performer.perform(command)
            finally:
                self._under_way.end(command)
                self._wake.set()

    def note(self, event: ev.Event) -> None:
        """Fold an event and tell the observers; it is not kept."""
        fold(self.state, event)
        for observer in self._observers:
            observer.notice(event, self.state)
        self._wake.set()

    def give_up(self, error: ServiceError) -> None:
        """End the run with this error, once the calls under way are done."""
        self._error = self._error or error
        self.stop(StopReason.GAVE_UP, str(error))

    # --- orders --------------------------------------------------------------------------------------------

    async def _take_orders(self) -> None:
        """Turn what people asked for into facts. An order already in the journal is only put away."""
        loop = asyncio.get_running_loop()
        if self._orders is None or loop.time() < self._next_look:
            return
        self._next_look = loop.time() + self._orders.look_every_s
        for order in await self._orders.pending():
            if order.id not in self.state.requests:
                fact = fact_of(order, self.state, self._clock())
                if fact is not None:
                    await self.record([fact])
            await self._orders.done(order.id)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the one exception worth telling: ours before any other, the first before the rest."""
    leaves = [_first(error) if isinstance(error, BaseExceptionGroup) else error for error in group.exceptions]
    return next((error for error in leaves if isinstance(error, RolloutError)), leaves[0])
