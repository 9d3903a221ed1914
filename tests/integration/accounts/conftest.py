"""People, machines and trees of accounts."""

import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from app.domain.identity.api_keys.secrets import new_secret, secret_hash
from app.domain.identity.events import announce_change
from app.lib.db import Database
from tests.conftest import Registered, register

Json = dict[str, Any]


class Person:
    """A caller of the API: whoever `headers` belong to."""

    def __init__(
        self, client: httpx.AsyncClient, headers: dict[str, str], user_id: str | None, account_id: str
    ) -> None:
        self._client = client
        self.headers = headers
        self.user_id = user_id
        self.account_id = account_id

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = self.headers | more.pop("headers", {})
        return await self._client.request(method, f"/v1/accounts{path}", headers=headers, **more)

    async def make(self, parent: str | None = None, **fields: Any) -> Json:
        body = {"name": f"Account {secrets.token_hex(4)}", **fields}
        answer = await self.call("POST", "", json=body if parent is None else body | {"parent_id": parent})
        assert answer.status_code == 201, answer.text
        made: Json = answer.json()
        return made

    async def show(self, account_id: str) -> Json:
        answer = await self.call("GET", f"/{account_id}")
        assert answer.status_code == 200, answer.text
        shown: Json = answer.json()
        return shown

    async def ids(self, query: str = "") -> set[str]:
        answer = await self.call("GET", f"?limit=200{query}")
        assert answer.status_code == 200, answer.text
        return {account["id"] for account in answer.json()["items"]}

    async def act(self, account_id: str, what: str, **more: Any) -> httpx.Response:
        return await self.call("POST", f"/{account_id}/{what}", **more)

    async def log(self, account_id: str) -> list[Json]:
        """The audit log of an account, the oldest entry first."""
        headers = self.headers | {"X-Account-Id": account_id}
        answer = await self._client.get("/v1/audit-log?limit=200", headers=headers)
        assert answer.status_code == 200, answer.text
        entries: list[Json] = answer.json()["items"]
        return entries[::-1]


def refused(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def pointers(answer: httpx.Response) -> list[tuple[str, str]]:
    assert answer.status_code == 422, answer.text
    return [(error["pointer"], error["code"]) for error in answer.json()["errors"]]


def person_of(client: httpx.AsyncClient, who: Registered) -> Person:
    return Person(client, who["headers"], who["user"]["id"], who["account"]["id"])


@pytest.fixture
def owner(client: httpx.AsyncClient, registered: Registered) -> Person:
    return person_of(client, registered)


@pytest.fixture
def stranger(client: httpx.AsyncClient, other: Registered) -> Person:
    return person_of(client, other)


@pytest.fixture
def join(client: httpx.AsyncClient, database: Database) -> Callable[..., Awaitable[Person]]:
    """A new person with a role in an account; or with permissions, as a role of that account."""

    async def make(account_id: str, role: str | Json) -> Person:
        person = person_of(client, await register(client))
        async with database.unit_of_work() as session:
            if isinstance(role, dict):
                name = f"role {secrets.token_hex(4)}"
                await session.execute(
                    _ROLE, {"account": UUID(account_id), "name": name, "permissions": json.dumps(role)}
                )
            else:
                name = role
            await session.execute(_JOIN, {"user": UUID(str(person.user_id)), "account": UUID(account_id), "role": name})
            await announce_change(session)
        return person

    return make


@pytest.fixture
def key(client: httpx.AsyncClient, database: Database) -> Callable[..., Awaitable[Person]]:
    """A new API key of an account, with permissions of its own."""

    async def make(account_id: str, permissions: Json) -> Person:
        secret = new_secret()
        async with database.unit_of_work() as session:
            await session.execute(
                _KEY,
                {
                    "account": UUID(account_id),
                    "name": secrets.token_hex(6),
                    "hash": secret_hash(secret),
                    "permissions": json.dumps(permissions),
                },
            )
        return Person(client, {"Authorization": f"Bearer {secret}"}, None, account_id)

    return make


_ROLE = text(
    "INSERT INTO roles (id, account_id, name, permissions)"
    " VALUES (gen_random_uuid(), :account, :name, CAST(:permissions AS jsonb))"
)
_JOIN = text(
    "INSERT INTO memberships (id, user_id, account_id, role_id)"
    " SELECT gen_random_uuid(), :user, :account, id FROM roles WHERE name = :role"
)
_KEY = text(
    "INSERT INTO api_keys (id, account_id, name, prefix, secret_hash, permissions)"
    " VALUES (gen_random_uuid(), :account, :name, 'tk_test', :hash, CAST(:permissions AS jsonb))"
)
