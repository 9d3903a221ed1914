"""Reading the mails that were queued, and calling the API from other addresses."""

import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from app.domain.mails.repository import Mail
from app.domain.mails.service import open_body
from app.lib.crypto import Envelope
from app.lib.db import Database

PASSWORD = "correct horse battery staple"
OTHER_PASSWORD = "another horse, another battery"

CodeFor = Callable[[str], Awaitable[str]]


async def mails_to(database: Database, email: str) -> list[Mail]:
    """What was queued for an address, newest first."""
    async with database.reading() as session:
        rows = await session.execute(
            text(
                "SELECT id, recipient, subject, body, attempts, created_at, sent_at, failed_at, error FROM mails"
                " WHERE recipient = :email ORDER BY created_at DESC, id DESC"
            ),
            {"email": email},
        )
        return [Mail(*row) for row in rows]


@pytest.fixture
def code_for(database: Database, envelope: Envelope) -> CodeFor:
    """The code in the newest mail to an address."""

    async def read(email: str) -> str:
        newest = (await mails_to(database, email))[0]
        found = re.search(r"^    (\d{6})$", open_body(envelope, newest), re.MULTILINE)
        assert found is not None, newest.subject
        return found[1]

    return read


def other_than(code: str) -> str:
    """Six digits that are wrong."""
    return f"{(int(code) + 1) % 1_000_000:06}"


@pytest.fixture
async def elsewhere(client: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """The API, called from an address that nobody else has; loopback is not counted."""
    assert isinstance(client._transport, httpx.ASGITransport)
    ip = f"2001:db8:{secrets.randbelow(2**16):x}:{secrets.randbelow(2**16):x}::1"
    transport = httpx.ASGITransport(app=client._transport.app, raise_app_exceptions=False, client=(ip, 5000))
    async with httpx.AsyncClient(transport=transport, base_url=client.base_url) as one:
        yield one


async def change(database: Database, statement: str, **values: Any) -> None:
    """Move a row's clock."""
    async with database.unit_of_work() as session:
        await session.execute(text(statement), values)


async def actions(client: httpx.AsyncClient, headers: dict[str, str]) -> list[str]:
    """What the account's log says, newest first."""
    answer = await client.get("/v1/audit-log?limit=200", headers=headers)
    assert answer.status_code == 200, answer.text
    return [entry["action"] for entry in answer.json()["items"]]


def identifier(someone: dict[str, Any]) -> UUID:
    """The id of a registered user, as the database driver wants it."""
    return UUID(someone["user"]["id"])
