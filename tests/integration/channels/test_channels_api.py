"""Channels through the served application."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.channels.conftest import SMPP


async def make(client: httpx.AsyncClient, who: dict[str, Any], **fields: Any) -> dict[str, Any]:
    body = {"name": f"Channel {uuid4()}", "type": "sandbox"} | fields
    answer = await client.post("/v1/channels", json=body, headers=who["headers"])
    assert answer.status_code == 201, answer.text
    channel: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/channels/{channel['id']}"
    return channel


def problem(answer: httpx.Response, status: int, code: str, *pointers: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    document: dict[str, Any] = answer.json()
    assert document["code"] == code
    assert [error["pointer"] for error in document.get("errors", [])] == list(pointers)
    return document


class TestTypes:
    async def test_every_type_has_schemas(self, client: httpx.AsyncClient, registered: dict[str, Any]) -> None:
        answer = await client.get("/v1/channel-types", headers=registered["headers"])
        assert answer.status_code == 200
        assert answer.json()["next_cursor"] is None
        types = {item["type"]: item for item in answer.json()["items"]}
        assert {"smpp", "sandbox"} <= types.keys()
        smpp = types["smpp"]
        assert smpp["config"]["properties"]["window"]["maximum"] == 1000
        assert smpp["config"]["required"] == ["hosts"]
        secrets = {"system_id", "password", "client_certificate", "client_key"}
        assert smpp["credentials"]["properties"].keys() == secrets
        assert smpp["capabilities"]["recipients"] == "e164"

    async def test_needs_a_caller(self, client: httpx.AsyncClient) -> None:
        for path in ("/v1/channel-types", "/v1/channels", f"/v1/channels/{uuid4()}"):
            problem(await client.get(path), 401, "unauthenticated")


class TestCreate:
    async def test_sandbox(self, client: httpx.AsyncClient, registered: dict[str, Any]) -> None:
        channel = await make(client, registered, name="Try it")
        assert (channel["name"], channel["type"], channel["status"]) == ("Try it", "sandbox", "active")
        assert channel["account_id"] == registered["account"]["id"]
        assert channel["rate"] is None
        assert channel["health"] == {}
        assert channel["created_at"] == channel["updated_at"]

    async def test_smpp_fills_in_defaults_and_never_shows_credentials(
        self, client: httpx.AsyncClient, registered: dict[str, Any]
    ) -> None:
        channel = await make(client, registered, **SMPP)
        assert channel["status"] == "connecting"
        assert channel["config"]["window"] == 50
        assert channel["config"]["bind"] == "transceiver"
        assert channel["rate"] == {"per_second": 100, "burst": 20}
        read = await client.get(f"/v1/channels/{channel['id']}", headers=registered["headers"])
        assert read.json() == channel
        listed = await client.get("/v1/channels", headers=registered["headers"])
        for text in (str(channel), read.text, listed.text):
            assert "credentials" not in text and "s3cret" not in text

    async def test_a_name_is_unique_in_its_account(
        self, client: httpx.AsyncClient, registered: dict[str, Any], other: dict[str, Any]
    ) -> None:
        name = f"Taken {uuid4()}"
        first = await make(client, registered, name=name)
        body = {"name": name, "type": "sandbox"}
        problem(await client.post("/v1/channels", json=body, headers=registered["headers"]), 409, "name_taken")
        await make(client, other, name=name)
        await client.delete(f"/v1/channels/{first['id']}", headers=registered["headers"])
        await make(client, registered, name=name)

    @pytest.mark.parametrize(
        ("body", "pointers"),
        [
            ({"type": "sandbox"}, ["/name"]),
            ({"name": "A"}, ["/type"]),
            ({"name": "A", "type": "pigeon"}, ["/type"]),
            ({"name": "", "type": "sandbox"}, ["/name"]),
            ({"name": "A\x00", "type": "sandbox"}, ["/name"]),
            ({"name": "A", "type": "sandbox", "color": "red"}, ["/color"]),
            ({"name": "A", "type": "sandbox", "config": {"x": 1}}, ["/config/x"]),
            ({"name": "A", "type": "sandbox", "config": None}, ["/config"]),
            ({"name": "A", "type": "sandbox", "credentials": {"x": 1}}, ["/credentials/x"]),
            ({"name": "A", "type": "sandbox", "rate": {"per_second": 0}}, ["/rate/per_second"]),
            ({"name": "A", "type": "sandbox", "rate": {"per_second": 1, "burst": 0}}, ["/rate/burst"]),
            ({"name": "A", "type": "smpp"}, ["/config/hosts", "/credentials/system_id"]),
            ({"name": "A", **SMPP, "config": {"hosts": [{"host": "h", "port": 0}]}}, ["/config/hosts/0/port"]),
            ({"name": "A", **SMPP, "credentials": {"system_id": 5}}, ["/credentials/system_id"]),
            ([], [""]),
        ],
    )
    async def test_what_is_wrong_is_pointed_at_and_nothing_is_stored(
        self, client: httpx.AsyncClient, registered: dict[str, Any], body: Any, pointers: list[str]
    ) -> None:
        before = await client.get("/v1/channels?include=total", headers=registered["headers"])
        answer = await client.post("/v1/channels", json=body, headers=registered["headers"])
        problem(answer, 422, "invalid_value", *pointers)
        assert "s3cret" not in answer.text
        after = await client.get("/v1/channels?include=total", headers=registered["headers"])
        assert after.json()["total"] == before.json()["total"]


class TestList:
    async def test_filters_sorts_and_pages(self, client: httpx.AsyncClient, registered: dict[str, Any]) -> None:
        mark = str(uuid4())
        made = [await make(client, registered, name=f"{mark} {letter}") for letter in "cab"]
        await make(client, registered, **SMPP, name=f"{mark} smpp")

        async def names(query: str) -> list[str]:
            answer = await client.get(f"/v1/channels?name[startswith]={mark}&{query}", headers=registered["headers"])
            assert answer.status_code == 200, answer.text
            return [item["name"].removeprefix(f"{mark} ") for item in answer.json()["items"]]

        assert await names("type=sandbox") == ["b", "a", "c"]
        assert await names("type=sandbox&sort=created_at") == ["c", "a", "b"]
        assert await names("type=sandbox&sort=name") == ["a", "b", "c"]
        assert await names("status=connecting") == ["smpp"]
        assert await names("status[in]=active,connecting&sort=-name") == ["smpp", "c", "b", "a"]
        assert await names(f"created_at[gt]={made[1]['created_at']}&type=sandbox") == ["b"]
        seen: list[str] = []
        cursor = ""
        while True:
            answer = await client.get(
                f"/v1/channels?name[startswith]={mark}&sort=name&limit=1{cursor}", headers=registered["headers"]
            )
            page = answer.json()
            seen += [item["name"].removeprefix(f"{mark} ") for item in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert seen == ["a", "b", "c", "smpp"]

    @pytest.mark.parametrize("query", ["credentials=x", "type=pigeon", "sort=health", "limit=0", "config[eq]=1"])
    async def test_bad_queries(self, client: httpx.AsyncClient, registered: dict[str, Any], query: str) -> None:
        answer = await client.get(f"/v1/channels?{query}", headers=registered["headers"])
        assert answer.status_code == 400, answer.text


class TestPatch:
    async def test_config_is_merged_and_null_brings_the_default_back(
        self, client: httpx.AsyncClient, registered: dict[str, Any]
    ) -> None:
        channel = await make(client, registered, **SMPP)
        path = f"/v1/channels/{channel['id']}"
        changed = await client.patch(path, json={"config": {"window": 10, "tls": True}}, headers=registered["headers"])
        assert changed.status_code == 200, changed.text
        assert changed.json()["config"] == channel["config"] | {"window": 10, "tls": True}
        assert changed.json()["updated_at"] > channel["updated_at"]
        back = await client.patch(path, json={"config": {"window": None}}, headers=registered["headers"])
        assert back.json()["config"] == channel["config"] | {"tls": True}

    async def test_rate_is_merged_and_cleared(self, client: httpx.AsyncClient, registered: dict[str, Any]) -> None:
        channel = await make(client, registered, **SMPP)
        path = f"/v1/channels/{channel['id']}"
        merged = await client.patch(path, json={"rate": {"per_second": 0.5}}, headers=registered["headers"])
        assert merged.json()["rate"] == {"per_second": 0.5, "burst": 20}
        cleared = await client.patch(path, json={"rate": None}, headers=registered["headers"])
        assert cleared.json()["rate"] is None
        assert cleared.json()["name"] == channel["name"]

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"name": None}, "/name"),
            ({"config": None}, "/config"),
            ({"credentials": None}, "/credentials"),
            ({"config": {"hosts": None}}, "/config/hosts"),
            ({"config": {"window": "wide"}}, "/config/window"),
            ({"config": {"nonsense": 1}}, "/config/nonsense"),
            ({"credentials": {"password": "s3cret-new"}}, "/credentials/system_id"),
            ({"rate": {"per_second": None}}, "/rate/per_second"),
            ({"rate": {"per_second": -1}}, "/rate/per_second"),
            ({"type": "sandbox"}, "/type"),
            ({"status": "active"}, "/status"),
        ],
    )
    async def test_refusals_change_nothing(
        self, client: httpx.AsyncClient, registered: dict[str, Any], body: dict[str, Any], pointer: str
    ) -> None:
        channel = await make(client, registered, **SMPP)
        path = f"/v1/channels/{channel['id']}"
        problem(await client.patch(path, json=body, headers=registered["headers"]), 422, "invalid_value", pointer)
        assert (await client.get(path, headers=registered["headers"])).json() == channel

    async def test_deeply_nested_config_is_refused(self, client: httpx.AsyncClient, registered: dict[str, Any]) -> None:
        channel = await make(client, registered, **SMPP)
        body = '{"config": ' + '{"a": ' * 200 + "1" + "}" * 200 + "}"
        answer = await client.patch(
            f"/v1/channels/{channel['id']}",
            content=body,
            headers=registered["headers"] | {"content-type": "application/json"},
        )
        problem(answer, 422, "invalid_value", "/config")

    async def test_if_match(self, client: httpx.AsyncClient, registered: dict[str, Any]) -> None:
        channel = await make(client, registered)
        path = f"/v1/channels/{channel['id']}"
        tag = (await client.get(path, headers=registered["headers"])).headers["etag"]

        async def rename(condition: str) -> httpx.Response:
            headers = registered["headers"] | {"if-match": condition}
            return await client.patch(path, json={"name": str(uuid4())}, headers=headers)

        first = await rename(tag)
        assert first.status_code == 200
        assert first.headers["etag"] != tag
        problem(await rename(tag), 412, "precondition_failed")
        problem(await rename("W/" + first.headers["etag"]), 412, "precondition_failed")
        problem(await rename("nonsense"), 412, "precondition_failed")
        second = await rename(f'"0", {first.headers["etag"]}')
        assert second.status_code == 200
        assert (await rename("*")).status_code == 200
        stale = registered["headers"] | {"if-match": tag}
        problem(await client.delete(path, headers=stale), 412, "precondition_failed")

    async def test_changing_nothing_keeps_the_version(
        self, client: httpx.AsyncClient, registered: dict[str, Any]
    ) -> None:
        channel = await make(client, registered, **SMPP)
        body = {"name": channel["name"], "config": {"window": 50}, "rate": {"burst": 20}}
        answer = await client.patch(f"/v1/channels/{channel['id']}", json=body, headers=registered["headers"])
        assert answer.json() == channel

    async def test_renaming_onto_another(self, client: httpx.AsyncClient, registered: dict[str, Any]) -> None:
        first, second = await make(client, registered), await make(client, registered)
        answer = await client.patch(
            f"/v1/channels/{second['id']}", json={"name": first["name"]}, headers=registered["headers"]
        )
        problem(answer, 409, "name_taken")


class TestActions:
    async def test_pause_and_resume(self, client: httpx.AsyncClient, registered: dict[str, Any]) -> None:
        for fields, ready in (({}, "active"), (SMPP, "connecting")):
            path = f"/v1/channels/{(await make(client, registered, **fields))['id']}"

            async def act(verb: str, at: str = path) -> httpx.Response:
                return await client.post(f"{at}/{verb}", headers=registered["headers"])

            for _ in range(2):
                paused = await act("pause")
                assert (paused.status_code, paused.json()["status"]) == (200, "paused")
            problem(await act("connect"), 409, "channel_paused")
            tested = await act("test")
            assert (tested.status_code, tested.json()["ok"]) == (200, False)
            kept = await client.patch(path, json={"config": {"default_from": "B"}}, headers=registered["headers"])
            assert kept.json()["status"] == "paused"
            for _ in range(2):
                resumed = await act("resume")
                assert (resumed.status_code, resumed.json()["status"]) == (200, ready)
            assert (await act("connect")).json()["status"] == ready

    async def test_test_and_binds(self, client: httpx.AsyncClient, registered: dict[str, Any]) -> None:
        for fields, ok in (({}, True), (SMPP, False)):
            path = f"/v1/channels/{(await make(client, registered, **fields))['id']}"
            tested = (await client.post(f"{path}/test", headers=registered["headers"])).json()
            assert tested["ok"] is ok
            assert tested["detail"]
            binds = await client.get(f"{path}/binds", headers=registered["headers"])
            assert binds.json() == {"items": [], "next_cursor": None}

    async def test_delete(self, client: httpx.AsyncClient, registered: dict[str, Any]) -> None:
        channel = await make(client, registered, **SMPP)
        path = f"/v1/channels/{channel['id']}"
        assert (await client.delete(path, headers=registered["headers"])).status_code == 204
        problem(await client.get(path, headers=registered["headers"]), 404, "not_found")
        problem(await client.delete(path, headers=registered["headers"]), 404, "not_found")
        listed = await client.get(f"/v1/channels?name={channel['name']}", headers=registered["headers"])
        assert listed.json()["items"] == []


class TestAnotherAccount:
    async def test_sees_and_touches_nothing(
        self, client: httpx.AsyncClient, registered: dict[str, Any], other: dict[str, Any]
    ) -> None:
        channel = await make(client, registered, **SMPP)
        path, headers = f"/v1/channels/{channel['id']}", other["headers"]
        answers = [
            await client.get(path, headers=headers),
            await client.patch(path, json={"name": "mine"}, headers=headers),
            await client.delete(path, headers=headers),
            await client.get(f"{path}/binds", headers=headers),
            *[await client.post(f"{path}/{verb}", headers=headers) for verb in ("pause", "resume", "connect", "test")],
        ]
        for answer in answers:
            problem(answer, 404, "not_found")
        listed = await client.get("/v1/channels?limit=200", headers=headers)
        assert channel["id"] not in listed.text
        assert (await client.get(path, headers=registered["headers"])).json() == channel

    async def test_no_such_id(self, client: httpx.AsyncClient, registered: dict[str, Any]) -> None:
        problem(await client.get(f"/v1/channels/{uuid4()}", headers=registered["headers"]), 404, "not_found")
        problem(await client.get("/v1/channels/not-an-id", headers=registered["headers"]), 404, "not_found")
