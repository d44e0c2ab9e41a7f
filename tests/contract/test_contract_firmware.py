"""Firmware: create, get, search, list versions, search device upgrades, delete. Pages: create_firmware and siblings."""

import hashlib
import uuid

import pytest
from contract_tenant import FILE, metadata

FIRMWARE = "ota-firmwares"
FIRMWARE_INFO = {
    "orgId": (str,),
    "firmwareId": (str,),
    "productKey": (str, type(None)),
    "name": (dict,),
    "version": (str,),
    "desc": (str,),
    "signMethod": (str,),
    "sign": (str,),
    "fileUrl": (str,),
    # documented as String, a number in the page's sample
    "fileSize": (str, int),
    "enableVerification": (bool,),
    "isVerified": (bool,),
    "createTime": (int,),
}
DEVICE_FIRMWARE = {
    "orgId": str,
    "assetId": str,
    "productKey": str,
    "deviceKey": str,
    "firmwareVersion": str,
    "isUpgrading": bool,
}


def record_of(tenant, firmware):
    return tenant.call("get", method="GET", on=FIRMWARE, firmwareId=firmware).data


def search(tenant, action, expression, size=200):
    body = {"expression": expression, "pagination": {"pageNo": 1, "pageSize": size}}
    return tenant.call(action, body, on=FIRMWARE)


# --- create; on emulators only, as a real organisation would keep the files


@pytest.mark.parametrize("field", ["name", "version", "signMethod", "sign", "enableVerification"])
def test_metadata_must_have(emulated, field):
    """Five fields are mandatory. Page: create_firmware (metadata)."""
    assert emulated().caller.upload(metadata(**{field: None}), productKey="p").code == 99400


TAKEN = {
    "nothing more": {},
    "signed by md5": {"signMethod": "md5", "sign": hashlib.md5(FILE).hexdigest()},
    "signed by sha256": {"signMethod": "sha256"},
    "desc of 512 characters": {"desc": "d" * 512},
    "tags": {"firmwareTags": {"line": "a"}},
    "verification": {"enableVerification": True},
    "as few as one to verify": {"maxAllowedForVerification": 1, "minSuccessForVerified": 1},
    "as many to succeed as allowed": {"maxAllowedForVerification": 7, "minSuccessForVerified": 7},
}
REFUSED = {
    "another sign method": {"signMethod": "crc32"},
    "desc of 513 characters": {"desc": "d" * 513},
    "none to verify": {"maxAllowedForVerification": 0},
    "none to succeed": {"minSuccessForVerified": 0},
    "more to succeed than allowed": {"maxAllowedForVerification": 2, "minSuccessForVerified": 3},
}


@pytest.mark.parametrize("case", TAKEN)
def test_metadata_is_taken(emulated, case):
    """Each listed value is taken and gives a firmwareId. Page: create_firmware (metadata)."""
    assert emulated().caller.upload(metadata(**TAKEN[case]), productKey="p").data["firmwareId"]


@pytest.mark.parametrize("case", REFUSED)
def test_metadata_is_refused(emulated, case):
    """What is outside a range or list is refused. Page: create_firmware (metadata)."""
    assert emulated().caller.upload(metadata(**REFUSED[case]), productKey="p").code != 0


@pytest.mark.parametrize(
    ("field", "value", "code", "message"),
    [
        ("version", "3.0", 24601, "Firmware version already exists"),
        ("name", {"defaultValue": "pump", "i18nValue": {}}, 24602, "Firmware name already exists"),
    ],
)
def test_versions_and_names_are_unique_within_a_product(emulated, field, value, code, message):
    """Each version and name once a product; another may have it too. Page: create_firmware (2.2, 2.3: error codes)."""
    upload = emulated().caller.upload
    first, second, third = (metadata(version=version) | {field: value} for version in ("1", "2", "3"))
    assert upload(first, productKey="p").code == 0
    answer = upload(second, productKey="p")
    assert (answer.code, answer.msg) == (code, message)
    assert upload(third, productKey="q").code == 0


@pytest.mark.parametrize("part", ["metadata", "file"])
def test_both_parts_are_needed(emulated, part):
    """An upload has a part metadata and a part file. Page: create_firmware (body)."""
    caller = emulated().caller
    answer = caller.upload(None) if part == "metadata" else caller.upload(metadata(), file=None)
    assert answer.code == 99400


@pytest.mark.parametrize("query", [{}, {"productKey": ""}], ids=["no key", "empty key"])
def test_firmware_may_have_no_product(emulated, query):
    """Since 2.4.4 a firmware needs no product; its record then shows none. Pages: create_firmware, 2.4.4 release note."""
    tenant = emulated()
    firmware = tenant.caller.upload(metadata(), **query).data["firmwareId"]
    tenant.settle()
    assert record_of(tenant, firmware)["productKey"] is None


def test_a_record_repeats_what_was_uploaded(emulated):
    """Name, version, desc, digest and size are the upload's. Page: get_firmware (FirmwareInfo struct)."""
    tenant = emulated()
    sent = metadata(desc="for pumps", enableVerification=True)
    firmware = tenant.caller.upload(sent, productKey="p").data["firmwareId"]
    tenant.settle()
    record = record_of(tenant, firmware)
    for field in ("name", "version", "desc", "signMethod", "sign", "enableVerification"):
        assert record[field] == sent[field]
    assert (record["productKey"], int(record["fileSize"]), record["isVerified"]) == ("p", len(FILE), False)


# --- get, search


@pytest.mark.parametrize("field", FIRMWARE_INFO)
def test_a_firmware_record_has_this_field(tenant, field):
    """Each field is there with its type. Page: get_firmware (FirmwareInfo struct)."""
    assert type(record_of(tenant, tenant.firmware)[field]) in FIRMWARE_INFO[field]


@pytest.mark.parametrize("action", ["get", "delete"])
def test_unknown_firmware_is_told(tenant, action):
    """An unknown firmwareId is 24404 Firmware not found. Pages: get_firmware, delete_firmware (error codes)."""
    method = "GET" if action == "get" else "POST"
    answer = tenant.call(action, method=method, on=FIRMWARE, firmwareId="0" * 24)
    assert (answer.code, answer.msg) == (24404, "Firmware not found")


@pytest.mark.parametrize("action", ["get", "delete"])
def test_firmware_id_is_mandatory(tenant, action):
    """Without firmwareId the call is refused. Pages: get_firmware, delete_firmware (URI parameters)."""
    method = "GET" if action == "get" else "POST"
    assert tenant.call(action, method=method, on=FIRMWARE).code == 99400


FOUND_BY = {
    "productKey =": "productKey = '{product}'",
    "productKey in": "productKey in ('{product}', 'other')",
    "isVerified =": "isVerified = {verified}",
    "name like": "name like '{name}'",
    "name.defaultValue like": "name.defaultValue like '{name}'",
    "name.zh_CN like": "name.zh_CN like '{name}'",
    "name.en_US like": "name.en_US like '{name}'",
}


@pytest.mark.parametrize("case", FOUND_BY)
def test_firmware_is_found_by(tenant, case):
    """Each field with each of its operators finds the firmware. Page: search_firmware (expression)."""
    record = record_of(tenant, tenant.firmware)
    expression = FOUND_BY[case].format(
        product=record["productKey"],
        verified=str(record["isVerified"]).lower(),
        name=record["name"]["defaultValue"],
    )
    assert record in search(tenant, "search", expression).data


@pytest.mark.parametrize(
    "expression", ["firmwareId = 'x'", "version = '2.0'", "name = 'x'", "isVerified in (true)"]
)
def test_firmware_cannot_be_searched_by(tenant, expression):
    """Other fields and operators than the listed are refused. Page: search_firmware (expression)."""
    assert search(tenant, "search", expression).code == 99400


def test_firmware_comes_newest_first(tenant):
    """Firmware is sorted by createTime, newest first. Page: search_firmware."""
    times = [record["createTime"] for record in search(tenant, "search", "").data]
    assert times == sorted(times, reverse=True)


# --- devices and their firmware


def test_versions_are_listed(tenant):
    """Data is a list of the versions a product's devices reported. Page: list_firmware_version."""
    versions = tenant.call("listVersion", method="GET", on=FIRMWARE, productKey=tenant.product).data
    assert tenant.version in versions
    assert all(isinstance(version, str) for version in versions)
    assert len(set(versions)) == len(versions)


def test_versions_are_of_a_product(tenant):
    """ProductKey is mandatory. Page: list_firmware_version (URI parameters)."""
    assert tenant.call("listVersion", method="GET", on=FIRMWARE).code == 99400


@pytest.mark.parametrize("field", DEVICE_FIRMWARE)
def test_a_device_upgrade_record_has_this_field(tenant, field):
    """Each field is there with its type. Page: search_device_upgrade (DeviceFirmware struct)."""
    found = search(tenant, "searchDeviceUpgrade", f"productKey='{tenant.product}'").data
    assert found
    assert all(type(record[field]) is DEVICE_FIRMWARE[field] for record in found)


@pytest.mark.parametrize(
    ("field", "value", "expression"),
    [
        ("productKey", "{product}", "productKey = '{product}'"),
        ("productKey", "{product}", "productKey in ('{product}', 'other')"),
        ("firmwareVersion", "{version}", "firmwareVersion = '{version}'"),
        ("firmwareVersion", "{version}", "firmwareVersion in ('{version}', 'other')"),
        ("isUpgrading", False, "isUpgrading = false"),
    ],
)
def test_device_upgrades_are_found_by(tenant, field, value, expression):
    """Each field with each of its operators finds devices that have the value. Page: search_device_upgrade."""
    known = {"product": tenant.product, "version": tenant.version}
    wanted = value.format(**known) if isinstance(value, str) else value
    found = search(tenant, "searchDeviceUpgrade", expression.format(**known)).data
    assert found
    assert {record[field] for record in found} == {wanted}


@pytest.mark.parametrize("expression", ["deviceKey = 'x'", "assetId = 'x'", "isUpgrading in (true)"])
def test_device_upgrades_cannot_be_searched_by(tenant, expression):
    """Other fields and operators than the listed are refused. Page: search_device_upgrade (expression)."""
    assert search(tenant, "searchDeviceUpgrade", expression).code == 99400


def test_unused_firmware_can_be_deleted_for_good(emulated):
    """Deleting answers data null, and the firmware is gone. Page: delete_firmware."""
    tenant = emulated()
    firmware = tenant.caller.upload(metadata(name={"defaultValue": uuid.uuid4().hex})).data["firmwareId"]
    tenant.settle()
    answer = tenant.call("delete", on=FIRMWARE, firmwareId=firmware)
    assert (answer.code, answer.json["data"]) == (0, None)
    tenant.settle()
    assert tenant.call("get", method="GET", on=FIRMWARE, firmwareId=firmware).code == 24404
