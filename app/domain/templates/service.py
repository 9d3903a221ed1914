"""Making, changing, trying and ending templates. Nothing here commits: the unit of work does."""

import unicodedata
from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.channels.merge_patch import merge_patch
from app.domain.identity.audit.service import AuditTrail
from app.domain.templates.checks import checked_content, content_document, variables_in
from app.domain.templates.content import Content, Kind
from app.domain.templates.events import announce_change
from app.domain.templates.language.plan import Failed, Skipped
from app.domain.templates.lint import estimates, lint
from app.domain.templates.models import Template, TemplateVersion
from app.domain.templates.rendering import MessagePlan, RenderedMessage, kind_of, refusal, sample_contact
from app.domain.templates.repository import TemplateRepository
from app.domain.templates.schemas import (
    PreviewedTemplate,
    TemplateCreate,
    TemplateOut,
    TemplatePatch,
    TemplatePreview,
    TemplatePreviewRequest,
    TemplateVersionOut,
)
from app.lib.clock import Clock
from app.lib.db import Scope
from app.lib.errors import Conflict, InvalidValue, NotFound
from app.lib.ids import NewId
from app.lib.pagination import ListQuery, Page
from app.lib.versions import changed_at, check_version
from app.lib.zones import zone_named
from connectors import registry
from connectors.sms_text.segments import count

CONTENT_FIELDS = ("body", "language", "fallback", "languages", "variants")
MAX_VERSIONS = 10_000


class TemplateService:
    """The templates of one account, inside one unit of work.

    Methods raise `NotFound` for a template of another account as for none, `InvalidValue` with pointers into the body,
    and `PreconditionFailed` when `if_match` holds versions and none of them is the stored one.
    """

    def __init__(
        self,
        session: AsyncSession,
        account_id: UUID,
        *,
        audit: AuditTrail,
        clock: Clock,
        new_id: NewId,
        attributes: Collection[str] | None = None,
    ) -> None:
        """`attributes` are the keys of the account's contact attributes; with None, warnings say nothing of them."""
        self._session = session
        self._account_id = account_id
        self._templates = TemplateRepository(session, Scope(account_id))
        self._audit = audit
        self._clock = clock
        self._new_id = new_id
        self._attributes = attributes

    async def page(self, query: ListQuery) -> Page[TemplateOut]:
        """One page of the account's templates."""
        page = await self._templates.page(query)
        versions = await self._templates.current_versions(page.items)
        shown = [self._out(each, stored_content(versions[each.id])) for each in page.items]
        return Page(shown, page.next_cursor, page.total)

    async def get(self, template_id: UUID) -> TemplateOut:
        """One template."""
        template = await self._find(template_id)
        return self._out(template, await self._content(template))

    async def versions(self, template_id: UUID, query: ListQuery) -> Page[TemplateVersionOut]:
        """One page of what a template has said so far."""
        await self._find(template_id)
        page = await self._templates.versions(template_id, query)
        return Page([version_out(each) for each in page.items], page.next_cursor, page.total)

    async def create(self, data: TemplateCreate) -> TemplateOut:
        """A new template at version 1. Raises `Conflict` when the name is taken."""
        content = checked_content(_fields(data))
        now = self._clock()
        template = Template(
            id=self._new_id(),
            account_id=self._account_id,
            name=unicodedata.normalize("NFC", data.name),
            version=1,
            created_at=now,
            updated_at=now,
            deleted_at=None,
        )
        await self._templates.add(template, self._version(template, content))
        made = self._out(template, content)
        await self._record("created", template.id, after=made)
        return made

    async def patch(
        self, template_id: UUID, data: TemplatePatch, if_match: Collection[str] | None = None
    ) -> TemplateOut:
        """Change what is sent; a change of the content makes a new version. A change of nothing changes nothing.

        Raises `Conflict` when the name is taken, and after `MAX_VERSIONS`.
        """
        template = await self._find(template_id, for_update=True, if_match=if_match)
        content = await self._content(template)
        before = self._out(template, content)
        changed = _patched(content, data)
        name = unicodedata.normalize("NFC", data.name) if isinstance(data.name, str) else template.name
        if changed == content and name == template.name:
            return before
        template.name = name
        template.updated_at = changed_at(self._clock(), template.updated_at)
        if changed != content:
            if template.version >= MAX_VERSIONS:
                raise Conflict("It has too many versions by now: make a new template.", code="too_many_versions")
            template.version += 1
        await self._templates.save()
        if changed != content:
            await self._templates.add_version(self._version(template, changed))
        await announce_change(self._session, template_id)
        after = self._out(template, changed)
        await self._record("updated", template_id, before=before, after=after)
        return after

    async def delete(self, template_id: UUID, if_match: Collection[str] | None = None) -> None:
        """End the template. What it said stays, for the messages that it made."""
        template = await self._find(template_id, for_update=True, if_match=if_match)
        before = self._out(template, await self._content(template))
        now = self._clock()
        template.deleted_at, template.updated_at = now, changed_at(now, template.updated_at)
        await self._templates.save()
        await announce_change(self._session, template_id)
        await self._record("deleted", template_id, before=before)

    async def preview(
        self, template_id: UUID, data: TemplatePreviewRequest, contact: Mapping[str, Any] | None = None
    ) -> PreviewedTemplate:
        """What a recipient would get of a stored template. `contact` is a real one, instead of the sample in `data`."""
        template = await self._find(template_id)
        version = await self._templates.find_version(template_id, data.version or template.version)
        if version is None:
            raise InvalidValue.at("/version", "not_found", "The template has no such version.")
        return self._preview(stored_content(version), version.version, data, contact)

    def preview_content(self, data: TemplatePreview, contact: Mapping[str, Any] | None = None) -> PreviewedTemplate:
        """The same for a template that is not stored."""
        return self._preview(checked_content(_fields(data)), None, data, contact)

    def _preview(
        self,
        content: Content,
        version: int | None,
        data: TemplatePreview | TemplatePreviewRequest,
        contact: Mapping[str, Any] | None,
    ) -> PreviewedTemplate:
        if contact is None and data.contact is not None:
            contact = sample_contact(msgspec.structs.asdict(data.contact))
        plan = MessagePlan(content, _kind(data.channel_type), None if contact is None else contact.get("language"))
        values = plan.values(data.variables, contact)
        outcome = plan.render(values, zone_named(None if contact is None else contact.get("timezone")))
        message = outcome if isinstance(outcome, RenderedMessage) else None
        counted = count(message.text) if message is not None and plan.kind is Kind.SMS else None
        attributes = self._attributes
        if contact is not None:
            attributes = {*(attributes or ()), *(contact.get("attributes") or ())}
        return PreviewedTemplate(
            outcome="rendered" if message is not None else "skipped" if isinstance(outcome, Skipped) else "failed",
            variable=outcome.variable if isinstance(outcome, Skipped | Failed) else None,
            reason=outcome.reason if isinstance(outcome, Skipped | Failed) else None,
            detail=refusal(outcome).detail if isinstance(outcome, Skipped | Failed) else None,
            version=version,
            kind=plan.kind.value,
            language=plan.language,
            text=None if message is None else message.text,
            subject=None if message is None else message.subject,
            html=None if message is None else message.html,
            whatsapp=None if message is None else message.whatsapp,
            variables=list(plan.variables),
            missing=plan.missing(values),
            encoding=None if counted is None else counted.encoding.value,
            segments=None if counted is None else counted.segments,
            length=None if counted is None else counted.length,
            per_segment=None if counted is None else counted.per_segment,
            warnings=lint(content, data.variables.keys(), attributes),
        )

    async def _find(
        self, template_id: UUID, *, for_update: bool = False, if_match: Collection[str] | None = None
    ) -> Template:
        template = await self._templates.find(template_id, for_update=for_update)
        if template is None:
            raise NotFound("There is no such template.")
        check_version(template.updated_at, if_match, "template")
        return template

    async def _content(self, template: Template) -> Content:
        versions = await self._templates.current_versions([template])
        return stored_content(versions[template.id])

    def _version(self, template: Template, content: Content) -> TemplateVersion:
        return TemplateVersion(
            id=self._new_id(),
            account_id=self._account_id,
            template_id=template.id,
            version=template.version,
            content=content_document(content),
            created_at=template.updated_at,
            updated_at=template.updated_at,
        )

    def _out(self, template: Template, content: Content) -> TemplateOut:
        return TemplateOut(
            id=template.id,
            account_id=template.account_id,
            name=template.name,
            version=template.version,
            body=content.body,
            language=content.language,
            fallback=content.fallback,
            languages=content.languages,
            variants=content.variants,
            variables=variables_in(content),
            warnings=lint(content, attributes=self._attributes),
            lengths=estimates(content),
            created_at=template.created_at,
            updated_at=template.updated_at,
        )

    async def _record(
        self, action: str, template_id: UUID, *, before: TemplateOut | None = None, after: TemplateOut | None = None
    ) -> None:
        # What we say about a template is nobody's deed.
        before, after = (
            None if each is None else msgspec.structs.replace(each, warnings=[], lengths=[]) for each in (before, after)
        )
        await self._audit.record(self._account_id, action, "template", template_id, before=before, after=after)


def stored_content(version: TemplateVersion) -> Content:
    """What a stored version says."""
    return msgspec.convert(version.content, Content)


def version_out(row: TemplateVersion) -> TemplateVersionOut:
    """A version as clients see it."""
    content = stored_content(row)
    return TemplateVersionOut(
        id=row.id,
        template_id=row.template_id,
        version=row.version,
        body=content.body,
        language=content.language,
        fallback=content.fallback,
        languages=content.languages,
        variants=content.variants,
        variables=variables_in(content),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _fields(data: TemplateCreate | TemplatePreview) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(data))
    return {name: document[name] for name in CONTENT_FIELDS if name in document}


def _patched(content: Content, data: TemplatePatch) -> Content:
    document = content_document(content)
    for name in CONTENT_FIELDS:
        value = getattr(data, name)
        if value is None:
            document.pop(name, None)
        elif isinstance(value, dict):
            document[name] = merge_patch(document.get(name, {}), value, f"/{name}")
        elif value is not UNSET:
            document[name] = value
    return checked_content(document)


def _kind(channel_type: str | None) -> Kind:
    if channel_type is None:
        return Kind.SMS
    if channel_type not in (Kind.SMS, Kind.EMAIL, Kind.WHATSAPP) and registry.get(channel_type) is None:
        known = ", ".join(sorted({"sms", "email", "whatsapp", *(each.type for each in registry.connectors())}))
        raise InvalidValue.at("/channel_type", "not_allowed", f"Channel types: {known}.")
    return kind_of(channel_type)
