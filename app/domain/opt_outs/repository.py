"""The statements on opt-outs, the ledger and sets of keywords, where they are read or changed one by one."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.opt_outs.classes import ChannelClass, Source, Topic
from app.domain.opt_outs.keywords import Action
from app.domain.opt_outs.matching import KeywordRule
from app.domain.opt_outs.models import ConsentEvent, KeywordSet, OptOut
from app.lib.db import Scope
from app.lib.filters import FilterField, Kind
from app.lib.pagination import Listing, ListQuery, Page, Sort, fetch_page

_CONSENT_FIELDS = {
    "channel_class": FilterField(Kind.CHOICE, tuple(each.value for each in ChannelClass)),
    "address": FilterField(Kind.TEXT),
    "topic": FilterField(Kind.CHOICE, tuple(each.value for each in Topic)),
    "source": FilterField(Kind.CHOICE, tuple(each.value for each in Source)),
    "message_id": FilterField(Kind.UUID),
    "channel_id": FilterField(Kind.UUID),
    "created_at": FilterField(Kind.DATETIME),
}

LISTING = Listing(
    id_column=OptOut.__table__.c.id,
    fields=_CONSENT_FIELDS,
    columns={name: OptOut.__table__.c[name] for name in _CONSENT_FIELDS},
    sorts={"created_at": Sort(None, datetime)},
)

_LEDGER_FIELDS = {
    **_CONSENT_FIELDS,
    "change": FilterField(Kind.CHOICE, ("opted_out", "opted_in")),
    "opt_out_id": FilterField(Kind.UUID),
}

LEDGER_LISTING = Listing(
    id_column=ConsentEvent.__table__.c.id,
    fields=_LEDGER_FIELDS,
    columns={name: ConsentEvent.__table__.c[name] for name in _LEDGER_FIELDS},
    sorts={"created_at": Sort(None, datetime)},
)

_KEYWORD_FIELDS = {
    "action": FilterField(Kind.CHOICE, tuple(each.value for each in Action)),
    "channel_class": FilterField(Kind.CHOICE, tuple(each.value for each in ChannelClass)),
    "channel_id": FilterField(Kind.UUID),
    "language": FilterField(Kind.TEXT),
    "topic": FilterField(Kind.CHOICE, tuple(each.value for each in Topic)),
    "created_at": FilterField(Kind.DATETIME),
}

KEYWORD_LISTING = Listing(
    id_column=KeywordSet.__table__.c.id,
    fields=_KEYWORD_FIELDS,
    columns={name: KeywordSet.__table__.c[name] for name in _KEYWORD_FIELDS},
    sorts={"created_at": Sort(None, datetime)},
)

_LOCK_KEYWORDS = text(
    "SELECT pg_advisory_xact_lock(hashtextextended('opt_out_keywords:' || CAST(:account AS text), 0))"
)


class OptOutRepository:
    """The opt-outs of one account, and its ledger."""

    def __init__(self, session: AsyncSession, scope: Scope) -> None:
        self._session = session
        self._scope = scope

    async def page(self, query: ListQuery) -> Page[OptOut]:
        """One page of the opt-outs in force."""
        return await fetch_page(self._session, self._scope.select(OptOut), LISTING, query)

    async def ledger(self, query: ListQuery) -> Page[ConsentEvent]:
        """One page of the ledger."""
        return await fetch_page(self._session, self._scope.select(ConsentEvent), LEDGER_LISTING, query)

    async def find(self, opt_out_id: UUID) -> OptOut | None:
        """One opt-out in force."""
        statement = self._scope.select(OptOut).where(OptOut.id == opt_out_id)
        return (await self._session.execute(statement)).scalar_one_or_none()


class KeywordRepository:
    """The sets of keywords of one account."""

    def __init__(self, session: AsyncSession, scope: Scope) -> None:
        self._session = session
        self._scope = scope

    async def lock(self) -> None:
        """Change them alone until the transaction ends: what words are taken is decided by reading them."""
        await self._session.execute(_LOCK_KEYWORDS, {"account": str(self._scope.account_id)})

    async def page(self, query: ListQuery) -> Page[KeywordSet]:
        """One page of the list."""
        return await fetch_page(self._session, self._scope.select(KeywordSet), KEYWORD_LISTING, query)

    async def all(self) -> list[KeywordSet]:
        """All of them."""
        return list((await self._session.execute(self._scope.select(KeywordSet))).scalars())

    async def find(self, keyword_id: UUID, *, for_update: bool = False) -> KeywordSet | None:
        """One set; `for_update` keeps other writers out until the transaction ends."""
        statement = self._scope.select(KeywordSet).where(KeywordSet.id == keyword_id)
        if for_update:
            statement = statement.with_for_update()
        return (await self._session.execute(statement)).scalar_one_or_none()

    async def add(self, keywords: KeywordSet) -> None:
        """Insert."""
        self._session.add(keywords)
        await self.save()

    async def save(self) -> None:
        """Write what changed."""
        await self._session.flush()

    async def delete(self, keywords: KeywordSet) -> None:
        """Delete the row, and with it when it was answered."""
        await self._session.delete(keywords)
        await self._session.flush()


async def rules_of(session: AsyncSession, account_id: UUID) -> list[KeywordRule]:
    """The sets of an account, as they are matched."""
    rows = await session.execute(Scope(account_id).select(KeywordSet))
    return [_rule(each) for each in rows.scalars()]


def _rule(row: KeywordSet) -> KeywordRule:
    return KeywordRule(
        id=row.id,
        action=Action(row.action),
        words=frozenset(row.words),
        topic=Topic(row.topic),
        channel_class=None if row.channel_class is None else ChannelClass(row.channel_class),
        channel_id=row.channel_id,
        reply=row.reply,
        replaces_built_in=row.replaces_built_in,
    )
