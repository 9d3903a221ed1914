"""Whether a content can be stored: every text read, every filter known, nothing that contradicts itself."""

import unicodedata
from typing import Any

import msgspec

from app.domain.identity.accounts.settings import Language
from app.domain.templates.content import Content, Part, TemplateVariants, parts_of
from app.domain.templates.language.fallback import Fallbacks, folded_fallbacks
from app.domain.templates.language.names import fold, is_name
from app.domain.templates.language.plan import Plan
from app.domain.templates.language.syntax import TemplateError, parse, variables_of
from app.lib.errors import FieldError, InvalidValue
from app.lib.problems import field_error

MAX_DEPTH = 16


def checked_content(document: dict[str, Any]) -> Content:
    """A content from JSON, its texts in NFC. Raises `InvalidValue` with a pointer to each thing that is wrong."""
    errors: list[FieldError] = []
    normal = _normal(document, "", errors, MAX_DEPTH)
    if errors:
        raise InvalidValue.of(errors)
    try:
        content = msgspec.convert(normal, Content)
    except msgspec.ValidationError as error:
        raise InvalidValue.of([field_error(error)]) from error
    _check_names(content, errors)
    _check_languages(content, errors)
    if errors:
        raise InvalidValue.of(errors)
    _check_headers(content, errors)
    for part in parts_of(content):
        _check_text(part, errors)
    if errors:
        raise InvalidValue.of(errors)
    return content


def content_document(content: Content) -> dict[str, Any]:
    """The content as it is stored and compared: plain JSON."""
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(content))
    return document


def fallbacks_of(content: Content) -> Fallbacks:
    """The fallbacks by folded name."""
    return folded_fallbacks(content.fallback.strategy, content.fallback.values, content.fallback.strategies)


def variables_in(content: Content) -> list[str]:
    """The folded names of all variables, in the order of first use: the body's first."""
    return list(dict.fromkeys(name for part in parts_of(content) for name in variables_of(parse(part.text))))


def _normal(value: Any, pointer: str, errors: list[FieldError], depth: int) -> Any:
    if isinstance(value, str):
        if "\0" in value:
            errors.append(FieldError(pointer, "not_allowed", "The text holds a NUL character."))
        return value if value.isascii() else unicodedata.normalize("NFC", value)
    if depth == 0 and isinstance(value, dict | list):
        errors.append(FieldError(pointer, "too_deep", f"A template nests at most {MAX_DEPTH} levels."))
        return None
    if isinstance(value, dict):
        return {
            _normal(key, pointer, errors, depth): _normal(each, f"{pointer}/{_step(key)}", errors, depth - 1)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_normal(each, f"{pointer}/{index}", errors, depth - 1) for index, each in enumerate(value)]
    return value


def _step(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _check_names(content: Content, errors: list[FieldError]) -> None:
    given: tuple[tuple[str, list[str]], ...] = (
        ("values", list(content.fallback.values)),
        ("strategies", list(content.fallback.strategies)),
    )
    for field, names in given:
        seen: set[str] = set()
        for name in names:
            pointer = f"/fallback/{field}/{_step(name)}"
            if not is_name(name):
                errors.append(FieldError(pointer, "bad_name", f"{name!r} cannot be the name of a variable."))
                continue
            if fold(name) in seen:
                errors.append(FieldError(pointer, "duplicate", "Names differ by more than case."))
            seen.add(fold(name))
    for name, value in content.fallback.values.items():
        if not value.strip():
            pointer = f"/fallback/values/{_step(name)}"
            detail = "A value has something to show; the strategy `empty` shows nothing."
            errors.append(FieldError(pointer, "wrong_length", detail))


def _check_languages(content: Content, errors: list[FieldError]) -> None:
    for code in content.languages:
        pointer = f"/languages/{_step(code)}"
        if code == content.language:
            errors.append(FieldError(pointer, "duplicate", "The template itself is in this language."))
        try:
            msgspec.convert(code, Language)
        except msgspec.ValidationError:
            detail = f"{code!r} is no language tag, such as `am` or `en-GB`."
            errors.append(FieldError(pointer, "wrong_format", detail))


def _check_headers(content: Content, errors: list[FieldError]) -> None:
    all_variants: list[tuple[str, TemplateVariants]] = [("/variants", content.variants)]
    all_variants += [(f"/languages/{code}/variants", each.variants) for code, each in content.languages.items()]
    for pointer, variants in all_variants:
        whatsapp = variants.whatsapp
        if whatsapp is None:
            continue
        header = whatsapp.header
        if header is not None:
            wanted = "parameter" if header.type == "text" else "media_url"
            for name in ("parameter", "media_url", "filename"):
                value, place = getattr(header, name), f"{pointer}/whatsapp/header/{name}"
                if value is None and name == wanted:
                    errors.append(FieldError(place, "missing_field", f"A header of this type needs its {name}."))
                elif value is not None and name != wanted and (name, header.type) != ("filename", "document"):
                    errors.append(FieldError(place, "not_allowed", f"A header of this type has no {name}."))
        indexes = [button.index for button in whatsapp.buttons]
        errors.extend(
            FieldError(f"{pointer}/whatsapp/buttons/{place}/index", "duplicate", "Two buttons have this index.")
            for place, index in enumerate(indexes)
            if index in indexes[:place]
        )


def _check_text(part: Part, errors: list[FieldError]) -> None:
    try:
        Plan(parse(part.text), Fallbacks(), limit=part.limit, form=part.form)
    except TemplateError as error:
        before = part.text[: error.position]
        line, column = before.count("\n") + 1, error.position - (before.rfind("\n") + 1) + 1
        where = f"line {line}, character {column}" if "\n" in part.text else f"character {column}"
        detail = f"{error.detail.rstrip('.')} ({where})."
        errors.append(FieldError(part.pointer, error.code, detail))
