"""A minimal caller of EnOS, written from the documents alone: token, signature, one request, one answer.

It shares no line with the client it bears witness about, and needs the standard library only, so that it also runs in
environments of others.
Sources: pages invoke_api_with_access_token (token and signature) and overview (envelope).
"""

import hashlib
import http.client
import json
import time
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

TOKEN_PATH = "/apim-token-service/v2.0/token/"
ANSWER_S_MAX = 30
"""Seconds an answer may take."""


def encryption(app_key, timestamp, app_secret):
    """Return what a token request proves itself by."""
    return hashlib.sha256(f"{app_key}{timestamp}{app_secret}".encode()).hexdigest()


def signature(token, parameters, body, timestamp, app_secret):
    """Return the signature of a call: `parameters` decoded, `body` the bytes as sent, empty if there are none."""
    named = "".join(name + parameters[name] for name in sorted(parameters))
    return hashlib.sha256(f"{token}{named}".encode() + body + f"{timestamp}{app_secret}".encode()).hexdigest()


@dataclass
class Answer:
    """One HTTP answer; header names in lower case."""

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
    def msg(self):
        return self.json["msg"]

    @property
    def data(self):
        """What a call that must succeed gives."""
        assert (self.status, self.json.get("code")) == (200, 0), self.text
        return self.json["data"]

    @property
    def page(self):
        assert (self.status, self.json.get("code")) == (200, 0), self.text
        return self.json["pagination"]

    @property
    def total(self):
        return self.page["totalSize"]


class _Timestamps:
    """Milliseconds since the epoch, each later than all before: the token service takes none twice."""

    last_ms = 0

    def next_ms(self):
        self.last_ms = max(int(time.time() * 1000), self.last_ms + 1)
        return self.last_ms


_TIMESTAMPS = _Timestamps()
"""One for all callers of this process, since they may be of one application."""


class Caller:
    """One application in one organisation behind one gateway."""

    def __init__(self, url, app_key, app_secret, org):
        self.url = urlsplit(url)
        self.app_key = app_key
        self.app_secret = app_secret
        self.org = org
        self._token = ""

    def send(self, method, path, body=b"", headers=None):
        """Send one request on a connection of its own and return the answer, whatever it is."""
        kind = http.client.HTTPSConnection if self.url.scheme == "https" else http.client.HTTPConnection
        link = kind(self.url.netloc, timeout=ANSWER_S_MAX)
        try:
            link.request(method, self.url.path.rstrip("/") + path, body or None, headers or {})
            reply = link.getresponse()
            headers = {name.lower(): value for name, value in reply.getheaders()}
            return Answer(reply.status, headers, reply.read().decode())
        finally:
            link.close()

    # --- the token service

    def timestamp(self):
        """Return the time in ms, never the same twice."""
        return _TIMESTAMPS.next_ms()

    def token_request(self, **changes):
        """Return the body of a token request; `changes` replace fields, None takes them out."""
        timestamp = self.timestamp()
        body = {
            "appKey": self.app_key,
            "encryption": encryption(self.app_key, timestamp, self.app_secret),
            "timestamp": timestamp,
        } | changes
        return {name: value for name, value in body.items() if value is not None}

    def ask_for_token(self, body, action="get"):
        return self.send(
            "POST", TOKEN_PATH + action, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )

    @property
    def token(self):
        """The access token, fetched when first needed."""
        if not self._token:
            answer = self.ask_for_token(self.token_request())
            assert answer.json["status"] == 0, answer.text
            self._token = answer.json["data"]["accessToken"]
        return self._token

    # --- calls

    def signed_headers(self, parameters, body):
        timestamp = self.timestamp()
        return {
            "apim-accesstoken": self.token,
            "apim-timestamp": str(timestamp),
            "apim-signature": signature(self.token, parameters, body, timestamp, self.app_secret),
            "Content-Type": "application/json;charset=UTF-8",
        }

    def call(
        self,
        action,
        body=None,
        *,
        on="ota-jobs",
        version="v2.1",
        method="POST",
        raw=None,
        headers=None,
        **query,
    ):
        """Sign and send one call. `raw` replaces the body's JSON, `headers` some headers; None leaves out."""
        named = {"action": action, "orgId": self.org} | query
        parameters = {name: value for name, value in named.items() if value is not None}
        if raw is None:
            raw = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
        sent = self.signed_headers(parameters, raw) | (headers or {})
        sent = {name: value for name, value in sent.items() if value is not None}
        path = f"/connect-service/{version}/{on}?{urlencode(parameters)}"
        return self.send(method, path, raw, sent)

    def upload(self, metadata, file=b"\x7fFIRMWARE", **query):
        """Create a firmware: a multipart body, of which nothing is signed."""
        parameters = {"action": "create", "orgId": self.org} | query
        boundary = "contract-boundary"
        parts = []
        if metadata is not None:
            parts.append(
                b'Content-Disposition: form-data; name="metadata"\r\nContent-Type: application/json\r\n\r\n'
                + json.dumps(metadata).encode()
            )
        if file is not None:
            parts.append(
                b'Content-Disposition: form-data; name="file"; filename="firmware.bin"\r\n'
                b"Content-Type: application/octet-stream\r\n\r\n" + file
            )
        body = b"".join(b"--%s\r\n%s\r\n" % (boundary.encode(), part) for part in parts)
        body += b"--%s--\r\n" % boundary.encode()
        headers = self.signed_headers(parameters, b"") | {
            "Content-Type": f"multipart/form-data; boundary={boundary}"
        }
        return self.send(
            "POST", f"/connect-service/v2.1/ota-firmwares?{urlencode(parameters)}", body, headers
        )
