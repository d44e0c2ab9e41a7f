"""A gate's verdict for every way a wave can stand."""

from fractions import Fraction

import pytest
from support.plans import gate, success

from rollout.core.campaign import Denominator, Gate, StopRule
from rollout.core.gate import Halt, Hold, Open, WaveKnowledge, judge, stop_rule_met
from rollout.core.reasons import HaltReason, HoldReason
from rollout.core.tally import Tally
from rollout.text import percent
from rollout.views.words import gate_evidence


def verdict(its_gate, tally, **given):
    situation = {
        "passed": False,
        "created": True,
        "settled": False,
        "known": True,
        "seen_at": 10_000.0,
        "opened_at": 0.0,
        "satisfied_at": None,
        "approved": False,
        "now": 100.0,
    }
    situation |= given
    seen_at, now = situation.pop("seen_at"), situation.pop("now")
    return judge(WaveKnowledge(its_gate, tally, seen_at=lambda: seen_at, **situation), now)


def counts(planned, succeeded=0, failed=0, **more):
    return Tally(planned, planned, 0, succeeded, failed, failed) if not more else Tally(planned, **more)


ASKS = gate(soak_s=50.0, deadline_s=1000.0)


@pytest.mark.parametrize(
    ("its_gate", "tally", "given", "expected"),
    [
        (None, counts(10), {}, Open),
        (None, counts(10), {"created": False}, HoldReason.CREATING),
        (ASKS, counts(100, 50), {"created": False}, HoldReason.CREATING),
        (ASKS, counts(100, 50), {}, HoldReason.COVERAGE),
        (ASKS, counts(100, 0), {}, HoldReason.SAMPLE),
        (ASKS, counts(100, 95), {"satisfied_at": 90.0}, HoldReason.SOAK),
        (ASKS, counts(100, 95), {"satisfied_at": 50.0}, Open),
        # counted last before the soak ended, or before this life began: nothing opens on old numbers
        (ASKS, counts(100, 95), {"satisfied_at": 50.0, "seen_at": 99.9}, HoldReason.STALE),
        (ASKS, counts(100, 50), {"now": 1000.0, "seen_at": 999.0}, HoldReason.STALE),
        # EnOS picks the devices and has not made all tasks: neither satisfied nor out of reach
        (ASKS, counts(0), {"known": False}, HoldReason.SAMPLE),
        (gate(soak_s=50.0, approval=True), counts(100, 95), {"satisfied_at": 50.0}, HoldReason.APPROVAL),
        (gate(soak_s=50.0, approval=True), counts(100, 95), {"satisfied_at": 50.0, "approved": True}, Open),
        (ASKS, counts(100, 50), {"now": 1000.0}, HaltReason.DEADLINE),
        (ASKS, counts(100, 95), {"now": 1000.0, "satisfied_at": 990.0}, HoldReason.SOAK),
        (ASKS, counts(100, 80, 10), {}, HaltReason.STOP_RULE),
        (ASKS, counts(100, 80, 10), {"created": False}, HaltReason.STOP_RULE),
        (ASKS, counts(100, 4, 1), {}, HoldReason.COVERAGE),  # 20 % of five devices says nothing yet
        (ASKS, counts(100, 80, 3), {"settled": True}, HaltReason.OUT_OF_REACH),
        (Gate(success=success("1", Denominator.PLANNED)), counts(3, 1, 1), {}, HaltReason.OUT_OF_REACH),
        (Gate(success=success("1"), min_sample=50), counts(100, 49), {}, HoldReason.SAMPLE),
        # a wave that has passed is judged by its stop rule alone
        (ASKS, counts(100, 50, 1), {"passed": True, "now": 5000.0}, Open),
        (ASKS, counts(100, 80, 10), {"passed": True}, HaltReason.STOP_RULE),
        (Gate(success=success("1"), min_sample=500), counts(100, 100), {"satisfied_at": 1.0}, Open),
    ],
)
def test_each_situation_has_one_verdict(its_gate, tally, given, expected):
    """Open, hold with its reason, or halt with its reason."""
    said = verdict(its_gate, tally, **given)
    if isinstance(said, (Hold, Halt)):
        assert said.reason is expected
    else:
        assert expected is Open


def test_every_verdict_names_its_denominator():
    """A percentage without "of what" is never shown."""
    assert gate_evidence(ASKS, counts(480, 449, 2)) == (
        "resolved 451 of 480 planned (93.95%), at least 90%; succeeded 449 of 451 resolved (99.55%), at least 90%"
    )


def test_a_hold_says_when_time_alone_may_end_it():
    """The soak's end, or the deadline."""
    assert verdict(ASKS, counts(100, 95), satisfied_at=90.0).until == 140.0
    assert verdict(ASKS, counts(100, 10)).until == 1000.0


@pytest.mark.parametrize(
    ("rule", "tally", "stops"),
    [
        (StopRule(Fraction(1, 10), min_sample=10), counts(100, 8, 1), False),
        (StopRule(Fraction(1, 10), min_sample=10), counts(100, 9, 1), False),  # exactly at the limit
        (StopRule(Fraction(1, 10), min_sample=10), counts(100, 8, 2), True),
        (StopRule(Fraction(1, 10), Denominator.PLANNED, 1), counts(100, 0, 10), False),
        (StopRule(Fraction(1, 10), Denominator.PLANNED, 1), counts(100, 0, 11), True),
        (StopRule(3), counts(100, 0, 3), False),
        (StopRule(3), counts(100, 0, 4), True),
        # a failure the platform may still retry counts for stopping, not for opening
        (StopRule(3), Tally(100, 100, 0, 0, 4, 0), True),
    ],
)
def test_the_stop_rule_is_strict_and_waits_for_its_sample(rule, tally, stops):
    """More than the limit stops; the limit itself does not; too few devices say nothing."""
    assert stop_rule_met(rule, tally) is stops


@pytest.mark.parametrize(
    ("share", "told"),
    [("1", "100%"), ("0.99999", "99.99%"), ("0.995", "99.5%"), ("0.0005", "0.05%"), ("0", "0%")],
)
def test_shares_are_never_rounded_up(share, told):
    """99.999 % must not read as 100 %."""
    assert percent(Fraction(share)) == told


@pytest.mark.parametrize("share", [Fraction(0), Fraction(1, 20), Fraction(1, 3), Fraction(1)])
def test_shares_are_compared_as_exactly_as_fractions_are(share):
    """For every part of every small whole, and for nothing of nothing, which is no share at all."""
    for whole in range(13):
        for part in range(whole + 1):
            exact = Tally.share(part, whole)
            found = Tally.compare(part, whole, share)
            assert (found > 0, found == 0) == (exact > share, exact == share)
