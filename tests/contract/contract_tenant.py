"""Whom the contract is tested on: an emulator made for one test, or the EnOS organisation the environment names.

A `Tenant` is a caller and what that organisation has to test with. For what it does not have, the test that needs it
skips, and says which variable would give it.
"""

import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from contract_caller import Caller

PREFIX = "ROLLOUT_CONTRACT_"
DAY_MS = 86_400_000
SETTLE_S = 3
"""Seconds until a read shows what was written: the pages advise about 2, and tasks take a moment to come to be."""

HOLDINGS = ("firmware", "guarded", "product", "devices", "version", "selectors")


def setting(name, default=None):
    """Return a variable of the environment, without its prefix."""
    return os.environ.get(PREFIX + name, default)


@dataclass
class Tenant:
    """An organisation to test on.

    Attributes:
        have: `HOLDINGS`, each also an attribute: firmware (may be rolled out), guarded (firmware that demands
            verification and has none), product, devices (their keys, at least two, all reporting version), version,
            selectors (kind of device selector → a value for it).
        now: gives seconds since the epoch.
        wait: lets seconds pass.
        control: posts a JSON object to one of the emulator's own pages.
    """

    caller: Caller
    have: dict
    now: Callable[[], float]
    wait: Callable[[float], None]
    emulated: bool
    control: Callable[[str, dict], None] | None = None
    jobs: list[str] = field(default_factory=list)

    def __getattr__(self, name):
        if name not in HOLDINGS:
            raise AttributeError(name)
        if not self.have.get(name):
            pytest.skip(f"nothing to test with: set {PREFIX}{name.upper()}")
        return self.have[name]

    @property
    def call(self):
        return self.caller.call

    def settle(self):
        """Wait until reads show what was written."""
        self.wait(SETTLE_S)

    def only_emulated(self, why):
        """Skip on a real organisation."""
        if not self.emulated:
            pytest.skip(f"on an emulator only: {why}")

    def upgrade(self, **changes):
        """Return the body of an upgrade job that may not push before tomorrow; None takes a field out."""
        start = int(self.now() * 1000) + DAY_MS
        return _changed(
            {
                "name": {"defaultValue": f"contract {uuid.uuid4().hex}", "i18nValue": {}},
                "type": "upgrade",
                "upgradeScope": self.scope(),
                "upgradePolicy": "snapshot",
                "enableUpgradeRequest": False,
                "schedulePolicy": {"startTimestamp": start, "endTimestamp": start + DAY_MS},
            },
            changes,
        )

    def scope(self, **changes):
        """Return a scope of the first two devices; None takes a field out."""
        return _changed(
            {"type": "partial", "versionNumbers": [self.version], "deviceKeys": self.devices[:2]}, changes
        )

    def verify(self, **changes):
        """Return the body of a verification job of the first device; None takes a field out."""
        return _changed({"type": "verify", "upgradeScope": self.scope(deviceKeys=self.devices[:1])}, changes)

    def create(self, body, firmware=None):
        """Send a create call; the job it makes, if any, is stopped and deleted after the test."""
        answer = self.call("create", body, firmwareId=firmware or self.firmware)
        if answer.status == 200 and answer.json.get("code") == 0:
            self.jobs.append(answer.data["jobId"])
        return answer

    def job(self, body=None, firmware=None):
        """Return the id of a new job whose record and tasks are there to be read."""
        job_id = self.create(body or self.upgrade(), firmware).data["jobId"]
        self.settle()
        return job_id

    def record(self, job_id):
        """Return what get says of a job."""
        return self.call("get", method="GET", jobId=job_id).data

    def tasks(self, job_id):
        """Return the job's tasks by device key."""
        page = {"pageNo": 1, "pageSize": 200}
        found = self.call("searchTask", {"expression": f"jobId='{job_id}'", "pagination": page}).data
        return {task["deviceKey"]: task for task in found}

    def statuses(self, job_id):
        """Return the status of each of the job's tasks by device key."""
        return {key: task["status"] for key, task in self.tasks(job_id).items()}

    def clear(self):
        """Stop and delete the jobs made here."""
        for job_id in self.jobs:
            self.call("stop", jobId=job_id)
        if self.jobs:
            self.settle()
        for job_id in self.jobs:
            self.call("delete", jobId=job_id)


def _changed(body, changes):
    return {name: value for name, value in (body | changes).items() if value is not None}


FILE = b"\x7fFIRMWARE"


def metadata(**changes):
    """Return the metadata of an upload of `FILE`; None takes a field out."""
    return _changed(
        {
            "name": {"defaultValue": f"contract {uuid.uuid4().hex}", "i18nValue": {}},
            "version": "2.0",
            "signMethod": "sha256",
            "sign": hashlib.sha256(FILE).hexdigest(),
            "enableVerification": False,
        },
        changes,
    )


def real_tenant():
    """Return the organisation the environment names."""
    missing = [PREFIX + name for name in ("ORG", "ACCESS_KEY", "SECRET_KEY") if not setting(name)]
    if missing:
        pytest.fail(f"with {PREFIX}URL set {', '.join(missing)} as well")
    if "PYTEST_XDIST_WORKER" in os.environ:
        pytest.fail("ask a real organisation without -n: several processes would spoil each other's tokens")
    caller = Caller(setting("URL"), setting("ACCESS_KEY"), setting("SECRET_KEY"), setting("ORG"))
    have = {name: setting(name.upper()) for name in HOLDINGS}
    have["devices"] = [key.strip() for key in (have["devices"] or "").split(",") if key.strip()]
    have["selectors"] = json.loads(have["selectors"] or "{}")
    if len(have["devices"]) < 2:
        have["devices"] = []
    patience_s = float(setting("PATIENCE", "10"))

    def wait(seconds):
        if seconds > patience_s:
            pytest.skip(f"takes {seconds:g} s of real time: set {PREFIX}PATIENCE")
        time.sleep(seconds)

    return Tenant(caller, have, time.time, wait, emulated=False)


ORG = "o15724268424841"
PRODUCT = "contract-product"


def _device(number, version="1.0", **columns):
    common = {"productKey": PRODUCT, "firmwareVersion": version, "modelId": "contract-model"}
    return f"contract-{number}", common | {"deviceName": f"Contract device {number}"} | columns


FLEET = [
    _device(1, **{"tags.line": "a", "attributes.rack": "1", "assetTrees.tree-1": "root/site-1/n1"}),
    _device(2, **{"tags.line": "b", "attributes.rack": "2", "assetTrees.tree-1": "root/site-1/n2"}),
    _device(3, **{"tags.line": "c", "attributes.rack": "3", "assetTrees.tree-1": "root/site-2/n3"}),
    _device(4, deviceGroupIds="group-1", assetId="asset-of-4"),
    _device(5, deviceGroupIds="group-1 group-2"),
    # of another version: no job of version 1.0 is for it, however it is selected
    _device(6, "1.5", **{"tags.line": "a", "attributes.rack": "2", "assetTrees.tree-1": "root/site-1/n6"}),
]
DEVICES = [key for key, columns in FLEET if columns["firmwareVersion"] == "1.0"]

SELECTORS = {
    "deviceKeys": ["contract-1", "contract-3", "contract-6"],
    "attributes": {"rack": [2, 3]},
    "tags": {"line": ["a", "b"]},
    "assetTrees": [{"treeId": "tree-1", "includedNodes": ["site-1"]}],
    "deviceGroupIds": ["group-1"],
    "assetIds": ["asset-of-4"],
}
REACHED = {
    "deviceKeys": {"contract-1", "contract-3"},
    "attributes": {"contract-2", "contract-3"},
    "tags": {"contract-1", "contract-2"},
    "assetTrees": {"contract-1", "contract-2"},
    "deviceGroupIds": {"contract-4", "contract-5"},
    "assetIds": {"contract-4"},
}
"""What each of these selectors reaches in the emulated fleet, of the devices that report version 1.0."""
