"""The demonstration: what a customer does, through the public HTTP API only.

Registers (or logs in), has an SMPP channel bound to the simulated operator, sends one message and a batch, and follows
them to their end by listing.
"""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

import httpx
import msgspec

from deploy.local.errors import LocalError
from deploy.local.installation import Installation
from deploy.local.ports import LOOPBACK
from deploy.local.processes import OPERATOR_PASSWORD, OPERATOR_SYSTEM_ID

BATCH = 1000
TOTAL = BATCH + 1
DELIVERY_SECONDS = 120.0
_CHANNEL_NAME = "Demo operator"
_CHANNEL_SECONDS = 45.0
_FIRST_EMAIL = "demo@example.com"
_PAGE = 200
_FINAL: Final = frozenset({"delivered", "read", "failed", "expired", "canceled", "unknown"})
_ARRIVED: Final = frozenset({"delivered", "read"})


class Login(msgspec.Struct, frozen=True):
    """The demo user's credentials."""

    email: str
    password: str


class Progress(msgspec.Struct, frozen=True):
    """Where the demo's messages are. `sent` counts those that the operator took, whatever became of them afterwards."""

    accepted: int = 0
    sent: int = 0
    delivered: int = 0
    others: dict[str, int] = {}

    @property
    def finished(self) -> bool:
        """Whether nothing more can happen to any accepted message."""
        return self.delivered + sum(self.others.values()) >= self.accepted > 0


class Demo:
    """One customer's session with the API at `api_url`. Errors of the API are raised as `LocalError` with its words."""

    def __init__(self, installation: Installation, api_url: str, operator_port: int) -> None:
        self._installation = installation
        self._operator_port = operator_port
        self._client = httpx.AsyncClient(base_url=api_url, timeout=30, trust_env=False)
        self.login = Login("", "")

    async def close(self) -> None:
        """Close the connections to the API."""
        await self._client.aclose()

    async def sign_in(self) -> None:
        """Log in as the demo user of this installation, registering when there is none."""
        place = self._installation
        email = place.state.demo_email or _FIRST_EMAIL
        login = Login(email, place.secret("demo_password"))
        if not await self._log_in(login):
            if not await self._register(login):
                # The database belongs to another installation too, whose demo user has another password.
                login = Login(f"demo-{secrets.token_hex(4)}@example.com", login.password)
                if not await self._register(login):
                    raise LocalError(f"The API says that the new address {login.email} is registered already.")
            if not await self._log_in(login):
                raise LocalError(f"The API registered {login.email} but does not let it log in.")
        place.change(lambda state: setattr(state, "demo_email", login.email))
        self.login = login

    async def ensure_channel(self) -> str:
        """The id of the demo's SMPP channel, made or corrected as needed, once it is bound to the operator."""
        hosts = [{"host": LOOPBACK, "port": self._operator_port}]
        page = await self._call("GET", "/v1/channels", params={"limit": str(_PAGE)})
        channel = next((item for item in page["items"] if item["name"] == _CHANNEL_NAME), None)
        if channel is None:
            channel = await self._post(
                "/v1/channels",
                {
                    "name": _CHANNEL_NAME,
                    "type": "smpp",
                    "config": {"hosts": hosts, "window": 50, "default_from": "DEMO"},
                    "credentials": {"system_id": OPERATOR_SYSTEM_ID, "password": OPERATOR_PASSWORD},
                    "rate": {"per_second": 2000, "burst": 200},
                },
            )
        elif channel["config"]["hosts"] != hosts:
            channel = await self._call("PATCH", f"/v1/channels/{channel['id']}", json={"config": {"hosts": hosts}})
        deadline = time.monotonic() + _CHANNEL_SECONDS
        while channel["status"] != "active":
            if time.monotonic() > deadline:
                raise LocalError(
                    f"The channel {_CHANNEL_NAME!r} is not bound to the operator: status {channel['status']}, "
                    f"health {channel.get('health')}. See smppd.log and smsc-sim.log in {self._installation.root}/log."
                )
            await asyncio.sleep(0.1)
            channel = await self._call("GET", f"/v1/channels/{channel['id']}")
        return str(channel["id"])

    async def send_and_follow(self, channel_id: str, show: Callable[[Progress], None]) -> Progress:
        """Send one message and a batch, then list until nothing more happens or 120 s are over; returns the end."""
        deadline = time.monotonic() + DELIVERY_SECONDS
        first = await self._post("/v1/messages", _message(0, "Hello from Turumba", channel_id))
        show(Progress(accepted=1))
        batch = [_message(number, f"Batch message {number}", channel_id) for number in range(1, TOTAL)]
        answer = await self._post("/v1/messages/batch", {"messages": batch})
        refused = [item["problem"] for item in answer["items"] if item["status"] != httpx.codes.CREATED]
        if refused:
            raise LocalError(f"The API refused {len(refused)} of {BATCH} messages, the first one so: {refused[0]}")
        ours = {first["id"], *(item["message"]["id"] for item in answer["items"])}
        progress = Progress(accepted=len(ours))
        show(progress)
        since = {"channel_id": channel_id, "created_at[gte]": first["created_at"]}
        while not progress.finished and time.monotonic() < deadline:
            statuses = await self._statuses(ours, since)
            progress = _count(len(ours), statuses)
            show(progress)
            await asyncio.sleep(0.25)
        return progress

    async def _statuses(self, ours: set[str], filters: dict[str, str]) -> list[str]:
        """The statuses of our messages, by walking the list with its cursor; others on the channel are passed over."""
        found: list[str] = []
        cursor: str | None = None
        while True:
            params = {**filters, "limit": str(_PAGE), **({"cursor": cursor} if cursor is not None else {})}
            page = await self._call("GET", "/v1/messages", params=params)
            found += [item["status"] for item in page["items"] if item["id"] in ours]
            cursor = page["next_cursor"]
            if cursor is None or len(found) == len(ours):
                return found

    async def _register(self, login: Login) -> bool:
        body = {"full_name": "Demo User", "account_name": "Demo account", **msgspec.to_builtins(login)}
        response = await self._request("POST", "/v1/auth/register", json=body)
        if response.status_code == httpx.codes.CONFLICT:
            return False
        _check(response)
        return True

    async def _log_in(self, login: Login) -> bool:
        response = await self._request("POST", "/v1/auth/login", json=msgspec.to_builtins(login))
        if response.status_code == httpx.codes.UNAUTHORIZED:
            return False
        self._client.headers["Authorization"] = f"Bearer {_check(response)['access_token']}"
        return True

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST with an idempotency key, as careful clients do."""
        return await self._call("POST", path, json=body, headers={"Idempotency-Key": secrets.token_hex(16)})

    async def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        return _check(await self._request(method, path, **options))

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return await self._client.request(method, path, **options)
        except httpx.HTTPError as error:
            raise LocalError(
                f"{method} {path}: no answer from the API ({type(error).__name__} {error}). "
                f"See {self._installation.root}/log/api.log."
            ) from error


def _check(response: httpx.Response) -> dict[str, Any]:
    """The body of a good answer; raises `LocalError` with the problem document of another one."""
    if response.is_success:
        return msgspec.json.decode(response.content, type=dict[str, Any])
    request = response.request
    raise LocalError(f"{request.method} {request.url.path} answered {response.status_code}: {response.text[:2000]}")


def _message(number: int, text: str, channel_id: str) -> dict[str, str]:
    """A message to one of 10,000 numbers of an Ethiopian mobile range."""
    return {"channel_id": channel_id, "to": f"+25191100{number:04}", "text": text}


def _count(accepted: int, statuses: Iterable[str]) -> Progress:
    by_status = Counter(statuses)
    delivered = sum(by_status[status] for status in _ARRIVED)
    others = {status: by_status[status] for status in sorted(_FINAL - _ARRIVED) if by_status[status]}
    return Progress(accepted=accepted, sent=delivered + by_status["sent"], delivered=delivered, others=others)
