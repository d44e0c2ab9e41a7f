"""HTTP on aiohttp over the service: reads requests, writes replies, breaks connections when told to.

Nothing is decided here. Create calls are stamped on arrival, with a monotonic clock, before anything else.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from typing import Any

import multidict
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from rollout.emulator.http import admin
from rollout.emulator.http.service import JOBS, Call, Delivery, Reply, Service

HEAD_LINE_MAX = 64 * 1024
"""Bytes of a request's first line or one header; ours: ids travel in bodies, so lines are short."""


def make_app(service: Service, *, any_name: bool = False) -> web.Application:
    """Return the application: the platform's routes, and the emulator's own below `/_admin`.

    Args:
        any_name: the emulator's own routes answer under any host name, as for callers on other machines.
    """
    app = web.Application()
    admin.add_routes(app.router, service, any_name=any_name)

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == JOBS and request.query.get("action") == "create":
            service.platform.meters.arrivals.append(time.monotonic())
        # the bound is a knob: it may have been turned since the server was started
        bounded = request.clone(client_max_size=service.gateway.rules.body_bytes_max)
        reply = service.answer(await _read(bounded))
        if reply.wait_s:
            await asyncio.sleep(reply.wait_s)
        return await _write(request, reply)

    app.router.add_route("*", "/{path:.*}", handle)
    return app


async def _read(request: web.Request) -> Call:
    upload: dict[str, bytes] | None = None
    body: bytes | None = None
    unreadable = False
    try:
        if request.content_type == "multipart/form-data":
            body, upload = b"", {}
            upload = await _read_parts(request)
        else:
            body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        # refused in its turn, after the credentials; what is left of it is not read
        body = upload = None
    except (ValueError, LookupError, RuntimeError, HttpProcessingError):
        # no boundary, headers that are none, an encoding nobody knows: aiohttp has one error for each
        unreadable = True
    return Call(
        method=request.method,
        path=request.path,
        query=dict(request.query),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=body,
        upload=upload,
        unreadable=unreadable,
    )


async def _read_parts(request: web.Request) -> dict[str, bytes]:
    parts: dict[str, bytes] = {}
    form: multidict.MultiDictProxy[Any] = await request.post()
    for name, value in form.items():
        if isinstance(value, web.FileField):
            # a clone of a request does not close what was spooled for it
            with value.file:
                parts[name] = value.file.read()
        else:
            # parts with a content type of their own stay bytes
            parts[name] = value.encode() if isinstance(value, str) else bytes(value)
    return parts


async def _write(request: web.Request, reply: Reply) -> web.StreamResponse:
    if reply.delivery is Delivery.WHOLE:
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers)
    response = web.StreamResponse(status=reply.status or 200, headers=reply.headers)
    transport = request.transport
    if transport is None:
        # the caller was quicker
        return response
    if reply.delivery is Delivery.HALF:
        response.content_length = len(reply.body)
        await response.prepare(request)
        await response.write(reply.body[: len(reply.body) // 2])
        transport.close()
        return response
    if reply.delivery is Delivery.RESET:
        # lingering for no time turns the close into a reset
        link = transport.get_extra_info("socket")
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    return response
