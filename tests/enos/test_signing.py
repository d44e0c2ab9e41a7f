"""Token and signature, against EnOS's documented vector and three of ours."""

import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.enos.signing import Secret, Timestamps, encrypt, params_data, sign

DOCUMENTED_BODY = '{\n  "count": 20,\n  "page": 1,\n  "desc": "描述"\n}'
VERIFY_BODY = (
    b'{"type":"verify","upgradeScope":{"type":"partial","versionNumbers":["1.0"],"deviceKeys":["dk1"]}}'
)


def test_the_documented_signature():
    """The platform's own example gives the platform's own hash."""
    assert (
        sign(
            Secret("xxxxaaaxxxx"),
            {"k2": "v2", "k3": "v3", "k1": "v1"},
            DOCUMENTED_BODY.encode(),
            1572574909697,
            Secret("xxxappSecretxxx"),
        )
        == "59828328f6c1f9771015dc74e4929ae30f518a35a3d2353972c2ea46556fc981"
    )


def test_the_token_request_is_encrypted_as_documented():
    """Key, timestamp and secret are concatenated in this order."""
    assert (
        encrypt("demo-app-key", 1600000000000, Secret("demo-app-secret"))
        == "c73c94242f4251a8d1889214557e23dc4f58860c724a9a33325fe13725bc2958"
    )


@pytest.mark.parametrize(
    ("query", "body", "signature"),
    [
        (
            {"action": "get", "orgId": "o1", "jobId": "j1"},
            None,
            "8715c4799302417701ed993beb3e73c7941364384ade08f5edaaaea43db2ac49",
        ),
        (
            {"action": "create", "orgId": "o1", "firmwareId": "fw1"},
            VERIFY_BODY,
            "3048570b31982f0b30b10f9b4ee4d65ae43a53160f26eeda6c076e267d2cef3f",
        ),
    ],
)
def test_a_call_is_signed_over_query_and_body(query, body, signature):
    """A GET signs its parameters, a POST its parameters and its bytes."""
    secret = Secret("demo-app-secret")
    assert sign(Secret("demo-access-token"), query, body, 1600000000000, secret) == signature


def test_parameters_are_sorted_in_ascii_order():
    """Capital letters come before small ones, as ASCII has them."""
    assert params_data({"b": "2", "B": "1", "a": "3"}) == "B1a3b2"


@given(st.lists(st.floats(min_value=0, max_value=4e9), min_size=1, max_size=50))
def test_timestamps_only_grow(moments):
    """However the wall clock jumps, no timestamp is used twice and none is smaller than one before."""
    clock = iter(moments)
    timestamps = Timestamps(now=lambda: next(clock))
    given_out = [timestamps.next_ms() for _ in moments]
    assert given_out == sorted(set(given_out))
    assert given_out[0] == max(int(moments[0] * 1000), 1)


def test_a_secret_shows_itself_nowhere():
    """No way of printing, formatting, copying or storing a secret tells its text."""
    secret = Secret("canary-7")
    forms = [
        repr(secret),
        str(secret),
        f"{secret:>20}",
        "{} {!r}".format(secret, secret),  # noqa: UP032 - format() is what is tried
        repr({"secret": secret}),
        json.dumps({"secret": secret}, default=str),
        pickle.dumps(secret).decode("latin-1"),
        repr(pickle.loads(pickle.dumps(secret))),
        repr(copy.deepcopy(secret)),
    ]
    assert not [form for form in forms if "canary" in form]
    assert copy.deepcopy(secret).reveal() == "canary-7"
