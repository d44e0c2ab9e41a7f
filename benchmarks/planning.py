"""Planning a fleet: time and memory, beside the script one would write oneself.

    python benchmarks/planning.py [--keys 1000000] [--rounds 3]

Each case runs in a process of its own, in turns, on the same CSV; the table has the medians. Memory is the
process's peak (`ru_maxrss`), with the interpreter and all imports in it.

- `script`: `csv` rows into a set, a seeded shuffle, slices of 500 as JSON lines. No check, no digest, no waves.
- `rollout`: `load_plan_file` and `compile_plan` of a plan with a canary of 5 % spread by site and the rest.
- `open`: `open_saved_plan` of that plan, and one batch's keys, as `run` and `status` do it.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PLAN = """\
version: 1
id: planning-benchmark
orgId: o15724268424841
firmwareId: 5ee1a90c29b990001b9c1880
seed: 7
devices: {from: [devices.csv], perJob: 500}
waves:
  - {name: canary, size: 5%, spreadBy: site, gate: {soak: 1h}}
  - {name: total, size: rest, gate: {soak: 1h}}
"""


def write_fleet(directory: Path, keys: int) -> None:
    draw = random.Random(2026)
    with (directory / "devices.csv").open("w") as file:
        file.write("deviceKey,site,region\n")
        for number in range(keys):
            site = draw.randrange(400)
            file.write(f"INV-{number:010d},site-{site:03d},region-{site % 7}\n")
    (directory / "plan.yaml").write_text(PLAN)


def run_script(directory: Path) -> dict[str, float]:
    import csv  # noqa: PLC0415 - a case loads what it needs itself, so that memory is its own

    start = time.perf_counter()
    with (directory / "devices.csv").open(newline="") as file:
        rows = csv.reader(file)
        at = next(rows).index("deviceKey")
        keys = sorted({row[at] for row in rows})
    random.Random(7).shuffle(keys)
    with (directory / "script.jsonl").open("w") as file:
        for first in range(0, len(keys), 500):
            file.write(json.dumps(keys[first : first + 500]) + "\n")
    return {"seconds": time.perf_counter() - start}


def run_rollout(directory: Path) -> dict[str, float]:
    from rollout.enos.job_plan import ENOS  # noqa: PLC0415 - as below
    from rollout.intake.plan_file import load_plan_file  # noqa: PLC0415 - as above
    from rollout.intake.saved_plan import compile_plan  # noqa: PLC0415 - as above

    start = time.perf_counter()
    saved = compile_plan(load_plan_file(directory / "plan.yaml", ENOS), directory / "saved")
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "batches": len(saved.plan.batches)}


def run_open(directory: Path) -> dict[str, float]:
    from rollout.intake.saved_plan import open_saved_plan  # noqa: PLC0415 - as above

    start = time.perf_counter()
    saved = open_saved_plan(directory / "saved" / "plan.json")
    seconds = time.perf_counter() - start
    batch = saved.plan.batches[len(saved.plan.batches) // 2]
    start = time.perf_counter()
    saved.manifest.json_slice(batch.start, batch.stop)
    return {"seconds": seconds, "slice_us": (time.perf_counter() - start) * 1e6}


CASES = {"script": run_script, "rollout": run_rollout, "open": run_open}


def measure(case: str, directory: Path) -> dict[str, float]:
    """Run one case in a fresh process and return what it found, with its peak memory."""
    command = [sys.executable, __file__, "--case", case, "--directory", str(directory)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        found = CASES[options.case](options.directory)
        # kilobytes on Linux, bytes on macOS
        unit = 1 if sys.platform == "darwin" else 1024
        found["mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_fleet(directory, options.keys)
        rounds = [{case: measure(case, directory) for case in CASES} for _ in range(options.rounds)]
    median = {
        case: {key: statistics.median(one[case][key] for one in rounds) for key in rounds[0][case]}
        for case in CASES
    }
    print(f"{options.keys:,} keys from CSV, medians of {options.rounds}, Python {platform.python_version()}")
    print(f"{'case':<10}{'seconds':>10}{'peak MB':>10}{'time / script':>15}{'memory / script':>17}")
    script = median["script"]
    for case in ("script", "rollout"):
        row = median[case]
        ratios = f"{row['seconds'] / script['seconds']:>15.2f}{row['mb'] / script['mb']:>17.2f}"
        print(f"{case:<10}{row['seconds']:>10.2f}{row['mb']:>10.0f}{ratios}")
    opened = median["open"]
    print(
        f"opening the plan of {median['rollout']['batches']:,.0f} batches: {opened['seconds'] * 1e3:.1f} ms; "
        f"one batch of 500 keys: {opened['slice_us']:.0f} µs"
    )


if __name__ == "__main__":
    main()
