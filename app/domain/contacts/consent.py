"""What new addresses of contacts are opted out of: contacts hold a copy, for filters."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.stores.contract import AddressKey
from app.domain.opt_outs.classes import Address, ChannelClass
from app.domain.opt_outs.lookup import opted_out, topics_of


async def consent_of(
    session: AsyncSession, account_id: UUID, keys: Collection[AddressKey]
) -> dict[AddressKey, tuple[str, ...]]:
    """The topics that addresses are opted out of, as `Address.opted_out`; those without any are left out.

    Nobody's consent changes in the account until the transaction ends, so that the copy is true when it is stored. To
    be asked before a contact is written: an opt-out holds its account first and contacts then.
    """
    addresses: dict[Address, AddressKey] = {(ChannelClass(key.type.channel_class), key.value): key for key in keys}
    if not addresses:
        return {}
    await opted_out(session, account_id, list(addresses), None)
    topics = await topics_of(session, account_id, addresses)
    return {addresses[address]: tuple(sorted(topic.value for topic in found)) for address, found in topics.items()}
