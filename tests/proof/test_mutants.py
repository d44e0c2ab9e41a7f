"""The proof is tested too: an engine with one rule taken out is caught within a bounded number of seeds."""

import pytest
from mutants import MUTANTS

from rollout.proof.explore import run_trial

SEEDS_MAX = 400
"""How many trials a mutant may survive."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_a_mutant_is_caught(mutant):
    """Some rule is broken within `SEEDS_MAX` seeds, by the one the mutant lacks or by what follows from that."""
    with mutant.patch():
        for seed in range(SEEDS_MAX):
            result = run_trial(mutant.trial(seed))
            if result.violations:
                print(f"{mutant.name}: caught after {seed + 1} seeds: {result.violations[0]}")
                return
    pytest.fail(f"survived {SEEDS_MAX} trials")
