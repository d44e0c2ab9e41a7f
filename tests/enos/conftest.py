"""A scripted server, a client for it, and a create call to send."""

import asyncio

import pytest
from scripted_server import CANARY, Server

from rollout.core.campaign import JobSpec, Localized
from rollout.enos.caller import Caller
from rollout.enos.service import EnosService
from rollout.enos.signing import Secret
from rollout.enos.transport import Transport
from rollout.ports import CreateCall


@pytest.fixture
async def server():
    """A scripted server on a free port of this machine."""
    script = Server()
    tasks: set[asyncio.Task] = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        try:
            await script.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    script.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    yield script
    listener.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def connect():
    """Build services that are closed after the test."""
    services = []

    def build(url: str, **settings) -> EnosService:
        def taken(*names):
            return {name: settings.pop(name) for name in names if name in settings}

        own = taken("page_size", "search_by_name")
        transport = Transport(url, **taken("connect_timeout_s", "read_timeout_s", "ssl_context", "pooled"))
        settings = {"org_id": "o1", "app_key": "key-1", "app_secret": Secret(CANARY), **settings}
        services.append(EnosService(Caller(transport, **settings), **own))
        return services[-1]

    yield build
    for service in services:
        await service.aclose()


@pytest.fixture
def create_call():
    """A create call for two devices."""
    return CreateCall(
        firmware_id="fw1",
        name="c1-w01-b000001-0123456789ab.",
        label=Localized("Spring", {"en_US": "Spring", "zh_CN": "春"}),
        spec=JobSpec(platform={"versionNumbers": ["1.0"]}),
        device_keys=b'"d-001","d-002"',
    )


@pytest.fixture
def passing():
    """A guard that lets everything through."""

    async def guard():
        return None

    return guard
