"""What goes in and out about events."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec


class EventType(StrEnum):
    """`<what>.<happened>`. Readers ignore the ones they do not know: more will come."""

    CHANNEL_CONNECTED = "channel.connected"
    CHANNEL_DISCONNECTED = "channel.disconnected"
    CHANNEL_ERROR = "channel.error"
    GROUP_MESSAGE_AWAITING_APPROVAL = "group_message.awaiting_approval"
    GROUP_MESSAGE_REJECTED = "group_message.rejected"
    GROUP_MESSAGE_STARTED = "group_message.started"
    GROUP_MESSAGE_PROGRESS = "group_message.progress"
    GROUP_MESSAGE_PAUSED = "group_message.paused"
    GROUP_MESSAGE_COMPLETED = "group_message.completed"
    CONTACT_CREATED = "contact.created"
    CONTACT_UPDATED = "contact.updated"
    CONTACT_OPTED_OUT = "contact.opted_out"
    CONTACT_OPTED_IN = "contact.opted_in"


class NewEvent(msgspec.Struct, frozen=True):
    """An event that is to be written. `data` is JSON."""

    account_id: UUID
    type: EventType
    subject_id: UUID
    data: dict[str, Any]


class EventOut(msgspec.Struct, frozen=True, kw_only=True):
    """An event as clients see it. `subject_id` is the resource it happened to, e.g. a channel; `data` says what.

    Events never change: `updated_at` is `created_at`.
    """

    id: UUID
    account_id: UUID
    type: str
    subject_id: UUID
    data: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class Feed(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of the feed. `next_cursor` is null at its end, for now; `resume_cursor` goes on there later.

    `resume_cursor` is null only while there never was an event to go on after.
    """

    items: list[EventOut]
    next_cursor: str | None
    resume_cursor: str | None
    total: int | msgspec.UnsetType = msgspec.UNSET
