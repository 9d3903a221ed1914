"""Custom attributes of contacts: their definitions."""

from uuid import UUID

from litestar import Controller, Response, delete, get, patch, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import Container
from app.api.guards import requires
from app.api.preconditions import if_match, tag_of
from app.api.requests import ApiRequest, list_query, refuse_null
from app.domain.contacts.definition_schemas import ContactAttributeCreate, ContactAttributeOut, ContactAttributePatch
from app.domain.contacts.definitions import LISTING, AttributeDefinitions
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.schemas import Caller
from app.lib.pagination import Page


def _tagged(
    attribute: ContactAttributeOut, status_code: int = 200, headers: dict[str, str] | None = None
) -> Response[ContactAttributeOut]:
    return Response(attribute, status_code=status_code, headers=tag_of(attribute.updated_at) | (headers or {}))


def provide_attributes(
    session: NamedDependency[AsyncSession],
    container: NamedDependency[Container],
    caller: NamedDependency[Caller],
    audit: NamedDependency[AuditTrail],
) -> AttributeDefinitions:
    """The attributes of the caller's account, in the request's unit of work."""
    return AttributeDefinitions(
        session,
        container.contact_stores.of(session, caller.account_id),
        caller.account_id,
        audit=audit,
        clock=container.clock,
        new_id=container.new_id,
    )


class ContactAttributeController(Controller):
    """`/v1/contact-attributes`."""

    path = "/v1/contact-attributes"
    tags = ["contact attributes"]
    dependencies = {"attributes": Provide(provide_attributes, sync_to_thread=False)}

    @get(
        "/",
        guards=[requires("contacts:read")],
        operation_id="ListContactAttributes",
        summary="List custom attributes",
        opt={"listing": LISTING},
    )
    async def index(
        self, request: ApiRequest, attributes: NamedDependency[AttributeDefinitions]
    ) -> Page[ContactAttributeOut]:
        """Newest first. Filters: key, name, type, created_at. Sorts: created_at, key, name."""
        return await attributes.page(list_query(request, LISTING))

    @post(
        "/",
        guards=[requires("contacts:create")],
        operation_id="CreateContactAttribute",
        summary="Define a custom attribute",
        opt={"problems": {409: ("key_taken", "too_many_attributes")}},
    )
    async def create(
        self, data: JSONBody[ContactAttributeCreate], attributes: NamedDependency[AttributeDefinitions]
    ) -> Response[ContactAttributeOut]:
        """Values that contacts get must be of its type, which stays. Dates have to be defined: JSON has none."""
        attribute = await attributes.create(data)
        return _tagged(attribute, 201, {"Location": f"/v1/contact-attributes/{attribute.id}"})

    @get(
        "/{attribute_id:uuid}",
        guards=[requires("contacts:read")],
        operation_id="GetContactAttribute",
        summary="One custom attribute",
    )
    async def show(
        self, attribute_id: FromPath[UUID], attributes: NamedDependency[AttributeDefinitions]
    ) -> Response[ContactAttributeOut]:
        """Its key, its name and its type."""
        return _tagged(await attributes.get(attribute_id))

    @patch(
        "/{attribute_id:uuid}",
        guards=[requires("contacts:update")],
        operation_id="UpdateContactAttribute",
        summary="Rename a custom attribute",
    )
    async def update(
        self,
        attribute_id: FromPath[UUID],
        data: JSONBody[ContactAttributePatch],
        request: ApiRequest,
        attributes: NamedDependency[AttributeDefinitions],
    ) -> Response[ContactAttributeOut]:
        """Its key and its type stay."""
        if data.name is None:
            raise refuse_null("/name")
        return _tagged(await attributes.patch(attribute_id, data, if_match(request)))

    @delete(
        "/{attribute_id:uuid}",
        guards=[requires("contacts:delete")],
        operation_id="DeleteContactAttribute",
        summary="Forget a custom attribute",
        opt={"problems": {409: ("attribute_in_use",)}},
    )
    async def remove(
        self, attribute_id: FromPath[UUID], request: ApiRequest, attributes: NamedDependency[AttributeDefinitions]
    ) -> None:
        """409 `attribute_in_use` while contacts have a value of it. Segments that name it do not hold any more."""
        await attributes.delete(attribute_id, if_match(request))
