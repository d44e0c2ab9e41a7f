"""The API gateway in front of the platform: tokens, signatures, flow control. No I/O; the time is an argument.

The gateway uses real time, whatever speed the platform's clock has, because tokens and quotas are matched against the
caller's own clock. It rejects a call before the platform sees it, with a body of its own shape, `{"message": …}`.
Source: pages invoke_api_with_access_token and gettingstarted; API Management's flow control.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from rollout.enos import limits
from rollout.enos.codes import GATEWAY, SdkStatus, TokenStatus
from rollout.enos.signing import Secret, encrypt, sign

DEMO_ACCESS_KEY = "demo-access-key"
DEMO_SECRET_KEY = "demo-secret-key"  # noqa: S105 - the keys of a demonstration, printed by it

SIGNED_CHARS_SHOWN = 300
"""Characters of a signed text that the request log keeps. Ours."""

ENCRYPTIONS_MAX = 10_000
"""Token requests remembered, to recognise one that is sent again. Ours."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The key pair of one application."""

    access_key: str = DEMO_ACCESS_KEY
    secret_key: Secret = field(default_factory=lambda: Secret(DEMO_SECRET_KEY))


_SPAN_S = MappingProxyType({"s": 1, "min": 60, "h": 3600})


@dataclass(frozen=True, slots=True)
class CallQuota:
    """Flow control: at most `calls` in each span of `per_s` seconds, over all calls together.

    `retry_after`: whether a 429 has a `Retry-After` header; gateways differ.
    """

    calls: int
    per_s: int
    retry_after: bool = False

    @classmethod
    def parse(cls, text: str) -> CallQuota:
        """Return the quota of a text such as `20/s`, or `600/min+retry` with `Retry-After`. Raises: ValueError."""
        found = re.fullmatch(r"([1-9][0-9]{0,8})/(s|min|h)(\+retry)?", text, re.ASCII)
        if found is None:
            raise ValueError(f"a quota reads 20/s, 600/min, 5000/h or 600/min+retry, not {text!r}")
        return cls(int(found[1]), _SPAN_S[found[2]], found[3] is not None)

    def __str__(self) -> str:
        span = next((word for word, seconds in _SPAN_S.items() if seconds == self.per_s), f"{self.per_s}s")
        return f"{self.calls}/{span}{'+retry' if self.retry_after else ''}"


@dataclass(frozen=True, slots=True)
class GatewayRules:
    """How strict the gateway is: its knobs. The first choice is the default; `WHAT_RULES_DO` explains each."""

    signature: Literal["strict", "token", "none"] = "strict"
    skew_s_max: float | None = None
    scheme_b: bool = False
    quota: CallQuota | None = None
    body_bytes_max: int = 8 * 1024 * 1024
    token_lifetime_s: int = limits.TOKEN_LIFETIME_S
    encryption_replay: Literal["refuse", "accept"] = "refuse"
    get_while_valid: Literal["same", "new"] = "same"
    old_after_refresh: Literal["ends", "lives"] = "ends"


WHAT_RULES_DO: Mapping[str, str] = MappingProxyType(
    {
        "signature": "token and signature of a call are checked, the token alone, or nothing",
        "skew_s_max": "how far a call's timestamp may lie from the gateway's clock, seconds; none asks nothing",
        "scheme_b": "calls of Envision's own SDK pass too, known by a token without timestamp and signature; any token "
        "will do, since it is encrypted for EnOS",
        "quota": "flow control over all calls together: none, 20/s, 600/min; 600/min+retry tells Retry-After",
        "body_bytes_max": "bytes of a body the gateway lets pass (413)",
        "token_lifetime_s": "seconds a token is valid",
        "encryption_replay": "the same encryption a second time: refused with 1001, or accepted",
        "get_while_valid": "a get while a token is valid: the same token, or a new one that ends it",
        "old_after_refresh": "the old token after a refresh: is over, or lives on to its end",
    }
)
"""Each rule in one line, for the admin page and the command line."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """How the gateway rejects a call. `retry_after_s`: the `Retry-After` header, None without one.

    `why`: the reason, for the request log; the caller does not get it.
    """

    status: int
    retry_after_s: int | None = None
    why: str = ""

    @property
    def body(self) -> dict[str, str]:
        """The body of the reply, in the gateway's own shape."""
        return {"message": GATEWAY[self.status].message}


class Gateway:
    """The gateway, for one application. `now` is the real time everywhere, seconds since the epoch."""

    def __init__(self, credentials: KeyPair, rules: GatewayRules, seed: int) -> None:
        self.rules = rules
        self._credentials = credentials
        self._seed = seed
        self._issued = 0
        self._token: Secret | None = None
        self._expires_at = 0.0
        self._former: tuple[Secret, float] | None = None
        self._encryptions: deque[str] = deque(maxlen=ENCRYPTIONS_MAX)
        self._span = -1
        self._spent = 0

    # --- the token service ------------------------------------------------------------------------------------

    def get_token(self, body: Any, now: float) -> dict[str, Any]:
        """Return the reply to a token request: the present token while it is valid, with the seconds it has left."""
        refused = self._check_request(body, now)
        if refused is not None:
            return token_reply(refused)
        if self._token is None or now >= self._expires_at or self.rules.get_while_valid == "new":
            self._issue(now)
        return self._token_data(now)

    def refresh_token(self, body: Any, now: float) -> dict[str, Any]:
        """Return the reply to a refresh: a new token. The old one ends, unless the rules let it live."""
        refused = self._check_request(body, now)
        if refused is not None:
            return token_reply(refused)
        offered = body.get("accessToken")
        if not offered:
            return token_reply(TokenStatus.EMPTY_PARAMETER)
        if self._token is None or not _same(str(offered), self._token):
            return token_reply(TokenStatus.REFRESH_FAILED)
        if now >= self._expires_at:
            return token_reply(TokenStatus.TOKEN_EXPIRED)
        former = (self._token, self._expires_at)
        self._issue(now)
        if self.rules.old_after_refresh == "lives":
            self._former = former
        return self._token_data(now)

    def revoke_token(self) -> None:
        """Make all tokens invalid: calls are rejected until the caller has fetched a new one."""
        self._token = self._former = None

    def renewal(self, apim_status: SdkStatus) -> dict[str, Any]:
        """Return the body that tells an SDK to renew its token. It comes with HTTP 200; the call is not passed on."""
        body = {"apim_status": int(apim_status)}
        if apim_status is SdkStatus.ADOPT_REFRESH_TOKEN:
            return body | {"apim_refreshtoken": hashlib.sha256(f"{self._seed}/refresh".encode()).hexdigest()}
        return body

    def _issue(self, now: float) -> None:
        self._issued += 1
        self._former = None
        self._token = Secret(
            hashlib.sha256(f"{self._seed}/token/{self._issued}/{now}".encode()).hexdigest()[:40]
        )
        self._expires_at = now + self.rules.token_lifetime_s

    def _token_data(self, now: float) -> dict[str, Any]:
        assert self._token is not None, "a token was issued or is valid"
        data = {"accessToken": self._token.reveal(), "expire": int(self._expires_at - now)}
        return token_reply(TokenStatus.SUCCESS) | {"data": data}

    def _check_request(self, body: Any, now: float) -> TokenStatus | None:
        if not isinstance(body, dict):
            return TokenStatus.INVALID_PARAMETER
        app_key, encryption, timestamp = (body.get(name) for name in ("appKey", "encryption", "timestamp"))
        if not app_key or not encryption or not timestamp:
            return TokenStatus.EMPTY_PARAMETER
        # the documents have a number, Envision's Java client sends a text
        if not re.fullmatch(r"\d{1,16}", str(timestamp)) or self._is_skewed(str(timestamp), now):
            return TokenStatus.INVALID_PARAMETER
        if app_key != self._credentials.access_key:
            return TokenStatus.UNKNOWN_APP_KEY
        wanted = encrypt(self._credentials.access_key, str(timestamp), self._credentials.secret_key)
        if not _same(str(encryption), Secret(wanted)):
            return TokenStatus.WRONG_ENCRYPTION
        if encryption in self._encryptions and self.rules.encryption_replay == "refuse":
            return TokenStatus.REPEATED
        self._encryptions.append(str(encryption))
        return None

    # --- calls --------------------------------------------------------------------------------------------------

    def check_token(self, headers: Mapping[str, str], now: float) -> Rejection | None:
        """Return the rejection of a call whose token is missing or invalid; None if it passes. `headers`: by lower-case name."""
        if self.rules.signature == "none" or self._is_from_sdk(headers):
            return None
        if self._token_shown(headers, now) is not None:
            return None
        given = bool(headers.get("apim-accesstoken"))
        return Rejection(401, why="token unknown or expired" if given else "no apim-accesstoken")

    def check_credentials(
        self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes | None, now: float
    ) -> Rejection | None:
        """Return the rejection of a call whose token or signature is wrong; None if it passes.

        Args:
            headers: by lower-case name.
            body: None if the body is not part of the signature, as with an upload.
        """
        rejection = self.check_token(headers, now)
        if rejection is not None or self.rules.signature != "strict" or self._is_from_sdk(headers):
            return rejection
        token = self._token_shown(headers, now)
        assert token is not None, "check_token let the call pass"
        timestamp = headers.get("apim-timestamp", "")
        if not re.fullmatch(r"[0-9]{1,16}", timestamp, re.ASCII):
            return Rejection(401, why="apim-timestamp is no number" if timestamp else "no apim-timestamp")
        if self._is_skewed(timestamp, now):
            return Rejection(401, why=f"apim-timestamp is {int(timestamp) / 1000 - now:+.1f} s off")
        wanted = sign(token, query, body, timestamp, self._credentials.secret_key)
        if _same(headers.get("apim-signature", ""), Secret(wanted)):
            return None
        signed = "".join(name + query[name] for name in sorted(query))[:SIGNED_CHARS_SHOWN]
        return Rejection(401, why=f"signature is not that of TOKEN + {signed} + BODY + {timestamp} + SECRET")

    def _token_shown(self, headers: Mapping[str, str], now: float) -> Secret | None:
        """Return the token of a call if it is valid, else None."""
        offered = headers.get("apim-accesstoken", "")
        ours = [] if self._token is None else [(self._token, self._expires_at)]
        for token, expires_at in (*ours, *([] if self._former is None else [self._former])):
            if now < expires_at and _same(offered, token):
                return token
        return None

    def _is_from_sdk(self, headers: Mapping[str, str]) -> bool:
        return (
            self.rules.scheme_b
            and bool(headers.get("apim-accesstoken"))
            and headers.keys().isdisjoint({"apim-timestamp", "apim-signature"})
        )

    def check_quota(self, now: float) -> Rejection | None:
        """Count a call and return its rejection if the quota of this span of time is used up; None if it passes.

        Spans start at full seconds, minutes or hours of the clock.
        """
        quota = self.rules.quota
        if quota is None:
            return None
        span = int(now // quota.per_s)
        if span != self._span:
            self._span, self._spent = span, 0
        if self._spent >= quota.calls:
            wait_s = int((span + 1) * quota.per_s - now) + 1
            return Rejection(429, wait_s if quota.retry_after else None)
        self._spent += 1
        return None

    def _is_skewed(self, timestamp_ms: str, now: float) -> bool:
        allowed_s = self.rules.skew_s_max
        return allowed_s is not None and abs(int(timestamp_ms) / 1000 - now) > allowed_s


def _same(offered: str, wanted: Secret) -> bool:
    return hmac.compare_digest(offered.encode(), wanted.reveal().encode())


def token_reply(status: TokenStatus) -> dict[str, Any]:
    """Return the token service's reply: a status, without data."""
    return {"status": int(status), "msg": status.name, "business": "apim-token-service", "data": None}
