"""Workbooks: what cells become, and those that are made to harm."""

import io
import tracemalloc
import zipfile
from datetime import date, datetime, time
from typing import Any

import pytest
from openpyxl import Workbook

from app.domain.contacts.imports.rows import Place, UnreadableFile
from app.domain.contacts.imports.xlsx_rows import XlsxRows, check_workbook

KIND = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
TEXTS = (
    b'<Override PartName="/xl/sharedStrings.xml" ContentType='
    b'"application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"/>'
)


def book(*rows: list[Any]) -> io.BytesIO:
    made = Workbook()
    sheet = made.active
    for row in rows:
        sheet.append(row)
    made.create_sheet("Other").append(["not", "read"])
    content = io.BytesIO()
    made.save(content)
    return content


def replaced(content: io.BytesIO, **parts: bytes | None) -> io.BytesIO:
    """The workbook with other parts, by their names with `_` for a dot; None leaves one out."""
    changed = io.BytesIO()
    with zipfile.ZipFile(content) as old, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            data = parts.get(name.rpartition("/")[2].replace(".", "_"), old.read(name))
            if name == "[Content_Types].xml" and "sharedStrings_xml" in parts:
                data = (data or b"").replace(b"</Types>", TEXTS + b"</Types>")
            if data is not None:
                new.writestr(name, data)
        # Where spreadsheets keep texts, and the library that makes these workbooks does not.
        texts = parts.get("sharedStrings_xml")
        if texts is not None:
            new.writestr("xl/sharedStrings.xml", texts)
    return changed


def sheet(rows: str, dimension: str = "A1:Z100") -> bytes:
    return (
        f'<?xml version="1.0"?><worksheet xmlns="{KIND}"><dimension ref="{dimension}"/>'
        f"<sheetData>{rows}</sheetData></worksheet>"
    ).encode()


def inline(text: str, at: str = "A1") -> str:
    return f'<c r="{at}" t="inlineStr"><is><t>{text}</t></is></c>'


def read(content: io.BytesIO) -> list[tuple[int, list[str]]]:
    check_workbook(content)
    return [(row.line, row.cells) for row in XlsxRows(content)]


def test_cells_become_text_as_csv_would_have_it() -> None:
    content = book(
        ["a", 251911000001, 2.0, 1.5, True, None],
        [None, " "],
        [datetime(2026, 1, 2), datetime(2026, 1, 2, 3, 4, 5), date(2026, 1, 2), time(3, 4)],
        ["=1+1", "", "x"],
    )
    assert read(content) == [
        (1, ["a", "251911000001", "2", "1.5", "true"]),
        (3, ["2026-01-02", "2026-01-02T03:04:05Z", "2026-01-02", "03:04:00"]),
        # What a formula came to is read, and nothing has calculated this one.
        (4, ["", "", "x"]),
    ]


def test_reading_goes_on_at_a_row() -> None:
    content = book(*[[f"+25191100000{number}"] for number in range(9)])
    rows = XlsxRows(content)
    next(rows), next(rows)
    assert rows.place == Place(0, 3)
    assert [row.line for row in XlsxRows(content, rows.place)] == list(range(3, 10))


def test_shared_texts() -> None:
    texts = f'<sst xmlns="{KIND}"><si><t>ሰላም</t></si><si><r><t>a</t></r><r><t>b</t></r></si></sst>'.encode()
    rows = '<row r="1"><c r="A1" t="s"><v>1</v></c><c r="B1" t="s"><v>0</v></c></row>'
    assert read(replaced(book(["x"]), sheet1_xml=sheet(rows), sharedStrings_xml=texts)) == [(1, ["ab", "ሰላም"])]


def test_a_wrong_dimension_cuts_nothing_off() -> None:
    rows = '<row r="1">' + inline("a") + inline("b", "B1") + '</row><row r="5">' + inline("c", "A5") + "</row>"
    content = replaced(book(["x"]), sheet1_xml=sheet(rows, dimension="A1"))
    assert read(content) == [(1, ["a", "b"]), (5, ["c"])]


def test_long_cells_are_bad_rows() -> None:
    rows = '<row r="1">' + inline("x" * 40_000) + '</row><row r="2">' + inline("b", "A2") + "</row>"
    content = replaced(book(["x"]), sheet1_xml=sheet(rows))
    check_workbook(content)
    first, second = XlsxRows(content)
    assert first.reason is not None
    assert (first.reason.code, second.cells) == ("cell_too_long", ["b"])


HOSTILE = {
    "no zip": io.BytesIO(b"PK\x03\x04" + b"\0" * 200),
    "no workbook": replaced(book(["x"]), workbook_xml=b"<a/>"),
    "no sheet": replaced(book(["x"]), sheet1_xml=None, sheet2_xml=None),
    "broken sheet": replaced(book(["x"]), sheet1_xml=sheet("<row><c>")[:-40]),
    "broken texts": replaced(book(["x"]), sharedStrings_xml=b"<sst"),
    "entities": replaced(
        book(["x"]),
        sheet1_xml=b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
        + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
        + b"]>"
        + sheet('<row r="1">' + inline("&j;") + "</row>")[21:],
    ),
    "a cell of 50 MB": replaced(book(["x"]), sheet1_xml=sheet('<row r="1">' + inline("x" * 50_000_000) + "</row>")),
    "a row of cells without end": replaced(
        book(["x"]), sheet1_xml=sheet('<row r="1">' + '<c r="A1"/>' * 1_000_000 + "</row>")
    ),
    "UTF-16": replaced(book(["x"]), sheet1_xml=sheet("").decode().encode("utf-16")),
    "100 MB of texts": replaced(book(["x"]), sharedStrings_xml=b"<sst>" + b" " * 100_000_000 + b"</sst>"),
    "a number of a cell that is none": replaced(book(["x"]), sheet1_xml=sheet('<row r="x"><c r="?"/></row>')),
    "a text that is not there": replaced(
        book(["x"]), sheet1_xml=sheet('<row r="1"><c r="A1" t="s"><v>99</v></c></row>')
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_workbooks_that_cannot_be_read_say_so_in_little_memory(name: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableFile) as refused:
            read(HOSTILE[name])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused.value.detail.endswith((".", "CSV."))
    assert peak < 40_000_000


def test_rows_beyond_what_a_sheet_has_are_not_waited_for() -> None:
    rows = '<row r="1">' + inline("a") + '</row><row r="99999999999">' + inline("b", "A9") + "</row>"
    assert read(replaced(book(["x"]), sheet1_xml=sheet(rows)))[0] == (1, ["a"])
