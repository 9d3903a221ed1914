"""Contacts as clients see them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.groups import living_groups
from app.domain.contacts.schemas import ContactAddressOut, ContactOut
from app.domain.contacts.stores.contract import AddressKey, AddressType, Contact, ContactStore


async def shown_contacts(session: AsyncSession, store: ContactStore, contacts: Sequence[Contact]) -> list[ContactOut]:
    """The contacts of one account, with when each of their addresses last wrote."""
    if not contacts:
        return []
    inbound: dict[UUID, dict[AddressKey, dict[UUID, datetime]]] = {}
    for each in await store.activity([contact.id for contact in contacts if contact.last_inbound_at is not None]):
        if each.last_inbound_at is not None:
            by_address = inbound.setdefault(each.contact_id, {})
            by_address.setdefault(each.address, {})[each.channel_id] = each.last_inbound_at
    named = {group_id for contact in contacts for group_id in contact.groups}
    # Members of a large group that was deleted are taken out of it one after the other.
    groups = await living_groups(session, contacts[0].account_id, named)
    return [_shown(contact, inbound.get(contact.id, {}), groups) for contact in contacts]


def _shown(contact: Contact, inbound: dict[AddressKey, dict[UUID, datetime]], groups: set[UUID]) -> ContactOut:
    first: dict[AddressType, str] = {}
    for address in contact.addresses:
        first.setdefault(address.type, address.value)
    return ContactOut(
        id=contact.id,
        account_id=contact.account_id,
        first_name=contact.first_name or None,
        last_name=contact.last_name or None,
        language=contact.language or None,
        timezone=contact.timezone or None,
        phone=first.get(AddressType.PHONE),
        email=first.get(AddressType.EMAIL),
        addresses=[
            ContactAddressOut(
                type=address.type,
                value=address.value,
                primary=first[address.type] == address.value,
                opted_out=address.opted_out,
                last_inbound=inbound.get(address.key, {}),
            )
            for address in contact.addresses
        ],
        tags=contact.tags,
        attributes=contact.attributes,
        groups=[group_id for group_id in contact.groups if group_id in groups],
        status=contact.status,
        notes=contact.notes or None,
        last_inbound_at=contact.last_inbound_at,
        last_outbound_at=contact.last_outbound_at,
        created_at=contact.created_at,
        updated_at=contact.updated_at,
    )
