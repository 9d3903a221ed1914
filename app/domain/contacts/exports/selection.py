"""Which contacts an export is of, as the query string says it. Nothing here commits: the unit of work does."""

from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.attributes import AttributeService
from app.domain.contacts.fields import fields_with
from app.domain.contacts.filtering import ContactFilters, both
from app.domain.contacts.groups import living_groups
from app.domain.contacts.segments import SegmentService
from app.domain.contacts.stores.contract import ContactStore
from app.domain.identity.audit.service import AuditTrail
from app.lib.clock import Clock
from app.lib.errors import InvalidValue, Malformed, NotFound
from app.lib.filters import Condition, Expression, Operator, parse_query
from app.lib.ids import NewId

FORMATS = ("csv",)

_UUID: dict[str, Any] = {"type": "string", "format": "uuid"}
PARAMETERS: dict[str, dict[str, Any]] = {
    "format": {
        "description": "The kind of file.",
        "schema": {"type": "string", "enum": list(FORMATS), "default": "csv"},
    },
    "segment_id": {"description": "Only contacts that are in this segment now.", "schema": _UUID},
    "group_id": {"description": "Only contacts that are in this group.", "schema": _UUID},
}
"""What a query can hold besides filters, as OpenAPI describes parameters."""


class Selected(NamedTuple):
    """The contacts to export, None for all of them, and the keys of the account's attributes."""

    where: Expression | None
    attributes: list[str]


class ExportSelection:
    """Reads queries for one account, inside one unit of work."""

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
        self._account_id = account_id
        self._filters = ContactFilters(session, account_id, clock=clock, new_id=new_id)
        self._attributes = AttributeService(session, account_id, clock=clock, new_id=new_id)
        self._segments = SegmentService(session, store, account_id, audit=audit, clock=clock, new_id=new_id)

    async def read(self, pairs: Iterable[tuple[str, str]]) -> Selected:
        """What a query asks for, with relative moments counted from now.

        Raises `Malformed` for parameters that are none, `InvalidValue` for a segment or a group that there is not, and
        `Conflict` (`segment_broken`).
        """
        own: dict[str, str] = {}
        filters: list[tuple[str, str]] = []
        for name, value in pairs:
            if name not in PARAMETERS:
                filters.append((name, value))
            elif name in own:
                raise Malformed(f"{name!r} stands twice.", code="bad_parameter")
            else:
                own[name] = value
        if own.get("format", "csv") not in FORMATS:
            raise Malformed(f"format can be: {', '.join(FORMATS)}.", code="bad_parameter")
        definitions = await self._attributes.definitions()
        fields = fields_with(definitions)
        where = await self._filters.of_query(parse_query(filters, fields), fields)
        if "segment_id" in own:
            where = both(where, await self._segment(_id(own, "segment_id")))
        if "group_id" in own:
            where = both(where, await self._group(_id(own, "group_id")))
        return Selected(where, sorted(definitions))

    async def _segment(self, segment_id: UUID) -> Expression:
        try:
            return await self._segments.expression(segment_id)
        except NotFound as error:
            raise InvalidValue.at("?segment_id", "not_found", "There is no such segment.") from error

    async def _group(self, group_id: UUID) -> Expression:
        if not await living_groups(self._session, self._account_id, [group_id]):
            raise InvalidValue.at("?group_id", "not_found", "There is no such group.")
        return Condition("groups", Operator.EQ, group_id)


def _id(own: dict[str, str], name: str) -> UUID:
    try:
        return UUID(own[name])
    except ValueError:
        raise Malformed(f"{name} must be an id (UUID).", code="bad_parameter") from None
