"""The ceiling of `bench-ingest`: a Litestar handler with group commit and nothing else.

No token, no validation beyond JSON types, one table, one index, no metrics: what production adds is measured
against it.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import msgspec
from litestar import Litestar, Request, post
from uuid_utils.compat import uuid7


class MessageIn(msgspec.Struct, forbid_unknown_fields=True):
    channel_id: UUID
    to: str
    text: str


class MessageOut(msgspec.Struct):
    id: UUID
    status: str


_decode = msgspec.json.Decoder(MessageIn).decode
_waiting: list[tuple[tuple[UUID, UUID, str, str], "asyncio.Future[None]"]] = []
_filled = asyncio.Event()

CREATE = """
    CREATE TABLE IF NOT EXISTS bare_messages (id uuid PRIMARY KEY, channel_id uuid, recipient text, body text);
    CREATE TABLE IF NOT EXISTS bare_outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body bytea);
"""


async def _commit(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    while True:
        await _filled.wait()
        _filled.clear()
        taken, _waiting[:] = _waiting[:], []
        if not taken:
            continue
        rows = [row for row, _ in taken]
        async with connection.transaction():
            await connection.copy_records_to_table("bare_messages", records=rows)
            body = msgspec.msgpack.encode([(row[0].bytes, row[2], row[3]) for row in rows])
            await connection.execute("INSERT INTO bare_outbox (body) VALUES ($1)", body)
        for _, done in taken:
            done.set_result(None)


@post("/v1/messages")
async def accept(request: Request) -> MessageOut:  # type: ignore[type-arg]
    """Accept one message."""
    message = _decode(await request.body())
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    identifier = uuid7()
    _waiting.append(((identifier, message.channel_id, message.to, message.text), done))
    _filled.set()
    await done
    return MessageOut(identifier, "queued")


@asynccontextmanager
async def _lifespan(_: Litestar) -> AsyncIterator[None]:
    connections = [await asyncpg.connect(os.environ["BARE_DATABASE_URL"]) for _ in range(2)]
    await connections[0].execute(CREATE)
    tasks = [asyncio.create_task(_commit(connection)) for connection in connections]
    yield
    for task in tasks:
        task.cancel()
    for connection in connections:
        await connection.close()


def create_app() -> Litestar:
    """For Granian's `--factory`."""
    return Litestar([accept], lifespan=[_lifespan], openapi_config=None)
