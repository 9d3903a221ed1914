"""Reading CSV row by row, whatever is in it: one bad row costs itself, and nothing of the file is in memory but a row.

What is read is UTF-8 (`app.domain.contacts.imports.encoding` makes it so) and RFC 4180, with any delimiter: a quote
opens a cell only at its beginning, is doubled inside, and after the closing one comes a delimiter or the end of the
line. Where that does not hold, or a quote is never closed, the line is a bad row, and reading goes on with the next.
"""

import csv
import re
from collections.abc import Iterator
from typing import BinaryIO

from app.domain.contacts.imports.rows import MAX_ROW_BYTES, START, Place, Reason, Row, checked

_PIECE = 64 * 1024

_BAD_QUOTES = Reason("", "bad_quotes", "a quote is not closed, or something stands after a closing quote")
_TOO_LONG = Reason("", "row_too_long", f"it has more than {MAX_ROW_BYTES} bytes")
_BAD_TEXT = Reason("", "bad_encoding", "it has bytes that are no text in the encoding of the file")


class _TooLongError(Exception):
    """A row passes the limit."""


class CsvRows:
    """The rows of a seekable file from `place` on, the row of headers among them."""

    def __init__(self, file: BinaryIO, delimiter: str, place: Place = START) -> None:
        self._file = file
        self._delimiter = delimiter
        self._empty = 0
        self._seek(place)

    @property
    def place(self) -> Place:
        """Where the next row begins."""
        return Place(self._offset, self._line)

    @property
    def empty(self) -> int:
        """How many empty rows were passed over."""
        return self._empty

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        while True:
            begin_offset, begin_line = self._offset, self._line
            self._first_end, self._size, self._damaged = 0, 0, False
            try:
                cells = next(self._reader)
            except csv.Error:
                # Strict: of this row only its first line is lost.
                return self._after_first_line(Place(begin_offset, begin_line), _BAD_QUOTES)
            except _TooLongError:
                return self._after_long(Place(begin_offset, begin_line))
            if not any(map(str.strip, cells)):
                self._empty += 1
            elif self._damaged:
                return Row(begin_line, cells, _BAD_TEXT)
            else:
                return checked(begin_line, cells)

    def _seek(self, place: Place) -> None:
        self._file.seek(place.offset)
        self._offset, self._line = place.offset, place.line
        self._first_end, self._size, self._damaged = 0, 0, False
        self._reader = csv.reader(self._lines(), delimiter=self._delimiter, strict=True)

    def _lines(self) -> Iterator[str]:
        """The lines as the parser asks for them: exactly those of the row that it is at."""
        readline = self._file.readline
        while line := readline(MAX_ROW_BYTES + 1):
            self._size += len(line)
            if self._size > MAX_ROW_BYTES:
                raise _TooLongError
            self._offset += len(line)
            self._line += 1
            if not self._first_end:
                self._first_end = self._offset
            try:
                yield line.decode()
            except UnicodeDecodeError:
                self._damaged = True
                yield line.decode(errors="replace")

    def _after_first_line(self, begin: Place, reason: Reason) -> Row:
        self._file.seek(begin.offset)
        shown = self._file.readline(MAX_ROW_BYTES).decode(errors="replace").rstrip("\r\n").replace("\0", "\ufffd")
        self._seek(Place(self._first_end, begin.line + 1))
        return Row(begin.line, [shown], reason)

    def _after_long(self, begin: Place) -> Row:
        """Pass over a row beyond the limit: whole when its quotes are in order, else its first line only."""
        end = _end_of_row(self._file, begin, self._delimiter)
        if end is not None:
            self._seek(end)
            return Row(begin.line, [], _TOO_LONG)
        if self._first_end:
            return self._after_first_line(begin, _BAD_QUOTES)
        self._file.seek(begin.offset)
        length = 0
        while piece := self._file.readline(_PIECE):
            length += len(piece)
            if piece.endswith(b"\n"):
                break
        self._seek(Place(begin.offset + length, begin.line + 1))
        return Row(begin.line, [], _TOO_LONG)


def _end_of_row(file: BinaryIO, begin: Place, delimiter: str) -> Place | None:
    """Where the row after the one at `begin` begins, however long that is; None where its quotes are not in order."""
    stops = re.compile(b"[\n" + re.escape(delimiter.encode()) + b"]")
    delimiter_byte = ord(delimiter)
    file.seek(begin.offset)
    offset, line = begin.offset, begin.line
    inside = closing = False
    at_start = True
    while piece := file.read(_PIECE):
        at = 0
        while at < len(piece):
            if inside:
                found = piece.find(b'"', at)
                at = len(piece) if found < 0 else found + 1
                inside, closing = found < 0, found >= 0
                continue
            byte = piece[at]
            if closing:
                closing = False
                if byte == 0x22:
                    inside = True
                    at += 1
                    continue
                if byte not in (delimiter_byte, 0x0A, 0x0D):
                    return None
            if at_start:
                at_start = False
                if byte == 0x22:
                    inside = True
                    at += 1
                    continue
            stop = stops.search(piece, at)
            if stop is None:
                break
            at = stop.end()
            at_start = piece[at - 1] == delimiter_byte
            if not at_start:
                return Place(offset + at, line + piece.count(b"\n", 0, at))
        offset += len(piece)
        line += piece.count(b"\n")
    return None if inside else Place(offset, line)
