"""The admin routes, below `/_admin`: the platform's state, and its knobs and faults while it runs.

`GET /_admin` is a page for people, `GET /_admin/state` the same as JSON, `GET /_admin/openapi.json` describes the API.
`POST /_admin/knobs`, `/_admin/faults` and `/_admin/devices` change the emulator. The real platform has none of these. They
need no signature, because the emulator listens on the loopback interface; a page of another origin in the same browser
may not post here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from rollout.emulator.http import admin_page
from rollout.emulator.http.faults import FaultPlan
from rollout.emulator.http.service import Service
from rollout.emulator.http.settings import knob_values
from rollout.emulator.platform.meters import most_in_any_second
from rollout.emulator.platform.tasks import STATUS_BY_LABEL

JOBS_SHOWN = 200
"""Jobs in the state, unless `?jobs=` asks for another number. Ours."""

PRIVATE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
"""Headers of every reply that a browser may show."""


def platform_state(service: Service, jobs: int = JOBS_SHOWN) -> dict[str, Any]:
    """Return the emulator's state, ready for JSON, with the newest `jobs` jobs; figures are without the read lag."""
    service.advance()
    platform = service.platform
    arrivals = list(platform.meters.arrivals)
    newest = [] if jobs <= 0 else platform.all_jobs[-jobs:][::-1]
    totals = {
        label: sum(job.counts[status] for job in platform.all_jobs)
        for label, status in STATUS_BY_LABEL.items()
    }
    return {
        "now": platform.now,
        "orgId": platform.org_id,
        "devices": len(platform.devices),
        "jobs": len(platform.jobs),
        "jobsMade": len(platform.all_jobs),
        "tasks": totals,
        "inProgress": platform.meters.in_progress,
        "inProgressMax": platform.meters.in_progress_max,
        "deviceSeconds": platform.meters.device_seconds(platform.now),
        "creates": len(arrivals),
        "createsPerSecondMax": most_in_any_second(arrivals),
        "createsLastSecond": sum(at > time.monotonic() - 1.0 for at in arrivals[-10_000:]),
        "jobsWithSameName": {name: n for name, n in platform.meters.jobs_by_name.items() if n > 1},
        "knobs": knob_values(platform.knobs, service.gateway.rules),
        "faults": [
            {"fault": str(fault), "struck": service.faults.struck[number]}
            for number, fault in enumerate(service.faults.plan.faults)
        ],
        "newestJobs": [
            {
                "jobId": job.id,
                "name": None if job.definition.name is None else job.definition.name.default,
                "firmwareId": job.firmware.id,
                "status": "deleted" if job.deleted else "started" if job.started else "stopped",
                "createTime": int(job.created_at * 1000),
                "tasks": {label: job.counts[status] for label, status in STATUS_BY_LABEL.items()},
            }
            for job in newest
        ],
        "calls": [asdict(call) for call in reversed(service.calls)],
    }


def add_routes(router: web.UrlDispatcher, service: Service, *, any_host: bool) -> None:
    """Add the admin routes. They answer calls to an address or to localhost; `any_host`: to any host name."""

    async def state(request: web.Request) -> web.Response:
        _check_host(request, any_host=any_host)
        return web.json_response(platform_state(service, _jobs_asked(request)), headers=PRIVATE)

    async def page(request: web.Request) -> web.Response:
        _check_host(request, any_host=any_host)
        content = admin_page.admin_html(
            platform_state(service, _jobs_asked(request, admin_page.JOBS_ON_PAGE)),
            refresh="refresh" in request.query,
        )
        headers = {"Content-Security-Policy": admin_page.POLICY, **PRIVATE}
        return web.Response(text=content, content_type="text/html", headers=headers)

    async def style(_: web.Request) -> web.Response:
        return web.Response(text=admin_page.STYLE, content_type="text/css", headers=PRIVATE)

    async def openapi(_: web.Request) -> web.Response:
        from rollout.emulator.http.openapi import describe  # noqa: PLC0415 - pydantic, for those who ask

        return web.json_response(describe(service.platform.org_id))

    async def knobs(request: web.Request) -> web.Response:
        settings = await _posted(request, any_host=any_host)
        try:
            service.set_knobs(settings)
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        return _done(request, knob_values(service.platform.knobs, service.gateway.rules))

    async def faults(request: web.Request) -> web.Response:
        posted = await _posted(request, any_host=any_host)
        texts = posted.get("faults", [])
        try:
            # a form sends lines, a program sends a list
            lines = texts.split() if isinstance(texts, str) else [str(text) for text in texts]
            service.faults.change(FaultPlan.parse(lines))
        except (TypeError, ValueError) as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        return _done(request, {"faults": [str(fault) for fault in service.faults.plan.faults]})

    async def devices(request: web.Request) -> web.Response:
        posted = await _posted(request, any_host=any_host)
        key = posted.pop("deviceKey", None)
        if not isinstance(key, str) or not all(isinstance(value, str) for value in posted.values()):
            raise web.HTTPBadRequest(text="deviceKey and columns, all of them texts")
        service.apply("reportDevice", {"deviceKey": key, "columns": posted})
        return _done(request, {"deviceKey": key})

    router.add_get("/_admin", page)
    router.add_get(admin_page.STYLE_PATH, style)
    router.add_get("/_admin/state", state)
    router.add_get("/_admin/openapi.json", openapi)
    router.add_post("/_admin/knobs", knobs)
    router.add_post("/_admin/faults", faults)
    router.add_post("/_admin/devices", devices)


def _jobs_asked(request: web.Request, standard: int = JOBS_SHOWN) -> int:
    asked = request.query.get("jobs", "")
    return int(asked) if re.fullmatch(r"[0-9]{1,7}", asked, re.ASCII) else standard


def _check_host(request: web.Request, *, any_host: bool) -> None:
    """Refuse a call whose Host is a name other than localhost.

    Against DNS rebinding: somebody else's name may resolve to this machine, and the browser would then take the emulator
    for that site.
    Raises: web.HTTPForbidden.
    """
    name = urlsplit(f"//{request.host}").hostname or ""
    if not any_host and name != "localhost" and re.fullmatch(r"[0-9.]+|[0-9a-f:]+", name) is None:
        raise web.HTTPForbidden(text="call the emulator by its address, or as localhost")


async def _posted(request: web.Request, *, any_host: bool) -> dict[str, Any]:
    _check_host(request, any_host=any_host)
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise web.HTTPForbidden(text="posted by a page of another origin")
    if request.content_type == "application/x-www-form-urlencoded":
        return {name: str(value) for name, value in (await request.post()).items()}
    try:
        content = await request.json()
    except ValueError:
        raise web.HTTPBadRequest(text="the body is not JSON") from None
    if not isinstance(content, dict):
        raise web.HTTPBadRequest(text="the body is not an object")
    return content


def _done(request: web.Request, answer: Mapping[str, Any]) -> web.Response:
    if request.content_type == "application/x-www-form-urlencoded":
        raise web.HTTPSeeOther("/_admin")
    return web.json_response(answer)
