"""People and machines with all kinds of roles in one account."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from app.domain.identity.events import announce_change
from app.domain.mails.service import body_context
from app.lib.crypto import Envelope
from app.lib.db import Database
from app.lib.ids import new_id
from tests.conftest import Registered, register

Permissions = Mapping[str, Sequence[str]]
Headers = dict[str, str]


class Account:
    """An account with its owner, who can give it roles, members and keys."""

    def __init__(self, client: httpx.AsyncClient, database: Database, envelope: Envelope, owner: Registered) -> None:
        self.client = client
        self.id: str = owner["account"]["id"]
        self.owner: Registered = owner
        self.headers: Headers = owner["headers"] | {"X-Account-Id": self.id}
        self._database = database
        self._envelope = envelope

    async def role(self, permissions: Permissions, name: str | None = None) -> dict[str, Any]:
        """A custom role, made by the owner."""
        body = {"name": name or f"Role {secrets.token_hex(4)}", "permissions": permissions}
        made = await self.client.post("/v1/roles", json=body, headers=self.headers)
        assert made.status_code == 201, made.text
        role: dict[str, Any] = made.json()
        return role

    async def member(self, role: str) -> Registered:
        """A new user who has the role (by name) in this account; `headers` make it the active one."""
        user = await register(self.client)
        await self.join(user, role)
        return {**user, "headers": user["headers"] | {"X-Account-Id": self.id}}

    async def join(self, user: Registered, role: str) -> None:
        """Make a user a member, past the API."""
        async with self._database.unit_of_work() as session:
            await session.execute(
                text(
                    "INSERT INTO memberships (id, user_id, account_id, role_id) SELECT CAST(:id AS uuid),"
                    " CAST(:user AS uuid), CAST(:account AS uuid), id FROM roles"
                    " WHERE name = :role AND (account_id IS NULL OR account_id = CAST(:account AS uuid))"
                ),
                {"id": str(new_id()), "user": user["user"]["id"], "account": self.id, "role": role},
            )
            await announce_change(session)

    async def key(self, headers: Headers | None = None, **body: Any) -> dict[str, Any]:
        """A new API key as its creator sees it, with the `headers` to use it."""
        body = {"name": f"Key {secrets.token_hex(4)}"} | body
        made = await self.client.post("/v1/api-keys", json=body, headers=headers or self.headers)
        assert made.status_code == 201, made.text
        return {**made.json(), "headers": {"Authorization": f"Bearer {made.json()['secret']}"}}

    async def invite(self, email: str, **body: Any) -> tuple[dict[str, Any], str]:
        """An invitation by the owner, and the token in its mail."""
        answer = await self.client.post("/v1/invitations", json={"email": email} | body, headers=self.headers)
        assert answer.status_code == 201, answer.text
        _, words = await self.mail(email)
        return answer.json(), token_in(words)

    async def mail(self, recipient: str) -> tuple[str, str]:
        """Subject and body of the newest mail to an address."""
        async with self._database.reading() as session:
            rows = await session.execute(
                text("SELECT id, subject, body FROM mails WHERE recipient = :to ORDER BY id DESC LIMIT 1"),
                {"to": recipient},
            )
            mail_id, subject, sealed = rows.one()
        return subject, self._envelope.decrypt(sealed, body_context(mail_id)).decode()

    async def log(self, **filters: str) -> list[dict[str, Any]]:
        """The audit log, newest first."""
        answer = await self.client.get("/v1/audit-log", params=filters, headers=self.headers)
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items


def token_in(words: str) -> str:
    """The token of an invitation's mail."""
    return next(line for line in words.splitlines() if line.startswith("it_"))


def pointers(answer: httpx.Response) -> list[tuple[str, str]]:
    """Where a problem says that something is wrong."""
    return [(error["pointer"], error["code"]) for error in answer.json()["errors"]]


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a problem."""
    return answer.status_code, answer.json()["code"]


@pytest.fixture
async def account(client: httpx.AsyncClient, database: Database, envelope: Envelope, registered: Registered) -> Account:
    return Account(client, database, envelope, registered)


@pytest.fixture
async def stranger(client: httpx.AsyncClient, database: Database, envelope: Envelope, other: Registered) -> Account:
    """The account of somebody else."""
    return Account(client, database, envelope, other)
