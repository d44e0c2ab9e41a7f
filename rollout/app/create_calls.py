"""Create calls as they would be sent, for people and other tools to look at: JSON, a shell script, a Postman collection.

Query and body come from the code that sends them, so what is shown is what would leave, byte for byte. What cannot
be shown is the signature: it covers the moment of sending and the secret. So the script and the collection compute it
themselves, with keys from the place that the profile names; neither contains a secret.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from rollout.core.campaign import Campaign
from rollout.core.plan import Batch, Plan
from rollout.enos.paths import JOBS_PATH, TOKEN_PATH
from rollout.enos.signing import params_data
from rollout.enos.translate import JSON_TYPE, create_body, create_query
from rollout.errors import WrongArgument
from rollout.ports import CreateCall, Manifest
from rollout.settings import DEMO_ACCESS_KEY, DEMO_SECRET_KEY, Profile
from rollout.telemetry.redact import HIDDEN
from rollout.text import counted

LOCAL_URL: Final = "http://127.0.0.1:8484"
"""Where `rollout emulator` listens by default."""

BODY_CHARS_SHOWN_MAX: Final = 2_000
"""Characters of a body that a screen gets whole; a file always does. Ours."""

KEYS_SHOWN_MAX: Final = 10
"""Device keys that a screen gets whole. Ours."""

KEYS_SHOWN: Final = 3
"""Device keys that a screen gets if there are more than those. Ours."""


class As(StrEnum):
    """The forms of a shown request."""

    JSON = "json"
    CURL = "curl"
    POSTMAN = "postman"


@dataclass(frozen=True, slots=True)
class Shown:
    """One create call: `label` is its batch, as in `canary/0001`."""

    label: str
    devices: int
    query: dict[str, str]
    body: str

    @property
    def is_long(self) -> bool:
        """Whether the body is too long for a screen."""
        return len(self.body) > BODY_CHARS_SHOWN_MAX

    @property
    def target(self) -> str:
        """Return path and query. No value needs escaping: ids have letters, digits, `-` and `_`."""
        return f"{JOBS_PATH}?{'&'.join(f'{name}={value}' for name, value in self.query.items())}"

    @property
    def title(self) -> str:
        """Return the batch with its number of devices."""
        devices = counted(self.devices, "device") if self.devices else "devices picked by EnOS"
        return f"{self.label} · {devices}"

    def short_body(self) -> Any:
        """Return the body's JSON; most of many device keys are left out, and a note gives their number."""
        body = json.loads(self.body)
        keys = body["upgradeScope"].get("deviceKeys", [])
        if len(keys) > KEYS_SHOWN_MAX:
            body["upgradeScope"]["deviceKeys"] = [*keys[:KEYS_SHOWN], f"... {len(keys) - KEYS_SHOWN:,} more"]
        return body


def batches_asked_for(plan: Plan, wanted: str, wave: str | None) -> Sequence[Batch]:
    """Return the batch `WAVE/NNNN`, or the first `N` batches of the plan, or of one wave.

    Raises: WrongArgument where there is no such wave or batch.
    """
    waves = {planned.name: planned for planned in plan.waves}
    if wave is not None and wave not in waves:
        raise WrongArgument("wave", f"no wave {wave!r}; there are {', '.join(waves)}")
    if re.fullmatch(r"[1-9][0-9]{0,6}", wanted):
        planned = None if wave is None else waves[wave]
        batches = plan.batches if planned is None else plan.batches[planned.first : planned.last]
        return batches[: int(wanted)]
    name, _, number = wanted.rpartition("/")
    found = waves.get(name)
    jobs = 0 if found is None else found.last - found.first
    if found is None or not re.fullmatch(r"[0-9]{1,9}", number) or not 1 <= int(number) <= jobs:
        known = ", ".join(
            f"{planned.name}/0001 to {planned.last - planned.first:04d}" for planned in plan.waves
        )
        raise WrongArgument(
            "show-requests", f"{wanted[:80]!r} is neither a number of calls nor a batch; there are {known}"
        )
    if wave not in (None, name):
        raise WrongArgument("", f"--wave {wave} and --show-requests {wanted} are two waves")
    return [plan.batches[found.first + int(number) - 1]]


def shown(campaign: Campaign, batch: Batch, manifest: Manifest) -> Shown:
    """Return the create call of a planned batch."""
    call = CreateCall.of_batch(campaign, batch, manifest)
    return Shown(
        f"{campaign.waves[batch.wave].name}/{batch.number:04d}",
        batch.devices,
        create_query(campaign.org_id, call),
        create_body(call).decode("ascii"),
    )


def create_call_json(request: Shown, url: str, *, whole: bool) -> dict[str, Any]:
    """Return the call as JSON; `bodyText`, the body's exact text, and most of many keys are left out if not `whole`."""
    text = {"bodyText": request.body} if whole else {}
    return {
        "batch": request.label,
        "devices": request.devices,
        "method": "POST",
        "url": f"{url}/{request.target}",
        "path": f"/{JOBS_PATH}",
        "query": request.query,
        "headers": {
            "Content-Type": JSON_TYPE,
            "apim-accesstoken": HIDDEN,
            "apim-timestamp": HIDDEN,
            "apim-signature": HIDDEN,
        },
        "body": json.loads(request.body) if whole else request.short_body(),
        **text,
    }


def base_url(profile: Profile | None) -> str:
    """Return the gateway's address; an emulator beside this process where the profile has none."""
    return LOCAL_URL if profile is None or profile.in_process else profile.url


# --- a shell script -------------------------------------------------------------------------------------------

PREAMBLE: Final = r"""
# <CALLS> of campaign <ID>, as `rollout run` sends them.
# Each one that is sent makes a job that no journal knows of: for a look, or for a tenant of tests.
# Needs curl, and sha256sum or shasum. The keys are taken from where they are kept; no secret stands here.
URL=<URL>
ACCESS_KEY=<ACCESS>
SECRET_KEY=<SECRET>
sha256() { if command -v sha256sum > /dev/null; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1; }
now_ms() { t=$(date +%s%3N); case $t in *[!0-9]*) t=$(date +%s)000 ;; esac; echo "$t"; }
TIMESTAMP=$(now_ms)
ENCRYPTION=$(printf %s "$ACCESS_KEY$TIMESTAMP$SECRET_KEY" | sha256)
REPLY=$(curl -sS<TRUST> "$URL/<TOKEN_PATH>" -H 'Content-Type: <JSON_TYPE>' \
  --data-binary "{\"appKey\":\"$ACCESS_KEY\",\"encryption\":\"$ENCRYPTION\",\"timestamp\":$TIMESTAMP}")
TOKEN=$(printf %s "$REPLY" | sed -n 's/.*"accessToken" *: *"\([^"]*\)".*/\1/p')
[ -n "$TOKEN" ] || printf 'no token: %s\n' "$REPLY" >&2
""".strip()

# The body goes through a pipe, since an argument of a program is bounded (128 KiB on Linux)
CALL: Final = r"""
BODY=<BODY>
TIMESTAMP=$(now_ms)
SIGNATURE=$(printf %s "${TOKEN}<PARAMS>${BODY}${TIMESTAMP}${SECRET_KEY}" | sha256)
printf %s "$BODY" | curl -sS<TRUST> -w '\n' "$URL/<TARGET>" \
  -H "apim-accesstoken: $TOKEN" -H "apim-timestamp: $TIMESTAMP" -H "apim-signature: $SIGNATURE" \
  -H 'Content-Type: <JSON_TYPE>' --data-binary @-
""".strip()


def curl_script(
    requests: Sequence[Shown], campaign_id: str, profile: Profile | None, *, whole: bool
) -> Iterator[str]:
    """Yield the lines of a POSIX shell script that signs and sends the calls with curl.

    If not `whole`, long bodies are shortened and their calls turned into notes: half a body must not be sent.
    """
    access, secret = _keys(profile)
    ca_file = None if profile is None else profile.ca_file
    common = {
        "TRUST": "" if ca_file is None else f" --cacert {shlex.quote(str(ca_file))}",
        "JSON_TYPE": JSON_TYPE,
    }
    yield from _filled(
        PREAMBLE,
        CALLS=counted(len(requests), "create call"),
        ID=campaign_id,
        URL=_url(profile),
        ACCESS=access,
        SECRET=secret,
        TOKEN_PATH=f"{TOKEN_PATH}/get",
        **common,
    )
    for request in requests:
        shorten = request.is_long and not whole
        body = json.dumps(request.short_body()) if shorten else request.body
        yield ""
        yield f"# {request.title}"
        for line in _filled(
            CALL, PARAMS=params_data(request.query), TARGET=request.target, **common, BODY=shlex.quote(body)
        ):
            yield f"# {line}" if shorten else line


def _filled(template: str, **values: str) -> list[str]:
    """Return the template's lines with each `<NAME>` replaced, once: what a value holds is left alone."""
    return re.sub(r"<([A-Z_]+)>", lambda match: values[match[1]], template).split("\n")


def _url(profile: Profile | None) -> str:
    """Return what the shell takes the gateway's address from."""
    if profile is None or profile.in_process:
        return f"${{ENOS_URL:-{LOCAL_URL}}}"
    return shlex.quote(profile.url)


def _keys(profile: Profile | None) -> tuple[str, str]:
    """Return what the shell takes the two keys from; without a profile those of the emulator unless others are set."""
    if profile is None:
        return f"${{ENOS_ACCESS_KEY:-{DEMO_ACCESS_KEY}}}", f"${{ENOS_SECRET_KEY:-{DEMO_SECRET_KEY}}}"
    if _has_demo_keys(profile):
        return DEMO_ACCESS_KEY, DEMO_SECRET_KEY
    access, secret = profile.access_key, profile.secret_key
    return _from_shell(access or "env:ENOS_ACCESS_KEY"), _from_shell(secret or "env:ENOS_SECRET_KEY")


def _has_demo_keys(profile: Profile) -> bool:
    """Whether the calls go to an emulator with its public keys."""
    return profile.in_process or (profile.is_local and profile.access_key is profile.secret_key is None)


def _from_shell(reference: str) -> str:
    kind, _, target = reference.partition(":")
    return f"${{{target}:?is not set}}" if kind == "env" else f"$(cat {shlex.quote(target)})"


# --- a Postman collection -------------------------------------------------------------------------------------

SCHEMA_V2_1: Final = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"

PRE_REQUEST: Final = """\
// Signs the request: a token first, then the hash over token, parameters, body, time and secret.
// accessKey and secretKey are variables; keep the secret in an environment, as type secret.
const cryptojs = require('crypto-js');
const hash = text => cryptojs.SHA256(text).toString(cryptojs.enc.Hex);
const value = text => pm.variables.replaceIn(text);
const accessKey = value('{{accessKey}}');
const secretKey = value('{{secretKey}}');
const asked = Date.now();
pm.sendRequest({
  url: value('{{baseUrl}}') + '/<TOKEN_PATH>',
  method: 'POST',
  header: {'Content-Type': '<JSON_TYPE>'},
  body: {mode: 'raw', raw: JSON.stringify({
    appKey: accessKey, encryption: hash(accessKey + asked + secretKey), timestamp: asked})},
}, (error, response) => {
  if (error) throw new Error('token service: ' + error);
  const reply = response.json();
  if (reply.status !== 0) throw new Error('token service: status ' + reply.status + ' ' + (reply.msg || ''));
  const token = reply.data.accessToken;
  const params = pm.request.url.query.all().filter(each => !each.disabled)
    .map(each => [value(each.key), value(each.value)])
    .sort((a, b) => (a[0] < b[0] ? -1 : 1))
    .map(each => each.join('')).join('');
  const body = pm.request.body && pm.request.body.raw ? value(pm.request.body.raw) : '';
  const timestamp = String(Date.now());
  pm.variables.set('accessToken', token);
  pm.variables.set('timestamp', timestamp);
  pm.variables.set('signature', hash(token + params + body + timestamp + secretKey));
});
"""


def postman_collection(
    requests: Sequence[Shown], campaign_id: str, profile: Profile | None
) -> dict[str, Any]:
    """Return a collection of format 2.1 whose requests sign themselves.

    The emulator's demo keys, which are public, are filled in where no other platform is named; other keys never are.
    """
    demo = profile is None or _has_demo_keys(profile)
    access, secret = (DEMO_ACCESS_KEY, DEMO_SECRET_KEY) if demo else ("", "")
    return {
        "info": {
            "name": f"rollout {campaign_id}: create calls",
            "description": "Each request that is sent makes a job that no journal knows of. Fill in accessKey and "
            "secretKey in an environment first.",
            "schema": SCHEMA_V2_1,
        },
        "item": [_item(request) for request in requests],
        "event": [
            {
                "listen": "prerequest",
                "script": {
                    "type": "text/javascript",
                    "exec": _filled(PRE_REQUEST, TOKEN_PATH=f"{TOKEN_PATH}/get", JSON_TYPE=JSON_TYPE),
                },
            }
        ],
        "variable": [
            {"key": "baseUrl", "value": base_url(profile)},
            {"key": "accessKey", "value": access},
            {"key": "secretKey", "value": secret},
        ],
    }


def _item(request: Shown) -> dict[str, Any]:
    headers = {
        "Content-Type": JSON_TYPE,
        "apim-accesstoken": "{{accessToken}}",
        "apim-timestamp": "{{timestamp}}",
        "apim-signature": "{{signature}}",
    }
    return {
        "name": request.title,
        "request": {
            "method": "POST",
            "header": [{"key": name, "value": value} for name, value in headers.items()],
            "url": {
                "raw": f"{{{{baseUrl}}}}/{request.target}",
                "host": ["{{baseUrl}}"],
                "path": JOBS_PATH.split("/"),
                "query": [{"key": name, "value": value} for name, value in request.query.items()],
            },
            "body": {"mode": "raw", "raw": request.body, "options": {"raw": {"language": "json"}}},
        },
    }
