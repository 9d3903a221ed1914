"""Suspending an account from above: who may, what is left to those below, and what becomes of their messages."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from app.domain.channels.directory import ChannelDirectory
from app.domain.channels.states import ChannelStatus
from app.domain.outbox.relay import Relay
from app.domain.smpp_accounts.directory import SmppAccountDirectory
from app.domain.smpp_accounts.gateway import SmppGateway
from app.lib.broker import Publisher
from app.lib.clock import utc_now
from app.lib.crypto import Envelope
from app.lib.db import Database
from app.lib.ids import new_id
from app.lib.service import Stop
from app.settings import Settings
from app.workers.main import run_worker
from scheduler.jobs.queues import _ACTIVE
from scheduler.main import run_scheduler
from tests.integration.accounts.conftest import Person, refused
from tests.integration.channels.conftest import SMPP, eventually

Join = Callable[..., Awaitable[Person]]


class Tree:
    """Three levels: the owner's account, one below it and one below that; each with a member of its own."""

    def __init__(self, owner: Person, top: str, middle: str, leaf: str, in_middle: Person, in_leaf: Person) -> None:
        self.owner = owner
        self.top = top
        self.middle = middle
        self.leaf = leaf
        self.in_middle = in_middle
        self.in_leaf = in_leaf

    async def states(self) -> list[tuple[str, bool]]:
        shown = [await self.owner.show(each) for each in (self.top, self.middle, self.leaf)]
        return [(each["status"], each["suspended"]) for each in shown]


@pytest.fixture
async def tree(owner: Person, join: Join) -> Tree:
    middle = (await owner.make(owner.account_id))["id"]
    leaf = (await owner.make(middle))["id"]
    return Tree(owner, owner.account_id, middle, leaf, await join(middle, "owner"), await join(leaf, "owner"))


async def test_the_middle_is_suspended_and_what_is_below_with_it(tree: Tree, client: httpx.AsyncClient) -> None:
    before = await tree.owner.call("GET", f"/{tree.leaf}")
    answer = await tree.owner.act(tree.middle, "suspend")
    assert (answer.status_code, answer.json()["status"], answer.json()["suspended"]) == (200, "suspended", True)
    assert await tree.states() == [("active", False), ("suspended", True), ("active", True)]
    after = await tree.owner.call("GET", f"/{tree.leaf}")
    assert after.headers["etag"] == answer.headers["etag"] or after.headers["etag"] != before.headers["etag"]
    assert await tree.owner.ids("&suspended=true") == {tree.middle, tree.leaf}

    # What the member of the lowest one sees: everything can be read, and nothing else is possible.
    person, headers = tree.in_leaf, tree.in_leaf.headers | {"X-Account-Id": tree.leaf}
    assert (await person.show(tree.leaf))["suspended"] is True
    assert (await client.get("/v1/channels", headers=headers)).status_code == 200
    assert (await client.get("/v1/context", headers=headers)).json()["active_account"]["id"] == tree.leaf
    channel = await client.post("/v1/channels", json={"name": "x", "type": "sandbox"}, headers=headers)
    refused(channel, 403, "account_suspended")
    refused(await person.call("PATCH", f"/{tree.leaf}", json={"name": "X"}), 403, "account_suspended")
    refused(await person.call("POST", "", json={"name": "X", "parent_id": tree.leaf}), 403, "account_suspended")
    refused(await person.call("DELETE", f"/{tree.leaf}"), 403, "account_suspended")
    refused(await person.act(tree.leaf, "leave"), 403, "account_suspended")
    transfer = {"user_id": tree.owner.user_id}
    refused(await person.act(tree.leaf, "transfer-ownership", json=transfer), 403, "account_suspended")
    refused(await tree.owner.call("PATCH", f"/{tree.leaf}", json={"name": "X"}), 403, "account_suspended")

    answer = await tree.owner.act(tree.middle, "resume")
    assert (answer.status_code, answer.json()["suspended"]) == (200, False)
    assert await tree.states() == [("active", False)] * 3
    assert (await person.call("PATCH", f"/{tree.leaf}", json={"name": "X"})).status_code == 200
    actions = [entry["action"] for entry in await tree.owner.log(tree.middle)]
    assert actions == ["created", "suspended", "resumed"]


async def test_what_has_a_suspension_of_its_own_keeps_it(tree: Tree) -> None:
    assert (await tree.owner.act(tree.leaf, "suspend")).status_code == 200
    assert (await tree.owner.act(tree.middle, "suspend")).status_code == 200
    again = await tree.owner.act(tree.middle, "suspend")
    assert again.status_code == 200
    assert (await tree.owner.act(tree.middle, "resume")).status_code == 200
    assert await tree.states() == [("active", False), ("active", False), ("suspended", True)]
    assert (await tree.owner.act(tree.leaf, "resume")).status_code == 200
    assert await tree.states() == [("active", False)] * 3
    assert [entry["action"] for entry in await tree.owner.log(tree.middle)].count("suspended") == 1


async def test_nobody_suspends_themselves_out(tree: Tree, join: Join, key: Join, stranger: Person) -> None:
    refused(await tree.owner.act(tree.top, "suspend"), 403, "parent_required")
    refused(await tree.in_middle.act(tree.middle, "suspend"), 403, "parent_required")
    refused(await tree.in_leaf.act(tree.leaf, "suspend"), 403, "parent_required")
    refused(await stranger.act(tree.leaf, "suspend"), 404, "not_found")
    refused(await tree.in_middle.act(tree.top, "suspend"), 404, "not_found")
    reader = await join(tree.top, {"accounts": ["read"], "sub_accounts": ["access"]})
    refused(await reader.act(tree.middle, "suspend"), 403, "parent_required")
    of_the_middle = await key(tree.middle, {"accounts": ["update"], "sub_accounts": ["access"]})
    refused(await of_the_middle.act(tree.middle, "suspend"), 403, "parent_required")
    assert (await of_the_middle.act(tree.leaf, "suspend")).status_code == 200
    assert (await of_the_middle.act(tree.leaf, "resume")).status_code == 200
    # In the shadow of one's own suspension nothing can be done about others either, nor about itself.
    assert (await tree.owner.act(tree.middle, "suspend")).status_code == 200
    refused(await tree.in_middle.act(tree.leaf, "suspend"), 403, "parent_required")
    refused(await tree.in_middle.act(tree.middle, "resume"), 403, "parent_required")


async def test_an_account_made_while_its_parent_is_suspended_is_not_left_open(tree: Tree) -> None:
    for _ in range(5):
        suspended, made = await asyncio.gather(
            tree.owner.act(tree.top and tree.middle, "suspend"),
            tree.in_leaf.call("POST", "", json={"name": "Late", "parent_id": tree.leaf}),
        )
        assert suspended.status_code == 200
        if made.status_code == 201:
            assert (await tree.owner.show(made.json()["id"]))["suspended"] is True
        else:
            refused(made, 403, "account_suspended")
        assert (await tree.owner.act(tree.middle, "resume")).status_code == 200


@pytest.fixture
async def directory(settings: Settings, envelope: Envelope) -> Any:
    """Of another process: it remembers for an hour, and learns from announcements only."""
    database = Database(settings.database.url, process="test-senders", pool_size=2)
    directory = ChannelDirectory(database, envelope, cache_seconds=3600)
    ready = asyncio.Event()
    end = directory.subscribe(lambda _: ready.set())
    task = asyncio.create_task(directory.listen())
    await asyncio.wait_for(ready.wait(), 10)
    end()
    yield directory
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await database.close()


async def make_channel(client: httpx.AsyncClient, who: Person, account_id: str, **fields: Any) -> str:
    body = {"name": "Channel", "type": "sandbox", **fields}
    answer = await client.post("/v1/channels", json=body, headers=who.headers | {"X-Account-Id": account_id})
    assert answer.status_code == 201, answer.text
    channel: str = answer.json()["id"]
    return channel


class TestSenders:
    async def test_learn_of_it_at_once(
        self, tree: Tree, client: httpx.AsyncClient, directory: ChannelDirectory, database: Database
    ) -> None:
        account = UUID(tree.leaf)
        channel = UUID(await make_channel(client, tree.in_leaf, tree.leaf, **SMPP))
        looks = asyncio.Event()
        directory.subscribe(lambda _: looks.set())

        async def wait_until(paused: bool) -> None:
            async with asyncio.timeout(10):
                while True:
                    looks.clear()
                    record = await directory.get(account, channel)
                    assert record is not None
                    if record.paused is paused:
                        return
                    await looks.wait()

        await wait_until(False)
        await directory.report(channel, ChannelStatus.ACTIVE, {"detail": "Bound."})
        await tree.owner.act(tree.middle, "suspend")
        await wait_until(True)
        # What the SMPP daemon runs, and what it makes of a pause: the channel is there and not wanted.
        (seen,) = [each for each in await directory.of_type("smpp") if each.id == channel]
        assert (seen.paused, seen.suspended, seen.status, seen.deleted) == (True, True, ChannelStatus.ACTIVE, False)
        async with database.reading() as session:
            watched = set((await session.execute(_ACTIVE)).scalars())
        assert channel not in watched, "nobody has to consume its queues"
        await tree.owner.act(tree.middle, "resume")
        await wait_until(False)

    async def test_smpp_accounts_neither_bind_nor_submit(
        self, tree: Tree, client: httpx.AsyncClient, database: Database, envelope: Envelope
    ) -> None:
        channel = await make_channel(client, tree.in_leaf, tree.leaf)
        body = {"name": "App", "system_id": f"app{channel[-8:]}", "channel_id": channel}
        headers = tree.in_leaf.headers | {"X-Account-Id": tree.leaf}
        made = await client.post("/v1/smpp-accounts", json=body, headers=headers)
        assert made.status_code == 201, made.text
        accounts = SmppAccountDirectory(database)
        gateway = SmppGateway(database, ChannelDirectory(database, envelope, cache_seconds=0), utc_now, new_id)
        told = 0

        def changed() -> None:
            nonlocal told
            told += 1

        listening = asyncio.create_task(accounts.listen(changed))
        try:
            await eventually(lambda: told > 0)
            record = await accounts.find(body["system_id"])
            assert record is not None and record.enabled
            assert await gateway.route(record) is not None
            before = told
            await tree.owner.act(tree.middle, "suspend")
            await eventually(lambda: told > before)
            seen = (await accounts.read([record.id]))[record.id]
            assert not seen.enabled
            assert await gateway.route(record) is None
            before = told
            await tree.owner.act(tree.middle, "resume")
            await eventually(lambda: told > before)
            record = await accounts.find(body["system_id"])
            assert record is not None and record.enabled
            assert await gateway.route(record) is not None
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening

    async def test_what_is_queued_waits_until_it_is_resumed(
        self, tree: Tree, client: httpx.AsyncClient, settings: Settings, database: Database
    ) -> None:
        channel = await make_channel(client, tree.in_leaf, tree.leaf)
        headers = tree.in_leaf.headers | {"X-Account-Id": tree.leaf}
        beside = await make_channel(client, tree.owner, tree.top)

        async def send(channel_id: str, to: str, who: dict[str, str]) -> str:
            body = {"channel_id": channel_id, "to": to, "text": "Hello"}
            answer = await client.post("/v1/messages", json=body, headers=who)
            assert answer.status_code == 201, answer.text
            message: str = answer.json()["id"]
            return message

        async def status(message: str, who: dict[str, str]) -> str:
            answer = await client.get(f"/v1/messages/{message}", headers=who)
            found: str = answer.json()["status"]
            return found

        async def until(message: str, wanted: str, who: dict[str, str]) -> None:
            async with asyncio.timeout(60):
                while await status(message, who) != wanted:
                    await asyncio.sleep(0.05)

        first = await send(channel, "+251911000100", headers)
        # One whose first attempt has failed, and whose next one comes due during the suspension.
        again = await send(channel, "+251911000101", headers)
        async with database.unit_of_work() as session:
            await session.execute(text("DELETE FROM outbox WHERE queue LIKE :queue"), {"queue": f"%{channel}%"})
            await session.execute(
                text(
                    "INSERT INTO message_retries (message_id, attempt, account_id, channel_id, next_attempt_at)"
                    " SELECT id, 1, account_id, channel_id, now() FROM messages WHERE id = ANY(:ids)"
                ),
                {"ids": [UUID(first), UUID(again)]},
            )
        assert (await tree.owner.act(tree.middle, "suspend")).status_code == 200
        refused(
            await client.post("/v1/messages", json={"channel_id": channel, "to": "+1", "text": "x"}, headers=headers),
            403,
            "account_suspended",
        )
        stop = Stop()
        publisher = Publisher(settings.broker.url, name="test")
        tasks = [
            asyncio.create_task(Relay(database, publisher).run(stop)),
            asyncio.create_task(run_worker(settings, stop)),
            asyncio.create_task(run_scheduler(settings, stop)),
        ]
        try:
            other = await send(beside, "+251911000100", tree.owner.headers)
            # The pipeline works, for others.
            await until(other, "delivered", tree.owner.headers)
            async with asyncio.timeout(60):
                while await _rows(database, "message_retries", tree.leaf):
                    await asyncio.sleep(0.05)
            later = await send(beside, "+251911000100", tree.owner.headers)
            await until(later, "delivered", tree.owner.headers)
            assert [await status(each, headers) for each in (first, again)] == ["queued", "queued"]
            assert await _rows(database, "message_attempts", tree.leaf) == 0
            assert (await tree.owner.act(tree.middle, "resume")).status_code == 200
            await until(first, "delivered", headers)
            await until(again, "failed", headers)
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    async def test_a_backlog_stops_in_the_middle_and_goes_on(
        self, tree: Tree, client: httpx.AsyncClient, settings: Settings, database: Database
    ) -> None:
        channel = await make_channel(client, tree.in_leaf, tree.leaf)
        headers = tree.in_leaf.headers | {"X-Account-Id": tree.leaf}
        to_send = [{"channel_id": channel, "to": "+251911000106", "text": "Hello"}] * 1000
        for _ in range(3):
            answer = await client.post("/v1/messages/batch", json={"messages": to_send}, headers=headers)
            assert answer.json()["accepted"] == 1000, answer.text

        async def sent() -> int:
            return await _rows(database, "messages", tree.leaf, "status = 'sent'")

        stop = Stop()
        publisher = Publisher(settings.broker.url, name="test")
        tasks = [
            asyncio.create_task(Relay(database, publisher).run(stop)),
            asyncio.create_task(run_worker(settings, stop)),
        ]
        try:
            async with asyncio.timeout(60):
                while not await sent():
                    await asyncio.sleep(0.01)
            assert (await tree.owner.act(tree.middle, "suspend")).status_code == 200
            async with asyncio.timeout(60):
                # What was claimed is told of; then nothing moves any more.
                while await sent() != await _rows(database, "message_attempts", tree.leaf):
                    await asyncio.sleep(0.05)
            assert await _rows(database, "messages", tree.leaf, "status NOT IN ('queued', 'sent')") == 0
            assert (await tree.owner.act(tree.middle, "resume")).status_code == 200
            async with asyncio.timeout(60):
                while await sent() < 3000:
                    await asyncio.sleep(0.05)
        finally:
            stop.set()
            await asyncio.gather(*tasks)


async def _rows(database: Database, table: str, account_id: str, condition: str = "true") -> int:
    async with database.reading() as session:
        count = await session.scalar(
            text(f"SELECT count(*) FROM {table} WHERE account_id = :id AND {condition}"), {"id": UUID(account_id)}
        )
    return int(count or 0)
