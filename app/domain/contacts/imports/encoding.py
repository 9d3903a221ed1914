"""What a file of contacts is: its kind, encoding and delimiter, found out from its beginning; and its text as UTF-8."""

import codecs
import csv
from typing import BinaryIO, Literal

import msgspec
from charset_normalizer import from_bytes

from app.domain.contacts.imports.rows import UnreadableFile

SAMPLE_BYTES = 256 * 1024
"""Of the beginning of a file: what is looked at to find out what it is."""

DELIMITERS = (",", ";", "\t", "|")

Delimiter = Literal[",", ";", "\t", "|"]

ENCODINGS = (
    *("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"),
    *("cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874"),
    *("iso8859-1", "iso8859-2", "iso8859-5", "iso8859-6", "iso8859-7", "iso8859-8", "iso8859-9", "iso8859-15"),
    *("koi8-r", "koi8-u", "mac-roman", "cp437", "cp850", "cp852", "cp866"),
    *("shift_jis", "euc_jp", "iso2022_jp", "gb18030", "big5", "euc_kr"),
)
"""What text can be in; `canonical_encoding` knows their other names."""

# Wide enough for the world's spreadsheets, narrow enough that short files are not taken for something exotic.
_GUESSED = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "koi8_r", "mac_roman"),
    *("shift_jis", "gb18030", "big5", "euc_kr"),
)
_GUESS_BYTES = 32 * 1024

# The longer one first: UTF-32 begins like UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

_NO_TEXT = b"\xef\xbf\xbd"
_INVALID = b"\xff"
_SHOWN_ROWS = 50


class Form(msgspec.Struct, frozen=True):
    """What a file is. `encoding` is "" and `delimiter` is "" for a workbook (`xlsx`)."""

    kind: Literal["csv", "xlsx"]
    encoding: str = ""
    delimiter: str = ""


def canonical_encoding(name: str) -> str | None:
    """The name that `ENCODINGS` has for an encoding, whatever it is called; None for one that is not there."""
    wanted = {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "windows-874": "cp874"}.get(name.lower(), name)
    try:
        found = codecs.lookup(wanted).name
    except (LookupError, ValueError):
        return None
    known = {codecs.lookup(encoding).name: encoding for encoding in ENCODINGS}
    return known.get("utf-8" if found == "utf-8-sig" else found)


def find_form(sample: bytes, *, encoding: str | None = None, delimiter: str | None = None) -> Form:
    """What the file is that begins with `sample` (at most `SAMPLE_BYTES` of it); what is given is not looked for.

    Raises `UnreadableFile` for files that are neither text nor a workbook.
    """
    if sample.startswith(b"PK\x03\x04"):
        return Form("xlsx")
    if sample.startswith(b"\xd0\xcf\x11\xe0"):
        raise UnreadableFile("This is an old Excel file (.xls) or a protected one: save it as .xlsx or as CSV.")
    if sample.startswith((b"%PDF", b"\x1f\x8b", b"\x89PNG", b"\xff\xd8\xff")):
        raise UnreadableFile("The file is neither CSV nor an Excel workbook (.xlsx).")
    if not sample.strip():
        raise UnreadableFile("The file is empty.")
    encoding = encoding or _find_encoding(sample)
    text = Transcoder(encoding).feed(sample).decode(errors="replace")
    return Form("csv", encoding, delimiter or _find_delimiter(text))


def _find_encoding(sample: bytes) -> str:
    for mark, encoding in _MARKS:
        if sample.startswith(mark):
            return encoding
    # Digits, delimiters and ends of lines have a zero beside them, whatever the letters are.
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if 20 * (even + odd) > len(sample):
        return "utf-16-le" if odd > even else "utf-16-be"
    text = codecs.getincrementaldecoder("utf-8")(errors="replace").decode(sample)
    wrong = text.count("\ufffd")
    # Letters of UTF-8 hardly ever come about by chance: a file that has many is UTF-8 with some damage.
    if wrong == 0 or sum(character > "\x7f" for character in text) > 4 * wrong:
        return "utf-8"
    lines = [line for line in sample.splitlines(keepends=True) if not line.isascii()]
    telling = b"".join(lines[: 1 if len(lines) == 1 else -1])[:_GUESS_BYTES]
    guess = from_bytes(telling, cp_isolation=list(_GUESSED)).best()
    if guess is None or str(guess) == telling.decode("cp1252", errors="replace"):
        return "cp1252"
    return canonical_encoding(guess.encoding) or "cp1252"


def _find_delimiter(text: str) -> str:
    """The one that cuts most rows like the first one, into most cells."""
    if text.startswith("sep=") and text[4:5] in DELIMITERS:
        return text[4]
    lines = text.splitlines(keepends=True)
    # The last one may be cut off.
    lines = lines[:-1] if len(lines) > 1 and not text.endswith("\n") else lines
    best, found = (0.0, 0), ","
    for delimiter in DELIMITERS:
        rows = []
        try:
            for cells in csv.reader(lines, delimiter=delimiter):
                if any(map(str.strip, cells)):
                    rows.append(len(cells))
                if len(rows) >= _SHOWN_ROWS:
                    break
        except csv.Error:
            # What was read before it tells enough.
            pass
        if not rows or rows[0] < 2:
            continue
        score = (sum(count == rows[0] for count in rows) / len(rows), rows[0])
        if score > best:
            best, found = score, delimiter
    return found


class Transcoder:
    """Text in any encoding, piece by piece, as UTF-8 with line feeds; without the byte order mark.

    Bytes that are no text become 0xFF, which is none in UTF-8 either: the row they are in is known by it. UTF-8 passes
    as it is.
    """

    def __init__(self, encoding: str) -> None:
        self._decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)(errors="replace")
        self._begun = False
        self._old_mac: bool | None = None

    def feed(self, data: bytes, final: bool = False) -> bytes:
        """The next piece; the last one may be empty."""
        if self._decoder is not None:
            data = self._decoder.decode(data, final).encode().replace(_NO_TEXT, _INVALID)
        if not self._begun and data:
            self._begun = True
            data = data.removeprefix(codecs.BOM_UTF8)
            # Lines that end with a carriage return alone: nobody has written such files for long, and some still do.
            self._old_mac = b"\r" in data[:-1] and b"\n" not in data
        return data.replace(b"\r", b"\n") if self._old_mac else data


def skip_delimiter_line(file: BinaryIO) -> int:
    """How many bytes the line `sep=;` takes that some programs put at the beginning; 0 where there is none."""
    file.seek(0)
    line = file.readline(16)
    is_one = (
        line.startswith(b"sep=") and line.endswith(b"\n") and line[4:].strip(b"\r\n").decode("latin-1") in DELIMITERS
    )
    return len(line) if is_one else 0
