"""What a group message keeps of itself: what its owner wrote, what was decided at the start, where it stands."""

from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec import UNSET

from app.domain.contacts.fields import AttributeType
from app.domain.group_messages.identity import MessageIds
from app.domain.group_messages.pacing import Pace
from app.domain.group_messages.schemas import Audience, ErrorLimit, GroupMessageCreate
from app.domain.identity.accounts.settings import QuietHours
from app.domain.opt_outs.classes import MessageTopic
from app.domain.templates.content import TemplateFallback


class Content(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What can be changed while it is a draft, beside its name, its channel and its time."""

    audience: Audience
    text: str | None = None
    fallback: TemplateFallback | None = None
    template_id: UUID | None = None
    variables: dict[str, Any] = {}
    sender: str | None = None
    rate: float | None = None
    quiet_hours: QuietHours | None = None
    topic: MessageTopic = MessageTopic.MARKETING
    validity_seconds: int | None = None
    metadata: dict[str, Any] = {}
    error_limit: ErrorLimit | None = None


def content_of(data: GroupMessageCreate, quiet_hours: QuietHours | None) -> Content:
    """The content of a new draft, not yet checked; with the account's `quiet_hours` if it does not say."""
    given = {name: getattr(data, name) for name in Content.__struct_fields__}
    return Content(**given | ({"quiet_hours": quiet_hours} if data.quiet_hours is UNSET else {}))


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What stands from the start to the end, whatever becomes of templates, segments and attributes meanwhile.

    `moment` is what relative moments of segments are counted from. `runs` are the starts: of the first sending, and of
    each repetition of what failed.
    """

    template_id: UUID
    template_version: int
    segments: dict[str, Any]
    attributes: dict[str, AttributeType]
    moment: datetime
    time_zone: str = ""
    runs: tuple[datetime, ...]

    def ids(self, group_message_id: UUID) -> list[MessageIds]:
        """The ids of the messages of each run; the last one is under way, or was the last to be."""
        return [MessageIds(group_message_id, number, at) for number, at in enumerate(self.runs)]


class Phase(StrEnum):
    """The parts of the walk, in their order: contacts by id, addresses as they are listed, then whoever slept.

    A repetition begins with `failed`, those that failed in the runs before it, and goes on with those who slept then.
    """

    CONTACTS = "contacts"
    ADDRESSES = "addresses"
    ASLEEP = "asleep"
    FAILED = "failed"
    DONE = "done"


class Outcomes(NamedTuple):
    """How many messages have ended one way or the other, and how many of them failed."""

    ended: int
    failed: int


class Told(NamedTuple):
    """How many messages had ended, and how many recipients been looked at, at a moment in seconds since the epoch."""

    at: float
    ended: int
    looked_at: int


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the walk goes on: after which contact or message, and at which of the listed addresses or of the runs.

    `forgiven` are the outcomes that the error limit has been told to overlook. `told` is what the last event of its
    progress said, and when.
    """

    phase: Phase = Phase.CONTACTS
    after: UUID | None = None
    index: int = 0
    pace: Pace | None = None
    forgiven: Outcomes = Outcomes(0, 0)
    told: Told | None = None
