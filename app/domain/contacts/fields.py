"""What contacts can be filtered by: their own fields, their addresses, and the attributes an account has defined."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from app.domain.contacts.stores.contract import AddressType, ContactStatus
from app.lib.filters import Expression, FilterField, Kind, resolve


class AttributeType(StrEnum):
    """The type of a custom attribute; `list` is a set of texts."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    LIST = "list"

    @property
    def kind(self) -> Kind:
        """How values of the type are filtered."""
        return Kind.TEXTS if self is AttributeType.LIST else Kind(self.value)


ATTRIBUTE_PREFIX = "attributes."

CONTACT_FIELDS: dict[str, FilterField] = {
    "id": FilterField(Kind.UUID),
    "first_name": FilterField(Kind.TEXT),
    "last_name": FilterField(Kind.TEXT),
    "language": FilterField(Kind.TEXT),
    "timezone": FilterField(Kind.TEXT),
    "status": FilterField(Kind.CHOICE, tuple(ContactStatus)),
    "notes": FilterField(Kind.TEXT),
    **{kind.value: FilterField(Kind.VALUES) for kind in AddressType},
    "tags": FilterField(Kind.TEXTS),
    "groups": FilterField(Kind.IDS),
    # `sms`, or `sms:marketing` for one topic.
    "opted_out": FilterField(Kind.TEXTS),
    "created_at": FilterField(Kind.DATETIME),
    "updated_at": FilterField(Kind.DATETIME),
    # "Has replied within" and "was sent": `{"field": "last_inbound_at", "op": "gte", "value": "now-7d"}`.
    "last_inbound_at": FilterField(Kind.DATETIME),
    "last_outbound_at": FilterField(Kind.DATETIME),
}
"""The fields every contact has."""


def fields_with(attributes: Mapping[str, AttributeType]) -> dict[str, FilterField]:
    """All fields in an account that has defined these attributes, by key."""
    return CONTACT_FIELDS | {f"{ATTRIBUTE_PREFIX}{key}": FilterField(kind.kind) for key, kind in attributes.items()}


def at(expression: Expression, attributes: Mapping[str, AttributeType], now: datetime) -> Expression:
    """The expression with relative moments counted from `now`: what a store takes."""
    return resolve(expression, fields_with(attributes), now)


def fold(text: str) -> str:
    """A text as it is compared without regard to case (`contains`, `startswith`).

    Each character by itself and as one character, which is what every store can do: `ß` stays, whatever `SS` would be,
    and a `Σ` at the end of a word is the same as any other.
    """
    if text.isascii():
        return text.lower()
    # The one character whose lower case is two.
    return "".join(map(str.lower, text.replace("\u0130", "i")))
