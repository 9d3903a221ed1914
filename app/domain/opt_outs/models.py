"""Mapped tables of opt-outs. What changes consent is plain SQL in `changes`."""

from uuid import UUID

from sqlalchemy import Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.lib.db import AccountRecord


class OptOut(AccountRecord):
    """Somebody does not want messages of a topic at an address. The row goes when they want them again.

    `message_id`, `channel_id` and `text` are the message that said so, `actor_*` who did it instead of the person.
    """

    __tablename__ = "opt_outs"

    channel_class: Mapped[str]
    address: Mapped[str]
    topic: Mapped[str]
    source: Mapped[str]
    message_id: Mapped[UUID | None]
    channel_id: Mapped[UUID | None]
    text: Mapped[str | None]
    actor_type: Mapped[str | None]
    actor_id: Mapped[UUID | None]
    actor_name: Mapped[str | None]
    detail: Mapped[str | None]


class ConsentEvent(AccountRecord):
    """One line of the ledger: an opt-out that began (`opted_out`) or ended (`opted_in`). Rows are only added."""

    __tablename__ = "consent_events"

    opt_out_id: Mapped[UUID]
    change: Mapped[str]
    channel_class: Mapped[str]
    address: Mapped[str]
    topic: Mapped[str]
    source: Mapped[str]
    message_id: Mapped[UUID | None]
    channel_id: Mapped[UUID | None]
    text: Mapped[str | None]
    actor_type: Mapped[str | None]
    actor_id: Mapped[UUID | None]
    actor_name: Mapped[str | None]
    detail: Mapped[str | None]


class KeywordSet(AccountRecord):
    """Words by which people say stop, start or help to one account, on all its channels or on some.

    `words` are in the form of `app.domain.opt_outs.keywords.normalise`.
    """

    __tablename__ = "opt_out_keywords"

    action: Mapped[str]
    words: Mapped[list[str]] = mapped_column(ARRAY(Text()))
    channel_class: Mapped[str | None]
    channel_id: Mapped[UUID | None]
    language: Mapped[str | None]
    topic: Mapped[str]
    reply: Mapped[str | None]
    replaces_built_in: Mapped[bool]
