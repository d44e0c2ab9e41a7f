"""Orders become bytes and bytes become outcomes, without a socket in sight."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.core.campaign import JobSpec, Localized, PushSchedule, Scope, TaskRetry
from rollout.core.outcome import Accepted, Found, Rejected, Throttled, Unknown, Unsent
from rollout.enos import limits
from rollout.enos.codes import CREATE_REFUSALS, Operation
from rollout.enos.job_settings import JobSettings, JobType
from rollout.enos.messages import CreateJobBody, JobBrief, JobInfo, SearchBody, unknown_fields
from rollout.enos.translate import (
    Answer,
    NoResponse,
    UnreadableBody,
    any_of,
    clean,
    create_body,
    create_query,
    equals,
    error_of_no_response,
    found,
    is_token_refused,
    like,
    outcome_of_answer,
    outcome_of_no_response,
    read_reply,
    retry_after_s,
    search_body,
    strict_object,
)
from rollout.errors import Failure, Phase, ServiceError
from rollout.ports import CreateCall
from rollout.text import safe

SETTINGS = JobSettings(
    version_numbers=("1.0", "1.10"),
    upgrade_policy="incremental",
    enable_upgrade_request=True,
    product_key="pk",
)
FULL = JobSpec(
    upgrade_timeout_s=600,
    maximum_concurrency=7,
    retry=TaskRetry(enabled=True, interval_s=60, count=2),
    schedule=PushSchedule(start_ms=1, end_ms=2, repeat_daily=True),
    grows=True,
    platform=SETTINGS.to_platform(),
)


def a_call(**changes) -> CreateCall:
    given = {
        "firmware_id": "fw1",
        "name": "c1-w01-b000001-0123456789ab.",
        "label": Localized("Spring", {"en_US": "Spring", "zh_CN": "春"}),
        "spec": FULL,
        "device_keys": b'"d-001","d-002"',
    }
    return CreateCall(**{**given, **changes})


def test_a_whole_upgrade_body():
    """Every setting of the call is in the body, under EnOS's name and in EnOS's unit."""
    assert json.loads(create_body(a_call())) == {
        "name": {
            "defaultValue": "c1-w01-b000001-0123456789ab.",
            "i18nValue": {
                "en_US": "Spring · c1-w01-b000001-0123456789ab.",
                "zh_CN": "春 · c1-w01-b000001-0123456789ab.",
            },
        },
        "type": "upgrade",
        "upgradePolicy": "incremental",
        "enableUpgradeRequest": True,
        "upgradeTimeout": 600,
        "maximumConcurrency": 7,
        "retryPolicy": {"enableRetry": True, "retryInterval": 60, "retryCount": 2},
        "schedulePolicy": {"startTimestamp": 1, "endTimestamp": 2, "isRepeatDaily": True},
        "upgradeScope": {
            "type": "partial",
            "versionNumbers": ["1.0", "1.10"],
            "productKey": "pk",
            "deviceKeys": ["d-001", "d-002"],
        },
    }
    assert create_query("o1", a_call()) == {"action": "create", "orgId": "o1", "firmwareId": "fw1"}


def test_what_was_not_asked_for_is_left_to_the_platform():
    """No retries, no schedule, no product: no field."""
    body = json.loads(create_body(a_call(spec=JobSpec(), label=Localized("x"))))
    assert body.keys() == {
        "name", "type", "upgradePolicy", "enableUpgradeRequest", "upgradeTimeout", "maximumConcurrency", "upgradeScope",
    }  # fmt: skip
    assert body["name"]["i18nValue"] == {}
    assert body["upgradeScope"] == {"type": "partial", "deviceKeys": ["d-001", "d-002"]}


def test_a_verification_body_lists_only_its_own_fields():
    """Whether EnOS ignores or refuses upgrade fields in a verification is not documented."""
    body = json.loads(
        create_body(a_call(spec=replace(FULL, platform=replace(SETTINGS, type=JobType.VERIFY).to_platform())))
    )
    assert body.keys() == {"name", "type", "upgradeTimeout", "upgradeScope"}
    assert body["type"] == "verify"


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (Scope("total"), {"type": "total", "versionNumbers": ["1.0"]}),
        (
            Scope("partial", "tags", {"site": ["a"]}),
            {"type": "partial", "versionNumbers": ["1.0"], "tags": {"site": ["a"]}},
        ),
    ],
    ids=["total", "selector"],
)
def test_a_scope_lets_the_platform_pick(scope, expected):
    """A call with a scope names no devices."""
    create_call = a_call(spec=JobSpec(platform={"versionNumbers": ["1.0"]}), device_keys=b"", scope=scope)
    assert json.loads(create_body(create_call))["upgradeScope"] == expected


def test_extra_fields_go_along_but_replace_nothing():
    """An undocumented field the operator asked for is sent; one of ours cannot be overwritten by it."""
    extra = {"timezoneOffsetInMinutes": 60, "type": "verify", "upgradeScope": {"type": "total"}}
    spec = JobSpec(platform={"extra": extra})
    text = create_body(a_call(spec=spec))
    body = json.loads(text)
    assert body["timezoneOffsetInMinutes"] == 60
    assert body["type"] == "upgrade"
    assert body["upgradeScope"]["type"] == "partial"
    assert text.count(b'"upgradeScope"') == 1


KEYS = st.lists(st.from_regex(r"\A[A-Za-z0-9\-_.]{4,64}\Z"), min_size=1, max_size=30, unique=True)


@given(
    keys=KEYS,
    texts=st.dictionaries(st.sampled_from(["en_US", "zh_CN"]), st.text(st.characters(codec="utf-8"))),
    versions=st.lists(st.text(st.characters(codec="utf-8"), min_size=1), max_size=3),
    verify=st.booleans(),
)
def test_the_spliced_body_is_the_model_s(keys, texts, versions, verify):
    """The bytes put together by hand say what the message model reads, and nothing undocumented."""
    kind = JobType.VERIFY if verify else JobType.UPGRADE
    settings = replace(SETTINGS, version_numbers=tuple(versions), type=kind)
    spec = replace(FULL, platform=settings.to_platform())
    slice_ = ",".join(json.dumps(key) for key in keys).encode()
    text = create_body(a_call(spec=spec, label=Localized("x", texts), device_keys=slice_))
    assert text.isascii()
    message = CreateJobBody.model_validate_json(text)
    assert not list(unknown_fields(message))
    assert message.upgrade_scope.device_keys == keys
    assert message.upgrade_scope.version_numbers == (versions or None)
    assert message.model_dump(by_alias=True, exclude_none=True, mode="json") == json.loads(text)


def test_a_search_body_is_the_model_s():
    """Expression and page are where the search page puts them."""
    body = SearchBody.model_validate_json(search_body("a='b'", page_no=2, page_size=200))
    assert body.expression == "a='b'"
    assert body.pagination is not None
    assert (body.pagination.page_no, body.pagination.page_size) == (2, 200)


def test_expressions_read_as_documented():
    """Comparison, fuzzy match and set."""
    assert equals("firmwareId", "fw1") == "firmwareId='fw1'"
    assert like("name.defaultValue", "c1-w01") == "name.defaultValue like 'c1-w01'"
    assert any_of("jobId", ["a", "b"]) == "jobId in ('a','b')"


@given(st.text(st.characters(exclude_characters="'\"\\", exclude_categories=["C", "Z"]), min_size=1))
def test_a_value_stands_whole_between_its_quotes(value):
    """What is let into an expression is there as it was, and nowhere else."""
    assert equals("deviceKey", value) == f"deviceKey='{value}'"


@given(
    st.text(st.characters()),
    st.sampled_from(["'", '"', "\\", "\n", "\0", "\u202e"]),
    st.text(st.characters()),
)
def test_no_value_can_leave_its_quotes(before, sign, after):
    """A quote, an escape or a control character anywhere is refused before anything is sent."""
    with pytest.raises(ServiceError) as caught:
        any_of("deviceKey", ["d-001", before + sign + after])
    assert caught.value.failure is Failure.REFUSED
    assert caught.value.phase is Phase.CONNECT
    assert str(caught.value).isprintable()


@given(st.text(st.characters()))
def test_foreign_text_becomes_one_short_printable_line(text):
    """Nothing foreign can break a log line, move a cursor or fill a disk."""
    shown = clean(text)
    assert shown == safe(shown), "nothing unsafe is left"
    assert len(shown.splitlines()) <= 1
    assert len(shown) <= limits.MESSAGE_CHARS_MAX
    shown.encode()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("0.5", 0.5),
        ("-5", 0.0),
        ("301", 300.0),
        ("100000000000000000000", 300.0),
        ("1e20", None),
        ("nan", None),
        ("٣", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", None),
        ("soon", None),
        ("", None),
    ],
)
def test_the_wait_asked_for_is_clipped(header, seconds):
    """A18: no gateway can make us wait for a year, or not at all for ever."""
    assert retry_after_s(header) == seconds


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_say_why_not(body):
    """Reading never raises."""
    value = strict_object(body)
    assert isinstance(value, dict | UnreadableBody)


@given(
    status=st.integers(100, 999),
    body=st.one_of(
        st.binary(max_size=60),
        st.dictionaries(
            st.sampled_from(["code", "msg", "data", "message", "requestId"]),
            st.one_of(
                st.sampled_from(
                    [0, 24404, 24610, 99403, 24500, True, "0", None, "OK", {"jobId": "j1"}, {"jobId": ""}]
                ),
                st.sampled_from(["API rate limit exceeded", "Invalid authentication credentials"]),
            ),
        ).map(lambda value: json.dumps(value).encode()),
    ),
)
def test_only_the_positive_list_is_definite(status, body):
    """Whatever comes, an acceptance has a success in full behind it and a refusal a listed one."""
    outcome = outcome_of_answer(Answer(status, body, "application/json"))
    try:
        document = json.loads(body)
    except ValueError:
        document = {}
    match outcome:
        case Accepted(job_id):
            assert status == 200
            assert document["code"] == 0
            assert document["data"] == {"jobId": job_id}
        case Rejected(code):
            assert code in CREATE_REFUSALS or (code == status and "code" not in document)
        case Throttled():
            assert status == 429
            assert document["message"] == "API rate limit exceeded"
        case Unknown(reason):
            assert reason.isprintable()


def test_a_break_is_judged_by_whether_the_request_was_handed_over():
    """The same reason is harmless before the first byte and unknown after it."""
    assert outcome_of_no_response(NoResponse("time-out", handed=False)) == Unsent("time-out")
    assert outcome_of_no_response(NoResponse("paused", handed=False, withheld=True)) == Unsent(
        "paused", withheld=True
    )
    assert outcome_of_no_response(NoResponse("time-out", handed=True)) == Unknown("time-out")
    assert error_of_no_response(NoResponse("time-out", handed=False), Operation.READ).phase is Phase.CONNECT
    assert error_of_no_response(NoResponse("time-out", handed=True), Operation.READ).phase is Phase.SENT


def reply(status=200, body=None, **changes) -> Answer:
    document = {"code": 0, "msg": "OK", "requestId": "r-1", "data": {"jobId": "j1"}} if body is None else body
    return Answer(status, json.dumps(document).encode(), "application/json", **changes)


def test_a_readable_reply_is_read():
    """Data comes as the type asked for."""
    assert read_reply(reply(), Operation.READ, JobInfo).data == JobInfo(job_id="j1")


@pytest.mark.parametrize(
    ("answer", "phase", "code", "failure"),
    [
        (reply(body={"code": 24404, "msg": "Job not found"}), Phase.ANSWERED, 24404, Failure.GONE),
        (reply(body={"code": 99400, "msg": "Invalid"}), Phase.ANSWERED, 99400, Failure.REFUSED),
        (reply(body={"code": 99403, "msg": "Denied"}), Phase.ANSWERED, 99403, Failure.CREDENTIALS),
        (reply(body={"code": 24500, "msg": "failed"}), Phase.ANSWERED, 24500, Failure.UNAVAILABLE),
        (reply(body={"code": 24699, "msg": "?"}), Phase.ANSWERED, 24699, Failure.REFUSED),
        (reply(404, {"code": 24404, "msg": "mapped"}), Phase.ANSWERED, 24404, Failure.GONE),
        (reply(503, {"message": "Service unavailable"}), Phase.ANSWERED, None, Failure.UNAVAILABLE),
        (reply(429, {"message": "API rate limit exceeded"}), Phase.REFUSED, None, Failure.THROTTLED),
        (reply(401, {"message": "Invalid authentication credentials"}), Phase.REFUSED, None, Failure.CREDENTIALS),
        (reply(403, {"message": "Your IP address is not allowed"}), Phase.REFUSED, None, Failure.CREDENTIALS),
        (reply(413, {"message": "Request size limit exceeded"}), Phase.REFUSED, None, Failure.TOO_LARGE),
        (reply(302, {}, location_host="elsewhere"), Phase.ANSWERED, None, Failure.REFUSED),
        (reply(200, {"hello": 1}), Phase.ANSWERED, None, Failure.UNREADABLE),
        (reply(500), Phase.ANSWERED, None, Failure.UNREADABLE),
        (reply(body={"code": 0, "data": {"jobId": 5}}), Phase.ANSWERED, None, Failure.UNREADABLE),
        (reply(body={"code": "0", "data": {}}), Phase.ANSWERED, None, Failure.UNREADABLE),
        (Answer(200, b"<html>", "text/html"), Phase.ANSWERED, None, Failure.UNREADABLE),
        (Answer(200, b"{}", truncated=True), Phase.ANSWERED, None, Failure.UNREADABLE),
        (Answer(404, b"not here", "text/plain"), Phase.ANSWERED, None, Failure.REFUSED),
        (Answer(401, b"log in", "text/plain"), Phase.ANSWERED, None, Failure.UNREADABLE),
        (Answer(403, b"go away", "text/plain"), Phase.ANSWERED, None, Failure.REFUSED),
    ],
)  # fmt: skip
def test_a_read_that_failed_says_how(answer, phase, code, failure):
    """Every failure has its phase, the platform's code and what it is in the engine's words."""
    with pytest.raises(ServiceError) as caught:
        read_reply(answer, Operation.READ, JobInfo)
    error = caught.value
    assert (error.phase, error.platform_code, error.failure) == (phase, code, failure)
    assert error.message.isprintable()
    assert error.__context__ is None


def test_a_refused_token_after_renewal_is_permanent():
    """Renewing twice would not help."""
    answer = reply(401, {"message": "Invalid authentication credentials"})
    assert is_token_refused(answer)
    with pytest.raises(ServiceError) as caught:
        read_reply(answer, Operation.READ, JobInfo, renewed=True)
    assert caught.value.failure is Failure.CREDENTIALS


def test_throttled_reads_carry_the_wait_asked_for():
    """The shared limiter may slow down by what the gateway said."""
    answer = reply(429, {"message": "API rate limit exceeded"}, retry_after="12")
    with pytest.raises(ServiceError) as caught:
        read_reply(answer, Operation.READ, JobInfo)
    assert caught.value.retry_after_s == 12.0


def test_a_job_seen_is_what_the_engine_knows_of_it():
    """Missing fields become empty, never None in disguise."""
    job = JobBrief.model_validate(
        {"jobId": "j1", "name": {"defaultValue": "n"}, "firmwareId": "f", "type": "upgrade"}
    )
    assert found(job) == Found("j1", "n", "f", "upgrade")
    assert found(JobBrief(job_id="j1")) == Found("j1", "", "", "")
