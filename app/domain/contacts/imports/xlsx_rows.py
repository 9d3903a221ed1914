"""Reading a workbook (.xlsx) row by row: its first sheet, as text, with only one row in memory.

What a workbook can be made of to fill the memory of whoever reads it is looked for first (`check_workbook`).
"""

import codecs
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any, BinaryIO

from openpyxl import load_workbook

from app.domain.contacts.imports.rows import START, Place, Row, UnreadableFile, checked

MOST_ROWS = 1_048_576
"""What a sheet can have."""

MOST_UNPACKED = 2 * 1024**3
"""Bytes of all parts of a workbook, unpacked: sheets are read piece by piece."""

MOST_HELD = 64 * 1024**2
"""Bytes of one part that is held in memory (texts, styles), unpacked."""

MOST_PARTS = 1_000
_MOST_ROW = 4 * 1024**2
_PIECE = 256 * 1024


def check_workbook(file: BinaryIO) -> None:
    """Raises `UnreadableFile` for what is no workbook, or one whose reading would take too much memory."""
    try:
        with zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
            if len(parts) > MOST_PARTS or sum(part.file_size for part in parts) > MOST_UNPACKED:
                raise UnreadableFile("The workbook is too large: save it as CSV.")
            for part in parts:
                # Any other can be given the part of a sheet or of texts, whatever it is called.
                if not part.filename.startswith("xl/media/"):
                    _check_part(archive, part)
    except (zipfile.BadZipFile, zlib.error, OSError, NotImplementedError, RuntimeError, ValueError, EOFError) as error:
        raise UnreadableFile("The file is not a workbook that can be read: save it as CSV.") from error


def _check_part(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> None:
    """No entities, which OOXML has not; no row longer than any that a spreadsheet writes; little where all is held."""
    is_xml = part.filename.endswith((".xml", ".rels"))
    is_sheet = part.filename.startswith("xl/worksheets/") and is_xml
    if not is_sheet and part.file_size > MOST_HELD:
        raise UnreadableFile("The workbook has too many different texts: save it as CSV.")
    with archive.open(part) as content:
        since, tail = 0, b""
        while piece := content.read(_PIECE):
            if is_xml and not tail and not piece.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"<"):
                raise UnreadableFile("A part of the workbook is no XML in UTF-8: save it as CSV.")
            window = tail + piece
            if b"<!DOCTYPE" in window or b"<!ENTITY" in window:
                raise UnreadableFile("The workbook has a document type, which none has: save it as CSV.")
            last = window.rfind(b"<row")
            since = len(window) - last if last >= 0 else since + len(piece)
            if is_sheet and since > _MOST_ROW:
                raise UnreadableFile("A row of the sheet is too long: save the sheet as CSV.")
            tail = window[-10:]


class XlsxRows:
    """The rows of the first sheet from line `place.line` on. Raises `UnreadableFile`, while reading too."""

    def __init__(self, file: BinaryIO, place: Place = START) -> None:
        self._line = place.line
        self._empty = 0
        try:
            with warnings.catch_warnings():
                # About what it leaves out: styles, validations, pictures.
                warnings.simplefilter("ignore")
                workbook = load_workbook(file, read_only=True, data_only=True, keep_links=False)
            sheet = next(iter(workbook.worksheets), None)
            if sheet is None:
                raise UnreadableFile("The workbook has no sheet.")
            self.expected: int | None = sheet.max_row
            # What a sheet says about its size is often wrong, and would cut rows off.
            sheet.reset_dimensions()
            # Without an end it would count up to the number of a row that no sheet has.
            self._rows = sheet.iter_rows(min_row=place.line, max_row=MOST_ROWS, values_only=True)
        except UnreadableFile:
            raise
        except Exception as error:
            # A file that is made to break its reader can raise anything.
            raise UnreadableFile("The workbook cannot be read: save it as CSV.") from error

    @property
    def place(self) -> Place:
        """The number of the row to go on with."""
        return Place(0, self._line)

    @property
    def empty(self) -> int:
        """How many empty rows were passed over."""
        return self._empty

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        while True:
            try:
                values = next(self._rows)
            except StopIteration:
                raise
            except Exception as error:
                raise UnreadableFile(f"The workbook is damaged at row {self._line}.") from error
            line = self._line
            self._line += 1
            cells = [_text(value) for value in values]
            while cells and not cells[-1]:
                cells.pop()
            if any(map(str.strip, cells)):
                return checked(line, cells)
            self._empty += 1


def _text(value: Any) -> str:
    """A cell as it would stand in CSV. Numbers that are whole have no fraction: they are phone numbers at times."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float():
            return str(int(value)) if value.is_integer() else repr(value)
        case datetime():
            if value.time() == time.min:
                return value.date().isoformat()
            return value.replace(microsecond=0, tzinfo=None).isoformat() + "Z"
        case date() | time():
            return value.isoformat()
        case timedelta():
            return str(value)
        case _:
            return str(value)
