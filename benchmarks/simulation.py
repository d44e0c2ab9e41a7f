"""Simulating campaigns: many small ones for the blast radius of a plan, and one of a million devices over three days.

    python benchmarks/simulation.py [--devices 10000] [--seeds 200] [--million 1000000] [--rounds 1] [--jobs N]

Each case runs in a process of its own; plans are compiled beforehand from a CSV by `rollout`'s own planner, `reading` is
the time that took. Memory is the largest peak of any process (`ru_maxrss`).

- `study`: `--devices` devices in a canary and 20 jobs, `--seeds` seeds at one true failure rate of 1 %, spread over `--jobs`
  processes, as `rollout simulate --rates 1%` does it.
- `campaign`: `--million` devices in jobs of 500, with two soaks of six hours, daily push windows of ten hours, 5 % of the
  devices away for up to eight hours, over three days; one seed.
- `heap`: the peer: the devices alone, on a heap of events. Draws the same attempts, keeps the same `maximumConcurrency`
  of each job and the same cap over all jobs; no engine, no journal, no platform, no calls, no windows. A floor.
"""

from __future__ import annotations

import argparse
import heapq
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

HEAD = """\
version: 1
id: simulation-benchmark
orgId: o15724268424841
firmwareId: 5ee1a90c29b990001b9c1880
seed: 7
"""

STUDY = """\
devices: {{from: [devices.csv], perJob: {per_job}}}
waves:
  - name: canary
    size: 5%
    gate:
      resolved: {{min: 90%, of: planned}}
      success: {{min: 90%, of: resolved}}
      stopAt: {{failed: 10%, of: planned}}
      soak: 2h
  - name: total
    size: rest
    gate: {{stopAt: {{failed: 10%, of: planned}}}}
"""

CAMPAIGN = """\
devices: {{from: [devices.csv], perJob: {per_job}}}
job:
  schedulePolicy: {{startTimestamp: "2026-01-01T20:00:00Z", endTimestamp: "2026-01-02T06:00:00Z", isRepeatDaily: true}}
waves:
  - name: canary
    size: 1%
    gate:
      resolved: {{min: 90%, of: planned}}
      success: {{min: 90%, of: resolved}}
      stopAt: {{failed: 10%, of: planned}}
      soak: 6h
  - name: early
    size: 9%
    gate:
      resolved: {{min: 90%, of: planned}}
      success: {{min: 90%, of: resolved}}
      stopAt: {{failed: 10%, of: planned}}
      soak: 6h
  - name: total
    size: rest
limits: {{devicesInProgress: {cap}}}
stragglersAfter: 9h
"""

FAILED = 0.01
AWAY, AWAY_S = 0.05, (60.0, 8 * 3600.0)


def write_plan(directory: Path, text: str, devices: int, per_job: int) -> Path:
    from rollout.enos.job_plan import ENOS  # noqa: PLC0415 - as below
    from rollout.intake.plan_file import load_plan_file  # noqa: PLC0415 - a case loads what it needs itself
    from rollout.intake.saved_plan import compile_plan  # noqa: PLC0415 - as above

    directory.mkdir()
    with (directory / "devices.csv").open("w") as file:
        file.write("deviceKey\n")
        file.writelines(f"INV-{number:010d}\n" for number in range(devices))
    cap = max(300, devices * 18 // 1000)
    (directory / "plan.yaml").write_text(HEAD + text.format(per_job=per_job, cap=cap))
    return compile_plan(load_plan_file(directory / "plan.yaml", ENOS), directory / "saved").path


def run_study(directory: Path, options: argparse.Namespace) -> dict[str, float]:
    from rollout.emulator.platform.population import Population  # noqa: PLC0415 - as above
    from rollout.forecast.run import RunEnding, open_setup  # noqa: PLC0415 - as above
    from rollout.forecast.study import StudySpec, run_study  # noqa: PLC0415 - as above

    start = time.perf_counter()
    per_job = max(1, options.devices // 20)
    path = write_plan(directory / "study", STUDY, options.devices, per_job)
    read = time.perf_counter()
    setup = partial(open_setup, path, population=Population(failed_ratio=FAILED, offline_ratio=AWAY))
    study = run_study(StudySpec(setup, [None], range(options.seeds), options.jobs), lambda *_: None)
    finished = study.by_rate[0].share(RunEnding.FINISHED)
    assert finished.hits == finished.of == options.seeds, "a healthy build reaches everybody"
    return {
        "reading": read - start,
        "seconds": time.perf_counter() - read,
        "runs": options.seeds,
        "devices": options.devices,
    }


def run_campaign(directory: Path, options: argparse.Namespace) -> dict[str, float]:
    from rollout.emulator.platform.population import Population  # noqa: PLC0415 - as above
    from rollout.engine.interpreter import tune  # noqa: PLC0415 - as above
    from rollout.forecast.run import RunEnding, open_setup, simulate_once  # noqa: PLC0415 - as above

    start = time.perf_counter()
    path = write_plan(
        directory / "campaign", CAMPAIGN, options.million, min(500, max(1, options.million // 20))
    )
    read = time.perf_counter()
    population = Population(failed_ratio=FAILED, offline_ratio=AWAY, offline_s=AWAY_S)
    setup = open_setup(path, population=population, start=1_767_297_600.0)
    tune()
    run = simulate_once(setup, None, 1)
    assert run.ending == RunEnding.FINISHED, run
    assert run.later.succeeded + run.later.failed == options.million, "every device comes to an end"
    return {
        "reading": read - start,
        "seconds": time.perf_counter() - read,
        "runs": 1,
        "devices": options.million,
        "days": run.took_s / 86_400,
        "calls": run.creates + run.reads,
    }


def run_heap(_: Path, options: argparse.Namespace) -> dict[str, float]:
    from rollout.emulator.platform.behaviour import Behaviour  # noqa: PLC0415 - as above
    from rollout.emulator.platform.population import Population  # noqa: PLC0415 - as above

    start = time.perf_counter()
    behaviour = Behaviour(Population(failed_ratio=FAILED, offline_ratio=AWAY, offline_s=AWAY_S), 1)
    per_job, concurrency = 500, 300
    cap = max(concurrency, options.million * 18 // 1000)
    due: list[tuple[float, int, int]] = []
    waiting = [
        list(range(first, min(first + per_job, options.million)))
        for first in range(0, options.million, per_job)
    ]
    at_work = [0] * len(waiting)
    opened = ended = failed = 0
    total = 0
    ends: dict[int, bool] = {}

    def nothing(_: str) -> None:
        return None

    def pump(now: float, job: int) -> None:
        nonlocal total
        while waiting[job] and at_work[job] < concurrency:
            device = waiting[job].pop()
            key = f"INV-{device:010d}"
            away_s = behaviour.absence_s(key, nothing) if device not in ends else 0.0
            if away_s:
                ends[device] = False
                heapq.heappush(due, (now + away_s, job, device))
                continue
            drawn = behaviour.attempt(key, 1, nothing)
            ends[device] = drawn.step < 0
            at_work[job] += 1
            total += 1
            heapq.heappush(due, (now + drawn.first_report_s + drawn.work_s, job, ~device))

    now = 0.0
    while opened < len(waiting) or due:
        while opened < len(waiting) and total + concurrency <= cap:
            pump(now, opened)
            opened += 1
        now, job, device = heapq.heappop(due)
        if device >= 0:
            waiting[job].append(device)
        else:
            at_work[job] -= 1
            total -= 1
            ended += 1
            failed += ends[~device]
        pump(now, job)
    assert ended == options.million, "every device comes to an end"
    return {
        "reading": 0.0,
        "seconds": time.perf_counter() - start,
        "runs": 1,
        "devices": options.million,
        "days": now / 86_400,
    }


CASES = {"study": run_study, "campaign": run_campaign, "heap": run_heap}


def measure(case: str, options: argparse.Namespace) -> dict[str, float]:
    """Run one case in a fresh process and return what it found, with CPU and peak memory."""
    given = [f"--{name}={getattr(options, name)}" for name in ("devices", "seeds", "million", "jobs")]
    done = subprocess.run(
        [sys.executable, __file__, "--case", case, *given], check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--million", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        with tempfile.TemporaryDirectory() as name:
            found = CASES[options.case](Path(name), options)
        # kilobytes on Linux, bytes on macOS
        unit = 1 if sys.platform == "darwin" else 1024
        who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        usage = [resource.getrusage(one) for one in who]
        found["mb"] = max(one.ru_maxrss for one in usage) * unit / 1e6
        found["cpu"] = sum(one.ru_utime + one.ru_stime for one in usage)
        print(json.dumps(found))
        return
    rounds = [{case: measure(case, options) for case in CASES} for _ in range(options.rounds)]
    median = {
        case: {key: statistics.median(one[case][key] for one in rounds) for key in rounds[0][case]}
        for case in CASES
    }
    print(
        f"medians of {options.rounds}, study over {options.jobs} processes, Python {platform.python_version()}"
    )
    print(
        f"{'case':<10}{'devices':>11}{'runs':>6}{'reading s':>11}{'seconds':>9}{'CPU s':>8}{'peak MB':>9}{'us/device':>11}{'/ heap':>8}"
    )
    floor = median["heap"]["seconds"] / median["heap"]["devices"]
    for case, row in median.items():
        each = row["seconds"] / row["devices"] / row["runs"]
        print(
            f"{case:<10}{row['devices']:>11,.0f}{row['runs']:>6,.0f}{row['reading']:>11.1f}{row['seconds']:>9.1f}{row['cpu']:>8.1f}"
            f"{row['mb']:>9.0f}{each * 1e6:>11.1f}{each / floor:>8.1f}"
        )
    print(
        f"campaign: {median['campaign']['days']:.1f} days in virtual time, {median['campaign']['calls']:,.0f} calls"
    )


if __name__ == "__main__":
    main()
