"""Token, signature and gateway. Pages: invoke_api_with_access_token, gettingstarted."""

from urllib.parse import urlencode

import pytest
from contract_caller import encryption, signature

from rollout.emulator.http.faults import FaultPlan
from rollout.emulator.http.gateway import CallQuota, GatewayRules

DOCUMENTED = '{\n  "count": 20,\n  "page": 1,\n  "desc": "描述"\n}'
SECRET = "demo-app-secret"
VERIFY = '{"type":"verify","upgradeScope":{"type":"partial","versionNumbers":["1.0"],"deviceKeys":["dk1"]}}'


VECTORS = {
    # what is signed: token, parameters, body, timestamp, secret; and the signature
    "the page's own": (
        ("xxxxaaaxxxx", {"k3": "v3", "k1": "v1", "k2": "v2"}, DOCUMENTED, "1572574909697", "xxxappSecretxxx"),
        "59828328f6c1f9771015dc74e4929ae30f518a35a3d2353972c2ea46556fc981",
    ),
    "a GET": (
        ("demo-access-token", {"action": "get", "orgId": "o1", "jobId": "j1"}, "", "1600000000000", SECRET),
        "8715c4799302417701ed993beb3e73c7941364384ade08f5edaaaea43db2ac49",
    ),
    "a POST": (
        (
            "demo-access-token",
            {"action": "create", "orgId": "o1", "firmwareId": "fw1"},
            VERIFY,
            "1600000000000",
            SECRET,
        ),
        "3048570b31982f0b30b10f9b4ee4d65ae43a53160f26eeda6c076e267d2cef3f",
    ),
}


@pytest.mark.parametrize("vector", VECTORS)
def test_signatures_are_computed_as_documented(vector):
    """Token, sorted names and values, body as sent, timestamp, secret; SHA-256. Page: invoke_api_with_access_token."""
    (token, parameters, body, timestamp, secret), expected = VECTORS[vector]
    assert signature(token, parameters, body.encode(), timestamp, secret) == expected


def test_encryption_is_computed_as_documented():
    """App key, timestamp, app secret; SHA-256 in lower-case hex. Page: invoke_api_with_access_token."""
    computed = encryption("demo-app-key", 1600000000000, SECRET)
    assert computed == "c73c94242f4251a8d1889214557e23dc4f58860c724a9a33325fe13725bc2958"


# --- the token service


def test_token_reply_has_the_documented_fields(tenant):
    """Success is status 0, SUCCESS, with accessToken and expire. Page: invoke_api_with_access_token."""
    reply = tenant.caller.ask_for_token(tenant.caller.token_request()).json
    assert (reply["status"], reply["msg"], reply["business"]) == (0, "SUCCESS", "apim-token-service")
    assert reply["data"]["accessToken"]
    assert 0 < reply["data"]["expire"] <= 7200


def test_a_valid_token_comes_again(tenant):
    """Getting while a token is valid gives the same one. Page: invoke_api_with_access_token."""
    replies = [tenant.caller.ask_for_token(tenant.caller.token_request()).json for _ in range(2)]
    assert replies[0]["data"]["accessToken"] == replies[1]["data"]["accessToken"]


def test_token_timestamp_may_be_text(tenant):
    """The timestamp is a number on the page and a text in Envision's Java client. Page: invoke_api_with_access_token."""
    body = tenant.caller.token_request()
    assert tenant.caller.ask_for_token(body | {"timestamp": str(body["timestamp"])}).json["status"] == 0


TOKEN_REFUSALS = {
    "1002 unknown appKey": ({"appKey": "no-such-key"}, 1002),
    "1003 encryption wrong": ({"encryption": "0" * 64}, 1003),
    "1004 timestamp invalid": ({"timestamp": "yesterday"}, 1004),
    "1202 appKey empty": ({"appKey": ""}, 1202),
    "1202 appKey absent": ({"appKey": None}, 1202),
    "1202 encryption empty": ({"encryption": ""}, 1202),
    "1202 timestamp absent": ({"timestamp": None}, 1202),
}


@pytest.mark.parametrize("action", ["get", "refresh"])
@pytest.mark.parametrize("case", TOKEN_REFUSALS)
def test_token_service_says_what_is_wrong(tenant, case, action):
    """Each fault has its own status and gives no token. Page: invoke_api_with_access_token (status codes)."""
    changes, status = TOKEN_REFUSALS[case]
    body = tenant.caller.token_request(**{"accessToken": tenant.caller.token} | changes)
    reply = tenant.caller.ask_for_token(body, action).json
    assert reply["status"] == status
    assert not (reply.get("data") or {}).get("accessToken")


def test_token_request_is_taken_once(tenant):
    """The same encryption again is 1001: every request needs a new timestamp. Page: invoke_api_with_access_token."""
    body = tenant.caller.token_request()
    assert [tenant.caller.ask_for_token(body).json["status"] for _ in range(2)] == [0, 1001]


def test_refresh_gives_a_token_that_opens(writable):
    """Refresh answers in the shape of get; its token is good for calls. Page: invoke_api_with_access_token."""
    caller = writable.caller
    reply = caller.ask_for_token(caller.token_request(accessToken=caller.token), "refresh").json
    assert reply["status"] == 0
    token, timestamp = reply["data"]["accessToken"], caller.timestamp()
    signed = signature(token, {"action": "search", "orgId": caller.org}, b"{}", timestamp, caller.app_secret)
    headers = {"apim-accesstoken": token, "apim-timestamp": str(timestamp), "apim-signature": signed}
    assert caller.call("search", {}, headers=headers).code == 0


def test_refresh_needs_the_present_token(tenant):
    """A token that was never given cannot be refreshed: 1204. Page: invoke_api_with_access_token (status codes)."""
    body = tenant.caller.token_request(accessToken="no-such-token")
    assert tenant.caller.ask_for_token(body, "refresh").json["status"] == 1204


def test_an_expired_token_cannot_be_refreshed(emulated):
    """A token past its life is 1203. Page: invoke_api_with_access_token (status codes)."""
    caller = emulated(rules=GatewayRules(token_lifetime_s=0)).caller
    body = caller.token_request(accessToken=caller.token)
    assert caller.ask_for_token(body, "refresh").json["status"] == 1203


def test_the_token_service_can_fail(emulated):
    """Its own failure is 1005. Page: invoke_api_with_access_token (status codes)."""
    caller = emulated(faults=FaultPlan.parse(["error_1005=1,on=token"])).caller
    reply = caller.ask_for_token(caller.token_request()).json
    assert (reply["status"], reply["data"]) == (1005, None)


# --- signed calls


@pytest.mark.parametrize(
    ("query", "body"),
    [
        pytest.param({"action": "search"}, {}, id="empty object"),
        pytest.param({"action": "search"}, {"expression": "name like '描述'"}, id="text beyond ASCII"),
        pytest.param({"action": "start", "jobId": "0" * 24}, None, id="POST without body"),
        pytest.param({"action": "start", "jobId": "a b&c=é/+%"}, None, id="value to be encoded"),
        pytest.param({"action": "search", "Zone": "1", "aside": "2"}, {}, id="upper case sorts before lower"),
    ],
)
def test_signed_calls_pass(tenant, query, body):
    """Whatever is signed as documented, decoded values and the very bytes, passes. Page: invoke_api_with_access_token."""
    assert tenant.call(body=body, **query).code in {0, 24404}


def test_body_is_signed_as_sent(tenant):
    """Blanks and line feeds of the body count as they are. Page: invoke_api_with_access_token."""
    raw = b'{\n  "expression" : "type = \'upgrade\'"\n}'
    assert tenant.call("search", raw=raw).data is not None


SPOILT = {
    "no token": {"apim-accesstoken": None},
    "wrong token": {"apim-accesstoken": "no-such-token"},
    "no signature": {"apim-signature": None},
    "wrong signature": {"apim-signature": "0" * 64},
    "no timestamp": {"apim-timestamp": None},
    "other timestamp": {"apim-timestamp": "1572574909697"},
    "none of them": {"apim-accesstoken": None, "apim-signature": None, "apim-timestamp": None},
}


def is_turned_away(answer):
    """Say whether the gateway refused the credentials, in its own body shape. Page: gettingstarted."""
    return (answer.status, answer.json) == (401, {"message": "Invalid authentication credentials"})


@pytest.mark.parametrize("case", SPOILT)
def test_credentials_are_needed(tenant, case):
    """Without token, timestamp and signature, each right, the gateway answers 401. Page: gettingstarted."""
    assert is_turned_away(tenant.call("search", {}, headers=SPOILT[case]))


@pytest.mark.parametrize(
    ("query", "body"), [({"action": "search", "more": "1"}, b"{}"), ({"action": "search"}, b"{ }")]
)
def test_what_is_sent_must_be_what_was_signed(tenant, query, body):
    """Another parameter or another blank than signed is a 401. Pages: invoke_api_with_access_token, gettingstarted."""
    caller = tenant.caller
    headers = caller.signed_headers({"action": "search", "orgId": caller.org}, b"{}")
    path = "/connect-service/v2.1/ota-jobs?" + urlencode(query | {"orgId": caller.org})
    assert is_turned_away(caller.send("POST", path, body, headers))


# --- the gateway


def test_an_unreadable_body_is_a_400(tenant):
    """What is not JSON cannot be processed. Page: gettingstarted."""
    answer = tenant.call("search", raw=b'{"expression":')
    assert (answer.status, answer.json) == (400, {"message": "Cannot process request body"})


def small_body():
    return {"rules": GatewayRules(body_bytes_max=1000)}


def spent_quota():
    return {"rules": GatewayRules(quota=CallQuota(1, 3600))}


def fault(text):
    return lambda: {"faults": FaultPlan.parse([text])}


GATEWAY = {
    403: (fault("error_403=1,on=search"), "Your IP address is not allowed"),
    413: (small_body, "Request size limit exceeded"),
    429: (spent_quota, "API rate limit exceeded"),
    500: (fault("error_500=1,on=search"), "An unexpected error occurred"),
    503: (fault("error_503=1,on=search"), "Service unavailable"),
}


@pytest.mark.parametrize("status", GATEWAY)
def test_the_gateway_refuses_in_its_own_words(emulated, status):
    """The gateway's refusals have an HTTP status and a message, no envelope. Page: gettingstarted."""
    settings, message = GATEWAY[status]
    tenant = emulated(**settings())
    if status == 429:
        tenant.call("search", {})
    answer = tenant.call("search", {"expression": "type = 'upgrade'" + " " * 1000})
    assert (answer.status, answer.json) == (status, {"message": message})


def test_flow_control_counts_all_calls_together(emulated):
    """One limit stands over all APIs of the proxy. Page: API management, flow control."""
    tenant = emulated(rules=GatewayRules(quota=CallQuota(2, 3600)))
    calls = [("search", "ota-jobs"), ("search", "devices"), ("search", "ota-firmwares")]
    assert [tenant.call(action, {}, on=resource).status for action, resource in calls] == [200, 200, 429]
