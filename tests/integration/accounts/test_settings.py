"""Changing an account, and what its settings do for its messages."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from app.domain.channels.directory import ChannelDirectory
from app.domain.messages.preparing import check_recipient
from app.lib.crypto import Envelope
from app.lib.db import Database
from app.lib.errors import FieldError
from tests.integration.accounts.conftest import Json, Person, pointers, refused

ALL: Json = {
    "time_zone": "Africa/Addis_Ababa",
    "default_country": "ET",
    "default_from": "DEMO",
    "quiet_hours": {"start": "21:00", "end": "08:00", "days": ["sat", "sun"]},
    "retention_days": 30,
    "language": "am",
    "group_message_approval_above": 1000,
}
NONE: Json = dict.fromkeys(ALL)


async def patch(who: Person, account_id: str, body: Json, **headers: str) -> httpx.Response:
    return await who.call("PATCH", f"/{account_id}", json=body, headers=headers)


async def test_settings_are_merged(owner: Person) -> None:
    made = await owner.make(settings={"language": "en-GB"})
    account_id = made["id"]
    assert made["settings"] == NONE | {"language": "en-GB"}
    assert (made["suspended"], made["closes_at"], made["status"]) == (False, None, "active")
    whole = await patch(owner, account_id, {"settings": ALL})
    assert whole.json()["settings"] == ALL
    some = await patch(owner, account_id, {"settings": {"retention_days": None, "quiet_hours": {"end": "07:30"}}})
    quiet = {"start": "21:00", "end": "07:30", "days": ["sat", "sun"]}
    assert some.json()["settings"] == ALL | {"retention_days": None, "quiet_hours": quiet}
    every_day = await patch(owner, account_id, {"settings": {"quiet_hours": {"days": None}}})
    assert every_day.json()["settings"]["quiet_hours"] == {"start": "21:00", "end": "07:30", "days": None}
    assert await owner.show(account_id) == every_day.json()
    cleared = await patch(owner, account_id, {"settings": None})
    assert cleared.json()["settings"] == NONE
    entries = await owner.log(account_id)
    assert [entry["action"] for entry in entries] == ["created", "updated", "updated", "updated", "updated"]
    assert entries[1]["before"]["settings"] == NONE | {"language": "en-GB"}
    assert entries[1]["after"]["settings"] == ALL


@pytest.mark.parametrize(
    ("given", "pointer", "code"),
    [
        ({"time_zone": "Mars/Olympus"}, "/settings/time_zone", "not_a_time_zone"),
        ({"time_zone": "../../etc/passwd"}, "/settings/time_zone", "not_a_time_zone"),
        ({"default_country": "XX"}, "/settings/default_country", "not_a_country"),
        ({"default_country": "et"}, "/settings/default_country", "wrong_format"),
        ({"default_from": "x" * 21}, "/settings/default_from", "wrong_length"),
        ({"default_from": "Grüße"}, "/settings/default_from", "wrong_format"),
        ({"default_from": "  "}, "/settings/default_from", "wrong_format"),
        ({"quiet_hours": {"start": "24:00", "end": "08:00"}}, "/settings/quiet_hours/start", "wrong_format"),
        ({"quiet_hours": {"start": "21:00"}}, "/settings/quiet_hours/end", "missing_field"),
        ({"quiet_hours": {"start": "08:00", "end": "08:00"}}, "/settings/quiet_hours/end", "not_allowed"),
        (
            {"quiet_hours": {"start": "21:00", "end": "08:00", "days": ["mon", "mon"]}},
            "/settings/quiet_hours/days",
            "duplicate",
        ),
        (
            {"quiet_hours": {"start": "21:00", "end": "08:00", "days": ["monday"]}},
            "/settings/quiet_hours/days/0",
            "not_allowed",
        ),
        ({"group_message_approval_above": -1}, "/settings/group_message_approval_above", "out_of_range"),
        ({"retention_days": 0}, "/settings/retention_days", "out_of_range"),
        ({"retention_days": 3651}, "/settings/retention_days", "out_of_range"),
        ({"language": "English"}, "/settings/language", "wrong_format"),
        ({"colour": "red"}, "/settings/colour", "unknown_field"),
    ],
    ids=str,
)
async def test_settings_that_are_refused(owner: Person, given: Json, pointer: str, code: str) -> None:
    assert pointers(await patch(owner, owner.account_id, {"settings": given})) == [(pointer, code)]
    made = await owner.call("POST", "", json={"name": "X", "settings": given})
    assert pointers(made) == [(pointer, code)]


async def test_versions(owner: Person) -> None:
    made = await owner.call("POST", "", json={"name": "First"})
    account_id, tag = made.json()["id"], made.headers["etag"]
    shown = await owner.call("GET", f"/{account_id}")
    assert shown.headers["etag"] == tag
    changed = await patch(owner, account_id, {"name": "Second"}, **{"If-Match": tag})
    assert changed.status_code == 200 and changed.headers["etag"] != tag
    refused(await patch(owner, account_id, {"name": "Third"}, **{"If-Match": tag}), 412, "precondition_failed")
    same = await patch(owner, account_id, {"name": "Second"})
    assert same.headers["etag"] == changed.headers["etag"], "a change of nothing keeps the version"
    gone = await owner.call("DELETE", f"/{account_id}", headers={"If-Match": tag})
    refused(gone, 412, "precondition_failed")
    assert (await owner.call("DELETE", f"/{account_id}", headers={"If-Match": same.headers["etag"]})).status_code == 204


class TestSending:
    @pytest.fixture
    async def channel(self, client: httpx.AsyncClient, owner: Person) -> str:
        made = await client.post("/v1/channels", json={"name": "Try", "type": "sandbox"}, headers=owner.headers)
        channel: str = made.json()["id"]
        return channel

    async def send(
        self, client: httpx.AsyncClient, owner: Person, channel: str, to: str, **more: Any
    ) -> httpx.Response:
        body = {"channel_id": channel, "to": to, "text": "Hello", **more}
        return await client.post("/v1/messages", json=body, headers=owner.headers)

    async def test_national_numbers_need_a_country(
        self, client: httpx.AsyncClient, owner: Person, channel: str
    ) -> None:
        assert pointers(await self.send(client, owner, channel, "0911000100")) == [("/to", "not_e164")]
        await patch(owner, owner.account_id, {"settings": {"default_country": "ET"}})
        # Whoever changed it sends with it at once.
        sent = await self.send(client, owner, channel, "0911 000-100")
        assert (sent.status_code, sent.json()["to"]) == (201, "+251911000100")
        stored = await client.get(f"/v1/messages/{sent.json()['id']}", headers=owner.headers)
        assert stored.json()["to"] == "+251911000100"
        assert (await self.send(client, owner, channel, "+46701234567")).json()["to"] == "+46701234567"
        wrong = await self.send(client, owner, channel, "12")
        assert pointers(wrong) == [("/to", "not_e164")]
        assert "ET" in wrong.json()["errors"][0]["detail"]
        await patch(owner, owner.account_id, {"settings": {"default_country": None}})
        assert pointers(await self.send(client, owner, channel, "0911000100")) == [("/to", "not_e164")]

    async def test_the_nearest_sender_is_taken(self, client: httpx.AsyncClient, owner: Person, channel: str) -> None:
        to = "+251911000100"
        assert (await self.send(client, owner, channel, to)).json()["from"] is None
        await patch(owner, owner.account_id, {"settings": {"default_from": "ACCOUNT"}})
        assert (await self.send(client, owner, channel, to)).json()["from"] == "ACCOUNT"
        named = await client.post(
            "/v1/channels",
            json={"name": "Named", "type": "sandbox", "config": {"default_from": "CHANNEL"}},
            headers=owner.headers,
        )
        assert (await self.send(client, owner, named.json()["id"], to)).json()["from"] == "CHANNEL"
        own = await self.send(client, owner, named.json()["id"], to, **{"from": "OWN"})
        assert own.json()["from"] == "OWN"

    async def test_senders_carry_the_defaults(
        self, owner: Person, channel: str, database: Database, envelope: Envelope
    ) -> None:
        await patch(owner, owner.account_id, {"settings": {"default_from": "ACCOUNT", "default_country": "ET"}})
        record = await ChannelDirectory(database, envelope).get(UUID(owner.account_id), UUID(channel))
        assert record is not None
        assert (record.default_from, record.default_country, record.suspended) == ("ACCOUNT", "ET", False)


@pytest.mark.parametrize(
    ("value", "country", "expected"),
    [
        ("0911000100", "ET", "+251911000100"),
        ("911000100", "ET", "+251911000100"),
        ("(0911) 00.01.00", "ET", "+251911000100"),
        ("+251911000100", None, "+251911000100"),
        ("0911000100", None, None),
        ("0911000100\n", "ET", None),
        ("+251911000100\n", "ET", None),
        ("+251 911 000 100", "ET", None),
        ("0911TURUMBA", "ET", None),
        ("0911000100;ext=5", "ET", None),
        ("٠٩١١٠٠٠١٠٠", "ET", None),
        ("09", "ET", None),
        ("", "ET", None),
    ],
)
def test_how_recipients_are_read(value: str, country: str | None, expected: str | None) -> None:
    errors: list[FieldError] = []
    read = check_recipient(value, errors, country)
    assert (None if errors else read) == expected
