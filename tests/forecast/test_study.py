"""Simulated runs and studies: their numbers agree with probabilities computed by hand and with the limits of the plan."""

from fractions import Fraction

import pytest
from support.plans import build, gate, success

from rollout.core.campaign import CallLimit, Denominator, JobSpec, Limits, OnFail, StopRule
from rollout.emulator.platform.population import Population
from rollout.forecast.figures import chance_of_at_most
from rollout.forecast.plan_warnings import plan_warnings
from rollout.forecast.report import StudyReport
from rollout.forecast.run import ForecastSetup, RunEnding, simulate_once
from rollout.forecast.study import StudySpec, exposed, run_study

LIMITS = Limits(CallLimit(2.0, in_flight=4), CallLimit(10.0, burst=5, in_flight=4), devices_in_progress=40)
SPEC = JobSpec(platform={"versionNumbers": ["1.0"]}, maximum_concurrency=20)


def setup(*waves, limits=LIMITS, campaign=None, **parts):
    plan, manifest = build(
        *((name, sizes, its_gate, SPEC) for name, sizes, its_gate in waves), limits=limits, **(campaign or {})
    )
    return ForecastSetup(plan, manifest, **parts)


def study_of(its_setup, rates, seeds=10):
    return run_study(StudySpec(lambda: its_setup, rates, range(1, seeds + 1)), lambda *_: None)


def warnings_of(its_setup, rates, seeds=10):
    """Return the sentences of the warnings by kind."""
    study = study_of(its_setup, rates, seeds)
    found = plan_warnings(
        its_setup.plan, study, approve_after_s=its_setup.approve_after_s, within_s=its_setup.within_s
    )
    return {one.kind: one.text for one in found}


AT_MOST_ONE = gate(success=None, resolved=success("1", Denominator.PLANNED), stop=StopRule(1), soak_s=0.0)
"""A gate that passes if all devices have ended and at most one of ten has failed."""


def test_a_small_canary_passes_a_bad_build_as_often_as_chance_says():
    """Ten devices of which one may fail pass a 20 % build in 38 % of cases, and the interval says so."""
    rates = study_of(setup(("canary", [10], AT_MOST_ONE), ("total", [10], None)), [0.2], seeds=300).by_rate[0]
    low, high = rates.passed(0).interval
    assert low <= chance_of_at_most(1, 10, 0.2) <= high
    assert high - low < 0.12
    assert rates.passed(1).of == rates.passed(0).hits


def test_the_first_failures_stop_a_healthy_build_where_the_sample_is_small():
    """Failing devices come to an end first: with ten early ones as a sample, a build well within the limit is stopped."""
    hasty = gate(stop=StopRule(Fraction(1, 10), min_sample=10))
    found = warnings_of(setup(("canary", [100], hasty), ("total", [100], None)), [0.02], seeds=40)
    assert found["falseStop"].startswith("a 2% build is stopped in ")
    assert "judges from 10 early devices on" in found["falseStop"]


@pytest.mark.parametrize("on_fail", list(OnFail))
def test_a_bad_build_is_bounded_by_what_the_preview_promises(on_fail):
    """A build that fails everywhere stays in the canary, and never more than the budget are at work; abort or pause."""
    its_setup = setup(("canary", [30, 30], gate(on_fail=on_fail)), ("total", [60] * 4, None))
    for run in study_of(its_setup, [1.0]).by_rate[0].runs:
        assert run.ending == RunEnding.STOPPED
        assert run.stop.wave == 0
        assert 0 < run.stop.counts.failed <= run.stop.counts.reached <= 60
        assert run.at_once <= 40
        assert run.later.reached <= 60
        if on_fail is OnFail.ABORT:
            assert run.later.reached < 60, "its jobs were stopped"


def test_a_healthy_campaign_reaches_everybody_in_the_order_of_the_plan():
    """No stop; waves open one after the other; every create and read is accounted for."""
    its_setup = setup(("canary", [20], gate(soak_s=600.0)), ("total", [20] * 5, None))
    run = simulate_once(its_setup, None, 1)
    assert (run.ending, run.stop) == (RunEnding.FINISHED, None)
    assert run.ended == run.later == (120, 120, 0, 0, 0)
    canary, total = run.waves
    assert canary.opened_s < canary.passed_s - 600.0 < canary.passed_s <= total.opened_s < total.finished_s
    assert total.finished_s == pytest.approx(run.took_s, abs=1.0)
    assert run.creates == 6
    assert run.creates_peak <= 120
    assert run.reads_peak <= 600 + 5 < run.reads + 600
    assert [point[1] for point in run.curve] == sorted(point[1] for point in run.curve)
    assert run.curve[-1][1:] == (120, 0)


def test_the_same_trial_goes_the_same_way():
    """Rate and seed decide everything; another seed goes another way."""
    its_setup = setup(("canary", [20], gate()), ("total", [20] * 2, None))
    assert simulate_once(its_setup, 0.05, 3) == simulate_once(its_setup, 0.05, 3)
    assert simulate_once(its_setup, 0.05, 3).curve != simulate_once(its_setup, 0.05, 4).curve


def test_approvals_come_when_they_are_assumed_to():
    """The gate waits as long as stated, neither for ever nor not at all; and the page says so."""
    asked = setup(("canary", [10], gate(approval=True)), ("total", [10], None), approve_after_s=7200.0)
    unasked = setup(("canary", [10], gate()), ("total", [10], None))
    waited = (
        simulate_once(asked, None, 1).waves[0].passed_s - simulate_once(unasked, None, 1).waves[0].passed_s
    )
    assert waited == pytest.approx(7200.0, abs=30.0)
    assert "2h after a gate asks" in warnings_of(asked, [None], seeds=1)["approvalAssumed"]


def test_a_campaign_that_waits_for_ever_is_told():
    """Sleepers keep a gate without a deadline closed; nobody waits for the end of the simulation either."""
    asleep = Population(sleeper_ratio=0.5)
    its_setup = setup(("canary", [20], gate()), ("total", [10], None), population=asleep)
    rates = study_of(its_setup, [None], seeds=3).by_rate[0]
    assert rates.share(RunEnding.WAITING).hits == 3
    assert "a gate waits for devices" in warnings_of(its_setup, [None], seeds=3)["neverEnds"]
    with_deadline = setup(("canary", [20], gate(deadline_s=7200.0)), ("total", [10], None), population=asleep)
    assert study_of(with_deadline, [None], seeds=3).by_rate[0].stops == [(0, "deadline", 3)]


def test_sleepers_that_take_all_the_room_are_told():
    """No gate is to blame where half of 30 devices in progress never end and a job brings 20."""
    limits = Limits(CallLimit(10.0), CallLimit(10.0), devices_in_progress=30)
    its_setup = setup(("total", [20] * 10, None), population=Population(sleeper_ratio=0.5), limits=limits)
    assert "fill devicesInProgress (30)" in warnings_of(its_setup, [None], seeds=1)["neverEnds"]


def test_sleepers_that_wake_unwatched_are_told():
    """Devices that come back after the campaign has given them up are counted on their own."""
    late = Population(offline_ratio=0.3, offline_s=(50_000.0, 60_000.0))
    its_setup = setup(("all", [40], None), population=late, campaign={"stragglers_after_s": 3600.0})
    run = simulate_once(its_setup, None, 1)
    assert run.ending == RunEnding.FINISHED
    assert run.stragglers == run.ended.waiting > 0
    assert run.later == (40, 40, 0, 0, 0)
    assert "wake up and upgrade after the campaign has ended" in warnings_of(its_setup, [None], 2)["sleepers"]


def test_a_plan_without_a_gate_is_told():
    """Nothing would stop it; the devices it reaches are all of them."""
    its_setup = setup(("all", [20], None))
    assert "before all 20 devices have it" in warnings_of(its_setup, [1.0], 2)["noGate"]
    assert {exposed(run) for run in study_of(its_setup, [1.0], 2).by_rate[0].runs} == {20}


def test_a_canary_too_small_to_tell_is_told_with_the_size_that_could():
    """The share of runs that pass, and how many devices would miss such a build in one case of twenty."""
    found = warnings_of(setup(("canary", [10], AT_MOST_ONE), ("total", [10], None)), [0.2], seeds=40)
    assert found["missedBuild"].startswith("wave canary of 10 devices passes a 20% build in ")
    assert found["missedBuild"].endswith(" would miss it in 5%")
    assert "jobsGoOn" in found


def test_an_interrupted_study_tells_of_what_is_there():
    """After Ctrl-C the report covers the finished runs and says that they are not all."""
    its_setup = setup(("all", [10], None))

    def enough(done, of):
        if done == 3:
            raise KeyboardInterrupt

    study = run_study(StudySpec(lambda: its_setup, [None, 0.5], range(4)), enough)
    assert (study.done, study.asked) == (3, 8)
    lines = list(StudyReport(its_setup.plan, study, "some", 4, 0.0, 3600.0, 86_400.0).lines())
    assert any("interrupted: 3 of 8 done" in line for line in lines)
