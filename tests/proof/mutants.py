"""Engines with one rule taken out each, and a naive client: the checkers must catch them all.

A mutant is a name and a patch of the real program; nothing here is a copy of it. `CAUGHT_BY` names, for each, the
troubles in whose trials its rule matters.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from random import Random
from unittest.mock import patch

import rollout.core.decide
import rollout.core.fold
import rollout.engine.performer
import rollout.engine.runner
import rollout.enos.service
import rollout.simulation.world
from rollout.core import events as ev
from rollout.core.campaign import CallLimit
from rollout.core.names import batch_name
from rollout.core.outcome import Accepted, Unknown, Unsent
from rollout.core.plan import plan_fleet
from rollout.core.reasons import HaltReason
from rollout.core.state import State
from rollout.engine.pacing import Pacer
from rollout.engine.performer import Performer
from rollout.engine.runner import Leave, Runner
from rollout.enos.service import EnosService
from rollout.ports import CreateCall
from rollout.proof.acts import Live, Quit
from rollout.proof.trials import Crash, Trial, draw_crash, draw_trial

Patch = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A rule taken out: how, and in trials of which trouble that shows, or in which trials of its own."""

    name: str
    patch: Patch
    trouble: str | None = None
    trials: Callable[[int], Trial] | None = None

    def trial(self, seed: int) -> Trial:
        """Return the seed's trial."""
        return draw_trial(seed, self.trouble) if self.trials is None else self.trials(seed)


def restarted_while_sending(seed: int) -> Trial:
    """Return a campaign of one create every two seconds whose process leaves and comes back at once, again and again."""
    trial, dice = draw_crash(Crash("none", 0.0, seed)), Random(seed)
    scenario = trial.scenario
    whole = scenario.plan.campaign
    slow = replace(whole.limits, create=CallLimit(0.5, in_flight=2))
    plan, manifest = plan_fleet(
        replace(whole, waves=whole.waves[1:], per_job=1, limits=slow), 1, dict(scenario.devices)
    )
    acts = [act for _ in range(12) for act in (Live(dice.uniform(0.5, 2.5)), Quit())]
    return replace(trial, scenario=replace(scenario, plan=plan, manifest=manifest), acts=tuple(acts))


class NaiveRunner:
    """What one writes first: create every batch, repeat whatever did not answer with success, remember nothing."""

    def __init__(self, *, plan, manifest, service, pacers, **_):
        self.state = State.initial(plan)
        self._plan, self._manifest, self._service, self._pacers = plan, manifest, service, pacers

    def look(self):
        """Take no orders."""

    async def run(self):
        await self._pacers.start()
        campaign = self._plan.campaign
        for batch in self._plan.batches:
            wave = campaign.waves[batch.wave]
            keys = self._manifest.json_slice(batch.start, batch.stop)
            name = batch_name(campaign.id, batch)
            order = CreateCall(campaign.firmware_id, name, campaign.name, wave.job, keys)
            while not isinstance(await self._service.create(order, _wave_through), Accepted):  # noqa: ASYNC110
                await asyncio.sleep(1.0)
        return Leave.FINISHED


async def _wave_through():
    """Let every request go."""


def _naive():
    return patch.object(rollout.simulation.world, "Runner", NaiveRunner)


def _no_intent():
    """The intent is believed and never written."""
    record = Runner.record

    async def forgetful(self, events):
        for event in events:
            if isinstance(event, ev.BatchCreateSent):
                self.note(event)
            else:
                await record(self, [event])

    return patch.object(Runner, "record", forgetful)


def _after_lookup(**changes):
    real = rollout.engine.performer.after_lookup
    return patch.object(
        rollout.engine.performer,
        "after_lookup",
        lambda lookup, doubt, policy, **given: real(lookup, replace(doubt, **changes), policy, **given),
    )


def _resend_at_once():
    return _after_lookup(latest_effect_s=0.0, search_lag_s=0.0)


def _wait_only_s():
    return _after_lookup(latest_effect_s=0.0)


@contextmanager
def _quarantine_from_the_start() -> Iterator[None]:
    """Absence counts from the moment the attempt began, however long it took to connect."""
    began: dict[tuple[int, int], float] = {}
    send, doubt = rollout.core.fold._send, rollout.core.fold._doubt

    def note(state, event):
        began[id(state), event.batch] = event.at
        send(state, event)

    def from_start(state, index, ended_at, look_at):
        doubt(state, index, began.get((id(state), index), ended_at), look_at)

    with (
        patch.object(rollout.core.fold, "_send", note),
        patch.object(rollout.core.fold, "_doubt", from_start),
    ):
        yield


def _5xx_as_failure():
    real = rollout.enos.service.outcome_of_answer

    def hasty(answer):
        outcome = real(answer)
        failed = isinstance(outcome, Unknown) and (
            (outcome.http_status or 0) >= 500 or outcome.code is not None
        )
        return Unsent(outcome.reason) if failed else outcome

    return patch.object(rollout.enos.service, "outcome_of_answer", hasty)


def _first_page_only():
    """A search for jobs is believed to be over when its first page is."""
    page = EnosService._page

    async def glance(self, action, *given, **named):
        reply = await page(self, action, *given, **named)
        if action == "search" and reply.pagination is not None:
            whole = reply.pagination.model_copy(update={"total_size": len(reply.data or ())})
            reply = reply.model_copy(update={"pagination": whole})
        return reply

    return patch.object(EnosService, "_page", glance)


def _full_bucket():
    """A new life begins with the whole burst to spend."""

    async def start(self):
        self._time = asyncio.get_running_loop().time

    return patch.object(Pacer, "start", start)


def _no_stop_check():
    """What was decided is sent, whatever happened since."""
    return patch.object(rollout.engine.performer, "may_create", lambda *_: True)


def _planned_before_unknown():
    """Creates in doubt hold no call slot."""
    real = rollout.core.decide._creates

    def greedy(state, now, under_way, decision):
        unknown, state.unknown = state.unknown, 0
        try:
            real(state, now, under_way, decision)
        finally:
            state.unknown = unknown

    return patch.object(rollout.core.decide, "_creates", greedy)


def _trusting_resume():
    """A journal without a clean mark is taken at its word."""
    real = rollout.simulation.world.EngineSettings
    return patch.object(
        rollout.simulation.world,
        "EngineSettings",
        lambda *given, **named: replace(real(*given, **named), paranoid=False),
    )


@contextmanager
def _plain_names() -> Iterator[None]:
    """Names that are parts of each other, and the first job found by a fuzzy search is ours."""

    def plain(campaign_id, batch):
        return f"{campaign_id}-b{batch.index + 1}"

    real = EnosService._walk_jobs

    async def fuzzy(self, *, firmware_id, spec, names):
        hits = await real(
            self,
            rollout.enos.service.JobFilter(
                (firmware_id,), type=spec.platform.get("type", "upgrade"), name_part=names
            ),
            fresh=True,
        )
        return rollout.enos.service.Listing(
            tuple(map(rollout.enos.service.found, hits.rows))[:1], hits.complete
        )

    with (
        _everywhere(batch_name, plain),
        patch.object(EnosService, "find_jobs", fuzzy),
        patch.object(Performer, "_audit", _blind_audit),
    ):
        yield


@contextmanager
def _everywhere(real, other) -> Iterator[None]:
    """Put `other` in the place of a function in every module of ours that has it."""
    with ExitStack() as patches:
        for module in [m for name, m in sys.modules.items() if name.startswith("rollout.")]:
            for name in [name for name, value in vars(module).items() if value is real]:
                patches.enter_context(patch.object(module, name, other))
        yield


async def _blind_audit(self, command):
    began_at = self._clock()
    await asyncio.sleep(0.1)
    await self._engine.record([ev.WaveAudited(self._clock(), command.wave, began_at, 0)])


def _no_audit():
    """Nobody looks at the platform before the next wave builds on the last."""
    return patch.object(Performer, "_audit", _blind_audit)


def _no_budget_for_open_calls():
    """A create in doubt exposes no device."""
    real = rollout.core.fold.fold

    def forgetful(state, event):
        before = state.exposure
        real(state, event)
        if isinstance(event, ev.BatchCreateSent):
            state.exposure = before

    return patch.object(rollout.engine.runner, "fold", forgetful)


def _park_silently():
    """A campaign is finished over batches nobody knows the fate of."""
    real = rollout.core.decide._facts

    def careless(state, now, under_way):
        facts, wake_at = real(state, now, under_way)
        return [ev.CampaignFinished(fact.at) if is_parked(fact) else fact for fact in facts], wake_at

    def is_parked(fact):
        return isinstance(fact, ev.CampaignHalted) and fact.reason is HaltReason.BATCHES_PARKED

    return patch.object(rollout.core.decide, "_facts", careless)


MUTANTS = (
    Mutant("naive client: no journal, every error repeated", _naive),
    Mutant("no intent before the send", _no_intent),
    Mutant("sent again at once", _resend_at_once, "effect late, within L"),
    Mutant("sent again after S only", _wait_only_s, "effect late, within L"),
    Mutant(
        "quarantine from the start of the attempt",
        _quarantine_from_the_start,
        "slow connections, effect at the end of L",
    ),
    Mutant("5xx counts as failure", _5xx_as_failure, "5xx after the effect"),
    Mutant("first page only", _first_page_only, "similar names on many pages"),
    Mutant("full bucket at restart", _full_bucket, trials=restarted_while_sending),
    Mutant("no check after the decision", _no_stop_check, "orders by people"),
    Mutant("planned before unknown at resume", _planned_before_unknown, "effect late, within L"),
    Mutant("journal trusted after a power cut", _trusting_resume, "power cut, commits lost"),
    Mutant("plain names, fuzzy adoption", _plain_names, "similar names on many pages"),
    Mutant("no audit", _no_audit, "call carried out twice"),
    Mutant("creates in doubt expose nothing", _no_budget_for_open_calls, "effect late, within L"),
    Mutant("parked batches pass silently", _park_silently, "request lost"),
)
