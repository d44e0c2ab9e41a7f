"""Every code has its words: nothing that people read falls back on the name of a member."""

import pytest

from rollout.core.lifecycle import BatchStatus, CampaignStatus
from rollout.core.reasons import HaltReason, HoldReason
from rollout.views.steps import PURPOSES, Purpose, purpose_text
from rollout.views.words import BATCHES, STATUSES, halt_text, hold_text, wait_text


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
