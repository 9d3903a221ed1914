"""Accepting and showing messages."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.channels.directory import ChannelRecord
from app.domain.contacts.merging.aliases import former_ids
from app.domain.idempotency.schemas import StoredAnswer
from app.domain.messages.events import Lane
from app.domain.messages.intake import MessageIntake, Refused
from app.domain.messages.models import Message
from app.domain.messages.preparing import Preparation
from app.domain.messages.repository import NewMessage, get_history, get_message, list_messages
from app.domain.messages.schemas import (
    AttemptOut,
    BatchItem,
    BatchResult,
    EventOut,
    MessageBatch,
    MessageCreate,
    MessageDetail,
    MessageOut,
    PartOut,
    message_out,
)
from app.lib.db import Scope
from app.lib.errors import AppError, InvalidValue, NotFound
from app.lib.filters import All, Condition, Expression, Operator
from app.lib.pagination import ListQuery, Page
from app.lib.problems import decode_error, problem_of

_decode_message = msgspec.json.Decoder(MessageCreate).decode


class MessageService:
    """The messages of one account. Commits nothing itself: accepting goes through the intake's shared transaction."""

    __slots__ = ("_intake", "_preparation", "_scope")

    def __init__(self, account_id: UUID, intake: MessageIntake, preparation: Preparation) -> None:
        self._scope = Scope(account_id)
        self._intake = intake
        self._preparation = preparation

    @property
    def account_id(self) -> UUID:
        """Whose messages these are."""
        return self._scope.account_id

    async def send(
        self, data: MessageCreate, answered: Callable[[MessageOut], StoredAnswer] | None = None
    ) -> MessageOut:
        """Accept one message: returned once it is stored and sure to be sent. Raises `InvalidValue`, `Unavailable`.

        A recipient who has opted out is a wrong value too (`opted_out`). `answered` makes the answer that is stored
        along with it, for a request with an idempotency key; `Conflict` when that key has an answer already.
        """
        (prepared,) = await self._preparation.prepare([data], Lane.HIGH)
        if isinstance(prepared, AppError):
            raise prepared
        channel, message = prepared
        accepted = _accepted(message, data)
        if await self._intake.accept([(channel, [message])], None if answered is None else answered(accepted)):
            raise _opted_out()
        return accepted

    async def send_batch(
        self, batch: MessageBatch, base_url: str, answered: Callable[[BatchResult], StoredAnswer] | None = None
    ) -> BatchResult:
        """Accept the good ones of up to 1,000 messages in one transaction, and say of each what became of it.

        Raises `Unavailable` for the batch as a whole: an outage is nobody's mistake in one message. `answered` is as
        for `send`; it is not called when no message was good.
        """
        items: list[BatchItem] = []
        places: dict[UUID, int] = {}
        groups: dict[UUID, tuple[ChannelRecord, list[NewMessage]]] = {}
        decoded = [_decoded(raw) for raw in batch.messages]
        good = [data for data in decoded if isinstance(data, MessageCreate)]
        prepared = iter(await self._preparation.prepare(good, Lane.BULK))
        for index, data in enumerate(decoded):
            outcome = data if isinstance(data, AppError) else next(prepared)
            if isinstance(outcome, AppError):
                items.append(BatchItem(index, outcome.status, problem=problem_of(outcome, base_url=base_url)))
            elif isinstance(data, MessageCreate):
                channel, message = outcome
                groups.setdefault(channel.id, (channel, []))[1].append(message)
                places[message.id] = index
                items.append(BatchItem(index, 201, message=_accepted(message, data)))

        def judge(refused: Refused) -> BatchResult:
            judged = list(items)
            for message_id in refused:
                error, place = _opted_out(), places[message_id]
                judged[place] = BatchItem(place, error.status, problem=problem_of(error, base_url=base_url))
            accepted = len(places) - len(refused)
            return BatchResult(judged, accepted, len(judged) - accepted)

        def answer_for(refused: Refused) -> StoredAnswer | None:
            return None if answered is None else answered(judge(refused))

        refused: Refused = frozenset()
        if groups:
            refused = await self._intake.accept(list(groups.values()), answer_for(refused), answer_for)
        return judge(refused)

    async def page(self, session: AsyncSession, query: ListQuery) -> Page[MessageOut]:
        """One page of the account's messages; those of a contact with those of whoever was merged into it."""
        if query.filter is not None:
            filters = await self._with_former(session, query.filter)
            query = msgspec.structs.replace(query, filter=filters)
        page = await list_messages(session, self._scope, query)
        return Page([message_out(row) for row in page.items], page.next_cursor, page.total)

    async def _with_former(self, session: AsyncSession, expression: Expression) -> Expression:
        if isinstance(expression, All):
            return All(tuple([await self._with_former(session, part) for part in expression.parts]))
        if not isinstance(expression, Condition) or expression.field != "contact_id":
            return expression
        named = expression.value if isinstance(expression.value, list) else [expression.value]
        match expression.op:
            case Operator.EQ | Operator.IN:
                op = Operator.IN
            case Operator.NE | Operator.NIN:
                op = Operator.NIN
            case _:
                return expression
        former = [other for each in named for other in await former_ids(session, self.account_id, each)]
        return Condition(expression.field, op, [*named, *former])

    async def detail(self, session: AsyncSession, message_id: UUID) -> MessageDetail:
        """One message with its history; raises `NotFound`."""
        row = await get_message(session, self._scope, message_id)
        if row is None:
            raise NotFound("There is no such message in this account.")
        events, parts, attempts = await get_history(session, self._scope, row)
        first = "received" if row.direction == "inbound" else "queued"
        return MessageDetail(
            **msgspec.structs.asdict(message_out(row)),
            events=[
                EventOut(row.created_at, first, None, None, None),
                *(EventOut(*event) for event in events),
            ],
            parts=[PartOut(*part) for part in parts],
            attempts=[_attempt_out(row, attempt) for attempt in attempts],
        )


def _decoded(raw: msgspec.Raw) -> MessageCreate | AppError:
    try:
        return _decode_message(raw)
    except msgspec.DecodeError as error:
        return decode_error(error)


def _opted_out() -> InvalidValue:
    return InvalidValue.at("/to", "opted_out", "The recipient has opted out of these messages.")


def _attempt_out(message: Message, attempt: Row[Any]) -> AttemptOut:
    shown = AttemptOut(*attempt)
    if shown.outcome is None and message.sent_at is not None:
        # Successful attempts are not written twice: the message itself says when the provider took it.
        shown.outcome, shown.ended_at = "sent", message.sent_at
    return shown


def _accepted(message: NewMessage, data: MessageCreate) -> MessageOut:
    return MessageOut(
        id=message.id,
        account_id=message.account_id,
        channel_id=message.channel_id,
        contact_id=message.contact_id,
        group_message_id=None,
        template_id=message.template_id,
        template_version=message.template_version,
        direction="outbound",
        to=message.to,
        sender=message.sender,
        text=message.text,
        status="queued",
        lane=message.lane.value,
        encoding=message.encoding,
        segments=message.segments,
        validity_seconds=message.validity_seconds,
        topic=message.topic,
        error=None,
        content=data.content,
        metadata=data.metadata,
        created_at=message.created_at,
        updated_at=message.created_at,
        sent_at=None,
        delivered_at=None,
    )
