"""Every code has its words: nothing that people read falls back on the name of a member."""

from fractions import Fraction

import pytest

from rollout.core.campaign import Denominator, Gate, StopRule, Threshold
from rollout.core.lifecycle import BatchStatus, CampaignStatus
from rollout.core.reasons import HaltReason, HoldReason
from rollout.views.steps import PURPOSES, Purpose, purpose_text
from rollout.views.words import BATCHES, STATUSES, gate_text, halt_text, hold_text, wait_text


@pytest.mark.parametrize(
    ("table", "codes"), [(STATUSES, CampaignStatus), (BATCHES, BatchStatus), (PURPOSES, Purpose)]
)
def test_a_table_has_a_row_for_every_code(table, codes):
    """A new member without words fails here, not in front of a user."""
    assert set(table) == set(codes)
    assert all(table.values())


@pytest.mark.parametrize(
    ("words", "codes"), [(hold_text, HoldReason), (wait_text, HoldReason), (halt_text, HaltReason)]
)
def test_every_reason_has_its_sentence(words, codes):
    """A new reason without a sentence fails here, not in front of a user."""
    assert all(words(code) for code in codes)


def test_a_purpose_names_the_code_it_explains():
    """The first argument of the command stands in the words; other words have no place for one."""
    assert purpose_text(Purpose.MEANING, ("24610",)) == "What 24610 means"
    assert purpose_text(Purpose.OPEN_NEXT, ("--wave", "canary")) == "Let the next wave open with"


@pytest.mark.parametrize(
    ("gate", "text"),
    [
        (None, "none"),
        (Gate(), "all jobs created"),
        (
            Gate(
                success=Threshold(Fraction(99, 100), Denominator.RESOLVED),
                resolved=Threshold(Fraction(9, 10), Denominator.PLANNED),
                stop=StopRule(Fraction(1, 20), Denominator.RESOLVED, 50),
                soak_s=7200.0,
                deadline_s=86_400.0,
                approval=True,
            ),
            "90% of planned resolved, 99% of resolved ok, stop above 5% of resolved failed, soak 2h, within 1d, then approval",
        ),
        (Gate(stop=StopRule(1_000)), "stop above 1,000 failed"),
    ],
    ids=["none", "empty", "all", "number"],
)
def test_a_gate_is_told_in_one_sentence(gate, text):
    """Every criterion of a gate is in the sentence that the preview shows."""
    assert gate_text(gate) == text
