"""Making and ending API keys. Nothing here commits: the unit of work does."""

import ipaddress
from collections.abc import Collection, Sequence
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.api_keys.repository import ApiKeyRepository
from app.domain.identity.api_keys.schemas import ApiKeyCreate, ApiKeyOut, NewApiKey, api_key_out
from app.domain.identity.api_keys.secrets import SHOWN_CHARACTERS, new_secret, secret_hash
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.events import announce_change
from app.domain.identity.models import ApiKey, Role
from app.domain.identity.names import check_name
from app.domain.identity.roles.granting import check_permissions, check_within_own, role_to_give
from app.domain.identity.roles.repository import roles_by_id
from app.domain.identity.schemas import Caller
from app.lib.clock import Clock
from app.lib.db import Scope
from app.lib.errors import Conflict, FieldError, InvalidValue, NotFound
from app.lib.ids import NewId
from app.lib.pagination import ListQuery, Page
from app.lib.versions import check_version

MAX_KEYS = 200
"""How many keys one account may have, expired ones included."""


class ApiKeyService:
    """The API keys of the caller's active account, inside one unit of work.

    Methods raise `NotFound` for a key of another account as for none, `InvalidValue` with pointers into the body, and
    `PreconditionFailed` when `if_match` holds versions and none of them is the stored one.
    """

    def __init__(
        self, session: AsyncSession, caller: Caller, audit: AuditTrail, *, clock: Clock, new_id: NewId
    ) -> None:
        self._session = session
        self._caller = caller
        self._account_id = caller.account_id
        self._audit = audit
        self._clock = clock
        self._new_id = new_id
        self._keys = ApiKeyRepository(session, Scope(caller.account_id))

    async def page(self, query: ListQuery) -> Page[ApiKeyOut]:
        """One page of the keys."""
        page = await self._keys.page(query)
        roles = await roles_by_id(self._session, {key.role_id for key in page.items if key.role_id is not None})
        return Page([api_key_out(key, _role_of(key, roles)) for key in page.items], page.next_cursor, page.total)

    async def get(self, key_id: UUID) -> ApiKeyOut:
        """One key."""
        return await self._shown(await self._find(key_id))

    async def create(self, data: ApiKeyCreate) -> NewApiKey:
        """A new key, within the caller's own permissions.

        Raises `Conflict` when the name is taken (`name_taken`) or the account has as many as it may (`too_many_keys`).
        """
        errors: list[FieldError] = []
        now = self._clock()
        name = check_name(data.name, "/name", errors)
        networks = _networks(data.allowed_networks, errors)
        if data.expires_at is not None and data.expires_at <= now:
            errors.append(FieldError("/expires_at", "in_the_past", "A key expires in the future, or never."))
        permissions = None if data.permissions is None else check_permissions(data.permissions, errors)
        if data.permissions is not None and (data.role is not None or data.role_id is not None):
            errors.append(FieldError("/permissions", "not_both", "A key has a role or permissions, not both."))
        if errors:
            raise InvalidValue.of(errors)
        role: Role | None = None
        if data.permissions is not None:
            check_within_own(self._caller, data.permissions)
        else:
            role = await role_to_give(self._session, self._caller, role=data.role, role_id=data.role_id)
        await self._keys.lock()
        if await self._keys.count() >= MAX_KEYS:
            raise Conflict(f"An account has at most {MAX_KEYS} API keys; delete some.", code="too_many_keys")
        secret = new_secret()
        key = ApiKey(
            id=self._new_id(),
            account_id=self._account_id,
            name=name,
            prefix=secret[:SHOWN_CHARACTERS],
            secret_hash=secret_hash(secret),
            role_id=None if role is None else role.id,
            permissions=permissions,
            allowed_networks=networks,
            expires_at=data.expires_at,
            last_used_at=None,
            last_used_ip=None,
            created_by=self._caller.user_id,
            created_at=now,
            updated_at=now,
        )
        await self._keys.add(key)
        shown = api_key_out(key, role)
        await self._audit.record(self._account_id, "created", "api_key", key.id, after=shown)
        return NewApiKey(**msgspec.structs.asdict(shown), secret=secret)

    async def delete(self, key_id: UUID, if_match: Collection[str] | None = None) -> None:
        """End the key: from the commit on it opens nothing, in any process."""
        key = await self._find(key_id, for_update=True)
        check_version(key.updated_at, if_match, "API key")
        before = await self._shown(key)
        await self._keys.delete(key)
        await self._audit.record(self._account_id, "deleted", "api_key", key.id, before=before)
        await announce_change(self._session)

    async def _find(self, key_id: UUID, *, for_update: bool = False) -> ApiKey:
        key = await self._keys.find(key_id, for_update=for_update)
        if key is None:
            raise NotFound("There is no such API key.")
        return key

    async def _shown(self, key: ApiKey) -> ApiKeyOut:
        roles = await roles_by_id(self._session, () if key.role_id is None else (key.role_id,))
        return api_key_out(key, _role_of(key, roles))


def _role_of(key: ApiKey, roles: dict[UUID, Role]) -> Role | None:
    return None if key.role_id is None else roles.get(key.role_id)


def _networks(given: Sequence[str], errors: list[FieldError]) -> list[str]:
    """The CIDRs in their canonical form, each once; adds an error for what is none."""
    networks: dict[str, None] = {}
    for index, text in enumerate(given):
        try:
            networks[str(_network(text.strip()))] = None
        except ValueError as error:
            errors.append(FieldError(f"/allowed_networks/{index}", "not_a_network", f"Not a network: {error}."))
    return list(networks)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    if "%" in text:
        raise ValueError(f"{text!r} names an interface")
    network = ipaddress.ip_network(text)
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
        # Clients that come in this way are known by their IPv4 address, so that it would never match.
        raise ValueError(f"{text!r} is of IPv4 addresses: write it without ::ffff:")
    return network
