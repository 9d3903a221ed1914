"""A template as a message for one recipient: the language chosen, the variant of the channel, all its texts filled."""

from collections.abc import Mapping
from datetime import tzinfo
from typing import Any

import msgspec

from app.domain.templates.checks import fallbacks_of
from app.domain.templates.content import (
    Content,
    Kind,
    Part,
    TemplateTranslation,
    WhatsAppVariant,
    email_parts,
    text_part,
    whatsapp_parts,
)
from app.domain.templates.language.fallback import Fallbacks
from app.domain.templates.language.names import ATTRIBUTES, fold
from app.domain.templates.language.plan import Failed, Plan, Rendered, Skipped
from app.domain.templates.language.syntax import parse
from app.domain.templates.language.values import Reason, is_blank
from app.lib.errors import FieldError
from connectors import registry

CONTACT_FIELDS = ("FIRST_NAME", "LAST_NAME", "FULL_NAME", "PHONE", "EMAIL", "LANGUAGE", "TIMEZONE")
"""What of a contact a template can name, beside its attributes."""

TEXT = "/text"
FULL_NAME = "full_name"


class RenderedMessage(msgspec.Struct, frozen=True):
    """A message for one recipient. `text` is what is shown of it everywhere; of an e-mail, its plain part.

    `subject` and `html` are of e-mails; `whatsapp` is the approved template with the parameters in their places.
    """

    language: str | None
    text: str
    subject: str | None = None
    html: str | None = None
    whatsapp: WhatsAppVariant | None = None


def kind_of(channel_type: str) -> Kind:
    """Which variant suits a type of channel."""
    if channel_type in (Kind.EMAIL, Kind.WHATSAPP, Kind.SMS):
        return Kind(channel_type)
    connector = registry.get(channel_type)
    return Kind.SMS if connector is not None and connector.capabilities.sms_text else Kind.TEXT


def language_for(content: Content, wanted: str | None) -> str | None:
    """The translation for a contact's language: the very same, else its base language; None is the template itself."""
    if wanted is None:
        return None
    codes = {code.lower(): code for code in content.languages}
    own = (content.language or "").lower()
    for each in (wanted.lower(), wanted.partition("-")[0].lower()):
        if each in codes:
            return codes[each]
        if each == own:
            return None
    return None


class MessagePlan:
    """A content compiled for one kind of channel and one language. `variables` are its folded names."""

    __slots__ = ("_needs", "_plans", "_whatsapp", "kind", "language", "variables")

    def __init__(self, content: Content, kind: Kind, wanted: str | None) -> None:
        """`wanted` is the contact's language. Raises `TemplateError` for a content that was never checked."""
        code = language_for(content, wanted)
        own = TemplateTranslation(body=content.body, variants=content.variants)
        chosen = own if code is None else content.languages[code]
        self.kind = kind
        self.language = content.language if code is None else code
        # A translated body is better than a short text in another language; an e-mail and an approved template are
        # more than their text, and better in another language than not at all.
        sms = chosen.variants.sms if kind is Kind.SMS else None
        email = (chosen.variants.email or own.variants.email) if kind is Kind.EMAIL else None
        whatsapp = (chosen.variants.whatsapp or own.variants.whatsapp) if kind is Kind.WHATSAPP else None
        parts: dict[str, Part] = {TEXT: text_part(TEXT, chosen.body if sms is None else sms.text, self.language)}
        if email is not None:
            parts |= {part.pointer: part for part in email_parts(email, "", self.language)}
        if whatsapp is not None:
            parts |= {part.pointer: part for part in whatsapp_parts(whatsapp, "", self.language)}
        fallbacks = fallbacks_of(content)
        self._whatsapp = whatsapp
        self._plans = [(part.pointer, _plan(part, fallbacks)) for part in parts.values()]
        self.variables = tuple(dict.fromkeys(name for _, plan in self._plans for name in plan.variables))
        self._needs = [(name, *_keys(name)) for name in self.variables]

    def values(self, variables: Mapping[str, Any], contact: Mapping[str, Any] | None) -> dict[str, Any]:
        """The values of the plan's variables, by folded name: what `render` takes.

        A name means the request's variable, else the contact's field, else the contact's attribute; what is blank is
        as good as not there. `ATTRIBUTES.NAME` reaches an attribute that another value of the same name hides.
        `contact` has `CONTACT_FIELDS` in lower case, and `attributes` by their keys; it may lack any of them.
        """
        folded = {fold(name): value for name, value in variables.items()}
        found: dict[str, Any] = {}
        for name, field, attribute in self._needs:
            value = folded.get(name)
            if contact is not None and is_blank(value):
                if field is not None:
                    value = contact.get(field) if field != FULL_NAME else _full_name(contact)
                if field is None or is_blank(value):
                    attributes = contact.get("attributes")
                    value = attributes.get(attribute) if attributes else None
            if value is not None:
                found[name] = value
        return found

    def render(self, values: Mapping[str, Any], zone: tzinfo | None = None) -> RenderedMessage | Skipped | Failed:
        """The message with the values of folded names (`values`) in it. Never raises.

        Moments are shown in `zone`. The first text that cannot be filled decides what becomes of the recipient.
        """
        if len(self._plans) == 1:
            outcome = self._plans[0][1].render(values, zone)
            return RenderedMessage(self.language, outcome.text) if isinstance(outcome, Rendered) else outcome
        texts: dict[str, str] = {}
        for pointer, plan in self._plans:
            outcome = plan.render(values, zone)
            if not isinstance(outcome, Rendered):
                return outcome
            texts[pointer] = outcome.text
        whatsapp = None if self._whatsapp is None else _filled(self._whatsapp, texts)
        return RenderedMessage(self.language, texts[TEXT], texts.get("/subject"), texts.get("/html"), whatsapp)

    def missing(self, values: Mapping[str, Any]) -> list[str]:
        """The variables without a value, whatever stands in for them."""
        return [name for name in self.variables if is_blank(values.get(name))]


def refusal(outcome: Skipped | Failed) -> FieldError:
    """Why a single message cannot be sent, pointing into its `variables`."""
    name = outcome.variable
    if name is None:
        return FieldError("/variables", outcome.reason.value, "The text becomes too long.")
    words = {
        Reason.MISSING: f"There is no value for {name}, and nothing that stands in for it.",
        Reason.NOT_A_DATE: f"The value of {name} is no date.",
        Reason.NOT_A_NUMBER: f"The value of {name} is no number.",
        Reason.NOT_A_BOOLEAN: f"The value of {name} is neither true nor false.",
        Reason.NOT_A_VALUE: f"The value of {name} is nothing that can be shown.",
        Reason.TOO_LONG: f"The value of {name} is too long.",
    }
    return FieldError(f"/variables/{name}", outcome.reason.value, words[outcome.reason])


def sample_contact(contact: Mapping[str, Any]) -> dict[str, Any]:
    """A contact as people write one, its attributes under the keys that real ones have."""
    attributes = contact.get("attributes") or {}
    return {**contact, "attributes": {name.lower(): value for name, value in attributes.items()}}


def _keys(name: str) -> tuple[str | None, str]:
    """Under which keys a contact may have what a folded name means: of a field, and of an attribute."""
    key = name.lower()
    if name.startswith(ATTRIBUTES):
        return None, key.removeprefix(ATTRIBUTES.lower())
    return (key if name in CONTACT_FIELDS else None), key


def _full_name(contact: Mapping[str, Any]) -> str:
    names = (contact.get("first_name"), contact.get("last_name"))
    return contact.get(FULL_NAME) or " ".join([name for name in names if name])


def _plan(part: Part, fallbacks: Fallbacks) -> Plan:
    return Plan(parse(part.text), fallbacks, limit=part.limit, form=part.form, language=part.language)


def _filled(variant: WhatsAppVariant, texts: Mapping[str, str]) -> WhatsAppVariant:
    header = variant.header
    if header is not None:
        names = ("parameter", "media_url", "filename")
        header = msgspec.structs.replace(header, **{name: texts.get(f"/header/{name}") for name in names})
    return msgspec.structs.replace(
        variant,
        header=header,
        body=tuple(texts[f"/body/{index}"] for index in range(len(variant.body))),
        buttons=tuple(
            msgspec.structs.replace(button, parameter=texts[f"/buttons/{index}/parameter"])
            for index, button in enumerate(variant.buttons)
        ),
    )
