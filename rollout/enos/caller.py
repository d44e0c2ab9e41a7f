"""Signed calls: one app key, one gateway, one organisation.

A call is signed, sent once and read strictly. It is repeated in one case only: the gateway refused the token. Then
it goes out once more with a new token. That is safe, because the gateway refuses before the service sees the call.
Everything that knows an EnOS operation (`service`, `firmware`, `devices`) calls through one `Caller` and so shares
its token, its connections and its pace.

The call is signed before the connection is made, so the timestamp grows old while a guard waits for its permit. How
old a timestamp may be is not published: a guard should not wait for minutes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from rollout.enos import limits
from rollout.enos.codes import Operation
from rollout.enos.messages import Envelope
from rollout.enos.paths import GET_ACTIONS
from rollout.enos.signing import Secret, Timestamps, sign
from rollout.enos.tokens import TokenKeeper
from rollout.enos.translate import (
    JSON_TYPE,
    Answer,
    NoResponse,
    error_of_no_response,
    is_token_refused,
    read_reply,
)
from rollout.enos.transport import Exchange, Request
from rollout.ports import Guard, Permit


async def at_once() -> None:
    """Return at once: the permit of a caller without a rate limit."""


class Caller:
    """Makes the calls of one application; every call shares its token, its connections and its pace.

    Args:
        exchange: sends the requests; closed with the caller.
        read_permit: awaited before every call that reads.
        steer_permit: awaited before every call that changes something, except creates, which bring their own guard;
            `read_permit` if None. A permit of its own keeps a brake from waiting behind reads.
        now: the wall clock, seconds since the epoch; used for timestamps only.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        org_id: str,
        app_key: str,
        app_secret: Secret,
        read_permit: Permit = at_once,
        steer_permit: Permit | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.org_id = org_id
        self._app_secret = app_secret
        self._read_permit = read_permit
        self._steer_permit = steer_permit or read_permit
        self._timestamps = Timestamps(now)
        self._exchange = exchange
        self.tokens = TokenKeeper(
            exchange, app_key=app_key, app_secret=app_secret, timestamps=self._timestamps
        )

    async def call(
        self,
        operation: Operation,
        path: str,
        query: Mapping[str, str],
        body: bytes | None = None,
        data: type[Any] = object,
        *,
        fresh: bool = False,
        of_firmware: bool = False,
    ) -> Envelope[Any]:
        """Return the reply of any operation but the creation of a job, its data read as `data`.

        Args:
            query: without `orgId`, which is added.
            fresh: use a connection of its own, where a wrong answer could do harm.
            of_firmware: the call is about a firmware, which 24404 then names.
        Raises: `ServiceError`.
        """
        await (self._read_permit if operation is Operation.READ else self._steer_permit)()
        answer, renewed = await self.send(
            path,
            {**query, "orgId": self.org_id},
            body,
            body_bytes_max=limits.PAGE_REPLY_BYTES_MAX,
            fresh=fresh,
        )
        if isinstance(answer, NoResponse):
            raise error_of_no_response(answer, operation)
        return read_reply(answer, operation, data, renewed=renewed, of_firmware=of_firmware)

    async def send(
        self,
        path: str,
        query: Mapping[str, str],
        body: bytes | None,
        *,
        body_bytes_max: int,
        fresh: bool,
        guard: Guard | None = None,
    ) -> tuple[Answer | NoResponse, bool]:
        """Send a call as it is. If the gateway refuses the token, renew it and send once more.

        Returns: what came back last, and whether the token was renewed.
        Raises: `ServiceError` (phase connect) if no token can be had.
        """
        answer: Answer | NoResponse
        for renewed in (False, True):
            token = await self.tokens.current()
            answer = await self._exchange.exchange(
                self.signed(token, path, query, body),
                body_bytes_max=body_bytes_max,
                fresh=fresh,
                guard=guard,
            )
            if isinstance(answer, NoResponse) or not is_token_refused(answer):
                return answer, renewed
            self.tokens.refuse(token)
        return answer, True

    def signed(
        self,
        token: Secret,
        path: str,
        query: Mapping[str, str],
        body: bytes | None,
        *,
        method: str | None = None,
        timestamp_ms: int | None = None,
    ) -> Request:
        """Return the call with its signature.

        Args:
            method: GET or POST; None for the one that the query's `action` has in the documentation.
            timestamp_ms: the moment to sign for, ms since 1970; None for now.
        """
        if timestamp_ms is None:
            timestamp_ms = self._timestamps.next_ms()
        headers = {
            "apim-accesstoken": token.reveal(),
            "apim-timestamp": str(timestamp_ms),
            "apim-signature": sign(token, query, body, timestamp_ms, self._app_secret),
        }
        if body is not None:
            headers["Content-Type"] = JSON_TYPE
        method = method or ("GET" if query.get("action") in GET_ACTIONS else "POST")
        return Request(method, path, query, headers, body)

    async def exchange(self, request: Request) -> Answer | NoResponse:
        """Send a request that is signed already, once, on a connection of its own; return what came back."""
        return await self._exchange.exchange(request, body_bytes_max=limits.PAGE_REPLY_BYTES_MAX, fresh=True)

    async def aclose(self) -> None:
        """Release connections; idempotent."""
        await self._exchange.aclose()
