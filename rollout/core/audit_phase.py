"""Where the audits of a wave stand: a state machine of phases, and what the audits found.

An audit lists all jobs of a wave. Three times in a wave's life one is needed before it may go on, so its phases come
in pairs, one of which is done:

* before the first create: are the names of the wave free (`UNCLEARED`, `CLEARED`);
* before the gate opens: has every batch exactly one job (`UNVERIFIED`, `VERIFIED`);
* before the wave is finished: the same once more (`UNCLOSED`, `CLOSED`).

Besides, a wave may be *suspect*: jobs may exist that the journal does not know. No create leaves until an audit that
began late enough has found them. When an audit is due is decided in `core.decide`; only `core.fold` changes what is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from rollout.core.lifecycle import step


class AuditPhase(StrEnum):
    """Which audit a wave needs next, or has had last."""

    UNCLEARED = "uncleared"
    CLEARED = "cleared"
    UNVERIFIED = "unverified"
    VERIFIED = "verified"
    UNCLOSED = "unclosed"
    CLOSED = "closed"


class AuditFact(StrEnum):
    """What moves a wave from one phase to another."""

    NAMES_FREE = "names_free"
    """No job bears a name of the wave, but those a person knows of."""
    NAMES_TAKEN = "names_taken"
    """Jobs of somebody else, or of a lost journal, bear names of the wave."""
    ADMITTED = "admitted"
    """A person knows these jobs and lets the wave begin."""
    OPENED = "opened"
    """The wave was opened."""
    HELD = "held"
    """The gate is held again: what was verified before is no longer proof."""
    COMPLETE = "complete"
    """The job of every batch was seen."""
    PASSED = "passed"
    """The gate has opened."""
    REOPENED = "reopened"
    """A parked batch of a wave that has passed was taken up again."""
    DOUBTED = "doubted"
    """A new life of the engine does not trust its journal."""


_P, _F = AuditPhase, AuditFact

AUDIT: Mapping[AuditPhase, Mapping[str, AuditPhase]] = {
    _P.UNCLEARED: {
        _F.NAMES_FREE: _P.CLEARED,
        _F.NAMES_TAKEN: _P.UNCLEARED,
        _F.ADMITTED: _P.CLEARED,
        _F.DOUBTED: _P.UNCLEARED,
        _F.OPENED: _P.UNVERIFIED,
    },
    _P.CLEARED: {
        _F.NAMES_FREE: _P.CLEARED,
        _F.NAMES_TAKEN: _P.UNCLEARED,
        _F.ADMITTED: _P.CLEARED,
        _F.DOUBTED: _P.UNCLEARED,
        _F.OPENED: _P.UNVERIFIED,
    },
    _P.UNVERIFIED: {
        _F.COMPLETE: _P.VERIFIED,
        _F.HELD: _P.UNVERIFIED,
        _F.DOUBTED: _P.UNVERIFIED,
        _F.PASSED: _P.UNCLOSED,
    },
    _P.VERIFIED: {
        _F.COMPLETE: _P.VERIFIED,
        _F.HELD: _P.UNVERIFIED,
        _F.DOUBTED: _P.UNVERIFIED,
        _F.PASSED: _P.UNCLOSED,
    },
    _P.UNCLOSED: {_F.COMPLETE: _P.CLOSED, _F.REOPENED: _P.UNCLOSED},
    _P.CLOSED: {_F.COMPLETE: _P.CLOSED, _F.REOPENED: _P.UNCLOSED},
}


@dataclass(frozen=True, slots=True)
class WaveAudit:
    """What the audits of one wave have found. Times are seconds on the engine's clock."""

    phase: AuditPhase = AuditPhase.UNCLEARED
    """Set by every fact of the table above; never cleared."""
    suspect_until: float | None = None
    """An audit must begin at this time or later before anything is created. Set by a life that does not trust its journal,
    by an order to abort and by a person who knows of foreign jobs; cleared by such an audit."""
    misses: int = 0
    """Audits in a row that missed a created job. Cleared by an audit that misses none, and by a resume."""
    missing: tuple[int, ...] = ()
    """Batches whose jobs the last audit missed, without those known. Set by every audit; cleared by a resume."""
    missing_known: frozenset[int] = frozenset()
    """Batches whose jobs are gone, as a person knows. Grows when a halt for missing jobs is resumed."""
    foreign: tuple[str, ...] = ()
    """Names of ours on jobs that are not, without those known. Set by every audit; cleared by a resume."""
    foreign_known: frozenset[str] = frozenset()
    """The same names, once a person knows of them. Grows with every resume."""
    retry_at: float = 0.0
    """No audit begins before. Set by an audit that failed or missed jobs; cleared (0) by the next, and by a new life."""

    def after(self, fact: AuditFact) -> WaveAudit:
        """Return the audits after `fact`. Raises AssertionError for a fact that the table lacks in this phase."""
        return replace(self, phase=step(AUDIT, self.phase, fact))

    def doubted(self, until: float) -> WaveAudit:
        """Return the audits in a life that does not trust its journal: jobs it does not know may appear `until` then."""
        return replace(self.after(AuditFact.DOUBTED), suspect_until=until)

    def listed(self, foreign: tuple[str, ...], began_at: float) -> WaveAudit:
        """Return the audits after one that began at `began_at` and found `foreign` names; phases are not touched."""
        trusted = self.suspect_until is not None and began_at >= self.suspect_until
        return replace(
            self,
            retry_at=0.0,
            foreign=tuple(name for name in foreign if name not in self.foreign_known),
            suspect_until=None if trusted else self.suspect_until,
        )

    def before_first_create(self, *, seen: int, foreign: int, at: float) -> WaveAudit:
        """Return the audits of a wave that waits, after one that saw `seen` jobs, `foreign` of them not ours."""
        known = bool(foreign) and not self.foreign
        free = (seen == 0 or known) and self.suspect_until is None
        after = self.after(AuditFact.NAMES_FREE if free else AuditFact.NAMES_TAKEN)
        # a person has vouched for them in an earlier life; what bears our exact names is adopted at once
        return replace(after, suspect_until=at) if known and free else after

    def missed(self, batches: tuple[int, ...], retry_at: float) -> WaveAudit:
        """Return the audits after one that missed jobs of `batches`; those a person knows of do not count."""
        missing = tuple(batch for batch in batches if batch not in self.missing_known)
        if not missing:
            return replace(self, missing=(), misses=0)
        return replace(self, missing=missing, misses=self.misses + 1, retry_at=retry_at)

    def resumed(self, *, suspect_until: float | None, gone: bool) -> WaveAudit:
        """Return the audits after a person has resumed the campaign and so knows of what they found.

        Args:
            suspect_until: for a wave that waits and has foreign jobs; None for any other.
            gone: the campaign was halted because jobs of this wave are missing: they are not created again.
        """
        admitted = self if suspect_until is None else self.after(AuditFact.ADMITTED)
        return replace(
            admitted,
            suspect_until=self.suspect_until if suspect_until is None else suspect_until,
            foreign_known=self.foreign_known | set(self.foreign),
            missing_known=self.missing_known | set(self.missing) if gone else self.missing_known,
            foreign=(),
            missing=(),
            misses=0,
        )
