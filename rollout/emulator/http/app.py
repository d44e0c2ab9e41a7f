"""The aiohttp application: reads requests, has the service answer them, writes replies or breaks the connection.

Nothing is decided here. The arrival of a create call is recorded before anything else, by the monotonic clock.
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
from rollout.emulator.http.service import JOBS_ROUTE, Delivery, HttpCall, Reply, Service

HEAD_LINE_MAX = 64 * 1024
"""Bytes of a request's first line, or of one header. Ours: ids are sent in bodies, so lines are short."""


def make_app(service: Service, *, any_host: bool = False) -> web.Application:
    """Return the application: the platform's routes, and the admin routes below `/_admin`.

    Args:
        any_host: whether the admin routes answer whatever the Host header is, as callers on other machines need.
    """
    app = web.Application()
    admin.add_routes(app.router, service, any_host=any_host)

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == JOBS_ROUTE and request.query.get("action") == "create":
            service.platform.meters.arrivals.append(time.monotonic())
        # the bound is a knob and may have changed since the server was started
        bounded = request.clone(client_max_size=service.gateway.rules.body_bytes_max)
        reply = service.answer(await _read(bounded))
        if reply.wait_s:
            await asyncio.sleep(reply.wait_s)
        return await _write(request, reply)

    app.router.add_route("*", "/{path:.*}", handle)
    return app


async def _read(request: web.Request) -> HttpCall:
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
        # the gateway refuses it later, after it has checked the token; the rest of the body is not read
        body = upload = None
    except (ValueError, LookupError, RuntimeError, HttpProcessingError):
        # aiohttp raises another error for each fault: no boundary, a broken header, an unknown encoding
        unreadable = True
    return HttpCall(
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
            # aiohttp does not close the temporary files of a cloned request
            with value.file:
                parts[name] = value.file.read()
        else:
            # aiohttp leaves a part with its own content type as bytes
            parts[name] = value.encode() if isinstance(value, str) else bytes(value)
    return parts


async def _write(request: web.Request, reply: Reply) -> web.StreamResponse:
    if reply.delivery is Delivery.WHOLE:
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers)
    response = web.StreamResponse(status=reply.status or 200, headers=reply.headers)
    transport = request.transport
    if transport is None:
        # the caller has closed the connection
        return response
    if reply.delivery is Delivery.HALF:
        response.content_length = len(reply.body)
        await response.prepare(request)
        await response.write(reply.body[: len(reply.body) // 2])
        transport.close()
        return response
    if reply.delivery is Delivery.RESET:
        # SO_LINGER of 0 s: the close sends a reset
        link = transport.get_extra_info("socket")
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    return response
