"""A server in Cognito's place that answers as a test says, and remembers what it was asked."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

Answer = tuple[int, bytes]


def refusal(kind: str, message: str = "No.") -> Answer:
    return 400, json.dumps({"__type": kind, "message": message}).encode()


class StandIn:
    """`answers` by operation of the API, `keys` as the JWKS document; None holds the answer back until the end."""

    def __init__(self) -> None:
        self.url = ""
        self.keys: Answer | None = (200, b'{"keys": []}')
        self.key_requests = 0
        self.answers: dict[str, Answer | None] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def publish(self, *jwks: dict[str, Any]) -> None:
        self.keys = 200, json.dumps({"keys": jwks}).encode()

    def answer(self, operation: str, **body: Any) -> None:
        self.answers[operation] = 200, json.dumps(body).encode()

    def last(self, operation: str) -> dict[str, Any]:
        return next(body for name, body in reversed(self.calls) if name == operation)

    def _choose(self, head: list[str], body: bytes) -> Answer | None:
        if head[0].startswith("GET "):
            self.key_requests += 1
            return self.keys
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        assert headers["content-type"] == "application/x-amz-json-1.1"
        assert "authorization" not in headers
        operation = next(line for line in head if line.lower().startswith("x-amz-target")).rpartition(".")[2]
        self.calls.append((operation, json.loads(body)))
        return self.answers.get(operation, refusal("InvalidAction"))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            length = next((int(line.split(":")[1]) for line in head if line.lower().startswith("content-length")), 0)
            answer = self._choose(head, await reader.readexactly(length))
            if answer is None:
                # Until the client gives up.
                await reader.read()
                return
            status, body = answer
            writer.write(b"HTTP/1.1 %d x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(body)))
            writer.write(body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def standing_in() -> AsyncIterator[StandIn]:
    """The server, on a port of its own."""
    stand_in = StandIn()
    server = await asyncio.start_server(stand_in._serve, "127.0.0.1", 0)
    stand_in.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield stand_in
    finally:
        server.close()
