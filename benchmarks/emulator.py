"""The emulator at scale: a million devices in 5,000 jobs, beside plain lists and a server that does nothing.

    python benchmarks/emulator.py [--devices 1000000] [--jobs 5000] [--creates 200] [--rounds 3]

The cases take turns, each in a process of its own; the table has the medians. Memory is the peak of the process
(`ru_maxrss`), with the interpreter and all imports. Seconds are processor time, because others may use the machine.

- `emulator`: all devices are registered, all jobs created, and three virtual days pass; then the model answers counts of one
  status over 200 jobs, as a client asks for them.
- `lists`: the same tasks as tuples (job, device, status) in one list, which a loop counts. No devices, no time.
- `served`: creates of 500 keys over HTTP by one caller that signs them, with as many devices registered as above; median
  and 99th percentile of the time from sending to the answer.
- `echo`: the same calls to an aiohttp server that reads the body and answers a fixed job id.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform as machine
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

DAY_S = 86_400.0
START = 1_000_000.0
KEYS_PER_CREATE = 500
JOBS_PER_COUNT = 200
COUNTS = 50
PATH = "/connect-service/v2.1/ota-jobs"


def key_of(number: int) -> str:
    return f"sim-{number:07d}"


def body_of(keys: Sequence[str]) -> dict[str, object]:
    """Return a create call's body as the engine sends it."""
    return {
        "name": {"defaultValue": "benchmark", "i18nValue": {}},
        "type": "upgrade",
        "upgradePolicy": "snapshot",
        "enableUpgradeRequest": False,
        "upgradeScope": {"type": "partial", "versionNumbers": ["1.0"], "deviceKeys": list(keys)},
        "maximumConcurrency": 100,
    }


def run_emulator(devices: int, jobs: int, creates: int) -> dict[str, float]:  # noqa: ARG001 - of other cases
    from rollout.emulator.platform.model import EmulatedPlatform  # noqa: PLC0415 - a case loads what it needs itself
    from rollout.emulator.platform.population import Population  # noqa: PLC0415 - as above
    from rollout.emulator.platform.search import search_tasks  # noqa: PLC0415 - as above

    began = time.process_time()
    field = Population(failed_ratio=0.004, offline_ratio=0.03)
    keys = [key_of(number) for number in range(devices)]
    model = EmulatedPlatform(start=START, population=field, devices=((key, {}) for key in keys))
    each = devices // jobs
    ids = []
    for number in range(jobs):
        at = START + 2 * DAY_S * number / jobs
        ids.append(model.create_job(at, "fw", body_of(keys[number * each : (number + 1) * each])))
    now = START + 3 * DAY_S
    model.advance(now)
    lived = time.process_time() - began
    counted = _count(lambda some: search_tasks(model, now, _question(some)).total, ids)
    return {"seconds": lived, "count_ms": counted * 1e3}


def run_lists(devices: int, jobs: int, creates: int) -> dict[str, float]:  # noqa: ARG001 - of other cases
    began = time.process_time()
    each = devices // jobs
    tasks = [
        (number // each, number, (number % 250 and "succeeded") or "failed") for number in range(devices)
    ]
    built = time.process_time() - began

    def walk(some: Sequence[int]) -> int:
        wanted = frozenset(some)
        return sum(status == "succeeded" for job, _, status in tasks if job in wanted)

    return {"seconds": built, "count_ms": _count(walk, range(jobs)) * 1e3}


def _question(ids: Sequence[str]) -> dict[str, object]:
    expression = f"jobId in ({','.join(repr(job) for job in ids)}) and status = 'succeeded'"
    return {"expression": expression, "pagination": {"pageSize": 1}}


def _count(ask, ids) -> float:
    """Return the median seconds of a count over some jobs, newest and oldest alike."""
    taken = []
    for number in range(COUNTS):
        first = number * max(len(ids) - JOBS_PER_COUNT, 0) // COUNTS
        some = ids[first : first + JOBS_PER_COUNT]
        began = time.perf_counter()
        ask(some)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def run_served(devices: int, jobs: int, creates: int) -> dict[str, float]:  # noqa: ARG001 - of other cases
    from rollout.emulator.http.server import EmulatorConfig, serve  # noqa: PLC0415 - as above

    nothing: dict[str, str] = {}
    config = EmulatorConfig(devices=((key_of(number), nothing) for number in range(devices)))

    @asynccontextmanager
    async def served() -> AsyncIterator[str]:
        async with serve(config) as running:
            yield running.url

    return asyncio.run(_time_creates(served, devices, creates))


def run_echo(devices: int, jobs: int, creates: int) -> dict[str, float]:  # noqa: ARG001 - of other cases
    from aiohttp import web  # noqa: PLC0415 - as above

    async def token(_: web.Request) -> web.Response:
        return web.json_response({"status": 0, "data": {"accessToken": "t", "expire": 7200}})

    async def create(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({"code": 0, "msg": "OK", "requestId": "r", "data": {"jobId": "0" * 24}})

    @asynccontextmanager
    async def served() -> AsyncIterator[str]:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_post("/apim-token-service/v2.0/token/get", token)
        app.router.add_post(PATH, create)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield "http://{}:{}".format(*runner.addresses[0][:2])
        await runner.cleanup()

    return asyncio.run(_time_creates(served, devices, creates))


async def _time_creates(served, devices: int, creates: int) -> dict[str, float]:
    import aiohttp  # noqa: PLC0415 - as above

    from rollout.emulator.http.gateway import DEMO_ACCESS_KEY, DEMO_SECRET_KEY  # noqa: PLC0415 - as above
    from rollout.enos.signing import Secret, Timestamps, encrypt, sign  # noqa: PLC0415 - as above

    secret, timestamps = Secret(DEMO_SECRET_KEY), Timestamps(time.time)
    query = {"action": "create", "orgId": "o00000000000000", "firmwareId": "fw"}
    taken = []
    async with served() as url, aiohttp.ClientSession() as session:
        at = timestamps.next_ms()
        asked = {
            "appKey": DEMO_ACCESS_KEY,
            "encryption": encrypt(DEMO_ACCESS_KEY, at, secret),
            "timestamp": at,
        }
        async with session.post(url + "/apim-token-service/v2.0/token/get", json=asked) as answer:
            token = Secret((await answer.json())["data"]["accessToken"])
        for number in range(creates):
            first = number * KEYS_PER_CREATE
            keys = [key_of((first + offset) % devices) for offset in range(min(KEYS_PER_CREATE, devices))]
            body = json.dumps(body_of(keys)).encode()
            at = timestamps.next_ms()
            headers = {
                "apim-accesstoken": token.reveal(),
                "apim-timestamp": str(at),
                "apim-signature": sign(token, query, body, at, secret),
                "Content-Type": "application/json;charset=UTF-8",
            }
            began = time.perf_counter()
            async with session.post(url + PATH, params=query, data=body, headers=headers) as answer:
                code = (await answer.json())["code"]
            taken.append(time.perf_counter() - began)
            assert code == 0, f"create was refused: {code}"
    taken.sort()
    return {"median_ms": statistics.median(taken) * 1e3, "p99_ms": taken[len(taken) * 99 // 100] * 1e3}


CASES = {"lists": run_lists, "emulator": run_emulator, "echo": run_echo, "served": run_served}


def measure(case: str, options: argparse.Namespace) -> dict[str, float]:
    """Run one case in a fresh process and return what it found, with its peak memory."""
    numbers = [f"--{name}={getattr(options, name)}" for name in ("devices", "jobs", "creates")]
    command = [sys.executable, __file__, "--case", case, *numbers]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=5_000)
    parser.add_argument("--creates", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        found = CASES[options.case](options.devices, options.jobs, options.creates)
        # kilobytes on Linux, bytes on macOS
        unit = 1 if sys.platform == "darwin" else 1024
        found["mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
        print(json.dumps(found))
        return
    rounds = [{case: measure(case, options) for case in CASES} for _ in range(options.rounds)]
    median = {
        case: {name: statistics.median(one[case][name] for one in rounds) for name in rounds[0][case]}
        for case in CASES
    }
    print(
        f"{options.devices:,} devices, {options.jobs:,} jobs, medians of {options.rounds}, "
        f"Python {machine.python_version()}"
    )
    print(f"{'case':<10}{'cpu s':>10}{'µs/device':>12}{'peak MB':>10}{f'count of {JOBS_PER_COUNT} jobs':>20}")
    for case in ("lists", "emulator"):
        row = median[case]
        each = row["seconds"] / options.devices * 1e6
        print(f"{case:<10}{row['seconds']:>10.1f}{each:>12.1f}{row['mb']:>10.0f}{row['count_ms']:>17.2f} ms")
    print(f"{'case':<10}{'create of 500 keys':>20}{'99th':>12}{'peak MB':>10}")
    for case in ("echo", "served"):
        row = median[case]
        print(f"{case:<10}{row['median_ms']:>17.2f} ms{row['p99_ms']:>9.2f} ms{row['mb']:>10.0f}")


if __name__ == "__main__":
    main()
