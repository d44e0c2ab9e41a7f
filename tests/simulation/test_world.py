"""One world, by hand: lives, deaths, orders, and what the platform holds afterwards."""

from collections import Counter

import pytest
from support.plans import build, gate

from rollout.core.campaign import CallLimit, Limits
from rollout.core.names import batch_name
from rollout.core.orders import Pause, Resume
from rollout.emulator.http.faults import FaultPlan
from rollout.engine.runner import Leave
from rollout.simulation.wires import Wires
from rollout.simulation.world import Scenario, World

DAY_S = 86_400.0
LIMITS = Limits(CallLimit(5.0, in_flight=3), CallLimit(10.0, burst=5, in_flight=3))
WAVES = (("canary", [5, 5], gate(soak_s=3600.0, stop=None), None), ("total", [10] * 6, None, None))


def make(seed=1, **parts):
    plan, manifest = build(*WAVES, limits=LIMITS)
    keys = [key for batch in plan.batches for key in manifest.keys(batch.start, batch.stop)]
    return World(Scenario(seed, plan, manifest, [(key, {}) for key in keys], **parts))


@pytest.fixture
def world():
    with make() as world:
        yield world


def assert_exact(world):
    """One job for each batch, under its name, and every device in exactly one job."""
    plan = world.scenario.plan
    assert world.platform.meters.jobs_by_name == Counter(batch_name("c1", batch) for batch in plan.batches)
    assert set(world.platform.holdings().values()) == {1}
    assert len(world.platform.holdings()) == plan.devices


def test_a_campaign_runs_to_its_end(world):
    """The real engine and the real client bring a firmware to every device, in virtual hours and no real ones."""
    world.boot()
    assert world.run(DAY_S)
    assert world.life.leave is Leave.FINISHED
    assert_exact(world)
    assert world.loop.time() > 3600


def test_a_request_under_way_outlives_its_sender(world):
    """A process killed after the last byte of a create left a job behind; the next one finds and adopts it."""
    crash = world.boot(crash_at=10_000)
    assert world.run(DAY_S)
    steps = crash.power.steps
    for crash_at in range(1, steps):
        with make() as probe:
            probe.boot(crash_at=crash_at)
            probe.run(DAY_S)
            if probe.life.power.died_at != "after the last byte":
                continue
            probe.boot()
            assert probe.run(DAY_S)
            assert probe.life.leave is Leave.FINISHED
            assert probe.state.adopted == 1
            assert_exact(probe)
            return
    pytest.fail("no create left")


def test_a_pause_holds_until_the_order_to_resume(world):
    """Orders reach a running process, and one that is started later."""
    world.boot()
    world.run(1.0)
    world.order(Pause("op"))
    assert not world.run(DAY_S)
    paused_at = len(world.network.sent)
    world.kill()
    world.order(Resume("op"))
    world.boot()
    assert world.run(DAY_S)
    assert world.life.leave is Leave.FINISHED
    assert paused_at < len(world.scenario.plan.batches)
    assert_exact(world)


def test_faults_of_platform_and_network_are_outlived():
    """Lost answers, lost requests and refused connections cost time, no device and no second job."""
    faults = FaultPlan.parse(["commit_then_drop=0.2", "error_503=0.1"])
    with make(faults=faults, wires=Wires(unreachable=0.1, request_lost=0.1, answer_lost=0.1)) as world:
        world.boot()
        assert world.run(3 * DAY_S)
        assert world.life.leave is Leave.FINISHED
        assert_exact(world)


def test_the_same_seed_gives_the_same_history():
    """Two worlds of one scenario write the same journal, byte for byte; another seed writes another."""

    def history(seed):
        with make(seed, wires=Wires(answer_lost=0.1)) as world:
            world.boot()
            world.run(DAY_S)
            return world.disk.commits

    assert history(5) == history(5)
    assert history(5) != history(6)


def test_a_world_without_a_second_life_keeps_no_journal():
    """A world with `keeps_journal=False` runs exactly the same campaign and stores no events."""
    with make(keeps_journal=False) as blank, make() as kept:
        for world in (blank, kept):
            world.boot()
            assert world.run(DAY_S)
        assert blank.state.tally() == kept.state.tally()
        assert blank.loop.time() == kept.loop.time()
        assert len(blank.disk.commits) == len(kept.disk.commits)
        assert not list(blank.disk.read())
