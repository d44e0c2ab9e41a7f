"""Create OTA Job: every field of the body, every rule, every code. Page: create_ota_job."""

import pytest
from contract_tenant import DAY_MS, FLEET, PRODUCT, REACHED, metadata

SELECTORS = ["deviceKeys", "attributes", "tags", "assetTrees", "deviceGroupIds", "assetIds"]


def is_refused(answer):
    """Say whether the call was refused by the service, whatever the code: the page gives none for most faults."""
    return answer.status == 200 and answer.json["code"] != 0


# --- the call


def test_create_gives_the_job_id_and_nothing_else(writable):
    """Data is {jobId}; it does not tell how many devices matched. Page: create_ota_job (response)."""
    data = writable.create(writable.upgrade()).data
    assert data.keys() == {"jobId"}
    assert isinstance(data["jobId"], str)
    assert data["jobId"]


@pytest.mark.parametrize("parameter", ["orgId", "firmwareId"])
def test_query_parameters_are_mandatory(tenant, parameter):
    """OrgId and firmwareId are mandatory. Page: create_ota_job (URI parameters)."""
    query = {"firmwareId": tenant.firmware} | {parameter: None}
    assert tenant.call("create", tenant.upgrade(), **query).code == 99400


def test_unknown_firmware_is_told(tenant):
    """A firmwareId that does not exist is 24404 Firmware not found. Page: create_ota_job (error codes)."""
    answer = tenant.call("create", tenant.upgrade(), firmwareId="0" * 24)
    assert (answer.code, answer.msg) == (24404, "Firmware not found")


# --- fields of an upgrade job


@pytest.mark.parametrize("field", ["type", "upgradeScope", "upgradePolicy", "enableUpgradeRequest"])
def test_fields_are_mandatory(writable, field):
    """Four fields must be there. Page: create_ota_job (upgrade task)."""
    assert is_refused(writable.create(writable.upgrade(**{field: None})))


@pytest.mark.parametrize(
    "field", ["name", "upgradeTimeout", "retryPolicy", "schedulePolicy", "maximumConcurrency"]
)
def test_fields_are_optional(writable, field):
    """Five fields may be left out. Page: create_ota_job (upgrade task)."""
    if field == "schedulePolicy":
        writable.only_emulated("without a schedule the job begins at once")
    assert writable.create(writable.upgrade(**{field: None})).code == 0


RETRY = {"enableRetry": True, "retryInterval": 600, "retryCount": 2}
TAKEN = {
    "type upgrade": {"type": "upgrade"},
    "policy snapshot": {"upgradePolicy": "snapshot"},
    "policy incremental": {"upgradePolicy": "incremental"},
    "requests not enabled": {"enableUpgradeRequest": False},
    "requests enabled": {"enableUpgradeRequest": True},
    "time-out of 300 s": {"upgradeTimeout": 300},
    "time-out of 172,800 s": {"upgradeTimeout": 172_800},
    "retry off": {"retryPolicy": {"enableRetry": False}},
    "retry at once": {"retryPolicy": RETRY | {"retryInterval": 0}},
    "retry after 86,400 s": {"retryPolicy": RETRY | {"retryInterval": 86_400}},
    "retry once": {"retryPolicy": RETRY | {"retryCount": 1}},
    "retry five times": {"retryPolicy": RETRY | {"retryCount": 5}},
    "concurrency": {"maximumConcurrency": 50},
}


@pytest.mark.parametrize("case", TAKEN)
def test_values_are_taken_and_shown(writable, case):
    """Each listed value and both ends of each range are taken, and the record shows them. Page: create_ota_job."""
    if case == "requests enabled":
        writable.only_emulated("a device that asks is served outside the schedule")
    record = writable.record(writable.job(writable.upgrade(**TAKEN[case])))
    assert {name: record[name] for name in TAKEN[case]} == TAKEN[case]


REFUSED = {
    "type": {"type": "install"},
    "policy": {"upgradePolicy": "rolling"},
    "requests not boolean": {"enableUpgradeRequest": "perhaps"},
    "time-out of 299 s": {"upgradeTimeout": 299},
    "time-out of 172,801 s": {"upgradeTimeout": 172_801},
    "time-out no number": {"upgradeTimeout": "long"},
    "retry before the failure": {"retryPolicy": RETRY | {"retryInterval": -1}},
    "retry after 86,401 s": {"retryPolicy": RETRY | {"retryInterval": 86_401}},
    "retry never": {"retryPolicy": RETRY | {"retryCount": 0}},
    "retry six times": {"retryPolicy": RETRY | {"retryCount": 6}},
    "retry without interval": {"retryPolicy": {"enableRetry": True, "retryCount": 1}},
    "retry without count": {"retryPolicy": {"enableRetry": True, "retryInterval": 0}},
    "schedule without start": {"schedulePolicy": {"endTimestamp": 4_000_000_000_000}},
    "schedule without end": {"schedulePolicy": {"startTimestamp": 4_000_000_000_000}},
    "concurrency no number": {"maximumConcurrency": "many"},
    "name no StringI18n": {"name": "contract"},
    "scope no object": {"upgradeScope": "all"},
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_values_are_refused(writable, case):
    """What is outside a range or list, or lacks a mandatory part, makes no job. Page: create_ota_job (structs)."""
    assert is_refused(writable.create(writable.upgrade(**REFUSED[case])))


@pytest.mark.parametrize(
    ("field", "default"), [("upgradeTimeout", 7200), ("maximumConcurrency", 300), ("retryPolicy", None)]
)
def test_fields_have_defaults(writable, field, default):
    """Left out: 7,200 s, 300 at once, no retry. Page: create_ota_job (upgrade task)."""
    record = writable.record(writable.job(writable.upgrade(**{field: None})))
    assert record[field] == default


def test_without_a_schedule_the_job_begins_at_once(stocked):
    """Without schedulePolicy the task starts immediately, all day, every day. Page: create_ota_job."""
    tenant = stocked()
    job = tenant.job(tenant.upgrade(schedulePolicy=None))
    assert set(tenant.statuses(job).values()) == {"published"}


@pytest.mark.parametrize("more", [{}, {"isRepeatDaily": False}, {"isRepeatDaily": True}])
def test_schedules_come_in_these_forms(writable, more):
    """A schedule has a start and an end, and may recur daily. Page: create_ota_job (SchedulePolicy struct)."""
    # the times of day begin in six hours: closed now in either reading
    start = int(writable.now() * 1000) + DAY_MS + DAY_MS // 4
    policy = {"startTimestamp": start, "endTimestamp": start + 3_600_000} | more
    assert writable.record(writable.job(writable.upgrade(schedulePolicy=policy)))["schedulePolicy"] == policy


def test_the_zone_of_the_sample_is_taken(writable):
    """timezoneOffsetInMinutes, which no page lists, is sent by Envision's Python sample and taken."""
    start = int(writable.now() * 1000) + DAY_MS
    policy = {"startTimestamp": start, "endTimestamp": start + 3_600_000, "timezoneOffsetInMinutes": 60}
    assert writable.create(writable.upgrade(schedulePolicy=policy)).code == 0


def test_the_pages_own_sample_is_taken(stocked):
    """The sample's older form, a schedule as seconds of the day at top level, is taken. Page: create_ota_job (sample)."""
    tenant = stocked()
    body = tenant.upgrade(
        upgradeScope=tenant.scope(
            deviceKeys=None, assetTrees=[{"treeId": "tree-1", "includedNodes": ["site-1"]}]
        ),
        schedulePolicy=None,
        upgradeTimeout=7200,
        startSchedule=0,
        endSchedule=86_399,
    )
    record = tenant.record(tenant.job(body))
    assert (record["startSchedule"], record["endSchedule"]) == (0, 86_399)


def test_numbers_may_be_texts(writable):
    """Envision's Python sample sends numbers as texts; they are taken as the numbers they are."""
    job = writable.job(writable.upgrade(upgradeTimeout="600", maximumConcurrency="10"))
    record = writable.record(job)
    assert (record["upgradeTimeout"], record["maximumConcurrency"]) == (600, 10)


# --- the scope


@pytest.mark.parametrize("selector", SELECTORS)
def test_devices_are_selected_in_six_ways(writable, selector):
    """Each selector makes a job; the record shows it, and the others as null. Page: create_ota_job (UpgradeScope)."""
    if selector not in writable.selectors:
        pytest.skip(f"nothing to select by: give {selector} in ROLLOUT_CONTRACT_SELECTORS")
    scope = writable.scope(deviceKeys=None) | {selector: writable.selectors[selector]}
    job = writable.job(writable.upgrade(upgradeScope=scope))
    shown = writable.record(job)["upgradeScope"]
    assert {name: shown[name] for name in SELECTORS if shown.get(name) is not None} == {
        selector: writable.selectors[selector]
    }
    if writable.emulated:
        assert writable.tasks(job).keys() == REACHED[selector]


def test_one_selector_at_a_time(writable):
    """Only one of the device selectors may be given. Page: create_ota_job (UpgradeScope struct)."""
    scope = writable.scope(assetIds=["asset"])
    assert is_refused(writable.create(writable.upgrade(upgradeScope=scope)))


@pytest.mark.parametrize("kind", [None, "some"])
def test_scope_is_total_or_partial(writable, kind):
    """A scope says of which type it is, total or partial. Page: create_ota_job (UpgradeScope struct)."""
    assert is_refused(writable.create(writable.upgrade(upgradeScope=writable.scope(type=kind))))


def test_total_needs_no_selector(stocked):
    """A total scope is about every device of the product with a source version. Page: create_ota_job (UpgradeScope)."""
    tenant = stocked()
    job = tenant.job(tenant.upgrade(upgradeScope=tenant.scope(type="total", deviceKeys=None)))
    assert sorted(tenant.tasks(job)) == tenant.devices


@pytest.mark.parametrize(
    ("versions", "keys"),
    [
        (["1.0"], {"contract-1"}),
        (["1.5"], {"contract-6"}),
        (["1.0", "1.5"], {"contract-1", "contract-6"}),
        (["9"], set()),
    ],
)
def test_version_numbers_are_source_versions(stocked, versions, keys):
    """Only devices that report one of versionNumbers are upgraded. Page: create_ota_job (UpgradeScope struct)."""
    tenant = stocked()
    scope = tenant.scope(deviceKeys=["contract-1", "contract-6"], versionNumbers=versions)
    assert tenant.tasks(tenant.job(tenant.upgrade(upgradeScope=scope))).keys() == keys


def test_each_device_has_one_task(writable):
    """There is one task a device, and each has an id of its own. Page: index_ota."""
    tasks = writable.tasks(writable.job())
    assert sorted(tasks) == sorted(writable.devices[:2])
    assert len({task["taskId"] for task in tasks.values()}) == 2


TREES = {
    "a node brings all below it": (
        [{"treeId": "tree-1", "includedNodes": ["site-1"]}],
        {"contract-1", "contract-2"},
    ),
    "a leaf is a node": ([{"treeId": "tree-1", "includedNodes": ["n3"]}], {"contract-3"}),
    "several nodes": (
        [{"treeId": "tree-1", "includedNodes": ["n1", "site-2"]}],
        {"contract-1", "contract-3"},
    ),
    "no nodes mean the whole tree": ([{"treeId": "tree-1"}], {"contract-1", "contract-2", "contract-3"}),
    "a tree without devices": ([{"treeId": "tree-2"}], set()),
    "five trees": (
        [{"treeId": f"tree-{n}"} for n in range(1, 6)],
        {"contract-1", "contract-2", "contract-3"},
    ),
}


@pytest.mark.parametrize("case", TREES)
def test_trees_select_what_is_below_their_nodes(stocked, case):
    """IncludedNodes bring in everything below; left out, the whole tree. Page: create_ota_job (AssetTreeScope)."""
    trees, keys = TREES[case]
    tenant = stocked()
    scope = tenant.scope(deviceKeys=None, assetTrees=trees)
    assert tenant.tasks(tenant.job(tenant.upgrade(upgradeScope=scope))).keys() == keys


@pytest.mark.parametrize(
    "trees",
    [[{"treeId": f"tree-{n}"} for n in range(6)], [{"includedNodes": ["site-1"]}]],
    ids=["six", "no treeId"],
)
def test_trees_are_at_most_five_and_named(writable, trees):
    """At most five trees, each with its treeId. Page: create_ota_job (UpgradeScope, AssetTreeScope)."""
    scope = writable.scope(deviceKeys=None, assetTrees=trees)
    assert is_refused(writable.create(writable.upgrade(upgradeScope=scope)))


@pytest.mark.parametrize(("product", "taken"), [(None, False), (PRODUCT, True)])
def test_device_keys_need_a_product(emulated, product, taken):
    """With a firmware of no product, deviceKeys need a productKey. Page: create_ota_job (UpgradeScope, 2.4.4)."""
    tenant = emulated()
    firmware = tenant.caller.upload(metadata()).data["firmwareId"]
    answer = tenant.create(tenant.upgrade(upgradeScope=tenant.scope(productKey=product)), firmware)
    assert is_refused(answer) is not taken


# --- verification jobs


def test_a_verification_job_needs_type_and_scope_only(stocked):
    """Type and scope make a verification job. Page: create_ota_job (verification task)."""
    tenant = stocked()
    record = tenant.record(tenant.job(tenant.verify(), tenant.guarded))
    assert (record["type"], record["upgradeTimeout"]) == ("verify", 7200)


def test_a_verification_job_may_have_a_name(stocked):
    """A verification job may be named. Page: create_ota_job (2.2.0, zh_CN)."""
    tenant = stocked()
    name = {"defaultValue": "trial", "i18nValue": {}}
    assert tenant.record(tenant.job(tenant.verify(name=name), tenant.guarded))["name"] == name


@pytest.mark.parametrize(("timeout", "taken"), [(299, False), (300, True), (172_800, True), (172_801, False)])
def test_a_verification_jobs_time_out_has_the_same_range(stocked, timeout, taken):
    """300 to 172,800 s here too. Page: create_ota_job (verification task)."""
    tenant = stocked()
    assert is_refused(tenant.create(tenant.verify(upgradeTimeout=timeout), tenant.guarded)) is not taken


def test_a_verification_job_cannot_be_total(writable):
    """Type total is 24611. Page: create_ota_job (error codes)."""
    body = writable.verify(upgradeScope=writable.scope(type="total", deviceKeys=None))
    answer = writable.create(body, writable.guarded)
    assert (answer.code, answer.msg) == (
        24611,
        "upgradeScope type total is not allowed for verification task",
    )


def test_a_verification_job_has_a_largest_size(stocked):
    """More devices than the firmware allows are 24612, with the number in the text. Page: create_ota_job (error codes)."""
    tenant = stocked()
    body = tenant.verify(upgradeScope=tenant.scope(deviceKeys=tenant.devices[:3]))
    answer = tenant.create(body, tenant.guarded)
    assert (answer.code, answer.msg) == (24612, "Exceeded max verification deviceKeys, max[2]")


def test_five_devices_are_verified_by_default(emulated):
    """Without maxAllowedForVerification the largest size is five. Page: verifying_firmware."""
    fleet = [(f"many-{n}", {"productKey": PRODUCT, "firmwareVersion": "1.0"}) for n in range(6)]
    tenant = emulated(devices=[*FLEET, *fleet])
    firmware = tenant.caller.upload(metadata(enableVerification=True), productKey=PRODUCT).data["firmwareId"]
    for count, code in ((6, 24612), (5, 0)):
        scope = tenant.scope(deviceKeys=[key for key, _ in fleet[:count]])
        assert tenant.create(tenant.verify(upgradeScope=scope), firmware).code == code


def test_unverified_firmware_is_not_rolled_out(writable):
    """An upgrade job for a firmware that still needs verification is 24610. Page: create_ota_job (error codes)."""
    answer = writable.create(writable.upgrade(), writable.guarded)
    assert (answer.code, answer.msg) == (
        24610,
        "Not allowed to create job as firmware is not verified while enable verification is switched on",
    )
