"""What the API accepts, refuses and shows, without anything being sent."""

import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from app.lib.db import Database


async def count_messages(database: Database, account_id: str) -> int:
    async with database.reading() as session:
        rows = await session.execute(
            text("SELECT count(*) FROM messages WHERE account_id = CAST(:id AS uuid)"), {"id": account_id}
        )
        return int(rows.scalar_one())


async def test_an_accepted_message_and_its_outbox_row_are_stored(send: Any, database: Database) -> None:
    answer = await send(to="+251911000100", text="Hello", metadata={"order": 7})
    assert answer.status_code == 201
    message = answer.json()
    assert answer.headers["location"] == f"/v1/messages/{message['id']}"
    assert message["id"][14] == "7"
    assert (message["status"], message["lane"], message["encoding"], message["segments"]) == (
        "queued",
        "high",
        "gsm7",
        1,
    )
    assert (message["to"], message["from"], message["error"], message["metadata"]) == (
        "+251911000100",
        None,
        None,
        {"order": 7},
    )
    assert message["direction"] == "outbound"
    assert message["sent_at"] is None


async def test_the_list_shows_what_was_sent_and_pages_by_cursor(
    client: httpx.AsyncClient, registered: dict[str, Any], send: Any
) -> None:
    sent = [(await send(to=f"+2519110001{n:02}")).json()["id"] for n in range(5)]
    headers = registered["headers"]
    seen: list[str] = []
    cursor = None
    while True:
        query = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = (await client.get("/v1/messages", params=query, headers=headers)).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == sent[::-1]
    upward = (
        await client.get("/v1/messages", params={"sort": "created_at", "include": "total"}, headers=headers)
    ).json()
    assert [item["id"] for item in upward["items"]] == sent
    assert upward["total"] == 5


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"to": "+251911000201"}, 1),
        ({"to[in]": "+251911000201,+251911000202"}, 2),
        ({"to[startswith]": "+25191100020"}, 3),
        ({"status": "read"}, 0),
        ({"lane[ne]": "bulk", "direction": "outbound"}, 3),
        ({"created_at[gt]": "2020-01-01T00:00:00Z", "created_at[lt]": "2021-01-01T00:00:00Z"}, 0),
        ({"contact_id[exists]": "false"}, 3),
    ],
)
async def test_filters(
    client: httpx.AsyncClient, registered: dict[str, Any], send: Any, query: dict[str, str], count: int
) -> None:
    for n in range(1, 4):
        await send(to=f"+25191100020{n}")
    page = await client.get("/v1/messages", params=query, headers=registered["headers"])
    assert page.status_code == 200, page.text
    assert len(page.json()["items"]) == count


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"to": "0911000100"}, "/to", "not_e164"),
        ({"to": "+1"}, "/to", "not_e164"),
        ({"to": "+25191100010a"}, "/to", "not_e164"),
        ({"to": 251911000100}, "/to", "wrong_type"),
        ({"text": ""}, "/text", "wrong_length"),
        ({"text": "a\u0000b"}, "/text", "not_allowed"),
        ({"text": "a" * 1531}, "/text", "too_long"),
        ({"text": "ጤ" * 671}, "/text", "too_long"),
        ({"text": None}, "/text", "missing_field"),
        ({"channel_id": "12"}, "/channel_id", "not_uuid"),
        ({"channel_id": "0199aaaa-0000-7000-8000-000000000000"}, "/channel_id", "not_found"),
        ({"lane": "fast"}, "/lane", "not_allowed"),
        ({"colour": "red"}, "/colour", "unknown_field"),
        ({"validity_seconds": 0}, "/validity_seconds", "out_of_range"),
        ({"validity_seconds": "60"}, "/validity_seconds", "wrong_type"),
        ({"metadata": {"x": "y" * 5000}}, "/metadata", "too_long"),
        ({"metadata": {"x": "\u0000"}}, "/metadata", "not_allowed"),
        ({"from": "x" * 22}, "/from", "wrong_length"),
        ({"from": "a\nb"}, "/from", "not_allowed"),
    ],
)
async def test_bad_values_are_refused_with_a_pointer_and_nothing_is_stored(
    send: Any, database: Database, registered: dict[str, Any], change: dict[str, Any], pointer: str, code: str
) -> None:
    answer = await send(**change)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["code"], problem["status"]) == ("invalid_value", 422)
    assert [(error["pointer"], error["code"]) for error in problem["errors"]] == [(pointer, code)]
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert await count_messages(database, registered["account"]["id"]) == 0


async def test_several_mistakes_are_told_together(send: Any) -> None:
    answer = await send(to="nobody", text="a" * 2000, channel_id="0199aaaa-0000-7000-8000-000000000000")
    assert {error["pointer"] for error in answer.json()["errors"]} == {"/to", "/text", "/channel_id"}


async def test_another_tenants_channel_does_not_exist(
    client: httpx.AsyncClient, other: dict[str, Any], sandbox: str
) -> None:
    body = {"channel_id": sandbox, "to": "+251911000100", "text": "Hello"}
    answer = await client.post("/v1/messages", json=body, headers=other["headers"])
    assert answer.status_code == 422
    assert answer.json()["errors"][0] | {"detail": ""} == {"pointer": "/channel_id", "code": "not_found", "detail": ""}


async def test_another_tenants_message_does_not_exist(
    client: httpx.AsyncClient, other: dict[str, Any], send: Any
) -> None:
    message = (await send()).json()
    assert (await client.get(f"/v1/messages/{message['id']}", headers=other["headers"])).status_code == 404
    assert (await client.get("/v1/messages", headers=other["headers"])).json()["items"] == []


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"{", "application/json", 400, "malformed_json"),
        (b"\xff", "application/json", 400, "malformed_json"),
        (b"", "application/json", 400, "malformed_json"),
        (b"[]", "application/json", 422, "invalid_value"),
        (b"to=1", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b'{"text": "' + b"x" * 5_000_000 + b'"}', "application/json", 413, "body_too_large"),
    ],
    ids=["broken", "not-utf8", "empty", "array", "form", "huge"],
)
async def test_unreadable_bodies(
    client: httpx.AsyncClient, registered: dict[str, Any], body: bytes, content_type: str, status: int, code: str
) -> None:
    headers = {**registered["headers"], "content-type": content_type}
    answer = await client.post("/v1/messages", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


async def test_a_batch_accepts_the_good_ones_and_says_what_is_wrong_with_the_others(
    client: httpx.AsyncClient, registered: dict[str, Any], sandbox: str, database: Database
) -> None:
    good = {"channel_id": sandbox, "to": "+251911000100", "text": "Hello"}
    batch = {"messages": [good, {**good, "to": "nobody"}, {**good, "x": 1}, good, 7]}
    answer = await client.post("/v1/messages/batch", json=batch, headers=registered["headers"])
    assert answer.status_code == 200, answer.text
    result = answer.json()
    assert (result["accepted"], result["rejected"]) == (2, 3)
    assert [item["status"] for item in result["items"]] == [201, 422, 422, 201, 422]
    assert [item["index"] for item in result["items"]] == [0, 1, 2, 3, 4]
    assert result["items"][0]["message"]["lane"] == "bulk"
    assert result["items"][1]["problem"]["errors"][0]["pointer"] == "/to"
    assert await count_messages(database, registered["account"]["id"]) == 2


@pytest.mark.parametrize("size", [0, 1001])
async def test_a_batch_has_1_to_1000_messages(client: httpx.AsyncClient, registered: dict[str, Any], size: int) -> None:
    answer = await client.post("/v1/messages/batch", json={"messages": [{}] * size}, headers=registered["headers"])
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/messages"


async def test_text_is_stored_in_nfc(send: Any) -> None:
    assert (await send(text="e\u0301")).json()["text"] == "é"


async def test_concurrent_requests_share_transactions_and_each_gets_its_own_answer(send: Any) -> None:
    answers = await asyncio.gather(*(send(to=f"+2519110{n:05}") for n in range(200)))
    assert {answer.status_code for answer in answers} == {201}
    assert [answer.json()["to"] for answer in answers] == [f"+2519110{n:05}" for n in range(200)]
    assert len({answer.json()["id"] for answer in answers}) == 200


@pytest.mark.parametrize(
    "query", ["limit=0", "sort=text", "colour=1", "cursor=zzz", "status=lost", "%00", "limit=1&limit=2"]
)
async def test_bad_lists_are_400(client: httpx.AsyncClient, registered: dict[str, Any], query: str) -> None:
    answer = await client.get(f"/v1/messages?{query}", headers=registered["headers"])
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_errors_of_the_framework_are_problem_documents_too(
    client: httpx.AsyncClient, registered: dict[str, Any]
) -> None:
    headers = registered["headers"]
    for method, path, status in (
        ("GET", "/v1/nothing", 404),
        ("PUT", "/v1/messages", 405),
        ("GET", "/v1/messages/not-an-id", 404),
        ("GET", "/v1/messages/0199aaaa-0000-7000-8000-000000000000", 404),
    ):
        answer = await client.request(method, path, headers=headers)
        assert answer.status_code == status, (path, answer.text)
        assert answer.json()["status"] == status
        assert "request_id" in answer.json()


async def test_health_docs_and_metrics(client: httpx.AsyncClient) -> None:
    ready = await client.get("/health/ready")
    assert ready.json() == {"status": "up", "dependencies": {"database": "up", "broker": "up"}}
    assert (await client.get("/health/live")).status_code == 200
    document = (await client.get("/v1/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert document["paths"]["/v1/messages"]["post"]["operationId"] == "SendMessage"
    page = await client.get("/v1/docs")
    assert page.status_code == 200
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert asset in page.text
        assert (await client.get(f"/v1/docs/assets/{asset}")).status_code == 200
    metrics = await client.get("/metrics")
    assert 'turumba_http_requests_total{method="GET",route="/health/ready",status="200"}' in metrics.text
