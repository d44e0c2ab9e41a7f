"""What a campaign would do, for the person who decides whether to run it."""

from __future__ import annotations

import time

from rollout.app.campaigns import CampaignReader
from rollout.app.planning import Prepared
from rollout.core.campaign import Gate
from rollout.core.lifecycle import WaveStatus
from rollout.core.state import State, WaveState
from rollout.intake.saved_plan import PlanningReport
from rollout.settings import EMULATOR_URL, Profile
from rollout.views.preview import FleetView, Preview, SearchView


def preview_of(prepared: Prepared, profile: Profile | None, speed: float = 1.0) -> Preview:
    """Return what a run of the campaign would do from where it stands now.

    Args:
        profile: where it would run; None if that is not known, and L and S then have their defaults.
        speed: times faster than real time.
    Raises: JournalError, CampaignBusy.
    """
    state = CampaignReader(prepared.store, prepared.name).look().state
    to_come = [
        (wave, gate)
        for wave in state.waves
        if wave.status in {WaveStatus.WAITING, WaveStatus.OPEN} and (gate := state.gate_of(wave.index))
    ]
    bounds = profile or Profile(name="", url="")
    target = "" if profile is None else f"{'the emulator' if profile.in_process else profile.url} · "
    return Preview(
        plan=prepared.saved.plan,
        fleet=_fleet(prepared.saved.report),
        warnings=prepared.saved.report.warnings,
        path=str(prepared.path),
        target=target,
        created=state.jobs,
        latest_effect_s=bounds.latest_effect_s,
        search_lag_s=bounds.search_lag_s,
        now=time.time(),
        soak_s=sum(_soak_left(state, wave, gate) for wave, gate in to_come),
        approvals=sum(gate.approval and not wave.approved for wave, gate in to_come),
        closed=state.status.value if state.closed else "",
        speed=speed,
    )


def _fleet(report: PlanningReport) -> FleetView:
    """Return the planning report as a preview shows it."""
    searches = [
        SearchView(
            listing.source,
            "the emulator" if listing.url == EMULATOR_URL else listing.url,
            listing.url,
            listing.found,
            listing.asked_at,
        )
        for listing in report.listings
    ]
    return FleetView(report.rows, report.duplicates, report.excluded, report.filtered, searches)


def _soak_left(state: State, wave: WaveState, gate: Gate) -> float:
    """Return how long the gate still soaks at least, seconds on the campaign's clock."""
    if wave.satisfied_at is None:
        return gate.soak_s
    return max(0.0, wave.satisfied_at + gate.soak_s - state.last_at)
