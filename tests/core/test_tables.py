"""The transition tables and the agenda: the small certainties the rest stands on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.core import events as ev
from rollout.core.agenda import Agenda
from rollout.core.lifecycle import BATCH, CAMPAIGN, WAVE, BatchStatus, CampaignStatus, WaveStatus, step
from rollout.core.orders import Abort, Approve, Pause, Resume, verb_of


@pytest.mark.parametrize(
    ("table", "states"), [(BATCH, BatchStatus), (CAMPAIGN, CampaignStatus), (WAVE, WaveStatus)]
)
def test_every_state_has_a_row_of_known_events(table, states):
    """No state is forgotten, no row names an event that does not exist."""
    assert set(table) == set(states)
    assert {kind for row in table.values() for kind in row} <= set(ev.EVENTS)


def test_a_sent_batch_is_planned_again_only_by_a_definite_answer():
    """From SENT and UNKNOWN to PLANNED lead four facts; each means: no job was made."""
    back = {
        kind
        for s in (BatchStatus.SENT, BatchStatus.UNKNOWN)
        for kind, to in BATCH[s].items()
        if to == "planned"
    }
    assert back == {"batch.create_unsent", "batch.create_throttled", "batch.resend_allowed"}


def test_a_batch_with_a_job_never_gets_another():
    """Created and duplicated lead nowhere from which a create could leave."""
    assert set(BATCH[BatchStatus.CREATED].values()) == {BatchStatus.DUPLICATED}
    assert set(BATCH[BatchStatus.DUPLICATED].values()) == {BatchStatus.DUPLICATED}


def test_an_impossible_fact_is_a_programming_error():
    """A missing transition is refused, not ignored."""
    with pytest.raises(AssertionError, match=r"batch\.create_sent cannot happen in state created"):
        step(BATCH, BatchStatus.CREATED, ev.BatchCreateSent.kind)


@given(st.lists(st.tuples(st.integers(0, 20), st.one_of(st.none(), st.floats(0, 100)))), st.floats(0, 100))
def test_an_agenda_is_a_sorted_map(steps, now):
    """Whatever is set and dropped, what is due comes in time order and each item once."""
    agenda, model = Agenda(), {}
    for item, due in steps:
        if due is None:
            agenda.drop(item)
            model.pop(item, None)
        else:
            agenda.set(item, due)
            model[item] = due
    by_time = sorted(model, key=lambda item: (model[item], item))
    assert list(agenda) == by_time
    assert list(agenda.due(now)) == [item for item in by_time if model[item] <= now]
    assert agenda.next_after(now) == min((due for due in model.values() if due > now), default=None)
    assert len(agenda) == len(model)
    assert all(item in agenda for item in model)


def test_an_order_has_an_id_of_its_own_and_a_verb():
    """Two orders that say the same are two; programs and people call them by one word."""
    orders = [Pause("ana"), Resume("ana"), Approve("ana", "canary"), Abort("ana")]
    assert [verb_of(order) for order in orders] == ["pause", "resume", "approve", "abort"]
    assert len({order.id for order in [*orders, Pause("ana")]}) == 5
    assert all(len(order.id) == 32 for order in orders)
