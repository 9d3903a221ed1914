"""Names of people, accounts and the like."""

import unicodedata

from app.lib.errors import FieldError, InvalidValue

MAX_LENGTH = 200


def check_name(text: str, pointer: str, errors: list[FieldError]) -> str:
    """A name as it is stored: NFC, trimmed, 1 to 200 characters; adds an error otherwise."""
    name = unicodedata.normalize("NFC", text).strip()
    if not 1 <= len(name) <= MAX_LENGTH:
        errors.append(FieldError(pointer, "wrong_length", "A name has 1 to 200 characters, not only spaces."))
    elif any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        errors.append(FieldError(pointer, "not_allowed", "A name holds no control characters."))
    return name


def patched_name(value: str | None, pointer: str) -> str:
    """The name that a PATCH sends; raises `InvalidValue`, for null as well."""
    if value is None:
        raise InvalidValue.at(pointer, "not_nullable", "This field cannot be cleared.")
    errors: list[FieldError] = []
    name = check_name(value, pointer, errors)
    if errors:
        raise InvalidValue.of(errors)
    return name
