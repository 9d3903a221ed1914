"""The statements on the table of channels."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.channels.models import Channel
from app.domain.channels.states import ChannelStatus
from app.lib.db import Scope, constraint_of
from app.lib.errors import Conflict
from app.lib.filters import FilterField, Kind
from app.lib.pagination import Listing, ListQuery, Page, Sort, fetch_page
from connectors.registry import connectors

LISTING = Listing(
    id_column=Channel.__table__.c.id,
    fields={
        "name": FilterField(Kind.TEXT),
        "type": FilterField(Kind.CHOICE, tuple(connector.type for connector in connectors())),
        "status": FilterField(Kind.CHOICE, tuple(ChannelStatus)),
        "created_at": FilterField(Kind.DATETIME),
    },
    columns={name: Channel.__table__.c[name] for name in ("name", "type", "status", "created_at")},
    sorts={"created_at": Sort(None, datetime), "name": Sort(Channel.__table__.c.name, str)},
)


class ChannelRepository:
    """The channels of one account that are not deleted."""

    def __init__(self, session: AsyncSession, scope: Scope) -> None:
        self._session = session
        self._scope = scope

    async def page(self, query: ListQuery) -> Page[Channel]:
        """One page of the list."""
        return await fetch_page(self._session, self._living(), LISTING, query)

    async def find(self, channel_id: UUID, *, for_update: bool = False) -> Channel | None:
        """One channel; `for_update` keeps other writers out until the transaction ends."""
        statement = self._living().where(Channel.id == channel_id)
        if for_update:
            statement = statement.with_for_update()
        return (await self._session.execute(statement)).scalar_one_or_none()

    async def add(self, channel: Channel) -> None:
        """Insert; raises `Conflict` when the account has a channel of that name."""
        self._session.add(channel)
        await self.save()

    async def save(self) -> None:
        """Write what changed; raises `Conflict` when another channel of the account has the name."""
        try:
            await self._session.flush()
        except IntegrityError as error:
            if constraint_of(error) == "uq_channels_account_id_name":
                raise Conflict("Another channel of this account has that name.", code="name_taken") from error
            raise

    def _living(self) -> Select[tuple[Channel]]:
        return self._scope.select(Channel).where(Channel.deleted_at.is_(None))
