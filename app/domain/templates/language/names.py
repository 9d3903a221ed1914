"""Names of variables, matched without case."""

import unicodedata
from functools import lru_cache

MAX_NAME = 100

ATTRIBUTES = "ATTRIBUTES."
"""What says that a name is meant as a contact attribute: `{ATTRIBUTES.CITY}`."""


def fold(name: str) -> str:
    """The one spelling of a name, whatever its case: `first_name` → `FIRST_NAME`."""
    # What is longer is the name of nothing, and not worth remembering.
    return _fold(name) if len(name) <= MAX_NAME else name


@lru_cache(maxsize=8192)
def _fold(name: str) -> str:
    if name.isascii():
        return name.upper()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold().upper())


def is_name(text: str) -> bool:
    """Whether a placeholder can name it: letters of any script, digits and underscores, in parts joined by dots."""
    return len(text) <= MAX_NAME and all(part and ("_" + part).isidentifier() for part in text.split("."))
