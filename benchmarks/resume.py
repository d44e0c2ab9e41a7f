"""Resuming a campaign: how long from its journal to the next decision.

    python benchmarks/resume.py [--batches 2000] [--rounds 5]

The journal is a real one: the core's own `decide` runs a campaign of that many batches of 500 devices in
virtual time, one create in twenty going wrong at first, and every event it makes a fact is stored. It is cut
where a kill hurts most: all batches created, half of the devices still to come.

Cases take turns in one process; the table has the medians. Files are in the page cache for all of them.

- `json lines`: the peer, the least a resume can be: the same rows as JSON lines, `json.loads`, and the last one
  of each batch kept in a dict. No check, no lock, no order of states.
- `read`: `read_events`: SQLite, checksums, typed and checked events.
- `resume`: `SqliteJournal.open` (lock, `quick_check`, durable dirty mark), read, `fold`, and the first `decide`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the virtual platform is a support of the tests

from support.plans import build
from support.world import World

from rollout.core.commands import UnderWay
from rollout.core.decide import decide
from rollout.core.events import EPHEMERAL, CampaignStarted, Event
from rollout.core.fold import fold
from rollout.core.state import State
from rollout.journal.codec import encode
from rollout.journal.sqlite import JOURNAL_NAME, SqliteJournal, read_events

DEVICES = 500
FAULTS = {"answer_lost": 0.02, "request_lost": 0.01, "throttled": 0.02}


def live(batches: int):
    """Return a plan and the events of its campaign up to the moment when half of the devices are done."""
    canary = max(1, batches // 20)
    plan, manifest = build(
        ("canary", [1] * canary, None, None), ("rest", [1] * (batches - canary), None, None)
    )
    plan = replace(
        plan,
        devices=plan.devices * DEVICES,
        waves=tuple(replace(wave, devices=wave.devices * DEVICES) for wave in plan.waves),
        batches=tuple(
            replace(batch, devices=DEVICES) for batch in plan.batches
        ),  # nobody asks for their keys
    )
    world = World(plan, manifest, seed=7, faults=FAULTS)
    world.live()
    story = [event for event in world.journal if event.kind not in EPHEMERAL]
    assert isinstance(story[0], CampaignStarted)
    created = max(n for n, event in enumerate(story) if event.kind == "batch.job_created")
    return plan, story[: (created + len(story)) // 2]


async def store(directory: Path, story: list[Event]) -> None:
    journal = SqliteJournal.create(directory, "c1", "d1")
    await journal.append(story)
    await journal.aclose()
    with (directory / "events.jsonl").open("w") as lines:
        for event in story:
            lines.write(json.dumps({"kind": event.kind, **json.loads(encode(event))}) + "\n")


def resume_lines(directory: Path) -> float:
    start = time.perf_counter()
    last: dict[int | None, dict[str, object]] = {}
    with (directory / "events.jsonl").open() as lines:
        for line in lines:
            event = json.loads(line)
            last[event.get("batch")] = event
    return time.perf_counter() - start


def resume_read(directory: Path) -> float:
    start = time.perf_counter()
    for _ in read_events(directory):
        pass
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    plan, story = live(options.batches)

    def resume_all(directory: Path) -> float:
        start = time.perf_counter()
        journal = SqliteJournal.open(directory)
        state = State.initial(plan)
        for event in journal.read():
            fold(state, event)
        decide(state, state.last_at, UnderWay())
        seconds = time.perf_counter() - start
        asyncio.run(journal.aclose())
        return seconds

    cases: dict[str, Callable[[Path], float]] = {
        "json lines": resume_lines,
        "read": resume_read,
        "resume": resume_all,
    }
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        asyncio.run(store(directory, story))
        rounds = [{case: run(directory) for case, run in cases.items()} for _ in range(options.rounds)]
        megabytes = (directory / JOURNAL_NAME).stat().st_size / 1e6
    kinds = Counter(event.kind for event in story).most_common(4)
    print(
        f"{options.batches:,} batches of {DEVICES}, {len(story):,} events, {megabytes:.1f} MB; medians of {options.rounds}"
    )
    print(
        f"most: {', '.join(f'{kind} {count:,}' for kind, count in kinds)}; Python {platform.python_version()}"
    )
    print(f"{'case':<12}{'ms':>9}{'µs / event':>13}{'÷ json lines':>15}")
    median = {case: statistics.median(one[case] for one in rounds) for case in cases}
    for case, seconds in median.items():
        per_event = seconds / len(story) * 1e6
        print(f"{case:<12}{seconds * 1e3:>9.1f}{per_event:>13.1f}{seconds / median['json lines']:>15.1f}")


if __name__ == "__main__":
    main()
