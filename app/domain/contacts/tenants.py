"""What contacts need to know of the account they belong to."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.accounts.settings import sending_defaults
from app.domain.identity.models import Account


async def default_country(session: AsyncSession, account_id: UUID) -> str | None:
    """The country (ISO 3166-1) of phone numbers without a plus; None when the account has not set one."""
    settings = await session.scalar(select(Account.settings).where(Account.id == account_id))
    return None if settings is None else sending_defaults(settings).country
