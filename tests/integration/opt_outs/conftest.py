"""An account with a channel, and people who write to it."""

import time
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from app.domain.messages.events import Inbound
from app.lib.db import Database
from app.lib.ids import new_id
from tests.conftest import Registered
from tests.integration.messages.bench import Bench

ABEBE = "+251911000142"
ALMAZ = "+251911000143"


class Desk:
    """One account as its owner sees it, with a sandbox channel."""

    def __init__(self, client: httpx.AsyncClient, who: Registered, channel: str, database: Database) -> None:
        self.client = client
        self.headers: dict[str, str] = who["headers"]
        self.account_id = UUID(who["account"]["id"])
        self.channel = channel
        self.database = database
        self.bench = Bench(database, who["account"]["id"], channel)

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = self.headers | more.pop("headers", {})
        return await self.client.request(method, f"/v1{path}", headers=headers, **more)

    async def send(self, to: str = ABEBE, **more: Any) -> httpx.Response:
        headers = more.pop("headers", {})
        body = {"channel_id": self.channel, "to": to, "text": "Hello", **more}
        return await self.call("POST", "/messages", json=body, headers=headers)

    async def items(self, path: str) -> list[dict[str, Any]]:
        answer = await self.call("GET", path)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["items"]
        return found

    async def opt_outs(self) -> list[tuple[str, str, str]]:
        return [(each["channel_class"], each["address"], each["topic"]) for each in await self.items("/opt-outs")]

    async def ledger(self) -> list[tuple[str, str, str, str]]:
        """Oldest first."""
        found = await self.items("/consent-events?sort=created_at")
        return [(each["change"], each["address"], each["topic"], each["source"]) for each in found]

    async def hear(self, *said: str, sender: str = ABEBE, to: str = "8080") -> None:
        """Messages of one person, in one batch."""
        await self.bench.apply(inbound=[inbound(each, sender, to) for each in said])

    async def keywords(self, **fields: Any) -> dict[str, Any]:
        answer = await self.call("POST", "/opt-out-keywords", json=fields)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def outgoing(self) -> list[dict[str, Any]]:
        """Oldest first."""
        return await self.items("/messages?direction=outbound&sort=created_at")

    async def rows(self, statement: str, **values: Any) -> list[Any]:
        async with self.database.reading() as session:
            return list(await session.execute(text(statement), self._bound(statement, values)))

    async def run(self, statement: str, **values: Any) -> None:
        async with self.database.unit_of_work() as session:
            await session.execute(text(statement), self._bound(statement, values))

    def _bound(self, statement: str, values: dict[str, Any]) -> dict[str, Any]:
        return values | ({"account": self.account_id} if ":account" in statement else {})


def inbound(said: str, sender: str = ABEBE, to: str = "8080", key: str | None = None, **more: Any) -> Inbound:
    identifier = new_id()
    return Inbound(identifier.bytes, key or identifier.hex, sender, to, said, time.time(), **more)


async def open_desk(client: httpx.AsyncClient, who: Registered, database: Database) -> Desk:
    made = await client.post("/v1/channels", json={"name": "Try", "type": "sandbox"}, headers=who["headers"])
    assert made.status_code == 201, made.text
    return Desk(client, who, made.json()["id"], database)


@pytest.fixture
async def desk(client: httpx.AsyncClient, registered: Registered, database: Database) -> Desk:
    return await open_desk(client, registered, database)


@pytest.fixture
async def elsewhere(client: httpx.AsyncClient, other: Registered, database: Database) -> Desk:
    """Another tenant."""
    return await open_desk(client, other, database)


def refused(answer: httpx.Response, status: int, code: str, *pointers: str) -> None:
    assert answer.status_code == status, answer.text
    document = answer.json()
    assert document["code"] == code, document
    assert [error["pointer"] for error in document.get("errors", [])] == list(pointers), document
