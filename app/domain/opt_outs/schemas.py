"""What clients send and receive about opt-outs."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.domain.identity.accounts.settings import Language
from app.domain.identity.audit.schemas import ActorOut, ActorType
from app.domain.opt_outs.addresses import MAX_LENGTH
from app.domain.opt_outs.classes import ChannelClass, Source, Topic
from app.domain.opt_outs.keywords import MAX_WORD, Action
from app.domain.opt_outs.models import ConsentEvent, KeywordSet, OptOut

MAX_WORDS = 50
MAX_REPLY = 480

AddressText = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_LENGTH,
        description=(
            "A telephone number in E.164 or as it is dialled in the account's default country, an e-mail address, or"
            " the digits of a Telegram or Messenger id."
        ),
        examples=["+251911000100"],
    ),
]
Detail = Annotated[
    str, Meta(max_length=500, pattern=r"^[^\x00]*$(?!\n)", description="How it is known, e.g. a call or a letter.")
]
Word = Annotated[str, Meta(min_length=1, max_length=4 * MAX_WORD)]
Words = Annotated[tuple[Word, ...], Meta(max_length=MAX_WORDS)]
ReplyText = Annotated[
    str, Meta(min_length=1, max_length=MAX_REPLY, pattern=r"^(?=[\s\S]*\S)[^\x00]*$(?!\n)", description="The answer.")
]


class OptOutCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody does not want messages: of a `topic`, or of `all`, at an address of a class of channels."""

    address: AddressText
    channel_class: ChannelClass
    topic: Topic = Topic.ALL
    detail: Detail | None = None


class OptOutOut(msgspec.Struct, frozen=True, kw_only=True):
    """An opt-out in force.

    The proof: `message_id`, `channel_id` and `text` are the message that asked for it, `actor` is who made it instead,
    and `detail` what they said about it.
    """

    id: UUID
    account_id: UUID
    channel_class: ChannelClass
    address: str
    topic: Topic
    source: Source
    message_id: UUID | None
    channel_id: UUID | None
    text: str | None
    actor: ActorOut | None
    detail: str | None
    created_at: datetime
    updated_at: datetime


class ConsentEventOut(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the ledger: an opt-out that began (`opted_out`) or ended (`opted_in`), with its proof.

    Lines never change: `updated_at` is `created_at`.
    """

    id: UUID
    account_id: UUID
    opt_out_id: UUID
    change: Literal["opted_out", "opted_in"]
    channel_class: ChannelClass
    address: str
    topic: Topic
    source: Source
    message_id: UUID | None
    channel_id: UUID | None
    text: str | None
    actor: ActorOut | None
    detail: str | None
    created_at: datetime
    updated_at: datetime


class KeywordSetCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Words by which people say `action`, on every channel, on those of a class, or on one.

    They count when they are the whole message, in upper or lower case. `topic` is what STOP and START are about.
    `reply` is sent back, once a day at most to each person. `replaces_built_in` ends the built-in words of `start` or
    `help` where the set counts; without words it only does that. `language` says what language the words are in.
    """

    action: Action
    words: Words = ()
    channel_class: ChannelClass | None = None
    channel_id: UUID | None = None
    language: Language | None = None
    topic: Topic = Topic.ALL
    reply: ReplyText | None = None
    replaces_built_in: bool = False


class KeywordSetPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of the fields that are sent. What the set is for, and where it counts, stays as it was made."""

    words: Words | UnsetType | None = UNSET
    language: Language | UnsetType | None = UNSET
    topic: Topic | UnsetType | None = UNSET
    reply: ReplyText | UnsetType | None = UNSET
    replaces_built_in: bool | UnsetType | None = UNSET


class KeywordSetOut(msgspec.Struct, frozen=True, kw_only=True):
    """A set of keywords. `words` are shown as they are compared: in lower case, without what stands around them."""

    id: UUID
    account_id: UUID
    action: Action
    words: list[str]
    channel_class: ChannelClass | None
    channel_id: UUID | None
    language: str | None
    topic: Topic
    reply: str | None
    replaces_built_in: bool
    created_at: datetime
    updated_at: datetime


def opt_out_out(row: OptOut) -> OptOutOut:
    """The row as clients see it."""
    return OptOutOut(
        id=row.id,
        account_id=row.account_id,
        channel_class=ChannelClass(row.channel_class),
        address=row.address,
        topic=Topic(row.topic),
        source=Source(row.source),
        message_id=row.message_id,
        channel_id=row.channel_id,
        text=row.text,
        actor=_actor(row),
        detail=row.detail,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def consent_event_out(row: ConsentEvent) -> ConsentEventOut:
    """The row as clients see it."""
    return ConsentEventOut(
        id=row.id,
        account_id=row.account_id,
        opt_out_id=row.opt_out_id,
        change="opted_out" if row.change == "opted_out" else "opted_in",
        channel_class=ChannelClass(row.channel_class),
        address=row.address,
        topic=Topic(row.topic),
        source=Source(row.source),
        message_id=row.message_id,
        channel_id=row.channel_id,
        text=row.text,
        actor=_actor(row),
        detail=row.detail,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def keyword_set_out(row: KeywordSet) -> KeywordSetOut:
    """The row as clients see it."""
    return KeywordSetOut(
        id=row.id,
        account_id=row.account_id,
        action=Action(row.action),
        words=list(row.words),
        channel_class=None if row.channel_class is None else ChannelClass(row.channel_class),
        channel_id=row.channel_id,
        language=row.language,
        topic=Topic(row.topic),
        reply=row.reply,
        replaces_built_in=row.replaces_built_in,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


_ACTORS: dict[str, ActorType] = {"user": "user", "api_key": "api_key", "system": "system"}


def _actor(row: OptOut | ConsentEvent) -> ActorOut | None:
    if row.actor_type is None:
        return None
    return ActorOut(_ACTORS[row.actor_type], row.actor_id, row.actor_name or "")
