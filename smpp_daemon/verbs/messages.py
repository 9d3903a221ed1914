"""The verbs about single messages: `query`, `cancel`, and receipts that match none: `orphans`, `replay`."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from app.domain.messages.orphans import MOST, Orphan, count_orphans, list_orphans, replay_orphans
from app.lib.clock import rfc3339
from app.lib.db import Database
from app.lib.ids import NewId
from app.lib.logging import get_logger
from smpp_daemon import metrics
from smpp_daemon.account import OperatorAccount
from smpp_daemon.admin import BadRequestError
from smpp_daemon.reports import OperatorSaid, OrphanReceipt, Replay
from smpp_daemon.requests import NotAskedError, OperatorAnswer, cancel, query
from smpp_daemon.verbs.finding import find, read

log = get_logger(__name__)

MessageId = Annotated[str, Meta(min_length=1, max_length=64)]


class QueryArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`message_id` is the operator's; `sender` as it was submitted, the channel's own unless named."""

    account: str
    message_id: MessageId
    sender: str | None = None


class CancelArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As for `query`, and the recipient."""

    account: str
    message_id: MessageId
    to: str
    sender: str | None = None


class OrphanArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one account or of all here; `limit` receipts of each, the newest first."""

    account: str | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST)] = 50


class ReplayArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """These receipts of an account, or without `ids` the newest `MOST` of them."""

    account: str
    ids: Annotated[list[UUID], Meta(max_length=MOST)] | None = None


class Messages:
    """`accounts` are those of this process."""

    def __init__(self, accounts: Callable[[], Sequence[OperatorAccount]], database: Database, new_id: NewId) -> None:
        self._accounts = accounts
        self._database = database
        self._new_id = new_id

    async def query(self, arguments: Mapping[str, Any]) -> OperatorSaid:
        """query_sm: what became of a message."""
        given = read(arguments, QueryArguments)
        account = find(self._accounts(), given.account)
        sender = given.sender or account.record.default_from
        try:
            answer = await query(account, given.message_id, sender)
        except NotAskedError as error:
            raise BadRequestError(str(error), "not_now") from None
        return _said(account, given.message_id, answer)

    async def cancel(self, arguments: Mapping[str, Any]) -> OperatorSaid:
        """cancel_sm: drop a message that is not delivered yet."""
        given = read(arguments, CancelArguments)
        account = find(self._accounts(), given.account)
        sender = given.sender or account.record.default_from
        log.info("cancelling", channel_id=str(account.id), message_id=given.message_id)
        try:
            answer = await cancel(account, given.message_id, sender, given.to)
        except NotAskedError as error:
            raise BadRequestError(str(error), "not_now") from None
        return _said(account, given.message_id, answer)

    async def orphans(self, arguments: Mapping[str, Any]) -> list[OrphanReceipt]:
        """Receipts that match no message. Raises `Unavailable`."""
        given = read(arguments, OrphanArguments)
        accounts = self._accounts() if given.account is None else [find(self._accounts(), given.account)]
        found: list[OrphanReceipt] = []
        async with self._database.reading() as session:
            for account in accounts:
                orphans = await list_orphans(session, channel_id=account.id, most=given.limit)
                found += [_receipt(account, orphan) for orphan in orphans]
        return sorted(found, key=lambda receipt: receipt.parked_at, reverse=True)

    async def replay(self, arguments: Mapping[str, Any]) -> Replay:
        """Look receipts up again. Raises `Unavailable`."""
        given = read(arguments, ReplayArguments)
        account = find(self._accounts(), given.account)
        async with self._database.unit_of_work() as session:
            there = [orphan.id for orphan in await list_orphans(session, channel_id=account.id, most=MOST)]
            ids = there if given.ids is None else given.ids
            if strange := set(ids) - set(there):
                raise BadRequestError(f"{account.record.name} has no orphan {next(iter(strange))}.")
            done = await replay_orphans(session, ids, self._new_id)
        log.info("orphans replayed", channel_id=str(account.id), matched=done.matched, unmatched=done.unmatched)
        return Replay(str(account.id), account.record.name, done.matched, done.unmatched)

    async def count(self, account: OperatorAccount) -> int:
        """How many orphans an account has. Raises `Unavailable`."""
        async with self._database.reading() as session:
            return await count_orphans(session, account.id)

    async def measure(self) -> None:
        """Set the gauge. Raises `Unavailable`."""
        async with self._database.reading() as session:
            counts = [await count_orphans(session, account.id) for account in self._accounts()]
        metrics.orphan_receipts.set(sum(counts))


def _said(account: OperatorAccount, message_id: str, answer: OperatorAnswer) -> OperatorSaid:
    return OperatorSaid(
        str(account.id),
        account.record.name,
        message_id,
        answer.status,
        answer.name,
        answer.advice,
        answer.milliseconds,
        answer.state,
        answer.final_date,
        answer.error_code,
    )


def _receipt(account: OperatorAccount, orphan: Orphan) -> OrphanReceipt:
    return OrphanReceipt(
        str(orphan.id),
        str(account.id),
        account.record.name,
        rfc3339(orphan.parked_at),
        rfc3339(datetime.fromtimestamp(orphan.received_at, UTC)),
        orphan.provider_message_id,
        orphan.status,
        orphan.recipient,
        orphan.provider_status,
        orphan.provider_code,
        orphan.raw,
    )
