"""Every code has its words: nothing that people read falls back on the name of a member."""

import pytest

from rollout.core.lifecycle import BatchStatus, CampaignStatus
from rollout.views.words import BATCHES, STATUSES


@pytest.mark.parametrize(("table", "codes"), [(STATUSES, CampaignStatus), (BATCHES, BatchStatus)])
def test_a_table_has_a_row_for_every_code(table, codes):
    """A new member without words fails here, not in front of a user."""
    assert set(table) == set(codes)
    assert all(table.values())
