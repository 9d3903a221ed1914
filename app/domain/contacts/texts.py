"""Texts that people send, in the form they are stored in."""

import unicodedata
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from app.lib.errors import FieldError


def nfc(text: str) -> str:
    """The text in normalisation form C."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def description_text(text: str | None) -> str:
    """A description; empty for none."""
    return "" if text is None else nfc(text)


def line_text(text: str, longest: int, pointer: str, errors: list[FieldError]) -> str:
    """Text of one line, trimmed and in NFC; adds an error for one that is too long, or has control characters."""
    line = nfc(text).strip()
    if len(line) > longest:
        errors.append(FieldError(pointer, "wrong_length", f"At most {longest} characters."))
    elif any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in line):
        errors.append(FieldError(pointer, "not_allowed", "Line breaks and control characters have no place here."))
    return line


def nfc_document(value: Any) -> Any:
    """A JSON document with every text in NFC; names of members stay as they are."""
    match value:
        case str():
            return nfc(value)
        case list():
            return [nfc_document(each) for each in value]
        case dict():
            return {key: nfc_document(each) for key, each in value.items()}
    return value


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


def time_zone(name: str, pointer: str, errors: list[FieldError]) -> str:
    """The name of a time zone; adds an error for one that there is not."""
    if name not in _time_zones():
        errors.append(FieldError(pointer, "not_a_time_zone", f"{name!r} is not in the IANA time zone database."))
    return name
