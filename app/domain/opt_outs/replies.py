"""What a set of keywords answers: an ordinary message to whoever wrote, which an opt-out does not hold back.

At most one for each address and set in `REPLY_SECONDS`, so that two machines do not answer each other for ever.
"""

from collections.abc import Sequence
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.channels.directory import ChannelOwner, ChannelRecord, UnreadableChannelError, record_of
from app.domain.messages.events import Lane
from app.domain.messages.repository import NewMessage, dispatch_rows, insert_messages
from app.domain.messages.sms import count_text
from app.domain.opt_outs.keywords import Action
from app.domain.opt_outs.places import Place
from app.domain.outbox.repository import insert_outbox
from app.lib.ids import NewId, time_of
from app.lib.logging import get_logger

log = get_logger(__name__)

REPLY_SECONDS = 86_400.0
MAX_SENDER = 21

_TAKE_TURNS = text(
    """
    INSERT INTO opt_out_replies AS r (account_id, keyword_id, address)
    SELECT DISTINCT CAST(:account_id AS uuid), x.keyword_id, x.address
    FROM unnest(CAST(:keywords AS uuid[]), CAST(:addresses AS text[])) AS x(keyword_id, address)
    ON CONFLICT (account_id, keyword_id, address) DO UPDATE SET replied_at = now()
    WHERE r.replied_at <= now() - make_interval(secs => :seconds)
    RETURNING keyword_id, address
    """
)


class Reply(msgspec.Struct, frozen=True):
    """An answer: `to` is canonical, `sender` is where the person wrote to."""

    keyword_id: UUID
    action: Action
    to: str
    sender: str
    text: str


async def send_replies(
    session: AsyncSession, account_id: UUID, place: Place, replies: Sequence[Reply], new_id: NewId
) -> None:
    """Store those whose turn it is, with their outbox rows, in the caller's transaction."""
    channel = _record(place)
    if not replies or channel is None:
        return
    turns = await session.execute(
        _TAKE_TURNS,
        {
            "account_id": account_id,
            "keywords": [each.keyword_id for each in replies],
            "addresses": [each.to for each in replies],
            "seconds": REPLY_SECONDS,
        },
    )
    free = {(row.keyword_id, row.address) for row in turns}
    chosen = {key: each for each in replies if (key := (each.keyword_id, each.to)) in free}
    messages = [_message(channel, each, new_id()) for each in chosen.values()]
    if messages:
        await insert_messages(session, messages)
        await insert_outbox(
            session, dispatch_rows(channel, Lane.HIGH, [each.dispatched() for each in messages], new_id)
        )


def _message(channel: ChannelRecord, reply: Reply, message_id: UUID) -> NewMessage:
    encoding, segments, _, _ = count_text(reply.text, channel.config)
    usable = 0 < len(reply.sender) <= MAX_SENDER and reply.sender.isprintable()
    return NewMessage(
        message_id,
        channel.account_id,
        channel.id,
        Lane.HIGH,
        reply.to,
        reply.sender if usable else channel.default_from,
        reply.text,
        encoding,
        segments,
        None,
        msgspec.json.encode({"keyword_reply": reply.action.value}),
        time_of(message_id),
    )


def _record(place: Place) -> ChannelRecord | None:
    """The channel as what sends it needs it; None when nothing is sent on it."""
    channel, tenant = place.channel, place.tenant
    if channel.deleted_at is not None or tenant.suspended:
        return None
    try:
        return record_of(channel, ChannelOwner(tenant.suspended, tenant.country, tenant.sender))
    except UnreadableChannelError as error:
        log.error("a keyword is not answered", channel_id=str(channel.id), reason=str(error))
        return None
