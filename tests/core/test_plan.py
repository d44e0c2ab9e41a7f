"""The planner: exact cover, the same plan from the same set, fair shares, sealed batches."""

import random
import string
from dataclasses import replace
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.core.campaign import (
    ApiRetry,
    Campaign,
    Count,
    Gate,
    JobSpec,
    Keys,
    Limits,
    Localized,
    PushSchedule,
    Rest,
    Scope,
    Share,
    TaskRetry,
    Wave,
)
from rollout.core.campaign_json import campaign_to_json
from rollout.core.plan import (
    Cutter,
    Quota,
    Strata,
    ThinSpread,
    apportion,
    assign_waves,
    batch_digest,
    batch_label,
    draw_places,
    plan_fleet,
    seals_of,
    size_waves,
)

JOB = JobSpec()
KEYS = st.text(string.ascii_letters + string.digits + "-_.", min_size=4, max_size=12)
FLEETS = st.dictionaries(
    KEYS, st.fixed_dictionaries({"site": st.sampled_from("abcde")}), min_size=4, max_size=60
)

PINNED_KEYS = ["DEV-0003", "DEV-0012", "DEV-0017", "DEV-0010"]
PINNED_BATCHES = ["e9d0c1fbc285", "ac9b3c6f6c80", "d864f6e2378b", "8441d9dd6156"]
PINNED_PLAN = "a948ae5a9c62b73b5430bc10bdc4d7e905b85fc35e77bc23a5b18d22efd60dc3"


def campaign(*waves, per_job=7):
    return Campaign("demo", Localized("Demo"), "o1", "f1", tuple(waves), per_job=per_job)


def wave(name, size, spread_by=None, job=JOB):
    return Wave(name, size, job, None, spread_by)


@st.composite
def orders(draw):
    """A fleet and a campaign that fits it, with explicit keys, counts and shares before the rest."""
    fleet = draw(FLEETS)
    named = tuple(draw(st.lists(st.sampled_from(sorted(fleet)), unique=True, max_size=2)))
    spread = st.sampled_from([None, "site"])
    waves = [wave("canary", Share(Fraction(1, draw(st.integers(3, 9)))), draw(spread))]
    if len(fleet) > 30:
        waves.append(wave("early", Count(draw(st.integers(1, 9))), draw(spread)))
    if named:
        waves.append(wave("named", Keys(named)))
    if len(fleet) - len(named) > ceil(len(fleet) / 3) + 9 * (len(fleet) > 30):
        waves.append(wave("total", Rest()))
    else:
        waves[0] = wave("canary", Rest())
        waves = [w for w in waves if w.name != "early"]
    return campaign(*waves, per_job=draw(st.integers(1, 9))), fleet


def keys_by_batch(plan, blob):
    return [blob.keys(batch.start, batch.stop) for batch in plan.batches]


@given(order=orders(), seed=st.integers(0, 2**64 - 1))
def test_every_device_is_in_exactly_one_batch(order, seed):
    """The batches cover the fleet, no device twice, none lost, none changed by a byte."""
    order, fleet = order
    plan, blob = plan_fleet(order, seed, fleet)
    listed = [key for keys in keys_by_batch(plan, blob) for key in keys]
    assert sorted(listed) == sorted(fleet)
    assert plan.devices == len(fleet)


@given(order=orders(), seed=st.integers(0, 2**64 - 1), shuffle=st.randoms(use_true_random=False))
def test_plan_depends_on_the_set_not_its_order(order, seed, shuffle):
    """The same rows in another order, or planned again, give the same plan to the last digit."""
    order, fleet = order
    shuffled = list(fleet.items())
    shuffle.shuffle(shuffled)
    assert plan_fleet(order, seed, fleet)[0] == plan_fleet(order, seed, dict(shuffled))[0]


@given(order=orders())
def test_waves_and_batches_fit_together(order):
    """Waves list their batches, batches their slices; none is larger than a job may be, and none is empty."""
    order, fleet = order
    plan, blob = plan_fleet(order, 1, fleet)
    assert [batch.index for batch in plan.batches] == list(range(len(plan.batches)))
    for planned in plan.waves:
        batches = plan.batches[planned.first : planned.last]
        assert planned.devices == sum(batch.devices for batch in batches)
        assert [batch.number for batch in batches] == list(range(1, len(batches) + 1))
        assert all(batch.wave == planned.index for batch in batches)
        assert all(batch.devices == order.per_job for batch in batches[:-1])
    for batch, keys in zip(plan.batches, keys_by_batch(plan, blob), strict=True):
        assert 1 <= len(keys) == batch.devices <= order.per_job
    assert blob.json_slice(0, len(blob)) == b",".join(blob.json_slice(b.start, b.stop) for b in plan.batches)


@given(order=orders())
def test_named_devices_are_in_their_wave(order):
    """A wave of explicit keys has exactly these, whatever the waves before it take."""
    order, fleet = order
    plan, blob = plan_fleet(order, 3, fleet)
    for index, asked in enumerate(order.waves):
        if isinstance(asked.size, Keys):
            planned = plan.waves[index]
            batches = plan.batches[planned.first : planned.last]
            assert {k for b in batches for k in blob.keys(b.start, b.stop)} == set(asked.size.keys)


@given(fleet=FLEETS, share=st.integers(2, 9), seed=st.integers(0, 99))
def test_spread_wave_is_within_one_of_the_fair_share(fleet, share, seed):
    """Each stratum has less than one device more or less than its fair share of a spread wave."""
    order = campaign(wave("canary", Share(Fraction(1, share)), "site"), wave("total", Rest()))
    plan, blob = plan_fleet(order, seed, fleet)
    first = plan.waves[0]
    taken = [k for b in plan.batches[: first.last] for k in blob.keys(b.start, b.stop)]
    for site in "abcde":
        there = sum(columns["site"] == site for columns in fleet.values())
        got = sum(fleet[key]["site"] == site for key in taken)
        assert abs(got - Fraction(first.devices * there, len(fleet))) < 1


@given(
    strata=st.dictionaries(st.text(max_size=3), st.integers(0, 1000), min_size=1, max_size=9),
    part=st.fractions(0, 1),
)
def test_apportionment(strata, part):
    """Parts add up, differ from the fair share by less than one, and no stratum gives more than it has."""
    total = sum(strata.values())
    seats = int(part * total)
    parts = apportion(seats, strata)
    assert sum(parts.values()) == seats
    for label, count in strata.items():
        assert 0 <= parts[label] <= count
        assert total == 0 or abs(parts[label] - Fraction(seats * count, total)) < 1


def test_equal_remainders_go_by_label():
    """Of strata with the same claim to the last seat the first label has it, on every machine."""
    assert apportion(1, {"b": 5, "a": 5, "c": 5}) == {"a": 1, "b": 0, "c": 0}
    assert apportion(2, {"c": 5, "b": 5, "a": 5}) == {"a": 1, "b": 1, "c": 0}


@pytest.mark.parametrize("seats", [-1, 6])
def test_no_more_is_apportioned_than_there_is(seats):
    """An error of the program; all of it and nothing of it can be had."""
    with pytest.raises(AssertionError, match=r"^a wave takes no more than is left$"):
        apportion(seats, {"a": 2, "b": 3})
    assert apportion(5, {"a": 2, "b": 3}) == {"a": 2, "b": 3}
    assert apportion(0, {"a": 2, "b": 3}) == {"a": 0, "b": 0}


def test_two_spread_columns():
    """Waves may spread by different columns of the same fleet; both are fair."""
    fleet = {f"DEV-{n:03d}": {"site": "ab"[n % 2], "kind": "xyz"[n % 3]} for n in range(60)}
    order = campaign(
        wave("one", Count(10), "site"),
        wave("two", Count(15), "kind"),
        wave("three", Count(6)),
        wave("rest", Rest()),
    )
    plan, blob = plan_fleet(order, 5, fleet)
    taken = [
        [k for b in plan.batches[w.first : w.last] for k in blob.keys(b.start, b.stop)] for w in plan.waves
    ]
    assert sorted("ab".index(fleet[k]["site"]) for k in taken[0]) == [0] * 5 + [1] * 5
    assert sorted(len([k for k in taken[1] if fleet[k]["kind"] == kind]) for kind in "xyz") in (
        [4, 5, 6],
        [5, 5, 5],
    )
    assert [len(part) for part in taken] == [10, 15, 6, 29]


SIZES = [
    ("a share rounds up", [Share(Fraction(1, 100)), Rest()], 101, [2, 99], 0),
    ("a share of little is one", [Share(Fraction(1, 10_000)), Rest()], 500, [1, 499], 0),
    (
        "shares round up no further than the fleet",
        [Share(Fraction(1, 2)), Share(Fraction(1, 2))],
        3,
        [2, 1],
        0,
    ),
    ("keys count first", [Rest(), Keys(("aaaa", "bbbb"))], 10, [8, 2], 0),
    ("too many asked for", [Count(8), Count(5)], 10, [8, 2], 0),
    ("left over", [Count(8)], 10, [8], 2),
    ("scopes take nothing", [Scope("total"), Rest()], 10, [0, 10], 0),
]


@pytest.mark.parametrize(
    ("sizes", "devices", "given", "left"), [row[1:] for row in SIZES], ids=[r[0] for r in SIZES]
)
def test_sizes(sizes, devices, given, left):
    """How many devices each kind of size gets."""
    quotas, uncovered = size_waves([wave(f"w{i}", size) for i, size in enumerate(sizes)], devices)
    assert [quota.given for quota in quotas] == given
    assert uncovered == left
    assert size_waves([wave("w", Count(12))], 10)[0] == [Quota(12, 10)]


@pytest.mark.parametrize(
    "waves",
    [
        [wave("a", Count(5))],
        [wave("a", Rest()), wave("b", Count(1))],
        [wave("a", Count(9))],
        [wave("a", Keys(("NONE-1",))), wave("b", Rest())],
    ],
)
def test_what_does_not_fit_is_refused(waves):
    """A fleet that leaves a wave empty or a device without a wave is not planned."""
    with pytest.raises(ValueError, match="wave"):
        plan_fleet(campaign(*waves), 1, {f"DEV-{n}": {} for n in range(8)})


def test_scope_wave_is_one_batch_without_devices():
    """A wave whose devices EnOS picks is one create call."""
    order = campaign(wave("pilot", Scope("partial", "tags", {"a": ["b"]})), wave("total", Scope("total")))
    plan, blob = plan_fleet(order, 1, {})
    assert [(b.wave, b.number, b.devices, b.start, b.stop) for b in plan.batches] == [
        (0, 1, 0, 0, 0),
        (1, 1, 0, 0, 0),
    ]
    assert plan.batches[0].digest != plan.batches[1].digest
    assert blob.keys(0, 0) == []


def test_seed_decides_who_goes_first():
    """Another seed draws other devices into the canary, and is another plan."""
    fleet = {f"DEV-{n:04d}": {} for n in range(400)}
    order = campaign(wave("canary", Count(20)), wave("total", Rest()), per_job=500)
    one, other = plan_fleet(order, 1, fleet), plan_fleet(order, 2, fleet)
    assert set(one[1].keys(one[0].batches[0].start, one[0].batches[0].stop)) != set(
        other[1].keys(other[0].batches[0].start, other[0].batches[0].stop)
    )
    assert one[0].digest != other[0].digest


def test_digest_of_a_plan_is_the_same_on_any_machine():
    """Pinned: a change of these digits means that saved plans and job names of running campaigns change."""
    fleet = {f"DEV-{n:04d}": {"site": "ab"[n % 2]} for n in range(20)}
    order = campaign(wave("canary", Share(Fraction(1, 5)), "site"), wave("total", Rest()))
    plan, blob = plan_fleet(order, 7, fleet)
    assert blob.keys(plan.batches[0].start, plan.batches[0].stop) == PINNED_KEYS
    assert [batch.digest for batch in plan.batches] == PINNED_BATCHES
    assert plan.digest == PINNED_PLAN


def digest_of(order, keys=()):
    """The digest of a batch of the order's first wave."""
    return batch_digest(seals_of(campaign_to_json(order))[0], keys)


def test_batch_digest_binds_what_is_sent():
    """The digest is of the set of keys, and changes with whatever a create call sends."""
    keys = [f"DEV-{n}" for n in range(30)]
    order = campaign(wave("one", Rest()))
    base = digest_of(order, keys)
    shuffled = random.Random(1).sample(keys, len(keys))
    assert base == digest_of(order, shuffled)
    assert len(base) == 12
    sent = [
        JobSpec(upgrade_timeout_s=7201),
        JobSpec(maximum_concurrency=None),
        JobSpec(retry=TaskRetry(enabled=True, interval_s=1, count=1)),
        JobSpec(schedule=PushSchedule(1, 2)),
        JobSpec(platform={"versionNumbers": ["1.10"]}),
    ]
    others = {
        digest_of(replace(order, firmware_id="f2"), keys),
        digest_of(replace(order, name=Localized("Demo", {"en_US": "Demo"})), keys),
        *(digest_of(campaign(wave("one", Rest(), job=spec)), keys) for spec in sent),
        digest_of(campaign(wave("one", Scope("total"))), keys),
        digest_of(campaign(wave("one", Scope("partial", "tags", {"a": ["b"]}))), keys),
        digest_of(order, keys[1:]),
        digest_of(order, [*keys[:-1], "DEV-x"]),
    }
    assert len(others | {base}) == 12


def test_batch_digest_knows_nothing_that_is_not_sent():
    """Gates, limits, names, sizes, columns and the fleet's other columns change no batch's digest, so no job's name."""
    order = campaign(wave("one", Rest()))
    base = digest_of(order, ["DEV-1"])
    others = [
        replace(order, id="other"),
        replace(order, name=Localized("Another")),
        replace(order, org_id="o2"),
        replace(order, per_job=9),
        replace(order, limits=Limits(devices_in_progress=5)),
        replace(order, api_retry=ApiRetry(attempts=1)),
        replace(order, stragglers_after_s=1.0),
        campaign(Wave("two", Count(4), JOB, Gate(soak_s=5.0), "site"), wave("total", Rest())),
    ]
    assert {digest_of(other, ["DEV-1"]) for other in others} == {base}


def test_places_are_keyed():
    """A key's place depends on seed and key alone and is 16 hex digits."""
    place = draw_places(7)
    assert place("DEV-0001") == draw_places(7)("DEV-0001") != draw_places(8)("DEV-0001")
    assert len(place("DEV-0001")) == 16


def test_people_name_a_batch_by_its_wave_and_number():
    """Four digits or more, counted inside the wave."""
    fleet = {f"DEV-{n:04d}": {} for n in range(40)}
    plan, _ = plan_fleet(campaign(wave("canary", Count(10)), wave("total", Rest())), 1, fleet)
    assert [batch_label(plan, batch) for batch in (0, 1, 2, 3)] == [
        "canary/0001",
        "canary/0002",
        "total/0001",
        "total/0002",
    ]


def assigned(waves, given, devices, fixed, strata):
    """Each device's wave, and the waves whose spread is too thin."""
    made = assign_waves(waves, [Quota(count, count) for count in given], devices, fixed, strata)
    return list(made.wave_of), made.thin


def test_a_spread_is_of_what_is_left():
    """Devices that are named, or taken by a wave without a spread, count no more; cells of one label count together."""
    strata = Strata(("site", "kind"), [0, 1, 2] * 4, [("a", "x"), ("a", "y"), ("b", "x")])
    waves = [
        wave("named", Keys(("k",))),
        wave("front", Count(4)),
        wave("by site", Count(3), "site"),  # of 4 in a and 3 in b: two and one
        wave("by kind", Count(1), "kind"),
        wave("by site again", Count(1), "site"),
        wave("rest", Rest()),
    ]
    assert assigned(waves, [1, 4, 3, 1, 1, 2], 12, {2: 0}, strata) == (
        [1, 1, 0, 1, 1, 2, 2, 2, 3, 4, 5, 5],
        (ThinSpread(3, 1, 2), ThinSpread(4, 1, 2)),
    )


def test_a_stratum_that_is_empty_is_not_missed():
    """The only device of `a` is gone: the next wave misses one stratum of two, and the one after none."""
    strata = Strata(("site",), [0, 1, 1, 1, 2, 2], [("a",), ("b",), ("c",)])
    waves = [
        wave("front", Count(1)),
        wave("one", Count(1), "site"),
        wave("two", Count(2), "site"),
        wave("rest", Rest()),
    ]
    assert assigned(waves, [1, 1, 2, 2], 6, {}, strata) == ([0, 1, 2, 3, 2, 3], (ThinSpread(1, 1, 2),))


def test_a_spread_takes_from_what_is_left():
    """The first wave takes the only device of `a`; the second has only `b` to be fair to, and misses nothing."""
    strata = Strata(("site",), [0, 1, 1, 1], [("a",), ("b",)])
    waves = [wave("one", Count(2), "site"), wave("two", Count(1), "site"), wave("rest", Rest())]
    assert assigned(waves, [2, 1, 1], 4, {}, strata) == ([0, 0, 1, 2], ())


def test_a_plan_says_what_was_asked_for():
    """Campaign and seed are in it as they were given."""
    order = campaign(wave("one", Rest()))
    plan, _ = plan_fleet(order, 5, {"DEV-1": {}})
    assert (plan.campaign, plan.seed, plan.devices) == (order, 5, 1)


def test_each_refusal_says_why():
    """The wave with what it asks for and can have, the devices in no wave, a device that is not there."""
    fleet = {f"DEV-{n}": {} for n in range(8)}
    for waves, said in (
        ([wave("a", Count(9))], "wave a asks for 9 devices and can have 8"),
        ([wave("p", Scope("total")), wave("a", Count(9))], "wave a asks for 9 devices and can have 8"),
        ([wave("a", Count(5))], "3 devices are in no wave"),
        (
            [wave("a", Keys(("NONE-1",))), wave("b", Rest())],
            "a wave names a device that is not in the fleet, or was named before",
        ),
    ):
        with pytest.raises(ValueError, match=f"^{said}$"):
            plan_fleet(campaign(*waves), 1, fleet)


def test_keys_and_waves_come_in_pairs():
    """A place without a key, or a quota without a wave, is an error of the program and is not passed over."""
    order = campaign(wave("one", Rest()))
    with pytest.raises(ValueError, match="zip"):
        Cutter(order, lambda wave, text: None).take(["DEV-1", "DEV-2"], [0])
    with pytest.raises(ValueError, match="zip"):
        assign_waves(order.waves, [Quota(1, 1), Quota(1, 1)], 1, {}, Strata())
