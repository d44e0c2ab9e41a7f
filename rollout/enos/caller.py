"""Signed calls of one app key, through one gateway, in the name of one organisation.

A call is signed, sent once and read strictly. Nothing here retries, except that a call whose token the gateway
refused goes out once more with a new one, which is safe because the gateway refuses before the service sees anything.
Everything that knows an EnOS operation (`service`, `firmware`, `devices`) calls through one of these and so shares its
token, its connections and its pace.

The signature is made just before connecting. While a guard waits for its permit the timestamp ages with it:
the window the gateway grants is not published, so guards should not wait for minutes.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from rollout.enos import limits
from rollout.enos.codes import Operation
from rollout.enos.messages import Envelope
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
from rollout.ports import Guard

GET_ACTIONS: Final = frozenset({"get", "listVersion"})
"""Actions without a body; all others are POSTs, delete too."""


async def at_once() -> None:
    """The permit of a caller who sets no pace."""


class Calling(Protocol):
    """Whoever makes calls: a `Caller`, or something around one."""

    async def call(
        self,
        operation: Operation,
        path: str,
        query: Mapping[str, str],
        body: bytes | None = None,
        data: type[Any] = object,
    ) -> Envelope[Any]:
        """Return the reply, its data read as `data`. Raises `ServiceError`."""
        ...


class Caller:
    """What every call of one application shares.

    Args:
        exchange: how requests travel; closed with the caller.
        read_permit: awaited before every call that reads.
        steer_permit: awaited before every call that changes something, but for creates, which bring a guard of
            their own; `read_permit` if None. One of its own keeps brakes from waiting behind reads.
        now: the wall clock in seconds since the epoch; signs calls, decides nothing.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        org_id: str,
        app_key: str,
        app_secret: Secret,
        read_permit: Callable[[], Awaitable[None]] = at_once,
        steer_permit: Callable[[], Awaitable[None]] | None = None,
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
        kind: str = JSON_TYPE,
    ) -> Envelope[Any]:
        """Return the reply of any operation but the creation of a job, its data read as `data`.

        `orgId` is added to the query. Raises `ServiceError`; `of_firmware` says what 24404 then did not find.

        Args:
            kind: content type of the body; anything but JSON is sent unsigned, and given time as a file is.
        """
        await (self._read_permit if operation is Operation.READ else self._steer_permit)()
        answer, renewed = await self.send(
            path,
            {**query, "orgId": self.org_id},
            body,
            body_bytes_max=limits.PAGE_REPLY_BYTES_MAX,
            fresh=fresh,
            kind=kind,
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
        kind: str = JSON_TYPE,
    ) -> tuple[Answer | NoResponse, bool]:
        """Send a call as it is, once more after renewing a refused token; tell whether that was so.

        Raises `ServiceError` (phase connect) if there is no token.
        """
        answer: Answer | NoResponse
        for renewed in (False, True):
            token = await self.tokens.current()
            answer = await self._exchange.exchange(
                self.signed(token, path, query, body, kind),
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
        kind: str = JSON_TYPE,
        *,
        method: str | None = None,
        timestamp_ms: int | None = None,
    ) -> Request:
        """Return the call with its signature, made now unless `timestamp_ms` is given.

        A multipart body is not part of the signature. Source: inferred from Envision's Python sample, which signs
        the parameters of an upload alone.

        Args:
            method: the action's own if None.
        """
        is_json = kind == JSON_TYPE
        if timestamp_ms is None:
            timestamp_ms = self._timestamps.next_ms()
        headers = {
            "apim-accesstoken": token.reveal(),
            "apim-timestamp": str(timestamp_ms),
            "apim-signature": sign(token, query, body if is_json else None, timestamp_ms, self._app_secret),
        }
        if body is not None:
            headers["Content-Type"] = kind
        method = method or ("GET" if query.get("action") in GET_ACTIONS else "POST")
        return Request(method, path, query, headers, body, None if is_json else limits.UPLOAD_TIMEOUT_S)

    async def exchange(self, request: Request) -> Answer | NoResponse:
        """Send a request that is signed already, once, on a connection of its own."""
        return await self._exchange.exchange(request, body_bytes_max=limits.PAGE_REPLY_BYTES_MAX, fresh=True)

    async def aclose(self) -> None:
        """Release connections; idempotent."""
        await self._exchange.aclose()
