"""The network of a simulated world, and the client over it.

A request travels to the platform, has its effect, and its answer travels back; all three are callbacks of the world, not
of the process that sent it, so a request already on its way arrives after its sender's death. Faults are the
emulator's own, drawn and carried out by its `Service`; here is only what that sees of a connection that breaks.

The client is the real one. Its counts alone take a short cut past JSON and signature where no fault concerns them and
every job is known: nine of ten calls of a campaign are counts.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from math import inf
from random import Random

from rollout.core.records import TaskState
from rollout.emulator.http.gateway import DEMO_ACCESS_KEY, DEMO_SECRET_KEY
from rollout.emulator.http.service import Call, Delivery, Reply, Service
from rollout.emulator.platform.index import JobView
from rollout.emulator.platform.tasks import STATUSES
from rollout.enos import limits
from rollout.enos.caller import Caller
from rollout.enos.service import EnosService
from rollout.enos.signing import Secret
from rollout.enos.translate import STATUS_OF, Answer, BrokenOff, is_token_refused
from rollout.enos.transport import Exchange, Request
from rollout.ports import Guard, NotNow
from rollout.simulation.power import Power

__all__ = ["CallMeters", "Network", "Sent", "SimService", "Wires"]

_FIRST_PAGE = b'"pageNo":1,'
"""What the body of a search for the first page holds."""


@dataclass(frozen=True, slots=True)
class Wires:
    """How the network behaves. Ranges are seconds, drawn evenly; shares are 0 to 1.

    `unreachable`: no connection comes about. `request_lost`, `answer_lost`: swallowed without a word, so the caller
    waits for its time-out. What the platform and its gateway do wrong is the emulator's `FaultPlan`.
    """

    connect_s: tuple[float, float] = (0.002, 0.05)
    transit_s: tuple[float, float] = (0.005, 0.1)
    unreachable: float = 0.0
    request_lost: float = 0.0
    answer_lost: float = 0.0


@dataclass(slots=True)
class Sent:
    """One create whose bytes have left.

    `intents`: durable intents of that name then. `refused`: the gateway never forwarded it. `over_at`: from when on
    it can take no effect any more; infinite while that is open.
    """

    at: float
    name: str
    intents: int
    life: int
    refused: bool = False
    over_at: float = inf


class CallMeters:
    """How many calls reached the network in each minute since the epoch."""

    def __init__(self) -> None:
        self.creates: Counter[int] = Counter()
        self.reads: Counter[int] = Counter()

    def note(self, action: str, at: float) -> None:
        """Count one call; all that is no create is taken for a read."""
        (self.creates if action == "create" else self.reads)[int(at // 60)] += 1


class Network:
    """What lies between the processes and the platform, and outlives them.

    Args:
        now: the world's time, seconds since the epoch.
        intents: how many durable intents a job name has.

    `later_pages`: searches for jobs that asked for more than the first page. `effect_delay_s`: how much later than its
    answer the create answered last takes effect; told by the world.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        service: Service,
        wires: Wires,
        rng: Random,
        *,
        now: Callable[[], float],
        intents: Callable[[str], int],
    ) -> None:
        self.service = service
        self.wires = wires
        self.sent: list[Sent] = []
        self.meters = CallMeters()
        self.later_pages = 0
        self.effect_delay_s = 0.0
        self.now = now
        self._loop = loop
        self._rng = rng
        self._intents = intents

    def draw_connect_s(self) -> float:
        """Return how long a connection takes to stand."""
        return self._rng.uniform(*self.wires.connect_s)

    def draw_transit_s(self) -> float:
        """Return how long one way takes."""
        low, high = self.wires.transit_s
        return self._rng.uniform(low, high) if high else 0.0

    def is_unreachable(self) -> bool:
        """Tell whether this connection fails to come about."""
        return self._lost(self.wires.unreachable)

    def note_create(self, name: str, life: int) -> Sent:
        """Note that a create leaves now."""
        self.sent.append(Sent(self.now(), name, self._intents(name), life))
        return self.sent[-1]

    def send(self, call: Call, sent: Sent | None = None) -> asyncio.Future[Reply]:
        """Let a request go, whatever becomes of its sender; the future may never be set. `sent`: it is a create."""
        answer: asyncio.Future[Reply] = self._loop.create_future()
        if action := call.query.get("action"):
            self.meters.note(action, self.now())
        if not self._lost(self.wires.request_lost):
            self._loop.call_later(self.draw_transit_s(), self._arrive, call, answer, sent)
        elif sent is not None:
            sent.over_at = self.now()
        return answer

    def _arrive(self, call: Call, answer: asyncio.Future[Reply], sent: Sent | None) -> None:
        self.effect_delay_s = 0.0
        reply = self.service.answer(call)
        if sent is not None:
            sent.over_at = self.now() + self.effect_delay_s
        elif call.query.get("action") == "search":
            self.later_pages += _FIRST_PAGE not in (call.body or b"")
        if not self._lost(self.wires.answer_lost):
            self._loop.call_later(reply.wait_s + self.draw_transit_s(), self._return, reply, answer)

    @staticmethod
    def _return(reply: Reply, answer: asyncio.Future[Reply]) -> None:
        if not answer.done():
            answer.set_result(reply)

    def _lost(self, share: float) -> bool:
        return share > 0 and self._rng.random() < share

    @property
    def counts_are_plain(self) -> bool:
        """Whether a count comes to the same with and without JSON, signature and gateway."""
        service, wires = self.service, self.wires
        return (
            not any("searchTask" in fault.operations for fault in service.faults.plan.faults)
            and service.gateway.rules.quota is None
            and not (wires.unreachable or wires.request_lost or wires.answer_lost)
        )


class _Life(Exchange):
    """One process's way to the network."""

    def __init__(self, network: Network, power: Power, life: int) -> None:
        self._network = network
        self._power = power
        self._life = life

    async def exchange(
        self,
        request: Request,
        *,
        body_bytes_max: int,
        fresh: bool = False,  # noqa: ARG002 - every connection is fresh here
        guard: Guard | None = None,
    ) -> Answer | BrokenOff:
        """Send the request and return what came of it, as `enos.transport` promises."""
        network = self._network
        await asyncio.sleep(network.draw_connect_s())
        if network.is_unreachable():
            return BrokenOff("connection refused", handed=False)
        sent = None
        if guard is not None:
            await self._power.step("before the guard")
            try:
                await guard()
            except NotNow as error:
                return BrokenOff(str(error) or "withheld", handed=False, withheld=True)
            await self._power.step("before the first byte")
            sent = network.note_create(_job_name(request.body), self._life)
        coming = network.send(_call(request), sent)
        if sent is not None:
            await self._power.step("after the last byte")
        try:
            async with asyncio.timeout(limits.READ_TIMEOUT_S):
                reply = await coming
        except TimeoutError:
            return BrokenOff("no answer in time", handed=True)
        if sent is not None:
            await self._power.step("after the answer")
        if reply.delivery is not Delivery.WHOLE:
            return BrokenOff(f"connection ended ({reply.delivery.name.lower()})", handed=True)
        answer = Answer(
            reply.status,
            reply.body[:body_bytes_max],
            content_type="application/json",
            retry_after=reply.headers.get("Retry-After", ""),
            truncated=len(reply.body) > body_bytes_max,
        )
        if sent is not None:
            sent.refused = is_token_refused(answer)
        return answer

    async def aclose(self) -> None:
        """Nothing is open."""


class SimService(EnosService):
    """The real client of one life, over the network of the world."""

    def __init__(
        self,
        network: Network,
        power: Power,
        life: int,
        *,
        org_id: str,
        read_permit: Callable[[], Awaitable[None]],
        steer_permit: Callable[[], Awaitable[None]],
        page_size: int,
    ) -> None:
        super().__init__(
            Caller(
                _Life(network, power, life),
                org_id=org_id,
                app_key=DEMO_ACCESS_KEY,
                app_secret=Secret(DEMO_SECRET_KEY),
                read_permit=read_permit,
                steer_permit=steer_permit,
                now=network.now,
            ),
            page_size=page_size,
        )
        self._network = network
        self._permit = read_permit

    async def count_tasks(self, job_ids: Sequence[str], states: Collection[TaskState] = ()) -> int:
        """Return how many tasks the jobs have, as seen when the call arrives."""
        network = self._network
        seen = network.service.platform.index.holders
        if not network.counts_are_plain or any(job_id not in seen for job_id in job_ids):
            return await super().count_tasks(job_ids, states)
        await self._permit()
        network.meters.note("searchTask", network.now())
        way_s = network.draw_transit_s() + network.draw_transit_s()
        if way_s:
            await asyncio.sleep(way_s)
        network.service.advance()
        views = [view for job_id in job_ids if (view := seen.get(job_id)) is not None]
        return sum(_count(view, states) for view in views)


def _count(view: JobView, states: Collection[TaskState]) -> int:
    return sum(view.counts[STATUSES[STATUS_OF[state]]] for state in states) if states else view.tasks


def _call(request: Request) -> Call:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Call(request.method, f"/{request.path}", request.query, headers, request.body or b"")


def _job_name(body: bytes | None) -> str:
    """Return the name a create body begins with; our names are ASCII without quotes."""
    assert body is not None, "a create has a body"
    return body.split(b'"', 6)[5].decode("ascii")
