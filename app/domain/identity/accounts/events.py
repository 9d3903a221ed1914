"""Who learns that an account was suspended, opened or set differently: API processes, senders, SMPP servers."""

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.channels.events import announce_all
from app.domain.identity.events import announce_change
from app.domain.smpp_accounts.events import announce_all as announce_all_smpp_accounts


async def announce_suspension(session: AsyncSession) -> None:
    """Tell everybody, when the transaction commits, that accounts were suspended, opened or removed."""
    await announce_change(session)
    await announce_all(session)
    await announce_all_smpp_accounts(session)


async def announce_defaults(session: AsyncSession) -> None:
    """Tell all senders, when the transaction commits, that an account sends with other defaults."""
    await announce_all(session)
