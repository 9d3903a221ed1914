"""Segments: saved filters over contacts."""

from uuid import UUID

from litestar import Controller, Response, delete, get, patch, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import Container
from app.api.guards import requires
from app.api.preconditions import if_match, tag_of
from app.api.requests import ApiRequest, list_query, refuse_null
from app.api.v1.contacts import provide_contacts
from app.domain.contacts.definition_schemas import (
    SegmentCreate,
    SegmentExplainRequest,
    SegmentExplanation,
    SegmentOut,
    SegmentPatch,
    SegmentPreviewOut,
    SegmentPreviewRequest,
)
from app.domain.contacts.listing import LISTING as CONTACTS
from app.domain.contacts.schemas import ContactOut
from app.domain.contacts.segments import LISTING, SegmentService
from app.domain.contacts.service import ContactService
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.schemas import Caller
from app.lib.pagination import Page

# What is in contacts is for those who may read contacts.
_SEES_CONTACTS = [requires("segments:read"), requires("contacts:read")]


def _tagged(segment: SegmentOut, status_code: int = 200, headers: dict[str, str] | None = None) -> Response[SegmentOut]:
    return Response(segment, status_code=status_code, headers=tag_of(segment.updated_at) | (headers or {}))


def provide_segments(
    session: NamedDependency[AsyncSession],
    container: NamedDependency[Container],
    caller: NamedDependency[Caller],
    audit: NamedDependency[AuditTrail],
) -> SegmentService:
    """The segments of the caller's account, in the request's unit of work."""
    return SegmentService(
        session,
        container.contact_stores.of(session, caller.account_id),
        caller.account_id,
        audit=audit,
        clock=container.clock,
        new_id=container.new_id,
    )


class SegmentController(Controller):
    """`/v1/segments`."""

    path = "/v1/segments"
    tags = ["segments"]
    dependencies = {
        "segments": Provide(provide_segments, sync_to_thread=False),
        "contacts": Provide(provide_contacts, sync_to_thread=False),
    }

    @get(
        "/",
        guards=[requires("segments:read")],
        operation_id="ListSegments",
        summary="List segments",
        opt={"listing": LISTING},
    )
    async def index(self, request: ApiRequest, segments: NamedDependency[SegmentService]) -> Page[SegmentOut]:
        """Newest first, without counts. Filters: name, created_at, updated_at. Sorts: created_at, name."""
        return await segments.page(list_query(request, LISTING))

    @post(
        "/",
        guards=[requires("segments:create")],
        operation_id="CreateSegment",
        summary="Save a filter",
        opt={"problems": {409: ("name_taken",)}},
    )
    async def create(
        self, data: JSONBody[SegmentCreate], segments: NamedDependency[SegmentService]
    ) -> Response[SegmentOut]:
        """Its members are whoever matches at the moment they are asked for."""
        segment = await segments.create(data)
        return _tagged(segment, 201, {"Location": f"/v1/segments/{segment.id}"})

    @post(
        "/preview",
        status_code=200,
        guards=_SEES_CONTACTS,
        operation_id="PreviewSegment",
        summary="Who would be in a segment?",
    )
    async def preview(
        self, data: JSONBody[SegmentPreviewRequest], segments: NamedDependency[SegmentService]
    ) -> SegmentPreviewOut:
        """Counts those who match now, and shows the newest ten. Needs `segments:read` as well."""
        return await segments.preview(data.filter)

    @get("/{segment_id:uuid}", guards=[requires("segments:read")], operation_id="GetSegment", summary="One segment")
    async def show(self, segment_id: FromPath[UUID], segments: NamedDependency[SegmentService]) -> Response[SegmentOut]:
        """`count` is counted now; the ETag does not follow it."""
        return _tagged(await segments.get(segment_id))

    @patch(
        "/{segment_id:uuid}",
        guards=[requires("segments:update")],
        operation_id="UpdateSegment",
        summary="Change a segment",
        opt={"clearable": ("description",), "problems": {409: ("name_taken",)}},
    )
    async def update(
        self,
        segment_id: FromPath[UUID],
        data: JSONBody[SegmentPatch],
        request: ApiRequest,
        segments: NamedDependency[SegmentService],
    ) -> Response[SegmentOut]:
        """The filter is replaced whole."""
        for field in ("name", "filter"):
            if getattr(data, field) is None:
                raise refuse_null(f"/{field}")
        return _tagged(await segments.patch(segment_id, data, if_match(request)))

    @delete(
        "/{segment_id:uuid}",
        guards=[requires("segments:delete")],
        operation_id="DeleteSegment",
        summary="Forget a segment",
    )
    async def remove(
        self, segment_id: FromPath[UUID], request: ApiRequest, segments: NamedDependency[SegmentService]
    ) -> None:
        """The contacts stay."""
        await segments.delete(segment_id, if_match(request))

    @get(
        "/{segment_id:uuid}/contacts",
        guards=_SEES_CONTACTS,
        operation_id="ListSegmentContacts",
        summary="List the contacts in a segment",
        opt={"listing": CONTACTS, "problems": {409: ("segment_broken",)}},
    )
    async def members(
        self,
        segment_id: FromPath[UUID],
        request: ApiRequest,
        segments: NamedDependency[SegmentService],
        contacts: NamedDependency[ContactService],
    ) -> Page[ContactOut]:
        """Those who match now, of those the filters of the list. Needs `segments:read` as well."""
        listing = await contacts.listing()
        query = list_query(request, listing)
        return await contacts.page(listing, query, await segments.expression(segment_id))

    @post(
        "/{segment_id:uuid}/explain",
        status_code=200,
        guards=_SEES_CONTACTS,
        operation_id="ExplainSegment",
        summary="Why is this person in?",
        opt={"problems": {409: ("segment_broken",)}},
    )
    async def explain(
        self,
        segment_id: FromPath[UUID],
        data: JSONBody[SegmentExplainRequest],
        segments: NamedDependency[SegmentService],
    ) -> SegmentExplanation:
        """What each part of the filter says about a contact. Needs `segments:read` as well."""
        return await segments.explain(segment_id, data.contact_id)
