"""What goes in and out about templates."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.domain.identity.accounts.settings import Language
from app.domain.templates.content import (
    Body,
    Languages,
    TemplateFallback,
    TemplateTranslation,
    TemplateVariants,
    WhatsAppVariant,
)
from app.domain.templates.language.values import MAX_ITEMS, Reason
from app.domain.templates.lint import LengthEstimate, TemplateWarning

Name = Annotated[
    str, Meta(min_length=1, max_length=200, pattern=r"^(?=.*\S)[^\x00-\x1f\x7f]*$(?!\n)", description="Unique name.")
]
ChannelType = Annotated[str, Meta(max_length=64, description="A type of channel, or a kind: sms, email, whatsapp.")]
VariableText = Annotated[str, Meta(max_length=4096)]
Value = VariableText | int | float | bool | list[VariableText | int | float | bool] | None
VariableName = Annotated[str, Meta(min_length=1, max_length=100)]
Variables = Annotated[
    dict[VariableName, Value],
    Meta(max_length=100, description=f"Values by name, matched without case; lists have at most {MAX_ITEMS} items."),
]


class TemplateCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new template. `language` is that of `body`; `languages` are translations by language tag."""

    name: Name
    body: Body
    language: Language | None = None
    fallback: TemplateFallback = TemplateFallback()
    languages: Languages = {}
    variants: TemplateVariants = TemplateVariants()


class TemplatePatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change: objects are merged (RFC 7396), null takes one of their members away. Anything but a new name makes a
    new version.
    """

    name: Name | UnsetType | None = UNSET
    body: Body | UnsetType | None = UNSET
    language: Language | UnsetType | None = UNSET
    fallback: dict[str, Any] | UnsetType | None = UNSET
    languages: dict[str, Any] | UnsetType | None = UNSET
    variants: dict[str, Any] | UnsetType | None = UNSET


class TemplateOut(msgspec.Struct, frozen=True, kw_only=True):
    """A template with what its current version says.

    `variables` are the names it needs in the order of their first use, `warnings` what an author should look at,
    `lengths` estimates with samples for the variables.
    """

    id: UUID
    account_id: UUID
    name: str
    version: int
    body: str
    language: str | None
    fallback: TemplateFallback
    languages: dict[str, TemplateTranslation]
    variants: TemplateVariants
    variables: list[str]
    warnings: list[TemplateWarning]
    lengths: list[LengthEstimate]
    created_at: datetime
    updated_at: datetime


class TemplateVersionOut(msgspec.Struct, frozen=True, kw_only=True):
    """What a template said from `created_at` on. It never changes."""

    id: UUID
    template_id: UUID
    version: int
    body: str
    language: str | None
    fallback: TemplateFallback
    languages: dict[str, TemplateTranslation]
    variants: TemplateVariants
    variables: list[str]
    created_at: datetime
    updated_at: datetime


class ContactSample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A contact to try a template on."""

    first_name: VariableText | None = None
    last_name: VariableText | None = None
    phone: VariableText | None = None
    email: VariableText | None = None
    language: Annotated[str, Meta(max_length=35)] | None = None
    timezone: Annotated[str, Meta(max_length=64)] | None = None
    attributes: Variables = {}


class TemplatePreviewRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to try a stored template with: a sample of a contact, or a stored one by its id.

    Without `version` it is the current one.
    """

    variables: Variables = {}
    contact: ContactSample | None = None
    contact_id: UUID | None = None
    channel_type: ChannelType | None = None
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None


class TemplatePreview(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A template that is not stored, and what to try it with."""

    body: Body
    language: Language | None = None
    fallback: TemplateFallback = TemplateFallback()
    languages: Languages = {}
    variants: TemplateVariants = TemplateVariants()
    variables: Variables = {}
    contact: ContactSample | None = None
    contact_id: UUID | None = None
    channel_type: ChannelType | None = None


class PreviewedTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """What one recipient would get.

    `outcome` is rendered, skipped or failed; of the latter two `variable`, `reason` and in words `detail` say why, and
    there is no text.
    `missing` are the variables without a value, whatever stands in for them. `encoding`, `segments`, `length` and
    `per_segment` are those of a short message, null on other kinds of channels.
    """

    outcome: str
    variable: str | None
    reason: Reason | None
    detail: str | None
    version: int | None
    kind: str
    language: str | None
    text: str | None
    subject: str | None
    html: str | None
    whatsapp: WhatsAppVariant | None
    variables: list[str]
    missing: list[str]
    encoding: str | None
    segments: int | None
    length: int | None
    per_segment: int | None
    warnings: list[TemplateWarning]
