"""Envision's published Python clients, unmodified, against the emulator: scheme B, the calls of Envision's own samples.

They send one header, `apim-accesstoken`, which nobody but EnOS can read; numbers as texts; `{}` as the body of calls
that have none; everything as a POST. They run in processes and environments of their own: see `support.foreign`.
Source: enos-poseidon 0.2.0 and aphrodite 0.1.4; Envision's sample-code-python, FirmwareOTAUpgradeManagement.
"""

import asyncio
import json
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest
from emulator_client import JOBS, ORG
from support.foreign import python_of

from rollout.emulator.http.faults import FaultPlan
from rollout.emulator.http.gateway import GatewayRules
from rollout.emulator.platform.knobs import Knobs
from rollout.emulator.platform.population import Population

pytestmark = pytest.mark.anyio

CLIENTS = ("envision", "envision-base")
FLEET = [
    ("dk-1", {"tags.firmwarekey": "firmware", "assetTrees.tree-1": "root/site-1/a"}),
    ("dk-2", {"attributes.Int_Attribute": "100", "assetTrees.tree-1": "root/site-1/b"}),
    ("dk-3", {"attributes.Int_Attribute": "1000", "tags.firmwarekey": "firmwarevalue"}),
]
STILL = Population(mute_ratio=1.0)
"""Devices that never report: tasks stay where the platform put them."""


class Sdk:
    """One of the clients at work: what it returns, or the name of what it raises."""

    def __init__(self, child, url):
        self._child = child
        self._url = url

    async def send(self, action, body, **query):
        url = self._url + JOBS + "?" + urlencode({"action": action, "orgId": ORG} | query)
        self._child.stdin.write(json.dumps([url, body]).encode() + b"\n")
        outcome = json.loads(await self._child.stdout.readline())
        return outcome.get("returned") if "returned" in outcome else outcome["raised"]

    async def create(self, kind, selector, version=("1.0",)):
        return await self.send("create", sample_body(kind, selector, version), firmwareId="fw-2")


def sample_body(kind, selector, version):
    """Return a create body as the samples build it, for a job of three hours from the emulator's beginning."""
    body = {
        "name": {"defaultValue": f"Python_{kind}", "i18nValue": {"zh_CN": "工作", "ja_JP": "仕事"}},
        "type": kind,
        "upgradeScope": {"type": "partial", "versionNumbers": list(version), **selector},
        "upgradeTimeout": "6000",
    }
    if kind == "upgrade":
        body |= {
            "upgradePolicy": "snapshot",
            "enableUpgradeRequest": True,
            "upgradeTimeout": "600",
            "retryPolicy": {"enableRetry": True, "retryInterval": "10", "retryCount": 5},
            "schedulePolicy": {
                "isRepeatDaily": True,
                "startTimestamp": 1_000_000_000,
                "endTimestamp": 1_010_800_000,
                "timezoneOffsetInMinutes": 60,
            },
            "maximumConcurrency": "10",
        }
    return body


@pytest.fixture(params=CLIENTS)
def sdk(request, emulator):
    """A server that takes scheme B, and one of the clients in a process of its own."""
    python = python_of(request.param)

    @asynccontextmanager
    async def start(*, scheme_b=True, faults=()):
        async with emulator(
            log_in=False,
            knobs=Knobs(read_lag_s=0, materialise_s=0),
            rules=GatewayRules(scheme_b=scheme_b),
            population=STILL,
            devices=FLEET,
            faults=FaultPlan.parse(faults),
        ) as (running, _):
            child = await asyncio.create_subprocess_exec(
                python,
                Path(__file__).with_name("envision_child.py"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            try:
                yield running, Sdk(child, running.url)
            finally:
                child.stdin.close()
                await child.wait()

    start.client = request.param
    return start


async def test_the_samples_walk_through_succeeds(sdk):
    """All nine operations, in the order of Envision's walk-through, with bodies as its samples build them."""
    async with sdk() as (running, client):
        created = await client.create("upgrade", {"deviceKeys": ["dk-2", "dk-3"]})
        assert (created["code"], created["msg"]) == (0, "OK")
        job_id = created["data"]["jobId"]
        job = (await client.send("get", {}, jobId=job_id))["data"]
        assert (job["upgradeTimeout"], job["maximumConcurrency"]) == (600, 10)
        assert job["name"]["i18nValue"] == {"zh_CN": "工作", "ja_JP": "仕事"}
        found = await client.send("search", {"pagination": {"pageNo": 1, "pageSize": 5}})
        assert [record["jobId"] for record in found["data"]] == [job_id]
        assert (await client.send("start", {}, jobId=job_id))["code"] == 24615
        tasks = await client.send("searchTask", {"expression": f"jobId ='{job_id}'"})
        assert {task["deviceKey"]: task["status"] for task in tasks["data"]} == {
            "dk-2": "published",
            "dk-3": "published",
        }
        assert (await client.send("cancelTask", {"deviceKeys": ["dk-3"]}, jobId=job_id))["code"] == 0
        cancelled = await client.send("searchTask", {"expression": "desc = 'Cancelled by user'"})
        assert [task["deviceKey"] for task in cancelled["data"]] == ["dk-3"]
        assert (await client.send("retryTask", {"deviceKeys": ["dk-3"]}, jobId=job_id))["code"] == 0
        assert (await client.send("stop", {}, jobId=job_id))["code"] == 0
        assert (await client.send("delete", {}, jobId=job_id))["code"] == 0
        assert not running.platform.jobs


@pytest.mark.parametrize("kind", ["upgrade", "verify"])
@pytest.mark.parametrize(
    ("selector", "reached"),
    [
        ({"deviceKeys": ["dk-1"]}, {"dk-1"}),
        ({"attributes": {"Int_Attribute": [100, 1000]}}, {"dk-2", "dk-3"}),
        ({"tags": {"firmwarekey": ["firmware", "firmwarevalue"]}}, {"dk-1", "dk-3"}),
        # the samples' misspelling of includedNodes: not a field, so the whole tree is meant
        ({"assetTrees": [{"treeId": "tree-1", "includedNotes": "site-1"}]}, {"dk-1", "dk-2"}),
    ],
)
async def test_every_scope_of_the_samples_reaches_its_devices(sdk, kind, selector, reached):
    """Each of the samples' eight ways to create a job makes a task for exactly the devices it is about."""
    async with sdk() as (_, client):
        job_id = (await client.create(kind, selector))["data"]["jobId"]
        tasks = await client.send("searchTask", {"expression": f"jobId in ('{job_id}')"})
        assert {task["deviceKey"] for task in tasks["data"]} == reached


EXPRESSIONS = {
    "search": [
        "productKey ='pk1'",
        "productKey in ('pk1')",
        "firmwareId ='6214873771125f2bf2b3f799'",
        "firmwareVersion in ('1.1','1.2')",
        "type  = 'upgrade'",
        "status = 'stopped'",
        "firmwareName like 'Python_Firmware'",
        *(
            f"firmwareName.{language} like 'x'"
            for language in ("default", "en_US", "zh_CN", "ja_JP", "es_ES")
        ),
    ],
    "searchTask": [
        "deviceKey in ('dk1', 'dk2', 'dk3')",
        "fromVersion in ('1.0','1.2')",
        "toVersion = '1.2'",
        "status in ('succeeded', 'failed')",
        "desc in ('Cancelled by user', 'upgrading firmware finished')",
    ],
}


async def test_every_expression_of_the_samples_is_understood(sdk):
    """No search that Envision's walk-through shows is refused."""
    async with sdk() as (_, client):
        for action, expressions in EXPRESSIONS.items():
            for expression in expressions:
                found = await client.send(action, {"expression": expression})
                assert found["code"] == 0, (expression, found)


@pytest.mark.parametrize(
    ("status", "fields"), [(4011, {"apim_status", "apim_refreshtoken"}), (4012, {"apim_status"})]
)
async def test_renewal_of_a_call_with_a_body_is_left_to_the_user(sdk, status, fields):
    """Told to renew its token, either client stumbles over the body it has encoded already: nothing is sent again."""
    async with sdk(faults=[f"apim_{status}=1,limit=1"]) as (running, client):
        outcome = await client.create("upgrade", {"deviceKeys": ["dk-1"]})
        if sdk.client == "envision":
            assert (outcome.keys(), outcome["apim_status"]) == (fields, status)
        else:
            assert outcome == "TypeError"
        assert len(running.service.calls) == 1
        assert not running.platform.jobs


@pytest.mark.parametrize("status", [4011, 4012])
async def test_renewal_of_a_call_without_a_body_is_sent_again(sdk, status):
    """Told to renew its token, either client calls once more, and hands back that answer as unread text."""
    async with sdk(faults=[f"apim_{status}=1,on=get,limit=1"]) as (running, client):
        outcome = await client.send("get", None, jobId="no")
        assert json.loads(outcome)["code"] == 24404
        assert [seen.fault for seen in running.service.calls] == [f"apim_{status}", ""]


async def test_scheme_b_is_refused_unless_the_rule_admits_it(sdk):
    """Where only signed calls are admitted it is a 401, which either client swallows: its user gets None."""
    async with sdk(scheme_b=False) as (running, client):
        assert await client.create("upgrade", {"deviceKeys": ["dk-1"]}) is None
        assert [(seen.status, seen.signature) for seen in running.service.calls] == [
            (401, "refused: token unknown or expired")
        ]
