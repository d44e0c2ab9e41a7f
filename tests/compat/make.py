"""Writes the state directories of this release, which every later one must open: `python tests/compat/make.py`.

Run it once for each release, from the root of the repository, and commit the folder it makes, `tests/compat/VERSION`.
The campaign and what happens to it are the same for each release; the plan file and the device list of the newest set
are taken over. It takes about a minute.
"""

import argparse
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from state_summary import summary

from rollout import __version__
from rollout.core.campaign_json import PLAN_FORMAT, campaign_to_json
from rollout.core.events import EPHEMERAL
from rollout.core.fold import fold
from rollout.core.state import State
from rollout.journal.codec import encode
from rollout.proof.acts import apply_act, conclude
from rollout.proof.trials import TROUBLES, draw_trial
from rollout.simulation.world import World

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
WAIT_S = 60.0
"""Longest wait for a line of a run. Real seconds."""
FIRST_SEED = 5_000_001
SEEDS = 1_500
"""Simulated campaigns that are looked at; those that bring a kind of event or reason not seen twice are kept."""
FAILING = ("--fail", "90%", "--emulator-seed", "3")

STATES = {
    "planned": {"flags": ["--approve", "early"], "exit": 0, "after": "finished"},
    "running": {"flags": ["--approve", "early"], "exit": 0, "after": "finished"},
    "paused": {
        "orders": [["resume"], ["approve", "--wave", "early"]],
        "flags": [],
        "exit": 0,
        "after": "finished",
    },
    "approval": {"orders": [["approve", "--wave", "early"]], "flags": [], "exit": 0, "after": "finished"},
    "ordered": {"orders": [["resume"]], "flags": [], "exit": 0, "after": "finished"},
    "halted": {"flags": list(FAILING), "exit": 3, "after": "halted"},
    "overridden": {"flags": list(FAILING), "exit": 3, "after": "aborted"},
    "aborted": {"flags": list(FAILING), "exit": 3, "after": "aborted"},
    "finished": {"flags": ["--fail", "5%"], "exit": 0, "after": "finished"},
}
"""What each state needs to go on: orders first, the flags of the run, its exit code, the status it ends in."""


class Maker:
    """Makes one set in `directory`, where the plan and its devices lie."""

    def __init__(self, directory):
        self.directory = directory
        self.environment = os.environ | {"LOGNAME": "ana", "USER": "ana"}

    def rollout(self, *arguments, expect=(0,)):
        done = subprocess.run(
            [sys.executable, "-m", "rollout", *arguments],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode in expect, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def run_line(self, state, *flags):
        return ("run", "plan.yaml", "--emulator", "--speed", "600", "--yes", "--state-dir", state,
                "--log-format", "console", *flags)  # fmt: skip

    def run_until(self, state, text, number, signal_number, *flags):
        """Run until `text` was logged `number` times, then end the process by a signal."""
        process = subprocess.Popen(
            [sys.executable, "-m", "rollout", *self.run_line(state, *flags)],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        until = time.monotonic() + WAIT_S
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                number -= text in line
                if not number:
                    process.send_signal(signal_number)
                    break
                assert time.monotonic() < until, f"never {text!r}"
            lines.read()
        process.wait(WAIT_S)

    def copy(self, state, new):
        shutil.copytree(self.directory / state, self.directory / new)

    def order(self, state, verb, *flags):
        self.rollout(verb, "compat", *flags, "--state-dir", state)

    def make(self):
        """Make every state of `STATES`."""
        self.rollout("plan", "plan.yaml", "--state-dir", "planned")
        self.run_until("running", "batch=total/", 4, signal.SIGKILL, "--approve", "early")
        self.run_until("approval", "reason=approval", 1, signal.SIGTERM)
        self.rollout(*self.run_line("halted", *FAILING), expect=(3,))
        self.copy("halted", "overridden")
        self.order("overridden", "approve", "--wave", "canary", "--comment", "CHG-1")
        self.rollout(*self.run_line("overridden", *FAILING), expect=(3,))
        self.rollout(*self.run_line("finished", "--approve", "early", "--fail", "5%"))
        self.copy("halted", "aborted")
        self.order("aborted", "abort", "--yes", "--stop-jobs", "--cancel-pending", "--reason", "bad build")
        self.rollout(*self.run_line("aborted", *FAILING), expect=(3,))
        self.copy("approval", "paused")
        self.order("paused", "pause", "--reason", "change freeze")
        self.rollout(*self.run_line("paused", "--exit-on-wait"), expect=(6,))
        self.copy("approval", "ordered")
        self.order("ordered", "approve", "--wave", "early", "--comment", "CHG-2")
        self.order("ordered", "pause", "--reason", "later")
        expected = self.directory / "expected"
        expected.mkdir()
        for state in STATES:
            for verb in ("status", "jobs"):
                told = self.rollout(verb, "--state-dir", state, "-o", "json")
                (expected / f"{state}.{verb}.json").write_text(told)
        for name in ("canary-then-total", "approval", "by-tags", "verify-first", "smallest"):
            # a relative path, since the plan keeps the one it was given
            file = os.path.relpath(ROOT / "plans" / f"{name}.yaml", self.directory)
            self.rollout("plan", file, "--state-dir", "plans")
        for left in self.directory.glob("*/*/journal.db-shm"):
            left.unlink()  # made anew by whoever opens the journal


def simulated():
    """Yield campaigns of the simulation that show every kind of event, hold and halt: plan, journal, states."""
    seen = Counter()
    troubles = tuple(TROUBLES)
    for tried in range(1, SEEDS + 1):
        trial = draw_trial(FIRST_SEED + tried - 1, troubles[tried % len(troubles)] if tried % 2 else None)
        with World(trial.scenario) as world:
            for act in trial.acts:
                apply_act(world, act)
            conclude(world)
            events = [event for _, event in world.disk.history() if event.kind not in EPHEMERAL]
        shown = {(event.kind, str(getattr(event, "reason", ""))) for event in events}
        shown = {(kind, reason if kind in {"gate.held", "campaign.halted"} else "") for kind, reason in shown}
        if tried > 2 * len(troubles) and all(seen[each] >= 2 for each in shown):
            continue
        seen.update(shown)
        plan, manifest = trial.scenario.plan, trial.scenario.manifest
        state, states = State.initial(plan), {}
        for number, event in enumerate(events, start=1):
            fold(state, event)
            if number in (max(1, len(events) * 2 // 3), len(events)):
                states[str(number)] = summary(state)
        yield {
            "seed": trial.seed,
            "trouble": trial.trouble,
            "plan": {
                "digest": plan.digest,
                "seed": plan.seed,
                "format": PLAN_FORMAT,
                "campaign": campaign_to_json(plan.campaign),
                "waves": [[w.index, w.name, w.devices, w.first, w.last] for w in plan.waves],
                "batches": [
                    [b.index, b.wave, b.number, b.devices, b.start, b.stop, b.digest] for b in plan.batches
                ],
                "keys": manifest.json_slice(0, len(manifest)).decode(),
            },
            "events": [[event.kind, encode(event)] for event in events],
            "states": states,
        }


def release_of(directory):
    """Return the numbers of the release whose set this is, to be compared."""
    return tuple(int(number) for number in directory.name.split("."))


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    directory = HERE / __version__
    if directory.exists():
        sys.exit(f"{directory} exists: a release's set is made once")
    newest = max((path.parent for path in HERE.glob("*/plan.yaml")), key=release_of)
    directory.mkdir()
    for name in ("plan.yaml", "devices.csv"):
        shutil.copy(newest / name, directory / name)
    Maker(directory).make()
    (directory / "states.json").write_text(json.dumps(STATES, indent=2) + "\n")
    with gzip.GzipFile(directory / "simulated.jsonl.gz", "wb", mtime=0) as file:
        for campaign in simulated():
            file.write(json.dumps(campaign, separators=(",", ":")).encode() + b"\n")
    print(f"{directory}: commit it with the release")


if __name__ == "__main__":
    main()
