"""A known secret is hidden in every form in which secrets usually leak."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.telemetry.redact import HIDDEN, Redactor, forms

SECRET = "cAnAry/secret+77=="


@pytest.fixture
def redactor():
    redactor = Redactor()
    redactor.learn(SECRET, "another-secret-0123")
    return redactor


@pytest.mark.parametrize(
    "leak",
    [
        SECRET,
        f"key={SECRET};",
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        quote(SECRET, safe=""),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"app:" + SECRET.encode() + b":tail").decode(),
        base64.b64encode(b"ap:" + SECRET.encode() + b"x").decode(),
        base64.b64encode(b"a:" + SECRET.encode()).decode(),
    ],
)
def test_every_usual_form_is_hidden(redactor, leak):
    """A secret is found raw, hexadecimal, percent-encoded, and in base64 at any offset inside a longer text."""
    shown = redactor.text(leak)
    assert HIDDEN in shown
    assert SECRET[3:-3] not in shown
    assert base64.b64encode(SECRET.encode()).decode()[6:-6] not in shown


@given(st.text(), st.text())
def test_whatever_stands_around_it_stays(before, after):
    """Redaction removes the secret and nothing else."""
    redactor = Redactor()
    redactor.learn("s3cr3t-value-42")
    assert "s3cr3t-value-42" not in redactor.text(f"{before} s3cr3t-value-42 {after}")
    assert redactor.text("nothing here") == "nothing here"


def test_headers_that_only_hold_secrets_are_hidden_by_name(redactor):
    """The value of an apim header is hidden even if it is not a known secret: a token, a signature."""
    assert "abc123" not in redactor.text("headers={'apim-accesstoken': 'abc123', 'apim-signature': 'ff00'}")
    assert "ff00" not in redactor.text("APIM-SIGNATURE: ff00")
    hidden = redactor.value(
        {"apim-accesstoken": "abc123", "appSecret": "x", "headers": {"Authorization": "y"}, "n": 1}
    )
    assert json.loads(json.dumps(hidden)) == {
        "apim-accesstoken": HIDDEN,
        "appSecret": HIDDEN,
        "headers": {"Authorization": HIDDEN},
        "n": 1,
    }


def test_a_variable_in_place_of_a_header_is_no_secret(redactor):
    """A script shows the variable's name, which stays; anything else after the header's name goes, `$` or not."""
    line = '-H "apim-accesstoken: $TOKEN" -H "apim-signature: $SIGNATURE"'
    assert redactor.text(line) == line
    for value in ("$abc", "$TOKENabc", "$TOKEN.abc", "$TOKEN", "T$TOKEN"):
        assert redactor.text(f"apim-accesstoken: {value} x") == f"apim-accesstoken: {HIDDEN} x"


def test_nested_values_and_foreign_objects(redactor):
    """Lists, keys and bytes are searched; of an object of unknown kind only the type is shown."""

    class Request:
        def __repr__(self):
            return SECRET

    assert redactor.value([SECRET, {SECRET: (1, None, SECRET.encode())}]) == [
        HIDDEN,
        {HIDDEN: [1, None, HIDDEN]},
    ]
    assert redactor.value(Request()) == "<Request>"


def test_a_secret_inside_another_leaves_no_rest():
    """Where one secret contains another, the whole of the longer one is hidden, whichever was learnt first."""
    redactor = Redactor()
    redactor.learn("short")
    redactor.learn("short-and-longer")
    assert redactor.text("x short-and-longer y") == f"x {HIDDEN} y"


@pytest.mark.parametrize("secret", [SECRET, "another-secret-0123", 'quo"ted\\secret-9'])
def test_a_finished_line_is_searched_for_every_form_of_every_secret(secret):
    """The check that lets harmless lines pass quickly may find too much, never too little."""
    redactor = Redactor()
    redactor.learn(SECRET, "another-secret-0123", 'quo"ted\\secret-9')
    for form in forms(secret):
        assert redactor.finds(json.dumps({"message": f"so: {form}."}).encode()), form
    assert redactor.finds(b'{"message": "APIM-signature"}')
    assert not redactor.finds(b'{"message": "nothing to hide", "code": 24500}')


def test_who_knows_no_secret_finds_none():
    """A redactor that knows no secret finds nothing but the names of headers."""
    assert not Redactor().finds(b'{"message": "another-secret-0123"}')
    assert Redactor().finds(b'{"message": "apim-timestamp"}')
