"""What an author should know before anybody gets the message: it can be stored, and might not be what was meant."""

import re
from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches

import msgspec

from app.domain.templates.checks import fallbacks_of
from app.domain.templates.content import Content, Part, parts_of, text_part
from app.domain.templates.language.fallback import Fallbacks, Strategy
from app.domain.templates.language.names import ATTRIBUTES, fold
from app.domain.templates.language.plan import Form, Plan, Rendered
from app.domain.templates.language.syntax import Literal, Node, Placeholder, parse
from app.domain.templates.rendering import CONTACT_FIELDS
from connectors.sms_text.segments import Count, count
from connectors.sms_text.warnings import substitute, suggestion, warnings

MAX_SMS_SEGMENTS = 10
MAX_CHARACTERS = 10
"""Warnings about characters of one text."""

MAX_WARNINGS = 200

# `{{name}}` is how half of the world writes a variable; here it is the text {name}.
_DOUBLED = re.compile(r"\{ ?([A-Za-z_][A-Za-z0-9_.]{0,99}) ?\}")
_SAMPLE = "12345678"
_SAMPLES = {
    "FIRST_NAME": "Abebech",
    "LAST_NAME": "Kebede",
    "FULL_NAME": "Abebech Kebede",
    "PHONE": "+251911000100",
    "EMAIL": "abebech@example.com",
    "LANGUAGE": "am",
    "TIMEZONE": "Africa/Addis_Ababa",
}
_SAMPLES_BY_FILTER = {"date": "2026-09-23T12:30:00", "number": "12345", "yesno": "true"}


class TemplateWarning(msgspec.Struct, frozen=True, kw_only=True):
    """Something to look at. `pointer` says in which text, `variable` and `character` what it is about.

    `index` counts characters of that text from 0; `suggestion` could stand in its place.
    """

    pointer: str
    code: str
    detail: str
    variable: str | None = None
    character: str | None = None
    index: int | None = None
    suggestion: str | None = None


class LengthEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """How long the text becomes on a kind of channel, with samples for its variables.

    `characters` are code points; encoding and segments are those of short messages, null elsewhere.
    """

    language: str | None
    channel: str
    characters: int
    encoding: str | None = None
    segments: int | None = None
    per_segment: int | None = None


class _Text(msgspec.Struct, frozen=True):
    part: Part
    nodes: tuple[Node, ...]

    def placeholders(self) -> Iterator[Placeholder]:
        return (node for node in self.nodes if isinstance(node, Placeholder))


def lint(
    content: Content, variables: Collection[str] = (), attributes: Collection[str] | None = None
) -> list[TemplateWarning]:
    """Everything worth a look in a content that was checked, at most `MAX_WARNINGS`.

    `variables` are the names that requests bring, `attributes` the account's contact attributes. With None, nobody has
    looked those up, and of unknown names only those are told that look like a slip.
    """
    fallbacks = fallbacks_of(content)
    texts = [_Text(part, parse(part.text)) for part in parts_of(content)]
    found = [
        *_unknown(texts, {fold(name) for name in variables}, attributes),
        *_without_fallback(texts, content),
        *_unused(texts, fallbacks),
        *(warning for text in texts for warning in _about_syntax(text)),
        *(warning for text in texts for warning in _about_parameters(text, fallbacks)),
        *(warning for text in texts if _goes_by_sms(text.part) for warning in _about_sms(text, fallbacks)),
    ]
    return found[:MAX_WARNINGS]


def estimates(content: Content) -> list[LengthEstimate]:
    """The length in each language, on each kind of channel there is a text for."""
    fallbacks = fallbacks_of(content)
    found: list[LengthEstimate] = []
    for code in (None, *content.languages):
        language = content.language if code is None else code
        chosen = content if code is None else content.languages[code]
        variants = chosen.variants
        text = sample_of(text_part("", variants.sms.text if variants.sms else chosen.body, language), fallbacks)
        counted = count(text)
        found.append(
            LengthEstimate(
                language=language,
                channel="sms",
                characters=len(text),
                encoding=counted.encoding.value,
                segments=counted.segments,
                per_segment=counted.per_segment,
            )
        )
        if variants.email is not None:
            text = sample_of(text_part("", variants.email.text or chosen.body, language), fallbacks)
            found.append(LengthEstimate(language=language, channel="email", characters=len(text)))
        if variants.whatsapp is not None:
            text = sample_of(text_part("", chosen.body, language), fallbacks)
            found.append(LengthEstimate(language=language, channel="whatsapp", characters=len(text)))
    return found


def sample_of(part: Part, fallbacks: Fallbacks) -> str:
    """The text with values of a usual length in it: the ones that stand in, else samples."""
    nodes = parse(part.text)
    values: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, Placeholder):
            by_filter = [_SAMPLES_BY_FILTER[call.name] for call in node.filters if call.name in _SAMPLES_BY_FILTER]
            sample = by_filter[0] if by_filter else _SAMPLES.get(node.name, _SAMPLE)
            values.setdefault(node.name, fallbacks.of(node.name)[1] or sample)
    never = Fallbacks(Strategy.EMPTY, fallbacks.values)
    outcome = Plan(nodes, never, limit=part.limit, form=part.form, language=part.language).render(values)
    return outcome.text if isinstance(outcome, Rendered) else part.text


def _unknown(
    texts: Sequence[_Text], variables: Collection[str], attributes: Collection[str] | None
) -> Iterator[TemplateWarning]:
    own = {fold(name) for name in attributes or ()}
    known = {*CONTACT_FIELDS, *variables, *own, *(ATTRIBUTES + name for name in own)}
    told: set[str] = set()
    for text in texts:
        for node in text.placeholders():
            if node.name in known or node.name in told:
                continue
            told.add(node.name)
            close = get_close_matches(node.name, known, 1, 0.8)
            if attributes is None and (not close or node.name.startswith(ATTRIBUTES)):
                continue
            detail = f"{node.name} is no field or attribute of contacts: each message has to bring it."
            yield TemplateWarning(
                pointer=text.part.pointer,
                code="unknown_variable",
                detail=detail + (f" Is {close[0]} meant?" if close else ""),
                variable=node.name,
                index=node.position,
                suggestion=close[0] if close else None,
            )


def _without_fallback(texts: Sequence[_Text], content: Content) -> Iterator[TemplateWarning]:
    fallbacks = fallbacks_of(content)
    told: set[str] = set()
    for text in texts:
        for node in text.placeholders():
            # Who writes `fail` wants it; who writes nothing may not know what then happens.
            meant = fallbacks.strategy is Strategy.FAIL or any(call.name == "default" for call in node.filters)
            own = fallbacks.strategies.get(node.name) or fallbacks.strategies.get(node.name.removeprefix(ATTRIBUTES))
            if node.name in told or meant or own is Strategy.FAIL or fallbacks.of(node.name)[0] is not Strategy.FAIL:
                continue
            told.add(node.name)
            yield TemplateWarning(
                pointer=text.part.pointer,
                code="no_fallback",
                detail=f"Without a value for {node.name} the message fails.",
                variable=node.name,
                index=node.position,
            )


def _unused(texts: Sequence[_Text], fallbacks: Fallbacks) -> Iterator[TemplateWarning]:
    used = {node.name for text in texts for node in text.placeholders()}
    used |= {name.removeprefix(ATTRIBUTES) for name in used}
    for field, names in (("values", fallbacks.values), ("strategies", fallbacks.strategies)):
        for name in names:
            if name not in used:
                detail = f"Nothing in the template is called {name}."
                yield TemplateWarning(
                    pointer=f"/fallback/{field}", code="unused_fallback", detail=detail, variable=name
                )


def _about_syntax(text: _Text) -> Iterator[TemplateWarning]:
    for index, node in enumerate(text.nodes):
        if isinstance(node, Literal):
            for match in _DOUBLED.finditer(node.text):
                detail = f"Double braces are shown as {match[0]}; a variable stands in single ones."
                yield TemplateWarning(
                    pointer=text.part.pointer,
                    code="looks_like_variable",
                    detail=detail,
                    suggestion="{" + match[1] + "}",
                )
        elif text.part.form is Form.HTML and index:
            before = text.nodes[index - 1]
            if isinstance(before, Literal) and before.text.rstrip().endswith("="):
                yield TemplateWarning(
                    pointer=text.part.pointer,
                    code="unquoted_attribute",
                    detail="Without quotes around it a value with a space in it ends the attribute.",
                    variable=node.name,
                    index=node.position,
                )


def _about_parameters(text: _Text, fallbacks: Fallbacks) -> Iterator[TemplateWarning]:
    if "/variants/whatsapp/" not in text.part.pointer or len(text.nodes) > 1:
        return
    for node in text.placeholders():
        filled = any(call.name == "default" for call in node.filters)
        if not filled and fallbacks.of(node.name)[0] is Strategy.EMPTY:
            yield TemplateWarning(
                pointer=text.part.pointer,
                code="empty_parameter",
                detail=f"WhatsApp refuses an empty parameter, which this is without a value for {node.name}.",
                variable=node.name,
                index=node.position,
            )


def _goes_by_sms(part: Part) -> bool:
    return part.pointer.removeprefix(f"/languages/{part.language}") in ("/body", "/variants/sms/text")


def _about_sms(text: _Text, fallbacks: Fallbacks) -> Iterator[TemplateWarning]:
    part = text.part
    shown = sample_of(part, fallbacks)
    counted = count(shown)
    if counted.segments > MAX_SMS_SEGMENTS:
        detail = f"As a short message it takes about {counted.segments} parts, and {MAX_SMS_SEGMENTS} are allowed."
        yield TemplateWarning(pointer=part.pointer, code="too_many_segments", detail=detail)
    plain, replaced = substitute(shown)
    # Where one character has nothing close in the alphabet, the text is UCS-2 whatever becomes of the others.
    if not replaced:
        return
    told: set[str] = set()
    for each in warnings(part.text):
        if each.character in told or len(told) == MAX_CHARACTERS:
            continue
        told.add(each.character)
        yield TemplateWarning(
            pointer=part.pointer,
            code="not_gsm7",
            detail=_cost(each.character, counted, count(plain)),
            character=each.character,
            index=each.index,
            suggestion=suggestion(each.character),
        )


def _cost(character: str, now: Count, then: Count) -> str:
    if now.segments > then.segments:
        return f"{character!r} makes it {now.segments} parts instead of {then.segments}."
    return f"{character!r} leaves room for {now.per_segment} characters in a part instead of {then.per_segment}."
