"""What senders see of channels that people change through the API."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from app.domain.channels.directory import ChannelDirectory, UnreadableChannelError
from app.domain.channels.states import ChannelStatus
from app.lib.crypto import CryptoError
from app.lib.db import Database
from connectors.smpp import SmppConfig, SmppCredentials
from tests.integration.channels.conftest import SMPP, eventually


async def make(client: httpx.AsyncClient, who: dict[str, Any], **fields: Any) -> tuple[UUID, UUID]:
    """A channel: its account and its id."""
    body = {"name": f"Channel {uuid4()}", "type": "sandbox"} | fields
    answer = await client.post("/v1/channels", json=body, headers=who["headers"])
    assert answer.status_code == 201, answer.text
    return UUID(answer.json()["account_id"]), UUID(answer.json()["id"])


async def patch(client: httpx.AsyncClient, who: dict[str, Any], channel_id: UUID, **fields: Any) -> None:
    answer = await client.patch(f"/v1/channels/{channel_id}", json=fields, headers=who["headers"])
    assert answer.status_code == 200, answer.text


async def test_a_record_holds_the_connectors_config(
    client: httpx.AsyncClient, registered: dict[str, Any], other: dict[str, Any], directory: ChannelDirectory
) -> None:
    account, channel = await make(client, registered, **SMPP)
    record = await directory.get(account, channel)
    assert record is not None
    assert isinstance(record.config, SmppConfig)
    assert record.config.hosts[0].port == 2775
    assert (record.default_from, record.rate_per_second, record.burst) == ("DEMO", 100.0, 20)
    assert (record.status, record.paused, record.deleted) == (ChannelStatus.CONNECTING, False, False)
    assert await directory.get(UUID(other["account"]["id"]), channel) is None
    assert await directory.get(account, uuid4()) is None


async def test_credentials_are_opened_on_request_only(
    client: httpx.AsyncClient, registered: dict[str, Any], directory: ChannelDirectory
) -> None:
    account, channel = await make(client, registered, **SMPP)
    record = await directory.get(account, channel)
    assert record is not None
    assert "s3cret" not in repr(record)
    assert await directory.credentials(record) == SmppCredentials(system_id="demo", password="s3cret-password")
    await client.delete(f"/v1/channels/{channel}", headers=registered["headers"])
    with pytest.raises(CryptoError):
        await directory.credentials(record)


async def test_what_is_stored_is_sealed(
    client: httpx.AsyncClient, registered: dict[str, Any], own_database: Database
) -> None:
    _, channel = await make(client, registered, **SMPP)
    async with own_database.reading() as session:
        row = await session.execute(
            text("SELECT channels::text, credentials FROM channels WHERE id = :id"), {"id": channel}
        )
        line, credentials = row.one()
    assert b"s3cret" not in credentials and "s3cret" not in line


async def test_remembers_until_a_change_is_announced(
    client: httpx.AsyncClient, registered: dict[str, Any], listening: ChannelDirectory
) -> None:
    changed: list[UUID | None] = []
    end = listening.subscribe(changed.append)
    account, channel = await make(client, registered, **SMPP)
    # Making it is announced too, which may come after the answer to the client.
    await eventually(lambda: channel in changed)
    before = await listening.get(account, channel)
    assert before is not None
    assert await listening.get(account, channel) is before
    changed.clear()
    await patch(client, registered, channel, config={"window": 7})
    await eventually(lambda: channel in changed)
    after = await listening.get(account, channel)
    assert after is not None and isinstance(after.config, SmppConfig)
    assert after.config.window == 7
    assert after.version > before.version
    changed.clear()
    end()
    await client.post(f"/v1/channels/{channel}/pause", headers=registered["headers"])
    async with asyncio.timeout(10):
        while (seen := await listening.get(account, channel)) is None or not seen.paused:
            await asyncio.sleep(0.01)
    assert changed == [], "the subscription had ended"
    await client.delete(f"/v1/channels/{channel}", headers=registered["headers"])
    async with asyncio.timeout(10):
        while (seen := await listening.get(account, channel)) is None or not seen.deleted:
            await asyncio.sleep(0.01)


async def test_a_refused_change_announces_nothing(
    client: httpx.AsyncClient, registered: dict[str, Any], listening: ChannelDirectory
) -> None:
    _, channel = await make(client, registered, **SMPP)
    _, last = await make(client, registered)
    changed: list[UUID | None] = []
    listening.subscribe(changed.append)
    bad = {"config": {"window": 0}}
    answer = await client.patch(f"/v1/channels/{channel}", json=bad, headers=registered["headers"])
    assert answer.status_code == 422
    await patch(client, registered, last, name=f"Renamed {uuid4()}")
    # Announcements arrive in the order of their commits: whatever the refusal announced would be here by now.
    await eventually(lambda: last in changed)
    assert channel not in changed


async def test_many_readers_are_one_statement(
    client: httpx.AsyncClient, registered: dict[str, Any], directory: ChannelDirectory
) -> None:
    account, channel = await make(client, registered)
    records = await asyncio.gather(*(directory.get(account, channel) for _ in range(200)))
    assert len({id(record) for record in records}) == 1


async def test_one_reader_giving_up_does_not_disturb_the_others(
    client: httpx.AsyncClient, registered: dict[str, Any], directory: ChannelDirectory
) -> None:
    account, channel = await make(client, registered)
    first = asyncio.create_task(directory.get(account, channel))
    second = asyncio.create_task(directory.get(account, channel))
    await asyncio.sleep(0)
    first.cancel()
    record = await second
    assert record is not None and record.id == channel


async def test_a_change_during_a_read_is_not_forgotten(
    client: httpx.AsyncClient, registered: dict[str, Any], directory: ChannelDirectory
) -> None:
    account, channel = await make(client, registered)
    early = asyncio.create_task(directory.get(account, channel))
    await asyncio.sleep(0)
    directory.forget(channel)
    old = await early
    new = await directory.get(account, channel)
    assert old is not new, "what was read before the announcement must not be remembered after it"


async def test_listening_survives_the_loss_of_its_connection(
    client: httpx.AsyncClient, registered: dict[str, Any], listening: ChannelDirectory, own_database: Database
) -> None:
    account, channel = await make(client, registered)
    assert await listening.get(account, channel) is not None
    changed: list[UUID | None] = []
    listening.subscribe(changed.append)
    async with own_database.unit_of_work() as session:
        killed = await session.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'turumba-test-directory-session' AND datname = current_database()"
            )
        )
        assert killed.scalars().all() == [True]
    await eventually(lambda: None in changed)
    await client.post(f"/v1/channels/{channel}/pause", headers=registered["headers"])
    await eventually(lambda: channel in changed)


async def test_a_daemon_sees_the_channels_of_its_type_in_every_account(
    client: httpx.AsyncClient,
    registered: dict[str, Any],
    other: dict[str, Any],
    directory: ChannelDirectory,
    own_database: Database,
) -> None:
    _, mine = await make(client, registered, **SMPP)
    _, theirs = await make(client, other, **SMPP)
    _, sandbox = await make(client, registered)
    _, ended = await make(client, registered, **SMPP)
    account, broken = await make(client, registered, **SMPP)
    await client.delete(f"/v1/channels/{ended}", headers=registered["headers"])
    async with own_database.unit_of_work() as session:
        await session.execute(text("UPDATE channels SET config = '{}' WHERE id = :id"), {"id": broken})
    ids = {record.id for record in await directory.of_type("smpp")}
    assert {mine, theirs} <= ids
    assert ids.isdisjoint({sandbox, ended, broken})
    assert ended in {record.id for record in await directory.recently_deleted()}
    with pytest.raises(UnreadableChannelError):
        await directory.get(account, broken)
    await client.delete(f"/v1/channels/{broken}", headers=registered["headers"])


class TestReport:
    async def test_shows_to_people_and_keeps_the_version(
        self, client: httpx.AsyncClient, registered: dict[str, Any], directory: ChannelDirectory
    ) -> None:
        _, channel = await make(client, registered, **SMPP)
        path, headers = f"/v1/channels/{channel}", registered["headers"]
        tag = (await client.get(path, headers=headers)).headers["etag"]
        health = {"binds": [{"number": 1, "state": "bound"}], "detail": "1 of 1 bound"}
        assert await directory.report(channel, ChannelStatus.ACTIVE, health)
        assert not await directory.report(channel, ChannelStatus.ACTIVE, health), "nothing changed"
        shown = await client.get(path, headers=headers)
        assert (shown.json()["status"], shown.json()["health"]) == ("active", health)
        assert shown.headers["etag"] != tag, "what is shown has changed"
        assert shown.headers["etag"].partition("-")[0] == tag.partition("-")[0], "and what its owner decided has not"
        assert (await client.get(f"{path}/binds", headers=headers)).json()["items"] == health["binds"]
        assert (await client.post(f"{path}/test", headers=headers)).json()["ok"] is True
        assert await directory.report(channel, ChannelStatus.ERROR, {"detail": "wrong password"})
        tested = (await client.post(f"{path}/test", headers=headers)).json()
        assert tested["ok"] is False
        assert "wrong password" in tested["detail"]

    async def test_never_ends_a_pause(
        self, client: httpx.AsyncClient, registered: dict[str, Any], directory: ChannelDirectory
    ) -> None:
        _, channel = await make(client, registered, **SMPP)
        path, headers = f"/v1/channels/{channel}", registered["headers"]
        await client.post(f"{path}/pause", headers=headers)
        assert await directory.report(channel, ChannelStatus.ACTIVE, {"binds": []})
        shown = (await client.get(path, headers=headers)).json()
        assert (shown["status"], shown["health"]) == ("paused", {"binds": []})

    async def test_never_overwrites_what_the_owner_decided_since(
        self, client: httpx.AsyncClient, registered: dict[str, Any], directory: ChannelDirectory
    ) -> None:
        account, channel = await make(client, registered, **SMPP)
        path, headers = f"/v1/channels/{channel}", registered["headers"]
        record = await directory.get(account, channel)
        assert record is not None
        assert await directory.report(channel, ChannelStatus.ERROR, {"detail": "refused"}, record.version)
        await client.post(f"{path}/connect", headers=headers)
        # A report of before is on its way while the owner asks for another try.
        await directory.report(channel, ChannelStatus.ERROR, {"detail": "refused again"}, record.version)
        shown = (await client.get(path, headers=headers)).json()
        assert (shown["status"], shown["health"]["detail"]) == ("connecting", "refused again")
        (now,) = [each for each in await directory.of_type("smpp") if each.id == channel]
        await directory.report(channel, ChannelStatus.ERROR, {"detail": "refused again"}, now.version)
        assert (await client.get(path, headers=headers)).json()["status"] == "error"

    async def test_leaves_the_deleted_and_the_unknown_alone(
        self, client: httpx.AsyncClient, registered: dict[str, Any], directory: ChannelDirectory
    ) -> None:
        _, channel = await make(client, registered, **SMPP)
        await client.delete(f"/v1/channels/{channel}", headers=registered["headers"])
        assert not await directory.report(channel, ChannelStatus.ACTIVE, {})
        assert not await directory.report(uuid4(), ChannelStatus.ACTIVE, {})

    @pytest.mark.parametrize("status", [ChannelStatus.PAUSED, ChannelStatus.DRAFT])
    async def test_is_not_a_way_to_pause(self, directory: ChannelDirectory, status: ChannelStatus) -> None:
        with pytest.raises(ValueError, match="cannot make a channel"):
            await directory.report(uuid4(), status, {})
