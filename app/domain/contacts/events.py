"""What happens to contacts, as events. They say which fields, not what is in them: people can ask to be forgotten."""

from collections.abc import Collection
from uuid import UUID

from app.domain.contacts.stores.contract import Contact
from app.domain.events.schemas import EventType, NewEvent

_FIELDS = (
    *("first_name", "last_name", "language", "timezone", "status", "notes"),
    *("addresses", "tags", "attributes", "groups"),
)


def changed_fields(before: Contact, after: Contact) -> list[str]:
    """The fields of a contact that differ."""
    return [name for name in _FIELDS if getattr(before, name) != getattr(after, name)]


def contact_created(contact: Contact) -> NewEvent:
    """A contact that is new."""
    fields = [name for name in _FIELDS if getattr(contact, name)]
    return _event(EventType.CONTACT_CREATED, contact.account_id, contact.id, fields)


def contact_updated(account_id: UUID, contact_id: UUID, fields: Collection[str]) -> NewEvent:
    """A contact of which these fields have changed."""
    return _event(EventType.CONTACT_UPDATED, account_id, contact_id, fields)


def _event(kind: EventType, account_id: UUID, contact_id: UUID, fields: Collection[str]) -> NewEvent:
    return NewEvent(account_id, kind, contact_id, {"contact_id": str(contact_id), "fields": list(fields)})
