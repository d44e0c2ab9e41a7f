"""Sentences are for people: reworded, all of them, they change no decision, no state and no exit code."""

import json

import pytest
from compat.test_old_journals import SETS, campaigns, plan_of

from rollout.core.fold import fold
from rollout.core.lifecycle import CampaignStatus
from rollout.core.reasons import BatchReason, HaltReason, HoldReason, LookupReason, StopReason
from rollout.core.state import State
from rollout.journal.codec import decode
from rollout.proof.acts import apply_act, conclude
from rollout.proof.trials import TROUBLES, draw_trial
from rollout.simulation.world import World
from rollout.views import words

SEED = 7_100_001


@pytest.fixture
def reword(monkeypatch):
    """Return a function after which every sentence says the same and nothing."""

    def now():
        for key in words.SENTENCES:
            monkeypatch.setitem(words.SENTENCES, key, "lorem ipsum")

    return now


def carried_out(seed, trouble):
    """Carry one campaign of the proof out; return how it ended, with every event as the journal keeps it."""
    trial = draw_trial(seed, trouble)
    with World(trial.scenario) as world:
        for act in trial.acts:
            apply_act(world, act)
        ending = conclude(world)
        state = world.state
        rows = [row for commit in world.disk.commits for row in commit]
    return ending, state.status, state.reason, rows


@pytest.mark.parametrize("number", range(12))
def test_no_decision_hangs_on_a_sentence(number, reword):
    """The same campaigns, with every sentence reworded, go the same way, event for event."""
    trouble = list(TROUBLES)[number % len(TROUBLES)]
    before = carried_out(SEED + number, trouble)
    reword()
    assert carried_out(SEED + number, trouble) == before


@pytest.mark.parametrize("path", SETS, ids=[path.parent.name for path in SETS])
def test_no_old_journal_hangs_on_a_sentence(path, reword):
    """Journals that hold sentences of their time are read by a table of that time, not by today's words."""
    reword()
    for record in campaigns(path):
        state = State.initial(plan_of(record["plan"]))
        for number, (kind, body) in enumerate(record["events"], start=1):
            fold(state, decode(kind, body))
            expected = record["states"].get(str(number))
            assert expected is None or state.status == CampaignStatus(expected["status"])


def test_every_code_has_its_words():
    """No code is without a sentence, and no sentence without a use."""
    keys = {f"hold.{code}" for code in HoldReason} | {f"wait.{code}" for code in HoldReason}
    keys |= {f"halt.{code}" for code in HaltReason}
    keys |= {f"stop.{code}" for code in StopReason if code is not StopReason.GAVE_UP}
    keys |= {f"lookup.{code}" for code in LookupReason if code is not LookupReason.FAILED}
    told = {BatchReason.UNSENT, BatchReason.REFUSED, BatchReason.UNKNOWN}
    keys |= {f"batch.{code}" for code in BatchReason if code not in told}
    kinds = ("hold", "wait", "halt", "stop", "lookup", "batch")
    assert {key for key in words.SENTENCES if key.split(".")[0] in kinds} == keys
    assert json.dumps(words.SENTENCES)
