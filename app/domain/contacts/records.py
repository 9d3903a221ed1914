"""The tables of definitions, which are in PostgreSQL wherever contacts are: groups, segments, attributes."""

from datetime import datetime
from typing import Any

from advanced_alchemy.types import DateTimeUTC
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.lib.db import AccountRecord


class ContactGroup(AccountRecord):
    """A static group. A deleted one is kept until nobody is in it any more."""

    __tablename__ = "contact_groups"

    name: Mapped[str]
    description: Mapped[str]
    deleted_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))


class Segment(AccountRecord):
    """A saved filter, as the JSON that was sent."""

    __tablename__ = "segments"

    name: Mapped[str]
    description: Mapped[str]
    filter: Mapped[Any] = mapped_column(JSONB)


class ContactAttribute(AccountRecord):
    """The definition of a custom attribute: values of `key` are of `type` (`AttributeType`)."""

    __tablename__ = "contact_attributes"

    key: Mapped[str]
    name: Mapped[str]
    type: Mapped[str]
