"""What one version of a template says: its text, its translations, and how it looks on each kind of channel."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from app.domain.identity.accounts.settings import Language
from app.domain.templates.language.fallback import Strategy
from app.domain.templates.language.plan import Form
from app.domain.templates.language.syntax import MAX_VARIABLES

MAX_BODY = 4096
MAX_HTML = 100_000
MAX_LANGUAGES = 50

Body = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_BODY,
        description="Text with placeholders `{NAME}` or `{NAME|filter}`; `{{` and `}}` for braces themselves.",
        examples=["Hi {FIRST_NAME}, your code is {CODE}"],
    ),
]
Line = Annotated[str, Meta(min_length=1, max_length=1024, description="One line with placeholders.")]
Address = Annotated[
    str,
    Meta(min_length=1, max_length=2000, pattern=r"^https?://", description="Address, may have placeholders."),
]


class Kind(StrEnum):
    """The kinds of channels that a template may have a variant for; the others take the body."""

    TEXT = "text"
    SMS = "sms"
    EMAIL = "email"
    WHATSAPP = "whatsapp"


class TemplateFallback(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to do about variables without a value.

    `default` shows what `values` has for the variable and fails without one, `empty` shows nothing, `keep` the
    placeholder itself, `skip` sends nothing to that recipient, `fail` makes the message fail. A variable in `values`
    shows that whatever the strategy is, one in `strategies` has a strategy of its own.
    """

    strategy: Strategy = Strategy.DEFAULT
    values: Annotated[dict[str, Annotated[str, Meta(max_length=1000)]], Meta(max_length=MAX_VARIABLES)] = {}
    strategies: Annotated[dict[str, Strategy], Meta(max_length=MAX_VARIABLES)] = {}


class SmsVariant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The text for short messages, where it should be shorter or plainer than the body."""

    text: Body


class EmailVariant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An e-mail. Without `text` its plain part is the body. Values are escaped in `html`."""

    subject: Annotated[str, Meta(min_length=1, max_length=255, description="One line with placeholders.")]
    html: Annotated[str, Meta(min_length=1, max_length=MAX_HTML)] | None = None
    text: Body | None = None


class WhatsAppHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The header of an approved template: its one `parameter`, or the address of the media it shows."""

    type: Literal["text", "image", "video", "document"]
    parameter: Line | None = None
    media_url: Address | None = None
    filename: Annotated[str, Meta(min_length=1, max_length=240)] | None = None


class WhatsAppButton(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A button of an approved template that takes a parameter; `index` counts its buttons from 0."""

    type: Literal["url", "quick_reply", "copy_code"]
    index: Annotated[int, Meta(ge=0, le=9)]
    parameter: Line


class WhatsAppVariant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An approved WhatsApp template by name, and what fills its parameters, in their order."""

    template: Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,512}$(?!\n)", examples=["order_shipped"])]
    language: Annotated[str, Meta(pattern=r"^[a-z]{2,3}(_[A-Z]{2,3})?$(?!\n)", examples=["en_US"])]
    category: Literal["marketing", "utility", "authentication"] | None = None
    header: WhatsAppHeader | None = None
    body: Annotated[tuple[Line, ...], Meta(max_length=50)] = ()
    buttons: Annotated[tuple[WhatsAppButton, ...], Meta(max_length=10)] = ()


class TemplateVariants(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the template looks on kinds of channels that the body alone does not suit."""

    sms: SmsVariant | None = None
    email: EmailVariant | None = None
    whatsapp: WhatsAppVariant | None = None


class TemplateTranslation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The template in another language. Variants that it lacks are those of the template itself."""

    body: Body
    variants: TemplateVariants = TemplateVariants()


# What keys look like is checked by hand, so that the refusal can say which one is wrong.
Languages = Annotated[
    dict[str, TemplateTranslation], Meta(max_length=MAX_LANGUAGES, description="Translations by language tag (BCP 47).")
]


class Content(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a version says. `language` is that of `body`; `languages` are translations by language tag."""

    body: Body
    language: Language | None = None
    fallback: TemplateFallback = TemplateFallback()
    languages: Languages = {}
    variants: TemplateVariants = TemplateVariants()


class Part(msgspec.Struct, frozen=True):
    """One text with placeholders: where it is in the content, how it is written, and how long it may become."""

    pointer: str
    text: str
    form: Form
    limit: int
    language: str | None


def parts_of(content: Content) -> Iterator[Part]:
    """Every text with placeholders in the content."""
    yield from _texts(content.body, content.variants, "", content.language)
    for code, translation in content.languages.items():
        yield from _texts(translation.body, translation.variants, f"/languages/{code}", code)


def text_part(pointer: str, text: str, language: str | None) -> Part:
    """The part that a text for people is."""
    return Part(pointer, text, Form.TEXT, MAX_BODY, language)


def email_parts(email: EmailVariant, pointer: str, language: str | None) -> Iterator[Part]:
    """Subject, HTML and text of an e-mail, of these what there is; RFC 5322 §2.1.1 limits the line of the subject."""
    yield Part(f"{pointer}/subject", email.subject, Form.LINE, 900, language)
    if email.html is not None:
        yield Part(f"{pointer}/html", email.html, Form.HTML, 2 * MAX_HTML, language)
    if email.text is not None:
        yield text_part(f"{pointer}/text", email.text, language)


def whatsapp_parts(variant: WhatsAppVariant, pointer: str, language: str | None) -> Iterator[Part]:
    """Every parameter of an approved template."""
    header = variant.header
    if header is not None:
        for name in ("parameter", "media_url", "filename"):
            text = getattr(header, name)
            if text is not None:
                yield Part(f"{pointer}/header/{name}", text, Form.LINE, 2000, language)
    for index, text in enumerate(variant.body):
        yield Part(f"{pointer}/body/{index}", text, Form.LINE, 1024, language)
    for index, button in enumerate(variant.buttons):
        yield Part(f"{pointer}/buttons/{index}/parameter", button.parameter, Form.LINE, 2000, language)


def _texts(body: str, variants: TemplateVariants, pointer: str, language: str | None) -> Iterator[Part]:
    yield text_part(f"{pointer}/body", body, language)
    if variants.sms is not None:
        yield text_part(f"{pointer}/variants/sms/text", variants.sms.text, language)
    if variants.email is not None:
        yield from email_parts(variants.email, f"{pointer}/variants/email", language)
    if variants.whatsapp is not None:
        yield from whatsapp_parts(variants.whatsapp, f"{pointer}/variants/whatsapp", language)
