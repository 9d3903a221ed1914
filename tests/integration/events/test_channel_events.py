"""What an account is told when a channel's link comes and goes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from app.domain.channels.directory import ChannelDirectory
from app.domain.channels.states import ChannelStatus
from app.domain.events.channels import link_changes
from app.lib.crypto import Envelope
from app.lib.db import Database
from app.settings import Settings
from scheduler.jobs.upkeep import prune
from tests.integration.channels.conftest import SMPP
from tests.integration.events.conftest import settle

ACTIVE, CONNECTING, ERROR = ChannelStatus.ACTIVE, ChannelStatus.CONNECTING, ChannelStatus.ERROR


@pytest.fixture
async def directory(settings: Settings, envelope: Envelope) -> AsyncIterator[ChannelDirectory]:
    database = Database(settings.database.url, process="test-events", pool_size=8)
    yield ChannelDirectory(database, envelope)
    await database.close()


async def make_channel(client: httpx.AsyncClient, who: dict[str, Any]) -> UUID:
    answer = await client.post("/v1/channels", json={"name": f"Link {uuid4()}", **SMPP}, headers=who["headers"])
    assert answer.status_code == 201, answer.text
    return UUID(answer.json()["id"])


async def told(
    client: httpx.AsyncClient, who: dict[str, Any], channel: UUID, database: Database
) -> list[tuple[str, str]]:
    """Types and reasons, oldest first."""
    await settle(database)
    answer = await client.get("/v1/events", params={"subject_id": str(channel)}, headers=who["headers"])
    assert answer.status_code == 200, answer.text
    return [(each["type"], each["data"]["reason"]) for each in answer.json()["items"]]


async def test_an_account_is_told_once_for_each_change_and_why(
    client: httpx.AsyncClient, registered: dict[str, Any], directory: ChannelDirectory, database: Database
) -> None:
    channel = await make_channel(client, registered)
    for status, detail in (
        (CONNECTING, "Connecting."),
        (ACTIVE, "1 of 2 binds are up. RALYBND"),
        (ACTIVE, "2 of 2 binds are up."),
        (CONNECTING, "The connection was reset."),
        (CONNECTING, "Nobody listens there."),
        (ACTIVE, "Bound."),
        (ERROR, "RINVPASWD: the password is wrong."),
        (ERROR, "RINVPASWD: the password is still wrong."),
        (CONNECTING, "Connecting."),
        (ERROR, "RINVSYSID"),
    ):
        await directory.report(channel, status, {"detail": detail, "binds": []})
    assert await told(client, registered, channel, database) == [
        ("channel.connected", "1 of 2 binds are up. RALYBND"),
        ("channel.disconnected", "The connection was reset."),
        ("channel.connected", "Bound."),
        ("channel.disconnected", "RINVPASWD: the password is wrong."),
        ("channel.error", "RINVPASWD: the password is wrong."),
        ("channel.error", "RINVSYSID"),
    ]


async def test_reports_of_the_same_change_at_the_same_time_are_told_once(
    client: httpx.AsyncClient, registered: dict[str, Any], directory: ChannelDirectory, database: Database
) -> None:
    channel = await make_channel(client, registered)
    for round_ in range(10):
        status = CONNECTING if round_ % 2 else ACTIVE
        # Different health each time: every one of them changes the row, one of them the status.
        changed = await asyncio.gather(
            *(directory.report(channel, status, {"detail": f"{round_} {number}"}) for number in range(8))
        )
        assert all(changed)
    kinds = [kind for kind, _ in await told(client, registered, channel, database)]
    assert kinds == ["channel.connected", "channel.disconnected"] * 5


async def test_the_owners_decisions_are_not_taken_for_the_links_state(
    client: httpx.AsyncClient, registered: dict[str, Any], directory: ChannelDirectory, database: Database
) -> None:
    channel = await make_channel(client, registered)
    path, headers = f"/v1/channels/{channel}", registered["headers"]
    await directory.report(channel, ACTIVE, {"detail": "Bound."})
    # A change makes the status "connecting", but a bind that it does not concern stays up.
    await client.patch(path, json={"config": {"window": 3}}, headers=headers)
    assert await directory.report(channel, ACTIVE, {"detail": "Bound."})
    assert [kind for kind, _ in await told(client, registered, channel, database)] == ["channel.connected"]
    await client.post(f"{path}/pause", headers=headers)
    await directory.report(channel, CONNECTING, {"detail": "Stopped."})
    assert (await client.get(path, headers=headers)).json()["status"] == "paused"
    assert await told(client, registered, channel, database) == [
        ("channel.connected", "Bound."),
        ("channel.disconnected", "Stopped."),
    ]


async def test_events_and_status_are_one_transaction(
    client: httpx.AsyncClient, registered: dict[str, Any], settings: Settings, envelope: Envelope, database: Database
) -> None:
    channel = await make_channel(client, registered)

    def taken() -> UUID:
        return UUID(registered["account"]["id"])

    directory = ChannelDirectory(database, envelope, new_id=taken)
    other = await make_channel(client, registered)
    await directory.report(other, ACTIVE, {"detail": "Bound."})
    with pytest.raises(Exception, match="pk_events"):
        await directory.report(channel, ACTIVE, {"detail": "Bound."})
    shown = await client.get(f"/v1/channels/{channel}", headers=registered["headers"])
    assert shown.json()["status"] == "connecting", "an event that cannot be stored must not be lost silently"
    assert await told(client, registered, channel, database) == []


async def test_a_deleted_channel_has_nothing_more_to_tell(
    client: httpx.AsyncClient, registered: dict[str, Any], directory: ChannelDirectory, database: Database
) -> None:
    channel = await make_channel(client, registered)
    await directory.report(channel, ACTIVE, {"detail": "Bound."})
    await client.delete(f"/v1/channels/{channel}", headers=registered["headers"])
    assert not await directory.report(channel, CONNECTING, {"detail": "Stopped."})
    assert len(await told(client, registered, channel, database)) == 1


async def test_a_month_later_they_are_gone(
    client: httpx.AsyncClient, registered: dict[str, Any], directory: ChannelDirectory, database: Database
) -> None:
    channel = await make_channel(client, registered)
    await directory.report(channel, ACTIVE, {"detail": "Bound."})
    await directory.report(channel, ERROR, {"detail": "Refused."})
    async with database.unit_of_work() as session:
        moved = await session.execute(
            text(
                "UPDATE events SET id = CAST(overlay(id::text PLACING"
                " left(uuid7_floor(now() - interval '31 days')::text, 13) FROM 1) AS uuid)"
                " WHERE subject_id = :channel AND type = 'channel.connected' RETURNING id"
            ),
            {"channel": channel},
        )
        assert len(moved.all()) == 1
    await prune(database)
    assert [kind for kind, _ in await told(client, registered, channel, database)] == [
        "channel.disconnected",
        "channel.error",
    ]


@pytest.mark.parametrize("before", [None, CONNECTING, ACTIVE, ERROR])
def test_saying_the_same_again_is_no_change(before: ChannelStatus | None) -> None:
    for now in (CONNECTING, ACTIVE, ERROR):
        changes = link_changes(before, now)
        assert bool(changes) == (before is not now and (before, now) not in {(None, CONNECTING), (ERROR, CONNECTING)})
        assert link_changes(now, now) == ()
