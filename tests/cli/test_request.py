"""`rollout request`, called as a user calls it, with a platform beside it."""

import hashlib
import json
import socket
import threading
from contextlib import contextmanager

import pytest

ORG = "o00000000000000"
JOBS = "/connect-service/v2.1/ota-jobs"
DOCUMENTED = '{\n  "count": 20,\n  "page": 1,\n  "desc": "描述"\n}'
KEYS = {"ENOS_ACCESS_KEY": "canary-access-key", "ENOS_SECRET_KEY": "xxxappSecretxxx", "TOKEN": "xxxxaaaxxxx"}
NOWHERE = ("--url", "http://127.0.0.1:1")


@pytest.fixture
def emulator(desk):
    """The flags that name an emulator which runs as a process of its own, and its organisation."""
    process = desk.begin("emulator", "--port", "0")
    return ("--url", process.stdout.readline().split()[1], "--org", ORG)


@pytest.fixture
def documented(desk):
    """The words of the page's own example of a signature: token, secret, parameters, body and timestamp."""
    desk.environment |= KEYS
    (desk.path / "body.json").write_text(DOCUMENTED, encoding="utf-8")
    query = [word for name in ("k3=v3", "k1=v1", "k2=v2") for word in ("--query", name)]
    signing = ["--token", "env:TOKEN", "--timestamp", "1572574909697"]
    return ["request", "POST", "/any", *query, "--body", "body.json", *signing, "--dry-run", *NOWHERE]


def create(desk, *more) -> list[str]:
    scope = {"type": "partial", "versionNumbers": ["1.0"], "deviceKeys": ["dk-1"]}
    (desk.path / "create.json").write_text(json.dumps({"type": "verify", "upgradeScope": scope}))
    query = ["--query", "action=create", "--query", "firmwareId=fw-1"]
    return ["request", "POST", JOBS, *query, "--body", "create.json", *more]


def test_a_reply_goes_to_standard_output(desk, emulator):
    """What came back can be piped; how it was signed and what it means is told beside it."""
    done = desk("request", "GET", f"{JOBS}?action=get&jobId=j1", *emulator)
    assert done.exit_code == 1
    assert json.loads(done.stdout)["code"] == 24404
    assert f"request     GET {emulator[1]}{JOBS}?action=get&jobId=j1&orgId={ORG}" in done.stderr
    assert f"2 params    actiongetjobIdj1orgId{ORG}" in done.stderr
    assert "meaning     24404: no such job" in done.stderr


def test_a_search_with_a_body_from_standard_input(desk, emulator):
    """A search changes nothing, so nobody is asked."""
    words = ["request", "post", JOBS, "--query", "action=search", "--body", "-", *emulator]
    done = desk(*words, input=b'{"pagination":{"pageNo":1,"pageSize":1}}')
    assert done.exit_code == 0
    assert json.loads(done.stdout)["pagination"]["totalSize"] == 0
    assert "meaning     success" in done.stderr


def test_the_documented_signature_is_reproduced(desk, documented):
    """The page's own example, byte for byte, with nothing sent and no secret shown."""
    done = desk(*documented)
    assert done.exit_code == 0
    assert (
        "  apim-signature    59828328f6c1f9771015dc74e4929ae30f518a35a3d2353972c2ea46556fc981" in done.stdout
    )
    assert "2 params    k1v1k2v2k3v3" in done.stdout
    assert '            ***k1v1k2v2k3v3{\n              "count": 20,' in done.stdout
    assert "            }1572574909697***" in done.stdout
    for secret in (KEYS["ENOS_SECRET_KEY"], KEYS["TOKEN"]):
        assert secret not in done.stdout + done.stderr


def test_the_text_shown_is_the_one_that_is_hashed(desk, documented):
    """With token and secret put back in their places, its hash is the signature."""
    shown = json.loads(desk(*documented, "-o", "json").stdout)["signing"]
    before, between, after = shown["text"].split("***")
    text = before + KEYS["TOKEN"] + between + KEYS["ENOS_SECRET_KEY"] + after
    assert hashlib.sha256(text.encode()).hexdigest() == shown["signature"]
    assert (shown["bodyBytes"], shown["parameters"]) == (
        len(DOCUMENTED.encode()),
        ["k1=v1", "k2=v2", "k3=v3"],
    )


def test_a_dry_run_sends_nothing(desk, emulator):
    """No call leaves, not even for a token; so there is no signature either, and nobody is asked."""
    done = desk(*create(desk, *NOWHERE, "--org", "o1", "--dry-run"))
    assert done.exit_code == 0
    assert "apim-signature    made with the token, which a dry run does not fetch" in done.stdout
    assert done.stderr == ""
    desk(*create(desk, *emulator, "--dry-run"))
    search = ["request", "POST", JOBS, "--query", "action=search", *emulator]
    assert json.loads(desk(*search).stdout)["data"] == []


def test_a_call_that_may_change_something_is_asked_for(desk, emulator):
    """What would be sent is shown first. Where nobody can answer it is refused, and --yes is an answer."""
    refused = desk(*create(desk, *emulator))
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--yes" in refused.stderr
    assert '{"type": "verify", ' in refused.stderr
    assert "apim-signature" not in refused.stderr
    assert desk("request", "GET", JOBS, "--query", "action=delete", *emulator).exit_code == 2
    done = desk(*create(desk, *emulator, "--yes"))
    assert done.exit_code == 0
    assert json.loads(done.stdout)["data"]["jobId"]


def test_a_protected_profile_wants_its_name(desk):
    """A bare --yes does not do, and a wrong name neither."""
    desk.environment |= {"PROD_ACCESS": "canary-prod-access", "PROD_SECRET": "canary-prod-secret"}
    words = create(desk, "--profile", "prod")
    assert "--confirm prod instead of --yes" in desk(*words, "--yes").stderr
    wrong = desk(*words, "--confirm", "stage")
    assert (wrong.exit_code, "the profile's name is prod" in wrong.stderr) == (2, True)


def test_a_token_in_a_reply_is_not_shown(desk, emulator):
    """Not even where it was asked for by hand."""
    timestamp = "1600000000000"
    encryption = hashlib.sha256(f"demo-access-key{timestamp}demo-secret-key".encode()).hexdigest()
    body = {"appKey": "demo-access-key", "encryption": encryption, "timestamp": timestamp}
    (desk.path / "token.json").write_text(json.dumps(body))
    done = desk(
        "request", "POST", "/apim-token-service/v2.0/token/get", "--body", "token.json", "--yes", *emulator
    )
    reply = json.loads(done.stdout)
    assert (reply["status"], reply["data"]["accessToken"]) == (0, "***")


def test_a_wrong_secret(desk, emulator):
    """Exit code 4, and the secret is in no output."""
    desk.environment |= {"ENOS_ACCESS_KEY": "demo-access-key", "ENOS_SECRET_KEY": "canary-of-a-wrong-secret"}
    done = desk.run("request", "GET", JOBS, *emulator)
    assert done.returncode == 4
    assert "status 1003" in done.stderr
    assert "canary" not in done.stdout + done.stderr


def test_a_wrong_token(desk, emulator):
    """The gateway's refusal is shown as it is, with what it means."""
    desk.environment["TOKEN"] = "canary-of-a-token"
    done = desk("request", "GET", f"{JOBS}?action=get&jobId=1", "--token", "env:TOKEN", *emulator)
    assert done.exit_code == 4
    assert json.loads(done.stdout) == {"message": "Invalid authentication credentials"}
    assert "meaning     HTTP 401: token or signature refused" in done.stderr
    assert "canary" not in done.stdout + done.stderr


@contextmanager
def answering(answer: bytes):
    """A server of one call that says just this and hangs up; gives the flags that name it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        yield ("--url", url, "--org", "o1", "--token", "env:TOKEN", "--yes")
        thread.join()


def test_a_change_without_an_answer_is_unknown(desk):
    """Exit code 8 and a warning, since it may have taken effect; a read is just sent again."""
    desk.environment |= KEYS
    with answering(b"") as flags:
        lost = desk(*create(desk, *flags))
    assert (lost.exit_code, lost.stdout) == (8, "")
    assert "it may have taken effect: look before it is sent again" in lost.stderr
    with answering(b"") as flags:
        read = desk("request", "GET", f"{JOBS}?action=get&jobId=1", *flags)
    assert read.exit_code == 1
    assert "send it again" in read.stderr


def test_what_a_device_signs_on_with_is_not_shown(desk):
    """V2.1 of the device search may send secrets unasked."""
    desk.environment |= KEYS
    device = {"deviceKey": "d1", "deviceSecret": "canary-1", "sessionKey": "canary-2"}
    body = json.dumps({"code": 0, "msg": "OK", "data": [device]}).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    for form in ("text", "json"):
        with answering(head + body) as flags:
            done = desk("request", "GET", "/connect-service/v2.1/devices", *flags, "-o", form)
        assert done.exit_code == 0
        assert '"deviceSecret": "***"' in done.stdout
        assert "canary" not in done.stdout + done.stderr


def test_a_page_instead_of_a_reply(desk):
    """Whatever a proxy says is shown as text, with what it is not."""
    desk.environment |= KEYS
    page = b"<html>\x1b[31mlogin</html>"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(page)
    with answering(head + page) as flags:
        done = desk("request", "GET", JOBS, *flags)
    assert (done.exit_code, done.stdout) == (1, "<html>\\x1b[31mlogin</html>\n")
    assert "not an answer of the platform" in done.stderr


def test_as_json(desk, emulator):
    """One document: what was sent, how it was signed, what came back and what it means."""
    done = desk(*create(desk, *emulator, "--yes", "-o", "json"))
    told = json.loads(done.stdout)
    assert (told["schema"], told["exitCode"], told["meaning"]) == ("rollout.request/1", 0, "success")
    assert told["request"]["query"] == {"action": "create", "firmwareId": "fw-1", "orgId": ORG}
    assert told["request"]["bodyText"] == (desk.path / "create.json").read_text()
    assert (told["reply"]["httpStatus"], told["reply"]["json"]["code"]) == (200, 0)
    assert len(told["signing"]["signature"]) == 64


@pytest.mark.parametrize(
    "words",
    [
        ("PUT", JOBS),
        ("GET", "https://elsewhere.example.com/x"),
        ("GET", "/../x"),
        ("GET", "/a b"),
        ("GET", JOBS, "--query", "action"),
        ("GET", f"{JOBS}?action=get", "--query", "action=search"),
        ("POST", JOBS, "--body", "nowhere.json"),
        ("GET", JOBS, "--timestamp", "now"),
        ("GET", JOBS, "--token", "a-token-itself"),
        ("GET", JOBS, "--token", "env:NOT_SET"),
    ],
)
def test_what_cannot_be_meant_is_refused(desk, words):
    """Before anything is sent, with a message and without a traceback."""
    done = desk("request", *words, "--dry-run", *NOWHERE)
    assert done.exit_code in {1, 2, 4}
    assert done.stdout == ""
    assert "error: " in done.stderr
    assert "a-token-itself" not in done.stderr


def test_the_emulator_inside_cannot_be_called(desk):
    """It lives only as long as a run; how to have one beside is told."""
    done = desk("request", "GET", JOBS)
    assert done.exit_code == 2
    assert "rollout emulator" in done.stderr
