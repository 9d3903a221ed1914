"""Channels that may share one operator login, and with it the sessions on which receipts arrive."""

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.channels.models import Channel
from app.lib.db import Scope


async def channels_of_same_operator(session: AsyncSession, scope: Scope, channel_id: UUID) -> list[UUID]:
    """The account's other channels, deleted ones too, of the same type that reach the operator at one of its addresses.

    Empty for channels that have no addresses. Logins are sealed and cannot be compared: who uses this needs further
    evidence.
    """
    table = Channel.__table__.c
    rows = await session.execute(scope.select(Channel).with_only_columns(table.id, table.type, table.config))
    found = {row.id: (row.type, _addresses(row.config)) for row in rows}
    if channel_id not in found:
        return []
    kind, addresses = found[channel_id]
    return sorted(
        identifier
        for identifier, (other_kind, others) in found.items()
        if identifier != channel_id and other_kind == kind and addresses & others
    )


def _addresses(config: dict[str, Any]) -> set[tuple[str, int]]:
    hosts = [*config.get("hosts", ()), *config.get("receiver_hosts", ())]
    return {(str(each["host"]).lower(), int(each["port"])) for each in hosts}
