"""Opt-outs, the ledger, keywords and the export through the served application."""

import asyncio
import csv
import io
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from app.domain.opt_outs import export
from app.lib.db import Database
from tests.conftest import Registered
from tests.integration.opt_outs.conftest import ABEBE, ALMAZ, Desk, refused


async def opt_out(desk: Desk, **fields: Any) -> dict[str, Any]:
    body = {"address": ABEBE, "channel_class": "sms", **fields}
    answer = await desk.call("POST", "/opt-outs", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/opt-outs/{made['id']}"
    return made


class TestOptOuts:
    async def test_by_hand(self, desk: Desk, registered: Registered) -> None:
        made = await opt_out(desk, topic="marketing", detail="Called the help desk.")
        actor = {"type": "user", "id": registered["user"]["id"], "name": registered["user"]["email"]}
        assert (made["source"], made["actor"], made["detail"]) == ("manual", actor, "Called the help desk.")
        assert (made["message_id"], made["channel_id"], made["text"]) == (None, None, None)
        read = await desk.call("GET", f"/opt-outs/{made['id']}")
        assert read.json() == made
        assert read.headers["etag"]
        answer = await desk.call("DELETE", f"/opt-outs/{made['id']}", headers={"If-Match": read.headers["etag"]})
        assert answer.status_code == 204
        for method in ("GET", "DELETE"):
            refused(await desk.call(method, f"/opt-outs/{made['id']}"), 404, "not_found")
        begun, ended = await desk.items("/consent-events?sort=created_at")
        assert (begun["change"], ended["change"]) == ("opted_out", "opted_in")
        assert begun["opt_out_id"] == ended["opt_out_id"] == made["id"]
        assert ended["actor"] == actor
        assert [each["action"] for each in await desk.items("/audit-log?resource_type=opt_out")] == [
            "deleted",
            "created",
        ]

    async def test_by_an_api_key(self, desk: Desk) -> None:
        key = (await desk.call("POST", "/api-keys", json={"name": "crm", "role": "operator"})).json()
        desk.headers = {"Authorization": f"Bearer {key['secret']}"}
        made = await opt_out(desk)
        assert (made["source"], made["actor"]) == ("api", {"type": "api_key", "id": key["id"], "name": "crm"})

    async def test_twice_is_a_conflict_and_another_topic_is_not(self, desk: Desk) -> None:
        await opt_out(desk)
        answer = await desk.call("POST", "/opt-outs", json={"address": ABEBE, "channel_class": "sms"})
        refused(answer, 409, "already_opted_out")
        await opt_out(desk, topic="service")
        assert len(await desk.ledger()) == 2

    async def test_ending_one_leaves_the_others(self, desk: Desk) -> None:
        everything, news = await opt_out(desk), await opt_out(desk, topic="marketing")
        assert (await desk.call("DELETE", f"/opt-outs/{everything['id']}")).status_code == 204
        assert [each["id"] for each in await desk.items("/opt-outs")] == [news["id"]]

    async def test_two_who_end_it_at_once(self, desk: Desk) -> None:
        made = await opt_out(desk)
        answers = await asyncio.gather(*(desk.call("DELETE", f"/opt-outs/{made['id']}") for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [204, 404, 404, 404]
        assert [change for change, *_ in await desk.ledger()] == ["opted_out", "opted_in"]

    @pytest.mark.parametrize(
        ("channel_class", "given", "stored"),
        [
            ("sms", "+251 911 00 01 42", ABEBE),
            ("whatsapp", "00251911000142", ABEBE),
            ("email", " Someone@Example.COM ", "someone@example.com"),
            ("telegram", "123456789", "123456789"),
            ("messenger", "24681357", "24681357"),
            ("messenger", "２４６８", "2468"),
            ("telegram", "@Abebe_B", "@abebe_b"),
            ("whatsapp", "ET.1349abc", "ET.1349abc"),
            ("sms", "+٢٥١٩١١٠٠٠١٤٢", "+251911000142"),
        ],
    )
    async def test_addresses_have_one_form(self, desk: Desk, channel_class: str, given: str, stored: str) -> None:
        made = await opt_out(desk, address=given, channel_class=channel_class)
        assert made["address"] == stored
        again = await desk.call("POST", "/opt-outs", json={"address": stored, "channel_class": channel_class})
        refused(again, 409, "already_opted_out")

    @pytest.mark.parametrize(
        ("channel_class", "address", "code"),
        [
            ("sms", "0911000142", "not_e164"),
            ("sms", "DEMO", "not_e164"),
            ("sms", "+1", "not_e164"),
            ("email", "someone", "not_an_email"),
            ("email", "a@b@c", "not_an_email"),
            ("telegram", "@a", "not_an_id"),
            ("messenger", "12a", "not_an_id"),
        ],
    )
    async def test_what_is_no_address_of_the_class(
        self, desk: Desk, channel_class: str, address: str, code: str
    ) -> None:
        answer = await desk.call("POST", "/opt-outs", json={"address": address, "channel_class": channel_class})
        refused(answer, 422, "invalid_value", "/address")
        assert answer.json()["errors"][0]["code"] == code

    async def test_filters(self, desk: Desk) -> None:
        await opt_out(desk)
        await opt_out(desk, address=ALMAZ, topic="marketing")
        await opt_out(desk, address="a@example.com", channel_class="email")
        await desk.hear("STOP", sender="+251911000144")

        async def addresses(query: str) -> list[str]:
            return [each["address"] for each in await desk.items(f"/opt-outs?sort=created_at&{query}")]

        assert await addresses("channel_class=email") == ["a@example.com"]
        assert await addresses("topic=marketing") == [ALMAZ]
        assert await addresses("source=keyword") == ["+251911000144"]
        assert await addresses("address=%2B251911000142") == [ABEBE]
        assert await addresses("address[startswith]=%2B2519") == [ABEBE, ALMAZ, "+251911000144"]
        assert len(await desk.items("/consent-events?change=opted_out&source=manual")) == 3

    async def test_tenants(self, desk: Desk, elsewhere: Desk) -> None:
        made = await opt_out(desk)
        for method in ("GET", "DELETE"):
            refused(await elsewhere.call(method, f"/opt-outs/{made['id']}"), 404, "not_found")
        for path in ("/opt-outs", "/consent-events", "/events"):
            assert await elsewhere.items(path) == []
        await opt_out(elsewhere)
        assert len(await desk.items("/opt-outs")) == 1

    async def test_the_ledger_cannot_be_changed(self, desk: Desk, settings: Any) -> None:
        await opt_out(desk)
        api = Database(settings.database.url, process="test-api", pool_size=1, role="turumba_api")
        try:
            for statement in ("UPDATE consent_events SET source = 'import'", "DELETE FROM consent_events"):
                with pytest.raises(ProgrammingError, match="permission denied"):
                    async with api.unit_of_work(desk.account_id) as session:
                        await session.execute(text(statement))
        finally:
            await api.close()


class TestExport:
    async def rows(self, desk: Desk) -> list[dict[str, str]]:
        answer = await desk.call("GET", "/opt-outs/export")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert "opt-outs.csv" in answer.headers["content-disposition"]
        return list(csv.DictReader(io.StringIO(answer.text, newline="")))

    async def test_every_page_of_it(self, desk: Desk, elsewhere: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(export, "ROWS_AT_ONCE", 2)
        assert await self.rows(desk) == []
        await opt_out(elsewhere)
        made = [await opt_out(desk, address=f"+25191100014{n}") for n in range(5)]
        found = await self.rows(desk)
        assert [each["id"] for each in found] == [each["id"] for each in reversed(made)]
        assert tuple(found[0]) == export.COLUMNS
        assert found[0]["address"] == "+251911000144", "a telephone number is as it is"
        assert found[0]["created_at"] == made[-1]["created_at"]

    async def test_formulas_are_texts(self, desk: Desk) -> None:
        bad = '=HYPERLINK("http://evil.test","x")'
        await opt_out(desk, detail=bad)
        await opt_out(desk, address="=cmd@example.com", channel_class="email", detail='Said "no",\r\ntwice')
        await opt_out(desk, address="-1001", channel_class="telegram", detail="+1-1")
        chat, mail, phone = await self.rows(desk)
        assert (phone["detail"], phone["address"]) == (f"'{bad}", ABEBE)
        assert (mail["address"], mail["detail"]) == ("'=cmd@example.com", 'Said "no",\r\ntwice')
        assert (chat["address"], chat["detail"]) == ("-1001", "'+1-1")

    async def test_who_may_not_read_contacts(self, desk: Desk) -> None:
        body = {"name": "sender", "permissions": {"messages": ["send"]}}
        key = (await desk.call("POST", "/api-keys", json=body)).json()
        answer = await desk.call("GET", "/opt-outs/export", headers={"Authorization": f"Bearer {key['secret']}"})
        refused(answer, 403, "missing_permission")


class TestKeywords:
    async def test_life_of_a_set(self, desk: Desk) -> None:
        made = await desk.keywords(
            action="stop", words=["STOP  News!", "no news"], topic="marketing", reply="Bye.", language="en"
        )
        assert made["words"] == ["stop news", "no news"]
        assert (await desk.keywords(action="help", words=["a\0b", "\x1f?x"]))["words"] == ["ab", "x"]
        path = f"/opt-out-keywords/{made['id']}"
        read = await desk.call("GET", path)
        assert read.json() == made
        changed = await desk.call("PATCH", path, json={"words": ["nope"], "reply": None, "topic": "service"})
        assert changed.status_code == 200, changed.text
        assert (changed.json()["words"], changed.json()["reply"]) == (["nope"], None)
        assert changed.headers["etag"] != read.headers["etag"]
        refused(
            await desk.call("PATCH", path, json={}, headers={"If-Match": read.headers["etag"]}),
            412,
            "precondition_failed",
        )
        same = await desk.call("PATCH", path, json={"words": ["NOPE"]})
        assert same.json() == changed.json()
        await desk.hear("stop news", "nope")
        assert await desk.opt_outs() == [("sms", ABEBE, "service")]
        assert (await desk.call("DELETE", path)).status_code == 204
        refused(await desk.call("GET", path), 404, "not_found")
        actions = [each["action"] for each in await desk.items("/audit-log?resource_type=opt_out_keywords")]
        assert actions == ["deleted", "updated", "created", "created"]

    @pytest.mark.parametrize(
        ("body", "pointers"),
        [
            ({"action": "stop"}, ["/words"]),
            ({"action": "pause", "words": ["x"]}, ["/action"]),
            ({"action": "stop", "words": ["x", "?!", "y" * 41]}, ["/words/1", "/words/2"]),
            ({"action": "start", "words": ["Stop"]}, ["/words"]),
            ({"action": "help", "words": ["afmelden"]}, ["/words"]),
            ({"action": "stop", "words": ["STOP"], "topic": "marketing"}, ["/words"]),
            ({"action": "stop", "words": ["x"], "replaces_built_in": True}, ["/replaces_built_in"]),
            ({"action": "help", "words": ["x"], "topic": "service"}, ["/topic"]),
            ({"action": "help", "words": ["x"], "reply": " "}, ["/reply"]),
            ({"action": "help", "words": ["x"], "reply": "a" * 481}, ["/reply"]),
            ({"action": "help", "words": ["x"], "language": "English"}, ["/language"]),
            ({"action": "help", "words": ["x"], "channel_id": str(uuid4())}, ["/channel_id"]),
            ({"action": "help", "words": ["x"], "channel_class": "fax"}, ["/channel_class"]),
        ],
        ids=lambda value: "-".join(value) if isinstance(value, list) else None,
    )
    async def test_what_is_wrong_is_pointed_at(self, desk: Desk, body: Any, pointers: list[str]) -> None:
        refused(await desk.call("POST", "/opt-out-keywords", json=body), 422, "invalid_value", *pointers)

    async def test_stop_cannot_be_taken_away_by_a_change(self, desk: Desk) -> None:
        made = await desk.keywords(action="stop", words=["stop"], reply="Bye.")
        path = f"/opt-out-keywords/{made['id']}"
        refused(await desk.call("PATCH", path, json={"topic": "marketing"}), 422, "invalid_value", "/words")
        refused(
            await desk.call("PATCH", path, json={"replaces_built_in": True}),
            422,
            "invalid_value",
            "/replaces_built_in",
        )
        assert (await desk.call("GET", path)).json() == made

    async def test_a_class_must_be_that_of_the_channel(self, desk: Desk, elsewhere: Desk) -> None:
        body = {"action": "help", "words": ["x"], "channel_id": desk.channel, "channel_class": "telegram"}
        refused(await desk.call("POST", "/opt-out-keywords", json=body), 422, "invalid_value", "/channel_class")
        body = {"action": "help", "words": ["x"], "channel_id": elsewhere.channel}
        refused(await desk.call("POST", "/opt-out-keywords", json=body), 422, "invalid_value", "/channel_id")

    async def test_a_word_has_one_meaning_in_one_place(self, desk: Desk, elsewhere: Desk) -> None:
        await desk.keywords(action="help", words=["Menu", "list"])
        second = await desk.keywords(action="start", words=["back"])
        body = {"action": "start", "words": ["MENU!"]}
        refused(await desk.call("POST", "/opt-out-keywords", json=body), 409, "word_taken")
        path = f"/opt-out-keywords/{second['id']}"
        refused(await desk.call("PATCH", path, json={"words": ["list"]}), 409, "word_taken")
        await desk.keywords(action="start", words=["menu"], channel_class="sms")
        await desk.keywords(action="start", words=["menu"], channel_id=desk.channel)
        await elsewhere.keywords(action="start", words=["menu"])

    async def test_the_same_word_by_many_at_once(self, desk: Desk) -> None:
        body = {"action": "help", "words": ["menu"]}
        answers = await asyncio.gather(*(desk.call("POST", "/opt-out-keywords", json=body) for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]

    async def test_tenants(self, desk: Desk, elsewhere: Desk) -> None:
        made = await desk.keywords(action="stop", words=["bye"])
        path = f"/opt-out-keywords/{made['id']}"
        for method, more in (("GET", {}), ("PATCH", {"json": {"words": ["x"]}}), ("DELETE", {})):
            refused(await elsewhere.call(method, path, **more), 404, "not_found")
        await elsewhere.hear("bye")
        assert await elsewhere.opt_outs() == []


async def test_strangers(client: httpx.AsyncClient) -> None:
    for path in ("opt-outs", "opt-outs/export", "consent-events", "opt-out-keywords"):
        refused(await client.get(f"/v1/{path}"), 401, "unauthenticated")
