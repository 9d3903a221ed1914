"""What the SMPP server may do with messages: have them stored, ask for them, take them back. Nothing else is its."""

from datetime import datetime
from uuid import UUID

import msgspec

from app.domain.channels.directory import ChannelDirectory, ChannelRecord
from app.domain.messages.cancellation import cancel_queued
from app.domain.messages.events import Lane, SmsOptions
from app.domain.messages.events import encode as encode_event
from app.domain.messages.intake import MessageIntake
from app.domain.messages.repository import NewMessage, get_message
from app.domain.outbox.waker import OutboxWaker
from app.domain.smpp_accounts.directory import SmppAccountRecord
from app.lib.clock import Clock
from app.lib.db import Database, Scope
from app.lib.ids import NewId
from connectors import registry

PLAIN = SmsOptions()
"""No option at all: nothing is stored for it."""


class Submission(msgspec.Struct, frozen=True, gc=False):
    """A message as an application submitted it, all values checked.

    `to` is in E.164, `sender` None leaves it to the account and the channel, `segments` counts `text` in `encoding`.
    """

    to: str
    sender: str | None
    text: str
    encoding: str
    segments: int
    options: SmsOptions
    validity_seconds: int | None
    lane: Lane
    registered_delivery: int


class Route(msgspec.Struct, frozen=True):
    """The channel of an account. `takes_data` says whether it carries data and headers, or text only."""

    channel: ChannelRecord
    takes_data: bool


class MessageSeen(msgspec.Struct, frozen=True):
    """A message as query_sm sees it: `final_at` once its status is the last one; `code` is the provider's error."""

    status: str
    final_at: datetime | None
    code: str | None


_OPEN = frozenset({"scheduled", "queued", "sent", "unknown"})


class SmppGateway:
    """One for each process. `start` and `stop` it with the event loop; all methods raise `Unavailable`."""

    def __init__(self, database: Database, channels: ChannelDirectory, clock: Clock, new_id: NewId) -> None:
        self._database = database
        self._channels = channels
        self._clock = clock
        self._new_id = new_id
        self._waker = OutboxWaker(database)
        self._intake = MessageIntake(database, new_id, self._waker.wake)

    def start(self) -> None:
        """Begin to commit."""
        self._waker.start()
        self._intake.start()

    async def stop(self) -> None:
        """Commit what waits, then end."""
        await self._intake.stop()
        await self._waker.stop()

    async def route(self, account: SmppAccountRecord) -> Route | None:
        """Where an account's messages go; None when its channel was deleted, or its tenant is suspended."""
        channel = await self._channels.get(account.account_id, account.channel_id)
        if channel is None or channel.deleted or channel.suspended:
            return None
        connector = registry.get(channel.type)
        return Route(channel, connector is not None and connector.sent_by == "smppd")

    async def accept(self, account: SmppAccountRecord, route: Route, submissions: list[Submission]) -> list[str]:
        """Our ids of the messages, once all of them are committed, together or not at all."""
        now = self._clock()
        default_from = account.settings.default_from or route.channel.default_from
        messages = [
            NewMessage(
                self._new_id(),
                account.account_id,
                route.channel.id,
                each.lane,
                each.to,
                each.sender or default_from,
                each.text,
                each.encoding,
                each.segments,
                each.validity_seconds,
                b"{}",
                now,
                None if each.options == PLAIN else encode_event(each.options),
                account.id,
                each.registered_delivery,
            )
            for each in submissions
        ]
        await self._intake.accept([(route.channel, messages)])
        return [message.id.hex for message in messages]

    async def query(self, account: SmppAccountRecord, message_id: str) -> MessageSeen | None:
        """A message that this account submitted; None when there is none."""
        identifier = parse_message_id(message_id)
        if identifier is None:
            return None
        async with self._database.reading() as session:
            message = await get_message(session, Scope(account.account_id), identifier)
        if message is None or message.smpp_account_id != account.id:
            return None
        final_at = None if message.status in _OPEN else message.delivered_at or message.updated_at
        code = message.error.get("provider_code") if message.error else None
        return MessageSeen(message.status, final_at, code)

    async def cancel(self, account: SmppAccountRecord, message_id: str) -> bool:
        """Take a message back that this account submitted and nobody has handed over; whether that was possible."""
        identifier = parse_message_id(message_id)
        if identifier is None:
            return False
        async with self._database.unit_of_work() as session:
            return await cancel_queued(session, account.account_id, identifier, smpp_account_id=account.id)


def parse_message_id(text: str) -> UUID | None:
    """One of our ids as we gave it out, in either case of its letters; None for anything else."""
    try:
        return UUID(hex=text) if len(text) == 32 else None
    except ValueError:
        return None
