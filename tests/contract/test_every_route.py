"""Who may what, on every route there is: the document names the routes, so that no new one is forgotten.

Every answer is also held against the document by the client (`described`).
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.api.guards import requires, requires_in_target
from app.api.openapi import Operation
from app.domain.identity.keys import SigningKeys
from app.domain.identity.permissions import NAMES, SYSTEM_ROLES, flatten
from app.lib.crypto import Envelope
from app.lib.db import Database
from tests.conftest import register
from tests.contract.described import Described
from tests.contract.makers import UUID_TEXT, Tenant

Example = dict[str, Any]

SELF_OR_ANY = {"self", "any"}
ANSWERED_PER_ITEM = {"SendMessageBatch"}
"""Operations that answer 200 with a problem for each item that is wrong."""

REFUSALS = {"SuspendAccount": "parent_required", "ResumeAccount": "parent_required"}
"""How operations refuse that are about one account and need a role in another one."""


@pytest.fixture(scope="module")
async def ours(described: httpx.AsyncClient, database: Database) -> AsyncIterator[Tenant]:
    yield Tenant(described, database, await register(described))


@pytest.fixture(scope="module")
async def theirs(described: httpx.AsyncClient, database: Database) -> AsyncIterator[Tenant]:
    yield Tenant(described, database, await register(described))


class Requests:
    """Makes requests of operations, with the examples of the document as bodies."""

    def __init__(self, document: Example) -> None:
        self._described = Described(document)
        self._paths = document["paths"]

    def examples(self, operation: Operation) -> list[Example]:
        """The bodies the document shows for an operation."""
        described = self._paths[operation.path][operation.method.lower()]
        content = described.get("requestBody", {}).get("content", {})
        schemas = [part for media in content.values() for part in media["schema"].get("anyOf", [media["schema"]])]
        return [example for schema in schemas for example in self._described.resolve(schema).get("examples", ())]

    async def send(
        self, client: httpx.AsyncClient, operation: Operation, ids: dict[str, str], body: Any, headers: dict[str, str]
    ) -> httpx.Response:
        """Call an operation."""
        path = operation.path.format(**ids)
        return await client.request(operation.method, path, json=body, headers=headers)


@pytest.fixture(scope="module")
def requests(document: Example) -> Requests:
    return Requests(document)


def test_every_route_says_what_it_demands(found: list[Operation]) -> None:
    wrong = [
        f"{each.method} {each.path} needs guards=[requires(…)], or opt public"
        for each in found
        if not each.public and each.permission not in NAMES | SELF_OR_ANY
    ]
    wrong += [f"{each.method} {each.path} is public and has a guard" for each in found if each.public and each.guard]
    assert not wrong, "\n".join(wrong)


def b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


async def bad_tokens(tenant: Tenant, envelope: Envelope) -> dict[str, str | None]:
    """Every way of not being anybody."""
    good = tenant.owner["tokens"]["access_token"]
    header, payload, signature = good.split(".")
    keys = SigningKeys(tenant.database, envelope, token_seconds=900)
    await keys.start()
    key = await keys.signing()
    claims = jwt.decode(good, options={"verify_signature": False})

    def signed(**changes: Any) -> str:
        return jwt.encode(claims | changes, key.private, algorithm="RS256", headers={"kid": key.kid})

    def headed(algorithm: str) -> str:
        return f"{b64(json.dumps({'alg': algorithm, 'kid': key.kid, 'typ': 'JWT'}).encode())}.{payload}"

    public = key.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    stranger = generate_private_key(65537, 2048)
    other = {**json.loads(base64.urlsafe_b64decode(payload + "==")), "sub": str(uuid4())}

    logged_out = (await tenant.client.post("/v1/auth/login", json=tenant.owner["credentials"])).json()
    ended = await tenant.client.post("/v1/auth/logout", json={"refresh_token": logged_out["refresh_token"]})
    assert ended.status_code == 204
    made = await tenant.post("/v1/api-keys", {"name": secrets.token_hex(6), "role": "owner"})
    deleted = await tenant.client.delete(f"/v1/api-keys/{made['id']}", headers=tenant.headers)
    assert deleted.status_code == 204
    assert (await tenant.client.get("/v1/context", headers=tenant.headers)).status_code == 200
    assert (await tenant.client.get("/v1/context", headers=bearer(signed()))).status_code == 200
    return {
        "no token": None,
        "expired": signed(iat=int(time.time()) - 1000, exp=int(time.time()) - 1),
        "another issuer": signed(iss="http://elsewhere.test"),
        "another audience": signed(aud="elsewhere"),
        "signed by a stranger": jwt.encode(claims, stranger, algorithm="RS256", headers={"kid": key.kid}),
        "alg none": f"{headed('none')}.",
        "our public key as a secret": f"{headed('HS256')}."
        + b64(hmac.new(public, headed("HS256").encode(), hashlib.sha256).digest()),
        "tampered": f"{header}.{b64(json.dumps(other).encode())}.{signature}",
        "logged out": logged_out["access_token"],
        "refresh token": tenant.owner["tokens"]["refresh_token"],
        "deleted API key": made["secret"],
        "invented API key": "tk_" + secrets.token_urlsafe(32),
    }


def bearer(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


@pytest.mark.timeout(300)
async def test_without_a_good_token_everything_is_401(
    ours: Tenant, envelope: Envelope, found: list[Operation], requests: Requests
) -> None:
    wrong = []
    for name, token in (await bad_tokens(ours, envelope)).items():
        for each in found:
            if each.public:
                continue
            ids = {identifier: str(uuid4()) for identifier in each.identifiers}
            body = next(iter(requests.examples(each)), None)
            answer = await requests.send(ours.client, each, ids, body, bearer(token))
            if answer.status_code != 401:
                wrong.append(f"{each.id} with {name}: {answer.status_code} {answer.text}")
    assert not wrong, "\n".join(wrong)


async def test_an_account_one_does_not_belong_to_is_403(
    ours: Tenant, theirs: Tenant, found: list[Operation], requests: Requests
) -> None:
    headers = ours.headers | {"X-Account-Id": theirs.account_id}
    wrong = []
    for each in found:
        if each.public:
            continue
        ids = {identifier: await theirs.make(identifier) for identifier in each.identifiers}
        answer = await requests.send(ours.client, each, ids, next(iter(requests.examples(each)), None), headers)
        if (answer.status_code, answer.json().get("code")) != (403, "not_a_member"):
            wrong.append(f"{each.id}: {answer.status_code} {answer.text}")
    assert not wrong, "\n".join(wrong)


async def test_what_belongs_to_another_tenant_is_404(
    ours: Tenant, theirs: Tenant, found: list[Operation], requests: Requests
) -> None:
    wrong = []
    for each in found:
        if each.public:
            continue
        for foreign in each.identifiers:
            ids = {name: await (theirs if name == foreign else ours).make(name) for name in each.identifiers}
            body = next(iter([await ours.filled(example) for example in requests.examples(each)]), None)
            for headers in (ours.headers, ours.headers | {"If-Match": '"1"'}):
                answer = await requests.send(ours.client, each, ids, body, headers)
                if answer.status_code != 404:
                    wrong.append(f"{each.id} with their {foreign}: {answer.status_code} {answer.text}")
    assert not wrong, "\n".join(wrong)


def uuids(value: Any, pointer: str = "") -> Iterator[tuple[str, str]]:
    """Every id in a body: its pointer and its name."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in pairs:
            yield from uuids(inner, f"{pointer}/{key}")
    elif isinstance(value, str) and UUID_TEXT.fullmatch(value):
        yield pointer, next(step for step in reversed(pointer.split("/")) if not step.isdigit())


def replaced(body: Any, pointer: str, value: str) -> Any:
    """A copy of `body` with another value at `pointer`."""
    copy: Any = json.loads(json.dumps(body))
    *way, last = pointer.strip("/").split("/")
    inner = copy
    for step in way:
        inner = inner[int(step)] if isinstance(inner, list) else inner[step]
    inner[int(last) if isinstance(inner, list) else last] = value
    return copy


def uuid_fields(schema: Example) -> set[str]:
    """The fields of a body that hold ids."""
    return {
        name
        for name, field in schema.get("properties", {}).items()
        if any(part.get("format") == "uuid" for part in field.get("anyOf", [field]))
    }


async def test_ids_of_another_tenant_in_a_body_are_422(
    ours: Tenant, theirs: Tenant, found: list[Operation], requests: Requests, document: Example
) -> None:
    described, wrong = Described(document), []
    for each in found:
        if each.public or each.body is None:
            continue
        schema = document["paths"][each.path][each.method.lower()]["requestBody"]["content"]["application/json"]
        tried = set()
        for example in requests.examples(each):
            for pointer, name in uuids(example):
                tried.add(name)
                ids = {identifier: await ours.make(identifier) for identifier in each.identifiers}
                body = replaced(await ours.filled(example), pointer, await theirs.make(name))
                answer = await requests.send(ours.client, each, ids, body, ours.headers)
                document_ = answer.json() if answer.content else {}
                if each.id in ANSWERED_PER_ITEM:
                    item = document_["items"][int(pointer.split("/")[2])]
                    document_, pointer = item.get("problem", {}), "/" + "/".join(pointer.split("/")[3:])
                errors = [(error["pointer"], error["code"]) for error in document_.get("errors", ())]
                if document_.get("status") != 422 or (pointer, "not_found") not in errors:
                    wrong.append(f"{each.id} with their {pointer}: {answer.status_code} {answer.text}")
        missing = uuid_fields(described.resolve(schema["schema"])) - tried
        if missing:
            wrong.append(f"{each.id}: no example of its body in app/api/examples.py has {sorted(missing)}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("role", SYSTEM_ROLES, ids=lambda role: role.name)
async def test_each_role_may_what_it_says_and_nothing_else(
    role: Any, described: httpx.AsyncClient, database: Database, found: list[Operation], requests: Requests
) -> None:
    tenant = Tenant(described, database, await register(described))
    member = await tenant.member(role.name)
    allowed = flatten(role.permissions)
    wrong = []
    for each in found:
        if each.public:
            continue
        ids = {name: str(uuid4()) for name in each.identifiers}
        if isinstance(each.guard, requires_in_target):
            # An account of its own for each: some of these operations end it.
            below = await tenant.post("/v1/accounts", {"name": "Below", "parent_id": tenant.account_id})
            await tenant.join(member, below["id"], role.name)
            ids["account_id"] = below["id"]
        body = next(iter([await tenant.filled(example) for example in requests.examples(each)]), None)
        answer = await requests.send(described, each, ids, body, member["headers"])
        refused = answer.status_code == 403 and answer.json()["code"] == REFUSALS.get(each.id, "missing_permission")
        may = each.permission in allowed | SELF_OR_ANY
        if refused == may or (answer.status_code == 403 and may and isinstance(each.guard, requires)):
            wrong.append(f"{each.id} ({each.permission}) as {role.name}: {answer.status_code} {answer.text}")
    assert not wrong, "\n".join(wrong)


async def test_api_keys_are_refused_where_a_person_is_needed(
    ours: Tenant, found: list[Operation], requests: Requests
) -> None:
    key = await ours.post("/v1/api-keys", {"name": secrets.token_hex(6), "role": "owner"})
    wrong = []
    for each in found:
        if each.public or isinstance(each.guard, requires_in_target):
            continue
        ids = {name: str(uuid4()) for name in each.identifiers}
        body = next(iter([await ours.filled(example) for example in requests.examples(each)]), None)
        answer = await requests.send(ours.client, each, ids, body, bearer(key["secret"]))
        refused = answer.status_code == 403 and answer.json()["code"] == "user_required"
        if refused != (each.permission == "self"):
            wrong.append(f"{each.id}: {answer.status_code} {answer.text}")
    assert not wrong, "\n".join(wrong)
