"""What all calls have in common: envelope, types, pages, expressions, common refusals. Page: overview."""

import re
import uuid

import pytest

from rollout.emulator.http.faults import FaultPlan

JOBS, FIRMWARE, DEVICES = "ota-jobs", "ota-firmwares", "devices"
SEARCHES = {
    # page: action, resource, version, largest page
    "search_ota_job": ("search", JOBS, "v2.1", 200),
    "search_device_task": ("searchTask", JOBS, "v2.1", 200),
    "search_firmware": ("search", FIRMWARE, "v2.1", 200),
    "search_device_upgrade": ("searchDeviceUpgrade", FIRMWARE, "v2.1", 200),
    "search_device": ("search", DEVICES, "v2.1", 1000),
    "V2.4 search_device": ("search", DEVICES, "v2.4", 1000),
}
all_searches = pytest.mark.parametrize("page", SEARCHES)


def look(tenant, page, **body):
    """Send one of the searches."""
    action, resource, version, _ = SEARCHES[page]
    return tenant.call(action, body, on=resource, version=version)


# --- envelope and types


def test_success_has_code_msg_request_id_and_data(tenant):
    """Success is code 0 with msg OK, a UUID as requestId, and data. Page: overview."""
    answer = tenant.call("search", {})
    assert answer.json.keys() == {"code", "msg", "requestId", "data", "pagination"}
    assert answer.json["code"] == 0
    assert type(answer.json["code"]) is int
    assert answer.json["msg"] == "OK"
    assert str(uuid.UUID(answer.json["requestId"])) == answer.json["requestId"]


def test_refusal_has_code_msg_and_request_id_and_no_data(tenant):
    """A refusal is any other code with its text and a requestId; data is null or absent. Page: overview."""
    answer = tenant.call("get", method="GET", jobId="0" * 24)
    assert answer.code not in {0, None}
    assert answer.msg
    assert uuid.UUID(answer.json["requestId"])
    assert answer.json.get("data") is None


def test_request_ids_differ(tenant):
    """Each call has a requestId of its own. Page: overview."""
    assert len({tenant.call("search", {}).json["requestId"] for _ in range(3)}) == 3


def test_answers_are_json_in_utf_8(tenant):
    """The content type is application/json;charset=UTF-8. Page: overview."""
    content_type = tenant.call("search", {}).headers["content-type"].lower().replace(" ", "")
    assert content_type == "application/json;charset=utf-8"


def test_timestamps_are_milliseconds(writable):
    """CreateTime is in epoch milliseconds, UTC. Page: overview."""
    created = writable.record(writable.job())["createTime"]
    assert type(created) is int
    assert abs(created / 1000 - writable.now()) < 600


@pytest.mark.parametrize("locale", ["zh_CN", "en_US", "ja_JP", "es_ES"])
def test_texts_come_in_languages(writable, locale):
    """A StringI18n keeps its text for a locale beside the default. Page: overview (StringI18n); the last two: samples."""
    name = {"defaultValue": "contract", "i18nValue": {locale: "合同 Ñ"}}
    assert writable.record(writable.job(writable.upgrade(name=name)))["name"] == name


def test_a_text_needs_no_languages(writable):
    """An empty i18nValue is taken. Page: create_ota_job (sample)."""
    name = {"defaultValue": "contract", "i18nValue": {}}
    assert writable.record(writable.job(writable.upgrade(name=name)))["name"]["defaultValue"] == "contract"


# --- pages


@all_searches
def test_without_pagination_the_first_ten_come(tenant, page):
    """PageNo 1 and pageSize 10 are the defaults; sortedBy is null. Page: each search's own."""
    answer = look(tenant, page)
    assert len(answer.data) == min(10, answer.total)
    assert {name: answer.page[name] for name in ("pageNo", "pageSize", "sortedBy")} == {
        "pageNo": 1,
        "pageSize": 10,
        "sortedBy": None,
    }


@all_searches
def test_the_largest_page_is_taken(tenant, page):
    """A page holds up to 200 records, of devices 1,000. Page: each search's own."""
    most = SEARCHES[page][3]
    answer = look(tenant, page, pagination={"pageNo": 1, "pageSize": most})
    assert answer.page["pageSize"] == most
    assert len(answer.data) == min(most, answer.total)


@all_searches
def test_no_page_is_larger_than_the_largest(tenant, page):
    """More than the maximum is never given; whether it is cut or refused no page says. Page: each search's own."""
    most = SEARCHES[page][3]
    answer = look(tenant, page, pagination={"pageNo": 1, "pageSize": most + 1})
    assert answer.code == 99400 or len(answer.data) <= most


@all_searches
def test_total_size_counts_hits_not_pages(tenant, page):
    """TotalSize is the same however large the page. Page: overview (Pagination response)."""
    totals = {look(tenant, page, pagination={"pageNo": 1, "pageSize": size}).total for size in (1, 2, 10)}
    assert len(totals) == 1


@all_searches
@pytest.mark.parametrize("pagination", [{"pageNo": 0}, {"pageSize": 0}], ids=["pageNo", "pageSize"])
def test_pages_and_their_size_begin_at_one(tenant, page, pagination):
    """PageNo starts from 1, and pageSize is above 0. Page: overview (Pagination request)."""
    assert look(tenant, page, pagination=pagination).code != 0


@all_searches
def test_sorters_are_not_supported(tenant, page):
    """Sorters change no order: they are refused or passed over. Page: each search's own."""
    sorters = [{"field": "deviceKey", "order": "ASC"}]
    answer = look(tenant, page, pagination={"sorters": sorters})
    assert answer.code != 0 or answer.data == look(tenant, page).data


def test_pages_follow_each_other(tenant):
    """The pages of an unchanged set hold each record once. Page: search_device."""
    expression = "deviceKey in ({})".format(", ".join(f"'{key}'" for key in tenant.devices))
    seen = []
    for number in range(1, len(tenant.devices) + 2):
        answer = look(
            tenant, "search_device", expression=expression, pagination={"pageNo": number, "pageSize": 1}
        )
        seen += [record["deviceKey"] for record in answer.data]
    assert sorted(seen) == sorted(tenant.devices)


# --- expressions

EXPRESSIONS = {
    "=": "deviceKey = '{a}'",
    "no blanks": "deviceKey='{a}'",
    "in": "deviceKey in ('{a}','{b}')",
    "double quotes": 'deviceKey in ("{a}","{b}")',
    "and": "productKey='{product}' and deviceKey='{a}'",
    "or": "deviceKey='{a}' or deviceKey='{b}'",
    "!=": "deviceKey='{a}' and modelId != 'no such model'",
    "like": "deviceKey='{a}' and deviceName like '{name}'",
    "not exists": "deviceKey='{a}' and not exists(deviceTags.no-such-tag)",
    "exists finds none": "deviceKey='{a}' and exists(deviceTags.no-such-tag)",
    "and finds none": "deviceKey='{a}' and deviceKey='{b}'",
}
FOUND = {"in": "ab", "double quotes": "ab", "or": "ab", "exists finds none": "", "and finds none": ""}


@pytest.mark.parametrize("form", EXPRESSIONS)
def test_expressions_have_these_forms(tenant, form):
    """Each form of the search language finds what it says. Page: overview (expression)."""
    a, b = tenant.devices[:2]
    name = look(tenant, "search_device", expression=f"deviceKey='{a}'").data[0]["deviceName"]["defaultValue"]
    expression = EXPRESSIONS[form].format(a=a, b=b, product=tenant.product, name=name[:8])
    found = {record["deviceKey"] for record in look(tenant, "search_device", expression=expression).data}
    assert found == {{"a": a, "b": b}[which] for which in FOUND.get(form, "a")}


@pytest.mark.parametrize(
    "expression",
    [
        "noSuchField = 'x'",
        "deviceKey > 'x'",
        "deviceKey like 'x'",
        "deviceKey =",
        "deviceKey in ()",
        "deviceKey = 'x' and",
        "deviceKey = 'x",
    ],
)
def test_other_expressions_are_refused(tenant, expression):
    """A field, operator or form the page does not list is not understood. Page: overview (expression)."""
    assert look(tenant, "search_device", expression=expression).code == 99400


# --- common refusals


@pytest.mark.parametrize(
    ("action", "query"),
    [("search", {"orgId": None}), ("search", {"orgId": "o0"}), (None, {}), ("noSuchAction", {})],
    ids=["no orgId", "unknown orgId", "no action", "unknown action"],
)
@pytest.mark.parametrize("resource", [JOBS, FIRMWARE, DEVICES])
def test_query_must_name_action_and_organisation(tenant, resource, action, query):
    """A missing action and an orgId that does not exist are 99400 Invalid Argument. Page: overview (common codes)."""
    answer = tenant.call(action, {}, on=resource, **query)
    assert (answer.code, answer.msg[:16]) == (99400, "Invalid Argument")


def test_permission_is_needed(emulated):
    """Without the permission a call is 99403 Denied resource. Page: overview (common codes)."""
    answer = emulated(denied=frozenset({"search"})).call("search", {})
    assert (answer.code, answer.msg[:16]) == (99403, "Denied resource:")


@pytest.mark.parametrize("resource", [JOBS, FIRMWARE])
@pytest.mark.parametrize(
    ("code", "message"),
    [(24500, "OTA service internal error"), (99500, "Internal Server Error"), (99404, None)],
)
def test_services_can_fail(emulated, resource, code, message):
    """24500 is the OTA service's own failure, 99500 any service's, 99404 an object that is not there, of no fixed text.

    Pages: index_ota, index_firmware, overview (common codes).
    """
    tenant = emulated(faults=FaultPlan.parse([f"error_{code}=1,on=search+firmware"]))
    answer = tenant.call("search", {}, on=resource)
    assert (answer.status, answer.code, answer.json["data"]) == (200, code, None)
    assert message in {None, answer.msg}
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.json["requestId"])
