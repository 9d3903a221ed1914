"""Tenants with real resources, made through the API: one maker for each kind of id that a path or a body can hold.

A new route with a new kind of id fails the contract tests until `MAKERS` has a maker for it.
"""

import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import text

from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.schemas import Origin
from app.domain.jobs.contract import JobFile
from app.domain.jobs.files import FileWriter
from app.domain.jobs.service import JobService
from app.lib.clock import utc_now
from app.lib.db import Database
from app.lib.ids import new_id
from tests.conftest import Registered, register

UUID_TEXT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Tenant:
    """An account of its own with an owner; `make` gives the id of a real resource of a kind, the same every time."""

    def __init__(self, client: httpx.AsyncClient, database: Database, owner: Registered) -> None:
        self.client = client
        self.database = database
        self.owner = owner
        self.headers: dict[str, str] = owner["headers"]
        self.account_id: str = owner["account"]["id"]
        self._made: dict[str, str] = {}

    async def make(self, name: str) -> str:
        """The id of a resource that an id called `name` means, e.g. `channel_id`."""
        if name not in self._made:
            maker = MAKERS.get(name)
            assert maker is not None, f"no maker for {name!r}: add one to MAKERS in tests/contract/makers.py"
            self._made[name] = await maker(self)
        return self._made[name]

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """What the owner's POST answers."""
        answer = await self.client.post(path, json=body, headers=self.headers)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    async def member(self, role: str) -> Registered:
        """A new user with this system role in the account, and nowhere else a member but in an account of their own."""
        user = await register(self.client)
        await self.join(user, self.account_id, role)
        user["headers"] = user["headers"] | {"X-Account-Id": self.account_id}
        return user

    async def join(self, user: Registered, account_id: str, role: str) -> None:
        """Make a user a member of an account."""
        async with self.database.unit_of_work() as session:
            await session.execute(
                text(
                    "INSERT INTO memberships (id, user_id, account_id, role_id) SELECT gen_random_uuid(),"
                    " CAST(:user AS uuid), CAST(:account AS uuid), id FROM roles"
                    " WHERE name = :role AND account_id IS NULL"
                ),
                {"user": user["user"]["id"], "account": account_id, "role": role},
            )

    async def filled(self, example: Any, name: str = "") -> Any:
        """An example with this tenant's own ids in the place of the invented ones, and names that are not taken."""
        if isinstance(example, dict):
            return {key: await self.filled(value, key) for key, value in example.items()}
        if isinstance(example, list):
            return [await self.filled(value, name) for value in example]
        if isinstance(example, str) and UUID_TEXT.fullmatch(example):
            return await self.make(name)
        if name in ("name", "system_id") and isinstance(example, str):
            return f"c{secrets.token_hex(5)}"
        return f"{secrets.token_hex(6)}@example.com" if name == "email" else example


async def _channel(tenant: Tenant) -> str:
    return str((await tenant.post("/v1/channels", {"name": secrets.token_hex(6), "type": "sandbox"}))["id"])


async def _message(tenant: Tenant) -> str:
    body = {"channel_id": await tenant.make("channel_id"), "to": "+251911000100", "text": "Hello"}
    return str((await tenant.post("/v1/messages", body))["id"])


async def _smpp_account(tenant: Tenant) -> str:
    token = secrets.token_hex(6)
    body = {"name": token, "system_id": token, "channel_id": await tenant.make("channel_id")}
    return str((await tenant.post("/v1/smpp-accounts", body))["id"])


async def _template(tenant: Tenant) -> str:
    body = {"name": secrets.token_hex(6), "body": "Hi {FIRST_NAME}, your code is {CODE}"}
    return str((await tenant.post("/v1/templates", body))["id"])


async def _group_message(tenant: Tenant) -> str:
    audience = {"addresses": ["+251911000100"]}
    body = {"name": "News", "channel_id": await tenant.make("channel_id"), "audience": audience, "text": "Hello"}
    return str((await tenant.post("/v1/group-messages", body))["id"])


async def _opt_out(tenant: Tenant) -> str:
    body = {"address": "+251911000198", "channel_class": "sms"}
    return str((await tenant.post("/v1/opt-outs", body))["id"])


async def _keywords(tenant: Tenant) -> str:
    body = {"action": "help", "words": [secrets.token_hex(6)], "language": "en", "reply": "This is DEMO."}
    return str((await tenant.post("/v1/opt-out-keywords", body))["id"])


async def _contact(tenant: Tenant) -> str:
    body = {"first_name": "Abebe", "tags": ["vip"], "phone": f"+2519{secrets.randbelow(10**8):08}"}
    return str((await tenant.post("/v1/contacts", body))["id"])


async def _merge(tenant: Tenant) -> str:
    kept, other = [(await tenant.post("/v1/contacts", {"first_name": name}))["id"] for name in ("Abebe", "Kebede")]
    await tenant.post(f"/v1/contacts/{kept}/merge", {"contact_ids": [other]})
    found = await tenant.client.get("/v1/contact-merges", params={"contact_id": kept}, headers=tenant.headers)
    return str(found.json()["items"][0]["id"])


async def _group(tenant: Tenant) -> str:
    return str((await tenant.post("/v1/contact-groups", {"name": secrets.token_hex(6)}))["id"])


async def _segment(tenant: Tenant) -> str:
    body = {"name": secrets.token_hex(6), "filter": {"field": "tags", "op": "contains", "value": "vip"}}
    return str((await tenant.post("/v1/segments", body))["id"])


async def _attribute(tenant: Tenant) -> str:
    body = {"key": f"a{secrets.token_hex(6)}", "type": "text"}
    return str((await tenant.post("/v1/contact-attributes", body))["id"])


async def _account(tenant: Tenant) -> str:
    return tenant.account_id


async def _role(tenant: Tenant) -> str:
    body = {"name": secrets.token_hex(6), "permissions": {"messages": ["read"]}}
    return str((await tenant.post("/v1/roles", body))["id"])


async def _key(tenant: Tenant) -> str:
    return str((await tenant.post("/v1/api-keys", {"name": secrets.token_hex(6), "role": "viewer"}))["id"])


async def _invitation(tenant: Tenant) -> str:
    body = {"email": f"{secrets.token_hex(6)}@example.com", "role": "viewer"}
    return str((await tenant.post("/v1/invitations", body))["id"])


async def _user(tenant: Tenant) -> str:
    return str((await tenant.member("viewer"))["user"]["id"])


async def _session(tenant: Tenant) -> str:
    answer = await tenant.client.get("/v1/users/me/sessions", headers=tenant.headers)
    return str(answer.json()["items"][0]["id"])


async def _job(tenant: Tenant) -> str:
    """Of a kind that no worker does, with both of its files."""
    account_id = UUID(tenant.account_id)
    async with tenant.database.unit_of_work() as session:
        audit = AuditTrail(session, None, Origin(), new_id)
        service = JobService(session, account_id, audit=audit, clock=utc_now, new_id=new_id)
        job = await service.create("tests.nothing", {})
        for name in (JobFile.ERRORS, JobFile.RESULT):
            writer = FileWriter(session, account_id, job.id, name)
            await writer.write(b"row,reason\r\n")
            await writer.flush()
    return str(job.id)


MAKERS: dict[str, Callable[[Tenant], Awaitable[str]]] = {
    "account_id": _account,
    "parent_id": _account,
    "default_account_id": _account,
    "channel_id": _channel,
    "message_id": _message,
    "smpp_account_id": _smpp_account,
    "contact_id": _contact,
    "contact_ids": _contact,
    "ids": _contact,
    "merge_id": _merge,
    "group_id": _group,
    "group_ids": _group,
    "groups": _group,
    "segment_id": _segment,
    "segment_ids": _segment,
    "attribute_id": _attribute,
    "template_id": _template,
    "group_message_id": _group_message,
    "opt_out_id": _opt_out,
    "keyword_id": _keywords,
    "role_id": _role,
    "key_id": _key,
    "invitation_id": _invitation,
    "user_id": _user,
    "session_id": _session,
    "job_id": _job,
}
"""By the name of the id: in a path, or of a field of a body."""
