"""The phases of a wave's audits: a table that is whole, and facts that move along it."""

import pytest

from rollout.core.audit_phase import AUDIT, AuditFact, AuditPhase, WaveAudit


def test_every_phase_has_a_row_and_every_fact_a_use():
    """No phase is left out, nothing leads to a phase without a row, and each fact moves some phase."""
    assert set(AUDIT) == set(AuditPhase)
    assert {after for row in AUDIT.values() for after in row.values()} <= set(AuditPhase)
    assert {fact for row in AUDIT.values() for fact in row} == set(AuditFact)


def test_a_fact_out_of_place_is_refused():
    """A wave that was never opened cannot be verified."""
    with pytest.raises(AssertionError, match="cannot happen"):
        WaveAudit().after(AuditFact.COMPLETE)


def test_a_wave_goes_through_its_three_audits():
    """Names free, every job seen, every job seen once more at the end."""
    audit = WaveAudit().before_first_create(seen=0, foreign=0, at=1.0)
    assert audit.phase is AuditPhase.CLEARED
    for fact, phase in (
        (AuditFact.OPENED, AuditPhase.UNVERIFIED),
        (AuditFact.COMPLETE, AuditPhase.VERIFIED),
        (AuditFact.HELD, AuditPhase.UNVERIFIED),
        (AuditFact.COMPLETE, AuditPhase.VERIFIED),
        (AuditFact.PASSED, AuditPhase.UNCLOSED),
        (AuditFact.COMPLETE, AuditPhase.CLOSED),
        (AuditFact.REOPENED, AuditPhase.UNCLOSED),
    ):
        audit = audit.after(fact)
        assert audit.phase is phase


def test_names_that_are_taken_keep_the_wave_closed_until_a_person_knows():
    """Foreign names hold the wave; admitted by a person they count no more, and creates wait for one late audit."""
    audit = WaveAudit().listed(("theirs",), 1.0).before_first_create(seen=1, foreign=1, at=1.0)
    assert (audit.phase, audit.foreign) == (AuditPhase.UNCLEARED, ("theirs",))
    audit = audit.resumed(suspect_until=66.0, gone=False)
    assert (audit.phase, audit.foreign, audit.suspect_until) == (AuditPhase.CLEARED, (), 66.0)
    assert audit.listed(("theirs",), 65.0).suspect_until == 66.0
    assert audit.listed(("theirs", "new"), 66.0).foreign == ("new",)
    assert audit.listed(("theirs",), 66.0).suspect_until is None


def test_jobs_that_are_gone_are_missed_until_a_person_knows():
    """Each audit that misses a job counts and waits; what a person knows is gone is missed no more."""
    audit = WaveAudit().missed((3,), 10.0).missed((3, 4), 20.0)
    assert (audit.misses, audit.missing, audit.retry_at) == (2, (3, 4), 20.0)
    assert audit.missed((), 30.0).misses == 0
    known = audit.resumed(suspect_until=None, gone=True)
    assert known.missed((3, 4), 30.0).misses == 0
    unknown = audit.resumed(suspect_until=None, gone=False)
    assert unknown.missed((3,), 30.0).misses == 1
