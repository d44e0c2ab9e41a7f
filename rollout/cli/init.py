"""`rollout init`: a directory in which the main job can be tried at once, without an account."""

from __future__ import annotations

import json
import random
import shlex
from importlib import resources
from pathlib import Path

import click

from rollout.app.platforms import plan_format
from rollout.cli.command_line import command_line
from rollout.cli.common import Common, command
from rollout.cli.console import document

DEVICES = 2_000
SITES = 40
REGIONS = ("eu", "cn-east", "us-west", "ap-south")
SAMPLE_SEED = 20

PLAN = "canary-then-total.yaml"

PROFILES = """\
# Tenants, one table each. Keys are references, never values: "env:NAME" or "file:PATH" (mode 0600).
default_profile = "emulator"

[profiles.emulator]
url = "emulator:"                # inside the process; for one beside it: "http://127.0.0.1:8484"

# [profiles.eu-prod]
# url = "https://apigw.example.com"
# org_id = "o15724268424841"
# access_key = "env:ENOS_ACCESS_KEY"
# secret_key = "file:/run/secrets/enos_secret_key"
# protected = true               # running asks for the campaign's id to be typed
# latest_effect = "60s"          # L: how long after its end a create may still take effect
# search_lag = "5s"              # S: how late a created job may become findable
"""


def sample_devices() -> str:
    """Return a device list (CSV) of 2,000 made-up devices at 40 sites in 4 regions; the same every time."""
    rng = random.Random(SAMPLE_SEED)  # noqa: S311 - made-up data, not a secret
    lines = ["deviceKey,site,region"]
    for number in range(DEVICES):
        site = min(rng.randrange(SITES), rng.randrange(SITES))  # sites of unequal size, as in real fleets
        lines.append(f"SN-{number + 100_000:06d},site-{site + 1:03d},{REGIONS[site % len(REGIONS)]}")
    return "\n".join(lines) + "\n"


def _files() -> list[tuple[str, str, str]]:
    """Return path, what it is, and content of each file."""
    from rollout.intake.plan_model import plan_schema  # noqa: PLC0415 - building the models takes a tenth of a second

    plan = (resources.files("rollout.cli") / "template" / PLAN).read_text(encoding="utf-8")
    editor = {"yaml.schemas": {"./.rollout/plan.schema.json": ["plans/*.yaml", "plans/*.yml"]}}
    return [
        (f"plans/{PLAN}", "a plan with three waves", plan),
        ("plans/devices.csv", f"{DEVICES:,} made-up devices", sample_devices()),
        ("rollout.toml", "profile 'emulator' (no account needed)", PROFILES),
        (".rollout/plan.schema.json", "what a plan may say", document(plan_schema(plan_format())) + "\n"),
        (".vscode/settings.json", "plan file completion", json.dumps(editor, indent=2) + "\n"),
    ]


@command("init")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
def init(common: Common, *, directory: Path, force: bool) -> None:
    """Write a sample plan, device list, profile and editor settings into DIRECTORY.

    Example: rollout init demo
    """
    files = _files()
    present = [name for name, _, _ in files if (directory / name).exists()]
    if present and not force:
        raise click.UsageError(f"{directory / present[0]} exists; nothing was written (--force overwrites)")
    for name, _, content in files:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    line = command_line("run", f"plans/{PLAN}", "--emulator", "--speed", "600")
    following = line if directory == Path() else f"cd {shlex.quote(str(directory))} && {line}"
    if common.console.is_json:
        common.console.json(
            "init", directory=str(directory), created=[name for name, _, _ in files], next=following
        )
        return
    width = max(len(name) for name, _, _ in files)
    lines = [f"created  {name:<{width}}   {what}" for name, what, _ in files]
    common.console.result("\n".join([*lines, f"next     {following}"]))
