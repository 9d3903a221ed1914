"""The national language tables of 3GPP TS 23.038 annex A as data: locking shift (§A.3) and single shift (§A.2).

A table is written row by row as in the standard. Letters of Indic and Arabic scripts are hexadecimal offsets in the
script's Unicode block (two digits) or code points (four digits); one character stands for itself; `--` for nothing.
"""

from collections.abc import Iterator
from typing import NamedTuple

from connectors.sms_text.gsm7 import EXTENSION, UNDEFINED

_WORDS = {"LF": "\n", "CR": "\r", "SP": " ", "ESC": "\x1b", "--": UNDEFINED}

_TURKISH = (
    "@£$¥€éùıòÇ\nĞğ\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞ\x1bŞşßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "İABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "çabcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)
_PORTUGUESE = (
    "@£$¥êéúíóç\nÔô\rÁá"
    "Δ_ªÇÀ∞^\\€Ó|\x1bÂâÊÉ"
    " !\"#º%&'()*+,-./"
    "0123456789:;<=>?"
    "ÍABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÃÕÚÜ§"
    "~abcdefghijklmno"
    "pqrstuvwxyzãõ`üà"
)
_URDU = """
    27 22 28 7b 80 7e a6 2a c2 7f LF  79 7d CR 7a 7c
    2b 2c 81 84 83 85 86 87 2d 2e 2f ESC 8c 88 89 8a
    SP !  8f 8d 30 31 91 93 )  (  99 32  ,  96 .  98
    0  1  2  3  4  5  6  7  8  9  :  ;   9a 33 34 ?
    35 36 37 38 39 41 42 a9 aa ab af b3  b1 44 45 46
    ba bb bc 48 c4 d5 c1 be 21 cc d0 d2  4d 50 4f 57
    54 a  b  c  d  e  f  g  h  i  j  k   l  m  n  o
    p  q  r  s  t  u  v  w  x  y  z  55  51 53 56 70
"""
# The scripts of India have their letters at the same offsets of their blocks (they follow ISCII), and the standard lays
# them out in that order: only the gaps of each script and the last six letters, here L0 to L5, differ.
_INDIC = """
    01 02 03 05 06 07 08 09 0a 0b LF 0c  0d CR 0e 0f
    10 11 12 13 14 15 16 17 18 19 1a ESC 1b 1c 1d 1e
    SP !  1f 20 21 22 23 24 )  (  25 26  ,  27 .  28
    0  1  2  3  4  5  6  7  8  9  :  ;   29 2a 2b ?
    2c 2d 2e 2f 30 31 32 33 34 35 36 37  38 39 3c 3d
    3e 3f 40 41 42 43 44 45 46 47 48 49  4a 4b 4c 4d
    L0 a  b  c  d  e  f  g  h  i  j  k   l  m  n  o
    p  q  r  s  t  u  v  w  x  y  z  L1  L2 L3 L4 L5
"""


class _Script(NamedTuple):
    """`gaps` and `last` are offsets in the block; `single` fills `_SINGLE_CODES` in their order."""

    block: int
    gaps: str
    last: str
    single: str


_SCRIPTS = {
    4: _Script(
        0x0980,
        "0d 0e 11 12 29 31 33 34 35 45 46 49 4a",
        "4e 57 5c 5d 70 71",
        "66 67 68 69 6a 6b 6c 6d 6e 6f 5f 60 61 62 63 72 73 74 75 76 77 78 79 7a",
    ),
    5: _Script(
        0x0A80,
        "0e 12 29 31 34 46 4a",
        "50 60 61 62 63 71",
        "0964 0965 66 67 68 69 6a 6b 6c 6d 6e 6f",
    ),
    6: _Script(
        0x0900,
        "",
        "50 72 7b 7c 7e 7f",
        "64 65 66 67 68 69 6a 6b 6c 6d 6e 6f 51 52 53 54 58 59 5a 5b 5c 5d 5e 5f 60 61 62 63 70 71",
    ),
    7: _Script(
        0x0C80,
        "01 0d 11 29 34 45 49",
        "55 56 60 61 62 63",
        "0964 0965 66 67 68 69 6a 6b 6c 6d 6e 6f 5e 71 72",
    ),
    8: _Script(
        0x0D00,
        "01 0d 11 29 3c 45 49",
        "57 60 61 62 63 79",
        "0964 0965 66 67 68 69 6a 6b 6c 6d 6e 6f 70 71 72 73 74 75 7a 7b 7c 7d 7e 7f",
    ),
    9: _Script(
        0x0B00,
        "0d 0e 11 12 29 31 34 45 46 49 4a",
        "56 57 60 61 62 63",
        "0964 0965 66 67 68 69 6a 6b 6c 6d 6e 6f 5c 5d 5f 70 71",
    ),
    10: _Script(
        0x0A00,
        "0b 0c 0d 0e 11 12 29 31 34 37 3d 43 44 45 46 49 4a",
        "51 70 71 72 73 74",
        "0964 0965 66 67 68 69 6a 6b 6c 6d 6e 6f 59 5a 5b 5c 5e 75",
    ),
    11: _Script(
        0x0B80,
        "01 0b 0c 0d 11 16 17 18 1b 1d 20 21 22 25 26 27 2b 2c 2d 3c 3d 43 44 45 49",
        "50 57 70 71 72 79",
        "0964 0965 66 67 68 69 6a 6b 6c 6d 6e 6f 73 74 75 76 77 78 7a",
    ),
    12: _Script(
        0x0C00,
        "0d 11 29 34 3c 45 49",
        "55 56 60 61 62 63",
        "-- -- 66 67 68 69 6a 6b 6c 6d 6e 6f 58 59 78 79 7a 7b 7c 7d 7e 7f",
    ),
}
_URDU_SINGLE = """
    00 01 f0 f1 f2 f3 f4 f5 f6 f7 f8 f9 0c 0d 0e 0f 10 11 12 13 14 1b 1f 40 52 58 6b 6c 72 73 cd d4
"""

_TURKISH_SINGLE = {0x47: "Ğ", 0x49: "İ", 0x53: "Ş", 0x63: "ç", 0x67: "ğ", 0x69: "ı", 0x73: "ş"}
_SPANISH_SINGLE = {
    0x09: "ç",
    **dict(zip(b"AIOUaiou", "ÁÍÓÚáíóú", strict=True)),
}
_PORTUGUESE_SINGLE = {
    0x05: "ê",
    0x09: "ç",
    0x0B: "Ô",
    0x0C: "ô",
    0x0E: "Á",
    0x0F: "á",
    **dict(zip(range(0x12, 0x14), "ΦΓ", strict=True)),
    **dict(zip(range(0x15, 0x1A), "ΩΠΨΣΘ", strict=True)),
    0x1F: "Ê",
    **dict(zip(b"AIOU[\\aiou{|\x7f", "ÀÍÓÚÃÕÂíóúãõâ", strict=True)),
}
# The locking tables of the other scripts have no room for these, nor for capital letters.
_PUNCTUATION = {
    **dict(zip(range(0x00, 0x0A), "@£$¥¿\"¤%&'", strict=True)),
    **dict(zip((0x0B, 0x0C, 0x0E, 0x0F), "*+-/", strict=True)),
    **dict(zip(range(0x10, 0x19), "<=>¡^¡_#*", strict=True)),
    **{code: chr(code) for code in b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
}
_SINGLE_CODES = (0x19, 0x1A, *range(0x1C, 0x28), *range(0x2A, 0x2F), *range(0x30, 0x3C), 0x3F)


def _characters(table: str, block: int) -> Iterator[str]:
    for word in table.split():
        if len(word) == 1:
            yield word
        else:
            yield _WORDS.get(word) or chr(int(word, 16) + (block if len(word) == 2 else 0))


def _indic(script: _Script) -> str:
    gaps = script.gaps.split()
    last = dict(zip(("L0", "L1", "L2", "L3", "L4", "L5"), script.last.split(), strict=True))
    words = (last.get(word, "--" if word in gaps else word) for word in _INDIC.split())
    return "".join(_characters(" ".join(words), script.block))


def _script_single(written: str, block: int) -> dict[int, str]:
    own = dict(zip(_SINGLE_CODES, _characters(written, block), strict=False))
    defined = {code: character for code, character in own.items() if character != UNDEFINED}
    return {**EXTENSION, **_PUNCTUATION, **defined}


LOCKING: dict[int, str] = {
    1: _TURKISH,
    3: _PORTUGUESE,
    **{language: _indic(script) for language, script in _SCRIPTS.items()},
    13: "".join(_characters(_URDU, 0x0600)),
}
"""National language identifier → the 128 characters of its locking shift table. Spanish has none."""

SINGLE: dict[int, dict[int, str]] = {
    1: {**EXTENSION, **_TURKISH_SINGLE},
    2: {**EXTENSION, **_SPANISH_SINGLE},
    3: {**EXTENSION, **_PORTUGUESE_SINGLE},
    **{language: _script_single(script.single, script.block) for language, script in _SCRIPTS.items()},
    13: _script_single(_URDU_SINGLE, 0x0600),
}
"""National language identifier → its single shift table: septet after ESC to character."""

# The Telugu table alone leaves out the euro sign (§A.2.12).
del SINGLE[12][0x65]
