"""The statements on API keys. Nothing here commits."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, any_, func, or_, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.models import Account, ApiKey, Role
from app.lib.db import Scope, constraint_of
from app.lib.errors import Conflict
from app.lib.filters import FilterField, Kind
from app.lib.pagination import Listing, ListQuery, Page, Sort, fetch_page

_TABLE = ApiKey.__table__

LISTING = Listing(
    id_column=_TABLE.c.id,
    fields={
        "name": FilterField(Kind.TEXT),
        "prefix": FilterField(Kind.TEXT),
        "role_id": FilterField(Kind.UUID),
        "created_by": FilterField(Kind.UUID),
        "expires_at": FilterField(Kind.DATETIME),
        "last_used_at": FilterField(Kind.DATETIME),
        "created_at": FilterField(Kind.DATETIME),
    },
    columns={
        name: _TABLE.c[name]
        for name in ("name", "prefix", "role_id", "created_by", "expires_at", "last_used_at", "created_at")
    },
    sorts={"created_at": Sort(None, datetime), "name": Sort(_TABLE.c.name, str)},
)

_INHERITED: dict[str, Any] = {"sub_accounts": ["access"]}


async def find_key(
    session: AsyncSession, digest: bytes, account_id: UUID | None
) -> tuple[ApiKey, Account | None, Role | None] | None:
    """The key with this digest, the account it is used in, and its role if it has one; None for an unknown key.

    The account is the key's own, or the one asked for where that lies below it and the key has `sub_accounts:access`;
    None when it may not be used there. Not scoped to an account: who is asking is what is being found out.
    """
    granted = func.coalesce(ApiKey.permissions, Role.permissions)
    reachable = Account.id == ApiKey.account_id
    if account_id is not None:
        below = and_(ApiKey.account_id == any_(Account.path), granted.contains(_INHERITED))
        reachable = and_(Account.id == account_id, or_(reachable, below))
    statement = (
        select(ApiKey, Account, Role)
        .outerjoin(Role, Role.id == ApiKey.role_id)
        .outerjoin(Account, reachable)
        .where(ApiKey.secret_hash == digest)
    )
    row = (await session.execute(statement)).one_or_none()
    return None if row is None else (row[0], row[1], row[2])


_RECORD_USE = text(
    """
    UPDATE api_keys k SET last_used_at = x.at, last_used_ip = x.ip
    FROM unnest(CAST(:ids AS uuid[]), CAST(:at AS timestamptz[]), CAST(:ips AS text[])) AS x(id, at, ip)
    WHERE k.id = x.id AND (k.last_used_at IS NULL OR k.last_used_at < x.at)
    """
)


async def record_use(session: AsyncSession, uses: Mapping[UUID, tuple[datetime, str | None]]) -> None:
    """Write down when, and from which address, keys were used last; the version of a key does not change by it."""
    await session.execute(
        _RECORD_USE,
        {
            "ids": list(uses),
            "at": [at for at, _ in uses.values()],
            "ips": [ip for _, ip in uses.values()],
        },
    )


class ApiKeyRepository:
    """The API keys of one account."""

    def __init__(self, session: AsyncSession, scope: Scope) -> None:
        self._session = session
        self._scope = scope

    async def page(self, query: ListQuery) -> Page[ApiKey]:
        """One page of the list."""
        return await fetch_page(self._session, self._scope.select(ApiKey), LISTING, query)

    async def find(self, key_id: UUID, *, for_update: bool = False) -> ApiKey | None:
        """One key; `for_update` keeps other writers out until the transaction ends."""
        statement = self._scope.select(ApiKey).where(ApiKey.id == key_id)
        if for_update:
            statement = statement.with_for_update()
        return (await self._session.execute(statement)).scalar_one_or_none()

    async def lock(self) -> None:
        """Let one transaction at a time make keys of the account, so that what it counts stays true."""
        await self._session.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended('api_keys:' || CAST(:account AS text), 0))"),
            {"account": str(self._scope.account_id)},
        )

    async def count(self) -> int:
        """How many keys the account has."""
        statement = select(func.count()).where(self._scope.owns(ApiKey))
        return await self._session.scalar(statement) or 0

    async def add(self, key: ApiKey) -> None:
        """Insert; raises `Conflict` (`name_taken`) when the account has a key of that name."""
        self._session.add(key)
        try:
            await self._session.flush()
        except IntegrityError as error:
            if constraint_of(error) == "uq_api_keys_account_id_name":
                raise Conflict("Another API key of this account has that name.", code="name_taken") from error
            raise

    async def delete(self, key: ApiKey) -> None:
        """Delete; the row must be of this account."""
        await self._session.execute(self._scope.delete(ApiKey).where(ApiKey.id == key.id))
