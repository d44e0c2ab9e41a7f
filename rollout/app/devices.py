"""The devices that the platform lists, for a plan that takes its fleet from a device search."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from rollout.app.platforms import account_of, platform_of
from rollout.core.campaign import ApiRetry, Campaign
from rollout.core.records import DeviceFilter
from rollout.core.retry import backoff
from rollout.engine.pacing import Pacer
from rollout.errors import Failure, ServiceError
from rollout.settings import Profile

if TYPE_CHECKING:
    from rollout.emulator.platform.population import Population

_T = TypeVar("_T")


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
        patient = _Patient(pacer, campaign.api_retry, rng)
        found = platform_of(profile).list_devices(
            account_of(profile, campaign.org_id, url=url), devices, read_permit=pacer.permit, repeat=patient
        )
        async for key, columns in found:
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
    """Makes a read again when its failure may pass, with a backoff, as often as the campaign's `api_retry` says."""

    def __init__(self, pacer: Pacer, policy: ApiRetry, rng: random.Random) -> None:
        self._pacer = pacer
        self._policy = policy
        self._rng = rng

    async def __call__(self, read: Callable[[], Awaitable[_T]]) -> _T:
        """Return what the read returns. Raises ServiceError: a final failure at once, any other after the last attempt."""
        for attempt in range(1, self._policy.attempts + 1):
            try:
                reply = await read()
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
