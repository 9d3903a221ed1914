"""A contact as templates see it."""

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.merging.aliases import current_ids
from app.domain.contacts.stores.contract import AddressType, Contact, ContactStore, Recipient


async def stored_values(
    session: AsyncSession, store: ContactStore, account_id: UUID, contact_id: UUID
) -> dict[str, Any] | None:
    """The `template_values` of a stored contact, also by an id that it had before it was merged; None for nobody's."""
    wanted = (await current_ids(session, account_id, [contact_id])).get(contact_id, contact_id)
    found = (await store.get([wanted])).get(wanted)
    return None if found is None else template_values(found)


def template_values(contact: Contact | Recipient) -> dict[str, Any]:
    """What of a contact a text can name (`app.domain.templates.rendering.CONTACT_FIELDS`), by its lower-case names."""
    phone = email = ""
    for address in contact.addresses:
        if address.type is AddressType.PHONE:
            phone = phone or address.value
        elif address.type is AddressType.EMAIL:
            email = email or address.value
    return {
        "first_name": contact.first_name,
        "last_name": contact.last_name,
        "phone": phone,
        "email": email,
        "language": contact.language,
        "timezone": contact.timezone,
        "attributes": contact.attributes,
    }
