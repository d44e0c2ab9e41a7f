"""Hypothesis plays the world: time, deaths, faults, people and strangers in any order, and shrinks what breaks.

`ROLLOUT_STORIES` sets how many stories are played.
"""

import os
from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from rollout.core.orders import Abort, Approve, Pause, Resume
from rollout.proof.acts import Give, Idle, Kill, Live, PowerCut, Quit, Stall, Tamper, apply_act, conclude
from rollout.proof.checkers import TrialEvidence, check
from rollout.proof.trials import GAPS_S, draw_fault_phase, draw_scenario
from rollout.simulation.world import World

STORIES = int(os.environ.get("ROLLOUT_STORIES", "40"))

gaps = st.sampled_from(GAPS_S)


class Story(RuleBasedStateMachine):
    """One campaign with acts from outside. At its end all faults are ended, and every rule must hold."""

    @initialize(seed=st.integers(0, 9999))
    def begin(self, seed):
        self.world = World(draw_scenario(seed, Random(seed)))
        self.orders = 0
        self.tampered = False

    def do(self, *acts):
        for act in acts:
            apply_act(self.world, act)

    def say(self, order, **given):
        self.orders += 1
        self.do(Give(order(by="op", id=f"order-{self.orders}", **given)))

    @rule(seconds=st.sampled_from([0.1, 1.0, 7.0, 40.0, 200.0]))
    def advance(self, seconds):
        self.do(Live(seconds))

    @rule(gap=gaps)
    def kill_and_restart(self, gap):
        self.do(Kill(), Idle(gap), Live(0.0))

    @rule(steps=st.integers(1, 30), gap=gaps)
    def crash_after(self, steps, gap):
        self.do(Live(120.0, crash_in=steps), Kill(), Idle(gap))

    @rule()
    def leave_in_good_order(self):
        self.do(Quit())

    @rule(commits=st.integers(1, 6))
    def cut_the_power_on_a_disk_that_lied(self, commits):
        self.do(PowerCut(commits))

    @rule(seconds=st.sampled_from([0.5, 10.0, 300.0]))
    def stall(self, seconds):
        self.do(Stall(seconds))

    @rule(error=st.sampled_from([-3600.0, -1.0, 1.0, 3600.0]))
    def restart_with_a_wrong_clock(self, error):
        self.do(Kill(), Live(1.0, wall_error_s=error))

    @rule(seed=st.integers(0, 999))
    def change_the_faults(self, seed):
        self.do(draw_fault_phase(Random(seed), self.world.scenario))

    @rule()
    def pause(self):
        self.say(Pause)

    @rule()
    def resume(self):
        self.say(Resume)

    @rule(wave=st.integers(0, 2))
    def approve(self, wave):
        waves = self.world.scenario.plan.waves
        self.say(Approve, wave=waves[wave % len(waves)].name)

    @rule(stop_jobs=st.booleans(), cancel_pending=st.booleans(), sure=st.integers(0, 3))
    def abort(self, stop_jobs, cancel_pending, sure):
        if sure == 3:  # a story that is aborted early is a short one
            self.say(Abort, stop_jobs=stop_jobs, cancel_pending=cancel_pending)

    @precondition(lambda self: self.world.platform.all_jobs)
    @rule(what=st.sampled_from(["stop", "delete"]), number=st.integers(0, 5))
    def tamper(self, what, number):
        self.tampered = True
        self.do(Tamper(what, number))

    @rule(number=st.integers(0, 5))
    def imitate(self, number):
        self.do(Tamper("imitate", number))

    def teardown(self):
        if hasattr(self, "world"):
            with self.world as world:
                broken = check(TrialEvidence(world, conclude(world), tampered=self.tampered))
            assert not broken, "\n".join(map(str, broken))


TestStory = Story.TestCase
TestStory.settings = settings(
    max_examples=STORIES,
    stateful_step_count=15,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
