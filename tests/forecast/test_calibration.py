"""Calibration: a fleet is recognised by what a journal says of it, and the forecast made from that holds."""

from dataclasses import replace

import pytest
from support.plans import build, gate

from rollout.core.campaign import CallLimit, Denominator, JobSpec, Limits, OnFail, StopRule, Threshold
from rollout.core.orders import Pause, Resume
from rollout.emulator.platform.population import Population
from rollout.forecast.calibration import Calibration, NotOver, read_actual
from rollout.forecast.run import ForecastSetup, RunEnding
from rollout.forecast.study import StudySpec, run_study
from rollout.simulation.world import Scenario, World

DAY_S = 86_400.0
LIMITS = Limits(CallLimit(2.0, in_flight=4), CallLimit(10.0, burst=5, in_flight=4), devices_in_progress=300)
SPEC = JobSpec(platform={"versionNumbers": ["1.0"]}, maximum_concurrency=60, upgrade_timeout_s=48 * 3600)
LENIENT = gate(stop=StopRule(60))
WAVES = (("canary", [50], LENIENT, SPEC), ("total", [100] * 8, gate(stop=None), SPEC))

PLAIN = Population(failed_ratio=0.02, work_s_median=1200.0, work_s_sigma=0.6)
SLEEPY = replace(PLAIN, offline_ratio=0.1, offline_s=(1800.0, 7200.0), sleeper_ratio=0.02)


def journal_of(population, seed=7, waves=WAVES, orders=()):
    """The plan, its manifest and the events of a campaign that was carried out on such a fleet."""
    plan, manifest = build(*waves, limits=LIMITS)
    keys = [key for batch in plan.batches for key in manifest.keys(batch.start, batch.stop)]
    with World(Scenario(seed, plan, manifest, [(key, {}) for key in keys], population=population)) as world:
        world.boot()
        for order in orders:
            world.run(3600.0)
            world.order(order)
        assert world.run(30 * DAY_S)
        return plan, manifest, list(world.disk.read())


def calibrated(population, runs=12, **given):
    plan, manifest, events = journal_of(population, **given)
    actual = read_actual(plan, events)
    setup = ForecastSetup(
        plan,
        manifest,
        actual.population,
        latest_effect_s=actual.latest_effect_s,
        search_lag_s=actual.search_lag_s,
        start=actual.start,
    )
    study = run_study(StudySpec(lambda: setup, [None], range(100, 100 + runs)), lambda *_: None)
    return Calibration(actual, study.by_rate[0], runs)


@pytest.mark.parametrize("truth", [PLAIN, SLEEPY])
def test_a_fleet_is_recognised_by_its_counts(truth):
    """Failures, time at work and its spread, and who was away: near the truth, from counts every few seconds alone."""
    plan, _, events = journal_of(truth)
    actual = read_actual(plan, events)
    found = actual.population
    low, high = actual.failures.interval
    assert low <= truth.failed_ratio <= high
    assert found.work_s_median == pytest.approx(truth.work_s_median, rel=0.1)
    assert found.work_s_sigma == pytest.approx(truth.work_s_sigma, abs=0.12)
    assert found.sleeper_ratio == pytest.approx(truth.sleeper_ratio, abs=0.015)
    assert found.offline_ratio == pytest.approx(truth.offline_ratio, abs=0.04)
    assert actual.ending == RunEnding.FINISHED


@pytest.mark.parametrize("truth", [PLAIN, SLEEPY])
def test_the_forecast_from_a_journal_holds(truth):
    """What happened lies between the 10th and the 90th of 100 predicted, or within a sixth of them, row by row."""
    rows = {row["what"]: row for row in calibrated(truth).rows()}
    assert set(rows) >= {"canary: gate", "canary: through", "total: through", "campaign", "devices exposed"}
    for what, row in rows.items():
        room = 1 / 3 if what == "devices failed" else 1 / 6
        assert row["p10"] * (1 - room) <= row["actual"] <= row["p90"] * (1 + room), row
    assert abs(rows["campaign"]["offBy"]) < 1 / 6


def test_a_stopped_campaign_is_compared_too():
    """The stop's time and exposure; waves that never opened have no row."""
    bad = replace(PLAIN, failed_ratio=0.5)
    strict = gate(stop=StopRule(5), on_fail=OnFail.PAUSE)
    calibration = calibrated(bad, waves=(("canary", [50], strict, SPEC), WAVES[1]))
    rows = {row["what"]: row for row in calibration.rows()}
    assert calibration.alike.value > 0.8
    assert calibration.actual.ending == RunEnding.STOPPED
    assert "total: gate" not in rows
    assert rows["devices exposed"]["actual"] <= 50
    assert rows["devices exposed"]["median"] <= 50


def test_runs_that_ended_otherwise_predict_nothing():
    """A finished campaign is compared with runs that finished, and told how many did."""
    calibration = calibrated(PLAIN, runs=4)
    stopped = replace(calibration.simulated.runs[0], ending=RunEnding.STOPPED, took_s=1.0)
    mixed = replace(
        calibration, simulated=replace(calibration.simulated, runs=(stopped, *calibration.simulated.runs[1:]))
    )
    assert (mixed.alike.hits, mixed.alike.of) == (3, 4)
    campaign = next(row for row in mixed.rows() if row["what"] == "campaign")
    assert campaign["p10"] > 1.0
    assert "75% (30-95%) finished as it was" in next(line for line in mixed.lines() if "Simulated" in line)


def test_what_no_simulation_repeats_is_remarked():
    """A pause is in the actual duration, and said to be."""
    orders = (Pause("op", id="p"), Resume("op", id="r"))
    slow = Threshold(min=1, of=Denominator.PLANNED)
    waves = (("canary", [50], gate(stop=None, resolved=slow, soak_s=7 * 3600.0), SPEC), WAVES[1])
    plan, _, events = journal_of(PLAIN, waves=waves, orders=orders)
    assert any("paused 1 time" in remark for remark in read_actual(plan, events).remarks)


def test_a_campaign_that_is_not_over_is_refused():
    """A campaign that is not over is refused with NotOver."""
    plan, _, events = journal_of(PLAIN)
    with pytest.raises(NotOver, match="running"):
        read_actual(plan, events[: len(events) // 2])
