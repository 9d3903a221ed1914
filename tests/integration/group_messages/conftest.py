"""Group messages made through the API, and their steps taken one by one or by running processes."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from app.domain.channels.directory import ChannelDirectory
from app.domain.contacts.stores.postgres import PostgresContactStores
from app.domain.group_messages.steps import Steps
from app.domain.messages.events import Failure, Outcome, ResultBatch, SubmitResult
from app.domain.messages.results import apply_results
from app.domain.templates.directory import TemplateDirectory
from app.lib.clock import utc_now
from app.lib.crypto import Envelope
from app.lib.db import Database
from app.lib.ids import new_id
from tests.conftest import Registered

Body = dict[str, Any]
SECONDS = 60.0

REFUSED = Failure("recipient", "unknown_recipient", "There is no such number.", None)


class Sender:
    """Somebody with an account and a sandbox channel who sends to many."""

    def __init__(self, client: httpx.AsyncClient, who: Registered, database: Database, envelope: Envelope) -> None:
        self.client = client
        self.headers: dict[str, str] = who["headers"]
        self.account_id = UUID(who["account"]["id"])
        self.database = database
        self.channels = ChannelDirectory(database, envelope, cache_seconds=0)
        self.steps = Steps(
            PostgresContactStores(), self.channels, TemplateDirectory(database, cache_seconds=0), utc_now, new_id
        )
        self.channel_id = ""

    async def call(self, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        """Any request."""
        return await self.client.request(method, f"/v1{path}", json=body, params=query or None, headers=self.headers)

    async def answer(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """What a request that must succeed answers."""
        answer = await self.call(method, path, body, **query)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    async def open_channel(self, **fields: Any) -> str:
        """A new sandbox channel, which the next group messages use."""
        made = await self.answer("POST", "/channels", {"name": f"Try {new_id()}", "type": "sandbox"} | fields)
        self.channel_id = made["id"]
        return self.channel_id

    async def contact(self, **fields: Any) -> str:
        """A new contact."""
        return str((await self.answer("POST", "/contacts", fields))["id"])

    async def contacts(self, count: int, tag: str, first: int = 0) -> list[str]:
        """So many contacts with phone numbers that follow each other, all with a tag; their numbers."""
        numbers = [f"+2519{11000000 + 100 * (first + index) + 50:08d}" for index in range(count)]
        for number in numbers:
            await self.contact(first_name=f"P{number[-6:]}", phone=number, tags=[tag])
        return numbers

    async def draft(self, audience: Body, body: str = "Hello {FIRST_NAME}", **fields: Any) -> str:
        """A new group message."""
        given = {"name": "News", "channel_id": self.channel_id, "audience": audience, "text": body}
        given |= {"fallback": {"strategy": "default", "values": {"FIRST_NAME": "you"}}} if body else {}
        made = await self.answer("POST", "/group-messages", given | fields)
        assert made["status"] == "draft"
        return str(made["id"])

    async def act(self, group_message: str, action: str) -> Body:
        """What an action answers."""
        acted: Body = await self.answer("POST", f"/group-messages/{group_message}/{action}")
        return acted

    async def send(self, audience: Body, body: str = "Hello {FIRST_NAME}", **fields: Any) -> str:
        """A group message that was started."""
        made = await self.draft(audience, body, **fields)
        await self.act(made, "send")
        return made

    async def show(self, group_message: str) -> Body:
        """How it stands."""
        shown: Body = await self.answer("GET", f"/group-messages/{group_message}")
        return shown

    async def step(self, group_message: str) -> int:
        """One step, whether it is due or not."""
        async with self.database.unit_of_work(self.account_id) as session:
            return (await self.steps.take(session, self.account_id, UUID(group_message))).looked_at

    async def walk(self, group_message: str, most: int = 50) -> Body:
        """Steps until it has looked at everybody who is awake; how it stands then."""
        for _ in range(most):
            phase = await self.value("checkpoint->>'phase'", group_message)
            looked_at = await self.step(group_message)
            # The last step of all says that it is completed, or waits for whoever sleeps or for results.
            if not looked_at and (phase == "done" or await self._sleeps(group_message)):
                break
        return await self.show(group_message)

    async def _sleeps(self, group_message: str) -> bool:
        return bool(await self.value("step_at > now() + interval '1 minute'", group_message))

    async def value(self, expression: str, group_message: str) -> Any:
        """Something of its row."""
        async with self.database.reading() as session:
            return await session.scalar(
                text(f"SELECT {expression} FROM group_messages WHERE id = :id"), {"id": UUID(group_message)}
            )

    async def execute(self, statement: str, **values: Any) -> None:
        """Change something by hand."""
        async with self.database.unit_of_work() as session:
            await session.execute(text(statement), values)

    async def messages(self, group_message: str) -> list[Any]:
        """Its messages."""
        async with self.database.reading() as session:
            rows = await session.execute(
                text(
                    "SELECT id, recipient, body, status, contact_id, template_version, topic FROM messages"
                    " WHERE account_id = :account AND group_message_id = :id ORDER BY recipient, id"
                ),
                {"account": self.account_id, "id": UUID(group_message)},
            )
            return list(rows)

    async def recipients(self, group_message: str) -> list[str]:
        """Whom its messages are to."""
        return [row.recipient for row in await self.messages(group_message)]

    async def skipped(self, group_message: str) -> dict[str, int]:
        """Who got nothing, by reason."""
        progress = await self.answer("GET", f"/group-messages/{group_message}/progress")
        skipped: dict[str, int] = progress["skipped"]
        return skipped

    async def settle(self, group_message: str, failing: Callable[[str], bool] = lambda _: False) -> None:
        """What a sender reports of everything that is queued: sent, or failed where `failing` says so of a number."""
        results = [
            SubmitResult(
                row.id.bytes,
                1,
                Outcome.FAILED if failing(row.recipient) else Outcome.SENT,
                time.time(),
                [],
                REFUSED if failing(row.recipient) else None,
            )
            for row in await self.messages(group_message)
            if row.status == "queued"
        ]
        if results:
            batch = ResultBatch(new_id(), self.account_id, UUID(self.channel_id), results=results)
            async with self.database.unit_of_work() as session:
                assert await apply_results(session, [batch], new_id)

    async def check_counters(self, group_message: str) -> Body:
        """The counters say what the rows say; they come back."""
        shown = await self.show(group_message)
        progress = shown["progress"]
        # Of a recipient the latest message counts.
        latest = {row.recipient: row.status for row in await self.messages(group_message)}
        counted = Counter(latest.values())
        known = ("queued", "sent", "delivered", "read", "failed", "expired", "canceled", "unknown")
        assert {name: progress[name] for name in known} == {name: counted[name] for name in known}
        async with self.database.reading() as session:
            skips = await session.scalar(
                text("SELECT count(*) FROM group_message_skips WHERE group_message_id = :id"),
                {"id": UUID(group_message)},
            )
        assert progress["skipped"] == skips
        assert sum(progress[name] for name in (*known, "waiting", "skipped")) == progress["total"]
        return dict(progress)

    async def until(self, group_message: str, holds: Callable[[Body], bool]) -> Body:
        """Wait until it stands like this."""
        deadline = time.monotonic() + SECONDS
        while True:
            shown = await self.show(group_message)
            if holds(shown):
                return shown
            assert time.monotonic() < deadline, shown
            await asyncio.sleep(0.05)


@pytest.fixture
async def sender(
    client: httpx.AsyncClient, registered: Registered, database: Database, envelope: Envelope
) -> AsyncIterator[Sender]:
    sender = Sender(client, registered, database, envelope)
    await sender.open_channel()
    yield sender
    # Other tests run workers on the same database.
    await sender.execute(
        "UPDATE group_messages SET status = 'canceled' WHERE account_id = :account", account=sender.account_id
    )
    await sender.execute("DELETE FROM outbox WHERE queue LIKE :queue", queue=f"%{sender.channel_id}%")
