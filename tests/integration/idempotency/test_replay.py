"""What a second request with the same key gets."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from app.lib.db import Database
from tests.conftest import Registered
from tests.integration.idempotency.conftest import Post, replayed

CHANNEL = {"name": "Once", "type": "sandbox"}
Count = Callable[[str], Awaitable[int]]


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert (answer.status_code, document["code"]) == (status, code), answer.text
    assert document["request_id"] == answer.headers["x-request-id"]
    return document


async def test_the_same_request_gets_the_same_answer_and_is_done_once(post: Post, count: Count) -> None:
    first = await post("/v1/channels", CHANNEL)
    assert first.status_code == 201, first.text
    assert "idempotency-replayed" not in first.headers
    again = await post("/v1/channels", CHANNEL)
    assert replayed(again, first)
    assert again.headers["location"] == f"/v1/channels/{first.json()['id']}"
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert await count("channels") == 1


async def test_without_a_key_every_request_is_a_new_one(
    client: httpx.AsyncClient, registered: Registered, sandbox: str, count: Count
) -> None:
    body = {"channel_id": sandbox, "to": "+251911000100", "text": "Hello"}
    answers = [await client.post("/v1/messages", json=body, headers=registered["headers"]) for _ in range(2)]
    assert len({answer.json()["id"] for answer in answers}) == 2
    assert await count("idempotency_keys") == 0


async def test_a_message_is_sent_once(post: Post, sandbox: str, count: Count) -> None:
    body = {"channel_id": sandbox, "to": "+251911000100", "text": "Hello ጤና", "metadata": {"order": 7.0}}
    first = await post("/v1/messages", body)
    assert first.status_code == 201, first.text
    assert replayed(await post("/v1/messages", body), first)
    assert await count("messages") == 1


async def test_a_batch_is_sent_once(post: Post, sandbox: str, count: Count) -> None:
    good = {"channel_id": sandbox, "to": "+251911000100", "text": "Hello"}
    batch = {"messages": [good, {**good, "to": "nobody"}, good]}
    first = await post("/v1/messages/batch", batch)
    assert (first.status_code, first.json()["accepted"]) == (200, 2), first.text
    assert replayed(await post("/v1/messages/batch", batch), first)
    assert await count("messages") == 2


async def test_a_batch_without_a_good_message_is_remembered_too(post: Post) -> None:
    batch = {"messages": [{"to": "nobody"}]}
    first = await post("/v1/messages/batch", batch)
    assert (first.status_code, first.json()["rejected"]) == (200, 1), first.text
    assert replayed(await post("/v1/messages/batch", batch), first)


async def test_an_answer_without_a_body(client: httpx.AsyncClient, registered: Registered, post: Post) -> None:
    body = {"refresh_token": registered["tokens"]["refresh_token"]}
    first = await post("/v1/auth/logout", body)
    assert (first.status_code, first.content) == (204, b"")
    assert replayed(await post("/v1/auth/logout", body), first)


@pytest.mark.parametrize("path", ["/v1/channels", "/v1/messages"])
async def test_another_request_with_the_key_is_refused(
    client: httpx.AsyncClient, registered: Registered, post: Post, key: str, sandbox: str, count: Count, path: str
) -> None:
    body = CHANNEL if path == "/v1/channels" else {"channel_id": sandbox, "to": "+251911000100", "text": "Hello"}
    assert (await post(path, body)).status_code == 201
    before = await count("channels"), await count("messages")
    problem(await post(path, {**body, "name": "Other"}), 422, "idempotency_key_reused")
    problem(await post(f"{path}?x=1", body), 422, "idempotency_key_reused")
    problem(await post(path, {**body, "unknown": 1}), 422, "idempotency_key_reused")
    headers = {**registered["headers"], "Idempotency-Key": key, "Content-Type": "application/vnd.x+json"}
    first = client.build_request("POST", path, json=body)
    problem(await client.post(path, content=first.content, headers=headers), 422, "idempotency_key_reused")
    assert before == (await count("channels"), await count("messages"))


async def test_a_key_belongs_to_one_route_and_one_account(
    client: httpx.AsyncClient, other: Registered, post: Post, key: str, sandbox: str
) -> None:
    first = await post("/v1/channels", CHANNEL)
    paused = await post(f"/v1/channels/{first.json()['id']}/pause")
    assert (paused.status_code, paused.json()["status"]) == (200, "paused")
    elsewhere = await post(f"/v1/channels/{sandbox}/pause")
    assert elsewhere.json()["id"] == sandbox
    theirs = await client.post("/v1/channels", json=CHANNEL, headers={**other["headers"], "Idempotency-Key": key})
    assert theirs.status_code == 201
    assert theirs.json()["account_id"] == other["account"]["id"]
    assert theirs.json()["id"] != first.json()["id"]


@pytest.mark.parametrize("path", ["/v1/channels", "/v1/messages"])
async def test_a_judgement_of_the_request_is_remembered(
    post: Post, count: Count, database: Database, path: str
) -> None:
    first = await post(path, {"name": "x" * 300, "type": "sandbox"})
    problem(first, 422, "invalid_value")
    again = await post(path, {"name": "x" * 300, "type": "sandbox"})
    assert replayed(again, first)
    assert await count("idempotency_keys") == 1


async def test_a_conflict_is_remembered_without_what_was_done_before_it(post: Post, key: str, count: Count) -> None:
    assert (await post("/v1/channels", CHANNEL)).status_code == 201
    more = {"Idempotency-Key": f"{key}-2"}
    taken = await post("/v1/channels", CHANNEL, **more)
    problem(taken, 409, "name_taken")
    assert replayed(await post("/v1/channels", CHANNEL, **more), taken)
    assert await count("channels") == 1
    assert await count("idempotency_keys") == 2


@pytest.mark.parametrize(
    "key", ["", "x" * 256, "with space", "ümlaut", "tab\tbed"], ids=["empty", "long", "space", "not-ascii", "tab"]
)
async def test_keys_that_are_not(client: httpx.AsyncClient, registered: Registered, key: str) -> None:
    headers = [*registered["headers"].items(), ("Idempotency-Key", key.encode("latin-1"))]
    problem(await client.post("/v1/channels", json=CHANNEL, headers=headers), 400, "bad_idempotency_key")


async def test_two_keys_are_none(client: httpx.AsyncClient, registered: Registered) -> None:
    headers = [*registered["headers"].items(), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    problem(await client.post("/v1/channels", json=CHANNEL, headers=headers), 400, "bad_idempotency_key")


async def test_the_longest_key(post: Post) -> None:
    more = {"Idempotency-Key": "~" * 255}
    first = await post("/v1/channels", CHANNEL, **more)
    assert first.status_code == 201
    assert replayed(await post("/v1/channels", CHANNEL, **more), first)


async def test_after_a_day_a_key_is_new(post: Post, sandbox: str, count: Count, database: Database, key: str) -> None:
    body = {"channel_id": sandbox, "to": "+251911000100", "text": "Hello"}
    firsts = {"/v1/messages": await post("/v1/messages", body), "/v1/channels": await post("/v1/channels", CHANNEL)}
    await age(database, key, "23 hours 59 minutes")
    assert replayed(await post("/v1/messages", body), firsts["/v1/messages"])
    assert replayed(await post("/v1/channels", CHANNEL), firsts["/v1/channels"])
    await age(database, key, "24 hours 1 second")
    later = await post("/v1/messages", {**body, "text": "Another"})
    assert (later.status_code, later.json()["text"]) == (201, "Another")
    renamed = await post("/v1/channels", {**CHANNEL, "name": "Later"})
    assert (renamed.status_code, renamed.json()["name"]) == (201, "Later")
    assert await count("idempotency_keys") == 2
    assert replayed(await post("/v1/channels", {**CHANNEL, "name": "Later"}), renamed)
    assert replayed(await post("/v1/messages", {**body, "text": "Another"}), later)


async def age(database: Database, key: str, by: str) -> None:
    async with database.unit_of_work() as session:
        await session.execute(
            text("UPDATE idempotency_keys SET created_at = now() - CAST(:by AS text)::interval WHERE key = :key"),
            {"by": by, "key": key},
        )


@pytest.mark.parametrize("path", ["/v1/channels", "/v1/messages"])
async def test_twenty_at_once_make_one(
    client: httpx.AsyncClient, neighbour: httpx.AsyncClient, post: Post, sandbox: str, count: Count, path: str
) -> None:
    body = CHANNEL if path == "/v1/channels" else {"channel_id": sandbox, "to": "+251911000100", "text": "Hello"}
    before = await count("channels")
    answers = await asyncio.gather(*(post(path, body, to=(client, neighbour)[n % 2]) for n in range(20)))
    made = [answer for answer in answers if answer.status_code == 201]
    assert sum("idempotency-replayed" not in answer.headers for answer in made) == 1
    assert len({answer.content for answer in made}) == 1
    for answer in answers:
        if answer.status_code != 201:
            problem(answer, 409, "idempotency_key_in_use")
            assert answer.headers["retry-after"] == "1"
    assert await count("channels") - before + await count("messages") == 1
    for to in (client, neighbour):
        again = await post(path, body, to=to)
        assert (again.status_code, again.content) == (201, made[0].content)


async def test_a_key_that_meets_an_answer_loses_nobody_elses_messages(
    client: httpx.AsyncClient,
    neighbour: httpx.AsyncClient,
    registered: Registered,
    sandbox: str,
    count: Count,
    post: Post,
) -> None:
    """Many keys twice at once on two processes, among requests without a key: all in shared transactions."""
    body = {"channel_id": sandbox, "to": "+251911000100", "text": "Hello"}
    pairs = [
        post("/v1/messages", {**body, "text": f"{n}"}, to=to, **{"Idempotency-Key": f"pair-{n}"})
        for n in range(60)
        for to in (client, neighbour)
    ]
    bare = [client.post("/v1/messages", json=body, headers=registered["headers"]) for _ in range(60)]
    mixed = [request for three in zip(pairs[::2], pairs[1::2], bare, strict=True) for request in three]
    answers = await asyncio.gather(*mixed)
    assert [answer.status_code for answer in answers] == [201] * 180, {answer.text for answer in answers}
    for n in range(60):
        one, two = answers[3 * n : 3 * n + 2]
        assert one.content == two.content
    assert len({answer.json()["id"] for answer in answers}) == 120
    assert await count("messages") == 120
