"""What goes in and out about group messages."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.domain.group_messages.approval import ApprovalState
from app.domain.group_messages.states import GroupStatus
from app.domain.identity.accounts.settings import QuietHours
from app.domain.identity.audit.schemas import ActorOut
from app.domain.messages.schemas import MAX_TEXT, MAX_VALIDITY, MessageFailure
from app.domain.opt_outs.classes import MessageTopic
from app.domain.templates.content import TemplateFallback

MAX_NAMED = 100
"""Groups, segments or tags in one audience."""

MAX_LISTED = 10_000
"""Contacts or addresses that an audience names one by one."""

Name = Annotated[
    str, Meta(min_length=1, max_length=200, pattern=r"^(?=.*\S)[^\x00-\x1f\x7f]*$(?!\n)", examples=["News in November"])
]
MAX_TAG = 64

Tag = Annotated[str, Meta(min_length=1, max_length=MAX_TAG)]
Ids = Annotated[list[UUID], Meta(max_length=MAX_NAMED)]
PerSecond = Annotated[
    float, Meta(ge=0.01, le=10_000, description="Messages per second at most, besides the limit of the channel.")
]
Text = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT, examples=["Hi {FIRST_NAME}"])]


class AudiencePart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whoever is in one of the groups, in one of the segments, has one of the tags, or is named.

    `addresses` are numbers in E.164 that need not be contacts.
    """

    group_ids: Ids = []
    segment_ids: Ids = []
    tags: Annotated[list[Tag], Meta(max_length=MAX_NAMED)] = []
    contact_ids: Annotated[list[UUID], Meta(max_length=MAX_LISTED)] = []
    addresses: Annotated[list[Annotated[str, Meta(max_length=128)]], Meta(max_length=MAX_LISTED)] = []

    @property
    def is_empty(self) -> bool:
        """Whether nobody is meant."""
        return not (self.group_ids or self.segment_ids or self.tags or self.contact_ids or self.addresses)


class Audience(AudiencePart, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Who gets it, each address once; `exclude` takes out whoever it matches."""

    exclude: AudiencePart = AudiencePart()


class ErrorLimit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pauses the group message when more than `percent` of what has an outcome failed, from `after` outcomes on."""

    percent: Annotated[float, Meta(gt=0, le=100)]
    after: Annotated[int, Meta(ge=1, le=1_000_000)] = 100


class GroupMessageCreate(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"sender": "from"}
):
    """One text, or one template, to many. It is a draft until it is sent.

    `quiet_hours` are kept in the time zone of each recipient: whoever sleeps gets it when they end. Without them those
    of the account are taken; null is none. `send_at` starts it at that time. `topic` is what opt-outs are asked about.
    """

    name: Name
    channel_id: UUID
    audience: Audience
    text: Text | None = None
    fallback: TemplateFallback | None = None
    template_id: UUID | None = None
    variables: dict[str, Any] = {}
    sender: Annotated[str, Meta(min_length=1, max_length=21)] | None = None
    rate: PerSecond | None = None
    quiet_hours: QuietHours | UnsetType | None = UNSET
    send_at: datetime | None = None
    topic: MessageTopic = MessageTopic.MARKETING
    validity_seconds: Annotated[int, Meta(ge=1, le=MAX_VALIDITY)] | None = None
    metadata: dict[str, Any] = {}
    error_limit: ErrorLimit | None = None


class GroupMessagePatch(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"sender": "from"}
):
    """A change of a draft: the fields that are sent, each whole; null clears where there may be nothing.

    A `text` takes the place of a template, and a `template_id` that of a text and its fallback.
    """

    name: Name | UnsetType | None = UNSET
    channel_id: UUID | UnsetType | None = UNSET
    audience: Audience | UnsetType | None = UNSET
    text: Text | UnsetType | None = UNSET
    fallback: TemplateFallback | UnsetType | None = UNSET
    template_id: UUID | UnsetType | None = UNSET
    variables: dict[str, Any] | UnsetType | None = UNSET
    sender: Annotated[str, Meta(min_length=1, max_length=21)] | UnsetType | None = UNSET
    rate: PerSecond | UnsetType | None = UNSET
    quiet_hours: QuietHours | UnsetType | None = UNSET
    send_at: datetime | UnsetType | None = UNSET
    topic: MessageTopic | UnsetType | None = UNSET
    validity_seconds: Annotated[int, Meta(ge=1, le=MAX_VALIDITY)] | UnsetType | None = UNSET
    metadata: dict[str, Any] | UnsetType | None = UNSET
    error_limit: ErrorLimit | UnsetType | None = UNSET


class GroupMessageCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many recipients stand where. They add up to `total`, which is known exactly once all were looked at.

    `waiting` have not been looked at yet, or sleep; `skipped` get nothing, see the recipients for the reasons.
    """

    total: int
    waiting: int = 0
    queued: int = 0
    sent: int = 0
    delivered: int = 0
    read: int = 0
    failed: int = 0
    skipped: int = 0
    unknown: int = 0
    expired: int = 0
    canceled: int = 0


class GroupMessageReject(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why it should not be sent like this, for whoever wants to send it."""

    reason: Annotated[str, Meta(min_length=1, max_length=500)] | None = None


class GroupMessageApprovalOut(msgspec.Struct, frozen=True, kw_only=True):
    """Who asked for sending it, and what somebody else decided.

    `not_needed` is one with few enough recipients; if it has more when it is due, it waits then.
    """

    state: ApprovalState
    requested_by: ActorOut
    requested_at: datetime
    decided_by: ActorOut | None
    decided_at: datetime | None
    reason: str | None


class GroupMessageOut(msgspec.Struct, frozen=True, kw_only=True, rename={"sender": "from"}):
    """A group message with where it stands. `paused_because` says why it paused by itself.

    `approval` is null where the account wanted none when it was sent.
    """

    id: UUID
    account_id: UUID
    name: str
    channel_id: UUID
    audience: Audience
    text: str | None
    fallback: TemplateFallback | None
    template_id: UUID | None
    variables: dict[str, Any]
    sender: str | None
    rate: float | None
    quiet_hours: QuietHours | None
    send_at: datetime | None
    topic: MessageTopic
    validity_seconds: int | None
    metadata: dict[str, Any]
    error_limit: ErrorLimit | None
    status: GroupStatus
    progress: GroupMessageCounts
    paused_because: str | None
    approval: GroupMessageApprovalOut | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class GroupMessageFailuresOut(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages failed for one reason; `class` and `code` as in a message's `error`."""

    kind: str = msgspec.field(name="class")
    code: str
    count: int


class GroupMessageProgressOut(msgspec.Struct, frozen=True, kw_only=True):
    """Where a group message stands, with the causes. `failures` has the 50 most frequent ones."""

    status: GroupStatus
    progress: GroupMessageCounts
    paused_because: str | None
    failures: list[GroupMessageFailuresOut]
    skipped: dict[str, int]


class GroupRecipientOut(msgspec.Struct, frozen=True, kw_only=True):
    """A recipient: their message with its `status`, or `skipped` with the `reason` why they get none."""

    contact_id: UUID | None
    address: str | None
    status: str
    message_id: UUID | None
    reason: str | None
    detail: str | None
    error: MessageFailure | None


class RecipientClasses(msgspec.Struct, kw_only=True):
    """Recipients by what would become of them; the others than the first two get nothing, for the reason named.

    `quiet_now` would get it when their quiet hours end. `repeated` are further mentions of an address.
    """

    will_get_it: int = 0
    quiet_now: int = 0
    repeated: int = 0
    no_address: int = 0
    opted_out: int = 0
    blocked: int = 0
    archived: int = 0
    excluded: int = 0
    missing_variable: int = 0
    unusable_value: int = 0
    too_long: int = 0


class PreflightSample(msgspec.Struct, frozen=True, kw_only=True):
    """One text as it would be sent."""

    contact_id: UUID | None
    address: str
    text: str
    encoding: str
    segments: int


class PreflightWarning(msgspec.Struct, frozen=True, kw_only=True):
    """Something to know before sending."""

    code: str
    detail: str


class GroupMessagePreflightOut(msgspec.Struct, frozen=True, kw_only=True):
    """What would happen if it were sent now; nothing is stored or sent.

    `total` is exact always. `recipients` and `segments` are so if `exact`; otherwise they are inferred from the first
    `looked_at` recipients. `rate` is in messages per second, null where nothing limits it. `samples` are the longest
    texts that were seen. With `needs_approval` somebody else has to approve it before it is sent.
    """

    total: int
    needs_approval: bool
    looked_at: int
    exact: bool
    recipients: RecipientClasses
    segments: int
    rate: float | None
    duration_seconds: float | None
    samples: list[PreflightSample]
    warnings: list[PreflightWarning]
