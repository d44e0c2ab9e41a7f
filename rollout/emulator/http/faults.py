"""Faults between a caller and the platform: seeded, counted, each with a probability.

A fault strikes a call before it takes effect (nothing has happened, whatever the caller sees), after it has taken effect
(it has happened, whatever the caller sees), or changes when it takes effect (later, or twice). The worst is
`commit_then_drop` on create: the job exists and its caller does not know.

Written as text, a fault is its name and probability, then any of the other options:
`commit_then_drop=0.2`, `error_503=1,on=search+get,from=60,until=120`, `http_429=0.1,seconds=3,limit=5`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from math import isfinite
from types import MappingProxyType

from rollout.emulator.platform.chance import dice
from rollout.enos.codes import Code, TokenStatus

OPERATIONS = frozenset(
    {
        "create",
        "get",
        "search",
        "start",
        "stop",
        "delete",
        "searchTask",
        "cancelTask",
        "retryTask",
        "token",
        "firmware",
        "device",
    }
)
"""What a fault can strike: the actions on jobs, `token`, all firmware calls and all device calls."""

READ_OPERATIONS = frozenset({"get", "search", "searchTask", "firmware", "device"})
"""The operations that answer from the index."""


_TOKEN_STATUS = frozenset(int(status) for status in TokenStatus)
_CODES = frozenset(int(code) for code in Code)


class FaultKind(StrEnum):
    """What goes wrong; `WHAT_FAULTS_DO` explains each kind.

    A call struck by a kind whose name ends in a number is answered with that number: an HTTP status of the gateway or a
    proxy, in the shape of its bodies; a status of the token service; or a code in the platform's envelope.
    """

    COMMIT_THEN_DROP = "commit_then_drop"
    COMMIT_THEN_RESET = "commit_then_reset"
    COMMIT_THEN_500 = "commit_then_500"
    COMMIT_THEN_502 = "commit_then_502"
    COMMIT_THEN_503 = "commit_then_503"
    COMMIT_THEN_504 = "commit_then_504"
    COMMIT_THEN_24500 = "commit_then_24500"
    COMMIT_THEN_99500 = "commit_then_99500"
    DROP_BEFORE_COMMIT = "drop_before_commit"
    RESET = "reset"
    ERROR_400 = "error_400"
    ERROR_403 = "error_403"
    ERROR_413 = "error_413"
    ERROR_500 = "error_500"
    ERROR_502 = "error_502"
    ERROR_503 = "error_503"
    ERROR_504 = "error_504"
    ERROR_1005 = "error_1005"
    ERROR_1203 = "error_1203"
    ERROR_24500 = "error_24500"
    ERROR_99404 = "error_99404"
    ERROR_99500 = "error_99500"
    HTTP_429 = "http_429"
    UNAUTHORIZED = "unauthorized"
    APIM_4011 = "apim_4011"
    APIM_4012 = "apim_4012"
    DELAY = "delay"
    READ_LAG = "read_lag"
    SLOW_ANSWER = "slow_answer"
    TRUNCATED = "truncated"
    HALF_CLOSED = "half_closed"
    DUPLICATE_DELIVERY = "duplicate_delivery"

    @property
    def number(self) -> int | None:
        """The status or code that a struck call is answered with; None if the kind names none."""
        first, _, last = self.value.rpartition("_")
        return int(last) if first in {"error", "commit_then"} and last.isdigit() else None

    @property
    def commits(self) -> bool:
        """Whether a call that is answered with a number takes effect all the same."""
        return self.value.startswith("commit_then_")

    @property
    def usual_operations(self) -> frozenset[str]:
        """The operations that the kind strikes if the fault names none."""
        if self.number in _TOKEN_STATUS:
            return frozenset({"token"})
        return READ_OPERATIONS if self is FaultKind.READ_LAG else frozenset({"create"})


WHAT_FAULTS_DO: Mapping[FaultKind, str] = MappingProxyType(
    {
        FaultKind.COMMIT_THEN_DROP: "done, connection closed without an answer",
        FaultKind.COMMIT_THEN_RESET: "done, connection reset",
        FaultKind.COMMIT_THEN_500: "done, the gateway says it failed",
        FaultKind.COMMIT_THEN_502: "done, a proxy says it got no answer",
        FaultKind.COMMIT_THEN_503: "done, the gateway says nobody is there",
        FaultKind.COMMIT_THEN_504: "done, a proxy says it waited too long",
        FaultKind.COMMIT_THEN_24500: "done, the service says it failed",
        FaultKind.COMMIT_THEN_99500: "done, the platform says it failed",
        FaultKind.DROP_BEFORE_COMMIT: "not done, connection closed without an answer",
        FaultKind.RESET: "not done, connection reset",
        FaultKind.ERROR_400: "not done, the gateway could not read the body",
        FaultKind.ERROR_403: "not done, the caller's address is not allowed",
        FaultKind.ERROR_413: "not done, the body is too large for the gateway",
        FaultKind.ERROR_500: "not done, the gateway failed",
        FaultKind.ERROR_502: "not done, a proxy got no answer",
        FaultKind.ERROR_503: "not done, nobody behind the gateway",
        FaultKind.ERROR_504: "not done, a proxy waited too long",
        FaultKind.ERROR_1005: "no token: the token service failed",
        FaultKind.ERROR_1203: "no token: the one shown has expired",
        FaultKind.ERROR_24500: "not done, the service failed",
        FaultKind.ERROR_99404: "not done, an object does not exist",
        FaultKind.ERROR_99500: "not done, the platform failed",
        FaultKind.HTTP_429: "not done, flow control [Retry-After; none if 0]",
        FaultKind.UNAUTHORIZED: "not done, the token is revoked",
        FaultKind.APIM_4011: "not done, an SDK is told to adopt another token; HTTP 200",
        FaultKind.APIM_4012: "not done, an SDK is told to make a new token; HTTP 200",
        FaultKind.DELAY: "a create done later, others never; no answer [lateness, emulator's clock]",
        FaultKind.READ_LAG: "done, but searches stand still from now on [for up to this long, drawn, emulator's clock]",
        FaultKind.SLOW_ANSWER: "done, the answer takes its time [wait, real seconds]",
        FaultKind.TRUNCATED: "done, the answer is half its JSON",
        FaultKind.HALF_CLOSED: "done, the connection ends within the answer",
        FaultKind.DUPLICATE_DELIVERY: "done twice, answered once",
    }
)
"""Each kind in one line: whether the call takes effect and what its caller sees; in brackets, what `seconds` means."""

SECONDS_DEFAULT = {
    FaultKind.DELAY: 5.0,
    FaultKind.SLOW_ANSWER: 1.0,
    FaultKind.HTTP_429: 0.0,
    FaultKind.READ_LAG: 30.0,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault: how likely it is, which operations it strikes, when, and how often.

    `operations`: empty means the kind's usual ones. `from_s`, `until_s`: seconds of the emulator's clock since its start;
    `until_s` None is no end. `limit`: how often it strikes at most, until the emulator is restarted or gets another plan;
    None is no limit. `seconds`: see `WHAT_FAULTS_DO`.
    """

    kind: FaultKind
    probability: float
    operations: frozenset[str] = frozenset()
    from_s: float = 0.0
    until_s: float | None = None
    limit: int | None = None
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if not self.operations:
            object.__setattr__(self, "operations", self.kind.usual_operations)
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"{self.kind}: a probability lies in 0 to 1, not {self.probability}")
        if unknown := self.operations - OPERATIONS:
            raise ValueError(
                f"{self.kind}: no operation {', '.join(sorted(unknown))}; there are {', '.join(sorted(OPERATIONS))}"
            )
        if self.kind.number in _TOKEN_STATUS and self.operations != {"token"}:
            raise ValueError(f"{self.kind}: strikes the token service only, on=token")
        if self.kind.number in _CODES and "token" in self.operations:
            raise ValueError(f"{self.kind}: is no status of the token service")
        if self.seconds < 0 or (self.limit is not None and self.limit < 0):
            raise ValueError(f"{self.kind}: seconds and limit cannot be negative")
        if not all(map(isfinite, (self.seconds, self.from_s, self.until_s or 0.0))):
            raise ValueError(f"{self.kind}: seconds, from and until are finite")

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Return the fault that a text describes. Raises: ValueError saying what cannot be read."""
        first, *rest = (part.strip() for part in text.split(","))
        name, _, probability = first.partition("=")
        try:
            kind = FaultKind(name)
        except ValueError:
            raise ValueError(f"no fault is called {name!r}; there are {', '.join(FaultKind)}") from None
        options = dict(part.partition("=")[::2] for part in rest)
        if unknown := options.keys() - {"on", "from", "until", "limit", "seconds"}:
            raise ValueError(
                f"{name}: no option {', '.join(sorted(unknown))}; there are on, from, until, limit, seconds"
            )
        try:
            return cls(
                kind=kind,
                probability=float(probability or 1),
                operations=frozenset(options["on"].split("+")) if "on" in options else frozenset(),
                from_s=float(options.get("from", 0)),
                until_s=float(options["until"]) if "until" in options else None,
                limit=int(options["limit"]) if "limit" in options else None,
                seconds=float(options.get("seconds", SECONDS_DEFAULT.get(kind, 0.0))),
            )
        except ValueError as error:
            raise ValueError(f"fault {text!r}: {error}") from error

    def __str__(self) -> str:
        parts = [f"{self.kind}={_shortest(self.probability)}"]
        if self.operations != self.kind.usual_operations:
            parts.append("on=" + "+".join(sorted(self.operations)))
        if self.from_s:
            parts.append(f"from={_shortest(self.from_s)}")
        if self.until_s is not None:
            parts.append(f"until={_shortest(self.until_s)}")
        if self.limit is not None:
            parts.append(f"limit={self.limit}")
        if self.seconds != SECONDS_DEFAULT.get(self.kind, 0.0):
            parts.append(f"seconds={_shortest(self.seconds)}")
        return ",".join(parts)


def _shortest(number: float) -> str:
    """Return the shortest text that is read as this number."""
    return repr(number).removesuffix(".0")


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """All faults, in the order in which they are tried; a call is struck by one at most, the first that applies."""

    faults: tuple[Fault, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> FaultPlan:
        """Return the plan of some texts, each with one fault. Raises: ValueError."""
        return cls(tuple(Fault.parse(text) for text in texts))


class Faults:
    """Draws which calls are struck. `struck`: number of a fault in the plan → calls it has struck."""

    def __init__(self, plan: FaultPlan, seed: int) -> None:
        self.plan = plan
        self.struck: Counter[int] = Counter()
        self._seed = seed
        self._asked: Counter[int] = Counter()

    def change(self, plan: FaultPlan) -> None:
        """Replace the plan; counts and random draws start again."""
        self.plan = plan
        self.struck.clear()
        self._asked.clear()

    def draw(self, operation: str, elapsed_s: float) -> Fault | None:
        """Return the fault that strikes this call; None if none does.

        Args:
            elapsed_s: seconds of the emulator's clock since its start.
        """
        for number, fault in enumerate(self.plan.faults):
            if operation not in fault.operations or elapsed_s < fault.from_s:
                continue
            if fault.until_s is not None and elapsed_s >= fault.until_s:
                continue
            if fault.limit is not None and self.struck[number] >= fault.limit:
                continue
            self._asked[number] += 1
            chance = dice(self._seed, "fault", number, fault.kind, self._asked[number])
            if chance.random() < fault.probability:
                self.struck[number] += 1
                if fault.kind is FaultKind.READ_LAG:
                    return replace(fault, seconds=fault.seconds * chance.random())
                return fault
        return None
