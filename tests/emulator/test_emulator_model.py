"""The platform's rules, asked of the pure model: states, slots, time limits, retries, windows, scopes, knobs."""

import dataclasses
from collections import Counter

import pytest
from emulator_client import keys, upgrade, verify
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rollout.emulator.platform.knobs import Knobs, with_settings
from rollout.emulator.platform.meters import most_in_any_second
from rollout.emulator.platform.model import EmulatedPlatform
from rollout.emulator.platform.population import FAILURE_TEXTS, Population
from rollout.emulator.platform.refusal import Refusal
from rollout.emulator.platform.search import (
    get_firmware,
    get_job,
    list_versions,
    search_device_upgrades,
    search_devices,
    search_firmware,
    search_jobs,
    search_tasks,
)
from rollout.emulator.platform.tasks import CANCELLED, CLASHED, IN_PROGRESS, STOPPED, TIMED_OUT, Status

START = 1_000_000.0
HEALTHY = Population(work_s_median=600, work_s_sigma=0, first_report_s=(10, 10))
"""Every attempt takes 10 s to the first report and 600 s from there to success."""

NOW = {"read_lag_s": 0, "materialise_s": 0, "task_order": "stable"}


def platform(population=HEALTHY, devices=None, **knobs):
    """Return a platform whose reads show everything at once, unless knobs say otherwise."""
    registered = [(key, {}) for key in keys(50)] if devices is None else devices
    return EmulatedPlatform(
        start=START, population=population, devices=registered, knobs=with_settings(Knobs(), NOW | knobs)
    )


def statuses(model, at, expression=""):
    """Return how many tasks readers see in each status."""
    page = search_tasks(model, START + at, {"expression": expression, "pagination": {"pageSize": 200}})
    return dict(Counter(task["status"] for task in page.records))


def tasks(model, at, expression=""):
    """Return task records by device key."""
    page = search_tasks(model, START + at, {"expression": expression, "pagination": {"pageSize": 200}})
    return {task["deviceKey"]: task for task in page.records}


def refused(code):
    """Expect a refusal with this code."""
    return pytest.raises(Refusal, match=rf"^{code} ")


# --- the life of a task -------------------------------------------------------------------------------------------


def test_task_goes_through_its_states_in_time():
    """A healthy device: announced at once, at work after its first report, done after its work, version reported."""
    model = platform()
    model.create_job(START, "fw-2", upgrade(keys(1)))
    assert statuses(model, 0) == {"published": 1}
    assert statuses(model, 9) == {"published": 1}
    assert statuses(model, 10) == {"upgrading": 1}
    working = tasks(model, 10 + 330)["dev-000000"]
    assert (working["progress"], working["updateTime"]) == (50, int((START + 310) * 1000))
    assert statuses(model, 610) == {"succeeded": 1}
    done = tasks(model, 610)["dev-000000"]
    assert (done["progress"], done["fromVersion"], done["toVersion"]) == (100, "1.0", "fw-2")
    assert search_devices(model, START + 610, {"expression": "firmwareVersion = 'fw-2'"}).total == 1


def test_slots_are_filled_as_they_become_free():
    """No more than `maximumConcurrency` tasks are announced or at work; the rest waits its turn, in order."""
    model = platform()
    model.create_job(START, "fw-2", upgrade(keys(5), maximumConcurrency=2))
    assert statuses(model, 0) == {"published": 2, "init": 3}
    assert statuses(model, 610) == {"succeeded": 2, "published": 2, "init": 1}
    assert statuses(model, 3 * 610) == {"succeeded": 5}
    assert model.meters.in_progress_max == 2
    assert model.meters.device_seconds(START + 5000) == pytest.approx(5 * 610)


@pytest.mark.parametrize("step", [-1, -2, -3, -4, -5, -17, -128])
def test_failing_device_reports_its_step(step):
    """A failure shows the device's negative step as progress, with a text, and frees the slot."""
    model = platform(Population(failed_ratio=1.0, failure_steps={step: 1.0}))
    model.create_job(START, "fw-2", upgrade(keys(1)))
    failed = tasks(model, 10_000)["dev-000000"]
    assert (failed["status"], failed["progress"]) == ("failed", step)
    assert failed["desc"] == FAILURE_TEXTS.get(step, f"device error {step}")
    assert model.meters.in_progress == 0


def test_time_limit_runs_from_upgrading():
    """A device that works longer than `upgradeTimeout` fails with progress of at least 0 when the limit is reached."""
    model = platform()
    model.create_job(START, "fw-2", upgrade(keys(1), upgradeTimeout=300))
    assert statuses(model, 309) == {"upgrading": 1}
    failed = tasks(model, 310)["dev-000000"]
    assert (failed["status"], failed["desc"], failed["progress"]) == ("failed", TIMED_OUT, 50)


@pytest.mark.parametrize(
    ("timer", "body", "ends"),
    [
        ("verify", upgrade(keys(1), upgradeTimeout=300), False),
        ("verify", verify(keys(1), upgradeTimeout=300), True),
        ("all", upgrade(keys(1), upgradeTimeout=300), True),
        ("none", verify(keys(1), upgradeTimeout=300), False),
    ],
)
def test_knob_published_timer(timer, body, ends):
    """A device that was announced to and never reports holds its slot, unless the knob gives that a limit too."""
    model = platform(Population(mute_ratio=1.0), published_timer=timer)
    model.create_job(START, "fw-2", body)
    assert statuses(model, 299) == {"published": 1}
    assert statuses(model, 300) == ({"failed": 1} if ends else {"published": 1})


def test_automatic_retry_follows_its_policy():
    """A failed task is back in `init` after `retryInterval`, `retryCount` times, then stays failed."""
    ever_failing = Population(failed_ratio=1.0, work_s_median=1, work_s_sigma=0, first_report_s=(10, 10))
    policy = {"enableRetry": True, "retryInterval": 100, "retryCount": 2}
    model = platform(ever_failing)
    model.create_job(START, "fw-2", upgrade(keys(1), retryPolicy=policy))
    attempts = []
    for at in range(0, 1000, 1):
        model.advance(START + at)
        attempts.append(model.devices.attempts[0])
    assert attempts[-1] == 3
    assert attempts.count(1) == attempts.count(2) == 111
    assert statuses(model, 1000) == {"failed": 1}


def test_manual_retry_takes_the_place_of_the_automatic_one():
    """A failure retried by hand and then cancelled stays cancelled when its automatic retry would have been due."""
    ever_failing = Population(failed_ratio=1.0, work_s_median=1, work_s_sigma=0, first_report_s=(10, 10))
    policy = {"enableRetry": True, "retryInterval": 100, "retryCount": 2}
    model = platform(ever_failing)
    body = upgrade(keys(2), maximumConcurrency=1, retryPolicy=policy)
    job = model.create_job(START, "fw-2", body)
    model.advance(START + 11)
    # the slot is with the other device
    model.retry_tasks(START + 11, job, {"deviceKeys": keys(1)})
    model.cancel_tasks(START + 11, job, {"deviceKeys": keys(1)})
    model.advance(START + 1000)
    assert list(model.devices.attempts[:2]) == [1, 3]


def test_what_an_old_attempt_left_behind_does_not_touch_the_new_one():
    """After cancel and retry, neither the report nor the time limit of the first announcement has any effect."""
    model = platform()
    job = model.create_job(START, "fw-2", upgrade(keys(1)))
    model.cancel_tasks(START + 5, job, {"deviceKeys": keys(1)})
    model.retry_tasks(START + 5, job, {"deviceKeys": keys(1)})
    assert statuses(model, 14) == {"published": 1}
    assert statuses(model, 15) == {"upgrading": 1}
    model = platform(Population(mute_ratio=1.0), published_timer="all")
    job = model.create_job(START, "fw-2", upgrade(keys(1), upgradeTimeout=300))
    model.cancel_tasks(START + 100, job, {"deviceKeys": keys(1)})
    model.retry_tasks(START + 100, job, {"deviceKeys": keys(1)})
    assert statuses(model, 399) == {"published": 1}
    assert statuses(model, 400) == {"failed": 1}


def test_offline_devices_wait_for_ever_or_until_they_are_back():
    """A device that is away stays in `init` and holds no slot; it is pushed on return; a sleeper never is."""
    away = Population(offline_ratio=1.0, offline_s=(5000, 5000))
    model = platform(away)
    model.create_job(START, "fw-2", upgrade(keys(3), maximumConcurrency=1))
    assert statuses(model, 4999) == {"init": 3}
    assert search_devices(model, START + 4999, {"expression": "status = 'offline'"}).total == 3
    assert statuses(model, 5000) == {"init": 2, "published": 1}
    assert statuses(model, 50_000) == {"succeeded": 3}
    model = platform(Population(offline_ratio=1.0, sleeper_ratio=1.0))
    model.create_job(START, "fw-2", upgrade(keys(3)))
    assert statuses(model, 1e9) == {"init": 3}


def test_bad_site_fails_alone():
    """Devices of a stratum have its own shares; all others keep the common ones."""
    devices = [(key, {"site": "ulm" if n % 2 else "kiel"}) for n, key in enumerate(keys(40))]
    field = Population().with_stratum("site", "ulm", failed_ratio=1.0)
    model = platform(field, devices)
    model.create_job(START, "fw-2", upgrade(keys(40)))
    done = tasks(model, 100_000)
    assert {task["status"] for key, task in done.items() if key in keys(40)[1::2]} == {"failed"}
    assert {task["status"] for key, task in done.items() if key in keys(40)[::2]} == {"succeeded"}


# --- jobs ---------------------------------------------------------------------------------------------------------


def test_stop_holds_back_what_waits_and_start_goes_on():
    """After stop nothing new is pushed while devices at work finish; start pushes the rest."""
    model = platform()
    job = model.create_job(START, "fw-2", upgrade(keys(3), maximumConcurrency=1))
    model.stop_job(START + 1, job)
    assert statuses(model, 5000) == {"succeeded": 1, "init": 2}
    model.start_job(START + 5000, job)
    assert statuses(model, 5000) == {"succeeded": 1, "published": 1, "init": 1}
    assert statuses(model, 20_000) == {"succeeded": 3}


@pytest.mark.parametrize(
    ("operation", "stopped", "code"),
    [
        ("start_job", False, 24615),
        ("start_job", True, None),
        ("stop_job", False, None),
        ("stop_job", True, 24616),
        ("delete_job", False, 24618),
        ("delete_job", True, None),
    ],
)
def test_job_switch_table(operation, stopped, code):
    """Start, stop and delete are allowed in one of the two states each, and refused with their code in the other."""
    model = platform()
    job = model.create_job(START, "fw-2", upgrade(keys(1)))
    if stopped:
        model.stop_job(START, job)
    if code is None:
        getattr(model, operation)(START, job)
    else:
        with refused(code):
            getattr(model, operation)(START, job)


CANCELLABLE = {"init", "published"}


@pytest.mark.parametrize("at", [0, 10, 610, 9000])
def test_cancel_and_retry_by_status(at):
    """Cancel takes only waiting and announced tasks, retry only failed ones; both only in a started job."""
    model = platform(Population(work_s_median=600, work_s_sigma=0, first_report_s=(10, 10)))
    job = model.create_job(START, "fw-2", upgrade(keys(2), maximumConcurrency=1))
    for key, task in tasks(model, at).items():
        body = {"deviceKeys": [key]}
        with refused(24621):
            model.retry_tasks(START + at, job, body)
        if task["status"] in CANCELLABLE:
            model.cancel_tasks(START + at, job, body)
            cancelled = tasks(model, at, f"deviceKey = '{key}'")[key]
            assert (cancelled["status"], cancelled["desc"]) == ("failed", CANCELLED)
            model.retry_tasks(START + at, job, body)
            assert tasks(model, at, f"deviceKey = '{key}'")[key]["status"] in CANCELLABLE
        else:
            with refused(24620):
                model.cancel_tasks(START + at, job, body)
    model.stop_job(START + at, job)
    with refused(24617):
        model.cancel_tasks(START + at, job, {"deviceKeys": keys(1)})


@pytest.mark.parametrize(
    ("knob", "told", "left"),
    [("nothing", 24620, 2), ("partial_error", 24620, 1), ("partial_success", None, 1)],
)
def test_knob_batch_errors(knob, told, left):
    """One task past recall spoils a cancel for all, for itself with an error, or for itself in silence."""
    model = platform(batch_errors=knob)
    job = model.create_job(START, "fw-2", upgrade(keys(3), maximumConcurrency=1))
    model.advance(START + 10)
    body = {"deviceKeys": keys(2)}
    if told is None:
        model.cancel_tasks(START + 10, job, body)
    else:
        with refused(told):
            model.cancel_tasks(START + 10, job, body)
    assert statuses(model, 10)["init"] == left


@pytest.mark.parametrize(("knob", "seen"), [("failed", {"failed": 2}), ("removed", {})])
def test_knob_cancelled_task(knob, seen):
    """A cancelled task shows as failed, or in no search and no count."""
    model = platform(cancelled_task=knob)
    job = model.create_job(START, "fw-2", upgrade(keys(2), maximumConcurrency=1))
    model.cancel_tasks(START, job, {"deviceKeys": keys(2)})
    assert statuses(model, 5000) == seen
    assert search_tasks(model, START + 5000, {"expression": f"jobId = '{job}'"}).total == len(
        seen and keys(2)
    )
    assert model.meters.in_progress == 0


@pytest.mark.parametrize(
    ("knob", "seen"), [("continue", {"upgrading": 1, "init": 1}), ("fail", {"failed": 1, "init": 1})]
)
def test_knob_stop_running(knob, seen):
    """Stopping a job lets devices at work go on, or fails their tasks."""
    model = platform(stop_running=knob)
    job = model.create_job(START, "fw-2", upgrade(keys(2), maximumConcurrency=1))
    model.stop_job(START + 20, job)
    assert statuses(model, 20) == seen
    if knob == "fail":
        assert tasks(model, 20)["dev-000000"]["desc"] == STOPPED


@pytest.mark.parametrize(("knob", "seen"), [("removed", 0), ("kept", 2)])
def test_knob_deleted_job_tasks(knob, seen):
    """Tasks of a deleted job are gone from searches, or stay."""
    model = platform(deleted_job_tasks=knob)
    job = model.create_job(START, "fw-2", upgrade(keys(2)))
    model.stop_job(START, job)
    model.delete_job(START, job)
    assert search_tasks(model, START, {}).total == seen
    with refused(24404):
        get_job(model, START, job)


@pytest.mark.parametrize(("knob", "status", "pushed"), [("started", "started", 1), ("stopped", "stopped", 0)])
def test_knob_created_job(knob, status, pushed):
    """A job is started by its creation, or waits for start."""
    model = platform(created_job=knob)
    job = model.create_job(START, "fw-2", upgrade(keys(1)))
    assert get_job(model, START, job)["status"] == status
    assert model.meters.in_progress == pushed


@pytest.mark.parametrize(
    ("knob", "seen"),
    [("wait", {"published": 2}), ("no_task", {"published": 1}), ("failed", {"published": 1, "failed": 1})],
)
def test_knob_busy_device(knob, seen):
    """A device with an unfinished task elsewhere waits in the second job, gets no task, or fails at once."""
    model = platform(busy_device=knob)
    model.create_job(START, "fw-2", upgrade(keys(1)))
    second = model.create_job(
        START, "fw-3", upgrade([*keys(1), *keys(1, 7)], scope={"versionNumbers": ["1.0", "fw-2"]})
    )
    if knob == "wait":
        assert statuses(model, 0, f"jobId = '{second}'") == {"init": 1, "published": 1}
        assert statuses(model, 610, f"jobId = '{second}'") == {"published": 1, "succeeded": 1}
        return
    assert statuses(model, 0, f"jobId = '{second}'") == seen
    if knob == "failed":
        assert tasks(model, 0, f"jobId = '{second}' and status = 'failed'")["dev-000000"]["desc"] == CLASHED


def test_device_in_two_jobs_is_upgraded_by_one_after_the_other():
    """Two jobs for the same devices share nothing but the devices, and never have one at work twice."""
    model = platform()
    for name in ("job-1.", "job-2."):
        model.create_job(START, "fw-2", upgrade(keys(3), name=name))
    assert model.meters.in_progress == 3
    assert model.holdings() == dict.fromkeys(keys(3), 2)
    assert statuses(model, 2000) == {"succeeded": 6}


@pytest.mark.parametrize(("knob", "versions"), [("over", []), ("goes_on", ["fw-2"])])
def test_knob_cancelled_published(knob, versions):
    """A device whose announced task is cancelled drops it, or goes on and reports the version nobody waits for."""
    model = platform(cancelled_published=knob)
    job = model.create_job(START, "fw-2", upgrade(keys(1)))
    model.cancel_tasks(START + 5, job, {"deviceKeys": keys(1)})
    assert list_versions(model, START + 609, "emulated-product") == []
    assert list_versions(model, START + 610, "emulated-product") == versions
    assert statuses(model, 5000) == {"failed": 1}
    assert tasks(model, 5000)["dev-000000"]["desc"] == CANCELLED
    assert (model.meters.in_progress, model.at_work) == (0, frozenset())


def test_device_that_goes_on_takes_no_other_upgrade():
    """Until it is done with what was cancelled, a device is pushed to by no job; then the one that waits has it."""
    model = platform(cancelled_published="goes_on")
    job = model.create_job(START, "fw-2", upgrade(keys(1)))
    model.cancel_tasks(START + 5, job, {"deviceKeys": keys(1)})
    model.retry_tasks(START + 6, job, {"deviceKeys": keys(1)})
    assert statuses(model, 609) == {"init": 1}
    assert statuses(model, 610) == {"published": 1}
    mute = platform(Population(mute_ratio=1.0), cancelled_published="goes_on")
    job = mute.create_job(START, "fw-2", upgrade(keys(1)))
    mute.cancel_tasks(START + 5, job, {"deviceKeys": keys(1)})
    mute.retry_tasks(START + 6, job, {"deviceKeys": keys(1)})
    assert statuses(mute, 6) == {"published": 1}


@pytest.mark.parametrize(("knob", "attempts"), [("kept", 3), ("reset", 4)])
def test_knob_retry_count(knob, attempts):
    """A manual retry leaves the count of automatic ones as it is, or lets it begin anew."""
    ever_failing = Population(failed_ratio=1.0, work_s_median=1, work_s_sigma=0, first_report_s=(10, 10))
    policy = {"enableRetry": True, "retryInterval": 100, "retryCount": 1}
    model = platform(ever_failing, retry_count=knob)
    job = model.create_job(START, "fw-2", upgrade(keys(1), retryPolicy=policy))
    model.advance(START + 500)
    assert model.devices.attempts[0] == 2
    model.retry_tasks(START + 500, job, {"deviceKeys": keys(1)})
    model.advance(START + 1000)
    assert model.devices.attempts[0] == attempts


@pytest.mark.parametrize(("knob", "told"), [("wrong", 24620), ("ignore", None)])
def test_knob_unknown_keys(knob, told):
    """A device without a task spoils a cancel like one in the wrong state, or is passed over."""
    model = platform(unknown_keys=knob)
    job = model.create_job(START, "fw-2", upgrade(keys(2), maximumConcurrency=1))
    body = {"deviceKeys": ["dev-000001", "dev-000040", "dev-nobody"]}
    if told is None:
        model.cancel_tasks(START, job, body)
        assert statuses(model, 0) == {"published": 1, "failed": 1}
    else:
        with refused(told):
            model.cancel_tasks(START, job, body)


@pytest.mark.parametrize(
    ("knob", "given", "status"),
    [
        ("ignore", False, "started"),
        ("obey", False, "stopped"),
        ("obey", True, "started"),
        ("obey", None, "stopped"),
    ],
)
def test_knob_start_after_create(knob, given, status):
    """startAfterCreate, which job records show and no page lists, is ignored or decides; it goes before created_job."""
    created = "stopped" if (knob, given) != ("ignore", False) else "started"
    model = platform(start_after_create=knob, created_job=created)
    job = model.create_job(START, "fw-2", upgrade(keys(1), startAfterCreate=given))
    record = get_job(model, START, job)
    assert record["status"] == status
    assert record.get("startAfterCreate") is given


# --- what readers see ----------------------------------------------------------------------------------------------


def test_reads_follow_the_truth_by_their_lag():
    """A new job, its tasks and every change become visible `read_lag_s` later, tasks spread over `materialise_s`."""
    model = platform(read_lag_s=2, materialise_s=1)
    job = model.create_job(START, "fw-2", upgrade(keys(10)))
    with refused(24404):
        get_job(model, START + 1.9, job)
    assert search_jobs(model, START + 1.9, {}).total == 0
    assert search_jobs(model, START + 2, {}).total == 1
    assert search_tasks(model, START + 2, {}).total == 0
    assert search_tasks(model, START + 2.5, {}).total == 5
    assert search_tasks(model, START + 3, {}).total == 10
    model.stop_job(START + 100, job)
    assert get_job(model, START + 101.9, job)["status"] == "started"
    assert get_job(model, START + 102, job)["status"] == "stopped"
    model.delete_job(START + 102, job)
    assert get_job(model, START + 103.9, job)["jobId"] == job
    with refused(24404):
        model.delete_job(START + 103.9, job)
    with refused(24404):
        get_job(model, START + 104, job)


def test_lagging_answers_are_whole():
    """Counts, statuses and versions of one answer are all of the same past moment."""
    model = platform(read_lag_s=30)
    model.create_job(START, "fw-2", upgrade(keys(4)))
    assert statuses(model, 39) == {"published": 4}
    assert search_device_upgrades(model, START + 630, {"expression": "isUpgrading = true"}).total == 4
    assert statuses(model, 639) == {"upgrading": 4}
    assert search_devices(model, START + 639, {"expression": "firmwareVersion = 'fw-2'"}).total == 0
    assert statuses(model, 640) == {"succeeded": 4}
    assert search_devices(model, START + 640, {"expression": "firmwareVersion = 'fw-2'"}).total == 4


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "productKey = 'emulated-product'",
        "deviceTags.site = 'north'",
        "not deviceTags.site = 'north'",
        "firmwareVersion = 'fw-2'",
        "firmwareVersion in ('1.0','fw-2') and deviceKey in ('dev-000000','dev-000003','late-0001')",
        "status = 'online'",
    ],
)
def test_a_listing_of_devices_follows_every_change(expression):
    """However often the same is asked, new devices, tags and versions are in the next answer, and nothing else."""
    model = platform(read_lag_s=30)

    def found(at):
        body = {"expression": expression, "pagination": {"pageSize": 200}}
        return [record["deviceKey"] for record in search_devices(model, START + at, body).records]

    def afresh(at):
        model.last_listing = None
        return found(at)

    seen = [found(0)]
    model.report_device(START + 1, "late-0001", {"firmwareVersion": "1.0"})
    seen.append(found(1))
    assert seen[-1] == afresh(1)
    model.report_device(START + 2, "dev-000003", {"site": "north"})
    seen.append(found(2))
    assert seen[-1] == afresh(2)
    model.create_job(START + 3, "fw-2", upgrade(keys(4)))
    for at in (3, 20, 300, 612, 613, 642, 643, 644, 5000):
        seen.append(found(at))
        assert seen[-1] == found(at) == afresh(at)
    assert len({tuple(keys) for keys in seen}) > 1, "something did change"


def test_jobs_come_newest_first_and_in_pages():
    """Job searches are sorted by creation, newest first, and cut into pages of 10 unless told otherwise."""
    model = platform()
    made = [model.create_job(START + n, "fw-2", upgrade(keys(1), name=f"job-{n:02d}.")) for n in range(25)]
    page = search_jobs(model, START + 100, {"pagination": {"pageNo": 2}})
    assert [job["jobId"] for job in page.records] == made[::-1][10:20]
    assert page.to_json() == {"sortedBy": None, "pageNo": 2, "pageSize": 10, "totalSize": 25}
    assert search_jobs(model, START + 100, {"pagination": {"pageNo": 9}}).records == []


@pytest.mark.parametrize(("knob", "size"), [("refuse", None), ("clamp", 200)])
def test_knob_page_size_excess(knob, size):
    """A page larger than the maximum is refused, or cut to it."""
    model = platform(page_size_excess=knob)
    if size is None:
        with refused(99400):
            search_tasks(model, START, {"pagination": {"pageSize": 201}})
    else:
        assert search_tasks(model, START, {"pagination": {"pageSize": 201}}).paging.size == size


@pytest.mark.parametrize("order", ["stable", "shuffled"])
@pytest.mark.parametrize(
    "expression", ["", "status = 'init'", "status in ('init','published') and not desc = 'x'"]
)
def test_paging_through_tasks(order, expression):
    """Every page is full and the total right; with a stable order each task comes once, shuffled it may not."""
    model = platform(task_order=order)
    for n in range(4):
        model.create_job(START, "fw-2", upgrade(keys(10, 10 * n), maximumConcurrency=1))
    pages = [
        search_tasks(model, START, {"expression": expression, "pagination": {"pageNo": n, "pageSize": 7}})
        for n in range(1, 8)
    ]
    total = 36 if "= 'init'" in expression and "in (" not in expression else 40
    assert {page.total for page in pages} == {total}
    assert [len(page.records) for page in pages] == [max(min(7, total - 7 * n), 0) for n in range(7)]
    ids = [task["taskId"] for page in pages for task in page.records]
    assert (len(set(ids)) == total) is (order == "stable")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2000), st.sampled_from(["init", "published", "upgrading", "succeeded", "failed"]))
def test_counters_agree_with_a_look_at_every_task(at, status):
    """The total from counters is what a search that must look at each task finds, at any moment."""
    model = platform(Population(failed_ratio=0.3, offline_ratio=0.3), read_lag_s=2, materialise_s=1)
    jobs = [
        model.create_job(START + n, "fw-2", upgrade(keys(12, 12 * n), maximumConcurrency=3)) for n in range(4)
    ]
    some = f"jobId in ('{jobs[0]}','{jobs[2]}') and status = '{status}'"
    quick = search_tasks(model, START + at, {"expression": some})
    slow = search_tasks(model, START + at, {"expression": f"{some} and not desc = 'nobody says this'"})
    assert quick.total == slow.total
    assert all(task["status"] == status for task in quick.records)


def test_tasks_are_found_by_device():
    """A search for devices finds their tasks in all jobs, and only those readers can see yet."""
    model = platform(read_lag_s=2, materialise_s=1)
    first = model.create_job(START, "fw-2", upgrade(keys(5)))
    second = model.create_job(START + 1, "fw-3", upgrade(keys(5), scope={"versionNumbers": None}))
    some = {"expression": "deviceKey in ('dev-000003','dev-000004','dev-999999')"}
    assert search_tasks(model, START + 2.7, some).total == 0
    assert [t["deviceKey"] for t in search_tasks(model, START + 2.9, some).records] == ["dev-000003"]
    assert {t["jobId"] for t in search_tasks(model, START + 3, some).records} == {first}
    assert {t["jobId"] for t in search_tasks(model, START + 4, some).records} == {first, second}
    assert search_tasks(model, START + 4, some).total == 4


# --- scopes ----------------------------------------------------------------------------------------------------------

SITES = [
    (
        f"dev-{n:06d}",
        {
            "assetId": f"A{n}",
            "firmwareVersion": "1.0" if n < 8 else "1.1",
            "site": "ulm" if n % 2 else "kiel",
            "tags.ring": "canary" if n < 2 else "wide",
            "attributes.model": f"m{n % 3}",
            "deviceGroupIds": "g1 g2" if n < 3 else "g2",
            "assetTrees.t1": f"root/line{n % 2}/A{n}",
        },
    )
    for n in range(10)
]


@pytest.mark.parametrize(
    ("scope", "numbers"),
    [
        ({"type": "total"}, range(8)),
        ({"type": "total", "versionNumbers": ["1.1"]}, [8, 9]),
        ({"type": "total", "versionNumbers": ["1.0", "1.1"]}, range(10)),
        ({"type": "total", "versionNumbers": None}, range(10)),
        ({"type": "total", "versionNumbers": ["9"]}, []),
        ({"deviceKeys": ["dev-000001", "dev-000009", "dev-nobody", "dev-000001"]}, [1]),
        ({"tags": {"ring": ["canary"]}}, [0, 1]),
        ({"tags": {"site": ["ulm"]}}, [1, 3, 5, 7]),
        ({"tags": {"site": ["ulm"], "ring": ["canary", "gold"]}}, [1]),
        ({"attributes": {"model": ["m0", "m1"]}}, [0, 1, 3, 4, 6, 7]),
        ({"deviceGroupIds": ["g1"]}, [0, 1, 2]),
        ({"assetIds": ["A2", "A9", "A99"]}, [2]),
        ({"assetTrees": [{"treeId": "t1"}]}, range(8)),
        ({"assetTrees": [{"treeId": "t1", "includedNodes": ["line1"]}]}, [1, 3, 5, 7]),
        ({"assetTrees": {"treeId": "t1", "includedNodes": ["A4"]}}, [4]),
        ({"assetTrees": [{"treeId": "other"}]}, []),
    ],
)
def test_scope_selects(scope, numbers):
    """Each selector picks its devices, filtered by source version; what does not exist is silently left out."""
    model = platform(devices=SITES)
    full = {"type": "partial", "versionNumbers": ["1.0"]} | scope
    body = upgrade([], scope={"deviceKeys": None} | full)
    model.create_job(START, "fw-2", body)
    assert sorted(tasks(model, 0)) == [f"dev-{n:06d}" for n in numbers]


@pytest.mark.parametrize(("knob", "numbers"), [("all", [1]), ("any", [0, 1, 3, 5, 7])])
def test_knob_several_keys(knob, numbers):
    """Devices must match every key of tags or attributes, or one of them."""
    for scope in (
        {"tags": {"site": ["ulm"], "ring": ["canary"]}},
        {"attributes": {"model": ["m1"], "none": ["x"]}},
    ):
        model = platform(devices=SITES, several_keys=knob)
        model.create_job(START, "fw-2", upgrade([], scope={"deviceKeys": None} | scope))
        seen = [n for n in range(10) if f"dev-{n:06d}" in tasks(model, 0)]
        if "tags" in scope:
            assert seen == numbers
        else:
            assert seen == ([] if knob == "all" else [1, 4, 7])


@pytest.mark.parametrize(
    ("knob", "scope"),
    [
        ({"device_keys_max": 2}, {"deviceKeys": keys(3)}),
        ({"device_keys_max": 2}, {"deviceKeys": None, "assetIds": ["A1", "A2", "A3"]}),
        ({"source_versions": "mandatory"}, {"versionNumbers": None}),
        ({"source_versions": "mandatory"}, {"versionNumbers": []}),
    ],
)
def test_strict_scope_knobs(knob, scope):
    """More entries than a bound allows, and a scope without source versions, are refused where the knobs say so."""
    assert platform().create_job(START, "fw-2", upgrade(keys(3), scope=scope))
    with refused(99400):
        platform(**knob).create_job(START, "fw-2", upgrade(keys(3), scope=scope))
    assert platform(**knob).create_job(START, "fw-2", upgrade(keys(2)))


@pytest.mark.parametrize("knob", ["all", "refuse"])
def test_knob_total_without_product(knob):
    """The scope total of a firmware without product is every device there is, or refused."""
    model = platform(total_without_product=knob)
    firmware = model.create_firmware(START, None, METADATA | {"enableVerification": False}, 100)
    body = upgrade([], scope={"type": "total", "deviceKeys": None})
    if knob == "all":
        model.create_job(START, firmware, body)
        assert search_tasks(model, START, {}).total == 50
    else:
        with refused(99400):
            model.create_job(START, firmware, body)


def test_knob_batch_keys_max():
    """More device keys in one cancel or retry than a bound allows are refused."""
    model = platform(batch_keys_max=2)
    job = model.create_job(START, "fw-2", upgrade(keys(3), maximumConcurrency=1))
    with refused(99400):
        model.cancel_tasks(START, job, {"deviceKeys": keys(3)})
    model.cancel_tasks(START, job, {"deviceKeys": keys(2)})


@pytest.mark.parametrize(
    "scope",
    [
        {"type": "everything"},
        {"type": "partial", "deviceKeys": None},
        {"type": "partial", "deviceKeys": []},
        {"type": "total", "deviceKeys": ["dev-000001"]},
        {"deviceKeys": ["dev-000001"], "tags": {"site": ["ulm"]}},
        {"deviceKeys": None, "assetTrees": [{"treeId": str(n)} for n in range(6)]},
        {"deviceKeys": None, "assetTrees": [{"includedNodes": []}]},
        {"deviceKeys": "dev-000001"},
        {"deviceKeys": [1]},
        {"deviceKeys": None, "tags": {"site": "ulm"}},
        {"versionNumbers": "1.0"},
        {"productKey": 7},
        # empty, but of another kind than the field
        {"deviceGroupIds": {}},
        {"tags": []},
        {"assetTrees": ""},
        {"deviceKeys": None, "tags": {"site": [1]}},
        {"deviceKeys": None, "assetTrees": [{"treeId": "t1", "includedNodes": {}}]},
    ],
)
def test_impossible_scope_is_refused(scope):
    """More or less than one selector, more than five trees, and wrong types are 99400."""
    with refused(99400):
        platform().create_job(START, "fw-2", upgrade(keys(1), scope=scope))


@pytest.mark.parametrize(
    "change",
    [
        {"type": "downgrade"},
        {"type": None},
        {"upgradePolicy": None},
        {"upgradePolicy": "whole"},
        {"enableUpgradeRequest": None},
        {"enableUpgradeRequest": 1},
        {"enableUpgradeRequest": ["true"]},
        {"type": ["upgrade"]},
        {"upgradeTimeout": 299},
        {"upgradeTimeout": 172_801},
        {"upgradeTimeout": 600.5},
        {"upgradeTimeout": True},
        {"upgradeTimeout": "soon"},
        {"maximumConcurrency": 0},
        {"retryPolicy": {"enableRetry": True, "retryInterval": 60}},
        {"retryPolicy": {"enableRetry": True, "retryInterval": 86_401, "retryCount": 1}},
        {"retryPolicy": {"enableRetry": True, "retryInterval": 0, "retryCount": 6}},
        {"retryPolicy": []},
        {"retryPolicy": {"enableRetry": False, "retryCount": "often"}},
        {"schedulePolicy": {"startTimestamp": 0}},
        {"schedulePolicy": {"startTimestamp": 2000, "endTimestamp": 1000}},
        {"startSchedule": -1},
        {"endSchedule": 86_400},
        {"startAfterCreate": {}},
        {"upgradeTimeout": float("inf")},
        {"name": "plain"},
        {"name": {"i18nValue": {}}},
        {"upgradeScope": None},
    ],
)
def test_body_out_of_range_is_refused(change):
    """Missing mandatory fields, values out of the page's ranges and wrong types are 99400; nothing is made."""
    model = platform()
    with refused(99400):
        model.create_job(START, "fw-2", {**upgrade(keys(1)), **change})
    assert not model.jobs


@pytest.mark.parametrize(
    "change",
    [
        {"upgradeTimeout": 300},
        {"upgradeTimeout": "172800"},
        {"upgradeTimeout": 600.0},
        {"maximumConcurrency": "10", "enableUpgradeRequest": "false"},
        {"name": None},
        {"retryPolicy": {"enableRetry": False}},
        # what a client writes who has numbers without a value
        {"retryPolicy": {"enableRetry": False, "retryInterval": 0, "retryCount": 0}},
        {"retryPolicy": {"enableRetry": True, "retryInterval": 0, "retryCount": 5}},
        {"startSchedule": 0, "endSchedule": 86_399},
        {"schedulePolicy": {"isRepeatDaily": True, "startTimestamp": 79_200_000, "endTimestamp": 14_400_000}},
        {"startAfterCreate": True, "somethingNew": {}},
    ],
)
def test_body_within_range_is_taken(change):
    """The ends of the ranges, numbers as texts, the older schedule and unknown fields pass."""
    assert platform().create_job(START, "fw-2", {**upgrade(keys(1)), **change})


def test_records_show_what_was_understood():
    """Numbers and switches given as texts are shown as such, selectors that are empty as null."""
    model = platform()
    order = upgrade(
        keys(1),
        upgradeTimeout="600",
        retryPolicy={"enableRetry": "true", "retryInterval": "10", "retryCount": 5.0, "more": 1},
        schedulePolicy={"startTimestamp": "0", "endTimestamp": 10_000, "timezoneOffsetInMinutes": "60"},
        scope={"tags": {}, "assetIds": []},
    )
    record = get_job(model, START, model.create_job(START, "fw-2", order))
    assert record["upgradeTimeout"] == 600
    assert record["retryPolicy"] == {"enableRetry": True, "retryInterval": 10, "retryCount": 5}
    assert record["schedulePolicy"] == {
        "startTimestamp": 0,
        "endTimestamp": 10_000,
        "timezoneOffsetInMinutes": 60,
    }
    assert (record["upgradeScope"]["tags"], record["upgradeScope"]["assetIds"]) == (None, None)


@pytest.mark.parametrize(
    ("knob", "change"),
    [
        ({"numeric_strings": "refuse"}, {"upgradeTimeout": "600"}),
        ({"unknown_fields": "refuse"}, {"somethingNew": 1}),
        (
            {"unknown_fields": "refuse"},
            {"upgradeScope": {"type": "partial", "assetTrees": [{"treeId": "t", "includedNotes": []}]}},
        ),
    ],
)
def test_strict_body_knobs(knob, change):
    """Numbers as texts and unknown fields, at any depth, are refused where the knobs say so."""
    with refused(99400):
        platform(**knob).create_job(START, "fw-2", {**upgrade(keys(1)), **change})


def test_incremental_job_takes_in_later_matches():
    """An open-ended job gains a task when a device comes to match; a snapshot stays as it was."""
    model = platform(devices=[("dev-a001", {"firmwareVersion": "1.0"})])
    opened = model.create_job(
        START, "fw-2", upgrade([], upgradePolicy="incremental", scope={"type": "total", "deviceKeys": None})
    )
    closed = model.create_job(START, "fw-2", upgrade([], scope={"type": "total", "deviceKeys": None}))
    model.report_device(START + 5, "dev-a002", {"firmwareVersion": "1.0"})
    model.report_device(START + 5, "dev-a003", {"firmwareVersion": "0.9"})
    assert sorted(tasks(model, 5, f"jobId = '{opened}'")) == ["dev-a001", "dev-a002"]
    assert sorted(tasks(model, 5, f"jobId = '{closed}'")) == ["dev-a001"]
    model.stop_job(START + 6, opened)
    model.report_device(START + 7, "dev-a003", {"firmwareVersion": "1.0"})
    assert len(tasks(model, 7, f"jobId = '{opened}'")) == 2
    model.start_job(START + 8, opened)
    assert len(tasks(model, 8, f"jobId = '{opened}'")) == 3
    model.stop_job(START + 9, opened)
    model.delete_job(START + 9, opened)
    model.report_device(START + 9, "dev-a004", {"firmwareVersion": "1.0"})
    assert len(model.all_jobs[0].tasks) == 3


# --- windows -----------------------------------------------------------------------------------------------------------


def test_nothing_is_pushed_outside_the_window():
    """A single window: nothing before it, devices at work go on after it, the rest waits for good."""
    window = {"startTimestamp": int((START + 100) * 1000), "endTimestamp": int((START + 700) * 1000)}
    model = platform()
    job = model.create_job(START, "fw-2", upgrade(keys(3), maximumConcurrency=1, schedulePolicy=window))
    assert statuses(model, 99) == {"init": 3}
    assert statuses(model, 100) == {"published": 1, "init": 2}
    assert statuses(model, 50_000) == {"succeeded": 1, "init": 2}
    assert get_job(model, START + 50_000, job)["status"] == "started"


def test_knob_window_over():
    """After its only window a job stays started, or is stopped by the platform."""
    window = {"startTimestamp": int(START * 1000), "endTimestamp": int((START + 100) * 1000)}
    model = platform(window_over="stopped")
    job = model.create_job(START, "fw-2", upgrade(keys(1), schedulePolicy=window))
    assert get_job(model, START + 100, job)["status"] == "started"
    assert get_job(model, START + 101, job)["status"] == "stopped"


@pytest.mark.parametrize(
    ("policy", "first_open"),
    [
        ({"isRepeatDaily": True, "startTimestamp": 20 * 3_600_000, "endTimestamp": 21 * 3_600_000}, 20),
        ({"isRepeatDaily": True, "startTimestamp": 20 * 3_600_000, "endTimestamp": 3 * 3_600_000}, 20),
        (
            {
                "isRepeatDaily": True,
                "startTimestamp": 20 * 3_600_000,
                "endTimestamp": 21 * 3_600_000,
                "timezoneOffsetInMinutes": 60,
            },
            20,
        ),
        ({"startSchedule": 20 * 3600, "endSchedule": 21 * 3600}, 20),
    ],
)
def test_daily_window_opens_every_day(policy, first_open):
    """Pushes happen between the two times of day, every day, across midnight too; both forms are read."""
    midnight = START - START % 86_400
    model = EmulatedPlatform(
        start=midnight + 43_200, population=HEALTHY, knobs=with_settings(Knobs(any_device=True), NOW)
    )
    form = policy if "startSchedule" in policy else {"schedulePolicy": policy}
    model.create_job(midnight + 43_200, "fw-2", upgrade(keys(200), maximumConcurrency=1, **form))
    model.advance(midnight + first_open * 3600 - 1)
    assert model.meters.in_progress == 0
    model.advance(midnight + first_open * 3600)
    assert model.meters.in_progress == 1
    model.advance(midnight + 86_400 + 12 * 3600)
    assert model.meters.in_progress == 0
    model.advance(midnight + 86_400 + first_open * 3600)
    assert model.meters.in_progress == 1


@pytest.mark.parametrize(("knob", "third_day"), [("for_ever", 1), ("until_end", 0)])
def test_knob_repeat_daily(knob, third_day):
    """A daily window comes for ever, or on the days from its start to its end only."""
    midnight = START - START % 86_400
    policy = {
        "isRepeatDaily": True,
        "startTimestamp": int((midnight + 86_400 + 20 * 3600) * 1000),
        "endTimestamp": int((midnight + 2 * 86_400 + 21 * 3600) * 1000),
    }
    model = EmulatedPlatform(
        start=midnight,
        population=HEALTHY,
        knobs=with_settings(Knobs(any_device=True, repeat_daily=knob), NOW),
    )
    model.create_job(midnight, "fw-2", upgrade(keys(200), maximumConcurrency=1, schedulePolicy=policy))
    at_work = []
    for day in range(4):
        model.advance(midnight + day * 86_400 + 20.5 * 3600)
        at_work.append(model.meters.in_progress)
    assert at_work == [1 if knob == "for_ever" else 0, 1, 1, third_day]


def opens_at(form, **knobs):
    """Return the hour of the day (UTC) at which a job with this schedule first pushes."""
    midnight = START - START % 86_400
    model = EmulatedPlatform(
        start=midnight, population=HEALTHY, knobs=with_settings(Knobs(any_device=True, **knobs), NOW)
    )
    model.create_job(midnight, "fw-2", upgrade(keys(1), **form))
    return (model.next_due() - midnight) / 3600


DAILY = {"isRepeatDaily": True, "startTimestamp": 72_000_000, "endTimestamp": 75_600_000}


@pytest.mark.parametrize(("knob", "hour"), [("instants", 20), ("wall_clock", 19)])
def test_knob_daily_times(knob, hour):
    """The times of a daily window are instants, the same in any zone, or the time on the clocks of the zone named."""
    east = {"schedulePolicy": DAILY | {"timezoneOffsetInMinutes": 60}}
    assert opens_at(east, daily_times=knob) == hour
    assert opens_at({"schedulePolicy": DAILY}, daily_times=knob) == 20


def test_knob_zone_s():
    """The older form, seconds of the day, is of the zone the platform is in."""
    older = {"startSchedule": 72_000, "endSchedule": 75_600}
    assert (opens_at(older), opens_at(older, zone_s=3600.0)) == (20, 19)
    wall_clock = {"zone_s": 3600.0, "daily_times": "wall_clock"}
    assert opens_at({"schedulePolicy": DAILY}, **wall_clock) == 19
    assert opens_at({"schedulePolicy": DAILY | {"timezoneOffsetInMinutes": 0}}, **wall_clock) == 20


@pytest.mark.parametrize(("knob", "seen"), [("ignored", {"succeeded": 3}), ("kept", {"init": 3})])
def test_knob_window_for_requests(knob, seen):
    """A device that asks by itself is served at any time, or within the window only; then it is."""
    window = {"startTimestamp": int((START + 90_000) * 1000), "endTimestamp": int((START + 99_000) * 1000)}
    model = platform(upgrade_requests="pull_only", window_for_requests=knob)
    model.create_job(START, "fw-2", upgrade(keys(3), enableUpgradeRequest=True, schedulePolicy=window))
    assert statuses(model, 50_000) == seen
    assert statuses(model, 95_000) == {"succeeded": 3}


def test_knob_upgrade_requests():
    """Where devices only ask by themselves, they start when they ask, one slot at a time, and in time all are done."""
    asking = Population(work_s_median=10, work_s_sigma=0, first_report_s=(1, 1), request_s=100)
    model = platform(asking, upgrade_requests="pull_only")
    model.create_job(START, "fw-2", upgrade(keys(5), enableUpgradeRequest=True, maximumConcurrency=1))
    assert statuses(model, 0) == {"init": 5}
    assert statuses(model, 5000) == {"succeeded": 5}
    assert model.meters.in_progress_max == 1
    pushed = platform(asking)
    pushed.create_job(START, "fw-2", upgrade(keys(5), enableUpgradeRequest=True))
    assert statuses(pushed, 0) == {"published": 5}


def test_asking_device_is_not_bound_by_the_window():
    """The window is for pushes: a device that asks by itself is served outside of it."""
    window = {"startTimestamp": int((START + 90_000) * 1000), "endTimestamp": int((START + 99_000) * 1000)}
    body = upgrade(keys(3), enableUpgradeRequest=True, schedulePolicy=window)
    pulling = platform(upgrade_requests="pull_only")
    pulling.create_job(START, "fw-2", body)
    assert statuses(pulling, 5000) == {"succeeded": 3}
    pushing = platform()
    pushing.create_job(START, "fw-2", body)
    assert statuses(pushing, 5000) == {"init": 3}


# --- firmware and verification -------------------------------------------------------------------------------------------

METADATA = {
    "name": {"defaultValue": "pump"},
    "version": "2.0",
    "signMethod": "sha256",
    "sign": "ab",
    "enableVerification": True,
    "maxAllowedForVerification": 3,
    "minSuccessForVerified": 2,
}


def test_verification_opens_the_way():
    """A firmware that demands verification refuses upgrades until enough verified devices succeeded."""
    model = platform()
    firmware = model.create_firmware(START, "emulated-product", METADATA, 100)
    with refused(24610):
        model.create_job(START, firmware, upgrade(keys(1)))
    with refused(24612) as told:
        model.create_job(START, firmware, verify(keys(4)))
    assert told.value.message == "Exceeded max verification deviceKeys, max[3]"
    model.create_job(START, firmware, verify(keys(1)))
    assert get_firmware(model, START + 1000, firmware)["isVerified"] is False
    model.create_job(START + 1000, firmware, verify(keys(1, 1)))
    assert search_firmware(model, START + 2000, {"expression": "isVerified = true"}).total == 1
    assert model.create_job(START + 2000, firmware, upgrade(keys(1, 5)))


@pytest.mark.parametrize(("knob", "verified"), [("successes", False), ("any_attempt", True)])
def test_knob_verified_by(knob, verified):
    """A firmware is verified by enough successes, or as in old releases by an attempt that failed, but not by a cancel."""
    model = platform(Population(failed_ratio=1.0), verified_by=knob)
    firmware = model.create_firmware(START, "emulated-product", METADATA, 100)
    job = model.create_job(START, firmware, verify(keys(2)))
    model.stop_job(START, job)
    assert get_firmware(model, START, firmware)["isVerified"] is False
    assert get_firmware(model, START + 10_000, firmware)["isVerified"] is verified


@pytest.mark.parametrize(("knob", "seen"), [("beside", {"init": 1}), ("cancels", {"failed": 1})])
def test_knob_second_verification(knob, seen):
    """What waits in a verification job goes on waiting beside a second one, or is cancelled by it."""
    model = platform(Population(sleeper_ratio=1.0), second_verification=knob)
    firmware = model.create_firmware(START, "emulated-product", METADATA, 100)
    first = model.create_job(START, firmware, verify(keys(1)))
    model.create_job(START, firmware, verify(keys(1, 1)))
    assert statuses(model, 0, f"jobId = '{first}'") == seen


@pytest.mark.parametrize("seconds", [0, 20])
def test_knob_firmware_release_s(seconds):
    """A firmware can be deleted some time after its last job has been."""
    model = platform(firmware_release_s=seconds)
    firmware = model.create_firmware(START, None, METADATA | {"enableVerification": False}, 100)
    job = model.create_job(START, firmware, upgrade(keys(1), scope={"productKey": "emulated-product"}))
    model.stop_job(START, job)
    model.delete_job(START, job)
    if seconds:
        with refused(24604):
            model.delete_firmware(START + 19.9, firmware)
    model.delete_firmware(START + seconds, firmware)


def test_verification_takes_no_device_groups():
    """Device groups select for upgrade jobs only."""
    scope = {"type": "partial", "versionNumbers": ["1.0"], "deviceGroupIds": ["g1"]}
    with refused(99400):
        platform(devices=SITES).create_job(START, "fw-2", {"type": "verify", "upgradeScope": scope})


def test_firmware_in_use_is_not_deleted():
    """A firmware goes once no job uses it; an unknown one is 24404."""
    model = platform()
    firmware = model.create_firmware(START, None, METADATA | {"enableVerification": False}, 100)
    job = model.create_job(START, firmware, upgrade(keys(1), scope={"productKey": "emulated-product"}))
    with refused(24604):
        model.delete_firmware(START, firmware)
    model.stop_job(START, job)
    model.delete_job(START, job)
    model.delete_firmware(START, firmware)
    with refused(24404):
        model.delete_firmware(START, firmware)


@pytest.mark.parametrize(
    "change",
    [
        {"name": None},
        {"version": ""},
        {"signMethod": "crc"},
        {"sign": None},
        {"enableVerification": None},
        {"desc": "x" * 513},
        {"maxAllowedForVerification": 0},
        {"minSuccessForVerified": 4},
        {"firmwareTags": []},
        {"firmwareTags": {"line": 1}},
        {"desc": 0},
        {"name": {"defaultValue": "pump", "i18nValue": []}},
        {"name": {"defaultValue": "pump", "i18nValue": {"en_US": 1}}},
    ],
)
def test_firmware_out_of_range_is_refused(change):
    """Missing fields, an unknown digest and numbers out of range are 99400."""
    with refused(99400):
        platform().create_firmware(START, None, METADATA | change, 1)


def test_firmware_version_and_name_are_taken_once():
    """A product has each version (24601) and each name (24602) once."""
    model = platform()
    model.create_firmware(START, None, METADATA, 1)
    with refused(24601):
        model.create_firmware(START, None, METADATA, 1)
    with refused(24602):
        model.create_firmware(START, None, METADATA | {"version": "another"}, 1)
    model.create_firmware(START, "another", METADATA, 1)


def test_firmware_without_product_needs_one_in_the_scope():
    """Device keys name devices only within a product: without one in firmware or scope they are refused."""
    model = platform()
    firmware = model.create_firmware(START, None, METADATA | {"enableVerification": False}, 100)
    with refused(99400):
        model.create_job(START, firmware, upgrade(keys(1)))
    assert model.create_job(START, firmware, upgrade(keys(1), scope={"productKey": "emulated-product"}))


@pytest.mark.parametrize("strict", [True, False])
def test_knob_strict_firmware(strict):
    """An unknown firmware is 24404, or is made on first use, ready to roll out."""
    model = platform(strict_firmware=strict)
    if strict:
        with refused(24404):
            model.create_job(START, "fw-2", upgrade(keys(1)))
    else:
        assert model.create_job(START, "fw-2", upgrade(keys(1)))
        assert get_firmware(model, START, "fw-2")["version"] == "fw-2"


def test_knob_any_device():
    """Unknown keys of the platform's pattern become devices on first use; others stay unknown."""
    assert statuses(_created(platform(any_device=True, devices=[])), 0) == {"published": 2}
    assert statuses(_created(platform(any_device=False, devices=[])), 0) == {}


def _created(model):
    model.create_job(START, "fw-2", upgrade(["dev-one", "dev-two", "x", "dev three"]))
    return model


@pytest.mark.parametrize(("knob", "shown"), [("filled", "emulated-product"), ("null", None)])
def test_knob_job_product_key(knob, shown):
    """Job records name the product, or not."""
    model = platform(job_product_key=knob)
    job = model.create_job(START, "fw-2", upgrade(keys(1)))
    assert get_job(model, START, job)["productKey"] == shown


# --- devices ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "numbers"),
    [
        ("", range(10)),
        ("deviceKey in ('dev-000001','dev-000002') and firmwareVersion='1.0'", [1, 2]),
        ("assetId = 'A3'", [3]),
        ("deviceTags.ring = 'canary'", [0, 1]),
        ("deviceTags.ring != 'canary' and deviceTags.site = 'ulm'", [3, 5, 7, 9]),
        ("exists(deviceAttributes.model) and not exists(deviceTags.none)", range(10)),
        ("deviceAttributes.model in ('m0')", [0, 3, 6, 9]),
        ("status = 'online' and productType = 'Device'", range(10)),
        ("productKey = 'other'", []),
    ],
)
def test_device_search(expression, numbers):
    """Devices are found by every documented field, the latest registered first."""
    model = platform(devices=SITES)
    page = search_devices(model, START, {"expression": expression, "pagination": {"pageSize": 1000}})
    assert [record["deviceKey"] for record in page.records] == [
        f"dev-{n:06d}" for n in sorted(numbers, reverse=True)
    ]


def test_device_record_and_versions():
    """A device's record carries its columns as tags and attributes; a product's versions are listed once each."""
    model = platform(devices=SITES)
    (record,) = search_devices(model, START, {"expression": "deviceKey='dev-000001'"}).records
    assert record["deviceTags"] == {"site": "ulm", "ring": "canary"}
    assert record["deviceAttributes"] == {"model": "m1"}
    assert (record["assetId"], record["firmwareVersion"]) == ("A1", "1.0")
    assert list_versions(model, START, "emulated-product") == ["1.0", "1.1"]


def test_ids_are_owed_to_the_seed():
    """The same seed and calls give the same ids; another seed gives others; none is given twice."""

    def ids(seed):
        model = EmulatedPlatform(seed=seed, start=START, knobs=with_settings(Knobs(any_device=True), NOW))
        made = [model.create_job(START, "fw-2", upgrade(keys(3, 3 * n))) for n in range(3)]
        return made + [t["taskId"] for t in search_tasks(model, START, {}).records]

    assert ids(1) == ids(1)
    assert set(ids(1)).isdisjoint(ids(2))
    assert len(set(ids(1))) == 12
    assert all(len(made) == 24 and int(made, 16) for made in ids(1))


def test_device_does_the_same_in_any_company():
    """What an attempt of a device comes to depends on seed, key and attempt, not on what else there is."""
    field = Population(failed_ratio=0.5)

    def ends(others):
        model = platform(field, any_device=True)
        if others:
            model.create_job(START, "fw-1", upgrade(keys(40, 100)))
        model.create_job(START, "fw-2", upgrade(keys(10)))
        return {k: (t["status"], t["updateTime"]) for k, t in tasks(model, 1e6).items() if k in keys(10)}

    assert ends(others=False) == ends(others=True)


# --- properties ---------------------------------------------------------------------------------------------------------


class PlatformMachine(RuleBasedStateMachine):
    """Any sequence of operations and time steps, over few devices in several jobs, with a rough population."""

    FIELD = Population(
        work_s_median=400,
        first_report_s=(1, 600),
        failed_ratio=0.4,
        offline_ratio=0.3,
        sleeper_ratio=0.1,
        mute_ratio=0.1,
    )

    def __init__(self):
        super().__init__()
        self.at = START
        self.model = EmulatedPlatform(
            start=START,
            population=self.FIELD,
            devices=[(key, {}) for key in keys(12)],
            knobs=Knobs(read_lag_s=0),
        )
        self.scopes = {}
        self.deleted = {}
        self.numbers = {}

    @rule(
        first=st.integers(0, 8),
        count=st.integers(1, 6),
        most=st.integers(1, 3),
        retries=st.integers(0, 2),
        pull=st.booleans(),
        incremental=st.booleans(),
    )
    def create(self, *, first, count, most, retries, pull, incremental):
        policy = {"enableRetry": retries > 0, "retryInterval": 60, "retryCount": retries or 1}
        body = upgrade(
            keys(count, first),
            maximumConcurrency=most,
            retryPolicy=policy,
            enableUpgradeRequest=pull,
            upgradePolicy="incremental" if incremental else "snapshot",
            upgradeTimeout=600,
            scope={"versionNumbers": None},
        )
        job = self.model.create_job(self.at, f"fw-{len(self.model.all_jobs) % 3}", body)
        self.scopes[job] = len(self.model.jobs[job].matched)
        self.numbers[job] = len(self.model.all_jobs) - 1

    @rule(seconds=st.floats(0, 900))
    def wait(self, seconds):
        self.at += seconds
        self.model.advance(self.at)

    @precondition(lambda self: self.model.jobs)
    @rule(
        which=st.integers(0, 20),
        name=st.sampled_from(["start_job", "stop_job", "delete_job", "cancel_tasks", "retry_tasks"]),
        first=st.integers(0, 10),
        count=st.integers(1, 3),
    )
    def operate(self, which, name, first, count):
        job = list(self.model.jobs)[which % len(self.model.jobs)]
        more = [{"deviceKeys": keys(count, first)}] if name.endswith("tasks") else []
        try:
            getattr(self.model, name)(self.at, job, *more)
        except Refusal as refusal:
            if refusal.code not in {24615, 24616, 24617, 24618, 24620, 24621}:
                raise
        else:
            if name == "delete_job":
                self.deleted[job] = len(self.model.all_jobs[self.numbers[job]].tasks)

    @rule(number=st.integers(0, 11), version=st.sampled_from(["1.0", "fw-0", "fw-1"]))
    def report(self, number, version):
        (key,) = keys(1, number)
        self.model.report_device(self.at, key, {"firmwareVersion": version})

    @precondition(lambda self: any(not job.started for job in self.model.jobs.values()))
    @rule()
    def delete_a_stopped_one(self):
        job_id, job = next((i, job) for i, job in self.model.jobs.items() if not job.started)
        self.model.delete_job(self.at, job_id)
        self.deleted[job_id] = len(job.tasks)

    @precondition(lambda self: self.announced())
    @rule(which=st.integers(0, 20))
    def cancel_after_the_announcement(self, which):
        job, key = self.announced()[which % len(self.announced())]
        self.model.cancel_tasks(self.at, job, {"deviceKeys": [key]})

    def announced(self):
        """Return job and device of every announced task that can be cancelled."""
        return [
            (job_id, self.model.devices.keys[job.tasks.devices[position]])
            for job_id, job in self.model.jobs.items()
            if job.started
            for position, status in enumerate(job.tasks.status)
            if status == Status.PUBLISHED
        ]

    @rule(
        stop=st.sampled_from(["continue", "fail"]),
        batch=st.sampled_from(["nothing", "partial_error", "partial_success"]),
        cancelled=st.sampled_from(["failed", "removed"]),
        asks=st.sampled_from(["push_and_pull", "pull_only"]),
        published=st.sampled_from(["over", "goes_on"]),
        counts=st.sampled_from(["kept", "reset"]),
    )
    def turn(self, stop, batch, cancelled, asks, published, counts):  # noqa: PLR0917 - one knob each
        settings = {
            "cancelled_published": published,
            "retry_count": counts,
            "stop_running": stop,
            "batch_errors": batch,
            "cancelled_task": cancelled,
            "upgrade_requests": asks,
        }
        self.model.set_knobs(self.at, settings)

    @invariant()
    def slots_are_kept(self):
        for job in self.model.all_jobs:
            assert 0 <= job.in_progress <= job.definition.maximum_concurrency

    @invariant()
    def counters_are_true(self):
        for job in self.model.all_jobs:
            assert job.counts == [job.tasks.status.count(status) for status in Status]
        assert self.model.meters.in_progress == sum(job.in_progress for job in self.model.all_jobs)

    @invariant()
    def device_is_in_one_upgrade(self):
        at_work = [
            device
            for job in self.model.all_jobs
            for device, status in zip(job.tasks.devices, job.tasks.status, strict=True)
            if status in IN_PROGRESS
        ]
        assert len(at_work) == len(set(at_work))
        # others go on with what was cancelled
        assert set(at_work) <= self.model.at_work
        assert len(self.model.at_work) - len(at_work) == len(self.model._upgrades._going_on)

    @invariant()
    def snapshots_keep_their_number(self):
        for job_id, job in self.model.jobs.items():
            if not job.definition.incremental:
                assert len(job.tasks) + len(job.matched) == self.scopes[job_id]

    @invariant()
    def deleted_jobs_grow_no_more(self):
        for job, size in self.deleted.items():
            assert len(self.model.all_jobs[self.numbers[job]].tasks) == size

    @invariant()
    def nobody_waits_beside_a_free_slot(self):
        """A push task that could go has gone: the queue is only left with a full job, or a stopped one."""
        for job in self.model.jobs.values():
            waiting = [p for p in job.ready if job.tasks.status[p] == Status.INIT]
            assert not waiting or not job.started or job.in_progress == job.definition.maximum_concurrency

    @invariant()
    def readers_see_the_truth_without_lag(self):
        for job in self.model.jobs.values():
            view = self.model.index.jobs[job.id]
            assert (view.status, view.counts, view.started) == (job.tasks.status, job.counts, job.started)


TestPlatformMachine = PlatformMachine.TestCase
TestPlatformMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@given(st.lists(st.floats(0, 10), max_size=60))
def test_most_in_any_second_counts_every_half_open_second(times):
    """The figure equals the largest count over all windows of one second that begin at an arrival."""
    arrivals = sorted(times)
    naive = max((sum(a - 1.0 < b <= a for b in arrivals) for a in arrivals), default=0)
    assert most_in_any_second(arrivals) == naive


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("speed", "1", "no knob is called 'speed'"),
        ("read_lag_s", "long", "a time in seconds"),
        ("read_lag_s", -1, "0 to 86,400"),
        ("error_status", "404", "one of 200, mapped"),
        ("any_device", "maybe", "true or false"),
    ],
)
def test_knob_that_cannot_be_set_says_why(name, value, why):
    """An unknown knob or value is refused by name."""
    with pytest.raises(ValueError, match=why):
        with_settings(Knobs(), {name: value})


def test_defaults_are_the_documented_profile():
    """What an emulator does when nothing is turned: each open point by the reading that follows best from the pages."""
    assert dataclasses.asdict(Knobs()) == {
        "error_status": "200",
        "error_data": "null",
        "created_job": "started",
        "start_after_create": "ignore",
        "device_keys_max": None,
        "source_versions": "optional",
        "several_keys": "all",
        "total_without_product": "all",
        "repeat_daily": "for_ever",
        "daily_times": "instants",
        "zone_s": 0.0,
        "window_for_requests": "ignored",
        "batch_keys_max": None,
        "read_lag_s": 2.0,
        "materialise_s": 1.0,
        "task_order": "shuffled",
        "page_size_excess": "refuse",
        "sorters": "refuse",
        "batch_errors": "nothing",
        "unknown_keys": "wrong",
        "cancelled_task": "failed",
        "cancelled_published": "over",
        "retry_count": "kept",
        "stop_running": "continue",
        "published_timer": "verify",
        "job_product_key": "filled",
        "busy_device": "wait",
        "upgrade_requests": "push_and_pull",
        "deleted_job_tasks": "removed",
        "window_over": "started",
        "verified_by": "successes",
        "second_verification": "beside",
        "firmware_release_s": 0.0,
        "numeric_strings": "accept",
        "unknown_fields": "ignore",
        "strict_firmware": False,
        "any_device": False,
    }


@pytest.mark.parametrize(("knob", "told"), [("refuse", 99400), ("ignore", None)])
def test_knob_sorters(knob, told):
    """sorters, which no search supports, are refused or ignored."""
    model = platform(sorters=knob)
    body = {"pagination": {"sorters": [{"field": "createTime", "order": "ASC"}]}}
    if told is None:
        assert search_jobs(model, START, body).total == 0
    else:
        with refused(told):
            search_jobs(model, START, body)


def test_knobs_are_read_from_text():
    """Every knob can be set from text, as flags and forms give it."""
    knobs = with_settings(Knobs(), {"read_lag_s": "0.5", "any_device": "true", "error_status": 200})
    assert (knobs.read_lag_s, knobs.any_device, knobs.error_status) == (0.5, True, "200")
