"""A small client for the emulator's tests: signs its calls correctly and shows the whole answer."""

import json
import time
from dataclasses import dataclass

import aiohttp

from rollout.enos.signing import Secret, Timestamps, encrypt, sign

ORG = "o00000000000000"
JOBS = "/connect-service/v2.1/ota-jobs"
FIRMWARE = "/connect-service/v2.1/ota-firmwares"
TOKEN_GET = "/apim-token-service/v2.0/token/get"
TOKEN_REFRESH = "/apim-token-service/v2.0/token/refresh"


def upgrade(keys, name="job-1.", **more):
    """Return the body of an upgrade job over `keys`; `scope=` and other fields replace its own."""
    scope = {"type": "partial", "versionNumbers": ["1.0"], "deviceKeys": list(keys)} | more.pop("scope", {})
    body = {
        "name": {"defaultValue": name, "i18nValue": {}},
        "type": "upgrade",
        "upgradePolicy": "snapshot",
        "enableUpgradeRequest": False,
        "upgradeScope": {field: value for field, value in scope.items() if value is not None},
    }
    return {field: value for field, value in (body | more).items() if value is not None}


def verify(keys, **more):
    """Return the body of a verification job over `keys`."""
    return {
        "type": "verify",
        "upgradeScope": {"type": "partial", "versionNumbers": ["1.0"], "deviceKeys": list(keys)},
    } | more


def keys(count, start=0):
    """Return `count` device keys."""
    return [f"dev-{number:06d}" for number in range(start, start + count)]


@dataclass
class Answer:
    status: int
    headers: dict
    text: str

    @property
    def json(self):
        return json.loads(self.text)

    @property
    def code(self):
        return self.json["code"]

    @property
    def data(self):
        return self.json["data"]


class Client:
    """One application that calls one base URL."""

    def __init__(self, session, url, access_key="demo-access-key", secret_key="demo-secret-key"):
        self.session = session
        self.url = url
        self.access_key = access_key
        self.secret = Secret(secret_key)
        self.timestamps = Timestamps(time.time)
        self.token = ""

    def token_body(self, **more):
        timestamp = self.timestamps.next_ms()
        return {
            "appKey": self.access_key,
            "encryption": encrypt(self.access_key, timestamp, self.secret),
            "timestamp": timestamp,
        } | more

    async def send(self, method, path, *, query=None, body=None, headers=None):
        async with self.session.request(
            method, self.url + path, params=query, data=body, headers=headers
        ) as response:
            return Answer(response.status, dict(response.headers), await response.text())

    async def log_in(self):
        answer = await self.send("POST", TOKEN_GET, body=json.dumps(self.token_body()).encode())
        assert answer.json["status"] == 0, answer.text
        self.token = answer.json["data"]["accessToken"]
        return answer

    def signed(self, query, body):
        timestamp = self.timestamps.next_ms()
        return {
            "apim-accesstoken": self.token,
            "apim-timestamp": str(timestamp),
            "apim-signature": sign(Secret(self.token), query, body, timestamp, self.secret),
            "Content-Type": "application/json;charset=UTF-8",
        }

    async def call(self, action, body=None, *, path=JOBS, method="POST", org=ORG, **query):
        query = {"action": action, "orgId": org} | query
        query = {name: value for name, value in query.items() if value is not None}
        data = None if body is None else json.dumps(body).encode()
        return await self.send(method, path, query=query, body=data, headers=self.signed(query, data))

    async def create(self, body, firmware="fw-2"):
        return await self.call("create", body, firmwareId=firmware)

    async def count(self, expression):
        answer = await self.call("searchTask", {"expression": expression, "pagination": {"pageSize": 1}})
        assert answer.code == 0, answer.text
        return answer.json["pagination"]["totalSize"]


def new_session():
    """Return a session that never keeps a connection, so that a broken one is nobody else's."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))
