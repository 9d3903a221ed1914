"""What daemons see of the SMPP accounts, of every tenant: each record carries the account it belongs to."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Row, text

from app.domain.smpp_accounts.events import SMPP_ACCOUNT_CHANGED
from app.domain.smpp_accounts.networks import Network, parse_network
from app.domain.smpp_accounts.schemas import BindSettings
from app.lib.db import Database
from app.lib.listen import listen
from app.lib.logging import get_logger

log = get_logger(__name__)


class SmppAccountRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An account as the server uses it. `enabled` is false as well while its tenant is suspended.

    `version` changes whenever the owner changed anything.
    """

    id: UUID
    account_id: UUID
    channel_id: UUID
    name: str
    system_id: str
    password_hash: str
    enabled: bool
    networks: tuple[Network, ...]
    settings: BindSettings
    version: datetime

    def __repr__(self) -> str:
        return f"<SmppAccountRecord {self.system_id!r}>"


_COLUMNS = """
    SELECT s.id, s.account_id, s.channel_id, s.name, s.system_id, s.password_hash, s.settings, s.updated_at,
           s.enabled AND NOT a.suspended AS enabled
    FROM smpp_accounts s JOIN accounts a ON a.id = s.account_id
"""
_FIND = text(f"{_COLUMNS} WHERE s.system_id = :system_id")
_READ = text(f"{_COLUMNS} WHERE s.id = ANY(CAST(:ids AS uuid[]))")
_TOUCH = text("UPDATE smpp_accounts SET last_bound_at = now() WHERE id = ANY(CAST(:ids AS uuid[]))")


class SmppAccountDirectory:
    """Reads accounts for one process, always fresh: binds are rare, and what is bound keeps its record.

    All methods raise `Unavailable`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, system_id: str) -> SmppAccountRecord | None:
        """The account that binds with this system_id."""
        if "\0" in system_id:
            return None
        async with self._database.reading() as session:
            row = (await session.execute(_FIND, {"system_id": system_id})).one_or_none()
        return None if row is None else _record(row)

    async def read(self, ids: Iterable[UUID]) -> dict[UUID, SmppAccountRecord]:
        """Those of the accounts that there still are."""
        async with self._database.reading() as session:
            rows = (await session.execute(_READ, {"ids": list(ids)})).all()
        return {record.id: record for record in map(_record, rows) if record is not None}

    async def touch(self, ids: Iterable[UUID]) -> None:
        """These accounts are bound now."""
        async with self._database.unit_of_work() as session:
            await session.execute(_TOUCH, {"ids": list(ids)})

    async def listen(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever an account may have changed, until cancelled."""
        await listen(self._database, SMPP_ACCOUNT_CHANGED, lambda _: changed())


def _record(row: Row[Any]) -> SmppAccountRecord | None:
    try:
        settings = msgspec.convert(row.settings, BindSettings)
        networks = tuple(parse_network(each) for each in settings.allowed_networks)
    except (msgspec.ValidationError, ValueError) as error:
        log.error("SMPP account left out", smpp_account_id=str(row.id), reason=str(error))
        return None
    return SmppAccountRecord(
        id=row.id,
        account_id=row.account_id,
        channel_id=row.channel_id,
        name=row.name,
        system_id=row.system_id,
        password_hash=row.password_hash,
        enabled=row.enabled,
        networks=networks,
        settings=settings,
        version=row.updated_at,
    )
