"""Device search, V2.1 and V2.4: from which a campaign's devices are listed. Pages: search_device, V2.4 search_device."""

import pytest

versions = pytest.mark.parametrize("version", ["v2.1", "v2.4"])


def search(tenant, version, expression, size=1000, **more):
    body = {"expression": expression, "pagination": {"pageNo": 1, "pageSize": size}} | more
    return tenant.call("search", body, on="devices", version=version)


@versions
@pytest.mark.parametrize(
    "field", ["orgId", "assetId", "productKey", "deviceKey", "deviceName", "status", "firmwareVersion"]
)
def test_a_device_record_has_this_field(tenant, version, field):
    """What the search can ask for, the record shows. Page: search_device."""
    found = search(tenant, version, f"productKey='{tenant.product}'").data
    assert found
    assert all(record.get(field) is not None for record in found)


FOUND_BY = {
    "productKey =": "productKey = '{productKey}'",
    "productKey in": "productKey in ('{productKey}', 'other')",
    "deviceKey =": "deviceKey = '{deviceKey}'",
    "deviceKey in": "deviceKey in ('{deviceKey}', 'other')",
    "assetId =": "assetId = '{assetId}'",
    "assetId in": "assetId in ('{assetId}', 'other')",
    "firmwareVersion =": "firmwareVersion = '{firmwareVersion}'",
    "firmwareVersion in": "firmwareVersion in ('{firmwareVersion}', 'other')",
    "status =": "status = '{status}'",
    "productType =": "productType = '{productType}'",
    "modelId =": "modelId = '{modelId}'",
    "modelId !=": "modelId != 'other'",
    "modelId in": "modelId in ('{modelId}', 'other')",
    "deviceName like": "deviceName like '{name}'",
    "tag not exists": "not exists(deviceTags.no-such-tag)",
    "attribute not exists": "not exists(deviceAttributes.no-such-attribute)",
}


@versions
@pytest.mark.parametrize("case", FOUND_BY)
def test_a_device_is_found_by(tenant, version, case):
    """Each field with each of its operators finds the device. Page: search_device (expression)."""
    device = search(tenant, version, f"deviceKey='{tenant.devices[0]}'").data[0]
    # within the device's key, so that it is on the first page
    expression = f"deviceKey='{device['deviceKey']}' and {FOUND_BY[case]}"
    found = search(
        tenant, version, expression.format(**device, name=device["deviceName"]["defaultValue"])
    ).data
    assert [record["deviceKey"] for record in found] == tenant.devices[:1]


@versions
@pytest.mark.parametrize(
    ("expression", "keys"),
    [
        ("deviceTags.line = 'a'", {"contract-1", "contract-6"}),
        ("exists(deviceTags.line) and deviceTags.line != 'a'", {"contract-2", "contract-3"}),
        ("exists(deviceTags.line)", {"contract-1", "contract-2", "contract-3", "contract-6"}),
        ("not exists(deviceTags.line)", {"contract-4", "contract-5"}),
        ("deviceAttributes.rack = '2'", {"contract-2", "contract-6"}),
        ("deviceAttributes.rack in ('1', '3')", {"contract-1", "contract-3"}),
        ("exists(deviceAttributes.rack)", {"contract-1", "contract-2", "contract-3", "contract-6"}),
        ("not exists(deviceAttributes.rack)", {"contract-4", "contract-5"}),
    ],
)
def test_devices_are_found_by_tags_and_attributes(stocked, version, expression, keys):
    """Tags and attributes are compared and asked for. Page: search_device (expression)."""
    assert {record["deviceKey"] for record in search(stocked(), version, expression).data} == keys


@versions
@pytest.mark.parametrize(
    "expression",
    [
        "status != 'online'",
        "deviceKey like 'x'",
        "deviceName = 'x'",
        "deviceTags.line in ('a')",
        "createTime = 1",
    ],
)
def test_devices_cannot_be_searched_by(tenant, version, expression):
    """Other fields and operators than the listed are refused. Page: search_device (expression)."""
    assert search(tenant, version, expression).code == 99400


@versions
def test_a_status_is_one_of_four(tenant, version):
    """inactive, online, offline or disable. Page: search_device (expression)."""
    found = search(tenant, version, f"productKey='{tenant.product}'").data
    assert {record["status"] for record in found} <= {"inactive", "online", "offline", "disable"}


@pytest.mark.parametrize(
    ("version", "more"),
    [
        ("v2.1", {"projection": ["deviceKey"]}),
        ("v2.1", {"populateLastUpdateInfo": True}),
        ("v2.4", {"projection": ["deviceKey"]}),
        ("v2.4", {"populateLastUpdateInfo": True}),
        ("v2.4", {"requireSecret": False}),
    ],
)
def test_a_search_may_ask_for_more_or_less(tenant, version, more):
    """projection, populateLastUpdateInfo and, in V2.4, requireSecret are fields of the body. Page: search_device."""
    found = search(tenant, version, f"deviceKey='{tenant.devices[0]}'", **more).data
    assert [record["deviceKey"] for record in found] == tenant.devices[:1]
