"""Templates made through the API."""

from typing import Any
from uuid import uuid4

import httpx

EXAMPLE: dict[str, Any] = {
    "body": "Hi {FIRST_NAME}, your code is {CODE}",
    "fallback": {"strategy": "default", "values": {"FIRST_NAME": "friend"}},
}


async def make(client: httpx.AsyncClient, who: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A template, as its route shows it."""
    body = EXAMPLE | {"name": f"Template {uuid4()}"} | fields
    answer = await client.post("/v1/templates", json=body, headers=who["headers"])
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made
