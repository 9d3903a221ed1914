"""The statements on the table of SMPP accounts."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.smpp_accounts.models import SmppAccount
from app.lib.db import Scope, constraint_of
from app.lib.errors import Conflict
from app.lib.filters import FilterField, Kind
from app.lib.pagination import Listing, ListQuery, Page, Sort, fetch_page

_FIELDS = {
    "name": FilterField(Kind.TEXT),
    "system_id": FilterField(Kind.TEXT),
    "channel_id": FilterField(Kind.UUID),
    "created_at": FilterField(Kind.DATETIME),
}

LISTING = Listing(
    id_column=SmppAccount.__table__.c.id,
    fields=_FIELDS,
    columns={name: SmppAccount.__table__.c[name] for name in _FIELDS},
    sorts={"created_at": Sort(None, datetime), "name": Sort(SmppAccount.__table__.c.name, str)},
)

_TAKEN = {
    "uq_smpp_accounts_system_id": ("system_id_taken", "That system_id is taken; choose another one."),
    "uq_smpp_accounts_account_id_name": ("name_taken", "Another SMPP account of this account has that name."),
}


class SmppAccountRepository:
    """The SMPP accounts of one account."""

    def __init__(self, session: AsyncSession, scope: Scope) -> None:
        self._session = session
        self._scope = scope

    async def page(self, query: ListQuery) -> Page[SmppAccount]:
        """One page of the list."""
        return await fetch_page(self._session, self._scope.select(SmppAccount), LISTING, query)

    async def find(self, smpp_account_id: UUID, *, for_update: bool = False) -> SmppAccount | None:
        """One account; `for_update` keeps other writers out until the transaction ends."""
        statement = self._scope.select(SmppAccount).where(SmppAccount.id == smpp_account_id)
        if for_update:
            statement = statement.with_for_update()
        return (await self._session.execute(statement)).scalar_one_or_none()

    async def add(self, account: SmppAccount) -> None:
        """Insert; raises `Conflict` when the name or the system_id is taken."""
        self._session.add(account)
        await self.save()

    async def save(self) -> None:
        """Write what changed; raises `Conflict` when the name or the system_id is taken."""
        try:
            await self._session.flush()
        except IntegrityError as error:
            taken = _TAKEN.get(constraint_of(error) or "")
            if taken is not None:
                raise Conflict(taken[1], code=taken[0]) from error
            raise

    async def remove(self, account: SmppAccount) -> None:
        """Delete the row."""
        await self._session.delete(account)
        await self._session.flush()
