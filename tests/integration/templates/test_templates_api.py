"""Templates through the API: versions, merge patches, previews, refusals, other tenants."""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.lib.db import Database
from tests.integration.channels.test_channels_api import problem
from tests.integration.templates.conftest import EXAMPLE, make


class TestCreate:
    async def test_the_example(self, client: httpx.AsyncClient, registered: dict[str, Any]) -> None:
        name = f"Code {uuid4()}"
        answer = await client.post("/v1/templates", json=EXAMPLE | {"name": name}, headers=registered["headers"])
        assert answer.status_code == 201, answer.text
        made = answer.json()
        assert answer.headers["location"] == f"/v1/templates/{made['id']}"
        assert made["variables"] == ["FIRST_NAME", "CODE"]
        assert (made["name"], made["version"], made["body"]) == (name, 1, EXAMPLE["body"])
        assert made["fallback"] == EXAMPLE["fallback"] | {"strategies": {}}
        assert (made["language"], made["languages"], made["variants"]) == (None, {}, {})
        assert made["account_id"] == registered["account"]["id"]
        assert sorted(each["code"] for each in made["warnings"]) == ["no_fallback", "unknown_variable"]
        assert [(each["channel"], each["encoding"], each["segments"]) for each in made["lengths"]] == [
            ("sms", "gsm7", 1)
        ]
        shown = await client.get(f"/v1/templates/{made['id']}", headers=registered["headers"])
        assert shown.json() == made
        listed = await client.get(f"/v1/templates?name={name}", headers=registered["headers"])
        assert listed.json() == {"items": [made], "next_cursor": None}

    async def test_names_are_unique_among_the_living_of_an_account(
        self, client: httpx.AsyncClient, registered: dict[str, Any], other: dict[str, Any]
    ) -> None:
        first = await make(client, registered)
        body = EXAMPLE | {"name": first["name"]}
        problem(await client.post("/v1/templates", json=body, headers=registered["headers"]), 409, "name_taken")
        await make(client, other, name=first["name"])
        await client.delete(f"/v1/templates/{first['id']}", headers=registered["headers"])
        await make(client, registered, name=first["name"])

    @pytest.mark.parametrize(
        ("body", "pointers"),
        [
            ({"body": "a"}, ["/name"]),
            ({"name": "A"}, ["/body"]),
            ({"name": "A\n", "body": "a"}, ["/name"]),
            ({"name": "A", "body": ""}, ["/body"]),
            ({"name": "A", "body": "x" * 4097}, ["/body"]),
            ({"name": "A", "body": "a\0"}, ["/body"]),
            ({"name": "A", "body": "Hi {NAME"}, ["/body"]),
            ({"name": "A", "body": "Hi }"}, ["/body"]),
            ({"name": "A", "body": "Hi {NAME|explode}"}, ["/body"]),
            ({"name": "A", "body": "a", "fallback": {"strategy": "guess"}}, ["/fallback/strategy"]),
            ({"name": "A", "body": "a", "fallback": {"values": {"A": 1}}}, ["/fallback/values/*"]),
            ({"name": "A", "body": "a", "fallback": {"values": {"a b": "x"}}}, ["/fallback/values/a b"]),
            ({"name": "A", "body": "a", "languages": {"French": {"body": "b"}}}, ["/languages/French"]),
            ({"name": "A", "body": "a", "languages": {"fr": {"body": "{"}}}, ["/languages/fr/body"]),
            ({"name": "A", "body": "a", "languages": {"f/r": {"body": "{"}}}, ["/languages/f~1r"]),
            ({"name": "A", "body": "a", "language": "klingon"}, ["/language"]),
            ({"name": "A", "body": "a", "variants": {"pigeon": {}}}, ["/variants/pigeon"]),
            ({"name": "A", "body": "a", "variants": {"email": {"html": "x"}}}, ["/variants/email/subject"]),
            ({"name": "A", "body": "{", "variants": {"sms": {"text": "}"}}}, ["/body", "/variants/sms/text"]),
            ({"name": "A", "body": "a", "version": 2}, ["/version"]),
            ([], [""]),
        ],
        ids=lambda value: json.dumps(value)[:80],
    )
    async def test_what_is_wrong_is_pointed_at_and_nothing_is_stored(
        self, client: httpx.AsyncClient, registered: dict[str, Any], body: Any, pointers: list[str]
    ) -> None:
        answer = await client.post("/v1/templates", json=body, headers=registered["headers"])
        problem(answer, 422, "invalid_value", *pointers)
        after = await client.get("/v1/templates?include=total", headers=registered["headers"])
        assert after.json()["total"] == 0

    async def test_a_mistake_is_told_with_its_place(
        self, client: httpx.AsyncClient, registered: dict[str, Any]
    ) -> None:
        body = {"name": "A", "body": "Hi {NAME},\nyour code is {CODE"}
        answer = await client.post("/v1/templates", json=body, headers=registered["headers"])
        (error,) = answer.json()["errors"]
        assert error == {
            "pointer": "/body",
            "code": "unclosed_brace",
            "detail": "This { has no }; write {{ for the character itself (line 2, character 14).",
        }


class TestList:
    async def test_filters_sorts_and_pages(self, client: httpx.AsyncClient, registered: dict[str, Any]) -> None:
        made = [await make(client, registered, name=name) for name in "cab"]

        async def names(query: str) -> list[str]:
            answer = await client.get(f"/v1/templates?{query}", headers=registered["headers"])
            assert answer.status_code == 200, answer.text
            return [item["name"] for item in answer.json()["items"]]

        assert await names("") == ["b", "a", "c"]
        assert await names("sort=name") == ["a", "b", "c"]
        assert await names("name[in]=a,b&sort=-name") == ["b", "a"]
        assert await names(f"created_at[gt]={made[1]['created_at']}") == ["b"]
        page = (await client.get("/v1/templates?limit=2", headers=registered["headers"])).json()
        assert await names(f"limit=2&cursor={page['next_cursor']}") == ["c"]

    @pytest.mark.parametrize("query", ["body=x", "sort=version", "language=en"])
    async def test_bad_queries(self, client: httpx.AsyncClient, registered: dict[str, Any], query: str) -> None:
        assert (await client.get(f"/v1/templates?{query}", headers=registered["headers"])).status_code == 400


class TestVersions:
    async def test_a_change_of_the_content_makes_one(
        self, client: httpx.AsyncClient, registered: dict[str, Any]
    ) -> None:
        made = await make(client, registered)
        path = f"/v1/templates/{made['id']}"

        async def change(**fields: Any) -> Any:
            answer = await client.patch(path, json=fields, headers=registered["headers"])
            assert answer.status_code == 200, answer.text
            assert (await client.get(path, headers=registered["headers"])).json() == answer.json()
            return answer.json()

        second = await change(body="Hello {LAST_NAME}")
        assert (second["version"], second["variables"]) == (2, ["LAST_NAME"])
        assert second["updated_at"] > made["updated_at"]
        renamed = await change(name=f"New {uuid4()}")
        assert renamed["version"] == 2
        assert renamed["updated_at"] > second["updated_at"]
        # Nothing at all changes nothing at all.
        assert await change(name=renamed["name"], body="Hello {LAST_NAME}", fallback={"strategy": "default"}) == renamed

        third = await change(
            fallback={"strategy": "skip", "values": {"FIRST_NAME": None, "LAST_NAME": "x"}},
            languages={"fr": {"body": "Salut"}},
            variants={"sms": {"text": "Hey"}},
            language="en",
        )
        assert third["version"] == 3
        assert third["fallback"] == {"strategy": "skip", "values": {"LAST_NAME": "x"}, "strategies": {}}
        fourth = await change(languages={"fr": {"variants": {"sms": {"text": "S"}}}}, variants={"sms": None})
        assert fourth["languages"] == {"fr": {"body": "Salut", "variants": {"sms": {"text": "S"}}}}
        assert fourth["variants"] == {}
        cleared = await change(fallback=None, languages=None, variants=None, language=None)
        assert (cleared["fallback"]["strategy"], cleared["languages"], cleared["language"]) == ("default", {}, None)

        versions = (await client.get(f"{path}/versions", headers=registered["headers"])).json()["items"]
        assert [each["version"] for each in versions] == [5, 4, 3, 2, 1]
        assert versions[-1]["body"] == EXAMPLE["body"]
        assert versions[-1]["variables"] == ["FIRST_NAME", "CODE"]
        assert {each["template_id"] for each in versions} == {made["id"]}
        some = await client.get(f"{path}/versions?version[lte]=3&sort=version&limit=2", headers=registered["headers"])
        assert [each["version"] for each in some.json()["items"]] == [1, 2]
        none = await client.get(f"{path}/versions?version[gt]={10**18 - 1}", headers=registered["headers"])
        assert none.json() == {"items": [], "next_cursor": None}
        more = f"{path}/versions?version[lte]=3&sort=version&limit=2&cursor={some.json()['next_cursor']}"
        rest = await client.get(more, headers=registered["headers"])
        assert [each["version"] for each in rest.json()["items"]] == [3]

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"name": None}, "/name"),
            ({"body": None}, "/body"),
            ({"body": "{"}, "/body"),
            ({"languages": {"fr": {"variants": {}}}}, "/languages/*/body"),
            ({"languages": {"fr": "Salut"}}, "/languages/*"),
            ({"variants": {"email": {"html": "a"}}}, "/variants/email/subject"),
            ({"fallback": {"values": {"A": "\0"}}}, "/fallback/values/A"),
            ({"fallback": {"strategy": 5}}, "/fallback/strategy"),
            ({"version": 7}, "/version"),
        ],
        ids=lambda value: json.dumps(value)[:80],
    )
    async def test_refusals_change_nothing(
        self, client: httpx.AsyncClient, registered: dict[str, Any], body: dict[str, Any], pointer: str
    ) -> None:
        made = await make(client, registered)
        path = f"/v1/templates/{made['id']}"
        problem(await client.patch(path, json=body, headers=registered["headers"]), 422, "invalid_value", pointer)
        assert (await client.get(path, headers=registered["headers"])).json() == made

    @pytest.mark.parametrize("field", ["fallback", "languages", "variants"])
    async def test_what_nests_too_deeply_is_refused(
        self, client: httpx.AsyncClient, registered: dict[str, Any], field: str
    ) -> None:
        path = f"/v1/templates/{(await make(client, registered))['id']}"
        headers = registered["headers"] | {"content-type": "application/json"}
        for depth in (20, 300, 900):
            for opening, closing in (("[", "]"), ('{"a": ', "}")):
                body = f'{{"{field}": {{"a": {opening * depth}1{closing * depth}}}}}'
                answer = await client.patch(path, content=body, headers=headers)
                assert answer.status_code in (400, 422), answer.text

    async def test_if_match(self, client: httpx.AsyncClient, registered: dict[str, Any]) -> None:
        made = await make(client, registered)
        path = f"/v1/templates/{made['id']}"
        tag = (await client.get(path, headers=registered["headers"])).headers["etag"]
        stale = registered["headers"] | {"if-match": tag}
        assert (await client.patch(path, json={"body": "a"}, headers=stale)).status_code == 200
        problem(await client.patch(path, json={"body": "b"}, headers=stale), 412, "precondition_failed")
        problem(await client.delete(path, headers=stale), 412, "precondition_failed")

    async def test_renaming_onto_another(self, client: httpx.AsyncClient, registered: dict[str, Any]) -> None:
        first, second = await make(client, registered), await make(client, registered)
        body = {"name": first["name"], "body": "changed"}
        answer = await client.patch(f"/v1/templates/{second['id']}", json=body, headers=registered["headers"])
        problem(answer, 409, "name_taken")
        kept = await client.get(f"/v1/templates/{second['id']}", headers=registered["headers"])
        assert kept.json() == second

    async def test_delete(self, client: httpx.AsyncClient, registered: dict[str, Any], database: Database) -> None:
        made = await make(client, registered)
        path = f"/v1/templates/{made['id']}"
        assert (await client.delete(path, headers=registered["headers"])).status_code == 204
        for answer in (
            await client.get(path, headers=registered["headers"]),
            await client.get(f"{path}/versions", headers=registered["headers"]),
            await client.post(f"{path}/preview", json={}, headers=registered["headers"]),
            await client.delete(path, headers=registered["headers"]),
        ):
            problem(answer, 404, "not_found")
        listed = await client.get("/v1/templates?include=total", headers=registered["headers"])
        assert listed.json()["total"] == 0

    async def test_the_log_says_who_changed_what(self, client: httpx.AsyncClient, registered: dict[str, Any]) -> None:
        made = await make(client, registered)
        path = f"/v1/templates/{made['id']}"
        await client.patch(path, json={"body": "b"}, headers=registered["headers"])
        await client.delete(path, headers=registered["headers"])
        log = await client.get(f"/v1/audit-log?resource_id={made['id']}", headers=registered["headers"])
        entries = log.json()["items"]
        assert [(each["action"], each["resource_type"]) for each in entries] == [
            ("deleted", "template"),
            ("updated", "template"),
            ("created", "template"),
        ]
        assert (entries[1]["before"]["body"], entries[1]["after"]["body"]) == (EXAMPLE["body"], "b")


class TestPreview:
    async def preview(self, client: httpx.AsyncClient, who: dict[str, Any], body: Any, of: str = "") -> Any:
        path = f"/v1/templates/{of}/preview" if of else "/v1/templates/preview"
        answer = await client.post(path, json=body, headers=who["headers"])
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def test_of_a_stored_one(self, client: httpx.AsyncClient, registered: dict[str, Any]) -> None:
        made = await make(client, registered)
        shown = await self.preview(client, registered, {"variables": {"code": 4711}}, made["id"])
        assert (shown["outcome"], shown["text"]) == ("rendered", "Hi friend, your code is 4711")
        assert (shown["encoding"], shown["segments"], shown["length"], shown["per_segment"]) == ("gsm7", 1, 28, 160)
        assert (shown["missing"], shown["version"], shown["kind"]) == (["FIRST_NAME"], 1, "sms")

        await client.patch(f"/v1/templates/{made['id']}", json={"body": "B"}, headers=registered["headers"])
        assert (await self.preview(client, registered, {}, made["id"]))["text"] == "B"
        first = await self.preview(client, registered, {"version": 1}, made["id"])
        assert (first["outcome"], first["variable"], first["reason"]) == ("failed", "CODE", "missing")
        assert (first["text"], first["segments"], first["missing"]) == (None, None, ["FIRST_NAME", "CODE"])
        assert first["detail"] == "There is no value for CODE, and nothing that stands in for it."
        for version in (3, 2**31 - 1):
            answer = await client.post(
                f"/v1/templates/{made['id']}/preview", json={"version": version}, headers=registered["headers"]
            )
            problem(answer, 422, "invalid_value", "/version")

    async def test_for_a_stored_contact(
        self, client: httpx.AsyncClient, registered: dict[str, Any], other: dict[str, Any]
    ) -> None:
        body = {
            "first_name": "Selam",
            "language": "am",
            "addresses": [{"type": "phone", "value": "+251911000100"}],
            "attributes": {"city": "Adama"},
        }
        contact = (await client.post("/v1/contacts", json=body, headers=registered["headers"])).json()
        text = "{FIRST_NAME} {PHONE} {ATTRIBUTES.CITY} {ATTRIBUTES.STREET|default:'?'}"
        said = {"body": text, "languages": {"am": {"body": "ሰላም " + text}}}
        asked = {**said, "contact_id": contact["id"]}
        shown = await self.preview(client, registered, asked)
        assert shown["text"] == "ሰላም Selam +251911000100 Adama ?"
        assert [each["variable"] for each in shown["warnings"] if each["code"] == "unknown_variable"] == [
            "ATTRIBUTES.STREET"
        ]
        made = await make(client, registered, name="stored", **said)
        assert (await self.preview(client, registered, {"contact_id": contact["id"]}, made["id"]))["text"] == shown[
            "text"
        ]
        both = {**asked, "contact": {"first_name": "Hana"}}
        answer = await client.post("/v1/templates/preview", json=both, headers=registered["headers"])
        problem(answer, 422, "invalid_value", "/contact_id")
        for nobodys, who in ((contact["id"], other), (made["id"], registered)):
            answer = await client.post(
                "/v1/templates/preview", json={**said, "contact_id": nobodys}, headers=who["headers"]
            )
            problem(answer, 422, "invalid_value", "/contact_id")

    async def test_a_stored_contact_wants_the_permission_to_read_contacts(
        self, client: httpx.AsyncClient, registered: dict[str, Any]
    ) -> None:
        contact = {"addresses": [{"type": "phone", "value": "+251911000100"}]}
        made = (await client.post("/v1/contacts", json=contact, headers=registered["headers"])).json()
        role = {"name": "Writer", "permissions": {"templates": ["read"]}}
        assert (await client.post("/v1/roles", json=role, headers=registered["headers"])).status_code == 201
        key = {"name": "writes", "role": "Writer"}
        made_key = await client.post("/v1/api-keys", json=key, headers=registered["headers"])
        headers = {"Authorization": f"Bearer {made_key.json()['secret']}"}
        body = {"body": "{PHONE}", "contact_id": made["id"]}
        answer = await client.post("/v1/templates/preview", json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "missing_permission")

    async def test_of_one_that_is_not_stored(self, client: httpx.AsyncClient, registered: dict[str, Any]) -> None:
        body: dict[str, Any] = {
            "body": "{FIRST_NAME|upper} {ATTRIBUTES.CITY} {CITY} {WHEN|date:'%H:%M'} {ON} {LIST}",
            "languages": {"am": {"body": "ሰላም {FIRST_NAME}"}},
            "variables": {"city": "Adama", "WHEN": "2026-03-09T06:00:00Z", "on": True, "list": ["a", 1, 2.5]},
            "contact": {"first_name": "Abebe", "timezone": "Africa/Addis_Ababa", "attributes": {"city": "Addis"}},
        }
        shown = await self.preview(client, registered, body)
        assert shown["text"] == "ABEBE Addis Adama 09:00 true a, 1, 2.5"
        assert (shown["version"], shown["missing"]) == (None, [])
        assert [each for each in shown["warnings"] if each["code"] == "unknown_variable"] == []
        body["contact"] |= {"language": "am-ET", "timezone": "../../etc/passwd"}
        translated = await self.preview(client, registered, body)
        assert (translated["text"], translated["language"]) == ("ሰላም Abebe", "am")
        assert translated["encoding"] == "ucs2"

    async def test_for_each_kind_of_channel(self, client: httpx.AsyncClient, registered: dict[str, Any]) -> None:
        body = {
            "body": "Code {CODE}",
            "variants": {
                "email": {"subject": "S {CODE}", "html": "<p>{CODE}</p>"},
                "whatsapp": {"template": "code", "language": "en", "body": ["{CODE}"]},
            },
            "variables": {"CODE": "<7>\nX"},
        }
        mail = await self.preview(client, registered, body | {"channel_type": "email"})
        assert (mail["subject"], mail["html"], mail["kind"]) == ("S <7> X", "<p>&lt;7&gt;\nX</p>", "email")
        assert (mail["text"], mail["segments"]) == ("Code <7>\nX", None)
        chat = await self.preview(client, registered, body | {"channel_type": "whatsapp"})
        assert chat["whatsapp"] == {"template": "code", "language": "en", "body": ["<7> X"]}
        short = await self.preview(client, registered, body | {"channel_type": "sandbox"})
        assert (short["kind"], short["segments"]) == ("sms", 1)
        answer = await client.post(
            "/v1/templates/preview", json=body | {"channel_type": "pigeon"}, headers=registered["headers"]
        )
        problem(answer, 422, "invalid_value", "/channel_type")

    @pytest.mark.parametrize(
        ("strategy", "outcome", "text"),
        [
            *(("default", "failed", None), ("empty", "rendered", "a b"), ("keep", "rendered", "a {X}b")),
            *(("skip", "skipped", None), ("fail", "failed", None)),
        ],
    )
    async def test_fallbacks(
        self, client: httpx.AsyncClient, registered: dict[str, Any], strategy: str, outcome: str, text: str | None
    ) -> None:
        shown = await self.preview(client, registered, {"body": "a {X}b", "fallback": {"strategy": strategy}})
        assert (shown["outcome"], shown["text"], shown["missing"]) == (outcome, text, ["X"])
        assert (shown["variable"], shown["reason"]) == ((None, None) if text else ("X", "missing"))

    @pytest.mark.parametrize(
        ("fields", "pointer"),
        [
            ({"body": "{X"}, "/body"),
            ({"variables": {"X": {}}}, "/variables/*"),
            ({"variables": {"X": [[1]]}}, "/variables/*/0"),
            ({"variables": {"X": "x" * 4097}}, "/variables/*"),
            ({"variables": {f"X{number}": 1 for number in range(101)}}, "/variables"),
            ({"contact": {"shoe_size": 42}}, "/contact/shoe_size"),
        ],
        ids=lambda value: json.dumps(value)[:40],
    )
    async def test_what_is_wrong_is_pointed_at(
        self, client: httpx.AsyncClient, registered: dict[str, Any], fields: dict[str, Any], pointer: str
    ) -> None:
        answer = await client.post(
            "/v1/templates/preview", json={"body": "{X}"} | fields, headers=registered["headers"]
        )
        problem(answer, 422, "invalid_value", pointer)

    async def test_the_largest_there_can_be(self, client: httpx.AsyncClient, registered: dict[str, Any]) -> None:
        """Everything at its limit: answered, and not with a defect."""
        body = {
            "body": "{X}" * 200,
            "variants": {"email": {"subject": "s", "html": "<" * 40_000 + "{X}" * 200}},
            "variables": {"X": "<" * 4096},
            "channel_type": "email",
        }
        shown = await self.preview(client, registered, body)
        assert (shown["outcome"], shown["variable"], shown["reason"]) == ("failed", None, "too_long")


class TestAnotherAccount:
    async def test_sees_and_touches_nothing(
        self, client: httpx.AsyncClient, registered: dict[str, Any], other: dict[str, Any]
    ) -> None:
        made = await make(client, registered)
        path, headers = f"/v1/templates/{made['id']}", other["headers"]
        for answer in (
            await client.get(path, headers=headers),
            await client.get(f"{path}/versions", headers=headers),
            await client.patch(path, json={"body": "mine"}, headers=headers),
            await client.delete(path, headers=headers),
            await client.post(f"{path}/preview", json={}, headers=headers),
        ):
            problem(answer, 404, "not_found")
        assert (await client.get("/v1/templates", headers=headers)).json()["items"] == []
        assert (await client.get(path, headers=registered["headers"])).json() == made
