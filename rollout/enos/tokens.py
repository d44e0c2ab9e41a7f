"""The access token of an app key, and the one object that asks for it.

A token lives two hours and belongs to the app key, not to a process. Asking again gives the same token; refreshing
gives another one and may end the old one for everybody. So one keeper asks on behalf of all callers, one request at
a time, and all who waited get the same result, a token or an error. The keeper refreshes ahead of the token's end.
A token that the gateway refuses is dropped, and a new one is asked for.
Source: page invoke_api_with_access_token, 2.3.0; refreshing ten minutes ahead is what Envision's Java client does.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import ValidationError

from rollout.enos import limits
from rollout.enos.codes import (
    TOKEN_STATUS,
    Operation,
    Signal,
    TokenStatus,
    advise,
    explain_words,
    failure_of,
    signal_of_http,
    signal_of_token,
)
from rollout.enos.messages import TokenReply
from rollout.enos.paths import TOKEN_PATH
from rollout.enos.signing import Secret, Timestamps, encrypt
from rollout.enos.translate import (
    JSON_TYPE,
    Answer,
    NoResponse,
    UnreadableBody,
    clean,
    retry_after_s,
    strict_object,
)
from rollout.enos.transport import Exchange, Request
from rollout.errors import Phase, ServiceError

# A header value: one word of visible ASCII.
TOKEN: Final = re.compile(r"[\x21-\x7e]{1,4096}")


@dataclass(frozen=True, slots=True)
class Grant:
    """A token and how long it is good for, clipped to 60-7,200 s."""

    token: Secret
    lifetime_s: int


@dataclass(frozen=True, slots=True)
class NoToken:
    """No token was given. `reason` says why, without any secret; `signal` says what kind of failure it is."""

    reason: str
    signal: Signal
    status: int | None = None
    http_status: int | None = None
    retry_after_s: float | None = None

    def error(self) -> ServiceError:
        """Return the error of a call that could not be signed for want of a token. Nothing of it was sent."""
        return ServiceError(
            f"no token: {self.reason}",
            phase=Phase.CONNECT,
            failure=failure_of(self.signal, Operation.READ),
            platform_code=self.status,
            http_status=self.http_status,
            explain=explain_words(self.status, self.http_status),
            retry_after_s=self.retry_after_s,
            hint=advise(self.signal, Operation.READ).note,
        )


def read_token(answer: Answer | NoResponse) -> Grant | NoToken:
    """Return the token in the token service's answer, or why there is none."""
    if isinstance(answer, NoResponse):
        return NoToken(answer.reason, Signal.NO_ANSWER if answer.handed else Signal.NOT_CONNECTED)
    document = UnreadableBody("answer too large") if answer.truncated else strict_object(answer.body)
    if isinstance(document, UnreadableBody) or "status" not in document:
        reason = (
            document.reason if isinstance(document, UnreadableBody) else "not an answer of the token service"
        )
        return NoToken(
            f"HTTP {answer.status}: {reason}",
            signal_of_http(answer.status),
            http_status=answer.status,
            retry_after_s=retry_after_s(answer.retry_after),
        )
    try:
        reply = TokenReply.model_validate(document)
    except ValidationError:
        return NoToken("unreadable answer of the token service", Signal.UNREADABLE, http_status=answer.status)
    if reply.status != TokenStatus.SUCCESS:
        known = reply.status in set(TokenStatus)
        meaning = TOKEN_STATUS[TokenStatus(reply.status)].meaning if known else clean(reply.msg)
        return NoToken(f"status {reply.status}: {meaning}", signal_of_token(reply.status), reply.status)
    if reply.data is None or not TOKEN.fullmatch(reply.data.access_token):
        return NoToken("success without a usable token", Signal.UNREADABLE, http_status=answer.status)
    # Without a stated life, and with an absurd one, ask again soon
    lifetime_s = reply.data.expire or 0
    lifetime_s = min(max(lifetime_s, limits.TOKEN_LIFETIME_S_MIN), limits.TOKEN_LIFETIME_S)
    return Grant(Secret(reply.data.access_token), lifetime_s)


class TokenKeeper:
    """Gives a token that is good now; gets it, refreshes it and replaces a refused one."""

    def __init__(
        self, exchange: Exchange, *, app_key: str, app_secret: Secret, timestamps: Timestamps
    ) -> None:
        self._exchange = exchange
        self._app_key = app_key
        self._app_secret = app_secret
        self._timestamps = timestamps
        self._renewal = asyncio.Lock()
        self._rounds = 0
        self._last_refusal: NoToken | None = None
        self._token: Secret | None = None
        self._good_until = 0.0
        self._refresh_at = 0.0

    async def current(self) -> Secret:
        """Return a token that is good now. Raises `ServiceError` (phase connect) if there is none to be had."""
        rounds = self._rounds
        if (token := self._at_hand()) is not None:
            return token
        async with self._renewal:
            if (token := self._at_hand()) is not None:
                return token
            if self._rounds != rounds and self._last_refusal is not None:
                raise self._last_refusal.error()
            self._last_refusal = await self._renew()
            self._rounds += 1
            if self._token is None:
                assert self._last_refusal is not None, "without a token there is a reason"
                raise self._last_refusal.error()
            return self._token

    @property
    def left_s(self) -> float:
        """Seconds until the present token expires; 0 without one."""
        return max(self._good_until - time.monotonic(), 0.0) if self._token is not None else 0.0

    def refuse(self, token: Secret) -> None:
        """Drop the token, which the gateway refused, unless another has replaced it already."""
        if self._token is token:
            self._token = None

    def _at_hand(self) -> Secret | None:
        return self._token if time.monotonic() < self._refresh_at else None

    async def _renew(self) -> NoToken | None:
        """Refresh the token, or get one. Return None, or why that failed; a token that is still good is then kept."""
        now = time.monotonic()
        if self._token is not None and now < self._good_until:
            result = await self._ask("refresh")
            if isinstance(result, NoToken) and result.signal is not Signal.TOKEN_EXPIRED:
                self._refresh_at = min(now + limits.TOKEN_RETRY_S, self._good_until)
                return result
            if isinstance(result, NoToken):
                result = await self._ask("get")
        else:
            self._token = None
            result = await self._ask("get")
        if isinstance(result, NoToken):
            self._token = None
            return result
        # A short life (the rest of a shared token's) is refreshed half-way
        ahead_s = min(limits.TOKEN_REFRESH_AHEAD_S, result.lifetime_s / 2)
        self._token = result.token
        self._good_until = now + result.lifetime_s
        self._refresh_at = self._good_until - ahead_s
        return None

    async def _ask(self, verb: Literal["get", "refresh"]) -> Grant | NoToken:
        """Return the token service's answer. If it has seen the timestamp before (1001), ask again with a later one."""
        result: Grant | NoToken
        for _ in range(limits.TOKEN_TRIES_MAX):
            result = read_token(
                await self._exchange.exchange(
                    self._request(verb), body_bytes_max=limits.TOKEN_REPLY_BYTES_MAX, fresh=True
                )
            )
            if isinstance(result, Grant) or result.signal is not Signal.TOKEN_REPEATED:
                break
        return result

    def _request(self, verb: Literal["get", "refresh"]) -> Request:
        timestamp_ms = self._timestamps.next_ms()
        body: dict[str, str | int] = {
            "appKey": self._app_key,
            "encryption": encrypt(self._app_key, timestamp_ms, self._app_secret),
            "timestamp": timestamp_ms,
        }
        if verb == "refresh" and self._token is not None:
            body["accessToken"] = self._token.reveal()
        return Request(
            "POST",
            f"{TOKEN_PATH}/{verb}",
            {},
            {"Content-Type": JSON_TYPE},
            json.dumps(body, separators=(",", ":")).encode(),
        )
