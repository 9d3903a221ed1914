"""Templates, their versions, and what would become of them."""

from typing import Any
from uuid import UUID

from litestar import Controller, Response, delete, get, patch, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import Container
from app.api.guards import requires
from app.api.preconditions import if_match, tag_of
from app.api.requests import ApiRequest, list_query, refuse_null
from app.domain.contacts.attributes import AttributeService
from app.domain.contacts.filling import stored_values
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.permissions import lacking
from app.domain.identity.schemas import Caller
from app.domain.templates.repository import LISTING, VERSIONS
from app.domain.templates.schemas import (
    PreviewedTemplate,
    TemplateCreate,
    TemplateOut,
    TemplatePatch,
    TemplatePreview,
    TemplatePreviewRequest,
    TemplateVersionOut,
)
from app.domain.templates.service import TemplateService
from app.lib.errors import InvalidValue
from app.lib.pagination import Page


def _tagged(
    template: TemplateOut, status_code: int = 200, headers: dict[str, str] | None = None
) -> Response[TemplateOut]:
    return Response(template, status_code=status_code, headers=tag_of(template.updated_at) | (headers or {}))


async def provide_templates(
    session: NamedDependency[AsyncSession],
    container: NamedDependency[Container],
    caller: NamedDependency[Caller],
    audit: NamedDependency[AuditTrail],
) -> TemplateService:
    """The templates of the caller's account, in the request's unit of work."""
    clock, new_id = container.clock, container.new_id
    attributes = await AttributeService(session, caller.account_id, clock=clock, new_id=new_id).definitions()
    return TemplateService(
        session, caller.account_id, audit=audit, clock=clock, new_id=new_id, attributes=attributes.keys()
    )


class StoredContacts:
    """The contacts of the caller's account, for who may see them."""

    def __init__(self, session: AsyncSession, container: Container, caller: Caller) -> None:
        self._session = session
        self._stores = container.contact_stores
        self._caller = caller

    async def asked_for(self, data: TemplatePreview | TemplatePreviewRequest) -> dict[str, Any] | None:
        """What the stored contact that a preview names fills in; None when it names none."""
        if data.contact_id is None:
            return None
        if not self._caller.may("contacts:read"):
            raise lacking("contacts:read", self._caller.suspended)
        if data.contact is not None:
            raise InvalidValue.at("/contact_id", "not_allowed", "Send either contact or contact_id.")
        account_id = self._caller.account_id
        store = self._stores.of(self._session, account_id)
        values = await stored_values(self._session, store, account_id, data.contact_id)
        if values is None:
            raise InvalidValue.at("/contact_id", "not_found", "There is no such contact in this account.")
        return values


def provide_people(
    session: NamedDependency[AsyncSession], container: NamedDependency[Container], caller: NamedDependency[Caller]
) -> StoredContacts:
    """The caller's contacts, in the request's unit of work."""
    return StoredContacts(session, container, caller)


class TemplateController(Controller):
    """`/v1/templates`."""

    path = "/v1/templates"
    tags = ["templates"]
    dependencies = {
        "templates": Provide(provide_templates),
        "people": Provide(provide_people, sync_to_thread=False),
    }

    @get(
        "/",
        guards=[requires("templates:read")],
        operation_id="ListTemplates",
        summary="List templates",
        opt={"listing": LISTING},
    )
    async def index(self, request: ApiRequest, templates: NamedDependency[TemplateService]) -> Page[TemplateOut]:
        """Newest first. Filters: name, created_at. Sorts: created_at, name."""
        return await templates.page(list_query(request, LISTING))

    @post(
        "/",
        guards=[requires("templates:create")],
        operation_id="CreateTemplate",
        summary="Make a template",
        opt={"problems": {409: ("name_taken",)}},
    )
    async def create(
        self, data: JSONBody[TemplateCreate], templates: NamedDependency[TemplateService]
    ) -> Response[TemplateOut]:
        """`Hi {FIRST_NAME|title}, your code is {CODE}`: names are filled from the message's variables, else from the
        contact's fields, else from its attributes. What is wrong in a text is 422 with its place.
        """
        template = await templates.create(data)
        return _tagged(template, 201, {"Location": f"/v1/templates/{template.id}"})

    @post(
        "/preview",
        status_code=200,
        guards=[requires("templates:read")],
        operation_id="PreviewTemplate",
        summary="Try a template that is not stored",
    )
    async def preview(
        self,
        data: JSONBody[TemplatePreview],
        templates: NamedDependency[TemplateService],
        people: NamedDependency[StoredContacts],
    ) -> PreviewedTemplate:
        """Nothing is stored or sent. A stored contact, by its `contact_id`, wants the permission to read contacts."""
        return templates.preview_content(data, await people.asked_for(data))

    @get("/{template_id:uuid}", guards=[requires("templates:read")], operation_id="GetTemplate", summary="One template")
    async def show(
        self, template_id: FromPath[UUID], templates: NamedDependency[TemplateService]
    ) -> Response[TemplateOut]:
        """What its current version says, with warnings and lengths."""
        return _tagged(await templates.get(template_id))

    @patch(
        "/{template_id:uuid}",
        guards=[requires("templates:update")],
        operation_id="UpdateTemplate",
        summary="Change a template",
        opt={
            "clearable": ("language", "fallback", "languages", "variants"),
            "problems": {409: ("name_taken", "too_many_versions")},
        },
    )
    async def update(
        self,
        template_id: FromPath[UUID],
        data: JSONBody[TemplatePatch],
        request: ApiRequest,
        templates: NamedDependency[TemplateService],
    ) -> Response[TemplateOut]:
        """JSON merge patch. Whatever changes but the name makes a new version; messages keep the one that made them."""
        for field in ("name", "body"):
            if getattr(data, field) is None:
                raise refuse_null(f"/{field}")
        return _tagged(await templates.patch(template_id, data, if_match(request)))

    @delete(
        "/{template_id:uuid}",
        guards=[requires("templates:delete")],
        operation_id="DeleteTemplate",
        summary="End a template",
    )
    async def remove(
        self, template_id: FromPath[UUID], request: ApiRequest, templates: NamedDependency[TemplateService]
    ) -> None:
        """Nothing can be sent with it any more; messages that were keep their text."""
        await templates.delete(template_id, if_match(request))

    @get(
        "/{template_id:uuid}/versions",
        guards=[requires("templates:read")],
        operation_id="ListTemplateVersions",
        summary="What a template has said so far",
        opt={"listing": VERSIONS},
    )
    async def versions(
        self, template_id: FromPath[UUID], request: ApiRequest, templates: NamedDependency[TemplateService]
    ) -> Page[TemplateVersionOut]:
        """Newest first. Filters: version, created_at. Sorts: version."""
        return await templates.versions(template_id, list_query(request, VERSIONS))

    @post(
        "/{template_id:uuid}/preview",
        status_code=200,
        guards=[requires("templates:read")],
        operation_id="PreviewStoredTemplate",
        summary="Try a template",
    )
    async def preview_stored(
        self,
        template_id: FromPath[UUID],
        data: JSONBody[TemplatePreviewRequest],
        templates: NamedDependency[TemplateService],
        people: NamedDependency[StoredContacts],
    ) -> PreviewedTemplate:
        """Nothing is sent. Without `channel_type` it is shown as a short message.

        A stored contact, by its `contact_id`, wants the permission to read contacts.
        """
        return await templates.preview(template_id, data, await people.asked_for(data))
