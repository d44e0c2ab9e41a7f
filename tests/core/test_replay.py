"""What a journal means does not depend on the constants of the program that reads it.

A campaign of the simulation is carried out; its journal is folded once as it is and once under other constants, and gives
the same state.
"""

import pytest
from support.states import as_values

from rollout.core import counting, decide, polling, retry
from rollout.core.fold import fold
from rollout.core.state import State
from rollout.journal.codec import decode
from rollout.proof.acts import apply_act, conclude
from rollout.proof.trials import TROUBLES, draw_trial
from rollout.simulation.world import World

OTHER = {
    polling: {
        "ROUND_S": 3.0,
        "GROUP_MAX": 2,
        "PERIOD_MIN_S": 77.0,
        "PERIOD_MAX_S": 78.0,
        "SIGHT_S": 79.0,
        "LATE": 0.9,
        "FIRST": 0.9,
        "GROWTH": 7.0,
    },
    counting: {"ENROL_S": 1e6},
    retry: {"THROTTLES_MAX": 1, "CANCEL_PASSES_MAX": 99, "NAMED_MAX": 0},
    decide: {"AUDITS_MAX": 99, "BLIND_MAX_S": 1.0, "DAY_S": 1.0, "NAMED_MAX": 0},
}
SEED = 7_000_001


def journal_of(seed, trouble):
    """Carry one campaign of the proof out; return its plan and the rows of its journal."""
    trial = draw_trial(seed, trouble)
    with World(trial.scenario) as world:
        for act in trial.acts:
            apply_act(world, act)
        conclude(world)
        rows = [row for commit in world.disk.commits for row in commit]
    return trial.scenario.plan, rows


def folded(plan, rows):
    state = State.initial(plan)
    for kind, body in rows:
        fold(state, decode(kind, body))
    return as_values(state)


@pytest.mark.parametrize("number", range(24))
def test_a_journal_means_the_same_under_other_constants(number, monkeypatch):
    """Whatever the program that reads it would decide, what was decided stands in the journal."""
    troubles = [None, *TROUBLES]
    plan, rows = journal_of(SEED + number, troubles[number % len(troubles)])
    expected = folded(plan, rows)
    for module, constants in OTHER.items():
        for name, value in constants.items():
            monkeypatch.setattr(module, name, value)
    assert folded(plan, rows) == expected
