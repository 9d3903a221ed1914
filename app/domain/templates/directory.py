"""What senders see of the templates: versions are compiled once and kept, which is current is remembered for seconds
and forgotten on every announced change.
"""

import time
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.templates.content import Content, Kind
from app.domain.templates.events import TEMPLATE_CHANGED, announced
from app.domain.templates.models import Template, TemplateVersion
from app.domain.templates.rendering import MessagePlan, language_for
from app.lib.db import Database, Scope
from app.lib.listen import listen

K = TypeVar("K")
V = TypeVar("V")

CACHE_SECONDS = 3.0
MAX_CACHED = 1_000
"""Versions that are kept compiled, and templates whose current version is remembered."""


class TemplateRecord:
    """One version of a template as senders use it: `plan` for a channel and a language, which is made once.

    `content` was checked when it was stored.
    """

    __slots__ = ("_plans", "account_id", "content", "template_id", "version")

    def __init__(self, account_id: UUID, template_id: UUID, version: int, content: Content) -> None:
        self.account_id = account_id
        self.template_id = template_id
        self.version = version
        self.content = content
        # At most one for each kind and language of the content.
        self._plans: dict[tuple[Kind, str | None], MessagePlan] = {}

    def __repr__(self) -> str:
        return f"<TemplateRecord {self.template_id} version {self.version}>"

    def plan(self, kind: Kind, language: str | None) -> MessagePlan:
        """What renders messages for channels of a kind (`rendering.kind_of`) and contacts with this language."""
        code = language_for(self.content, language)
        plan = self._plans.get((kind, code))
        if plan is None:
            plan = self._plans[kind, code] = MessagePlan(self.content, kind, code)
        return plan


class _Current(msgspec.Struct, frozen=True):
    """Which version a template is at; None when there is no such template, or not any more."""

    expires: float
    version: int | None


class TemplateDirectory:
    """Reads templates for one process. Run `listen()` as a task; without it a change is seen after `cache_seconds`."""

    def __init__(
        self,
        database: Database,
        *,
        cache_seconds: float = CACHE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._cache_seconds = cache_seconds
        self._monotonic = monotonic
        self._current: dict[tuple[UUID, UUID], _Current] = {}
        self._records: dict[tuple[UUID, UUID, int], TemplateRecord] = {}
        # A load that began before a change may have read what was there before it.
        self._changes = 0
        # So that whoever changes a template here sends with the new version by the next request.
        database.when_committed(self._committed)

    async def get(self, account_id: UUID, template_id: UUID, version: int | None = None) -> TemplateRecord | None:
        """A version of one of the account's templates, the current one unless one is named; None when there is none.

        A deleted template has no current version; those that are named are there still, for what was begun with them.
        Raises `Unavailable`.
        """
        if version is None:
            known = self._current.get((account_id, template_id))
            if known is None or known.expires <= self._monotonic():
                return await self._load_current(account_id, template_id)
            if known.version is None:
                return None
            version = known.version
        record = self._records.get((account_id, template_id, version))
        return record or await self._load(account_id, template_id, version)

    def forget(self, template_id: UUID | None) -> None:
        """Drop what is remembered about the current version of one template, or of all."""
        self._changes += 1
        for key in [key for key in self._current if template_id is None or key[1] == template_id]:
            del self._current[key]

    async def listen(self) -> None:
        """Follow the announcements until cancelled, through every loss of the database."""
        await listen(self._database, TEMPLATE_CHANGED, self._notified)

    def _notified(self, payload: str | None) -> None:
        try:
            self.forget(UUID(payload) if payload is not None else None)
        except ValueError:
            self.forget(None)

    def _committed(self, session: AsyncSession) -> None:
        for template_id in announced(session):
            self.forget(template_id)

    async def _load_current(self, account_id: UUID, template_id: UUID) -> TemplateRecord | None:
        changes = self._changes
        scope = Scope(account_id)
        statement = (
            scope.select(Template)
            .join(TemplateVersion, TemplateVersion.template_id == Template.id)
            .where(Template.id == template_id, Template.deleted_at.is_(None))
            .where(TemplateVersion.version == Template.version, scope.owns(TemplateVersion))
            .with_only_columns(TemplateVersion.version, TemplateVersion.content)
        )
        async with self._database.reading(account_id) as session:
            row = (await session.execute(statement)).one_or_none()
        version = None if row is None else int(row.version)
        if changes == self._changes:
            _keep(self._current, (account_id, template_id), _Current(self._monotonic() + self._cache_seconds, version))
        return None if row is None else self._record(account_id, template_id, int(row.version), row.content)

    async def _load(self, account_id: UUID, template_id: UUID, version: int) -> TemplateRecord | None:
        statement = (
            Scope(account_id)
            .select(TemplateVersion)
            .where(TemplateVersion.template_id == template_id, TemplateVersion.version == version)
        )
        async with self._database.reading(account_id) as session:
            row = (await session.execute(statement)).scalar_one_or_none()
        return None if row is None else self._record(account_id, template_id, version, row.content)

    def _record(self, account_id: UUID, template_id: UUID, version: int, document: object) -> TemplateRecord:
        key = (account_id, template_id, version)
        record = self._records.get(key)
        if record is None:
            record = TemplateRecord(account_id, template_id, version, msgspec.convert(document, Content))
            _keep(self._records, key, record)
        return record


def _keep(cache: dict[K, V], key: K, value: V) -> None:
    while len(cache) >= MAX_CACHED and key not in cache:
        del cache[next(iter(cache))]
    cache[key] = value
