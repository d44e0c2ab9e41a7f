"""The create path: journalled creates a second, beside a bare aiohttp loop.

    python benchmarks/create_path.py [--creates 6000] [--rounds 5] [--in-flight 256] [--keys 500]

All three send the same number of create calls of `--keys` device keys to the same sink, a process of its own that
answers every create with a new job id, on pooled connections, with the same number of calls in flight and, where
uvloop is installed, on uvloop. Each runs in a process of its own, in turns. A ratio is taken within each round,
between neighbours in time, and the table has the medians with the least and the greatest: what else the machine
does moves the rates far more than the ratios. CPU is that of all threads of the process, a create, in microseconds.

- `bare`: a loop of workers that post one and the same ready body, unsigned. The least aiohttp can do; EnOS would
  refuse every call.
- `script`: the loop one would write by hand: a fixed set of workers, each builds its batch's body, signs it, posts it
  and reads the job id out of the answer. No journal, no pace, no look at what else an answer may be.
- `rollout`: the real engine. Each create is decided, its intent made durable (SQLite, synchronous=FULL), signed,
  paced, sent, classified, its outcome made durable, folded, and logged to events.ndjson. The garbage collector is set
  as the engine sets it; the peers leave it as Python has it, which costs `bare` about a tenth.

The sink is a hand-written protocol pinned to a core of its own; it answers several times what `bare` asks for.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from fractions import Fraction
from itertools import count
from pathlib import Path

ROUNDS = 5
REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=UTF-8\r\nContent-Length: %d\r\n\r\n%s"


class Sink(asyncio.Protocol):
    """Answers the four calls a create campaign makes, reading no more of a request than its length."""

    ids = count(1)

    def connection_made(self, transport):
        self.transport = transport
        self.data = bytearray()

    def data_received(self, data):
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.data[:end])
            at = head.lower().find(b"content-length:")
            length = int(head[at + 15 : (head + b"\r\n").find(b"\r\n", at)]) if at >= 0 else 0
            if len(self.data) < end + 4 + length:
                return
            del self.data[: end + 4 + length]
            self.transport.write(self.answer(head))

    def answer(self, head):
        body = {"code": 0, "msg": "OK", "requestId": "0bdefc0f-369f-4664-a570-695f4e31877c"}
        if b"action=create" in head:
            body["data"] = {"jobId": f"{next(self.ids):024x}"}
        elif b"/token/" in head:
            body = {"status": 0, "msg": "SUCCESS", "data": {"accessToken": "t", "expire": 7200}}
        else:
            body |= {"data": [], "pagination": {"pageNo": 1, "pageSize": 200, "totalSize": 0}}
        text = json.dumps(body).encode()
        return REPLY % (len(text), text)


def serve_sink(ready):
    pin(1)

    async def main():
        server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0, backlog=1024)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    loop_runner()(main())


def pin(core):
    """Keep the sink on one core; the client may use what is left of it, as the journal's thread does."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > core:
        os.sched_setaffinity(0, {core})


def loop_runner():
    try:
        import uvloop  # noqa: PLC0415 - an extra
    except ImportError:
        return asyncio.run
    return uvloop.run


class Span:
    """A stretch of time in this process."""

    began = ended = (0.0, 0.0)

    def begin(self):
        self.began = time.perf_counter(), time.process_time()

    def end(self):
        self.ended = time.perf_counter(), time.process_time()

    def figures(self, creates):
        """Creates a second, and CPU microseconds of all threads a create."""
        wall_s, cpu_s = (end - begin for begin, end in zip(self.began, self.ended, strict=True))
        return creates / wall_s, cpu_s / creates * 1e6


async def all_in_flight(work, args):
    """Run as many workers as calls may be in flight, to the end; return their figures."""
    span = Span()
    span.begin()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(args.in_flight):
            tasks.create_task(work())
    span.end()
    return span.figures(args.creates)


def keys_slice(keys):
    return ",".join(f'"INV-{n:010d}"' for n in range(keys)).encode()


def run_bare(port, args, result):
    """Post one ready body from a fixed set of workers."""
    import aiohttp  # noqa: PLC0415 - a case loads what it needs itself

    head = {"type": "upgrade", "upgradePolicy": "snapshot", "enableUpgradeRequest": False}
    body = (
        json.dumps(head)[:-1].encode() + b',"upgradeScope":{"deviceKeys":[' + keys_slice(args.keys) + b"]}}"
    )
    url = f"http://127.0.0.1:{port}/connect-service/v2.1/ota-jobs?action=create&orgId=o1&firmwareId=fw1"

    async def main():
        left = iter(range(args.creates))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def work():
                for _ in left:
                    async with session.post(
                        url, data=body, headers={"Content-Type": "application/json"}
                    ) as reply:
                        assert json.loads(await reply.read())["code"] == 0

            return await all_in_flight(work, args)

    result.send(loop_runner()(main()))


def run_script(port, args, result):
    """Create every batch's job from a fixed set of workers, as a script would."""
    import aiohttp  # noqa: PLC0415 - as above

    keys = [f"INV-{n:010d}" for n in range(args.keys)]
    url = f"http://127.0.0.1:{port}/connect-service/v2.1/ota-jobs"
    query = {"action": "create", "orgId": "o1", "firmwareId": "fw1"}
    params = "".join(name + query[name] for name in sorted(query))

    async def main():
        left = iter(range(args.creates))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def work():
                for number in left:
                    body = json.dumps(
                        {
                            "name": {"defaultValue": f"bench-{number}", "i18nValue": {}},
                            "type": "upgrade",
                            "upgradePolicy": "snapshot",
                            "enableUpgradeRequest": False,
                            "upgradeScope": {
                                "type": "partial",
                                "versionNumbers": ["1.0"],
                                "deviceKeys": keys,
                            },
                        }
                    )
                    now = str(int(time.time() * 1000))
                    headers = {
                        "Content-Type": "application/json;charset=UTF-8",
                        "apim-accesstoken": "t",
                        "apim-timestamp": now,
                        "apim-signature": hashlib.sha256(f"t{params}{body}{now}s".encode()).hexdigest(),
                    }
                    async with session.post(url, params=query, data=body.encode(), headers=headers) as reply:
                        answer = await reply.json()
                        assert answer["code"] == 0
                        assert answer["data"]["jobId"]

            return await all_in_flight(work, args)

    result.send(loop_runner()(main()))


def plan_of(args):
    """Return a one-wave plan whose batches all hold the same keys: the sink does not mind."""
    from rollout.core import campaign as c  # noqa: PLC0415 - as above
    from rollout.core.plan import Batch, Plan, PlannedWave  # noqa: PLC0415 - as above

    blob = keys_slice(args.keys)
    unlimited = c.CallLimit(1e6, burst=1000, in_flight=args.in_flight)
    spec = c.JobSpec(platform={"versionNumbers": ["1.0"]})
    stop = c.Gate(stop=c.StopRule(Fraction(1, 20), min_sample=50))
    order = c.Campaign(
        "bench",
        c.Localized("benchmark"),
        "o1",
        "fw1",
        (c.Wave("total", c.Rest(), spec, stop),),
        per_job=args.keys,
        limits=c.Limits(unlimited, c.CallLimit(10.0)),
    )
    batches = tuple(Batch(n, 0, n + 1, args.keys, 0, len(blob), f"{n:012x}") for n in range(args.creates))
    devices = args.creates * args.keys
    return Plan(
        order, 1, (PlannedWave(0, "total", devices, 0, args.creates),), batches, devices, "0" * 64
    ), blob


def run_rollout(port, args, result):
    """Run the engine as `rollout run` assembles it, until the last job is created."""
    from rollout.core import events as ev  # noqa: PLC0415 - as above
    from rollout.engine.clock import Clock  # noqa: PLC0415 - as above
    from rollout.engine.interpreter import tune  # noqa: PLC0415 - as above
    from rollout.engine.pacing import Pacers  # noqa: PLC0415 - as above
    from rollout.engine.runner import EngineSettings, Runner  # noqa: PLC0415 - as above
    from rollout.enos.caller import Caller  # noqa: PLC0415 - as above
    from rollout.enos.service import EnosService  # noqa: PLC0415 - as above
    from rollout.enos.signing import Secret  # noqa: PLC0415 - as above
    from rollout.enos.transport import Transport  # noqa: PLC0415 - as above
    from rollout.journal.sqlite import SqliteJournal  # noqa: PLC0415 - as above
    from rollout.ports import EnginePorts  # noqa: PLC0415 - as above
    from rollout.telemetry.observer import EventLog  # noqa: PLC0415 - as above
    from rollout.telemetry.redact import REDACTOR  # noqa: PLC0415 - as above
    from rollout.telemetry.setup import LogFormat, Outlet, configure  # noqa: PLC0415 - as above
    from rollout.telemetry.sink import open_log  # noqa: PLC0415 - as above

    plan, blob = plan_of(args)
    app_key, app_secret = "1f5b0c3e-bench", "7d0e1c9a-4b52-4f3e-9d61-bench"
    REDACTOR.learn(app_key, app_secret)  # every log line is searched for them, as in any run

    class Slices:
        def json_slice(self, start, stop):
            return blob[start:stop]

        def keys(self, start, stop):
            return json.loads(b"[" + blob[start:stop] + b"]")

    class Watch(Span):
        def notice(self, event, state):
            if isinstance(event, ev.WaveOpened):
                self.begin()
            if isinstance(event, ev.BatchJobCreated) and state.jobs == args.creates:
                self.end()
                runner.stop()

    async def main(directory):
        nonlocal runner
        journal = SqliteJournal.create(directory, "bench", plan.digest)
        log = open_log(directory / "events.ndjson")
        configure((Outlet(log, LogFormat.JSON),))
        pacers = Pacers.of(plan.campaign.limits)
        service = EnosService(
            Caller(
                Transport(f"http://127.0.0.1:{port}", pooled=True),
                org_id="o1",
                app_key=app_key,
                app_secret=Secret(app_secret),
                read_permit=pacers.read.permit,
            )
        )
        watch = Watch()
        runner = Runner(
            plan=plan,
            ports=EnginePorts(
                manifest=Slices(),
                journal=journal,
                service=service,
                observers=(EventLog(), watch),
            ),
            pacers=pacers,
            clock=Clock(),
            settings=EngineSettings("bench", "0"),
            rng=random.Random(1),
        )
        tune()
        await runner.run()
        await service.aclose()
        await journal.aclose()
        log.close()
        return watch.figures(args.creates)

    runner = None
    with tempfile.TemporaryDirectory(dir=args.directory) as directory:
        result.send(loop_runner()(main(Path(directory))))


def measure(case, port, args):
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=case, args=(port, args, theirs))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    finally:
        process.join(60)


def ratios(figures, case, peer):
    """The median of `case`'s rate over `peer`'s, round by round, and the range: `0.61 (0.58-0.66)`."""
    found = sorted(ours / theirs for (ours, _), (theirs, _) in zip(figures[case], figures[peer], strict=True))
    return f"{statistics.median(found):.2f} ({found[0]:.2f}-{found[-1]:.2f})"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--creates", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--keys", type=int, default=500)
    parser.add_argument(
        "--directory", type=Path, help="where the journal is written (default: the temporary one)"
    )
    args = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    ready, told = context.Pipe(duplex=False)
    sink = context.Process(target=serve_sink, args=(told,), daemon=True)
    sink.start()
    port = ready.recv()
    cases = {"bare": run_bare, "script": run_script, "rollout": run_rollout}
    figures = {name: [] for name in cases}
    try:
        for _ in range(args.rounds):
            for name, case in cases.items():
                figures[name].append(measure(case, port, args))
    finally:
        sink.terminate()
        sink.join()
    loop = "uvloop" if loop_runner() is not asyncio.run else "asyncio"
    print(
        f"{args.creates:,} creates of {args.keys} keys, {args.in_flight} in flight, {loop}, "
        f"Python {sys.version.split()[0]}, medians of {args.rounds}"
    )
    print(f"{'CASE':<10}{'CREATES/S':>12}{'CPU US':>10}{'÷ BARE':>20}{'÷ SCRIPT':>20}")
    for name, rounds in figures.items():
        rate, cpu_us = (statistics.median(column) for column in zip(*rounds, strict=True))
        beside = "".join(f"{ratios(figures, name, peer):>20}" for peer in ("bare", "script"))
        print(f"{name:<10}{rate:>12,.0f}{cpu_us:>10,.0f}{beside}")


if __name__ == "__main__":
    main()
