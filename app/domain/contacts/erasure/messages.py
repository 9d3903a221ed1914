"""Erasing a person from messages: who and what goes, that there was a message stays, for an account's books.

Statuses, times, segments and error codes stay. Messages that were not sent are canceled first; one that is being handed
over at this moment is waited for, because it would be sent again from what is left of it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.erasure.person import Person
from app.domain.contacts.erasure.schemas import ERASED
from app.domain.messages.cancellation import cancel_queued
from app.domain.messages.receipts import decode_receipt
from app.domain.opt_outs.classes import class_of
from connectors.registry import connectors

BATCH = 500
"""Messages that are erased in one transaction."""

WINDOW = 5_000
"""Messages, events or entries that are looked through in one transaction."""

FIRST = UUID(int=0)

# A text can be an address of one class and another thing of another.
_THEIRS = """
    FROM unnest(CAST(:types AS text[]), CAST(:spellings AS text[])) AS x(type, spelling)
    JOIN channels c ON c.account_id = :account_id AND c.type = x.type
"""
_OPEN = "('queued', 'scheduled')"

_UNSENT = (
    text(
        f"""
        SELECT id FROM messages
        WHERE account_id = :account_id AND contact_id = ANY (CAST(:ids AS uuid[])) AND status IN {_OPEN}
        ORDER BY id LIMIT :most
        """  # noqa: S608 - text of ours
    ),
    text(
        f"""
        SELECT m.id {_THEIRS}
        JOIN messages m ON m.account_id = :account_id AND m.recipient = x.spelling AND m.channel_id = c.id
        WHERE m.direction = 'outbound' AND m.status IN {_OPEN}
        ORDER BY m.id LIMIT :most
        """
    ),
)
_CANCEL_SCHEDULED = text(
    """
    WITH canceled AS (
        UPDATE messages SET status = 'canceled', updated_at = now()
        WHERE id = ANY (CAST(:ids AS uuid[])) AND account_id = :account_id AND status = 'scheduled' RETURNING id
    )
    INSERT INTO message_events (message_id, account_id, at, status)
    SELECT id, :account_id, now(), 'canceled' FROM canceled RETURNING message_id
    """
)
_OF_CONTACT = text(
    f"""
    SELECT id FROM messages
    WHERE account_id = :account_id AND contact_id = ANY (CAST(:ids AS uuid[])) AND status NOT IN {_OPEN}
    ORDER BY id LIMIT :most
    """  # noqa: S608 - text of ours
)
_TO_ADDRESS = text(
    f"""
    SELECT m.id {_THEIRS}
    JOIN messages m ON m.account_id = :account_id AND m.recipient = x.spelling AND m.channel_id = c.id
    WHERE m.direction = 'outbound' AND m.status NOT IN {_OPEN}
    ORDER BY m.id LIMIT :most
    """
)
# No index has senders: all messages of the account are looked through, a window at a time.
_FROM_ADDRESS = text(
    f"""
    WITH seen AS MATERIALIZED (
        SELECT id, channel_id, direction, sender FROM messages
        WHERE account_id = :account_id AND id > :after ORDER BY id LIMIT :most
    )
    SELECT (SELECT id FROM seen ORDER BY id DESC LIMIT 1) AS last, (SELECT count(*) FROM seen) AS seen,
           ARRAY(SELECT m.id {_THEIRS} JOIN seen m ON m.channel_id = c.id AND m.sender = x.spelling
                 WHERE m.direction = 'inbound') AS ids
    """  # noqa: S608 - text of ours
)


# The range of ids leaves the planner one partition or two.
def _of_messages(statement: str, column: str) -> Any:
    return text(
        f"{statement} WHERE {column} = ANY (CAST(:ids AS uuid[])) AND {column} BETWEEN :lowest AND :highest"
        " AND account_id = :account_id"
    )


_ERASE = (
    _of_messages("UPDATE message_events SET detail = NULL", "message_id"),
    _of_messages("UPDATE message_attempts SET detail = NULL", "message_id"),
    _of_messages("UPDATE message_parts SET recipient_tail = ''", "message_id"),
    _of_messages("DELETE FROM message_retries", "message_id"),
    _of_messages(
        f"UPDATE messages SET body = '', metadata = '{{}}', sms = NULL, contact_id = NULL, updated_at = now(),"  # noqa: S608 - text of ours
        f" recipient = CASE WHEN direction = 'outbound' THEN '{ERASED}' ELSE recipient END,"
        f" sender = CASE WHEN direction = 'inbound' THEN '{ERASED}' ELSE sender END,"
        f""" error = error || '{{"detail": "{ERASED}"}}'""",
        "id",
    ),
)
_PARTS = text(
    f"""
    DELETE FROM inbound_parts p
    USING (SELECT c.id, x.spelling {_THEIRS}) AS k
    WHERE p.channel_id = k.id AND p.sender = k.spelling AND p.account_id = :account_id
    """  # noqa: S608 - text of ours
)
_RECEIPTS = text(
    "SELECT id, receipt FROM parked_receipts WHERE account_id = :account_id AND id > :after ORDER BY id LIMIT :most"
)
_SET_RECEIPTS = text(
    """
    UPDATE parked_receipts p SET receipt = x.receipt
    FROM unnest(CAST(:ids AS uuid[]), CAST(:receipts AS bytea[])) AS x(id, receipt)
    WHERE p.id = x.id AND p.account_id = :account_id
    """
)

_encode = msgspec.msgpack.Encoder().encode


class Seen(NamedTuple):
    """A window that was looked through: what was erased in it, and after which id to go on; None at the end."""

    erased: int
    after: UUID | None


class MessageErasure:
    """Erases one person from the messages of an account, inside one unit of work."""

    def __init__(self, session: AsyncSession, account_id: UUID, person: Person) -> None:
        self._session = session
        self._account_id = account_id
        pairs = [
            (connector.type, spelling)
            for kind, spelling in person.spellings
            for connector in connectors()
            if class_of(connector.type).value == kind.channel_class
        ]
        self._theirs = {
            "account_id": account_id,
            "ids": person.ids,
            "types": [kind for kind, _ in pairs],
            "spellings": [spelling for _, spelling in pairs],
        }
        self._digits = {spelling.lstrip("+") for _, spelling in person.spellings}

    async def cancel(self) -> tuple[int, int]:
        """Cancel some that were not sent: how many, and how many are being handed over just now."""
        ids: set[UUID] = set()
        for statement in _UNSENT:
            ids.update((await self._session.execute(statement, self._theirs | {"most": BATCH})).scalars())
        canceled = 0
        if ids:
            keys = {"account_id": self._account_id, "ids": sorted(ids)}
            canceled = len((await self._session.execute(_CANCEL_SCHEDULED, keys)).all())
            for message_id in sorted(ids):
                canceled += await cancel_queued(self._session, self._account_id, message_id)
        return canceled, len(ids) - canceled

    async def erase_some(self) -> int:
        """Erase some that are known as the contact's, or are to one of the addresses; 0 when there are none left."""
        for statement in (_OF_CONTACT, _TO_ADDRESS):
            found = await self._session.execute(statement, self._theirs | {"most": BATCH})
            ids = sorted(set(found.scalars()))
            if ids:
                await self._erase(ids)
                return len(ids)
        return 0

    async def erase_from(self, after: UUID | None) -> Seen:
        """Look through some messages after `after` for those that came from one of the addresses."""
        keys = self._theirs | {"after": after or FIRST, "most": WINDOW}
        row = (await self._session.execute(_FROM_ADDRESS, keys)).one()
        ids = sorted(set(row.ids))
        if ids:
            await self._erase(ids)
        return Seen(len(ids), row.last if row.seen == WINDOW else None)

    async def erase_parts(self) -> int:
        """Erase parts of long messages that wait for the rest, or were joined some minutes ago."""
        removed: Any = await self._session.execute(_PARTS, self._theirs)
        return int(removed.rowcount)

    async def erase_receipts(self, after: UUID | None) -> Seen:
        """Look through some of the receipts that belong to no message."""
        keys = {"account_id": self._account_id, "after": after or FIRST, "most": WINDOW}
        rows = (await self._session.execute(_RECEIPTS, keys)).all()
        cleaned = {}
        for row in rows:
            receipt = decode_receipt(row.receipt)
            if receipt.recipient is not None and receipt.recipient.lstrip("+") in self._digits:
                cleaned[row.id] = _encode(msgspec.structs.replace(receipt, recipient=None, raw=None))
        if cleaned:
            values = {"ids": list(cleaned), "receipts": list(cleaned.values())}
            await self._session.execute(_SET_RECEIPTS, {"account_id": self._account_id, **values})
        return Seen(len(cleaned), rows[-1].id if len(rows) == WINDOW else None)

    async def _erase(self, ids: Sequence[UUID]) -> None:
        keys = {"ids": ids, "lowest": ids[0], "highest": ids[-1], "account_id": self._account_id}
        for statement in _ERASE:
            await self._session.execute(statement, keys)
