"""Segments: saved filters, whose members are whoever matches now. Nothing here commits: the unit of work does."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.definition_schemas import (
    SegmentCreate,
    SegmentExplanation,
    SegmentOut,
    SegmentPatch,
    SegmentPreviewOut,
)
from app.domain.contacts.evaluation import explain
from app.domain.contacts.filtering import ContactFilters
from app.domain.contacts.records import Segment
from app.domain.contacts.shown import shown_contacts
from app.domain.contacts.stores.contract import ContactStore, Window
from app.domain.contacts.texts import description_text, nfc_document
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.names import patched_name
from app.lib.clock import Clock
from app.lib.db import Scope, constraint_of
from app.lib.errors import Conflict, InvalidValue, NotFound
from app.lib.filters import Expression, FilterField, Kind
from app.lib.ids import NewId
from app.lib.pagination import Listing, ListQuery, Page, Sort, fetch_page
from app.lib.versions import changed_at, check_version

LISTING = Listing(
    id_column=Segment.__table__.c.id,
    fields={
        "name": FilterField(Kind.TEXT),
        "created_at": FilterField(Kind.DATETIME),
        "updated_at": FilterField(Kind.DATETIME),
    },
    columns={name: Segment.__table__.c[name] for name in ("name", "created_at", "updated_at")},
    sorts={"created_at": Sort(None, Segment), "name": Sort(Segment.__table__.c.name, str)},
)

SAMPLE = 10
"""Contacts that a preview shows."""


class SegmentService:
    """The segments of one account, inside one unit of work.

    Methods raise `NotFound` for a segment of another account as for none, `InvalidValue` with pointers into the body,
    and `PreconditionFailed` when `if_match` holds versions and none of them is the stored one.
    """

    def __init__(
        self,
        session: AsyncSession,
        store: ContactStore,
        account_id: UUID,
        *,
        audit: AuditTrail,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._session = session
        self._store = store
        self._account_id = account_id
        self._scope = Scope(account_id)
        self._filters = ContactFilters(session, account_id, clock=clock, new_id=new_id)
        self._audit = audit
        self._clock = clock
        self._new_id = new_id

    async def page(self, query: ListQuery) -> Page[SegmentOut]:
        """One page of the account's segments, without counts."""
        page = await fetch_page(self._session, self._scope.select(Segment), LISTING, query)
        return Page([_segment_out(segment) for segment in page.items], page.next_cursor, page.total)

    async def get(self, segment_id: UUID) -> SegmentOut:
        """One segment, counted now."""
        return await self._counted(await self._find(segment_id))

    async def create(self, data: SegmentCreate) -> SegmentOut:
        """A new segment, counted now. Raises `Conflict` (`name_taken`)."""
        name = patched_name(data.name, "/name")
        await self._filters.read(data.filter)
        now = self._clock()
        segment = Segment(
            id=self._new_id(),
            account_id=self._account_id,
            name=name,
            description=description_text(data.description),
            filter=nfc_document(data.filter),
            created_at=now,
            updated_at=now,
        )
        self._session.add(segment)
        await self._save()
        await self._audit.record(self._account_id, "created", "segment", segment.id, after=_segment_out(segment))
        return await self._counted(segment)

    async def patch(self, segment_id: UUID, data: SegmentPatch, if_match: Collection[str] | None = None) -> SegmentOut:
        """Change what is sent. Raises `Conflict` (`name_taken`). A change of nothing keeps the version."""
        segment = await self._find(segment_id, for_update=True, if_match=if_match)
        before = _segment_out(segment)
        changes: dict[str, Any] = {}
        if data.name is not UNSET:
            changes["name"] = patched_name(data.name, "/name")
        if data.description is not UNSET:
            changes["description"] = description_text(data.description)
        if data.filter is None:
            raise InvalidValue.at("/filter", "not_nullable", "This field cannot be cleared.")
        if data.filter is not UNSET:
            await self._filters.read(data.filter)
            changes["filter"] = nfc_document(data.filter)
        changes = {name: value for name, value in changes.items() if getattr(segment, name) != value}
        if changes:
            for name, value in changes.items():
                setattr(segment, name, value)
            segment.updated_at = changed_at(self._clock(), segment.updated_at)
            await self._save()
            after = _segment_out(segment)
            await self._audit.record(self._account_id, "updated", "segment", segment.id, before=before, after=after)
        return await self._counted(segment)

    async def delete(self, segment_id: UUID, if_match: Collection[str] | None = None) -> None:
        """Forget the segment; the contacts stay."""
        segment = await self._find(segment_id, for_update=True, if_match=if_match)
        before = _segment_out(segment)
        await self._session.delete(segment)
        await self._session.flush()
        await self._audit.record(self._account_id, "deleted", "segment", segment_id, before=before)

    async def preview(self, document: dict[str, Any]) -> SegmentPreviewOut:
        """How many match a filter now, and some of them."""
        where = await self._filters.read(document)
        sample = await self._store.page(Window(where, SAMPLE))
        return SegmentPreviewOut(
            await self._store.count(where), await shown_contacts(self._session, self._store, sample)
        )

    async def expression(self, segment_id: UUID) -> Expression:
        """What the segment matches now, for a store.

        Raises `Conflict` (`segment_broken`) when the filter names a group or an attribute that is gone.
        """
        return await self._read(await self._find(segment_id))

    async def explain(self, segment_id: UUID, contact_id: UUID) -> SegmentExplanation:
        """Why a contact is in the segment, or is not. Raises `Conflict` (`segment_broken`)."""
        where = await self.expression(segment_id)
        contact = (await self._store.get([contact_id])).get(contact_id)
        if contact is None:
            raise InvalidValue.at("/contact_id", "not_found", "There is no such contact.")
        explanation = explain(where, contact)
        return SegmentExplanation(explanation.holds, explanation)

    async def _read(self, segment: Segment) -> Expression:
        try:
            return await self._filters.read(segment.filter)
        except InvalidValue as error:
            detail = f"The filter of the segment does not hold any more: {error.detail}"
            raise Conflict(detail, code="segment_broken", errors=error.errors) from error

    async def _counted(self, segment: Segment) -> SegmentOut:
        shown = _segment_out(segment)
        try:
            where = await self._read(segment)
        except Conflict as error:
            return msgspec.structs.replace(shown, count=None, problem=error.detail)
        return msgspec.structs.replace(shown, count=await self._store.count(where))

    async def _find(
        self, segment_id: UUID, *, for_update: bool = False, if_match: Collection[str] | None = None
    ) -> Segment:
        statement = self._scope.select(Segment).where(Segment.id == segment_id)
        if for_update:
            statement = statement.with_for_update()
        segment = (await self._session.execute(statement)).scalar_one_or_none()
        if segment is None:
            raise NotFound("There is no such segment.")
        check_version(segment.updated_at, if_match, "segment")
        return segment

    async def _save(self) -> None:
        try:
            await self._session.flush()
        except IntegrityError as error:
            if constraint_of(error) == "uq_segments_account_id_name":
                raise Conflict("Another segment of this account has that name.", code="name_taken") from error
            raise


def _segment_out(segment: Segment) -> SegmentOut:
    return SegmentOut(
        id=segment.id,
        account_id=segment.account_id,
        name=segment.name,
        description=segment.description or None,
        filter=segment.filter,
        created_at=segment.created_at,
        updated_at=segment.updated_at,
    )
