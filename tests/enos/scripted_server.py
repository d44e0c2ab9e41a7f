"""A server that says exactly what it is told to, byte for byte, over a real loopback socket."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

Script = bytes | Callable[["Call", asyncio.StreamWriter], Awaitable[None]]

CANARY = "canary-app-secret"
TOKEN_CANARY = "canary-access-token"


def http(body: bytes | dict, status: str = "200 OK", *headers: str, kind: str = "application/json") -> bytes:
    """Return a complete HTTP/1.1 answer."""
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    head = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def envelope(data: object = None, code: object = 0, msg: object = "OK", **more: object) -> dict:
    """Return the OTA service's envelope."""
    return {"code": code, "msg": msg, "requestId": "r-1", "data": data, **more}


def grant(token: str = TOKEN_CANARY, expire: object = 7200) -> dict:
    """Return the token service's success."""
    data = {"accessToken": token, "expire": expire}
    return {"status": 0, "msg": "SUCCESS", "business": "apim-token-service", "data": data}


@dataclass
class Call:
    """One request as it arrived; `connection` counts from 1."""

    connection: int
    head: str
    body: bytes

    @property
    def target(self) -> str:
        return self.head.split(" ")[1]

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


@dataclass
class Server:
    """Answers token calls with `tokens` and all others with `answers`, in turn, the last one for ever."""

    answers: list[Script] = field(default_factory=list)
    tokens: list[Script] = field(default_factory=lambda: [http(grant())])
    calls: list[Call] = field(default_factory=list)
    token_calls: list[Call] = field(default_factory=list)
    bytes_received: int = 0
    connections: int = 0
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while head := await self._head(reader):
                length = next(
                    (int(line[15:]) for line in head.split("\r\n") if line.startswith("Content-Length:")), 0
                )
                call = Call(number, head, await reader.readexactly(length))
                self.bytes_received += length
                is_token = "apim-token-service" in call.target
                calls, scripts = (self.token_calls, self.tokens) if is_token else (self.calls, self.answers)
                calls.append(call)
                script = scripts[min(len(calls), len(scripts)) - 1]
                if not isinstance(script, bytes):
                    await script(call, writer)
                    break
                writer.write(script)
                await writer.drain()
                if b"Content-Length" not in script or call.headers.get("connection") == "close":
                    break
        writer.close()

    async def _head(self, reader: asyncio.StreamReader) -> str:
        """Return a request's head, empty at the end; what is no whole head only counts as bytes."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            self.bytes_received += len(error.partial)
            return ""
        self.bytes_received += len(head)
        return head.decode("latin-1").removesuffix("\r\n\r\n")
