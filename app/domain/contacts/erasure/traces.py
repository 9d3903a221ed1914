"""Erasing a person from what was written down about them: events, the audit log, consent, merges."""

from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.erasure.person import Person, merges_of
from app.domain.contacts.erasure.schemas import ERASED
from app.domain.contacts.merging.aliases import remove_aliases
from app.domain.opt_outs.lookup import lock_consent

WINDOW = 2_000
"""Events or entries that are looked through in one transaction."""

GROUP_MESSAGES = 20
"""Group messages that are looked through in one transaction, with everybody they passed over."""

_ENDED = ("completed", "canceled")

_SAID = frozenset({"text", "detail", "body", "metadata"})
"""What stands beside an address of the person, and may be their words or words about them."""

_EVENTS = text(
    """
    WITH seen AS MATERIALIZED (
        SELECT id, position, data FROM events
        WHERE account_id = :account_id AND (position, id) > (:position, CAST(:after AS uuid))
        ORDER BY position, id LIMIT :most
    )
    SELECT id, position, CASE WHEN EXISTS (
        SELECT FROM unnest(CAST(:texts AS text[])) AS t WHERE position(t IN CAST(seen.data AS text)) > 0
    ) THEN data END AS data
    FROM seen ORDER BY position, id
    """
)
_SET_EVENTS = text(
    """
    UPDATE events e SET data = CAST(x.data AS jsonb)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:documents AS text[])) AS x(id, data)
    WHERE e.id = x.id AND e.account_id = :account_id
    """
)
_ENTRIES = text(
    """
    WITH seen AS MATERIALIZED (
        SELECT id, before, after FROM audit_log
        WHERE account_id = :account_id AND id > :after ORDER BY id LIMIT :most
    )
    SELECT id, EXISTS (
        SELECT FROM unnest(CAST(:texts AS text[])) AS t
        WHERE position(t IN coalesce(CAST(seen.before AS text), '') || coalesce(CAST(seen.after AS text), '')) > 0
    ) AS named, before, after
    FROM seen ORDER BY id
    """
)
_SET_ENTRIES = text(
    """
    UPDATE audit_log a SET before = CAST(x.before AS jsonb), after = CAST(x.after AS jsonb)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:befores AS text[]), CAST(:afters AS text[])) AS x(id, before, after)
    WHERE a.id = x.id AND a.account_id = :account_id
    """
)

_GROUP_MESSAGES = text(
    """
    SELECT id, status, content, plan, checkpoint FROM group_messages
    WHERE account_id = :account_id AND id > :after ORDER BY id LIMIT :most
    """
)
_SET_GROUP_MESSAGE = text(
    """
    UPDATE group_messages
    SET content = CAST(:content AS jsonb), plan = CAST(:plan AS jsonb), checkpoint = CAST(:checkpoint AS jsonb)
    WHERE id = :id AND account_id = :account_id AND status IN ('completed', 'canceled')
    """
)
_CLEAN_SKIPS = text(
    """
    UPDATE group_message_skips SET contact_id = NULL, address = NULL, detail = NULL
    WHERE group_message_id = ANY (CAST(:ids AS uuid[])) AND account_id = :account_id
      AND (contact_id = ANY (CAST(:people AS uuid[])) OR recipient_id = ANY (CAST(:people AS uuid[]))
           OR address = ANY (CAST(:texts AS text[])))
    """
)

_THEIRS = """
    account_id = :account_id AND (channel_class, address) IN (
        SELECT channel_class, address FROM unnest(CAST(:classes AS text[]), CAST(:addresses AS text[]))
               AS k(channel_class, address))
"""
_FORGET_OPT_OUTS = text(f"DELETE FROM opt_outs WHERE {_THEIRS}")  # noqa: S608 - text of ours
_FORGET_LEDGER = text(f"DELETE FROM consent_events WHERE {_THEIRS}")  # noqa: S608 - text of ours
_CLEAN_OPT_OUTS = text(f"UPDATE opt_outs SET text = NULL, detail = NULL WHERE {_THEIRS}")  # noqa: S608 - text of ours
_CLEAN_LEDGER = text(f"UPDATE consent_events SET text = NULL, detail = NULL WHERE {_THEIRS}")  # noqa: S608 - text of ours
_FORGET_REPLIES = text(
    "DELETE FROM opt_out_replies WHERE account_id = :account_id AND address = ANY (CAST(:addresses AS text[]))"
)


class Looked(NamedTuple):
    """A window that was looked through: what was erased in it, and where to go on; None at the end."""

    erased: int
    after: str | None


class GroupMessages(NamedTuple):
    """Some that were looked through: how many were cleaned, how many name the person and have not ended."""

    erased: int
    left: int
    after: str | None


class TraceErasure:
    """Erases one person from what an account has written down, inside one unit of work."""

    def __init__(self, session: AsyncSession, account_id: UUID, person: Person) -> None:
        self._session = session
        self._account_id = account_id
        self._person = person
        self._texts = frozenset(person.texts)

    async def erase_events(self, after: str | None) -> Looked:
        """Look through some events."""
        position, _, last = (after or f"0:{UUID(int=0)}").partition(":")
        keys = {"account_id": self._account_id, "position": int(position), "after": UUID(last)}
        found = await self._session.execute(_EVENTS, {**keys, "texts": self._person.texts, "most": WINDOW})
        rows = found.all()
        masked = {row.id: changed for row in rows if row.data is not None and (changed := self._masked(row.data))}
        if masked:
            documents = [msgspec.json.encode(each).decode() for each in masked.values()]
            values = {"ids": list(masked), "documents": documents}
            await self._session.execute(_SET_EVENTS, {"account_id": self._account_id, **values})
        return Looked(len(masked), f"{rows[-1].position}:{rows[-1].id}" if len(rows) == WINDOW else None)

    async def erase_entries(self, after: str | None) -> Looked:
        """Look through some entries of the audit log."""
        keys = {"account_id": self._account_id, "after": UUID(after) if after else UUID(int=0)}
        found = await self._session.execute(_ENTRIES, {**keys, "texts": self._person.texts, "most": WINDOW})
        rows = found.all()
        masked = {
            row.id: (before or row.before, entry_after or row.after)
            for row in rows
            if row.named
            # Both, even when the first has changed.
            for before, entry_after in [(self._masked(row.before), self._masked(row.after))]
            if before or entry_after
        }
        if masked:
            values = {
                "ids": list(masked),
                "befores": [_text(before) for before, _ in masked.values()],
                "afters": [_text(entry_after) for _, entry_after in masked.values()],
            }
            await self._session.execute(_SET_ENTRIES, {"account_id": self._account_id, **values})
        return Looked(len(masked), str(rows[-1].id) if len(rows) == WINDOW else None)

    async def erase_group_messages(self, after: str | None) -> GroupMessages:
        """Look through some messages to many, for the addresses they were sent to and the people they passed over.

        One that has not ended stays as its owner wrote it: what it is to do next is counted along its lists.
        """
        keys = {"account_id": self._account_id, "after": UUID(after) if after else UUID(int=0)}
        rows = (await self._session.execute(_GROUP_MESSAGES, {**keys, "most": GROUP_MESSAGES})).all()
        erased = left = 0
        for row in rows:
            documents = {name: getattr(row, name) for name in ("content", "plan", "checkpoint")}
            masked = {name: _mask(document, self._texts, words=False) for name, document in documents.items()}
            if masked == documents:
                continue
            if row.status not in _ENDED:
                left += 1
                continue
            values = {name: _text(document) for name, document in masked.items()}
            await self._session.execute(_SET_GROUP_MESSAGE, {"id": row.id, "account_id": self._account_id, **values})
            erased += 1
        if rows:
            theirs = {"people": self._person.ids, "texts": self._person.texts}
            ids = [row.id for row in rows]
            await self._session.execute(_CLEAN_SKIPS, {"account_id": self._account_id, "ids": ids, **theirs})
        return GroupMessages(erased, left, str(rows[-1].id) if len(rows) == GROUP_MESSAGES else None)

    async def erase_consent(self, *, forget: bool) -> int:
        """Forget what the person does not want, or else what was said when they opted out; how many opt-outs."""
        addresses = self._person.addresses
        keys = {
            "account_id": self._account_id,
            "classes": [each.type.channel_class for each in addresses],
            "addresses": [each.value for each in addresses],
        }
        await lock_consent(self._session, self._account_id)
        opt_outs: Any = await self._session.execute(_FORGET_OPT_OUTS if forget else _CLEAN_OPT_OUTS, keys)
        await self._session.execute(_FORGET_LEDGER if forget else _CLEAN_LEDGER, keys)
        replies = {"account_id": self._account_id, "addresses": keys["addresses"]}
        await self._session.execute(_FORGET_REPLIES, replies)
        return int(opt_outs.rowcount)

    async def erase_merges(self) -> int:
        """Forget what merged contacts were like, and that they were merged; how many merges."""
        erased = 0
        for merge in await merges_of(self._session, self._account_id, self._person.ids):
            if merge.merged is not None:
                merge.merged = merge.kept_before = None
                erased += 1
        await self._session.flush()
        await remove_aliases(self._session, self._account_id, self._person.ids)
        return erased

    def _masked(self, document: Any) -> Any:
        """The document without the person, None when nothing of it is about them."""
        masked = _mask(document, self._texts)
        return masked if masked != document else None


def _mask(value: Any, texts: frozenset[str], *, words: bool = True) -> Any:
    """A document with `ERASED` for each of `texts`; with `words`, without what was said beside one of them."""
    match value:
        case str():
            return ERASED if value in texts else value
        case list():
            return [_mask(each, texts, words=words) for each in value]
        case dict():
            about_them = words and any(isinstance(each, str) and each in texts for each in value.values())
            return {
                key: None if about_them and key in _SAID else _mask(each, texts, words=words)
                for key, each in value.items()
            }
    return value


def _text(document: Any) -> str | None:
    return None if document is None else msgspec.json.encode(document).decode()
