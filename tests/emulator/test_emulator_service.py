"""The service without sockets: every call gets a reply, and a call that the gateway rejects has no effect."""

import json

from emulator_client import FIRMWARE, JOBS, keys, upgrade, verify
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.emulator.http.faults import FaultPlan, Faults
from rollout.emulator.http.gateway import Gateway, GatewayRules, KeyPair
from rollout.emulator.http.service import HttpCall, Service
from rollout.emulator.platform.knobs import Knobs
from rollout.emulator.platform.model import EmulatedPlatform

ORG = "o00000000000000"


def service(record=lambda _: None, **rules):
    """Return a service over a new platform whose clock stands still."""
    platform = EmulatedPlatform(start=1000.0, knobs=Knobs(any_device=True, read_lag_s=0, materialise_s=0))
    gateway = Gateway(KeyPair(), GatewayRules(**{"signature": "none", **rules}), 0)
    return Service(
        platform, gateway, Faults(FaultPlan(), 0), clock=lambda: 1000.0, wall=lambda: 1000.0, record=record
    )


def call(action, body=b"", *, path=JOBS, method="POST", headers=None, **query):
    """Return a call with the parameters that every call needs."""
    return HttpCall(method, path, {"action": action, "orgId": ORG} | query, headers or {}, body)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["a", "defaultValue", "treeId", "enableRetry", "pageNo"]), inner, max_size=3
        ),
    ),
    max_leaves=6,
)

BODIES = [
    upgrade(keys(2), retryPolicy={"enableRetry": True, "retryInterval": 1, "retryCount": 1}),
    upgrade(keys(1), schedulePolicy={"isRepeatDaily": True, "startTimestamp": 1, "endTimestamp": 2}),
    upgrade([], scope={"deviceKeys": None, "assetTrees": [{"treeId": "t", "includedNodes": ["n"]}]}),
    upgrade([], scope={"deviceKeys": None, "attributes": {"a": [1]}}),
    verify(keys(1)),
    {"expression": "status = 'started'", "pagination": {"pageNo": 1, "pageSize": 10}},
    {"deviceKeys": keys(1)},
]


def _places(value, path=()):
    yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _places(inner, (*path, name))
    if isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _places(inner, (*path, number))


def _replaced(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _replaced(value[path[0]], path[1:], new)
    return copy


@st.composite
def spoilt_bodies(draw):
    """Strategy: a correct body with one part replaced by any JSON."""
    body = draw(st.sampled_from(BODIES))
    return _replaced(body, draw(st.sampled_from(list(_places(body)))), draw(JSON))


ACTIONS = ["create", "get", "search", "start", "stop", "delete", "searchTask", "cancelTask", "retryTask"]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(ACTIONS), st.one_of(spoilt_bodies(), JSON))
def test_any_body_gets_an_envelope(action, body):
    """For any JSON the reply is success, a documented refusal or a rejection by the gateway; never a crash."""
    running = service()
    job = json.loads(
        running.answer(call("create", json.dumps(upgrade(keys(2))).encode(), firmwareId="fw")).body
    )
    reply = running.answer(
        call(action, json.dumps(body).encode(), firmwareId="fw", jobId=job["data"]["jobId"])
    )
    answer = json.loads(reply.body)
    assert reply.status == 200
    assert answer["code"] in {0, 24612, 24611, 24615, 24616, 24618, 24620, 24621, 99400}
    assert (answer["msg"] == "OK") is (answer["code"] == 0)


@given(st.binary(max_size=40), st.sampled_from([JOBS, FIRMWARE, "/apim-token-service/v2.0/token/get", "/"]))
def test_any_bytes_get_a_reply(body, path):
    """Bytes that are not JSON get a reply too."""
    reply = service().answer(call("search", body, path=path))
    assert reply.status in {200, 400, 404}
    assert isinstance(json.loads(reply.body), dict)


def test_body_that_nests_without_end_is_refused():
    """A body nested deeper than the JSON reader allows is a 400 of the gateway."""
    assert service().answer(call("search", b"[" * 100_000)).status == 400


def test_what_the_gateway_turns_away_leaves_no_trace():
    """A call without good credentials reaches neither the platform nor its history."""
    history = []
    running = service(history.append, signature="strict")
    reply = running.answer(call("create", json.dumps(upgrade(keys(1))).encode(), firmwareId="fw"))
    assert reply.status == 401
    assert not history
    assert not running.platform.all_jobs


def test_operation_is_recorded_before_it_is_done():
    """A create is recorded before its job exists; reads are not recorded."""
    seen = []
    running = service(lambda operation: seen.append((operation.name, len(running.platform.all_jobs))))
    running.answer(call("create", json.dumps(upgrade(keys(1))).encode(), firmwareId="fw"))
    running.answer(call("searchTask"))
    assert seen == [("create", 0)]


def test_request_log_is_bounded():
    """Only the last calls are remembered."""
    running = service()
    for _ in range(600):
        running.answer(call("search"))
    assert len(running.calls) == 500


def test_page_s_own_older_sample_form_is_taken():
    """The schedule as seconds of the day, as the page's sample has it, makes a job and is shown in its record."""
    running = service()
    body = upgrade(keys(1), startSchedule=0, endSchedule=86_399)
    job = json.loads(running.answer(call("create", json.dumps(body).encode(), firmwareId="fw")).body)["data"][
        "jobId"
    ]
    record = json.loads(running.answer(call("get", method="GET", jobId=job)).body)["data"]
    assert (record["startSchedule"], record["endSchedule"], record["schedulePolicy"]) == (0, 86_399, None)
