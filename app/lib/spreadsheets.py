"""Cells of files that people open in a spreadsheet: none of them must become a formula there.

A spreadsheet takes a cell that begins with one of `=+-@` (or a TAB or a line break before such) for a formula, whatever
stands around it in the file (OWASP: CSV injection). An apostrophe before it makes it text. `neutral` adds one, and
`original` takes it away again, so that what was exported can be imported.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence

_DANGEROUS = re.compile(r"'*[=+\-@\t\r\n]")
_MARKED = re.compile(r"'+[=+\-@\t\r\n]")
_NUMBER = re.compile(r"[+\-][0-9]+(?:\.[0-9]+)?", re.ASCII)


def neutral(cell: str) -> str:
    """The cell as it goes into a file.

    Plain numbers stay, with a sign too: they calculate nothing, and phone numbers (`+251911000100`) are for other
    programs as well. Whatever else begins like a formula gets an apostrophe, and so does what begins with apostrophes
    before such a beginning: otherwise `original` could not tell them apart.
    """
    if _DANGEROUS.match(cell) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def original(cell: str) -> str:
    """What `neutral` was given; what was never given to it stays, unless it begins as if it had been."""
    return cell[1:] if _MARKED.match(cell) else cell


def csv_bytes(rows: Iterable[Sequence[str]]) -> bytes:
    """Rows as CSV (RFC 4180, UTF-8 without a byte order mark), with neutral cells."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([neutral(cell) for cell in row] for row in rows)
    return text.getvalue().encode()
