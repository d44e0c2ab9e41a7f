"""What a listing of a wave's jobs means, against what the journal says of them."""

import pytest
from support.plans import build

from rollout.core import events as ev
from rollout.core.audit import FOREIGN_MAX, compare
from rollout.core.fold import fold
from rollout.core.names import batch_name
from rollout.core.outcome import Found, Listing
from rollout.core.reasons import BatchReason
from rollout.core.state import State

PLAN, _ = build(("one", [5] * 4, None, None), ("two", [5], None, None))
NAMES = [batch_name("c1", batch) for batch in PLAN.batches]
NOW, BEGAN_AT = 100.0, 95.0


def job(job_id, name, made_ms=1):
    return Found(job_id, name, "fw1", "upgrade", "started", made_ms)


def state_after(*events):
    """The campaign with its first wave open, after these events as well. S is 5 s."""
    state = State.initial(PLAN)
    for event in (
        ev.CampaignStarted(1.0, "c1", "d", 25, 5, 2),
        ev.EngineStarted(2.0, "t", "0", 60.0, 5.0),
        ev.WaveAudited(3.0, 0, 2.5, 0),
        ev.WaveOpened(4.0, 0),
        *events,
    ):
        fold(state, event)
    return state


def listed(state, *jobs, wave=0, began_at=BEGAN_AT):
    return compare(state, wave, Listing(jobs, complete=True), began_at=began_at, now=NOW)


SENT = ev.BatchCreateSent(10.0, 0, 3, NAMES[0])
MADE = (SENT, ev.BatchJobCreated(11.0, 0, 3, "j0"))
TWICE = (*MADE, ev.BatchJobDuplicated(12.0, 0, "j0", ("k0",)))
PARKED = (SENT, ev.BatchOutcomeUnknown(11.0, 0, 3, "reset"), ev.BatchParked(90.0, 0, BatchReason.TOO_OFTEN))


@pytest.mark.parametrize(
    ("events", "jobs", "facts"),
    [
        # nobody heard of the job: it is ours by its name, whatever its batch was taken for
        ((), [job("j0", NAMES[0])], [ev.BatchJobCreated(NOW, 0, 0, "j0", adopted=True)]),
        (PARKED, [job("j0", NAMES[0])], [ev.BatchJobCreated(NOW, 0, 3, "j0", adopted=True)]),
        # what is in flight or looked up on its own is left alone, however many there are
        ((SENT,), [job("j0", NAMES[0])], []),
        (PARKED[:2], [job("j0", NAMES[0]), job("k0", NAMES[0])], []),
        (MADE, [job("j0", NAMES[0])], []),
        # two jobs: the older one has the devices, by its time, then by its id
        (
            (),
            [job("k0", NAMES[0], 9), job("j0", NAMES[0], 5)],
            [ev.BatchJobDuplicated(NOW, 0, "j0", ("k0",))],
        ),
        (
            MADE,
            [job("j0", NAMES[0], 5), job("k0", NAMES[0], 5)],
            [ev.BatchJobDuplicated(NOW, 0, "j0", ("k0",))],
        ),
        (
            PARKED,
            [job("k0", NAMES[0], 5), job("a0", NAMES[0], 1), job("j0", NAMES[0], None)],
            [ev.BatchJobDuplicated(NOW, 0, "j0", ("a0", "k0"))],
        ),
        # another job bears the name, and the known one is gone
        (MADE, [job("k0", NAMES[0])], [ev.BatchJobDuplicated(NOW, 0, "k0", ())]),
        # what is known to be there twice is told again only with a third
        (TWICE, [job("j0", NAMES[0]), job("k0", NAMES[0])], []),
        (
            TWICE,
            [job("j0", NAMES[0]), job("k0", NAMES[0]), job("l0", NAMES[0], 0)],
            [ev.BatchJobDuplicated(NOW, 0, "j0", ("l0",))],
        ),
    ],
)
def test_what_is_found_under_a_batchs_name(events, jobs, facts):
    """Adopted, found twice, or nothing new; the audit itself is told last."""
    assert listed(state_after(*events), *jobs) == [*facts, ev.WaveAudited(NOW, 0, BEGAN_AT, len(jobs))]


def test_several_batches_are_told_in_plan_order():
    """Whatever the order of the listing."""
    facts = listed(state_after(), job("j2", NAMES[2]), job("j0", NAMES[0]), job("j1", NAMES[1]))
    assert [fact.batch for fact in facts[:-1]] == [0, 1, 2]


@pytest.mark.parametrize(
    ("events", "began_at", "missing"),
    [
        (MADE, 16.0, (0,)),
        (MADE, 15.9, ()),  # made less than S before: it need not be found yet
        (TWICE, 16.0, (0,)),
        ((SENT,), 95.0, ()),
        (PARKED, 95.0, ()),
        # a new life cannot vouch for how long ago that was
        ((*MADE, ev.EngineStarted(50.0, "t", "0", 60.0, 5.0)), 54.9, ()),
        ((*MADE, ev.EngineStarted(50.0, "t", "0", 60.0, 5.0)), 55.0, (0,)),
    ],
)
def test_a_job_is_missed_once_it_must_be_found(events, began_at, missing):
    """Created, and made S before the listing began; listed again 2 S later."""
    retry_at = NOW + 10.0 if missing else None
    found = job("x", NAMES[3])
    expected = ev.WaveAudited(NOW, 0, began_at, 1, missing, (), retry_at)
    assert listed(state_after(*events), found, began_at=began_at)[-1] == expected


def test_a_job_that_is_there_does_not_hide_one_that_is_not():
    """Two jobs were made, the first is listed: the second alone is missing."""
    second = (ev.BatchCreateSent(10.0, 1, 1, NAMES[1]), ev.BatchJobCreated(11.0, 1, 1, "j1"))
    assert listed(state_after(*MADE, *second), job("j0", NAMES[0]))[-1].missing == (1,)


def test_names_that_are_not_ours_are_foreign():
    """Under our prefix, but of no batch of this wave: counted and named. Another campaign's are neither."""
    theirs = job("x", batch_name("c1-w01-b", PLAN.batches[0]))
    strange = [job("y", "c1-w01-b-something"), job("z", NAMES[4]), job("q", NAMES[0].replace("0000", "ffff"))]
    audited = listed(state_after(), theirs, *strange)
    assert audited == [ev.WaveAudited(NOW, 0, BEGAN_AT, 3, (), tuple(each.name for each in strange))]
    many = listed(state_after(), *(job(str(n), f"c1-w01-b-{n}") for n in range(FOREIGN_MAX + 5)))[-1]
    assert (many.seen, len(many.foreign)) == (FOREIGN_MAX + 5, FOREIGN_MAX)


def test_before_a_wave_begins_every_job_is_foreign():
    """Even one with our exact name: another journal may have made it. An abort takes it as ours, to brake it."""
    state = state_after(*MADE)
    ours = job("j4", NAMES[4])
    assert listed(state, ours, wave=1) == [ev.WaveAudited(NOW, 1, BEGAN_AT, 1, (), (NAMES[4],))]
    fold(state, ev.CampaignAbortRequested(50.0, "ana", stop_jobs=True))
    assert listed(state, ours, wave=1) == [
        ev.BatchJobCreated(NOW, 4, 0, "j4", adopted=True),
        ev.WaveAudited(NOW, 1, BEGAN_AT, 1),
    ]
    assert listed(state, job("j0", NAMES[0]), wave=1)[-1].foreign == (NAMES[0],), "another wave's"


def test_half_a_listing_is_no_audit():
    """What is not in it may exist all the same."""
    with pytest.raises(AssertionError, match=r"^an incomplete listing proves nothing$"):
        compare(state_after(), 0, Listing((), complete=False), began_at=BEGAN_AT, now=NOW)
