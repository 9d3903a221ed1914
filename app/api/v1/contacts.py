"""Contacts: people, and where they are reached."""

from uuid import UUID

from litestar import Controller, Response, delete, get, patch, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import Container
from app.api.guards import requires
from app.api.preconditions import if_match, tag_of
from app.api.requests import ApiRequest, list_query
from app.domain.contacts.listing import LISTING
from app.domain.contacts.schemas import CLEARABLE, ContactCreate, ContactOut, ContactPatch, ContactSearch
from app.domain.contacts.service import ContactService
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.schemas import Caller
from app.lib.pagination import Page


def _tagged(contact: ContactOut, status_code: int = 200, headers: dict[str, str] | None = None) -> Response[ContactOut]:
    return Response(contact, status_code=status_code, headers=tag_of(contact.updated_at) | (headers or {}))


def provide_contacts(
    session: NamedDependency[AsyncSession],
    container: NamedDependency[Container],
    caller: NamedDependency[Caller],
    audit: NamedDependency[AuditTrail],
) -> ContactService:
    """The contacts of the caller's account, in the request's unit of work."""
    return ContactService(
        session,
        container.contact_stores.of(session, caller.account_id),
        caller.account_id,
        audit=audit,
        clock=container.clock,
        new_id=container.new_id,
    )


class ContactController(Controller):
    """`/v1/contacts`."""

    path = "/v1/contacts"
    tags = ["contacts"]
    dependencies = {"contacts": Provide(provide_contacts, sync_to_thread=False)}

    @get(
        "/",
        guards=[requires("contacts:read")],
        operation_id="ListContacts",
        summary="List contacts",
        opt={"listing": LISTING},
    )
    async def index(self, request: ApiRequest, contacts: NamedDependency[ContactService]) -> Page[ContactOut]:
        """Newest first. Custom attributes are filters too: `attributes.city=Addis Ababa`, `attributes.age[gte]=18`.

        Filters: every field, and the type of an address, e.g. phone. Sorts: created_at, updated_at, first_name,
        last_name.
        """
        listing = await contacts.listing()
        return await contacts.page(listing, list_query(request, listing))

    @post(
        "/",
        guards=[requires("contacts:create")],
        operation_id="CreateContact",
        summary="Make a contact",
        opt={"problems": {409: ("address_taken", "contact_busy", "too_many_attributes")}},
    )
    async def create(
        self, data: JSONBody[ContactCreate], contacts: NamedDependency[ContactService]
    ) -> Response[ContactOut]:
        """An address belongs to one contact: 409 `address_taken`, with errors that say to which one."""
        contact = await contacts.create(data)
        return _tagged(contact, 201, {"Location": f"/v1/contacts/{contact.id}"})

    @post(
        "/search",
        status_code=200,
        guards=[requires("contacts:read")],
        operation_id="SearchContacts",
        summary="List contacts by a filter expression",
        opt={"problems": {400: ("unknown_sort", "bad_cursor")}},
    )
    async def search(
        self, data: JSONBody[ContactSearch], contacts: NamedDependency[ContactService]
    ) -> Page[ContactOut]:
        """As the list, for filters with `and`, `or` and `not`: those of segments and bulk actions."""
        return await contacts.search(data)

    @get("/{contact_id:uuid}", guards=[requires("contacts:read")], operation_id="GetContact", summary="One contact")
    async def show(self, contact_id: FromPath[UUID], contacts: NamedDependency[ContactService]) -> Response[ContactOut]:
        """The ETag follows the contact itself: not its groups, nor when it wrote or was written to."""
        return _tagged(await contacts.get(contact_id))

    @patch(
        "/{contact_id:uuid}",
        guards=[requires("contacts:update")],
        operation_id="UpdateContact",
        summary="Change a contact",
        opt={
            "clearable": CLEARABLE,
            "problems": {409: ("address_taken", "contact_busy", "too_many_attributes")},
        },
    )
    async def update(
        self,
        contact_id: FromPath[UUID],
        data: JSONBody[ContactPatch],
        request: ApiRequest,
        contacts: NamedDependency[ContactService],
    ) -> Response[ContactOut]:
        """JSON merge patch: `attributes` are merged by key, lists are replaced whole, null clears.

        `phone` and `email` replace the primary address of their type. Without `If-Match` a change is applied to
        whatever others have made of the contact meanwhile.
        """
        return _tagged(await contacts.patch(contact_id, data, if_match(request)))

    @delete(
        "/{contact_id:uuid}",
        guards=[requires("contacts:delete")],
        operation_id="DeleteContact",
        summary="Remove a contact",
    )
    async def remove(
        self, contact_id: FromPath[UUID], request: ApiRequest, contacts: NamedDependency[ContactService]
    ) -> None:
        """It leaves its groups; its messages stay."""
        await contacts.delete(contact_id, if_match(request))
