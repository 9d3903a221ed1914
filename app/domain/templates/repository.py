"""The statements on the tables of templates."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.templates.models import Template, TemplateVersion
from app.lib.db import Scope, constraint_of
from app.lib.errors import Conflict
from app.lib.filters import FilterField, Kind
from app.lib.pagination import Listing, ListQuery, Page, Sort, fetch_page

LISTING = Listing(
    id_column=Template.__table__.c.id,
    fields={"name": FilterField(Kind.TEXT), "created_at": FilterField(Kind.DATETIME)},
    columns={name: Template.__table__.c[name] for name in ("name", "created_at")},
    sorts={"created_at": Sort(None, datetime), "name": Sort(Template.__table__.c.name, str)},
)

VERSIONS = Listing(
    id_column=TemplateVersion.__table__.c.id,
    fields={"version": FilterField(Kind.INTEGER), "created_at": FilterField(Kind.DATETIME)},
    columns={name: TemplateVersion.__table__.c[name] for name in ("version", "created_at")},
    sorts={"version": Sort(TemplateVersion.__table__.c.version, int)},
    default_sort="-version",
)


class TemplateRepository:
    """The templates of one account that are not deleted."""

    def __init__(self, session: AsyncSession, scope: Scope) -> None:
        self._session = session
        self._scope = scope

    async def page(self, query: ListQuery) -> Page[Template]:
        """One page of the list."""
        return await fetch_page(self._session, self._living(), LISTING, query)

    async def versions(self, template_id: UUID, query: ListQuery) -> Page[TemplateVersion]:
        """One page of the versions of one template."""
        statement = self._scope.select(TemplateVersion).where(TemplateVersion.template_id == template_id)
        return await fetch_page(self._session, statement, VERSIONS, query)

    async def find(self, template_id: UUID, *, for_update: bool = False) -> Template | None:
        """One template; `for_update` keeps other writers out until the transaction ends."""
        statement = self._living().where(Template.id == template_id)
        if for_update:
            statement = statement.with_for_update()
        return (await self._session.execute(statement)).scalar_one_or_none()

    async def find_version(self, template_id: UUID, version: int) -> TemplateVersion | None:
        """One version of a template, also of one that is deleted."""
        statement = self._scope.select(TemplateVersion).where(
            TemplateVersion.template_id == template_id, TemplateVersion.version == version
        )
        return (await self._session.execute(statement)).scalar_one_or_none()

    async def current_versions(self, templates: Collection[Template]) -> dict[UUID, TemplateVersion]:
        """The version that each of these is at, by the id of the template."""
        if not templates:
            return {}
        keys = tuple_(TemplateVersion.template_id, TemplateVersion.version)
        statement = self._scope.select(TemplateVersion).where(keys.in_([(each.id, each.version) for each in templates]))
        return {row.template_id: row for row in (await self._session.execute(statement)).scalars()}

    async def add(self, template: Template, version: TemplateVersion) -> None:
        """Insert both; raises `Conflict` when the account has a template of that name."""
        self._session.add(template)
        await self.save()
        await self.add_version(version)

    async def add_version(self, version: TemplateVersion) -> None:
        """Insert a version of a template that is there."""
        self._session.add(version)
        await self._session.flush()

    async def save(self) -> None:
        """Write what changed; raises `Conflict` when another template of the account has the name."""
        try:
            await self._session.flush()
        except IntegrityError as error:
            if constraint_of(error) == "uq_templates_account_id_name":
                raise Conflict("Another template of this account has that name.", code="name_taken") from error
            raise

    def _living(self) -> Select[tuple[Template]]:
        return self._scope.select(Template).where(Template.deleted_at.is_(None))
