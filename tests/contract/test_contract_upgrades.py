"""What becomes of devices and their tasks: the policies of a job, and the device's part. On emulators only.

A real organisation would have to upgrade devices, and to have some that fail, are away or never answer.
"""

import pytest
from contract_tenant import DAY_MS, FLEET

from rollout.emulator.platform.population import Population

PROMPT = {"first_report_s": (10.0, 10.0), "work_s_median": 600.0, "work_s_sigma": 0.0}
"""Devices that report after 10 s and are done after another 600 s."""


@pytest.fixture
def play(stocked):
    """Start a tenant with devices of some habits, and a job over the first two that may push at once."""

    def start(body=(), **habits):
        tenant = stocked(population=Population(**PROMPT | habits))
        return tenant, tenant.job(tenant.upgrade(schedulePolicy=None, **dict(body)))

    return start


def watch(tenant, job, seconds, step=30):
    """Return the different states the first device's task is seen in, as (status, progress), while time passes."""
    seen = []
    for _ in range(0, seconds, step):
        task = tenant.tasks(job)[tenant.devices[0]]
        if (task["status"], task["progress"]) not in seen:
            seen.append((task["status"], task["progress"]))
        tenant.wait(step)
    return seen


def upgrades(tenant, **fields):
    """Return what searchDeviceUpgrade says of the first device."""
    expression = f"productKey='{tenant.product}'"
    found = tenant.call("searchDeviceUpgrade", {"expression": expression}, on="ota-firmwares").data
    return next(record for record in found if record["deviceKey"] == tenant.devices[0])


# --- one task


def test_a_task_goes_from_pushed_to_done(play):
    """published, upgrading, succeeded, in this order. Pages: search_device_task, viewing_upgrade_detail."""
    tenant, job = play()
    seen = watch(tenant, job, 900)
    assert list(dict.fromkeys(status for status, _ in seen)) == ["published", "upgrading", "succeeded"]


def test_progress_is_a_percentage_that_grows(play):
    """While a device works, progress rises within 0 to 100. Pages: search_device_task, device OTA (progress step)."""
    tenant, job = play()
    steps = [progress for _, progress in watch(tenant, job, 900)]
    assert steps == sorted(steps)
    assert (steps[0], steps[-1]) == (0, 100)
    assert len(steps) > 3


def test_update_time_follows_every_change(play):
    """UpdateTime is when the task last changed, in ms. Page: search_device_task (TaskInfo struct)."""
    tenant, job = play()
    before = tenant.tasks(job)[tenant.devices[0]]["updateTime"]
    tenant.wait(900)
    after = tenant.tasks(job)[tenant.devices[0]]["updateTime"]
    assert before < after <= tenant.now() * 1000


def test_a_finished_task_says_so(play):
    """Envision's Python sample finds finished tasks by their desc, upgrading firmware finished."""
    tenant, job = play()
    tenant.wait(900)
    assert {task["desc"] for task in tenant.tasks(job).values()} == {"upgrading firmware finished"}


@pytest.mark.parametrize("step", [-1, -2, -3, -4, -5])
def test_negative_progress_is_failure(play, step):
    """A device that reports a negative step has failed; progress is that step. Pages: search_device_task, device OTA."""
    tenant, job = play(failed_ratio=1.0, failure_steps={step: 1.0})
    tenant.wait(900)
    task = tenant.tasks(job)[tenant.devices[0]]
    assert (task["status"], task["progress"]) == ("failed", step)
    assert task["desc"]


def test_time_runs_out_from_upgrading_on(play):
    """UpgradeTimeout counts from upgrading: the task is failed when it has passed. Page: create_ota_job."""
    tenant, job = play({"upgradeTimeout": 300})
    tenant.wait(300)
    assert tenant.statuses(job)[tenant.devices[0]] == "upgrading"
    tenant.wait(30)
    assert tenant.statuses(job)[tenant.devices[0]] == "failed"


@pytest.mark.parametrize("count", [1, 2, 5])
def test_failed_tasks_are_retried_as_often_as_told(play, count):
    """After retryInterval a failed task gets another attempt, retryCount times. Page: create_ota_job (RetryPolicy)."""
    policy = {"enableRetry": True, "retryInterval": 600, "retryCount": count}
    tenant, job = play({"retryPolicy": policy, "upgradeTimeout": 300})
    attempts, last = 0, None
    for _ in range(0, 12_000, 30):
        status = tenant.statuses(job)[tenant.devices[0]]
        attempts += status == "upgrading" != last
        last = status
        tenant.wait(30)
    assert (attempts, last) == (1 + count, "failed")


def test_without_a_policy_nothing_is_retried(play):
    """Default is no retry. Page: create_ota_job."""
    tenant, job = play({"upgradeTimeout": 300})
    tenant.wait(400)
    failed = tenant.tasks(job)
    tenant.wait(90_000)
    assert tenant.tasks(job) == failed


def test_a_failed_task_can_be_retried_by_hand(play):
    """RetryTask gives a failed task another attempt. Page: retry_ota_task."""
    tenant, job = play({"upgradeTimeout": 300})
    tenant.wait(400)
    assert tenant.call("retryTask", {"deviceKeys": tenant.devices[:1]}, jobId=job).data is None
    tenant.wait(60)
    assert tenant.statuses(job) == {tenant.devices[0]: "upgrading", tenant.devices[1]: "failed"}


def test_a_pushed_task_can_be_cancelled_and_a_working_one_cannot(play):
    """Published can be cancelled, upgrading is 24620. Page: cancel_ota_task (error codes)."""
    tenant, job = play()
    assert tenant.call("cancelTask", {"deviceKeys": tenant.devices[:1]}, jobId=job).code == 0
    tenant.wait(60)
    answer = tenant.call("cancelTask", {"deviceKeys": tenant.devices[1:2]}, jobId=job)
    assert (answer.code, answer.msg) == (24620, "Only init or published tasks can be canceled")


# --- one job


def test_no_more_are_under_way_than_allowed(play):
    """Beyond maximumConcurrency tasks wait in init. Pages: create_ota_job, viewing_upgrade_detail."""
    tenant, job = play({"maximumConcurrency": 1})
    for _ in range(0, 1500, 60):
        under_way = [s for s in tenant.statuses(job).values() if s in {"published", "upgrading"}]
        assert len(under_way) <= 1
        tenant.wait(60)
    assert set(tenant.statuses(job).values()) == {"succeeded"}


def test_nothing_is_pushed_before_the_schedule(play):
    """Outside the window nothing is pushed, inside it is. Page: 2.1 batch_upgrading_firmware."""
    tenant, _ = play()
    start = int(tenant.now() * 1000) + DAY_MS
    policy = {"startTimestamp": start, "endTimestamp": start + DAY_MS}
    scope = tenant.scope(deviceKeys=tenant.devices[2:3])
    job = tenant.job(tenant.upgrade(schedulePolicy=policy, upgradeScope=scope))
    tenant.wait(DAY_MS // 1000 - 60)
    assert set(tenant.statuses(job).values()) == {"init"}
    tenant.wait(120)
    assert set(tenant.statuses(job).values()) == {"upgrading"}


def test_a_device_that_is_away_is_pushed_on_its_return(play):
    """Offline devices wait, and are pushed when they reconnect. Page: ota_overview."""
    tenant, job = play(offline_ratio=1.0, offline_s=(50_000.0, 50_000.0))
    tenant.wait(49_000)
    assert set(tenant.statuses(job).values()) == {"init"}
    tenant.wait(2_000)
    assert set(tenant.statuses(job).values()) == {"succeeded"}


@pytest.mark.parametrize(("policy", "joins"), [("snapshot", False), ("incremental", True)])
def test_later_matches_join_an_incremental_job_only(play, policy, joins):
    """Snapshot is closed at creation, incremental takes in who comes to match. Page: 2.1 batch_upgrading_firmware."""
    tenant, _ = play()
    scope = tenant.scope(type="total", deviceKeys=None)
    job = tenant.job(tenant.upgrade(upgradeScope=scope, upgradePolicy=policy))
    tenant.control("devices", {"deviceKey": "contract-6", "firmwareVersion": tenant.version})
    tenant.settle()
    assert ("contract-6" in tenant.tasks(job)) is joins


def test_a_device_is_in_one_upgrade_at_a_time(play):
    """A device that is being upgraded takes no other upgrade. Page: 2.1 batch_upgrading_firmware."""
    tenant, first = play()
    second = tenant.job(tenant.upgrade(schedulePolicy=None))
    for _ in range(0, 600, 60):
        both = [tenant.statuses(job).get(tenant.devices[0]) for job in (first, second)]
        assert sum(status in {"published", "upgrading"} for status in both) <= 1
        tenant.wait(60)


def test_a_device_may_ask_by_itself_if_enabled(play):
    """With enableUpgradeRequest a device is upgraded, too. Page: batch_upgrading_firmware."""
    tenant, job = play({"enableUpgradeRequest": True})
    tenant.wait(900)
    assert set(tenant.statuses(job).values()) == {"succeeded"}


# --- verification, and what reads of devices show


def test_firmware_is_verified_once_enough_devices_succeeded(stocked):
    """IsVerified comes with minSuccessForVerified successes, and the firmware may be rolled out. Page: create_firmware."""
    tenant = stocked(population=Population(**PROMPT))
    for number, verified in ((0, False), (1, True)):
        scope = tenant.scope(deviceKeys=[tenant.devices[number]])
        tenant.job(tenant.verify(upgradeScope=scope), tenant.guarded)
        tenant.wait(900)
        record = tenant.call("get", method="GET", on="ota-firmwares", firmwareId=tenant.guarded).data
        assert record["isVerified"] is verified
        answer = tenant.create(tenant.upgrade(), tenant.guarded)
        assert answer.code == (0 if verified else 24610)


@pytest.mark.parametrize("failed_ratio", [0.0, 1.0], ids=["success", "failure"])
def test_is_upgrading_ends_either_way(play, failed_ratio):
    """IsUpgrading is true while an upgrade runs and false after it, however it ended. Page: search_device_upgrade."""
    tenant, _ = play(failed_ratio=failed_ratio, failure_steps={-1: 1.0})
    during = upgrades(tenant)
    tenant.wait(900)
    after = upgrades(tenant)
    assert (during["isUpgrading"], during["firmwareVersion"]) == (True, tenant.version)
    assert after["isUpgrading"] is False
    assert after["firmwareVersion"] == (tenant.version if failed_ratio else "2.0")


def test_firmware_in_use_cannot_be_deleted(play):
    """While tasks wait or run, deletion is 24604 Firmware cannot be deleted. Page: delete_firmware (error codes)."""
    tenant, _ = play()
    answer = tenant.call("delete", on="ota-firmwares", firmwareId=tenant.firmware)
    assert (answer.code, answer.msg) == (24604, "Firmware cannot be deleted")


def test_fleet_of_the_contract_is_as_it_says():
    """The emulated fleet has devices of another version, so that a filter that filters nothing is seen."""
    assert {columns["firmwareVersion"] for _, columns in FLEET} == {"1.0", "1.5"}
