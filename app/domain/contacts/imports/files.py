"""The uploaded file on this machine's disk, as text that can be read from any place on."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from typing import BinaryIO, cast

from app.domain.contacts.imports.csv_rows import CsvRows
from app.domain.contacts.imports.encoding import SAMPLE_BYTES, Form, Transcoder, find_form, skip_delimiter_line
from app.domain.contacts.imports.rows import Place, Rows, UnreadableFile, name_columns
from app.domain.contacts.imports.xlsx_rows import XlsxRows, check_workbook


async def spool(
    pieces: AsyncIterator[bytes], form: Form | None, *, encoding: str | None = None, delimiter: str | None = None
) -> tuple[BinaryIO, Form]:
    """A file without a name that holds what `pieces` hold, text as UTF-8, and what it is; the caller closes it.

    The same pieces make the same file: places in it are good for another copy. `form` is what was found before, None to
    find it out, with the help of `encoding` and `delimiter`. Raises `UnreadableFile`.
    """
    file = cast(BinaryIO, await asyncio.to_thread(tempfile.TemporaryFile, prefix="turumba-import-"))
    try:
        held = bytearray()
        writer: _Writer | None = None
        async for piece in pieces:
            held += piece
            # A sample of the same size every time: what is done once at the beginning is done with the same bytes.
            if writer is None and len(held) >= SAMPLE_BYTES:
                writer = await asyncio.to_thread(_Writer.begin, file, held, form, encoding, delimiter)
            if writer is not None:
                await asyncio.to_thread(writer.write, bytes(held))
                held.clear()
        if writer is None:
            writer = await asyncio.to_thread(_Writer.begin, file, held, form, encoding, delimiter)
        await asyncio.to_thread(writer.write, bytes(held), final=True)
        if writer.form.kind == "xlsx":
            await asyncio.to_thread(check_workbook, file)
    except BaseException:
        file.close()
        raise
    return file, writer.form


class _Writer:
    """Writes a file of a form; text as UTF-8."""

    def __init__(self, file: BinaryIO, form: Form) -> None:
        self.form = form
        self._file = file
        self._transcoder = None if form.kind == "xlsx" else Transcoder(form.encoding)

    @classmethod
    def begin(
        cls, file: BinaryIO, held: bytearray, form: Form | None, encoding: str | None, delimiter: str | None
    ) -> "_Writer":
        return cls(file, form or find_form(bytes(held[:SAMPLE_BYTES]), encoding=encoding, delimiter=delimiter))

    def write(self, data: bytes, *, final: bool = False) -> None:
        self._file.write(data if self._transcoder is None else self._transcoder.feed(data, final))


def open_rows(file: BinaryIO, form: Form, place: Place | None = None) -> Rows:
    """The rows from `place` on, or from the first one, which has the names of the columns."""
    if form.kind == "xlsx":
        return XlsxRows(file, place or Place())
    if place is None:
        skipped = skip_delimiter_line(file)
        place = Place(skipped, 2 if skipped else 1)
    return CsvRows(file, form.delimiter, place)


def read_headers(rows: Rows) -> list[str]:
    """The names of the columns, from the first row; see `name_columns`. Raises `UnreadableFile`."""
    first = next(iter(rows), None)
    if first is None:
        raise UnreadableFile("The file is empty.")
    if first.reason is not None:
        raise UnreadableFile(f"The row of column names cannot be read: {first.reason.detail}.")
    return name_columns(first.cells)
