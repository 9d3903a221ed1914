"""Static groups of contacts."""

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
    ContactGroupCreate,
    ContactGroupOut,
    ContactGroupPatch,
    GroupMembers,
    GroupMembersAdded,
    GroupMembersRemoved,
)
from app.domain.contacts.groups import LISTING, GroupService
from app.domain.contacts.listing import LISTING as CONTACTS
from app.domain.contacts.schemas import ContactOut
from app.domain.contacts.service import ContactService
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.schemas import Caller
from app.lib.filters import Condition, Operator
from app.lib.pagination import Page


def _tagged(
    group: ContactGroupOut, status_code: int = 200, headers: dict[str, str] | None = None
) -> Response[ContactGroupOut]:
    return Response(group, status_code=status_code, headers=tag_of(group.updated_at) | (headers or {}))


def provide_groups(
    session: NamedDependency[AsyncSession],
    container: NamedDependency[Container],
    caller: NamedDependency[Caller],
    audit: NamedDependency[AuditTrail],
) -> GroupService:
    """The groups of the caller's account, in the request's unit of work."""
    return GroupService(
        session,
        container.contact_stores.of(session, caller.account_id),
        caller.account_id,
        audit=audit,
        clock=container.clock,
        new_id=container.new_id,
    )


class ContactGroupController(Controller):
    """`/v1/contact-groups`."""

    path = "/v1/contact-groups"
    tags = ["contact groups"]
    dependencies = {
        "groups": Provide(provide_groups, sync_to_thread=False),
        "contacts": Provide(provide_contacts, sync_to_thread=False),
    }

    @get(
        "/",
        guards=[requires("contacts:read")],
        operation_id="ListContactGroups",
        summary="List groups",
        opt={"listing": LISTING},
    )
    async def index(self, request: ApiRequest, groups: NamedDependency[GroupService]) -> Page[ContactGroupOut]:
        """Newest first. Filters: name, created_at, updated_at. Sorts: created_at, name."""
        return await groups.page(list_query(request, LISTING))

    @post(
        "/",
        guards=[requires("contacts:create")],
        operation_id="CreateContactGroup",
        summary="Make a group",
        opt={"problems": {409: ("name_taken",)}},
    )
    async def create(
        self, data: JSONBody[ContactGroupCreate], groups: NamedDependency[GroupService]
    ) -> Response[ContactGroupOut]:
        """Nobody is in it yet."""
        group = await groups.create(data)
        return _tagged(group, 201, {"Location": f"/v1/contact-groups/{group.id}"})

    @get("/{group_id:uuid}", guards=[requires("contacts:read")], operation_id="GetContactGroup", summary="One group")
    async def show(self, group_id: FromPath[UUID], groups: NamedDependency[GroupService]) -> Response[ContactGroupOut]:
        """`size` is counted now; the ETag does not follow it."""
        return _tagged(await groups.get(group_id))

    @patch(
        "/{group_id:uuid}",
        guards=[requires("contacts:update")],
        operation_id="UpdateContactGroup",
        summary="Change a group",
        opt={"clearable": ("description",), "problems": {409: ("name_taken",)}},
    )
    async def update(
        self,
        group_id: FromPath[UUID],
        data: JSONBody[ContactGroupPatch],
        request: ApiRequest,
        groups: NamedDependency[GroupService],
    ) -> Response[ContactGroupOut]:
        """Its members stay."""
        if data.name is None:
            raise refuse_null("/name")
        return _tagged(await groups.patch(group_id, data, if_match(request)))

    @delete(
        "/{group_id:uuid}",
        guards=[requires("contacts:delete")],
        operation_id="DeleteContactGroup",
        summary="End a group",
    )
    async def remove(
        self, group_id: FromPath[UUID], request: ApiRequest, groups: NamedDependency[GroupService]
    ) -> None:
        """The contacts stay. Segments that name the group do not hold any more."""
        await groups.delete(group_id, if_match(request))

    @get(
        "/{group_id:uuid}/members",
        guards=[requires("contacts:read")],
        operation_id="ListContactGroupMembers",
        summary="List the contacts in a group",
        opt={"listing": CONTACTS},
    )
    async def members(
        self,
        group_id: FromPath[UUID],
        request: ApiRequest,
        groups: NamedDependency[GroupService],
        contacts: NamedDependency[ContactService],
    ) -> Page[ContactOut]:
        """Filters and sorts are those of contacts."""
        listing = await contacts.listing()
        query = list_query(request, listing)
        await groups.check(group_id)
        return await contacts.page(listing, query, Condition("groups", Operator.EQ, group_id))

    @post(
        "/{group_id:uuid}/members",
        status_code=200,
        guards=[requires("contacts:update")],
        operation_id="AddContactGroupMembers",
        summary="Put contacts into a group",
    )
    async def add(
        self, group_id: FromPath[UUID], data: JSONBody[GroupMembers], groups: NamedDependency[GroupService]
    ) -> GroupMembersAdded:
        """Those that are in it already stay."""
        return GroupMembersAdded(await groups.add(group_id, data.contact_ids))

    @delete(
        "/{group_id:uuid}/members",
        status_code=200,
        guards=[requires("contacts:update")],
        operation_id="RemoveContactGroupMembers",
        summary="Take contacts out of a group",
    )
    async def take(
        self, group_id: FromPath[UUID], data: JSONBody[GroupMembers], groups: NamedDependency[GroupService]
    ) -> GroupMembersRemoved:
        """The contacts themselves stay."""
        return GroupMembersRemoved(await groups.remove(group_id, data.contact_ids))
