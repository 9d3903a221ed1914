"""Which characters keep a text out of the GSM 7-bit alphabet, and what could stand in their place."""

import unicodedata

import msgspec

from connectors.sms_text.gsm7 import DEFAULT, Alphabet, is_gsm7, septets
from connectors.sms_text.national import NationalLanguage, alphabet

SUBSTITUTIONS: dict[str, str] = {
    **dict.fromkeys("‘’‚‛′´`ʼ＇", "'"),
    **dict.fromkeys("“”„‟″«»＂", '"'),
    **dict.fromkeys("‐‑‒–—―−－", "-"),
    **dict.fromkeys(
        "\t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "
    ),
    **dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufeff\ufe0e\ufe0f", ""),
    **dict.fromkeys("•‣∙·●▪", "*"),
    "…": "...",
    "‹": "<",
    "›": ">",
    "⁄": "/",
    "×": "x",
    "÷": "/",
    "™": "(TM)",
    "©": "(C)",
    "®": "(R)",
    "№": "No",
    "ç": "c",
    "œ": "oe",
    "Œ": "OE",
    "ð": "d",
    "Ð": "D",
    "þ": "th",
    "Þ": "Th",
    "ł": "l",
    "Ł": "L",
    "đ": "d",
    "Đ": "D",
    "ı": "i",
    "¢": "c",
    "\u2028": "\n",
    "\u2029": "\n",
    "\u0085": "\n",
}
"""Replacements that keep the sense of a text; an empty one means that the character can go."""


class CharacterWarning(msgspec.Struct, frozen=True, gc=False):
    """`index` counts characters (code points) from 0. `suggestion` is None when nothing close is in the alphabet."""

    index: int
    character: str
    code: str
    suggestion: str | None


class Replacement(msgspec.Struct, frozen=True, gc=False):
    """`index` counts characters (code points) of the text as it was, from 0; an empty `replacement` is a deletion."""

    index: int
    character: str
    replacement: str


def warnings(text: str, national: NationalLanguage | None = None) -> list[CharacterWarning]:
    """One warning for each character that is not in the GSM 7-bit alphabet; empty for a text that is all GSM.

    With the shift tables of a language, those characters count that the best pair of tables does not have.
    """
    if is_gsm7(text):
        return []
    return [
        CharacterWarning(index, character, "not_gsm7", suggestion(character))
        for index, character in _foreign(text, national)[1]
    ]


def substitute(text: str, national: NationalLanguage | None = None) -> tuple[str, list[Replacement]]:
    """The text with every character replaced that keeps it out of the GSM 7-bit alphabet, and what was replaced.

    A text that would stay outside for another character's sake is left as it is: it is sent as UCS-2 anyway, which has
    them all.
    """
    if is_gsm7(text):
        return text, []
    characters = list(text)
    replaced: list[Replacement] = []
    table, foreign = _foreign(text, national)
    for index, character in foreign:
        replacement = suggestion(character)
        if replacement is None:
            return text, []
        characters[index] = replacement
        replaced.append(Replacement(index, character, replacement))
    whole = "".join(characters)
    return (text, []) if septets(whole, table) is None else (whole, replaced)


def _foreign(text: str, national: NationalLanguage | None) -> tuple[Alphabet, list[tuple[int, str]]]:
    """The pair of tables that has most of the text, and the characters it does not have."""
    tables = [DEFAULT]
    if national is not None:
        # The single shift tables first: they have nearly all of the default extension too.
        tables = [alphabet(locking, single) for locking in (None, national) for single in (national, None)]
    found = [(t, [(i, character) for i, character in enumerate(text) if character not in t.codes]) for t in tables]
    return min(found, key=lambda each: len(each[1]))


def suggestion(character: str) -> str | None:
    """What could replace one character: from `SUBSTITUTIONS`, else its compatibility form without marks."""
    known = SUBSTITUTIONS.get(character)
    if known is not None:
        return known
    plain = "".join(part for part in unicodedata.normalize("NFKD", character) if not unicodedata.combining(part))
    if not plain:
        # A mark on its own: the composed letter has already been counted by its base.
        return "" if unicodedata.combining(character) else None
    return plain if plain != character and is_gsm7(plain) else None
