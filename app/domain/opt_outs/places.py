"""What there is to know about the channel and the account that an address has to do with."""

from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.channels.models import Channel
from app.domain.identity.accounts.settings import stored_settings
from app.domain.identity.models import Account
from app.domain.opt_outs.classes import ChannelClass, class_of
from app.lib.db import Scope


class Tenant(msgspec.Struct, frozen=True):
    """Of an account: the country of its numbers (ISO 3166-1), its language (BCP 47), its own sender, and whether
    nothing is sent for it now.
    """

    country: str | None
    language: str | None
    sender: str | None
    suspended: bool


class Place(msgspec.Struct, frozen=True):
    """A channel, deleted ones too, with its account."""

    channel: Channel
    channel_class: ChannelClass
    tenant: Tenant


async def place_of(session: AsyncSession, account_id: UUID, channel_id: UUID) -> Place | None:
    """A channel of the account; None when there is none."""
    statement = Scope(account_id).select(Channel).where(Channel.id == channel_id)
    channel = (await session.execute(statement)).scalar_one_or_none()
    if channel is None:
        return None
    return Place(channel, class_of(channel.type), await tenant_of(session, account_id))


async def tenant_of(session: AsyncSession, account_id: UUID) -> Tenant:
    """What the account's settings say."""
    row = (
        await session.execute(select(Account.settings, Account.suspended).where(Account.id == account_id))
    ).one_or_none()
    if row is None:
        return Tenant(None, None, None, suspended=True)
    settings = stored_settings(row.settings)
    return Tenant(settings.default_country, settings.language, settings.default_from, row.suspended)


async def account_exists(session: AsyncSession, account_id: UUID) -> bool:
    """Whether the account is still there, in whatever state."""
    return (await session.execute(select(Account.id).where(Account.id == account_id))).first() is not None
