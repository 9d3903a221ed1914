"""Contacts that are one person, through the API."""

from typing import Any
from uuid import UUID, uuid4

import httpx

from app.domain.contacts.stores.contract import Activity, AddressKey, AddressType
from app.domain.contacts.stores.postgres import PostgresContactStores
from tests.integration.contacts.jobs import Office


class People:
    """What can be done with contacts of one account."""

    def __init__(self, office: Office) -> None:
        self.office = office

    async def new(self, **fields: Any) -> str:
        """The id of a new contact."""
        return str((await self.office.make("contacts", **fields))["id"])

    async def get(self, contact_id: str, status: int = 200) -> dict[str, Any]:
        answer = await self.call("GET", f"contacts/{contact_id}")
        assert answer.status_code == status, answer.text
        return dict(answer.json())

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return await self.office.client.request(method, f"/v1/{path}", json=body, headers=self.office.headers | headers)

    async def merge(self, kept: str, *others: str, **headers: str) -> dict[str, Any]:
        answer = await self.call("POST", f"contacts/{kept}/merge", {"contact_ids": list(others)}, **headers)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def merges(self, **query: str) -> list[dict[str, Any]]:
        answer = await self.office.client.get("/v1/contact-merges", params=query, headers=self.office.headers)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["items"])

    async def undo(self, merge_id: str) -> httpx.Response:
        return await self.call("POST", f"contact-merges/{merge_id}/undo")

    async def wrote(self, contact_id: str, phone: str, at: Any, channel_id: UUID | None = None) -> None:
        """A contact wrote at this moment."""
        key = AddressKey(AddressType.PHONE, phone)
        async with self.office.database.unit_of_work(self.office.account_id) as session:
            store = PostgresContactStores().of(session, self.office.account_id)
            activity = Activity(UUID(contact_id), channel_id or uuid4(), key, last_inbound_at=at)
            await store.record_activity([activity])


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of a refusal."""
    assert answer.status_code == status, answer.text
    problem: dict[str, Any] = answer.json()
    assert problem["code"] == code, problem
    return problem


def addresses(contact: dict[str, Any]) -> list[str]:
    return [each["value"] for each in contact["addresses"]]
