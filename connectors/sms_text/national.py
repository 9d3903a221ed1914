"""National languages: which pair of shift tables a user data header asks for (3GPP TS 23.038 §6.2.1.2)."""

from enum import IntEnum
from functools import cache

from connectors.sms_text import gsm7
from connectors.sms_text.gsm7 import Alphabet
from connectors.sms_text.national_tables import LOCKING, SINGLE


class NationalLanguage(IntEnum):
    """National language identifiers (3GPP TS 23.038 §6.2.1.2.4). Spanish has a single shift table only."""

    TURKISH = 1
    SPANISH = 2
    PORTUGUESE = 3
    BENGALI = 4
    GUJARATI = 5
    HINDI = 6
    KANNADA = 7
    MALAYALAM = 8
    ORIYA = 9
    PUNJABI = 10
    TAMIL = 11
    TELUGU = 12
    URDU = 13


def alphabet(locking: int | None = None, single: int | None = None) -> Alphabet:
    """The alphabet of a locking and a single shift table; None, 0 and unknown identifiers mean the default table."""
    return _pair(locking if locking in LOCKING else None, single if single in SINGLE else None)


@cache
def _pair(locking: int | None, single: int | None) -> Alphabet:
    if locking is None and single is None:
        return gsm7.DEFAULT
    return gsm7.alphabet(
        gsm7.BASIC if locking is None else LOCKING[locking], gsm7.EXTENSION if single is None else SINGLE[single]
    )
