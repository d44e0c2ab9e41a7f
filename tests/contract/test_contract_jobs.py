"""Get, search, start, stop and delete jobs. Pages: get_ota_job, search_ota_job, start_, stop_ and delete_ota_job."""

import pytest

TEXTS = {"defaultValue": str, "i18nValue": dict}
JOB_INFO = {
    # field: types it may have
    "orgId": (str,),
    "productKey": (str, type(None)),
    "jobId": (str,),
    "name": (dict,),
    "firmwareId": (str,),
    "firmwareVersion": (str,),
    "firmwareName": (dict,),
    "type": (str,),
    "enableUpgradeRequest": (bool,),
    "upgradePolicy": (str, type(None)),
    "upgradeScope": (dict,),
    "upgradeTimeout": (int,),
    "retryPolicy": (dict, type(None)),
    "schedulePolicy": (dict, type(None)),
    "maximumConcurrency": (int,),
    "status": (str,),
    "createTime": (int,),
}


@pytest.fixture
def job(writable):
    """A job of its own name in two languages; its third has only the default."""
    name = {"defaultValue": "contract-Default", "i18nValue": {"zh_CN": "contract-合同"}}
    return writable.job(writable.upgrade(name=name))


def find(tenant, expression, size=200):
    """Return the jobs an expression finds, by id in the order they come."""
    body = {"expression": expression, "pagination": {"pageNo": 1, "pageSize": size}}
    return [record["jobId"] for record in tenant.call("search", body).data]


# --- the record


@pytest.mark.parametrize("field", JOB_INFO)
def test_a_record_has_this_field(writable, job, field):
    """Each field is there with its type. Page: get_ota_job (JobInfo struct)."""
    record = writable.record(job)
    assert type(record[field]) in JOB_INFO[field]


def test_a_record_repeats_what_was_ordered(writable, job):
    """Organisation, ids, type, policy and scope are those of the create call. Page: get_ota_job (JobInfo struct)."""
    record = writable.record(job)
    assert (record["orgId"], record["jobId"], record["firmwareId"]) == (
        writable.caller.org,
        job,
        writable.firmware,
    )
    assert (record["type"], record["upgradePolicy"], record["enableUpgradeRequest"]) == (
        "upgrade",
        "snapshot",
        False,
    )
    assert record["upgradeScope"]["deviceKeys"] == writable.devices[:2]
    assert record["upgradeScope"]["versionNumbers"] == [writable.version]


def test_search_shows_the_same_record(writable, job):
    """A job is found with the very record that get gives. Pages: search_ota_job, get_ota_job."""
    found = writable.call("search", {"expression": "name like 'contract-Default'"}).data
    assert writable.record(job) in found


def test_a_record_has_no_counters(writable, job):
    """Nothing in a record tells of totals, successes or failures. Page: get_ota_job (JobInfo struct)."""
    assert not [name for name in writable.record(job) if "count" in name.lower() or "task" in name.lower()]


def test_a_job_is_started_or_stopped(writable, job):
    """A job's status is started or stopped, and follows start and stop. Page: get_ota_job (JobInfo struct)."""
    if writable.record(job)["status"] == "stopped":
        writable.call("start", jobId=job)
        writable.settle()
    assert writable.record(job)["status"] == "started"
    writable.call("stop", jobId=job)
    writable.settle()
    assert writable.record(job)["status"] == "stopped"


# --- search

FOUND_BY = {
    "productKey =": "productKey = '{product}'",
    "productKey in": "productKey in ('{product}', 'other')",
    "firmwareId =": "firmwareId = '{firmware}'",
    "firmwareId in": "firmwareId in ('{firmware}', 'other')",
    "type =": "type = 'upgrade'",
    "status =": "status = '{status}'",
    "firmwareVersion =": "firmwareVersion = '{version}'",
    "firmwareVersion in": "firmwareVersion in ('{version}', 'other')",
    "firmwareName like": "firmwareName like '{firmware_name}'",
    "firmwareName.defaultValue like": "firmwareName.defaultValue like '{firmware_name}'",
    "firmwareName.zh_CN like": "firmwareName.zh_CN like '{firmware_name}'",
    "firmwareName.en_US like": "firmwareName.en_US like '{firmware_name}'",
    "name like, default": "name like 'contract-Default'",
    "name like, Chinese": "name like 'contract-合同'",
    "name like, a part": "name like 'act-Def'",
    "name.defaultValue like": "name.defaultValue like 'contract-Default'",
    "name.zh_CN like": "name.zh_CN like 'contract-合同'",
    "name.en_US like, by default": "name.en_US like 'contract-Default'",
    "and": "type = 'upgrade' and firmwareId = '{firmware}'",
}
NOT_FOUND_BY = {
    "productKey =": "productKey = 'other'",
    "firmwareId in": "firmwareId in ('other', 'another')",
    "type =": "type = 'verify'",
    "name.defaultValue like": "name.defaultValue like 'contract-合同'",
    "name.zh_CN like": "name.zh_CN like 'contract-Default'",
}


def filled(tenant, job, expression):
    """Return the expression with what is known of the job."""
    record = tenant.record(job)
    return expression.format(
        product=record["productKey"],
        firmware=record["firmwareId"],
        status=record["status"],
        version=record["firmwareVersion"],
        firmware_name=record["firmwareName"]["defaultValue"],
    )


@pytest.mark.parametrize("case", FOUND_BY)
def test_a_job_is_found_by(writable, job, case):
    """Each field with each of its operators finds the job. Page: search_ota_job (expression)."""
    expression = filled(writable, job, FOUND_BY[case])
    assert job in find(writable, expression)


@pytest.mark.parametrize("case", NOT_FOUND_BY)
def test_a_job_is_not_found_by(writable, job, case):
    """What does not fit does not find it. Page: search_ota_job (expression)."""
    assert job not in find(writable, NOT_FOUND_BY[case])


@pytest.mark.parametrize(
    "expression",
    [
        "jobId = 'x'",
        "createTime = 1",
        "name = 'contract'",
        "name in ('contract')",
        "firmwareName = 'x'",
        "type in ('upgrade')",
        "status in ('started')",
        "firmwareId like 'x'",
        "upgradePolicy = 'snapshot'",
    ],
)
def test_jobs_cannot_be_searched_by(tenant, expression):
    """Other fields and operators than the listed are refused. Page: search_ota_job (expression)."""
    assert tenant.call("search", {"expression": expression}).code == 99400


def test_jobs_come_newest_first(writable):
    """Jobs are sorted by createTime, newest first. Page: search_ota_job."""
    made = []
    for _ in range(3):
        made.append(writable.create(writable.upgrade()).data["jobId"])
        writable.wait(1)
    writable.settle()
    found = find(writable, f"firmwareId = '{writable.firmware}'")
    assert [job for job in found if job in made] == made[::-1]


# --- start, stop, delete


@pytest.mark.parametrize("action", ["get", "start", "stop", "delete", "cancelTask", "retryTask"])
class TestJobId:
    def test_is_mandatory(self, tenant, action):
        """Without jobId the call is refused. Page: the operation's own (URI parameters)."""
        assert tenant.call(action, {"deviceKeys": ["x"]} if action.endswith("Task") else None).code == 99400

    def test_must_exist(self, tenant, action):
        """An unknown jobId is 24404 Job not found. Page: the operation's own (error codes)."""
        body = {"deviceKeys": ["device"]} if action.endswith("Task") else None
        answer = tenant.call(action, body, jobId="0" * 24)
        assert (answer.code, answer.msg) == (24404, "Job not found")


@pytest.mark.parametrize("body", [None, {}], ids=["no body", "empty body"])
def test_stop_and_start_switch_a_job(writable, job, body):
    """Both answer data null; no body is documented, Envision's sample sends {}. Pages: stop_ota_job, start_ota_job."""
    writable.call("start", body, jobId=job)
    for action in ("stop", "start"):
        answer = writable.call(action, body, jobId=job)
        assert (answer.code, answer.json["data"]) == (0, None)


def test_a_started_job_cannot_be_started(writable, job):
    """Starting what runs is 24615 Job has started. Page: start_ota_job (error codes)."""
    writable.call("start", jobId=job)
    answer = writable.call("start", jobId=job)
    assert (answer.code, answer.msg) == (24615, "Job has started")


def test_a_stopped_job_cannot_be_stopped(writable, job):
    """Stopping what stands is 24616 Job has stopped. Page: stop_ota_job (error codes)."""
    writable.call("stop", jobId=job)
    answer = writable.call("stop", jobId=job)
    assert (answer.code, answer.msg) == (24616, "Job has stopped")


def test_a_started_job_cannot_be_deleted(writable, job):
    """Deleting what runs is 24618 Not allowed to delete running job. Page: delete_ota_job (error codes)."""
    writable.call("start", jobId=job)
    answer = writable.call("delete", jobId=job)
    assert (answer.code, answer.msg) == (24618, "Not allowed to delete running job")


@pytest.mark.parametrize("body", [None, {}], ids=["no body", "empty body"])
def test_a_stopped_job_can_be_deleted_for_good(writable, job, body):
    """Stop, then delete: data null, and the job is gone. Pages: delete_ota_job, managing_ota_tasks."""
    writable.call("stop", jobId=job)
    answer = writable.call("delete", body, jobId=job)
    assert (answer.code, answer.json["data"]) == (0, None)
    writable.settle()
    assert writable.call("get", method="GET", jobId=job).code == 24404
    assert job not in find(writable, "name like 'contract-Default'")


def test_get_is_taken_as_a_post_with_an_empty_body(writable, job):
    """Envision's Python sample sends get as a POST with {}; it is answered alike."""
    assert writable.call("get", {}, jobId=job).data == writable.record(job)


# --- reads lag


def test_a_read_is_right_two_seconds_after_a_write(writable, job):
    """About two seconds after a change, reads show it. Pages: get_ota_job, search_ota_job (note)."""
    writable.call("start", jobId=job)
    writable.call("stop", jobId=job)
    writable.wait(2)
    assert writable.record(job)["status"] == "stopped"
    assert job in find(writable, "status = 'stopped' and name like 'contract-Default'")
