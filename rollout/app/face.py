"""What a script that embeds rollout calls; `rollout` offers these functions under its own name.

Each is one of the application layer's own functions, called with plain values: paths, names and addresses of stores.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rollout.app.campaigns import CampaignReader, Snapshot, find_campaign
from rollout.app.orders import check_steerable, give
from rollout.app.planning import DeviceSource, Prepared, load_document, save_plan
from rollout.app.rehearsal import Rehearsal, population_of
from rollout.app.running import RunRequest, RunResult, run_prepared
from rollout.app.stores import STATE_DIR, open_store
from rollout.core.orders import Order
from rollout.errors import WrongArgument
from rollout.intake.document import PlanDocument
from rollout.ports import Store
from rollout.settings import Profile


def load_plan(path: str | Path, *, devices: Sequence[str] = ()) -> PlanDocument:
    """Read a plan file; return what it says: `campaign`, `devices`, `seed`, and `warnings` of what looks wrong.

    Args:
        devices: device lists that will be given to `plan_campaign`; the plan then need not name any.
    Raises: PlanError with every fault of the file and its place.
    """
    return load_document(Path(path), devices)


def plan_campaign(
    plan: PlanDocument,
    *,
    store: Store | str | Path = STATE_DIR,
    devices: Sequence[str] = (),
    profile: Profile | None = None,
) -> Prepared:
    """Divide the plan's devices into waves and jobs, and save that; return the campaign, ready to be run.

    A campaign that was begun keeps its plan. This function blocks: if devices come from EnOS's search, do not call it on a
    running event loop (use `asyncio.to_thread`).

    Args:
        store: a store, or its address: a directory, or `memory:`.
        devices: device lists (CSV, NDJSON or plain) instead of those the plan names.
        profile: the platform whose device search is asked, for a plan that takes its devices from there.
    Returns: `.name` of the campaign, `.saved.plan` with its waves and batches, `.store`.
    Raises: PlanError with every fault of plan and device lists; CampaignBusy if the campaign was begun with another
        plan; ServiceError if the devices could not be listed.
    """
    return save_plan(plan, _store(store), devices=devices, devices_from=DeviceSource(profile))


async def run_campaign(
    campaign: Prepared,
    *,
    profile: Profile,
    speed: float = 1.0,
    until: str | None = None,
    exit_on_wait: bool = False,
    approve: Sequence[str] = (),
    approved_by: str = "",
) -> RunResult:
    """Run the campaign, from where it stands, until it is over, must wait, or is cancelled.

    A campaign can be run again, however the last run ended. The log of structlog is set up for this process.

    Args:
        profile: the platform: `load_profile(NAME)`, or `emulator_profile()` for a rehearsal inside this process.
        speed: times faster than real time, for platforms on this machine only.
        until: leave when the gate of this wave has passed.
        exit_on_wait: leave instead of waiting for a person or a soak.
        approve: names of waves that are approved in advance, `approved_by` whom.
    Returns: `.leave` (why the run ended) and `.state` (where the campaign stands).
    Raises: JournalHeld where another runner has the campaign; CampaignBusy, JournalError, ServiceError,
        SettingsError; WrongArgument for a wave that is not there.
    """
    names = [wave.name for wave in campaign.saved.plan.waves]
    request = RunRequest(
        campaign,
        profile,
        speed=speed,
        rehearsal=Rehearsal(population_of(None, failed=None, offline=None)) if profile.in_process else None,
        until=None if until is None else _wave(names, until, "until"),
        exit_on_wait=exit_on_wait,
        approve=tuple(_wave(names, name, "approve") for name in approve),
        approved_by=approved_by,
    )
    return await run_prepared(request)


def read_campaign(name: str, *, store: Store | str | Path = STATE_DIR) -> Snapshot:
    """Return where the campaign stands now: `.plan`, `.state`, `.holder` (its runner or None), `.orders`.

    Works while it is run, here or elsewhere, and afterwards.

    Raises: NoCampaign; PlanError, JournalError where what is kept is damaged.
    """
    kept = _store(store)
    return CampaignReader(kept, find_campaign(kept, name)).look()


def give_order(name: str, order: Order, *, store: Store | str | Path = STATE_DIR) -> bool:
    """Leave an order (`Pause`, `Resume`, `Approve`, `Abort`) with a campaign that was begun.

    Returns: whether a runner has taken it: True within seconds if one lives; False if it waits for the next run.
    Raises: NoCampaign; OrderRefused where the campaign was never run or is over.
    """
    seen = read_campaign(name, store=store)
    check_steerable(seen)
    return give(seen, order)


def _store(store: Store | str | Path) -> Store:
    return open_store(store) if isinstance(store, str | Path) else store


def _wave(names: Sequence[str], name: str, argument: str) -> int:
    """Return the index of a wave. Raises WrongArgument where there is none of that name."""
    if name not in names:
        raise WrongArgument(argument, f"no wave {name!r}; there are {', '.join(names)}")
    return names.index(name)
