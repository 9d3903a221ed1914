"""Somebody with an account of their own, who keeps contacts in it."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.conftest import Registered

Body = dict[str, Any]


class Keeper:
    """Calls the API; what is made is answered as JSON."""

    def __init__(self, client: httpx.AsyncClient, who: Registered) -> None:
        self.client = client
        self.headers: dict[str, str] = who["headers"]
        self.account_id = UUID(who["account"]["id"])

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Any request; `if_match="…"` becomes a header."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.request(method, f"/v1{path}", json=body, headers=self.headers | more)

    async def make(self, path: str, **body: Any) -> Body:
        """A new resource."""
        return answered(await self.call("POST", path, body), 201)

    async def contact(self, **body: Any) -> Body:
        """A new contact."""
        return await self.make("/contacts", **body)

    async def change(self, contact_id: str, **body: Any) -> Body:
        """The contact after a PATCH."""
        return answered(await self.call("PATCH", f"/contacts/{contact_id}", body))

    async def show(self, path: str) -> Body:
        """What a GET answers."""
        return answered(await self.call("GET", path))

    async def found(self, path: str = "/contacts", **query: Any) -> list[str]:
        """The ids in the first page of a list."""
        answer = await self.client.get(f"/v1{path}", params=query, headers=self.headers)
        return [each["id"] for each in answered(answer)["items"]]


def answered(answer: httpx.Response, status: int = 200) -> Body:
    """The JSON of an answer that went as it should."""
    assert answer.status_code == status, answer.text
    body: Body = answer.json()
    return body


def refused(answer: httpx.Response, status: int, code: str, *pointers: str) -> Body:
    """The problem of an answer, with errors at exactly these pointers when some are named."""
    problem: Body = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), answer.text
    if pointers:
        assert [error["pointer"] for error in problem["errors"]] == list(pointers), answer.text
    return problem


@pytest.fixture
def keeper(client: httpx.AsyncClient, registered: Registered) -> Keeper:
    return Keeper(client, registered)


@pytest.fixture
def stranger(client: httpx.AsyncClient, other: Registered) -> Keeper:
    """Somebody in another account."""
    return Keeper(client, other)
