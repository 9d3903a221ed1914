"""The statements on API keys. Nothing here commits."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.models import Account, ApiKey, Role

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
        below = and_(Account.path.contains([ApiKey.account_id]), granted.contains(_INHERITED))
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
