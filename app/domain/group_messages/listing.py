"""Who is among the recipients of a group message, and what became of each: messages, and whoever got none."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Row,
    Select,
    String,
    Uuid,
    cast,
    column,
    func,
    literal,
    null,
    select,
    table,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.group_messages.identity import MessageIds
from app.domain.group_messages.schemas import GroupRecipientOut
from app.domain.messages.models import Message
from app.domain.messages.schemas import MessageFailure
from app.domain.messages.states import MessageStatus
from app.lib.db import Scope
from app.lib.filters import Expression, FilterField, Kind, compile_sql
from app.lib.pagination import Listing, ListQuery, Page, Sort, cursor_after

SKIPPED = "skipped"
"""The status of a recipient who got no message."""

_SKIPS = table(
    "group_message_skips",
    *(column(name, Uuid()) for name in ("group_message_id", "account_id", "recipient_id", "contact_id")),
    *(column(name, String()) for name in ("address", "reason", "detail")),
)
_STATUSES = tuple(status.value for status in MessageStatus if status not in (MessageStatus.RECEIVED,))

RECIPIENTS = Listing(
    id_column=column("id", Uuid()),
    fields={"status": FilterField(Kind.CHOICE, (*_STATUSES, SKIPPED))},
    columns={"status": column("status", String())},
    sorts={"id": Sort(None, UUID)},
    default_sort="id",
)
"""In the order of ids, which are in no order that means anything: no other one has an index."""


class _Branch(NamedTuple):
    """Some of the recipients, with the columns that tell who they are and how they stand."""

    rows: Select[Any]
    identifier: ColumnElement[Any]
    status: ColumnElement[Any]


class RecipientList:
    """The recipients of one group message; `runs` has the ids of each time that it was sent."""

    def __init__(
        self, session: AsyncSession, account_id: UUID, group_message_id: UUID, runs: Sequence[MessageIds]
    ) -> None:
        self._session = session
        self._scope = Scope(account_id)
        self._group_message_id = group_message_id
        self.runs = runs

    async def page(self, query: ListQuery) -> Page[GroupRecipientOut]:
        """One page. Someone whose message was repeated is in it with both."""
        total: int | msgspec.UnsetType = msgspec.UNSET
        if query.include_total:
            counting = select(func.count()).select_from(self._branches(query.filter).subquery())
            total = (await self._session.execute(counting)).scalar_one()
        after = None if query.after is None else query.after[1]
        found = await self._some(query.filter, after, query.sort.startswith("-"), query.limit + 1)
        following = None
        if len(found) > query.limit:
            found = found[: query.limit]
            following = cursor_after(RECIPIENTS, query, found[-1])
        return Page([_out(row) for row in found], following, total)

    async def after(self, recipient: UUID | None, most: int) -> list[tuple[UUID, GroupRecipientOut]]:
        """The next ones in the order of ids, with what continues after each."""
        return [(row.id, _out(row)) for row in await self._some(None, recipient, False, most)]

    async def _some(
        self, where: Expression | None, after: UUID | None, descending: bool, most: int
    ) -> Sequence[Row[Any]]:
        rows = self._branches(where, after, descending, most).subquery()
        statement = select(rows).order_by(rows.c.id.desc() if descending else rows.c.id).limit(most)
        return (await self._session.execute(statement)).all()

    def _branches(
        self, where: Expression | None, after: UUID | None = None, descending: bool = False, most: int | None = None
    ) -> CompoundSelect[Any]:
        """The recipients in branches, one for each range of ids.

        Each is read in the order of its index and only as far as it is needed: the planner expects hardly anybody in so
        small a range, and would read all of them.
        """
        branches = []
        for branch, identifier, status in (*(self._messages(run) for run in self.runs), self._skips()):
            some = branch if where is None else branch.where(compile_sql(where, {"status": status}))
            if after is not None:
                some = some.where(identifier < after if descending else identifier > after)
            if most is not None:
                some = some.order_by(identifier.desc() if descending else identifier).limit(most)
            branches.append(select(some.subquery()))
        return union_all(*branches)

    def _messages(self, run: MessageIds) -> _Branch:
        branch = (
            self._scope.select(Message)
            .where(Message.id.between(run.lowest, run.highest), Message.group_message_id == self._group_message_id)
            .with_only_columns(
                Message.id.label("id"),
                Message.contact_id.label("contact_id"),
                Message.recipient.label("address"),
                Message.status.label("status"),
                cast(null(), String()).label("reason"),
                cast(null(), String()).label("detail"),
                Message.error.label("error"),
            )
        )
        return _Branch(branch, Message.__table__.c.id, Message.__table__.c.status)

    def _skips(self) -> _Branch:
        mine: ColumnElement[bool] = _SKIPS.c.account_id == self._scope.account_id
        status: ColumnElement[str] = literal(SKIPPED, String())
        branch = select(
            _SKIPS.c.recipient_id.label("id"),
            _SKIPS.c.contact_id.label("contact_id"),
            _SKIPS.c.address.label("address"),
            status.label("status"),
            _SKIPS.c.reason.label("reason"),
            _SKIPS.c.detail.label("detail"),
            cast(null(), JSONB()).label("error"),
        ).where(mine, _SKIPS.c.group_message_id == self._group_message_id)
        return _Branch(branch, _SKIPS.c.recipient_id, status)


def _out(row: Row[Any]) -> GroupRecipientOut:
    skipped = row.status == SKIPPED
    return GroupRecipientOut(
        contact_id=row.contact_id,
        address=row.address,
        status=row.status,
        message_id=None if skipped else row.id,
        reason=row.reason,
        detail=row.detail,
        error=None if row.error is None else msgspec.convert(row.error, MessageFailure),
    )


COLUMNS = ("contact_id", "address", "status", "message_id", "reason", "detail", "error_class", "error_code")
"""Of the file of recipients."""


def cells(recipient: GroupRecipientOut) -> list[str]:
    """A recipient as a line of the file."""
    error = recipient.error
    values = (
        recipient.contact_id,
        recipient.address,
        recipient.status,
        recipient.message_id,
        recipient.reason,
        recipient.detail,
        None if error is None else error.kind,
        None if error is None else error.code,
    )
    return ["" if value is None else str(value) for value in values]
