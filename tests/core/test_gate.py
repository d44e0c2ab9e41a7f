"""A gate's verdict for every way a wave can stand."""

from fractions import Fraction

import pytest
from support.plans import gate, success

from rollout.core.campaign import Denominator, Gate, StopRule
from rollout.core.gate import (
    Halt,
    Hold,
    Open,
    WaveKnowledge,
    is_satisfied,
    judge,
    stop_rule_met,
    thresholds_hold,
)
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
NINETY_FIVE = counts(100, 95)


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
        (StopRule(Fraction(1, 2)), counts(5, 2, 3), True),  # more by the least there is
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


@pytest.mark.parametrize(
    ("its_gate", "tally", "given", "expected"),
    [
        (None, counts(10), {"created": False}, Hold(HoldReason.CREATING)),
        (None, counts(10), {"created": False, "passed": True}, Open()),
        (ASKS, counts(100, 50), {"created": False}, Hold(HoldReason.CREATING, 1000.0)),
        (ASKS, counts(100, 50), {"created": False, "opened_at": 30.0}, Hold(HoldReason.CREATING, 1030.0)),
        (gate(), counts(100, 50), {"created": False}, Hold(HoldReason.CREATING)),
        (ASKS, counts(100, 50), {}, Hold(HoldReason.COVERAGE, 1000.0)),
        (ASKS, counts(100, 0), {}, Hold(HoldReason.SAMPLE, 1000.0)),
        (ASKS, counts(0), {"known": False}, Hold(HoldReason.SAMPLE, 1000.0)),
        (ASKS, counts(100, 95), {"known": False}, Hold(HoldReason.SAMPLE, 1000.0)),
        (gate(stop=None), counts(1000, 80, 10), {}, Hold(HoldReason.COVERAGE)),
        (gate(min_sample=50), counts(100, 49), {}, Hold(HoldReason.SAMPLE)),
        (gate(min_sample=50), counts(100, 50), {}, Hold(HoldReason.COVERAGE)),
        (
            Gate(success=success("0.95"), min_sample=5),
            counts(100, 4, 2),
            {},
            Hold(HoldReason.SUCCESS),
        ),
        (ASKS, counts(100, 95), {"satisfied_at": 90.0}, Hold(HoldReason.SOAK, 140.0)),
        (ASKS, counts(100, 95), {"satisfied_at": 50.5}, Hold(HoldReason.SOAK, 100.5)),
        (ASKS, counts(100, 95), {"satisfied_at": 50.0, "seen_at": 99.9}, Hold(HoldReason.STALE)),
        (ASKS, counts(100, 95), {"satisfied_at": 50.0, "seen_at": 100.0}, Open()),
        (ASKS, counts(100, 50), {"now": 1000.0, "seen_at": 999.9}, Hold(HoldReason.STALE)),
        (ASKS, counts(100, 50), {"now": 1000.0, "seen_at": 1000.0}, Halt(HaltReason.DEADLINE)),
        (ASKS, counts(100, 50), {"now": 1000.0}, Halt(HaltReason.DEADLINE)),
        (ASKS, counts(100, 50), {"now": 999.9}, Hold(HoldReason.COVERAGE, 1000.0)),
        # the deadline holds for a wave that is still being created, too
        (ASKS, counts(100, 50), {"now": 1000.0, "created": False}, Halt(HaltReason.DEADLINE)),
        (ASKS, counts(100, 80, 3), {"settled": True}, Halt(HaltReason.OUT_OF_REACH, settled=True)),
        # ninety can still be had of a hundred, though not of those that are resolved by now
        (gate(stop=None), counts(100, 50, 10), {}, Hold(HoldReason.COVERAGE)),
        (gate(stop=None), counts(100, 50, 11), {}, Halt(HaltReason.OUT_OF_REACH)),
        (
            Gate(success=success("0.9", Denominator.PLANNED)),
            counts(100, 50, 10),
            {},
            Hold(HoldReason.SUCCESS),
        ),
        # what EnOS may still bring back can still succeed
        (gate(stop=None), Tally(100, 100, 0, 50, 30, 10), {}, Hold(HoldReason.COVERAGE)),
        (gate(stop=None), counts(100, 50, 11), {"known": False}, Hold(HoldReason.SAMPLE)),
        (gate(stop=None), counts(100, 50, 11), {"created": False}, Hold(HoldReason.CREATING)),
        (ASKS, counts(100, 80, 10), {}, Halt(HaltReason.STOP_RULE)),
    ],
)
def test_a_verdict_says_until_when_and_whether_for_good(its_gate, tally, given, expected):
    """The whole value: the reason, the time that may change it, and that no device was left to change it."""
    assert verdict(its_gate, tally, **given) == expected


def test_sight_is_asked_for_only_where_the_verdict_hangs_on_it():
    """It looks at every group of the wave, so a gate that is not ripe does not ask."""

    def asked():
        raise AssertionError

    situation = {"passed": False, "created": True, "settled": False, "known": True, "approved": False}
    wave = WaveKnowledge(ASKS, counts(100, 50), seen_at=asked, opened_at=0.0, satisfied_at=None, **situation)
    assert judge(wave, 999.0) == Hold(HoldReason.COVERAGE, 1000.0)


@pytest.mark.parametrize(
    ("its_gate", "tally", "holds"),
    [
        (gate(), counts(100, 81, 9), True),  # 90 % resolved, 90 % of them succeeded: both just so
        (gate(), counts(100, 80, 9), False),
        (gate(), counts(100, 80, 10), False),
        (gate(min_sample=95), counts(100, 85, 9), False),
        (gate(min_sample=95), counts(100, 86, 9), True),
        (gate(min_sample=500), counts(100, 95, 5), True),  # no more than the wave has
        (Gate(min_sample=5), counts(100), True),  # nothing is asked, so no sample is needed
        (Gate(success=success(), min_sample=5), counts(100, 4), False),
        (Gate(resolved=success("0.01", Denominator.PLANNED), min_sample=5), counts(100, 4), False),
        (Gate(success=success()), Tally(100, 100, 0, 9, 5, 1), True),  # not resolved: it may come back
    ],
)
def test_thresholds_hold_together_on_a_large_enough_sample(its_gate, tally, holds):
    """Each at its exact share, of what it is a share of."""
    assert thresholds_hold(its_gate, tally) is holds


def test_a_gate_is_satisfied_only_by_a_whole_wave_of_known_size():
    """Without a gate there is nothing to satisfy."""
    good = {"passed": False, "settled": False, "seen_at": lambda: 0.0, "opened_at": 0.0, "satisfied_at": None}

    def satisfied(its_gate, tally=NINETY_FIVE, **given):
        return is_satisfied(WaveKnowledge(its_gate, tally, approved=False, **{**good, **given}))

    assert satisfied(gate(), created=True, known=True)
    assert not satisfied(gate(), created=False, known=True)
    assert not satisfied(gate(), created=True, known=False)
    assert not satisfied(gate(), counts(100, 50), created=True, known=True)
    assert satisfied(None, counts(100), created=False, known=False)


def test_tallies_add_and_subtract_number_by_number():
    """And what is derived of the six follows."""
    one, two = Tally(64, 32, 16, 8, 4, 2), Tally(1, 2, 3, 4, 5, 6)
    assert one + two == Tally(65, 34, 19, 12, 9, 8)
    assert one - two == Tally(63, 30, 13, 4, -1, -4)
    assert (one.resolved, one.seen, one.open) == (10, 12, 54)
    assert (one.of(Denominator.PLANNED), one.of(Denominator.RESOLVED)) == (64, 10)
    assert (Tally.share(1, 4), Tally.share(1, 0)) == (Fraction(1, 4), 0)
    assert Tally.compare(0, 0, Fraction(2, 3)) < 0
