"""Checking an action on many contacts before the work begins. Nothing here commits: the unit of work does."""

from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.bulk.schemas import BulkAction, BulkSpec
from app.domain.contacts.filtering import ContactFilters
from app.domain.contacts.groups import living_groups
from app.domain.contacts.intake import ContactIntake
from app.domain.contacts.schemas import ContactPatch
from app.domain.contacts.stores.contract import ContactStore
from app.lib.clock import Clock
from app.lib.errors import FieldError, InvalidValue
from app.lib.filters import Condition, Operator
from app.lib.ids import NewId

NEEDED = {
    "add_tags": "tags",
    "remove_tags": "tags",
    "add_to_group": "group_id",
    "remove_from_group": "group_id",
    "set_attributes": "attributes",
    "set_status": "status",
    "delete": None,
}
"""What each action needs besides the contacts."""

_DETAILS = ("tags", "group_id", "attributes", "status")


class BulkService:
    """Checks actions for one account, inside one unit of work."""

    def __init__(
        self, session: AsyncSession, store: ContactStore, account_id: UUID, *, clock: Clock, new_id: NewId
    ) -> None:
        self._session = session
        self._store = store
        self._account_id = account_id
        self._filters = ContactFilters(session, account_id, clock=clock, new_id=new_id)
        self._intake = ContactIntake(session, account_id, clock=clock, new_id=new_id)
        self._clock = clock

    async def checked(self, data: BulkAction) -> BulkSpec:
        """The action in its own form. Attributes that nobody has defined are defined.

        Raises `InvalidValue` with pointers to what is missing, too much or unknown.
        """
        errors = _shape(data)
        if errors:
            raise InvalidValue.of(errors)
        if data.filter is not None:
            await self._filters.read(data.filter)
        errors += await self._unknown(data)
        if errors:
            raise InvalidValue.of(errors)
        change = await self._intake.read(
            ContactPatch(
                tags=UNSET if data.tags is None else data.tags,
                attributes=UNSET if data.attributes is None else data.attributes,
            )
        )
        return BulkSpec(
            action=data.action,
            asked_at=self._clock(),
            filter=data.filter,
            ids=None if data.ids is None else sorted(set(data.ids)),
            tags=list(change.tags or ()),
            group_id=data.group_id,
            attributes=change.attributes or {},
            status=data.status,
        )

    async def _unknown(self, data: BulkAction) -> list[FieldError]:
        errors: list[FieldError] = []
        if data.ids is not None:
            wanted = sorted(set(data.ids))
            known = set(await self._store.ids(Condition("id", Operator.IN, wanted), None, len(wanted)))
            errors += (
                FieldError(f"/ids/{index}", "not_found", "There is no such contact.")
                for index, contact_id in enumerate(data.ids)
                if contact_id not in known
            )
        if data.group_id is not None and not await living_groups(self._session, self._account_id, [data.group_id]):
            errors.append(FieldError("/group_id", "not_found", "There is no such group."))
        return errors


def _shape(data: BulkAction) -> list[FieldError]:
    errors: list[FieldError] = []
    if data.filter is None and data.ids is None:
        errors.append(FieldError("/filter", "missing_field", "Say which contacts: `filter` or `ids`."))
    if data.filter is not None and data.ids is not None:
        errors.append(FieldError("/ids", "not_allowed", "`filter` and `ids` exclude each other."))
    needed = NEEDED[data.action]
    for name in _DETAILS:
        value = getattr(data, name)
        if name == needed and (value is None or value in ([], {})):
            errors.append(FieldError(f"/{name}", "missing_field", f"`{data.action}` needs `{name}`."))
        elif name != needed and value is not None:
            errors.append(FieldError(f"/{name}", "not_allowed", f"`{data.action}` has no `{name}`."))
    return errors


def document(spec: BulkSpec) -> dict[str, Any]:
    """The spec as a job keeps it."""
    plain: dict[str, Any] = msgspec.to_builtins(spec)
    return plain
