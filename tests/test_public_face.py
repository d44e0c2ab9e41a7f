"""What a script that embeds rollout uses: the names of `rollout.__all__`, as a script would."""

import asyncio
import inspect
import re
import subprocess
import sys

import pytest

import rollout

PLAN = """\
version: 1
id: embedded
name: Embedded
orgId: o1
firmwareId: f1
seed: 7
job: {upgradeTimeout: 3600, maximumConcurrency: 10}
devices: {from: [devices.csv], perJob: 10}
waves:
  - name: canary
    size: 25%
    gate: {success: {min: 90%, of: resolved}, resolved: {min: 90%, of: planned}, approval: required}
  - name: total
    size: rest
limits:
  create: {rate: 50/s, inFlight: 4}
  read: {rate: 200/s, burst: 20, inFlight: 8}
"""

SPEED = 2000


@pytest.fixture
def plan_file(tmp_path):
    """A plan file with its 40 devices."""
    rows = [f"SN-{number:04d}" for number in range(40)]
    (tmp_path / "devices.csv").write_text("\n".join(["deviceKey", *rows]) + "\n")
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return path


@pytest.fixture(params=["directory", "memory"])
def store(request, tmp_path):
    """A store by its address."""
    opened = rollout.open_store(tmp_path / "state" if request.param == "directory" else "memory:")
    yield opened
    opened.close()


def run(campaign, **given):
    """Run on the emulator inside this process."""
    profile = rollout.emulator_profile()
    return asyncio.run(rollout.run_campaign(campaign, profile=profile, speed=SPEED, **given))


def test_a_script_loads_plans_runs_and_reads(plan_file, store):
    """From a plan file to a finished campaign, with a person's approval on the way."""
    plan = rollout.load_plan(plan_file)
    assert plan.campaign.id == "embedded"
    assert [warning.code for warning in plan.warnings] == ["R305"], "the last wave has no gate"
    campaign = rollout.plan_campaign(plan, store=store)
    assert [(wave.name, wave.devices) for wave in campaign.saved.plan.waves] == [
        ("canary", 10),
        ("total", 30),
    ]
    assert rollout.read_campaign("embedded", store=store).state.status == "new"
    waiting = run(campaign, exit_on_wait=True)
    assert waiting.leave is rollout.Leave.WAITING
    seen = rollout.read_campaign("embedded", store=store)
    assert (seen.state.jobs, seen.holder, seen.orders) == (1, None, ())
    approval = rollout.Approve("a script", "canary")
    assert not rollout.give_order("embedded", approval, store=store), "no runner lives"
    assert rollout.read_campaign("embedded", store=store).orders == (approval,)
    done = run(campaign)
    assert done.leave is rollout.Leave.FINISHED
    assert done.state.tally().succeeded == 40
    seen = rollout.read_campaign("embedded", store=store)
    assert (seen.state.status, seen.state.jobs, seen.orders) == ("finished", 4, ())


def test_a_run_may_be_cancelled_and_gone_on_with(plan_file, store):
    """As any coroutine: the campaign is let go, and the next run takes it up."""
    campaign = rollout.plan_campaign(rollout.load_plan(plan_file), store=store)

    async def cut_short():
        profile = rollout.emulator_profile()
        running = asyncio.create_task(rollout.run_campaign(campaign, profile=profile, speed=1))
        async with asyncio.timeout(60):
            while rollout.read_campaign("embedded", store=store).holder is None:  # noqa: ASYNC110 - as a page would
                await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cut_short())
    assert rollout.read_campaign("embedded", store=store).holder is None
    assert run(campaign, approve=["canary"], approved_by="a script").leave is rollout.Leave.FINISHED


def test_what_goes_wrong_is_told_by_its_error(plan_file, store):
    """A script catches what it expects by name, and all of it as RolloutError."""
    campaign = rollout.plan_campaign(rollout.load_plan(plan_file), store=store)
    with pytest.raises(rollout.NoCampaign):
        rollout.read_campaign("another", store=store)
    with pytest.raises(rollout.OrderRefused, match="never run"):
        rollout.give_order("embedded", rollout.Pause("a script"), store=store)
    with pytest.raises(rollout.WrongArgument, match="no wave"):
        run(campaign, until="nowhere")
    plan_file.write_text(PLAN.replace("size: 25%", "size: 250%"))
    with pytest.raises(rollout.PlanError) as refused:
        rollout.load_plan(plan_file)
    assert refused.value.complaints[0].line > 1
    for name in rollout.__all__:
        value = getattr(rollout, name)
        if inspect.isclass(value) and issubclass(value, Exception):
            assert issubclass(value, rollout.RolloutError)


def test_devices_can_be_given_beside_the_plan(plan_file, store, tmp_path):
    """A plan without a list, and the list of today."""
    plan_file.write_text(re.sub(r"devices: .*\n", "", PLAN))
    devices = [str(tmp_path / "devices.csv")]
    campaign = rollout.plan_campaign(
        rollout.load_plan(plan_file, devices=devices), store=store, devices=devices
    )
    assert campaign.saved.plan.devices == 40


def test_every_name_is_there_and_documented():
    """What `__all__` promises can be imported, and says what it is."""
    for name in rollout.__all__:
        value = getattr(rollout, name)
        assert name in dir(rollout)
        assert isinstance(value, str) or value.__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rollout.nothing


def test_importing_costs_nothing():
    """`import rollout` loads nothing of ours but the version's number, and nobody else's library."""
    code = (
        "import sys; import rollout; "
        "print([name for name in sys.modules if name.startswith(('rollout.', 'aiohttp', 'pydantic', 'click'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['rollout.version']\n"
