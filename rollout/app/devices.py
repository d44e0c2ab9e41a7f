"""The devices that the platform lists, for a plan that takes its fleet from a device search."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rollout.app.caller import caller_of
from rollout.core.campaign import ApiRetry, Campaign
from rollout.core.records import DeviceFilter
from rollout.core.retry import backoff
from rollout.engine.pacing import Pacer
from rollout.enos.caller import Caller
from rollout.enos.codes import Operation
from rollout.enos.devices import EnosDevices, Version
from rollout.enos.messages import Envelope
from rollout.enos.translate import device_expression
from rollout.errors import Failure, ServiceError
from rollout.settings import Profile

if TYPE_CHECKING:
    from rollout.emulator.platform.population import Population


@dataclass(frozen=True, slots=True)
class MadeUpFleet:
    """The devices of an emulator inside this process: their keys and how they behave. `seed` draws their fates."""

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

    Reads at the campaign's pace. A read that failed for a reason that may pass is repeated, as often as the campaign's
    `api_retry` says.

    Args:
        made_up: the devices, where the profile is the emulator inside this process.
    Raises: ServiceError, also after devices were yielded: the list is then not complete; CredentialsMissing,
        SettingsError.
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
    """Start an emulator with the made-up devices; return its URL."""
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
    """A caller that repeats a read when its failure may pass."""

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
        """Return the reply. Raises ServiceError: a permanent failure at once, any other after the last attempt."""
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
