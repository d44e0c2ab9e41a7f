"""`rollout doctor`: what stands between this machine and the platform, one line a look, nothing changed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import click

from rollout.app.checkup import campaign_of, check_up
from rollout.app.profiles import platform_profile
from rollout.cli.common import Common, ca_file_option, command, url_option
from rollout.cli.types import ORG
from rollout.ports import Finding, Health
from rollout.text import counted


@command("doctor")
@click.argument("plan", type=click.Path(path_type=Path), required=False)
@url_option
@ca_file_option
@click.option("--org", type=ORG, metavar="ID", help="Organisation, where neither plan nor profile names one.")
def doctor(
    common: Common, *, plan: Path | None, url: str | None, ca_file: Path | None, org: str | None
) -> int:
    """Look at all that a run needs: disk, name, connection, TLS, clock, keys, token and permissions.

    With PLAN, also whether its firmware exists and its jobs can be searched for. Every check is ok, a warning or failed; the exit code is that of the first failure: 1 out of reach,
    2 plan or configuration, 4 credentials. Nothing is created or changed.

    Example: rollout doctor plans/x.yaml --profile eu-prod
    """
    profile = platform_profile(common.profile, config=common.config, url=url, ca_file=ca_file)
    campaign = None if plan is None else campaign_of(plan)
    if org is not None and campaign is not None and campaign.org_id != org:
        raise click.UsageError(f"--org: the plan is for {campaign.org_id}")
    org_id = org or (campaign.org_id if campaign else None) or profile.org_id
    console = common.console
    found: list[Finding] = []

    async def look() -> None:
        async for finding in check_up(common.open_store(), profile, org_id, campaign):
            found.append(finding)
            if not console.is_json:
                console.result("\n".join(_lines(finding)))

    asyncio.run(look())
    code = next((finding.exit_code for finding in found if finding.exit_code), 0)
    if console.is_json:
        console.json(
            "doctor",
            profile=profile.name,
            url=profile.url,
            orgId=org_id,
            exitCode=code,
            checks=[_row(finding) for finding in found],
        )
    else:
        console.result(_summary(found))
    return code


def _lines(finding: Finding) -> Iterator[str]:
    yield f"{finding.health:<8} {finding.name:<13} {finding.seen}"
    if finding.remedy:
        yield f"{'':<8} {'':<13} hint: {finding.remedy}"


def _row(finding: Finding) -> dict[str, object]:
    return {
        "check": finding.name,
        "status": str(finding.health),
        "seen": finding.seen,
        "hint": finding.remedy,
        "facts": finding.facts,
        "exitCode": finding.exit_code,
    }


def _summary(found: list[Finding]) -> str:
    number = {health: sum(finding.health is health for finding in found) for health in Health}
    return (
        f"{number[Health.OK]} ok, {counted(number[Health.WARNING], 'warning')}, "
        f"{number[Health.FAILED]} failed, {number[Health.SKIPPED]} skipped"
    )
