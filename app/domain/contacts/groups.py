"""Static groups, and who is in them. Nothing here commits: the unit of work does."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from msgspec import UNSET
from sqlalchemy import Select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.definition_schemas import ContactGroupCreate, ContactGroupOut, ContactGroupPatch
from app.domain.contacts.records import ContactGroup
from app.domain.contacts.stores.contract import Amendment, ContactStore
from app.domain.contacts.texts import description_text
from app.domain.identity.audit.service import AuditTrail
from app.domain.identity.names import patched_name
from app.lib.clock import Clock
from app.lib.db import Scope, constraint_of
from app.lib.errors import Conflict, FieldError, InvalidValue, NotFound
from app.lib.filters import Condition, FilterField, Kind, Operator
from app.lib.ids import NewId
from app.lib.pagination import Listing, ListQuery, Page, Sort, fetch_page
from app.lib.versions import changed_at, check_version

LISTING = Listing(
    id_column=ContactGroup.__table__.c.id,
    fields={
        "name": FilterField(Kind.TEXT),
        "created_at": FilterField(Kind.DATETIME),
        "updated_at": FilterField(Kind.DATETIME),
    },
    columns={name: ContactGroup.__table__.c[name] for name in ("name", "created_at", "updated_at")},
    sorts={"created_at": Sort(None, ContactGroup), "name": Sort(ContactGroup.__table__.c.name, str)},
)

STEP = 5_000
"""Memberships that are dropped in one step."""

# Held until the contacts are written: whoever deletes the group then finds them in it.
_HOLD = text(
    """
    SELECT id FROM contact_groups
    WHERE account_id = :account_id AND id = ANY(CAST(:ids AS uuid[])) AND deleted_at IS NULL
    ORDER BY id FOR KEY SHARE
    """
)
_LIVING = text(
    """
    SELECT id FROM contact_groups
    WHERE account_id = :account_id AND id = ANY(CAST(:ids AS uuid[])) AND deleted_at IS NULL
    """
)
_REMOVE = text("DELETE FROM contact_groups WHERE account_id = :account_id AND id = :id AND deleted_at IS NOT NULL")
_DELETED = text(
    "SELECT account_id, id FROM contact_groups WHERE deleted_at IS NOT NULL ORDER BY deleted_at LIMIT :most"
)


async def hold_groups(session: AsyncSession, account_id: UUID, ids: Collection[UUID]) -> set[UUID]:
    """Those of the groups that there are; they cannot be deleted until the unit of work ends."""
    return await _ids(session, _HOLD, account_id, ids)


async def living_groups(session: AsyncSession, account_id: UUID, ids: Collection[UUID]) -> set[UUID]:
    """Those of the groups that there are."""
    return await _ids(session, _LIVING, account_id, ids)


async def deleted_groups(session: AsyncSession, most: int = 100) -> list[tuple[UUID, UUID]]:
    """Account and id of groups that are deleted and may have members still; of all accounts."""
    return [(row.account_id, row.id) for row in await session.execute(_DELETED, {"most": most})]


async def drop_members(session: AsyncSession, store: ContactStore, account_id: UUID, group_id: UUID) -> bool:
    """Take some out of a deleted group; whether there may be more. The row of an empty one is removed."""
    if await store.drop_group(group_id, STEP) >= STEP:
        return True
    await session.execute(_REMOVE, {"account_id": account_id, "id": group_id})
    return False


async def _ids(session: AsyncSession, statement: Any, account_id: UUID, ids: Collection[UUID]) -> set[UUID]:
    if not ids:
        return set()
    found = await session.execute(statement, {"account_id": account_id, "ids": sorted(ids)})
    return set(found.scalars())


class GroupService:
    """The groups of one account, inside one unit of work.

    Methods raise `NotFound` for a group of another account as for none, `InvalidValue` with pointers into the body,
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
        self._audit = audit
        self._clock = clock
        self._new_id = new_id

    async def page(self, query: ListQuery) -> Page[ContactGroupOut]:
        """One page of the account's groups."""
        page = await fetch_page(self._session, self._living(), LISTING, query)
        sizes = await self._store.group_sizes([group.id for group in page.items])
        return Page([_group_out(group, sizes[group.id]) for group in page.items], page.next_cursor, page.total)

    async def get(self, group_id: UUID) -> ContactGroupOut:
        """One group."""
        return await self._shown(await self._find(group_id))

    async def create(self, data: ContactGroupCreate) -> ContactGroupOut:
        """A new group. Raises `Conflict` (`name_taken`)."""
        now = self._clock()
        group = ContactGroup(
            id=self._new_id(),
            account_id=self._account_id,
            name=patched_name(data.name, "/name"),
            description=description_text(data.description),
            created_at=now,
            updated_at=now,
            deleted_at=None,
        )
        self._session.add(group)
        await self._save()
        made = _group_out(group, 0)
        await self._audit.record(self._account_id, "created", "contact_group", group.id, after=made)
        return made

    async def patch(
        self, group_id: UUID, data: ContactGroupPatch, if_match: Collection[str] | None = None
    ) -> ContactGroupOut:
        """Change what is sent. Raises `Conflict` (`name_taken`). A change of nothing keeps the version."""
        group = await self._find(group_id, for_update=True, if_match=if_match)
        before = await self._shown(group)
        changes: dict[str, str] = {}
        if data.name is not UNSET:
            changes["name"] = patched_name(data.name, "/name")
        if data.description is not UNSET:
            changes["description"] = description_text(data.description)
        changes = {name: value for name, value in changes.items() if getattr(group, name) != value}
        if not changes:
            return before
        for name, value in changes.items():
            setattr(group, name, value)
        group.updated_at = changed_at(self._clock(), group.updated_at)
        await self._save()
        after = _group_out(group, before.size)
        await self._audit.record(self._account_id, "updated", "contact_group", group.id, before=before, after=after)
        return after

    async def delete(self, group_id: UUID, if_match: Collection[str] | None = None) -> None:
        """End the group at once. Of a large one, the scheduler takes the rest of the members out."""
        group = await self._find(group_id, for_update=True, if_match=if_match)
        before = await self._shown(group)
        group.deleted_at = self._clock()
        await self._session.flush()
        await drop_members(self._session, self._store, self._account_id, group_id)
        await self._audit.record(self._account_id, "deleted", "contact_group", group_id, before=before)

    async def add(self, group_id: UUID, contact_ids: Sequence[UUID]) -> int:
        """Put contacts into the group; how many were not in it before. Raises `InvalidValue` for unknown contacts."""
        if not await hold_groups(self._session, self._account_id, [group_id]):
            raise _no_group()
        await self._check_contacts(contact_ids)
        return await self._store.amend(set(contact_ids), Amendment(join_groups=(group_id,)), self._clock())

    async def remove(self, group_id: UUID, contact_ids: Sequence[UUID]) -> int:
        """Take contacts out of the group; how many were in it. Raises `InvalidValue` for unknown contacts."""
        await self._find(group_id)
        await self._check_contacts(contact_ids)
        return await self._store.amend(set(contact_ids), Amendment(leave_groups=(group_id,)), self._clock())

    async def check(self, group_id: UUID) -> None:
        """Raises `NotFound` unless there is such a group."""
        await self._find(group_id)

    async def _check_contacts(self, contact_ids: Sequence[UUID]) -> None:
        wanted = set(contact_ids)
        known = set(await self._store.ids(Condition("id", Operator.IN, sorted(wanted)), None, len(wanted)))
        unknown = [
            FieldError(f"/contact_ids/{index}", "not_found", "There is no such contact.")
            for index, contact_id in enumerate(contact_ids)
            if contact_id not in known
        ]
        if unknown:
            raise InvalidValue.of(unknown)

    async def _find(
        self, group_id: UUID, *, for_update: bool = False, if_match: Collection[str] | None = None
    ) -> ContactGroup:
        statement = self._living().where(ContactGroup.id == group_id)
        if for_update:
            # Not only against other changes: contacts that are joining hold the key (`hold_groups`).
            statement = statement.with_for_update()
        group = (await self._session.execute(statement)).scalar_one_or_none()
        if group is None:
            raise _no_group()
        check_version(group.updated_at, if_match, "group")
        return group

    def _living(self) -> Select[tuple[ContactGroup]]:
        return self._scope.select(ContactGroup).where(ContactGroup.deleted_at.is_(None))

    async def _shown(self, group: ContactGroup) -> ContactGroupOut:
        return _group_out(group, (await self._store.group_sizes([group.id]))[group.id])

    async def _save(self) -> None:
        try:
            await self._session.flush()
        except IntegrityError as error:
            if constraint_of(error) == "uq_contact_groups_account_id_name":
                raise Conflict("Another group of this account has that name.", code="name_taken") from error
            raise


def _group_out(group: ContactGroup, size: int) -> ContactGroupOut:
    return ContactGroupOut(
        id=group.id,
        account_id=group.account_id,
        name=group.name,
        description=group.description or None,
        size=size,
        created_at=group.created_at,
        updated_at=group.updated_at,
    )


def _no_group() -> NotFound:
    return NotFound("There is no such group.")
