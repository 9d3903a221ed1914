"""Writing down who did what, in the transaction in which it was done. Nothing here commits."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.audit.repository import insert_entry, page_of_entries
from app.domain.identity.audit.schemas import ActorOut, ActorType, AuditEntryOut
from app.domain.identity.models import AuditEntry
from app.domain.identity.schemas import Caller, Origin
from app.lib.ids import NewId
from app.lib.pagination import ListQuery, Page

MASK = "***"
"""What stands for a secret that was replaced."""


class AuditTrail:
    """Writes entries about one request: by `caller`, or by whoever `by` names where nobody is logged in yet."""

    def __init__(self, session: AsyncSession, caller: Caller | None, origin: Origin, new_id: NewId) -> None:
        self._session = session
        self._caller = caller
        self._origin = origin
        self._new_id = new_id

    async def record(
        self,
        account_id: UUID,
        action: str,
        resource_type: str,
        resource_id: UUID | None,
        *,
        before: msgspec.Struct | None = None,
        after: msgspec.Struct | None = None,
        masked: Collection[str] = (),
        by: ActorOut | None = None,
    ) -> None:
        """Write an entry in the log of `account_id`.

        `action` is a verb in the past, e.g. `created`, `updated`, `suspended`, `logged_in`; `resource_type` is in the
        singular, e.g. `api_key`. `before` and `after` are what the resource's route shows: never a stored row, never a
        struct that carries a secret. `masked` names secrets that were replaced: the log shows that, not them.
        """
        actor = by or self.actor
        await insert_entry(
            self._session,
            AuditEntry(
                id=self._new_id(),
                account_id=account_id,
                actor_type=actor.type,
                actor_id=actor.id,
                actor_name=actor.name,
                action=action,
                resource_type=resource_type,
                resource_id=resource_id,
                before=_document(before),
                after=_document(after, masked),
                ip=self._origin.ip,
                user_agent=self._origin.user_agent,
                request_id=self._origin.request_id,
            ),
        )

    @property
    def actor(self) -> ActorOut:
        """Whoever is asking."""
        if self._caller is None:
            return ActorOut("system", None, "turumba")
        kind: ActorType = "api_key" if self._caller.api_key_id is not None else "user"
        return ActorOut(kind, self._caller.api_key_id or self._caller.user_id, self._caller.name)


async def audit_page(session: AsyncSession, account_id: UUID, query: ListQuery) -> Page[AuditEntryOut]:
    """One page of the account's log, newest first by default."""
    page = await page_of_entries(session, account_id, query)
    return Page([_entry_out(entry) for entry in page.items], page.next_cursor, page.total)


def _document(value: msgspec.Struct | None, masked: Collection[str] = ()) -> dict[str, Any] | None:
    if value is None:
        return None
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    return document | dict.fromkeys(masked, MASK)


def _entry_out(entry: AuditEntry) -> AuditEntryOut:
    return AuditEntryOut(
        id=entry.id,
        account_id=entry.account_id,
        actor=ActorOut(entry.actor_type, entry.actor_id, entry.actor_name),  # type: ignore[arg-type]
        action=entry.action,
        resource_type=entry.resource_type,
        resource_id=entry.resource_id,
        before=entry.before,
        after=entry.after,
        ip=entry.ip,
        user_agent=entry.user_agent,
        request_id=entry.request_id,
        created_at=entry.created_at,
        updated_at=entry.updated_at,
    )
