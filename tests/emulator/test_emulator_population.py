"""Populations: devices behave as described, each the same whatever other devices there are."""

import math
from statistics import NormalDist, fmean

import pytest
from emulator_client import keys, upgrade
from hypothesis import given
from hypothesis import strategies as st

from rollout.emulator.platform.behaviour import Behaviour
from rollout.emulator.platform.chance import DRAWS, NamedDraws
from rollout.emulator.platform.knobs import Knobs, with_settings
from rollout.emulator.platform.model import EmulatedPlatform
from rollout.emulator.platform.population import Habits, Population, Stratum
from rollout.emulator.platform.search import search_devices, search_tasks
from rollout.emulator.platform.window import DAY_S, Daily, is_open, moment_after, next_open

MIDNIGHT = 1_000_000 // DAY_S * DAY_S
MANY = keys(4000)


def nowhere(_):
    """A device without any column."""


# --- draws --------------------------------------------------------------------------------------------------------


def test_draws_are_even_and_independent():
    """The numbers of a name are uniform over 0 to 1 and independent of each other."""
    draws = NamedDraws("seed")
    rows = [draws.draw(key) for key in MANY]
    for number in range(DRAWS):
        column = [row[number] for row in rows]
        assert all(0 < draw < 1 for draw in column)
        tenths = [sum(n <= 10 * draw < n + 1 for draw in column) for n in range(10)]
        assert all(320 < tenth < 480 for tenth in tenths)
        beside = [row[(number + 1) % DRAWS] for row in rows]
        assert abs(fmean(a * b for a, b in zip(column, beside, strict=True)) - 0.25) < 0.012


def test_draw_depends_on_seed_and_question_alone():
    """A name gives the same numbers in any order of asking; another seed or name gives others."""
    assert NamedDraws(1).draw("a") == NamedDraws(1).draw("a")
    draws = NamedDraws(1)
    draws.draw("b")
    assert draws.draw("a") == NamedDraws(1).draw("a")
    assert (
        len(
            {
                NamedDraws(1).draw("a"),
                NamedDraws(2).draw("a"),
                NamedDraws(1).draw("b"),
                NamedDraws(12).draw(""),
                NamedDraws(1).draw("2"),
            }
        )
        == 5
    )


# --- habits -------------------------------------------------------------------------------------------------------


def test_shares_and_times_are_those_described():
    """Over many devices shares of failures, mutes, absences, and the times, are those asked for."""
    field = Population(
        failed_ratio=0.1, mute_ratio=0.05, offline_ratio=0.06, sleeper_ratio=0.04, first_report_s=(10, 20)
    )
    behaviour = Behaviour(field, 1)
    courses = [behaviour.attempt(key, 1, nowhere) for key in MANY]
    assert 0.085 < fmean(course.step < 0 for course in courses) < 0.115
    assert 0.04 < fmean(math.isinf(course.first_report_s) for course in courses) < 0.06
    heard = [course.first_report_s for course in courses if not math.isinf(course.first_report_s)]
    assert 10 < min(heard) < 10.1
    assert 19.9 < max(heard) < 20
    logs = sorted(math.log(course.work_s) for course in courses if course.step == 100)
    wanted = NormalDist(math.log(600), 0.35)
    for share in (0.05, 0.25, 0.5, 0.75, 0.95):
        assert abs(logs[int(share * len(logs))] - wanted.inv_cdf(share)) < 0.04
    absences = [behaviour.absence_s(key, nowhere) for key in MANY]
    assert 0.03 < fmean(math.isinf(absence) for absence in absences) < 0.05
    away = [absence for absence in absences if 0 < absence < math.inf]
    assert 0.045 < len(away) / len(MANY) < 0.07
    assert 60 < min(away) < max(away) < 3600


def test_failing_devices_stop_at_steps_by_weight():
    """Where devices fail follows the weights of the protocol's steps; weight 0 never comes."""
    behaviour = Behaviour(Population(failed_ratio=1, failure_steps={-1: 1, -3: 3, -4: 0}), 1)
    steps = [behaviour.attempt(key, 1, nowhere).step for key in MANY]
    assert set(steps) == {-1, -3}
    assert 0.72 < fmean(step == -3 for step in steps) < 0.78


def test_strata_have_habits_of_their_own():
    """The first stratum that fits a device counts, all its columns must agree, and others keep the common habits."""
    slow = Stratum({"site": ("ulm", "kiel"), "radio": ("lora",)}, Habits(work_s_median=6000, work_s_sigma=0))
    field = Population(work_s_sigma=0, strata=(slow,)).with_stratum("site", "kiel", failed_ratio=1.0)
    behaviour = Behaviour(field, 1)

    def course(**columns):
        return behaviour.attempt("dev-0001", 1, columns.get)

    assert (course(site="ulm", radio="lora").work_s, course(site="ulm", radio="lora").step) == (6000, 100)
    assert (round(course(site="ulm").work_s), course(site="ulm").step) == (600, 100)
    assert course(site="kiel", radio="lora").step < 0


def test_one_true_ratio_for_all():
    """`with_failed_ratio` makes every device fail by one ratio, in all strata, and changes nothing else."""
    field = Population(offline_ratio=0.2).with_stratum("site", "kiel", failed_ratio=0.9, work_s_median=60)
    even = field.with_failed_ratio(0.25)
    behaviour = Behaviour(even, 3)
    for column in (nowhere, {"site": "kiel"}.get):
        assert 0.23 < fmean(behaviour.attempt(key, 1, column).step < 0 for key in MANY) < 0.27
    assert even.strata[0].habits.work_s_median == 60
    assert (even.offline_ratio, field.failed_ratio) == (0.2, 0.0)


def test_columns_are_given_by_weight_where_nobody_told():
    """A new device gets columns at random, the same whenever it is registered; given values go before them."""
    field = Population(columns={"firmwareVersion": {"1.0": 3, "1.1": 1}, "site": {"ulm": 1}})
    platform = EmulatedPlatform(
        population=field, devices=[(key, {}) for key in MANY] + [("dev-told", {"site": "kiel"})]
    )
    versions = [platform.devices.version(device) for device in range(len(MANY))]
    assert 0.72 < versions.count("1.0") / len(MANY) < 0.78
    assert platform.devices.column(platform.devices.find("dev-told"), "site") == "kiel"
    turned = EmulatedPlatform(population=field, devices=[(key, {}) for key in reversed(MANY)])
    assert [turned.devices.version(turned.devices.find(key)) for key in MANY] == versions


@pytest.mark.parametrize(
    "fault",
    [
        {"failed_ratio": 1.1},
        {"offline_ratio": -0.1},
        {"work_s_median": 0},
        {"request_s": 0},
        {"first_report_s": (5, 1)},
        {"failure_steps": {}},
        {"failure_steps": {3: 1.0}},
        {"failure_steps": {-1: 0.0}},
        {"failure_steps": {-129: 1.0}},
        {"failure_steps": {-1: -1.0, -2: 2.0}},
        {"daily_s": (0, 0)},
        {"daily_s": (0, DAY_S)},
        {"daily_spread_s": DAY_S},
        {"columns": {"site": {}}},
        {"columns": {"site": {"ulm": -1, "kiel": 2}}},
    ],
)
def test_impossible_population_is_refused(fault):
    """Ratios outside 0 to 1, times in the wrong order, steps that are no failures, and weights that are all 0 are refused."""
    with pytest.raises(ValueError, match=r"must|needs"):
        Population(**fault)


# --- days ---------------------------------------------------------------------------------------------------------

DAYS = st.tuples(st.integers(0, DAY_S - 1), st.integers(0, DAY_S - 1)).filter(lambda day: day[0] != day[1])


@given(DAYS, st.integers(0, 2 * DAY_S), st.integers(0, 3 * DAY_S))
def test_work_goes_on_only_while_the_device_is_on(day, at, work_s):
    """Between `at` and the moment named, the day has been open for just the seconds asked for; it is open then."""
    daily = Daily(*day)
    moment = moment_after(daily, at, work_s)
    assert is_open(daily, moment)
    # in the evening, not next morning, if that is when the last second passed
    assert not work_s or is_open(daily, moment - 1)
    first = next_open(daily, at)
    # counted by whole days and a rest, which may pass one night
    length = (daily.end_s - daily.start_s) % DAY_S
    whole, rest = divmod(int(moment - first), DAY_S)
    begun = (first - daily.start_s) % DAY_S
    ended = (begun + rest) % DAY_S
    within = min(ended, length) - min(begun, length) + (length if begun + rest >= DAY_S else 0)
    assert whole * length + within == work_s


def platform(population, start):
    settings = with_settings(Knobs(), {"read_lag_s": 0, "materialise_s": 0})
    return EmulatedPlatform(
        start=start, population=population, devices=[(key, {}) for key in keys(3)], knobs=settings
    )


def count(model, at, status):
    return search_tasks(model, at, {"expression": f"status = '{status}'"}).total


def test_devices_that_sleep_at_night():
    """Devices switched on by day only are pushed to in the morning, go on with their work next day, and show offline."""
    by_day = Population(
        daily_ratio=1.0,
        daily_s=(6 * 3600, 7 * 3600),
        work_s_median=5400,
        work_s_sigma=0,
        first_report_s=(0, 0),
    )
    model = platform(by_day, MIDNIGHT)
    model.create_job(MIDNIGHT, "fw-2", upgrade(keys(3), upgradeTimeout=172_800))
    assert count(model, MIDNIGHT + 6 * 3600 - 1, "init") == 3
    assert search_devices(model, MIDNIGHT + 6 * 3600 - 1, {"expression": "status = 'offline'"}).total == 3
    assert count(model, MIDNIGHT + 6 * 3600, "upgrading") == 3
    assert search_devices(model, MIDNIGHT + 6 * 3600, {"expression": "status = 'online'"}).total == 3
    quiet = platform(by_day, MIDNIGHT)
    for at, away in ((6 * 3600 - 1, len(quiet.devices)), (6 * 3600, 0)):
        found = search_devices(quiet, MIDNIGHT + at, {"expression": "status = 'offline'"})
        assert found.total == away, "the hour alone decides"
    assert count(model, MIDNIGHT + DAY_S + 6.5 * 3600 - 1, "upgrading") == 3
    assert count(model, MIDNIGHT + DAY_S + 6.5 * 3600, "succeeded") == 3


def test_spread_moves_each_device_s_day():
    """With a spread, devices are switched on one after the other, up to half of it earlier or later."""
    behaviour = Behaviour(Population(daily_ratio=1.0, daily_s=(6 * 3600, 7 * 3600), daily_spread_s=7200), 1)
    hours = [(behaviour.on_from(key, nowhere, MIDNIGHT) - MIDNIGHT) / 3600 for key in MANY]
    assert 5 <= min(hours) < 5.05
    assert 6.95 < max(hours) <= 7


def test_share_of_the_fleet_has_the_rhythm():
    """Only `daily_ratio` of the devices keep the hours; the others are always on."""
    behaviour = Behaviour(Population(daily_ratio=0.3, daily_s=(6 * 3600, 7 * 3600)), 1)
    assert 0.27 < fmean(behaviour.on_from(key, nowhere, MIDNIGHT) > MIDNIGHT for key in MANY) < 0.33
