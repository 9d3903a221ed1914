"""What goes in and out about groups, segments and the definitions of attributes."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.domain.contacts.evaluation import Explanation
from app.domain.contacts.fields import AttributeType
from app.domain.contacts.schemas import MAX_MEMBERS, AttributeKey, ContactOut, Filter

_DESCRIPTION = r"^[^\x00]*\Z"

Name = Annotated[
    str, Meta(min_length=1, max_length=200, pattern=r"^(?=.*\S)[^\x00-\x1f\x7f]*$(?!\n)", description="Unique name.")
]
Label = Annotated[
    str, Meta(min_length=1, max_length=200, pattern=r"^(?=.*\S)[^\x00-\x1f\x7f]*$(?!\n)", description="For people.")
]
Description = Annotated[str, Meta(max_length=2_000, pattern=_DESCRIPTION, description="What it is for.")]
ContactIds = Annotated[list[UUID], Meta(min_length=1, max_length=MAX_MEMBERS, description="Ids of contacts.")]


class ContactGroupCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new group, with nobody in it."""

    name: Name
    description: Description | None = None


class ContactGroupPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of what is sent. Null is read for the name, so that its refusal can say so."""

    name: Name | UnsetType | None = UNSET
    description: Description | UnsetType | None = UNSET


class ContactGroupOut(msgspec.Struct, frozen=True, kw_only=True):
    """A static group. `size` is how many contacts are in it."""

    id: UUID
    account_id: UUID
    name: str
    description: str | None
    size: int
    created_at: datetime
    updated_at: datetime


class GroupMembers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Contacts that join or leave a group."""

    contact_ids: ContactIds


class GroupMembersAdded(msgspec.Struct, frozen=True):
    """How many joined: those that were in the group already are not counted."""

    added: int


class GroupMembersRemoved(msgspec.Struct, frozen=True):
    """How many left: those that were not in the group are not counted."""

    removed: int


class SegmentCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A filter to be saved."""

    name: Name
    description: Description | None = None
    filter: Filter


class SegmentPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of what is sent; a filter is replaced whole."""

    name: Name | UnsetType | None = UNSET
    description: Description | UnsetType | None = UNSET
    filter: Filter | UnsetType | None = UNSET


class SegmentOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A saved filter. `count` is how many contacts match now; it is not in lists.

    `count` is null, and `problem` says why, when the filter names a group or an attribute that is gone.
    """

    id: UUID
    account_id: UUID
    name: str
    description: str | None
    filter: Filter
    count: int | UnsetType | None = UNSET
    problem: str | UnsetType = UNSET
    created_at: datetime
    updated_at: datetime


class SegmentPreviewRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A filter to be tried."""

    filter: Filter


class SegmentPreviewOut(msgspec.Struct, frozen=True):
    """How many contacts match now, and the newest ten of them."""

    count: int
    sample: list[ContactOut]


class SegmentExplainRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The contact that is asked about."""

    contact_id: UUID


class SegmentExplanation(msgspec.Struct, frozen=True):
    """Whether the contact is in the segment, and what each part of the filter says about it."""

    matches: bool
    explanation: Explanation


class ContactAttributeCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A custom attribute. `name` is the key when it is left out."""

    key: AttributeKey
    name: Label | None = None
    type: AttributeType


class ContactAttributePatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of the name; key and type stay. Null is read, so that its refusal can say so."""

    name: Label | UnsetType | None = UNSET


class ContactAttributeOut(msgspec.Struct, frozen=True, kw_only=True):
    """The definition of a custom attribute."""

    id: UUID
    account_id: UUID
    key: str
    name: str
    type: AttributeType
    created_at: datetime
    updated_at: datetime
