"""Search, cancel and retry tasks. Pages: search_device_task, cancel_ota_task, retry_ota_task."""

import pytest

STATUSES = {"init", "published", "upgrading", "succeeded", "failed"}
TASK_INFO = {
    "taskId": str,
    "orgId": str,
    "assetId": str,
    "productKey": str,
    "deviceKey": str,
    "jobId": str,
    "fromVersion": str,
    "toVersion": str,
    "progress": int,
    "desc": str,
    "status": str,
    "updateTime": int,
}


@pytest.fixture
def job(writable):
    """A started job of two devices that wait for tomorrow."""
    job = writable.job()
    if writable.record(job)["status"] == "stopped":
        writable.call("start", jobId=job)
        writable.settle()
    return job


def change(tenant, action, job, keys):
    """Cancel or retry the tasks of some devices."""
    return tenant.call(action, {"deviceKeys": keys}, jobId=job)


# --- the record


@pytest.mark.parametrize("field", TASK_INFO)
def test_a_record_has_this_field(writable, job, field):
    """Each field is there with its type. Page: search_device_task (TaskInfo struct)."""
    for task in writable.tasks(job).values():
        assert type(task[field]) is TASK_INFO[field]


def test_a_record_is_of_its_job_and_device(writable, job):
    """A record names organisation, job, device and both versions. Page: search_device_task (TaskInfo struct)."""
    target = writable.record(job)["firmwareVersion"]
    for key, task in writable.tasks(job).items():
        assert (task["orgId"], task["jobId"], task["deviceKey"]) == (writable.caller.org, job, key)
        assert (task["fromVersion"], task["toVersion"]) == (writable.version, target)
        assert task["status"] in STATUSES


def test_a_waiting_task_is_init(writable, job):
    """Outside its schedule a job pushes nothing: its tasks wait in init. Pages: search_device_task, 2.1 batch_upgrading."""
    assert set(writable.statuses(job).values()) == {"init"}


# --- search

FOUND_BY = {
    "jobId =": "jobId = '{jobId}'",
    "jobId in": "jobId in ('{jobId}', 'other')",
    "deviceKey =": "deviceKey = '{deviceKey}'",
    "deviceKey in": "deviceKey in ('{deviceKey}', 'other')",
    "fromVersion =": "fromVersion = '{fromVersion}'",
    "fromVersion in": "fromVersion in ('{fromVersion}', 'other')",
    "toVersion =": "toVersion = '{toVersion}'",
    "toVersion in": "toVersion in ('{toVersion}', 'other')",
    "status =": "status = '{status}'",
    "status in": "status in ('{status}', 'succeeded')",
    "desc =": "desc = '{desc}'",
    "desc in": "desc in ('{desc}', 'other')",
    "and": "deviceKey = '{deviceKey}' and status = '{status}'",
}


@pytest.mark.parametrize("case", FOUND_BY)
def test_a_task_is_found_by(writable, job, case):
    """Each field with each of its operators finds the task. Page: search_device_task (expression)."""
    task = writable.tasks(job)[writable.devices[0]]
    # within the job, so that it is on the first page
    expression = f"jobId = '{job}' and ({FOUND_BY[case].format(**task)})"
    found = writable.call("searchTask", {"expression": expression}).data
    assert task["taskId"] in {record["taskId"] for record in found}


@pytest.mark.parametrize("field", ["jobId", "deviceKey", "fromVersion", "toVersion", "status", "desc"])
def test_a_task_is_not_found_by_another_value(writable, job, field):
    """Another value does not find it. Page: search_device_task (expression)."""
    expression = f"jobId = '{job}' and {field} = 'other'"
    assert writable.call("searchTask", {"expression": expression}).total == 0


@pytest.mark.parametrize(
    "expression",
    [
        "taskId = 'x'",
        "productKey = 'x'",
        "assetId = 'x'",
        "progress = 100",
        "updateTime = 1",
        "orgId = 'x'",
        "jobId like 'x'",
        "status != 'failed'",
        "desc like 'x'",
    ],
)
def test_tasks_cannot_be_searched_by(tenant, expression):
    """Other fields and operators than the listed are refused. Page: search_device_task (expression)."""
    assert tenant.call("searchTask", {"expression": expression}).code == 99400


def test_tasks_are_counted_by_status(writable, job):
    """TotalSize of a page of one counts the tasks of a job in a status. Page: search_device_task (pagination)."""
    counts = {
        status: writable.call(
            "searchTask",
            {
                "expression": f"jobId='{job}' and status='{status}'",
                "pagination": {"pageNo": 1, "pageSize": 1},
            },
        ).total
        for status in STATUSES
    }
    assert counts == dict.fromkeys(STATUSES, 0) | {"init": 2}


# --- cancel and retry


@pytest.mark.parametrize("action", ["cancelTask", "retryTask"])
@pytest.mark.parametrize("body", [None, {}, {"deviceKeys": []}], ids=["no body", "no list", "empty list"])
def test_device_keys_are_mandatory(writable, job, action, body):
    """DeviceKeys must name devices. Pages: cancel_ota_task, retry_ota_task (body)."""
    assert writable.call(action, body, jobId=job).code == 99400


@pytest.mark.parametrize("action", ["cancelTask", "retryTask"])
def test_the_job_must_run(writable, job, action):
    """In a stopped job nothing is cancelled or retried: 24617. Pages: cancel_ota_task, retry_ota_task (error codes)."""
    writable.call("stop", jobId=job)
    answer = change(writable, action, job, writable.devices[:1])
    assert (answer.code, answer.msg) == (24617, "Job not running")


def test_a_waiting_task_can_be_cancelled(writable, job):
    """Cancelling answers data null; the task waits no longer. Page: cancel_ota_task."""
    answer = change(writable, "cancelTask", job, writable.devices[:1])
    assert (answer.code, answer.json["data"]) == (0, None)
    writable.settle()
    assert writable.statuses(job).get(writable.devices[0]) != "init"
    assert writable.statuses(job)[writable.devices[1]] == "init"


def test_a_cancelled_task_cannot_be_cancelled(writable, job):
    """What is neither init nor published is 24620. Page: cancel_ota_task (error codes)."""
    change(writable, "cancelTask", job, writable.devices[:1])
    writable.settle()
    answer = change(writable, "cancelTask", job, writable.devices[:1])
    assert (answer.code, answer.msg) == (24620, "Only init or published tasks can be canceled")


def test_a_cancelled_task_says_so(writable, job):
    """Envision's Python sample finds cancelled tasks by their desc, Cancelled by user."""
    change(writable, "cancelTask", job, writable.devices[:1])
    writable.settle()
    found = writable.call("searchTask", {"expression": f"jobId='{job}' and desc='Cancelled by user'"})
    assert [task["deviceKey"] for task in found.data] == writable.devices[:1]


def test_a_waiting_task_cannot_be_retried(writable, job):
    """What has not failed is 24621. Page: retry_ota_task (error codes)."""
    answer = change(writable, "retryTask", job, writable.devices[:1])
    assert (answer.code, answer.msg) == (24621, "Only failed tasks can be retried")


def test_a_cancelled_task_can_be_retried(writable, job):
    """Envision's Python sample retries tasks that failed or were cancelled: data null, and the task is alive again."""
    change(writable, "cancelTask", job, writable.devices[:1])
    writable.settle()
    answer = change(writable, "retryTask", job, writable.devices[:1])
    assert (answer.code, answer.json["data"]) == (0, None)
    writable.settle()
    assert writable.statuses(job)[writable.devices[0]] == "init"
