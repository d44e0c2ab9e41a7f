"""Trials: drawn from a seed, told in a few lines, the same on any machine."""

import subprocess
import sys

import pytest

from rollout.proof.explore import run_seed
from rollout.proof.trials import TROUBLES, Crash, draw_crash, draw_trial
from rollout.simulation.world import World

TRACES = """
from rollout.proof.explore import run_seed
for seed in range(100, 106):
    result = run_seed((seed, None))
    print(result.trace, result.ending, sorted(result.reached.items()), result.virtual_s)
"""


@pytest.mark.parametrize("trouble", [None, *TROUBLES])
def test_a_trial_is_told_whole_and_drawn_alike(trouble):
    """Two draws of one seed are told by the same lines; another seed by others."""
    assert str(draw_trial(5, trouble)) == str(draw_trial(5, trouble))
    assert str(draw_trial(5, trouble)) != str(draw_trial(6, trouble))


def test_the_same_seed_is_the_same_run_in_another_process():
    """Journals, sends and jobs are equal to the last byte, whatever order the interpreter gives its sets."""

    def traces(hash_seed):
        given = {"PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", TRACES], env=given, capture_output=True, text=True, check=True
        )
        return done.stdout

    first = traces("1")
    assert len(set(first.splitlines())) == 6
    assert first == traces("2")


@pytest.mark.parametrize("error_s", [-3600.0, 3600.0])
def test_a_wrong_wall_clock_changes_no_send(error_s):
    """Within one life no decision goes by the wall: creates leave at the same moments, an hour early or late."""

    def sends(wall_error_s):
        with World(draw_crash(Crash("answer lost", 2.0)).scenario) as world:
            world.boot(wall_error_s=wall_error_s)
            world.run(600.0)
            return [(sent.name, round(sent.at, 3)) for sent in world.network.sent]

    assert len(sends(0.0)) > 2
    assert sends(error_s) == sends(0.0)


def test_the_same_seed_is_the_same_run_again():
    """A run leaves nothing behind that changes the next one."""
    assert run_seed((11, None)) == run_seed((11, None))
