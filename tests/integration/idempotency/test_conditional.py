"""`ETag` and `If-None-Match` on GETs, and what caches may keep."""

from typing import Any

import httpx
import pytest

from app.domain.channels.directory import ChannelDirectory
from app.domain.channels.states import ChannelStatus
from app.lib.crypto import Envelope
from app.lib.db import Database
from tests.conftest import Registered

SMPP: dict[str, Any] = {
    "name": "Operator",
    "type": "smpp",
    "config": {"hosts": [{"host": "127.0.0.1", "port": 2775}]},
    "credentials": {"system_id": "demo", "password": "secret"},
}


async def get(client: httpx.AsyncClient, who: Registered, path: str, tag: str | None = None) -> httpx.Response:
    more = {} if tag is None else {"If-None-Match": tag}
    return await client.get(path, headers={**who["headers"], **more})


@pytest.mark.parametrize(
    "path", ["/v1/channels", "/v1/context", "/v1/accounts", "/v1/messages?limit=5", "/v1/users/me"]
)
async def test_what_the_client_has_is_not_sent_again(
    client: httpx.AsyncClient, registered: Registered, path: str
) -> None:
    first = await get(client, registered, path)
    assert first.status_code == 200, first.text
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    assert {"Authorization", "X-Account-Id"} <= {name.strip() for name in first.headers["vary"].split(",")}
    for condition in (tag, f"W/{tag}", f'"x", W/"y",{tag}', "*"):
        answer = await get(client, registered, path, condition)
        assert (answer.status_code, answer.content) == (304, b""), condition
        assert "content-type" not in answer.headers
        for name in ("etag", "cache-control", "vary"):
            assert answer.headers[name] == first.headers[name]
    for condition in ('"other"', tag.strip('"'), "", '"'):
        answer = await get(client, registered, path, condition)
        assert (answer.status_code, answer.content) == (200, first.content), condition


async def test_a_change_changes_the_tag(client: httpx.AsyncClient, registered: Registered, other: Registered) -> None:
    tag = (await get(client, registered, "/v1/channels")).headers["etag"]
    made = await client.post("/v1/channels", json=SMPP, headers=registered["headers"])
    changed = await get(client, registered, "/v1/channels", tag)
    assert (changed.status_code, len(changed.json()["items"])) == (200, 1)
    assert changed.headers["etag"] != tag
    assert (await get(client, other, f"/v1/channels/{made.json()['id']}", "*")).status_code == 404


async def test_live_state_is_told_and_does_not_void_what_was_read_for_a_change(
    client: httpx.AsyncClient, registered: Registered, database: Database, envelope: Envelope
) -> None:
    """A channel's health is no decision of its owner: it changes the representation and not the version."""
    made = await client.post("/v1/channels", json=SMPP, headers=registered["headers"])
    path = f"/v1/channels/{made.json()['id']}"
    tag = (await get(client, registered, path)).headers["etag"]
    assert (await get(client, registered, path, tag)).status_code == 304
    directory = ChannelDirectory(database, envelope)
    health = {"binds": [{"number": 1, "state": "bound"}], "detail": "1 of 1 bound"}
    assert await directory.report(made.json()["id"], ChannelStatus.ACTIVE, health)
    shown = await get(client, registered, path, tag)
    assert (shown.status_code, shown.json()["health"]) == (200, health)
    renamed = await client.patch(path, json={"name": "New"}, headers={**registered["headers"], "If-Match": tag})
    assert renamed.status_code == 200, renamed.text
    stale = await client.patch(path, json={"name": "Old"}, headers={**registered["headers"], "If-Match": tag})
    assert stale.status_code == 412


async def test_probes_and_figures_have_no_tag(client: httpx.AsyncClient) -> None:
    for path in ("/health/live", "/health/ready", "/metrics"):
        answer = await client.get(path, headers={"If-None-Match": "*"})
        assert answer.status_code == 200
        assert "etag" not in answer.headers


async def test_public_documents_may_be_kept_by_anybody(client: httpx.AsyncClient) -> None:
    keys = await client.get("/.well-known/jwks.json")
    assert keys.headers["cache-control"].startswith("public")
    assert "authorization" not in keys.headers.get("vary", "").lower()
    again = await client.get("/.well-known/jwks.json", headers={"If-None-Match": keys.headers["etag"]})
    assert (again.status_code, again.headers["cache-control"]) == (304, keys.headers["cache-control"])


async def test_refusals_have_no_tag_and_writing_is_not_stored(
    client: httpx.AsyncClient, registered: Registered
) -> None:
    missing = await get(client, registered, "/v1/channels/0199aaaa-0000-7000-8000-000000000000", "*")
    assert missing.status_code == 404
    assert "etag" not in missing.headers
    made = await client.post("/v1/channels", json=SMPP, headers={**registered["headers"], "If-None-Match": "*"})
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
