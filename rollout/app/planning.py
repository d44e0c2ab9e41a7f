"""From a plan file, or a saved plan, to the saved plan that a store keeps.

A plan is compiled beside the campaign and compared with what is there before it takes its place: a campaign
that was begun keeps its plan for good, and a plan with the same digest *is* that plan. Devices that come from
EnOS's search are asked for once; the listing stays beside the plan, and planning again reads it.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rollout.app.campaigns import check_same_plan
from rollout.app.platforms import plan_format
from rollout.app.profiles import check_org
from rollout.app.stores import store_of_plan
from rollout.core.plan import spread_columns
from rollout.core.records import DeviceFilter
from rollout.errors import Complaint, NoCampaign, PlanError, SettingsError
from rollout.intake.document import PlanDocument
from rollout.intake.listing import DamagedListing, DeviceListing, ListingWriter
from rollout.intake.saved_plan import SavedPlan, compile_plan, open_saved_plan
from rollout.ports import LISTING_GLOB, PLAN_NAME, Store
from rollout.settings import Profile

if TYPE_CHECKING:
    from rollout.app.devices import MadeUpFleet

NOTED_EVERY = 50_000
"""A progress line is printed each time so many devices were listed. Ours."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A campaign with its saved plan, ready to be run: `name` is its name in `store`.

    `document` is the plan file it came from; None where a saved plan was given.
    """

    saved: SavedPlan
    store: Store
    name: str
    document: PlanDocument | None = None

    @property
    def path(self) -> Path:
        """The saved plan's file."""
        return self.saved.path


def _silent(_: str) -> None:
    """Drop the line."""


@dataclass(frozen=True, slots=True)
class DeviceSource:
    """The platform that lists the devices of a plan whose fleet is a device search.

    `profile` names the platform; None: there is none to ask. `refresh` asks again although a listing is kept. `note`
    gets a line about each search. `made_up` are the devices of the emulator inside this process, which has none of
    its own.
    """

    profile: Profile | None = None
    refresh: bool = False
    note: Callable[[str], None] = _silent
    made_up: MadeUpFleet | None = None

    @property
    def can_list(self) -> bool:
        """Whether there is a platform that has devices."""
        return self.profile is not None and (not self.profile.in_process or self.made_up is not None)


def open_or_compile(
    plan: Path,
    store: Store,
    *,
    devices: Sequence[str] = (),
    seed: int | None = None,
    devices_from: DeviceSource | None = None,
) -> Prepared:
    """Return the campaign of a plan file, or of a saved plan (a file called `plan.json`), which is then in its own store.

    Args:
        devices: device lists instead of those the plan names; `-` is standard input.
        seed: draws the waves, instead of the plan's own.
        devices_from: lists the devices of a plan whose fleet is a device search.
    Raises: PlanError for a faulty document; CampaignBusy if the campaign was begun with another plan; ServiceError if
        EnOS could not list the devices, and nothing is saved then.
    """
    if plan.name == PLAN_NAME:
        if devices_from is not None and devices_from.refresh:
            raise SettingsError(
                f"{plan} is a saved plan, whose devices are settled",
                hint="--refresh goes with the plan file",
            )
        return Prepared(open_saved_plan(plan), *store_of_plan(plan))
    return save_plan(load_document(plan, devices, seed), store, devices=devices, devices_from=devices_from)


def save_plan(
    document: PlanDocument,
    store: Store,
    *,
    devices: Sequence[str] = (),
    devices_from: DeviceSource | None = None,
) -> Prepared:
    """Plan the document's fleet and keep the plan in the store; a campaign that was begun keeps the plan it has.

    Raises: as `open_or_compile`.
    """
    name = document.campaign.id
    with store.workplace() as scratch:
        compiled = compile_into(
            scratch, document, store, devices=devices, devices_from=devices_from or DeviceSource()
        )
        if store.has_journal(name):
            begun = open_saved_plan(store.plan_path(name))
            if not compiled.is_same_as(begun):
                check_same_plan(compiled.plan, begun.plan.digest, store, name)
            return Prepared(begun, store, name, document)
        store.save_plan(name, scratch, keep={listing.path.name for listing in compiled.report.listings})
    return Prepared(open_saved_plan(store.plan_path(name)), store, name, document)


def plan_aside(
    plan: Path,
    store: Store,
    scratch: Path,
    *,
    devices: Sequence[str],
    seed: int | None,
    devices_from: DeviceSource,
) -> tuple[SavedPlan, PlanDocument | None]:
    """Return the plan of a plan file, compiled into the folder `scratch`, or a saved plan as it is.

    The store keeps nothing of it. Listings that it has kept are used. The document is None for a saved plan.
    """
    if plan.name == PLAN_NAME:
        return open_saved_plan(plan), None
    document = load_document(plan, devices, seed)
    return compile_into(scratch, document, store, devices=devices, devices_from=devices_from), document


def load_document(plan: Path, devices: Sequence[str], seed: int | None = None) -> PlanDocument:
    """Return the plan file's content, with another seed if one is given. Raises PlanError."""
    from rollout.intake.plan_file import load_plan_file  # noqa: PLC0415 - a saved plan needs no models

    document = load_plan_file(plan, plan_format(), fleet_given=bool(devices))
    return document if seed is None else replace(document, seed=seed)


def compile_into(
    scratch: Path,
    document: PlanDocument,
    store: Store,
    *,
    devices: Sequence[str],
    devices_from: DeviceSource,
) -> SavedPlan:
    """Compile the document into the folder `scratch`, with the listings that the store has kept, or new ones."""
    listings = _listings(scratch, document, store, devices=devices, devices_from=devices_from)
    return compile_plan(document, scratch, devices=devices or None, listings=listings)


# --- devices from EnOS ----------------------------------------------------------------------------------------


def _listings(
    scratch: Path,
    document: PlanDocument,
    store: Store,
    *,
    devices: Sequence[str],
    devices_from: DeviceSource,
) -> list[DeviceListing]:
    """Return one listing for each search whose devices the plan takes or leaves out."""
    names = document.devices.exclude if devices else (*document.devices.files, *document.devices.exclude)
    searches = {name: wanted for name, wanted in document.devices.searches.items() if name in names}
    kept = [] if devices_from.refresh or not searches else _kept(store, document.campaign.id)
    listings = []
    for source, wanted in searches.items():
        listing = _matching(kept, source, document, devices_from.profile)
        if listing is None:
            if devices_from.profile is None or not devices_from.can_list:
                raise _nobody_to_ask(document, source, rehearsal=devices_from.profile is not None)
            check_org(devices_from.profile, document.campaign.org_id)
            listing = asyncio.run(_ask(scratch, document, source, wanted, devices_from))
        listings.append(listing)
    return listings


def _kept(store: Store, name: str) -> Sequence[DeviceListing]:
    """Return the listings of the plan that the store has; none where it has no plan that can be read."""
    try:
        saved = open_saved_plan(store.plan_path(name))
    except (NoCampaign, PlanError):
        # A damaged plan is reported by the function that uses it, not here.
        return ()
    return saved.report.listings


def _matching(
    kept: Sequence[DeviceListing], source: str, document: PlanDocument, profile: Profile | None
) -> DeviceListing | None:
    """Return the listing kept of this search, at this platform where one is named. Raises PlanError if it is damaged."""
    url = "" if profile is None or profile.in_process else profile.url
    listing = next((each for each in kept if each.source == source and url in ("", each.url)), None)
    if listing is not None:
        try:
            listing.check()
        except DamagedListing as damage:
            raise _at_source(document, source, "R172", str(damage), "ask EnOS again: --refresh") from damage
    return listing


async def _ask(
    scratch: Path,
    document: PlanDocument,
    source: str,
    wanted: DeviceFilter,
    devices_from: DeviceSource,
) -> DeviceListing:
    """Ask for the devices and write them down as they come. Raises ServiceError if not all of them could be had."""
    from rollout.app.devices import list_devices  # noqa: PLC0415 - loads the whole engine, for those who ask

    profile = devices_from.profile
    assert profile is not None, "somebody is asked"
    columns = {*spread_columns(document.campaign.waves), *document.devices.where}
    asked_at = time.time()
    devices_from.note(f"{source}: asking {'the emulator' if profile.in_process else profile.url}")
    rng = random.Random()  # noqa: S311 - spreads retries, protects nothing
    with ListingWriter(scratch / LISTING_GLOB.replace("*", uuid.uuid4().hex[:12]), columns) as writer:
        async for key, fields in list_devices(profile, document.campaign, wanted, rng, devices_from.made_up):
            writer.add(key, fields)
            if not writer.found % NOTED_EVERY:
                devices_from.note(f"{source}: {writer.found:,} devices so far")
        listing = writer.finish(source, profile.url, asked_at)
    devices_from.note(f"{source}: {listing.found:,} devices")
    return listing


def _nobody_to_ask(document: PlanDocument, source: str, *, rehearsal: bool) -> PlanError:
    why = (
        "the emulator inside this process has no devices of its own" if rehearsal else "no platform is named"
    )
    made_up = "`run --emulator --fleet FILE` makes some up; " if rehearsal else ""
    hint = (
        f"{made_up}plan once with --profile NAME, --url or ENOS_URL, which keeps the list; "
        "or give one: --devices FILE"
    )
    return _at_source(document, source, "R171", f"EnOS must be asked for these devices, and {why}", hint)


def _at_source(document: PlanDocument, source: str, code: str, message: str, hint: str) -> PlanError:
    """Return the refusal of a plan because of one of its sources, at its place in the file."""
    lists = (("from", document.devices.files), ("exclude", document.devices.exclude))
    key, names = next((key, names) for key, names in lists if source in names)
    place = document.places.of(("devices", key, names.index(source)))
    line, column = (place.line, place.column) if place is not None else (0, 0)
    return PlanError(Complaint(str(document.path), line, column, code, f"{source}: {message}", hint))
