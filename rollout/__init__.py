"""Batch rollout engine for firmware campaigns on the EnOS IoT platform.

For a script that embeds it:

    plan = rollout.load_plan("plans/canary-then-total.yaml")
    campaign = rollout.plan_campaign(plan)
    result = await rollout.run_campaign(campaign, profile=rollout.emulator_profile(), speed=600)
    seen = rollout.read_campaign(campaign.name)

Every name of `__all__` stays from release to release. Each is imported when it is first used, so that
`import rollout`, and `rollout --help`, take no time. All errors are `RolloutError`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rollout.version import __version__

if TYPE_CHECKING:
    from rollout.app.campaigns import Snapshot
    from rollout.app.face import give_order, load_plan, plan_campaign, read_campaign, run_campaign
    from rollout.app.planning import Prepared
    from rollout.app.running import RunResult
    from rollout.app.stores import open_store
    from rollout.core.orders import Abort, Approve, Pause, Resume
    from rollout.core.state import State
    from rollout.engine.runner import Leave
    from rollout.errors import (
        CampaignBusy,
        JournalCorrupt,
        JournalError,
        JournalHeld,
        NoCampaign,
        OrderRefused,
        PlanError,
        RolloutError,
        ServiceError,
        SettingsError,
        WrongArgument,
    )
    from rollout.intake.document import PlanDocument
    from rollout.settings import CredentialsMissing, Profile, emulator_profile, load_profile

__all__ = [
    "Abort",
    "Approve",
    "CampaignBusy",
    "CredentialsMissing",
    "JournalCorrupt",
    "JournalError",
    "JournalHeld",
    "Leave",
    "NoCampaign",
    "OrderRefused",
    "Pause",
    "PlanDocument",
    "PlanError",
    "Prepared",
    "Profile",
    "Resume",
    "RolloutError",
    "RunResult",
    "ServiceError",
    "SettingsError",
    "Snapshot",
    "State",
    "WrongArgument",
    "__version__",
    "emulator_profile",
    "give_order",
    "load_plan",
    "load_profile",
    "open_store",
    "plan_campaign",
    "read_campaign",
    "run_campaign",
]

_HOMES = {
    "rollout.app.campaigns": ["Snapshot"],
    "rollout.app.face": ["give_order", "load_plan", "plan_campaign", "read_campaign", "run_campaign"],
    "rollout.app.planning": ["Prepared"],
    "rollout.app.running": ["RunResult"],
    "rollout.app.stores": ["open_store"],
    "rollout.core.orders": ["Abort", "Approve", "Pause", "Resume"],
    "rollout.core.state": ["State"],
    "rollout.engine.runner": ["Leave"],
    "rollout.errors": [
        "CampaignBusy",
        "JournalCorrupt",
        "JournalError",
        "JournalHeld",
        "NoCampaign",
        "OrderRefused",
        "PlanError",
        "RolloutError",
        "ServiceError",
        "SettingsError",
        "WrongArgument",
    ],
    "rollout.intake.document": ["PlanDocument"],
    "rollout.settings": ["CredentialsMissing", "Profile", "emulator_profile", "load_profile"],
}
"""The module in which each name is defined."""


def __getattr__(name: str) -> Any:
    """Import a name of `__all__` when it is first used."""
    home = next((home for home, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
