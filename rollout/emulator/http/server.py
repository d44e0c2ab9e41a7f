"""Runs the emulator as a server.

    async with serve(EmulatorConfig(speed=600)) as running:
        ... running.url ...

The platform's clock may run faster than real time (`speed`). The caller may give the clock, to share it with an engine;
otherwise the server makes a `ScaledClock`. With a `log_path` the platform survives the process: see `oplog`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import anyio
from aiohttp import web

from rollout.emulator.http.app import HEAD_LINE_MAX, make_app
from rollout.emulator.http.faults import FaultPlan, Faults
from rollout.emulator.http.gateway import DEMO_SECRET_KEY, Gateway, GatewayRules, KeyPair
from rollout.emulator.http.service import Service
from rollout.emulator.oplog import OpLog, read_last_time
from rollout.emulator.platform.history import HistoryEntry, apply_entry
from rollout.emulator.platform.knobs import Knobs
from rollout.emulator.platform.model import EmulatedPlatform
from rollout.emulator.platform.population import Population
from rollout.emulator.platform.refusal import Refusal
from rollout.errors import SettingsError

TICK_S = 0.05
"""Real seconds between two steps of the platform while nobody calls. Ours: no caller then waits for a long step."""

SHUTDOWN_S = 1.0
"""Real seconds that open calls get to end when the server stops. Ours."""


class ScaledClock:
    """A clock that starts at `start` and runs `speed` times as fast as real time; it never goes back.

    Args:
        start: seconds since the epoch; None is now.
    """

    def __init__(self, speed: float = 1.0, start: float | None = None) -> None:
        self._speed = speed
        self._start = time.time() if start is None else start
        self._origin = time.monotonic()

    def __call__(self) -> float:
        """Return the time, seconds since the epoch."""
        return self._start + (time.monotonic() - self._origin) * self._speed


@dataclass(frozen=True, slots=True)
class EmulatorConfig:
    """The settings of an emulator. The defaults give a healthy platform that takes any device.

    `port`: 0 takes a free one. `devices`: key and columns of each device; None registers a key on its first use. `denied`:
    actions without permission (99403), such as `create` or `firmware search`. `open_network`: must be set to listen
    on any other than the loopback interface, because everybody who reaches the emulator can do everything.
    `log_path`: where the history is kept; None keeps none.
    """

    host: str = "127.0.0.1"
    port: int = 0
    open_network: bool = False
    org_id: str = "o00000000000000"
    credentials: KeyPair = field(default_factory=KeyPair)
    rules: GatewayRules = field(default_factory=GatewayRules)
    seed: int = 0
    speed: float = 1.0
    population: Population = field(default_factory=Population)
    knobs: Knobs = field(default_factory=Knobs)
    faults: FaultPlan = field(default_factory=FaultPlan)
    devices: Iterable[tuple[str, Mapping[str, str]]] | None = None
    denied: frozenset[str] = frozenset()
    log_path: Path | None = None

    def __post_init__(self) -> None:
        if self.speed <= 0:
            raise SettingsError(f"speed must be above 0, not {self.speed}")
        if not self.open_network and not _is_loopback(self.host):
            raise SettingsError(
                f"the emulator listens on the loopback interface only, not on {self.host}",
                hint="everybody who reaches it can do everything; allow it explicitly if that is meant",
            )


@dataclass(frozen=True, slots=True)
class RunningEmulator:
    """A server that answers at `url`. Tests look into `platform` and `service`, its live parts."""

    url: str
    config: EmulatorConfig
    platform: EmulatedPlatform
    service: Service
    clock: Callable[[], float]


@asynccontextmanager
async def serve(
    config: EmulatorConfig, clock: Callable[[], float] | None = None
) -> AsyncIterator[RunningEmulator]:
    """Run an emulator until the block is left; it answers calls from the start of the block.

    Args:
        clock: returns the platform's time, seconds since the epoch, and never goes back; `config.speed` then has no
            effect. It must not start before `read_last_time` of the log, because earlier calls would count as made at
            that time.
    Raises: RolloutError if the log cannot be used; OSError if the port cannot.
    """
    with ExitStack() as held:
        if clock is None:
            clock = ScaledClock(config.speed, _first_instant(config))
        platform, record = _platform(config, clock, held)
        service = Service(
            platform,
            Gateway(config.credentials, config.rules, config.seed),
            Faults(config.faults, config.seed),
            clock=clock,
            wall=time.time,
            record=record,
            denied=config.denied,
        )
        runner = web.AppRunner(
            make_app(service, any_host=config.open_network),
            access_log=None,
            shutdown_timeout=SHUTDOWN_S,
            max_line_size=HEAD_LINE_MAX,
            max_field_size=HEAD_LINE_MAX,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, config.host, config.port).start()
            host, port = runner.addresses[0][:2]
            url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            held.enter_context(_Ticking(service))
            yield RunningEmulator(url, config, platform, service, clock)
        finally:
            with anyio.CancelScope(shield=True):
                await runner.cleanup()


async def serve_forever(config: EmulatorConfig, announce: Callable[[str], None]) -> None:
    """Run an emulator until cancelled. `announce` gets a line with its address and one with its keys."""
    async with serve(config) as running:
        pace = "real time" if config.speed == 1 else f"1 s here = {_span(config.speed)} there"
        announce(f"emulator  {running.url}      admin page /_admin      {pace}")
        # a real secret is not printed; that of the demonstration is public
        shown = DEMO_SECRET_KEY if config.credentials.secret_key.reveal() == DEMO_SECRET_KEY else "as given"
        keys = f"access {config.credentials.access_key} / secret {shown}"
        announce(f"keys      {keys}    org {config.org_id}")
        await anyio.sleep_forever()


class _Ticking:
    """Advances the platform regularly while the block runs.

    A timer and not a task, because a task group would wrap what the caller's block raises.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        self._service.advance()
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)


def _first_instant(config: EmulatorConfig) -> float:
    """Return when the clock starts: now, or the time of the log's last entry if that is later."""
    last = None if config.log_path is None else read_last_time(config.log_path)
    return time.time() if last is None else max(time.time(), last)


def _platform(
    config: EmulatorConfig, clock: Callable[[], float], held: ExitStack
) -> tuple[EmulatedPlatform, Callable[[HistoryEntry], None]]:
    """Return the platform, restored from its log if there is one, and the function that records changes from now on."""
    devices = None if config.devices is None else list(config.devices)
    knobs = config.knobs
    if devices is None:
        knobs = Knobs(**(asdict(knobs) | {"any_device": True}))

    def make(start: float) -> EmulatedPlatform:
        return EmulatedPlatform(
            seed=config.seed,
            start=start,
            org_id=config.org_id,
            population=config.population,
            knobs=knobs,
            devices=devices or (),
        )

    if config.log_path is None:
        return make(clock()), lambda _: None
    settings: dict[str, Any] = {
        "seed": config.seed,
        "orgId": config.org_id,
        "population": asdict(config.population),
        "knobs": asdict(knobs),
        "devices": None if devices is None else len(devices),
    }
    log = held.enter_context(OpLog(config.log_path, settings, clock()))
    platform = make(log.start)
    for entry in log.entries():
        try:
            apply_entry(platform, entry)
        except (Refusal, ValueError):
            # the call was refused when it was made; it is refused again
            continue
    return platform, log.append


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _span(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:g} s"
    return f"{seconds / 60:g} min" if seconds < 3600 else f"{seconds / 3600:g} h"
