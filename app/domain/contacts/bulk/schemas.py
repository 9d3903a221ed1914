"""What goes in about changing many contacts at once."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from app.domain.contacts.schemas import Attributes, Filter, Tags
from app.domain.contacts.stores.contract import ContactStatus

MOST_IDS = 1_000

Action = Literal[
    "add_tags", "remove_tags", "add_to_group", "remove_from_group", "set_attributes", "set_status", "delete"
]


class BulkAction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be done with which contacts: those that match `filter`, or those of `ids`.

    `add_tags` and `remove_tags` need `tags`, `add_to_group` and `remove_from_group` need `group_id`, `set_attributes`
    needs `attributes` (null takes a value away), `set_status` needs `status`. Nothing else may be there.
    """

    action: Action
    filter: Filter | None = None
    ids: Annotated[list[UUID], Meta(min_length=1, max_length=MOST_IDS, description="Ids of contacts.")] | None = None
    tags: Tags | None = None
    group_id: UUID | None = None
    attributes: Attributes | None = None
    status: ContactStatus | None = None


class BulkSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A checked action, as the job keeps it. `asked_at`: what moments of the filter are relative to."""

    action: Action
    asked_at: datetime
    filter: dict[str, Any] | None = None
    ids: list[UUID] | None = None
    tags: list[str] = []
    group_id: UUID | None = None
    attributes: dict[str, Any] = {}
    status: ContactStatus | None = None


class BulkCounts(msgspec.Struct):
    """The result of the job: of the contacts that it met, how many were changed (or deleted), and were so already."""

    changed: int = 0
    unchanged: int = 0
