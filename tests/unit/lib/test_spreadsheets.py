"""Cells that no spreadsheet takes for a formula, and what they were before."""

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lib.spreadsheets import csv_bytes, neutral, original


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-1+1", "'-1+1"),
        ("\t=1", "'\t=1"),
        ("\r\n=1", "'\r\n=1"),
        ("'=1", "''=1"),
        ("+251911000001", "+251911000001"),
        ("-5", "-5"),
        ("-5.25", "-5.25"),
        ("+251911000001;+251911000002", "'+251911000001;+251911000002"),
        ("'tis", "'tis"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_formulas_are_neutral(cell: str, shown: str) -> None:
    assert neutral(cell) == shown
    assert original(shown) == cell


@given(st.text() | st.text("'=+-@\t\r\n19."))
def test_neutral_cells_can_be_read_back(cell: str) -> None:
    shown = neutral(cell)
    assert original(shown) == cell
    assert shown[:1] not in "=@\t\r\n" or not shown
    assert neutral(original(shown)) == shown


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=5), max_size=10))
def test_rows_as_csv(table: list[list[str]]) -> None:
    read = csv.reader(io.StringIO(csv_bytes(table).decode(), newline=""))
    assert [[original(cell) for cell in row] for row in read] == table


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_formulas_are_told_to_be_text(start: str) -> None:
    assert neutral(f"{start}1+1") == f"'{start}1+1"


@pytest.mark.parametrize("value", ["", "hello", "+251911000142", "-1001234", "42", "a=b", "'1"])
def test_what_computes_nothing_is_as_it_is(value: str) -> None:
    assert neutral(value) == value


@given(st.text())
def test_no_cell_begins_a_formula(value: str) -> None:
    cell = neutral(value)
    assert cell in (value, f"'{value}")
    if cell.startswith(("=", "@", "\t", "\r", "+", "-")):
        assert re.fullmatch(r"[+-][0-9]+([.][0-9]+)?", cell, re.ASCII)
    written = io.StringIO(newline="")
    csv.writer(written).writerow([cell])
    assert next(csv.reader(io.StringIO(written.getvalue(), newline=""))) == [cell]
