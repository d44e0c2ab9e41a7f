"""Saved plans of format 1, which releases up to November 2026 wrote. Frozen: nothing here follows a later change.

Format 1 wrote every field of a campaign, EnOS's job settings among those of any platform, and took its digests
over all of them. The lists below are the fields that it wrote; a plan with others is damaged. Since nothing was
ever left out, no default of format 1 needs to be known to read one. `open_format_1` checks the plan's own digest
and gives the campaign in the shape of format 2, every value written out. The plan keeps the digest it was saved
with (its journal is bound to that), its batches keep theirs, and so its jobs keep their names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from rollout.core.plan import Seal

SCHEMA: Final = "rollout.plan/1"

_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "campaign": frozenset(
        {
            "id",
            "name",
            "org_id",
            "firmware_id",
            "waves",
            "per_job",
            "limits",
            "api_retry",
            "stragglers_after_s",
        }
    ),
    "name": frozenset({"default", "i18n"}),
    "wave": frozenset({"name", "size", "job", "gate", "spread_by"}),
    "job": frozenset(
        {
            "type",
            "version_numbers",
            "upgrade_policy",
            "enable_upgrade_request",
            "upgrade_timeout_s",
            "maximum_concurrency",
            "retry",
            "schedule",
            "product_key",
            "extra",
        }
    ),
    "retry": frozenset({"enabled", "interval_s", "count"}),
    "schedule": frozenset({"start_ms", "end_ms", "repeat_daily"}),
    "gate": frozenset(
        {"success", "resolved", "stop", "min_sample", "soak_s", "deadline_s", "on_fail", "approval"}
    ),
    "threshold": frozenset({"min", "of"}),
    "stop": frozenset({"failed", "of", "min_sample"}),
    "limits": frozenset({"create", "read", "devices_in_progress"}),
    "calls": frozenset({"rate", "burst", "in_flight"}),
    "api_retry": frozenset({"attempts", "first_s", "max_s", "when_unsure"}),
}
_SIZES: Final[Mapping[str, frozenset[str]]] = {
    "count": frozenset({"kind", "devices"}),
    "share": frozenset({"kind", "of_fleet"}),
    "rest": frozenset({"kind"}),
    "keys": frozenset({"kind", "keys"}),
    "scope": frozenset({"kind", "type", "selector", "value"}),
}


def plan_digest_1(data: Mapping[str, Any]) -> str:
    """Return the digest of a plan of format 1. Raises KeyError, TypeError or ValueError if it is none."""
    campaign = data["campaign"]
    waves = []
    firsts = []
    first = 0
    for index, wave in enumerate(data["waves"]):
        last = first + wave["batches"]
        firsts.append(first)
        waves.append([index, wave["name"], wave["devices"], first, last])
        first = last
    batches = [
        [index, wave, index - firsts[wave] + 1, devices, start, stop, digest]
        for index, (wave, devices, start, stop, digest) in enumerate(data["batches"])
    ]
    hashed = {**campaign, "waves": [{**wave, "size": _bare(wave["size"])} for wave in campaign["waves"]]}
    return _sha256([hashed, data["seed"], waves, batches, data["manifest"]["sha256"]]).hexdigest()


def seals_1(campaign: Mapping[str, Any]) -> list[Seal]:
    """Return for each wave the part of its batches' digests that they share."""
    return [
        _sha256(
            [
                campaign["firmware_id"],
                wave["job"],
                _bare(wave["size"]) if wave["size"]["kind"] == "scope" else None,
            ]
        )
        for wave in campaign["waves"]
    ]


def campaign_of_format_2(campaign: Mapping[str, Any]) -> dict[str, Any]:
    """Return a campaign of format 1 in the shape of format 2. Raises ValueError if it has other fields."""
    _check(campaign, "campaign")
    _check(campaign["name"], "name")
    _check(campaign["limits"], "limits")
    _check(campaign["limits"]["create"], "calls")
    _check(campaign["limits"]["read"], "calls")
    _check(campaign["api_retry"], "api_retry")
    return {**campaign, "waves": [_wave(wave) for wave in campaign["waves"]]}


def _wave(wave: Mapping[str, Any]) -> dict[str, Any]:
    _check(wave, "wave")
    size = wave["size"]
    if size.keys() != _SIZES[size["kind"]]:
        raise ValueError("a size has other fields")
    gate = wave["gate"]
    if gate is not None:
        _check(gate, "gate")
        for name, shape in (("success", "threshold"), ("resolved", "threshold"), ("stop", "stop")):
            if gate[name] is not None:
                _check(gate[name], shape)
    return {**wave, "job": _job(wave["job"], scoped=size["kind"] == "scope")}


def _job(job: Mapping[str, Any], *, scoped: bool) -> dict[str, Any]:
    """Return the job with EnOS's own settings in their place; what was not sent is left out there."""
    _check(job, "job")
    _check(job["retry"], "retry")
    if job["schedule"] is not None:
        _check(job["schedule"], "schedule")
    upgrade = job["type"] == "upgrade"
    platform: dict[str, Any] = {"type": job["type"]}
    if upgrade:
        platform["upgradePolicy"] = job["upgrade_policy"]
        platform["enableUpgradeRequest"] = job["enable_upgrade_request"]
    if job["version_numbers"]:
        platform["versionNumbers"] = job["version_numbers"]
    if job["product_key"] is not None:
        platform["productKey"] = job["product_key"]
    if job["extra"]:
        platform["extra"] = job["extra"]
    return {
        "upgrade_timeout_s": job["upgrade_timeout_s"],
        # a verification job was sent without it, and counted as all of its devices where those were known
        "maximum_concurrency": job["maximum_concurrency"] if upgrade or scoped else None,
        "retry": job["retry"] if job["retry"]["enabled"] else {"enabled": False, "interval_s": 0, "count": 0},
        "schedule": job["schedule"],
        "grows": upgrade and job["upgrade_policy"] != "snapshot",
        "platform": platform,
    }


def _check(part: Mapping[str, Any], shape: str) -> None:
    if part.keys() != _FIELDS[shape]:
        raise ValueError(f"a {shape} has other fields: {', '.join(part.keys() ^ _FIELDS[shape])}")


def _bare(size: Mapping[str, Any]) -> dict[str, Any]:
    """Return a wave's size as format 1 hashed it: without its kind."""
    return {name: value for name, value in size.items() if name != "kind"}


def _sha256(content: object) -> Seal:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())
