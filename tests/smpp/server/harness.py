"""One tenant with its SMPP account, and what it does through the API and over TCP."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx

from smpp_daemon.protocol.constants import BindMode
from smpp_daemon.protocol.events import RequestAnswered
from smpp_daemon.protocol.pdu import SubmitSm
from tests.smpp.simulated_esme import Esme

DEADLINE = 30.0


class Application(Esme):
    """An ESME that keeps the answers to requests other than submit_sm as well."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.replies: dict[object, RequestAnswered] = {}

    def handle(self, events: list[Any]) -> None:
        for event in events:
            if isinstance(event, RequestAnswered):
                self.replies[event.token] = event
        super().handle(events)

    async def ask(self, pdu: Any) -> RequestAnswered:
        token = object()
        assert self.session.request(pdu, token, self.loop.time()) is not None
        self.flush()
        await self.until(lambda: token in self.replies)
        return self.replies[token]

    async def send(self, *pdus: SubmitSm) -> list[tuple[int, str]]:
        """Status and message id of each, in order."""
        tokens = [object() for _ in pdus]
        for pdu, token in zip(pdus, tokens, strict=True):
            self.submit(pdu, token)
        await self.until(lambda: all(token in self.answers for token in tokens))
        return [(self.answers[token].status, self.answers[token].message_id) for token in tokens]


class Tenant:
    """`account` is the SMPP account as the API shows it."""

    def __init__(self, api: httpx.AsyncClient, headers: dict[str, str], account: dict[str, Any], password: str) -> None:
        self.api = api
        self.headers = headers
        self.account = account
        self.password = password

    @property
    def path(self) -> str:
        return f"/v1/smpp-accounts/{self.account['id']}"

    async def bind(self, port: int, mode: BindMode = BindMode.TRANSCEIVER, **more: Any) -> Application:
        options = {"system_id": self.account["system_id"], "password": self.password, **more}
        return await Application.connect(port, mode=mode, **options)

    async def change(self, **fields: Any) -> None:
        answer = await self.api.patch(self.path, json=fields, headers=self.headers)
        assert answer.status_code == 200, answer.text

    async def messages(self, query: str = "") -> list[dict[str, Any]]:
        answer = await self.api.get(f"/v1/messages?limit=200{query}", headers=self.headers)
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    async def message(self, message_id: str) -> dict[str, Any]:
        answer = await self.api.get(f"/v1/messages/{dashed(message_id)}", headers=self.headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def message_until(self, message_id: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + DEADLINE
        while True:
            message = await self.message(message_id)
            if holds(message):
                return message
            assert time.monotonic() < deadline, message
            await asyncio.sleep(0.05)


def dashed(message_id: str) -> str:
    parts = message_id[:8], message_id[8:12], message_id[12:16], message_id[16:20], message_id[20:]
    return "-".join(parts)


def submit(text: str = "Hello", to: str = "251911000100", **more: Any) -> SubmitSm:
    fields: dict[str, Any] = {
        "source_addr_ton": 5,
        "source_addr": "DEMO",
        "dest_addr_ton": 1,
        "dest_addr_npi": 1,
        "destination_addr": to,
        "registered_delivery": 1,
        "short_message": text.encode(),
    }
    return SubmitSm(**(fields | more))
