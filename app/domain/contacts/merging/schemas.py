"""What goes in and out about merges and duplicates."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from app.domain.contacts.merging.records import MergeState
from app.domain.contacts.schemas import ContactOut
from app.domain.contacts.stores.contract import AddressType
from app.domain.jobs.schemas import JobCreatorOut

MOST_MERGED = 10


class ContactMergeRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which contacts are to become one with the contact of the path."""

    contact_ids: Annotated[
        list[UUID], Meta(min_length=1, max_length=MOST_MERGED, description="Ids of contacts, each once.")
    ]


class MergedAddressOut(msgspec.Struct, frozen=True):
    """An address in its canonical form."""

    type: AddressType
    value: str


class MergedContactOut(msgspec.Struct, frozen=True, kw_only=True):
    """A contact as it was when it was merged."""

    id: UUID
    first_name: str | None
    last_name: str | None
    addresses: list[MergedAddressOut]
    created_at: datetime


class ContactMergeOut(msgspec.Struct, frozen=True, kw_only=True):
    """That contacts became one with `contact_id`.

    `contacts` are those that were merged, null once the merge cannot be undone any more: after `undo_until`, or because
    the person was erased. `state`: `running` and `undoing` are finished by themselves.
    """

    id: UUID
    account_id: UUID
    contact_id: UUID
    merged_ids: list[UUID]
    contacts: list[MergedContactOut] | None
    state: MergeState
    undo_until: datetime
    undone_at: datetime | None
    created_by: JobCreatorOut
    created_at: datetime
    updated_at: datetime


class DuplicateReason(StrEnum):
    """Why two contacts may be one person."""

    SAME_NUMBER = "same_number"
    SIMILAR_NUMBER = "similar_number"
    SAME_MAILBOX = "same_mailbox"
    SAME_NAME = "same_name"


class DuplicateOut(msgspec.Struct, frozen=True):
    """A contact that may be the same person; `score` is from 0 to 100, and says how likely."""

    contact: ContactOut
    score: Annotated[int, Meta(ge=0, le=100)]
    reasons: list[DuplicateReason]


class DuplicatesOut(msgspec.Struct, frozen=True):
    """The likely ones, the likeliest first; at most 50."""

    items: list[DuplicateOut]


class MergeTold(msgspec.Struct, frozen=True):
    """What the audit log says of a merge: who, not what they are like."""

    merge_id: UUID
    contact_ids: list[UUID]
