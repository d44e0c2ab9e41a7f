"""The phases of a wave's audits: a table that is whole, and facts that move along it."""

from dataclasses import replace

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
    assert audit.missed((), 30.0) == replace(audit, missing=(), misses=0)
    known = audit.resumed(suspect_until=None, gone=True)
    assert known.missed((3, 4), 30.0).misses == 0
    unknown = audit.resumed(suspect_until=None, gone=False)
    assert unknown.missed((3,), 30.0).misses == 1


def test_an_audit_that_saw_jobs_frees_the_names_only_for_a_person_who_knows():
    """None seen: free. Some that were shown before: free, and what bears our names is adopted first. Never while suspect."""
    fresh = WaveAudit()
    assert fresh.before_first_create(seen=1, foreign=0, at=9.0).phase is AuditPhase.UNCLEARED
    assert fresh.before_first_create(seen=0, foreign=0, at=9.0) == WaveAudit(AuditPhase.CLEARED)
    known = WaveAudit(foreign_known=frozenset({"theirs"})).listed(("theirs",), 8.0)
    cleared = known.before_first_create(seen=1, foreign=1, at=9.0)
    assert (cleared.phase, cleared.suspect_until) == (AuditPhase.CLEARED, 9.0)
    suspect = WaveAudit().doubted(70.0)
    assert suspect == WaveAudit(suspect_until=70.0)
    assert suspect.before_first_create(seen=0, foreign=0, at=9.0) == suspect
    assert known.doubted(70.0).before_first_create(seen=1, foreign=1, at=9.0).suspect_until == 70.0


def test_an_audit_clears_the_wait_of_the_one_before():
    """It was held back by a failure; it was made; the next is not held back. Doubt ends with one that began late enough."""
    audit = WaveAudit(suspect_until=70.0, retry_at=60.0).listed((), 69.9)
    assert audit == WaveAudit(suspect_until=70.0)
    assert audit.listed((), 70.0) == WaveAudit()


def test_what_a_person_knows_adds_up():
    """The second resume forgets nothing of the first; missing jobs count as known only where they were the reason."""
    audit = WaveAudit(AuditPhase.UNVERIFIED, suspect_until=5.0, misses=2, missing=(1,), foreign=("a",))
    once = audit.resumed(suspect_until=None, gone=True)
    assert once == WaveAudit(
        AuditPhase.UNVERIFIED, 5.0, missing_known=frozenset({1}), foreign_known=frozenset({"a"})
    )
    again = once.missed((2,), 9.0).listed(("b",), 0.0).resumed(suspect_until=None, gone=False)
    assert (again.missing_known, again.foreign_known) == (frozenset({1}), frozenset({"a", "b"}))
    more = once.missed((1, 2), 9.0).resumed(suspect_until=None, gone=True)
    assert more.missing_known == frozenset({1, 2})
    assert once.missed((1, 2), 9.0).missing == (2,)
