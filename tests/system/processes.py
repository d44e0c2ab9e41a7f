"""Runs the program as its users do: processes that are started, read, signalled, and always ended.

Every wait is for a line of output or for the end of a process, and has a bound. So a test that fails does so within a
minute and leaves nothing running.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import rollout

WAIT_S = 60.0
"""The longest wait for one line or end, real seconds; a busy machine with two cores needs a tenth of it."""

JOBS_MAX = 10_000
"""Jobs asked for from the admin page; more than any campaign here has."""


@dataclass(frozen=True)
class Ended:
    """A process that has ended: its exit code (below 0: the signal that killed it) and its output."""

    code: int
    out: str
    err: str

    @property
    def sums(self):
        """The sums in the summary at the end of a run, by name."""
        line = next(line for line in self.out.splitlines() if " TOTAL=" in line)
        return {
            name: int(value.replace(",", ""))
            for name, value in (pair.split("=") for pair in line.split()[1:])
        }


class Lines:
    """The lines of a stream; a thread reads them, so that the pipe never fills up."""

    def __init__(self, pipe):
        self._lines = []
        self._over = False
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self._reader.start()

    def _read(self, pipe):
        with pipe:
            for line in pipe:
                with self._news:
                    self._lines.append(line)
                    self._news.notify_all()
        with self._news:
            self._over = True
            self._news.notify_all()

    def find(self, text, nth=1):
        """Wait for the `nth` line that contains `text` and return it; None if the stream ends before."""

        def found():
            return [line for line in self._lines if text in line][nth - 1 : nth]

        with self._news:
            assert self._news.wait_for(lambda: self._over or found(), WAIT_S), (
                f"no line with {text!r}: {self}"
            )
            return next(iter(found()), None)

    def expect(self, text, nth=1):
        """Wait for the `nth` line that contains `text` and return it; fail if the stream ends before."""
        line = self.find(text, nth)
        assert line is not None, f"ended without {text!r}:\n{self}"
        return line

    def all(self):
        """Wait for the end of the stream and return all of it."""
        self._reader.join(WAIT_S)
        return str(self)

    def __str__(self):
        return "".join(self._lines)


class Program:
    """One process, in a process group of its own."""

    def __init__(self, line, path, environment):
        self._process = subprocess.Popen(
            line,
            cwd=path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self.pid = self._process.pid
        self.out = Lines(self._process.stdout)
        self.err = Lines(self._process.stderr)

    def signal(self, number):
        """Send a signal to this process alone."""
        self._process.send_signal(number)

    @property
    def is_over(self):
        """Whether the process has ended."""
        return self._process.poll() is not None

    def end(self):
        """Wait for the end; return exit code and output."""
        code = self._process.wait(WAIT_S)
        return Ended(code, self.out.all(), self.err.all())

    def kill_after(self, seconds):
        """Kill it with SIGKILL unless it ends by itself within `seconds`; return whether the kill ended it."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        self._process.kill()
        return self._process.wait(WAIT_S) == -signal.SIGKILL

    def clear_away(self):
        """Kill the process and all it started, if any of them still runs."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(WAIT_S)
        self.out.all()
        self.err.all()


class Emulator:
    """A platform in a process of its own. `log`: the file in which it writes every create before it answers."""

    def __init__(self, program, log):
        self._program = program
        self.log = log
        self.url = next(word for word in program.out.expect("http://").split() if word.startswith("http://"))

    def kill(self):
        """Kill it with SIGKILL. The next emulator of the same desk restores the platform from the log."""
        self._program.kill_after(0)

    def state(self):
        """Return the platform's state, from its admin page."""
        with urllib.request.urlopen(f"{self.url}/_admin/state?jobs={JOBS_MAX}", timeout=WAIT_S) as answer:
            return json.load(answer)

    def names(self):
        """Return job name → jobs with it."""
        return Counter(job["name"] for job in self.state()["newestJobs"])

    def set_faults(self, *faults):
        """Replace the faults; they are written as on the command line."""
        request = urllib.request.Request(
            f"{self.url}/_admin/faults",
            json.dumps({"faults": faults}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            assert answer.status == 200


class Desk:
    """A directory, and the program started in it without the caller's environment."""

    def __init__(self, path):
        self.path = path
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        self.environment = {
            **kept,
            "HOME": str(path / "home"),
            # the package under test, installed or not
            "PYTHONPATH": str(Path(rollout.__file__).parents[1]),
            "PYTHONUTF8": "1",
            "PYTHONWARNINGS": "error",
        }
        self._started = []

    def start(self, *arguments, before=(), **environment):
        """Start the program with these arguments; `before`: words put in front of the command."""
        return self.launch([*before, sys.executable, "-m", "rollout", *map(str, arguments)], **environment)

    def launch(self, line, **environment):
        """Start any program."""
        program = Program(line, self.path, self.environment | environment)
        self._started.append(program)
        return program

    def run(self, *arguments, **environment):
        """Run the program to its end."""
        return self.start(*arguments, **environment).end()

    def emulator(self, *arguments):
        """Start a platform on a free port."""
        log = self.path / "platform.ndjson"
        return Emulator(self.start("emulator", "--port", "0", "--log", log, *arguments), log)

    def clear_away(self):
        """Kill every process that was started here."""
        for program in self._started:
            program.clear_away()

    def ended(self):
        """Return exit code and output of every process started here that has ended, in the order of their starts."""
        return [program.end() for program in self._started if program.is_over]

    def campaign(self, name):
        """Return the campaign's directory."""
        return self.path / ".rollout" / name

    def records(self, name):
        """Return the records of the campaign's event log; fail if a line is not a complete record."""
        lines = (self.campaign(name) / "events.ndjson").read_text().splitlines()
        return [json.loads(line) for line in lines if line]


def creates(log):
    """Return the arguments of every create that an emulator has carried out, delayed ones too, from its log."""
    entries = [json.loads(line) for line in log.read_text().splitlines()[1:]]
    return [entry["with"] for entry in entries if entry["do"].startswith("create")]
