"""CSV of every quality, row by row."""

import csv
import io
import tracemalloc
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.contacts.imports.csv_rows import CsvRows
from app.domain.contacts.imports.rows import MAX_ROW_BYTES, Place, Row


def read(content: bytes, delimiter: str = ",", place: Place = Place()) -> tuple[list[Row], CsvRows]:  # noqa: B008
    rows = CsvRows(io.BytesIO(content), delimiter, place)
    return list(rows), rows


def told(content: bytes, delimiter: str = ",") -> list[tuple[int, list[str] | str]]:
    """The line of each row with its cells, or the code of what is wrong with it."""
    return [(row.line, row.reason.code if row.reason else row.cells) for row in read(content, delimiter)[0]]


def test_rows_know_their_lines_and_empty_ones_are_counted() -> None:
    content = b'a,b\r\n\r\n"x\r\ny",2\r\n , \r\n,,\r\n3,4'
    rows, reader = read(content)
    assert [(row.line, row.cells) for row in rows] == [(1, ["a", "b"]), (3, ["x\r\ny", "2"]), (7, ["3", "4"])]
    assert (reader.empty, reader.place) == (3, Place(len(content), 8))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_every_delimiter(delimiter: str) -> None:
    content = delimiter.join(['"a,;\t|"', "b", ""]).encode()
    assert told(content, delimiter) == [(1, ["a,;\t|", "b", ""])]


BROKEN = {
    "text after a closing quote": b'"a"b,c',
    "one more quote": b'"a""',
    "never closed": b'a,"b',
    "bad UTF-8": b"a,\xff\xfe",
    "encoded surrogate": b"\xed\xa0\x80,b",
    "overlong": b"\xc0\xaf,b",
    "cut off": "a,ሐ".encode()[:-1],
    "NUL": b"a,\x00",
    "carriage return alone": b"a\rb,c",
    "long cell": b"a," + b"x" * 40_000,
    "10 MB in one cell": b'a,"' + b"x" * 10_000_000 + b'",c',
    "10 MB without quotes": b"a," + b"x" * 10_000_000,
    "10 MB of lines in one cell": b'a,"' + b"x y z\n" * 1_700_000 + b'",c',
    "10 MB of quotes": b'a,"' + b'""' * 5_000_000 + b'",c',
}
CODES = {
    "bad UTF-8": "bad_encoding",
    "encoded surrogate": "bad_encoding",
    "overlong": "bad_encoding",
    "cut off": "bad_encoding",
    "NUL": "nul",
    "long cell": "cell_too_long",
    "10 MB in one cell": "row_too_long",
    "10 MB without quotes": "row_too_long",
    "10 MB of lines in one cell": "row_too_long",
    "10 MB of quotes": "row_too_long",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_row_costs_itself_and_nothing_else(name: str) -> None:
    content = b"1,2\n" + BROKEN[name] + b"\n3,4\n5,6\n"
    seen = told(content)
    assert seen[0] == (1, ["1", "2"])
    assert seen[1] == (2, CODES.get(name, "bad_quotes"))
    last = content.count(b"\n")
    assert seen[2:] == [(last - 1, ["3", "4"]), (last, ["5", "6"])]


def test_a_broken_row_at_the_end_of_the_file_is_one_too() -> None:
    for name, broken in BROKEN.items():
        assert told(b"1,2\n" + broken)[1:] == [(2, CODES.get(name, "bad_quotes"))], name


def test_a_quote_that_is_never_closed_loses_its_line_even_when_megabytes_follow() -> None:
    content = b'"a,1\n' + b"18,19\n" * 200_000
    seen = told(content)
    assert (len(seen), seen[0], seen[-1]) == (200_001, (1, "bad_quotes"), (200_001, ["18", "19"]))


def test_whatever_the_file_is_memory_stays_small() -> None:
    class Endless(io.RawIOBase):
        """200 MB of one cell, made up as it is read."""

        size, at = 200_000_000, 0

        def readable(self) -> bool:
            return True

        def seekable(self) -> bool:
            return True

        def seek(self, offset: int, whence: int = 0) -> int:
            self.at = offset
            return offset

        def tell(self) -> int:
            return self.at

        def readinto(self, buffer: Any) -> int:
            count = min(len(buffer), self.size - self.at)
            buffer[:count] = b"x" * count
            self.at += count
            return count

    file = cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, Endless())))
    tracemalloc.start()
    try:
        (row,) = CsvRows(file, ",")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert row.reason is not None
    assert peak < 2_000_000


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@given(st.lists(st.lists(CELLS, min_size=2, max_size=4), max_size=20), st.sampled_from(",;\t|"))
def test_what_is_written_by_the_rules_is_read_as_it_was(table: list[list[str]], delimiter: str) -> None:
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(table)
    expected = [cells for cells in table if any(cell.strip() for cell in cells)]
    assert [row.cells for row in read(written.getvalue().encode(), delimiter)[0]] == expected


@given(st.lists(st.sampled_from([b'"', b",", b"\n", b"\r\n", b"a", b'""', b"\xff", b"\xe1\x88\x90"]), max_size=60))
def test_reading_can_go_on_at_every_row(pieces: list[bytes]) -> None:
    content = b"".join(pieces)
    whole, rows = [], CsvRows(io.BytesIO(content), ",")
    places = [rows.place]
    for row in rows:
        whole.append(row)
        places.append(rows.place)
    assert rows.place.offset == len(content)
    for index, place in enumerate(places):
        assert read(content, place=place)[0] == whole[index:]


@given(st.binary(max_size=300))
def test_no_bytes_are_a_surprise(content: bytes) -> None:
    rows, reader = read(content)
    assert reader.place.offset == len(content)
    assert len(rows) + reader.empty <= content.count(b"\n") + 1


def test_long_rows_by_the_rules_are_passed_over_whole() -> None:
    def lines() -> Iterator[bytes]:
        yield b"1,2\n"
        for quoted in (b'"x"', b'""', b'"a""b"', b'"\n"'):
            yield b",".join([quoted] * MAX_ROW_BYTES) + b"\n"
            yield b"3,4\n"

    seen = [row.reason.code if row.reason else row.cells for row in read(b"".join(lines()))[0]]
    assert seen == [["1", "2"], *(["row_too_long", ["3", "4"]] * 4)]
