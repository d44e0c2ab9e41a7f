"""The emulator's own face, below `/_admin`: what is going on, and its knobs and faults while it runs.

`GET /_admin` is a page for people, `GET /_admin/state` the same as JSON; `POST /_admin/knobs`, `/_admin/faults` and
`/_admin/devices` change things. None of it exists on the real platform, none of it is signed: the emulator listens on
the loopback interface. A page of another origin open in the same browser may not post here.
"""

from __future__ import annotations

import html
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from rollout.emulator.faults import FaultPlan
from rollout.emulator.meters import most_in_any_second
from rollout.emulator.service import Service
from rollout.emulator.settings import shown
from rollout.emulator.tasks import STATUSES

__all__ = ["add_routes", "describe"]

JOBS_SHOWN = 200
"""Jobs on the page and in the state unless more are asked for with `?jobs=`; ours."""


def describe(service: Service, jobs: int = JOBS_SHOWN) -> dict[str, Any]:
    """Return the emulator's state as JSON: true figures, without read lag, of the newest `jobs` jobs."""
    service.advance()
    platform = service.platform
    arrivals = list(platform.meters.arrivals)
    newest = [] if jobs <= 0 else platform.all_jobs[-jobs:][::-1]
    totals = {
        label: sum(job.counts[status] for job in platform.all_jobs) for label, status in STATUSES.items()
    }
    return {
        "now": platform.now,
        "orgId": platform.org_id,
        "devices": len(platform.devices),
        "jobs": len(platform.jobs),
        "tasks": totals,
        "inProgress": platform.meters.in_progress,
        "inProgressMax": platform.meters.in_progress_max,
        "deviceSeconds": platform.meters.device_seconds(platform.now),
        "creates": len(arrivals),
        "createsPerSecondMax": most_in_any_second(arrivals),
        "createsLastSecond": sum(at > time.monotonic() - 1.0 for at in arrivals[-10_000:]),
        "jobsWithSameName": {name: n for name, n in platform.meters.jobs_by_name.items() if n > 1},
        "knobs": shown(platform.knobs, service.gateway.rules),
        "faults": [
            {"fault": str(fault), "struck": service.faults.struck[number]}
            for number, fault in enumerate(service.faults.plan.faults)
        ],
        "newestJobs": [
            {
                "jobId": job.id,
                "name": None if job.order.name is None else job.order.name.default,
                "firmwareId": job.firmware.id,
                "status": "deleted" if job.deleted else "started" if job.started else "stopped",
                "createTime": int(job.created_at * 1000),
                "tasks": {label: job.counts[status] for label, status in STATUSES.items()},
            }
            for job in newest
        ],
        "calls": [asdict(call) for call in reversed(service.calls)],
    }


def add_routes(router: web.UrlDispatcher, service: Service) -> None:
    """Add the admin routes."""

    async def state(request: web.Request) -> web.Response:
        asked = request.query.get("jobs", str(JOBS_SHOWN))
        return web.json_response(describe(service, int(asked) if asked.isdigit() else JOBS_SHOWN))

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=_page(describe(service)), content_type="text/html")

    async def knobs(request: web.Request) -> web.Response:
        settings = await _posted(request)
        try:
            service.turn(settings)
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        return _done(request, shown(service.platform.knobs, service.gateway.rules))

    async def faults(request: web.Request) -> web.Response:
        posted = await _posted(request)
        texts = posted.get("faults", [])
        try:
            # a form sends lines, a program a list
            lines = texts.split() if isinstance(texts, str) else [str(text) for text in texts]
            service.faults.change(FaultPlan.parse(lines))
        except (TypeError, ValueError) as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        return _done(request, {"faults": [str(fault) for fault in service.faults.plan.faults]})

    async def devices(request: web.Request) -> web.Response:
        posted = await _posted(request)
        key = posted.pop("deviceKey", None)
        if not isinstance(key, str) or not all(isinstance(value, str) for value in posted.values()):
            raise web.HTTPBadRequest(text="deviceKey and columns, all of them texts")
        service.perform("reportDevice", {"deviceKey": key, "columns": posted})
        return _done(request, {"deviceKey": key})

    router.add_get("/_admin", page)
    router.add_get("/_admin/state", state)
    router.add_post("/_admin/knobs", knobs)
    router.add_post("/_admin/faults", faults)
    router.add_post("/_admin/devices", devices)


async def _posted(request: web.Request) -> dict[str, Any]:
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


def _page(state: Mapping[str, Any]) -> str:
    """Return the page. Everything a caller could have sent is escaped."""
    figures = {
        "emulator's time": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(state["now"])),
        "devices": state["devices"],
        "jobs": state["jobs"],
        "devices at work": f"{state['inProgress']} (most at once: {state['inProgressMax']})",
        "creates": f"{state['creates']} (last second: {state['createsLastSecond']},"
        f" most in a second: {state['createsPerSecondMax']})",
        "names with several jobs": len(state["jobsWithSameName"]),
        **{f"tasks {label}": count for label, count in state["tasks"].items()},
    }
    jobs = [
        (job["name"], job["jobId"], job["firmwareId"], job["status"], *job["tasks"].values())
        for job in state["newestJobs"]
    ]
    calls = [
        (
            f"{call['at']:.3f}",
            call["method"],
            f"{call['path']} {call['action']}",
            call["status"] or "no answer",
            call["code"],
            call["signature"],
            call["fault"],
            call["request_id"],
        )
        for call in state["calls"]
    ]
    faults = "\n".join(entry["fault"] for entry in state["faults"])
    knobs = "".join(
        f"<label>{html.escape(name)} <input name='{html.escape(name)}' value='{html.escape(_plain(value))}'></label><br>"
        for name, value in state["knobs"].items()
    )
    struck = [(entry["fault"], entry["struck"]) for entry in state["faults"]]
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>EnOS emulator</title>
<style>body{{font:14px sans-serif;margin:2em}} table{{border-collapse:collapse}}
td,th{{border:1px solid #ccc;padding:2px 8px;text-align:left}}</style></head><body>
<h1>EnOS emulator, organisation {html.escape(state["orgId"])}</h1>
<p><a href="/_admin">look again</a> · <a href="/_admin/state">as JSON</a></p>
{_table((), figures.items())}
<h2>Jobs, newest first</h2>
{_table(("name", "jobId", "firmwareId", "status", *STATUSES), jobs)}
<h2>Faults</h2>
{_table(("fault", "struck"), struck)}
<form method="post" action="/_admin/faults"><textarea name="faults" rows="4" cols="60">{html.escape(faults)}</textarea><br>
<button>set faults</button> one on a line, as commit_then_drop=0.2</form>
<h2>Knobs</h2>
<form method="post" action="/_admin/knobs">{knobs}<button>set knobs</button></form>
<h2>Calls, newest first</h2>
{_table(("time", "method", "path", "status", "code", "signature", "fault", "requestId"), calls)}
</body></html>"""


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    top = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    lines = (
        "<tr>" + "".join(f"<td>{html.escape('' if v is None else str(v))}</td>" for v in row) + "</tr>"
        for row in rows
    )
    return f"<table><tr>{top}</tr>{''.join(lines)}</table>"
