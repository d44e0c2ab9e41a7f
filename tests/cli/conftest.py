"""A working directory with a small campaign, and two ways to call the program: in this process and beside it."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rollout.cli import program

PLAN = """\
version: 1
id: small
name: Small campaign
orgId: o1
firmwareId: f1
seed: 7
job: {upgradeTimeout: 3600, maximumConcurrency: 10}
devices: {from: [devices.csv], perJob: 10}
waves:
  - name: canary
    size: 25%
    spreadBy: site
    gate:
      resolved: {min: 90%, of: planned}
      success: {min: 90%, of: resolved}
      stopAt: {failed: 30%, of: resolved, minSample: 3}
      soak: 10m
  - name: total
    size: rest
limits:
  create: {rate: 50/s, inFlight: 4}
  read: {rate: 200/s, burst: 20, inFlight: 8}
"""

# A rehearsal whose network has no lag to wait for, so that a test takes seconds.
PROFILES = """\
default_profile = "emulator"

[profiles.emulator]
latest_effect = "300ms"
search_lag = "300ms"

[profiles.prod]
url = "https://gw.example.com"
org_id = "o1"
access_key = "env:PROD_ACCESS"
secret_key = "env:PROD_SECRET"
protected = true

[profiles.stage]
url = "https://stage.example.com"
access_key = "env:PROD_ACCESS"
secret_key = "env:PROD_SECRET"
"""

SPEED = "2000"


@dataclass
class Desk:
    """Where a test works: its directory, and the program."""

    path: Path
    environment: dict[str, str]
    started: list[subprocess.Popen] = field(default_factory=list)

    def __call__(self, *arguments: str, **options) -> Result:
        """Call the program in this process."""
        return CliRunner(env=self.environment).invoke(program, [*map(str, arguments)], **options)

    def run(self, *arguments: str, **options) -> subprocess.CompletedProcess:
        """Call the program as a process of its own, for 60 s at most, without a terminal."""
        line = [sys.executable, "-m", "rollout", *map(str, arguments)]
        return subprocess.run(
            line,
            cwd=self.path,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **options,
        )

    def begin(self, *arguments: str) -> subprocess.Popen:
        """Start the program as a process of its own; its standard error can be read line by line."""
        line = [sys.executable, "-m", "rollout", *map(str, arguments)]
        process = subprocess.Popen(
            line,
            cwd=self.path,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    @staticmethod
    def wait_for(process: subprocess.Popen, text: str) -> str:
        """Read the process's standard error up to the line with `text` and return that line."""
        for line in process.stderr:
            if text in line:
                return line
        raise AssertionError(f"ended before {text!r}")

    @property
    def campaign(self) -> Path:
        """The small campaign's directory."""
        return self.path / ".rollout" / "small"


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A directory with plan.yaml, 40 devices at 4 sites, and profiles; nothing of the caller's environment."""
    kept = {
        name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH", "LANG", "LC_ALL")
    }
    environment = {**kept, "HOME": str(tmp_path / "home"), "PYTHONWARNINGS": "error", "PYTHONUTF8": "1"}
    for name in list(os.environ):
        if name.startswith(("ENOS_", "ROLLOUT_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", environment["HOME"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text(PLAN)
    rows = [f"SN-{number:04d},site-{number % 4}" for number in range(40)]
    (tmp_path / "devices.csv").write_text("\n".join(["deviceKey,site", *rows]) + "\n")
    (tmp_path / "rollout.toml").write_text(PROFILES)
    desk = Desk(tmp_path, environment)
    yield desk
    for process in desk.started:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
