"""Defining, renaming and removing custom attributes. Nothing here commits: the unit of work does."""

from collections.abc import Collection
from uuid import UUID

from msgspec import UNSET
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.attributes import AttributeService
from app.domain.contacts.definition_schemas import ContactAttributeCreate, ContactAttributeOut, ContactAttributePatch
from app.domain.contacts.fields import ATTRIBUTE_PREFIX, AttributeType
from app.domain.contacts.records import ContactAttribute
from app.domain.contacts.stores.contract import ContactStore
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.names import patched_name
from app.lib.clock import Clock
from app.lib.db import Scope, constraint_of
from app.lib.errors import Conflict, NotFound
from app.lib.filters import Condition, FilterField, Kind, Operator
from app.lib.ids import NewId
from app.lib.pagination import Listing, ListQuery, Page, Sort, fetch_page
from app.lib.versions import changed_at, check_version

LISTING = Listing(
    id_column=ContactAttribute.__table__.c.id,
    fields={
        "key": FilterField(Kind.TEXT),
        "name": FilterField(Kind.TEXT),
        "type": FilterField(Kind.CHOICE, tuple(AttributeType)),
        "created_at": FilterField(Kind.DATETIME),
    },
    columns={name: ContactAttribute.__table__.c[name] for name in ("key", "name", "type", "created_at")},
    sorts={
        "created_at": Sort(None, ContactAttribute),
        "key": Sort(ContactAttribute.__table__.c.key, str),
        "name": Sort(ContactAttribute.__table__.c.name, str),
    },
)


class AttributeDefinitions:
    """The custom attributes of one account, inside one unit of work.

    Methods raise `NotFound` for an attribute of another account as for none, `InvalidValue` with pointers into the
    body, and `PreconditionFailed` when `if_match` holds versions and none of them is the stored one.
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
        self._attributes = AttributeService(session, account_id, clock=clock, new_id=new_id)
        self._audit = audit
        self._clock = clock
        self._new_id = new_id

    async def page(self, query: ListQuery) -> Page[ContactAttributeOut]:
        """One page of the definitions."""
        page = await fetch_page(self._session, self._scope.select(ContactAttribute), LISTING, query)
        return Page([_attribute_out(each) for each in page.items], page.next_cursor, page.total)

    async def get(self, attribute_id: UUID) -> ContactAttributeOut:
        """One definition."""
        return _attribute_out(await self._find(attribute_id))

    async def create(self, data: ContactAttributeCreate) -> ContactAttributeOut:
        """A new attribute. Raises `Conflict` (`key_taken`, `too_many_attributes`)."""
        await self._attributes.make_room(1)
        now = self._clock()
        attribute = ContactAttribute(
            id=self._new_id(),
            account_id=self._account_id,
            key=data.key,
            name=data.key if data.name is None else patched_name(data.name, "/name"),
            type=data.type.value,
            created_at=now,
            updated_at=now,
        )
        self._session.add(attribute)
        try:
            await self._session.flush()
        except IntegrityError as error:
            if constraint_of(error) == "uq_contact_attributes_account_id_key":
                raise Conflict("This account has an attribute of that key.", code="key_taken") from error
            raise
        made = _attribute_out(attribute)
        await self._audit.record(self._account_id, "created", "contact_attribute", attribute.id, after=made)
        return made

    async def patch(
        self, attribute_id: UUID, data: ContactAttributePatch, if_match: Collection[str] | None = None
    ) -> ContactAttributeOut:
        """Change the name. A change of nothing keeps the version."""
        attribute = await self._find(attribute_id, for_update=True, if_match=if_match)
        before = _attribute_out(attribute)
        name = attribute.name if data.name is UNSET else patched_name(data.name, "/name")
        if name == attribute.name:
            return before
        attribute.name = name
        attribute.updated_at = changed_at(self._clock(), attribute.updated_at)
        await self._session.flush()
        after = _attribute_out(attribute)
        await self._audit.record(
            self._account_id, "updated", "contact_attribute", attribute.id, before=before, after=after
        )
        return after

    async def delete(self, attribute_id: UUID, if_match: Collection[str] | None = None) -> None:
        """Forget an attribute. Raises `Conflict` (`attribute_in_use`) while contacts have values of it."""
        # Waits for whoever is storing values of it (`AttributeService.held`), and keeps others waiting.
        attribute = await self._find(attribute_id, for_update=True, if_match=if_match)
        using = await self._store.count(Condition(f"{ATTRIBUTE_PREFIX}{attribute.key}", Operator.EXISTS, True))
        if using:
            contacts = "1 contact has" if using == 1 else f"{using} contacts have"
            raise Conflict(f"{contacts} a value of this attribute; take it away first.", code="attribute_in_use")
        before = _attribute_out(attribute)
        await self._session.delete(attribute)
        await self._session.flush()
        await self._audit.record(self._account_id, "deleted", "contact_attribute", attribute_id, before=before)

    async def _find(
        self, attribute_id: UUID, *, for_update: bool = False, if_match: Collection[str] | None = None
    ) -> ContactAttribute:
        statement = self._scope.select(ContactAttribute).where(ContactAttribute.id == attribute_id)
        if for_update:
            statement = statement.with_for_update()
        attribute = (await self._session.execute(statement)).scalar_one_or_none()
        if attribute is None:
            raise NotFound("There is no such attribute.")
        check_version(attribute.updated_at, if_match, "attribute")
        return attribute


def _attribute_out(attribute: ContactAttribute) -> ContactAttributeOut:
    return ContactAttributeOut(
        id=attribute.id,
        account_id=attribute.account_id,
        key=attribute.key,
        name=attribute.name,
        type=AttributeType(attribute.type),
        created_at=attribute.created_at,
        updated_at=attribute.updated_at,
    )
