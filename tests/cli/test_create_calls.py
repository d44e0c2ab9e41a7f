"""plan --show-requests: what would be sent, as JSON, as a script that works, as a collection that signs itself."""

import json
import shutil
import subprocess

import pytest

from rollout.app import create_calls
from rollout.app.planning import open_or_compile
from rollout.app.stores import open_store
from rollout.cli.console import Console
from rollout.enos.paths import TOKEN_PATH
from rollout.enos.signing import Secret, sign
from rollout.enos.translate import create_body, create_query
from rollout.ports import CreateCall
from rollout.settings import DEMO_ACCESS_KEY, DEMO_SECRET_KEY

CANARY = "cAnAry-secret-91"


def show(desk, *arguments):
    """Return what `plan --show-requests` prints of the small campaign."""
    result = desk("plan", "plan.yaml", "--show-requests", *arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_json_is_what_the_engine_sends(desk):
    """Query and body of every batch, byte for byte as the sending code makes them."""
    shown = json.loads(show(desk, "100"))["requests"]
    saved = open_or_compile(desk.path / "plan.yaml", open_store(desk.path / ".rollout")).saved
    campaign = saved.plan.campaign
    assert len(shown) == len(saved.plan.batches) == 4
    for told, batch in zip(shown, saved.plan.batches, strict=True):
        create_call = CreateCall.of_batch(campaign, batch, saved.manifest)
        assert told["bodyText"].encode() == create_body(create_call)
        assert told["query"] == create_query("o1", create_call)
        assert told["body"] == json.loads(told["bodyText"])


@pytest.mark.parametrize(
    ("arguments", "batches"),
    [
        ([], ["canary/0001", "total/0001", "total/0002"]),
        (["2"], ["canary/0001", "total/0001"]),
        (["--wave", "total"], ["total/0001", "total/0002", "total/0003"]),
        (["1", "--wave", "total"], ["total/0001"]),
        (["total/0002", "--wave", "total"], ["total/0002"]),
    ],
)
def test_which_calls_are_shown(desk, arguments, batches):
    """Three unless another number is asked for, of one wave if it is named, or one batch."""
    assert [told["batch"] for told in json.loads(show(desk, *arguments))["requests"]] == batches


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--show-requests", "0"], "neither a number of calls nor a batch"),
        (["--show-requests", "x" * 500], "'xxxx"),
        (["--show-requests", "total/0004"], "there are canary/0001 to 0001, total/0001 to 0003"),
        (["--show-requests", "total/0"], "there are canary/0001 to 0001, total/0001 to 0003"),
        (["--show-requests", "nope/0001"], "there are canary/0001 to 0001, total/0001 to 0003"),
        (["--show-requests", "total/٢"], "there are canary/0001 to 0001, total/0001 to 0003"),
        (["--show-requests", "--wave", "nope"], "no wave 'nope'; there are canary, total"),
        (["--show-requests", "canary/0001", "--wave", "total"], "are two waves"),
        (["--show-requests", "--as", "xml"], "'xml' is not one of"),
        (["--as", "curl"], "--wave and --as go with --show-requests"),
        (["--wave", "total"], "--wave and --as go with --show-requests"),
        (["--show-requests", "--as", "curl", "-o", "json"], "leave out --output json"),
    ],
)
def test_nonsense_is_refused(desk, arguments, told):
    """Exit 2 with the flag and what there is to choose from."""
    result = desk("plan", "plan.yaml", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr


@pytest.fixture
def gateway(desk):
    """An emulator of organisation o1 as a process of its own; its address."""
    process = desk.begin("emulator", "--port", "0", "--org", "o1")
    return process.stdout.readline().split()[1]


@pytest.mark.skipif(shutil.which("curl") is None, reason="the script needs curl")
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_the_script_signs_and_sends(desk, gateway, shell):
    """Run as it is printed, each call passes the signature check and makes its job; a name may hold any sign."""
    name = 'name: {defaultValue: x, i18nValue: {en_US: "It\'s $HOME `id` 100% \\\\n Gerät"}}'
    plan = (desk.path / "plan.yaml").read_text().replace("name: Small campaign", name)
    (desk.path / "plan.yaml").write_text(plan)
    (desk.path / "calls.sh").write_text(show(desk, "4", "--as", "curl"))
    environment = {**desk.environment, "ENOS_URL": gateway}
    done = subprocess.run(
        [shell, "calls.sh"],
        cwd=desk.path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    replies = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(reply["code"], reply["msg"]) for reply in replies] == [(0, "OK")] * 4


def test_no_key_stands_in_a_script_or_a_collection(desk, monkeypatch):
    """Both take the keys from where the profile has them, also a path with blanks; their values appear nowhere."""
    monkeypatch.setenv("PROD_ACCESS", CANARY)
    monkeypatch.setenv("PROD_SECRET", CANARY)
    script = show(desk, "--as", "curl", "--profile", "prod")
    assert "URL=https://gw.example.com\n" in script
    assert "ACCESS_KEY=${PROD_ACCESS:?is not set}\n" in script
    assert "SECRET_KEY=${PROD_SECRET:?is not set}\n" in script
    collection = show(desk, "--as", "postman", "--profile", "prod")
    assert {each["key"]: each["value"] for each in json.loads(collection)["variable"]} == {
        "baseUrl": "https://gw.example.com",
        "accessKey": "",
        "secretKey": "",
    }
    assert CANARY not in script + collection
    (desk.path / "rollout.toml").write_text(
        '[profiles.x]\nurl = "https://x"\nca_file = "a b.pem"\naccess_key = "file:/a b"\nsecret_key = "file:/c\'d"\n'
    )
    script = show(desk, "--as", "curl", "--profile", "x")
    assert "ACCESS_KEY=$(cat '/a b')\n" in script
    assert "SECRET_KEY=$(cat '/c'\"'\"'d')\n" in script
    assert script.count(f"--cacert '{desk.path}/a b.pem'") == 4


def test_the_collection_has_the_form_of_postman(desk):
    """Format 2.1: name and schema, one item a call with the exact body, and one script before them all."""
    collection = json.loads(show(desk, "4", "--as", "postman"))
    assert collection["info"]["schema"] == create_calls.SCHEMA_V2_1
    shown = json.loads(show(desk, "4"))["requests"]
    for item, told in zip(collection["item"], shown, strict=True):
        request = item["request"]
        assert request["body"]["raw"] == told["bodyText"]
        assert {each["key"]: each["value"] for each in request["url"]["query"]} == told["query"]
        assert request["url"]["raw"] == "{{baseUrl}}/" + "/".join(request["url"]["path"]) + "?" + "&".join(
            f"{name}={value}" for name, value in told["query"].items()
        )
        assert request["method"] == "POST"
    (event,) = collection["event"]
    assert event["listen"] == "prerequest"
    assert all(isinstance(line, str) for line in event["script"]["exec"])


HARNESS = """
const {createHash} = require('crypto');
const collection = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const item = collection.item[0].request;
const values = Object.fromEntries(collection.variable.map(each => [each.key, each.value]));
const pm = {
  variables: {
    replaceIn: text => text.replace(/{{(\\w+)}}/g, (whole, name) => values[name] ?? whole),
    set: (name, value) => { values[name] = value; },
  },
  request: {url: {query: {all: () => item.url.query}}, body: item.body},
  sendRequest: (sent, then) => {
    values.asked = sent;
    then(null, {json: () => ({status: 0, data: {accessToken: 'tok'}})});
  },
};
const library = {
  SHA256: text => ({toString: () => createHash('sha256').update(text, 'utf8').digest('hex')}),
  enc: {Hex: null},
};
new Function('pm', 'require', collection.event[0].script.exec.join('\\n'))(pm, () => library);
console.log(JSON.stringify(values));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="the script is JavaScript")
def test_the_collection_signs_as_we_do(desk):
    """The script before each call makes the signature that our own code makes of the same call."""
    text = show(desk, "1", "--as", "postman")
    done = subprocess.run(
        ["node", "-e", HARNESS], input=text, capture_output=True, text=True, timeout=60, check=True
    )
    values = json.loads(done.stdout)
    told = json.loads(show(desk, "1"))["requests"][0]
    assert values["signature"] == sign(
        Secret("tok"),
        told["query"],
        told["bodyText"].encode(),
        values["timestamp"],
        Secret(DEMO_SECRET_KEY),
    )
    asked = json.loads(values["asked"]["body"]["raw"])
    assert asked["appKey"] == DEMO_ACCESS_KEY
    assert values["asked"]["url"] == f"{create_calls.LOCAL_URL}/{TOKEN_PATH}/get"


def test_a_screen_gets_long_bodies_shortened_and_never_a_call_that_sends_half(desk, monkeypatch):
    """Some keys and the number of the others; the script's call is a note; how to get it whole is told."""
    (desk.path / "devices.csv").write_text(
        "\n".join(["deviceKey,site", *(f"SN-{number:06d},a" for number in range(2000))]) + "\n"
    )
    plan = (desk.path / "plan.yaml").read_text().replace("perJob: 10", "perJob: 500")
    (desk.path / "plan.yaml").write_text(plan)
    whole = show(desk, "1", "--as", "curl")
    monkeypatch.setattr(Console, "columns", lambda self, stream: 80)
    result = desk("plan", "plan.yaml", "--show-requests", "1")
    keys = json.loads(result.stdout)["requests"][0]["body"]["upgradeScope"]["deviceKeys"]
    assert len(keys) == 4
    assert keys[-1] == "... 497 more"
    assert result.stderr == (
        "note: shortened for the screen; whole with  rollout plan plan.yaml --show-requests 1 > FILE\n"
    )
    result = desk("plan", "plan.yaml", "--show-requests", "1", "--as", "curl")
    preamble, _, call = result.stdout.partition("\n\n")
    assert preamble == whole.partition("\n\n")[0]
    assert call.count("\n") == 7
    assert all(line.startswith("# ") for line in call.splitlines())
    assert "> FILE" in result.stderr
