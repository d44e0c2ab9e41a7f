"""The network of a world, and the client of one process on it.

A request travels to the platform, takes effect, and its answer travels back. All three steps are callbacks of the world's
loop and belong to no process: a request that has left arrives even if its sender dies meanwhile. The faults of the
platform are drawn and carried out by the emulator's `Service`; this module only adds what a client sees of a connection.

The client is the real `EnosService`, with one exception: where no fault concerns them, counts skip JSON and signature.
Nine of ten calls of a campaign are counts.
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
from rollout.emulator.http.service import Delivery, HttpCall, Reply, Service
from rollout.emulator.platform.index import JobView
from rollout.emulator.platform.tasks import STATUS_BY_LABEL
from rollout.enos import limits
from rollout.enos.caller import Caller
from rollout.enos.service import EnosService
from rollout.enos.signing import Secret
from rollout.enos.translate import STATUS_OF, Answer, NoResponse, is_token_refused
from rollout.enos.transport import Exchange, Request
from rollout.ports import Guard, NotNow
from rollout.simulation.power import Power

_FIRST_PAGE = b'"pageNo":1,'
"""Part of every search body that asks for the first page."""


@dataclass(frozen=True, slots=True)
class Wires:
    """How the network behaves. What the platform and its gateway do wrong is the emulator's `FaultPlan`.

    `connect_s`, `transit_s`: range of the time to connect and of the time one way takes, seconds, drawn uniformly.
    `unreachable`, `request_lost`, `answer_lost`: probability, 0 to 1, that no connection is made, that the request
    disappears, that the answer disappears. In the last two cases the caller waits for its time-out.
    """

    connect_s: tuple[float, float] = (0.002, 0.05)
    transit_s: tuple[float, float] = (0.005, 0.1)
    unreachable: float = 0.0
    request_lost: float = 0.0
    answer_lost: float = 0.0


@dataclass(slots=True)
class Sent:
    """One create whose bytes have left.

    `at`: when, seconds since the epoch. `name`: job name. `intents`: durable intents of that name at that moment.
    `life`: number of the process that sent it. `refused`: the gateway did not forward it. `over_at`: from when on it can
    take no effect any more, seconds since the epoch; infinite while that is not known.
    """

    at: float
    name: str
    intents: int
    life: int
    refused: bool = False
    over_at: float = inf


class CallMeters:
    """Number of calls by minute. The keys are minutes since the epoch."""

    def __init__(self) -> None:
        self.creates: Counter[int] = Counter()
        self.reads: Counter[int] = Counter()

    def note(self, action: str, at: float) -> None:
        """Count one call at `at`, seconds since the epoch; every action but `create` counts as a read."""
        (self.creates if action == "create" else self.reads)[int(at // 60)] += 1


class Network:
    """What lies between the processes and the platform. It outlives the processes.

    Args:
        now: returns the world's time, seconds since the epoch.
        intents: returns how many durable intents a job name has.

    `sent`: every create that left, in order. `later_pages`: number of job searches that asked for a page after the first.
    `effect_delay_s`: by how many seconds the effect of the create answered last comes after its answer; the world sets it.
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
        """Draw how long the next connection takes, seconds."""
        return self._rng.uniform(*self.wires.connect_s)

    def draw_transit_s(self) -> float:
        """Draw how long one way through the network takes, seconds."""
        low, high = self.wires.transit_s
        return self._rng.uniform(low, high) if high else 0.0

    def is_unreachable(self) -> bool:
        """Draw whether the next connection fails."""
        return self._lost(self.wires.unreachable)

    def note_create(self, name: str, life: int) -> Sent:
        """Note that a create of this job name leaves now; `life`: number of the sending process. Return the note."""
        self.sent.append(Sent(self.now(), name, self._intents(name), life))
        return self.sent[-1]

    def send(self, call: HttpCall, sent: Sent | None = None) -> asyncio.Future[Reply]:
        """Send a request; it arrives even if its sender dies.

        Args:
            sent: the note of the create; None for any other call.
        Returns: a future with the reply; never set if request or answer is lost.
        """
        answer: asyncio.Future[Reply] = self._loop.create_future()
        if action := call.query.get("action"):
            self.meters.note(action, self.now())
        if not self._lost(self.wires.request_lost):
            self._loop.call_later(self.draw_transit_s(), self._arrive, call, answer, sent)
        elif sent is not None:
            sent.over_at = self.now()
        return answer

    def _arrive(self, call: HttpCall, answer: asyncio.Future[Reply], sent: Sent | None) -> None:
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
        """Whether a count may skip JSON, signature and gateway, since no fault concerns it."""
        service, wires = self.service, self.wires
        return (
            not any("searchTask" in fault.operations for fault in service.faults.plan.faults)
            and service.gateway.rules.quota is None
            and not (wires.unreachable or wires.request_lost or wires.answer_lost)
        )


class _SimExchange(Exchange):
    """The HTTP exchange of one process. Has the crash points of a create."""

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
    ) -> Answer | NoResponse:
        """Send the request and return what came of it; the promise is that of `Exchange`."""
        network = self._network
        await asyncio.sleep(network.draw_connect_s())
        if network.is_unreachable():
            return NoResponse("connection refused", handed=False)
        sent = None
        if guard is not None:
            await self._power.step("before the guard")
            try:
                await guard()
            except NotNow as error:
                return NoResponse(str(error) or "withheld", handed=False, withheld=True)
            await self._power.step("before the first byte")
            sent = network.note_create(_job_name(request.body), self._life)
        coming = network.send(_call(request), sent)
        if sent is not None:
            await self._power.step("after the last byte")
        try:
            async with asyncio.timeout(limits.READ_TIMEOUT_S):
                reply = await coming
        except TimeoutError:
            return NoResponse("no answer in time", handed=True)
        if sent is not None:
            await self._power.step("after the answer")
        if reply.delivery is not Delivery.WHOLE:
            return NoResponse(f"connection ended ({reply.delivery.name.lower()})", handed=True)
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
        """Do nothing; nothing is open."""


class SimService(EnosService):
    """The real client of one process, over the network of the world."""

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
                _SimExchange(network, power, life),
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
        """Return how many tasks the jobs have in these states, as the platform sees them when the call arrives."""
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
    return sum(view.counts[STATUS_BY_LABEL[STATUS_OF[state]]] for state in states) if states else view.tasks


def _call(request: Request) -> HttpCall:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return HttpCall(request.method, f"/{request.path}", request.query, headers, request.body or b"")


def _job_name(body: bytes | None) -> str:
    """Return the job name in a create body: its fourth quoted text. Job names are ASCII without quotes."""
    assert body is not None, "a create has a body"
    return body.split(b'"', 6)[5].decode("ascii")
