"""The wire's own words: what is read, what is kept, what is never sent."""

import pytest
from pydantic import ValidationError

from rollout.enos.messages import (
    CreateJobBody,
    Envelope,
    JobBrief,
    JobInfo,
    PageInfo,
    SearchBody,
    StringI18n,
    TaskInfo,
    TokenReply,
    TokenRequest,
    unknown_fields,
)

UPGRADE = {
    "name": {"defaultValue": "wave-3", "i18nValue": {}},
    "type": "upgrade",
    "upgradePolicy": "snapshot",
    "enableUpgradeRequest": False,
    "upgradeScope": {"type": "partial", "versionNumbers": ["1.0"], "deviceKeys": ["d-001", "d-002"]},
    "upgradeTimeout": 3600,
    "maximumConcurrency": 50,
    "retryPolicy": {"enableRetry": True, "retryInterval": 600, "retryCount": 2},
    "schedulePolicy": {"isRepeatDaily": True, "startTimestamp": 1, "endTimestamp": 2},
}
VERIFY = {
    "type": "verify",
    "upgradeScope": {"type": "partial", "versionNumbers": ["1.0"], "deviceKeys": ["d-001"]},
}


def wire(message) -> dict:
    return message.model_dump(by_alias=True, exclude_none=True, mode="json")


@pytest.mark.parametrize("body", [UPGRADE, VERIFY], ids=["upgrade", "verify"])
def test_a_create_body_survives_reading_and_writing(body):
    """Every documented field has its place and its wire name."""
    message = CreateJobBody.model_validate(body)
    assert wire(message) == body
    assert not list(unknown_fields(message))


def test_the_older_form_of_a_create_body_is_read():
    """The page's own sample sends seconds of the day, Envision's Python sample numbers in quotes."""
    body = {
        **UPGRADE,
        "upgradeTimeout": "600",
        "startSchedule": 0,
        "endSchedule": 86399,
        "startAfterCreate": True,
    }
    body["retryPolicy"] = {"enableRetry": True, "retryInterval": "10", "retryCount": "1"}
    body["schedulePolicy"] = {"startTimestamp": 1, "endTimestamp": 2, "timezoneOffsetInMinutes": 60}
    message = CreateJobBody.model_validate(body)
    assert (message.upgrade_timeout, message.end_schedule, message.start_after_create) == (600, 86399, True)
    assert not list(unknown_fields(message))


@pytest.mark.parametrize(
    "change",
    [
        {"type": "downgrade"},
        {"type": None},
        {"upgradeScope": None},
        {"upgradePolicy": None},
        {"upgradePolicy": "sometimes"},
        {"enableUpgradeRequest": None},
        {"upgradeTimeout": 299},
        {"upgradeTimeout": 172_801},
        {"upgradeTimeout": True},
        {"maximumConcurrency": 0},
        {"retryPolicy": {"enableRetry": True, "retryInterval": 86_401, "retryCount": 1}},
        {"retryPolicy": {"enableRetry": True, "retryInterval": -1, "retryCount": 1}},
        {"retryPolicy": {"enableRetry": True, "retryInterval": 0, "retryCount": 0}},
        {"retryPolicy": {"enableRetry": True, "retryInterval": 0, "retryCount": 6}},
        {"retryPolicy": {"enableRetry": True}},
        {"schedulePolicy": {"startTimestamp": 2, "endTimestamp": 2}},
        {"upgradeScope": {"type": "some"}},
        {"upgradeScope": {"type": "partial", "deviceKeys": ["d"], "assetIds": ["a"]}},
        {"upgradeScope": {"type": "partial", "assetTrees": [{"treeId": str(n)} for n in range(6)]}},
        {"upgradeScope": {"type": "partial", "assetTrees": [{"includedNodes": []}]}},
    ],
    ids=str,
)
def test_a_create_body_out_of_range_is_refused(change):
    """What the page forbids does not leave the house."""
    with pytest.raises(ValidationError):
        CreateJobBody.model_validate({**UPGRADE, **change})


@pytest.mark.parametrize(
    ("timeout", "interval", "count"), [(300, 0, 1), (172_800, 86_400, 5)], ids=["least", "most"]
)
def test_the_ends_of_the_ranges_are_inside(timeout, interval, count):
    """Ranges are meant with their ends."""
    retry = {"enableRetry": True, "retryInterval": interval, "retryCount": count}
    CreateJobBody.model_validate({**UPGRADE, "upgradeTimeout": timeout, "retryPolicy": retry})


def test_what_enos_answers_with_a_code_is_not_refused_here():
    """A verification job over everything is 24611, so the platform must get to see it."""
    CreateJobBody.model_validate({"type": "verify", "upgradeScope": {"type": "total"}})


def test_unknown_fields_are_found_at_any_depth():
    """The misspelling in Envision's sample would widen a job to a whole tree; somebody can ask for it."""
    scope = {"type": "partial", "assetTrees": [{"treeId": "t", "includedNotes": ["n"]}]}
    message = CreateJobBody.model_validate({**UPGRADE, "upgradeScope": scope, "color": 1})
    assert list(unknown_fields(message)) == ["color", "upgradeScope.assetTrees.includedNotes"]


def test_a_job_record_is_read_as_it_comes():
    """Unused selectors are null, numbers may be text, new statuses and fields are carried along."""
    job = JobInfo.model_validate(
        {
            "jobId": "j1",
            "productKey": None,
            "name": {"defaultValue": "n", "i18nValue": {"ja_JP": "な"}},
            "upgradeScope": {"type": "partial", "tags": None, "assetTrees": None, "deviceKeys": ["d"]},
            "retryPolicy": {"enableRetry": False, "retryInterval": 0, "retryCount": 0},
            "upgradePolicy": None,
            "upgradeTimeout": "7200",
            "status": "hibernating",
            "createTime": "1600000000000",
            "future": {"a": 1},
        }
    )
    assert (job.status, job.create_time, job.upgrade_timeout) == ("hibernating", 1_600_000_000_000, 7200)
    assert list(unknown_fields(job)) == ["future"]
    assert wire(job)["future"] == {"a": 1}


def test_a_stranger_s_record_is_recognised_whatever_else_it_holds():
    """Odd fields of other people's jobs do not blind us to our own."""
    assert JobBrief.model_validate({"jobId": "j1", "upgradeScope": "?", "retryPolicy": 7}).job_id == "j1"


def test_a_task_record_is_read_as_it_comes():
    """Progress may be negative, a status may be new."""
    task = TaskInfo.model_validate(
        {
            "taskId": "t",
            "jobId": "j",
            "deviceKey": "d",
            "progress": "-4",
            "status": "resting",
            "updateTime": 5,
        }
    )
    assert (task.progress, task.status) == (-4, "resting")


@pytest.mark.parametrize("code", ["0", False, 0.0, None])
def test_a_code_is_a_true_integer(code):
    """Zero in any other form is no success."""
    with pytest.raises(ValidationError):
        Envelope[object].model_validate({"code": code})


def test_the_envelope_carries_its_page():
    """A search says where it stands and how much there is."""
    page = {"sortedBy": None, "pageNo": 1, "pageSize": 50, "totalSize": "120"}
    reply = Envelope[list[JobInfo]].model_validate({"code": 0, "msg": "OK", "data": [], "pagination": page})
    assert reply.pagination == PageInfo(page_no=1, page_size=50, total_size=120)


def test_a_search_asks_for_ten_rows_by_default():
    """Without a page EnOS sends the first ten."""
    body = SearchBody.model_validate({"pagination": {}})
    assert body.pagination is not None
    assert (body.pagination.page_no, body.pagination.page_size) == (1, 10)


def test_names_carry_enos_s_spelling():
    """The generator's i18NValue would be ignored by the platform."""
    assert wire(StringI18n(default_value="a", i18n_value={"en_US": "b"})) == {
        "defaultValue": "a",
        "i18nValue": {"en_US": "b"},
    }


@pytest.mark.parametrize("timestamp", [1600000000000, "1600000000000"])
def test_a_token_request_takes_its_timestamp_in_both_forms(timestamp):
    """The docs send a number, Envision's Java client a string."""
    body = {"appKey": "k", "encryption": "e", "timestamp": timestamp}
    assert TokenRequest.model_validate(body).timestamp == 1600000000000


def test_validation_errors_do_not_repeat_their_input():
    """A body with a token in it must not reach a log by way of an error."""
    with pytest.raises(ValidationError) as caught:
        TokenReply.model_validate({"status": "canary-1", "data": {"accessToken": ["canary-2"]}})
    assert "canary" not in str(caught.value)
    reply = TokenReply.model_validate({"status": 0, "data": {"accessToken": "canary-3"}})
    assert "canary" not in repr(reply)
