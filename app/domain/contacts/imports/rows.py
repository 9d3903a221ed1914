"""Rows of a file of contacts, as every kind of file gives them."""

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

MAX_CELL_LENGTH = 32_767
"""Characters of a cell: what a spreadsheet can hold."""

MAX_ROW_BYTES = 128 * 1024
"""Of one row in UTF-8. Not more than `csv.field_size_limit` is at the start of Python, which is never met so."""

MAX_COLUMNS = 500


class Reason(msgspec.Struct, frozen=True):
    """What is wrong with a row: in which column ("" for the row as a whole), a stable code, and words."""

    column: str
    code: str
    detail: str


class Row(msgspec.Struct, frozen=True):
    """A row that is not empty: the number of the line where it begins (1 is the first of the file), and its cells.

    `reason` says why it cannot be read; then `cells` are what there is to show of it.
    """

    line: int
    cells: list[str]
    reason: Reason | None = None


class Place(msgspec.Struct, frozen=True):
    """Where to go on reading: a byte offset into the file as it is read, and the number of the line there."""

    offset: int = 0
    line: int = 1


START = Place()
"""The beginning of a file."""


class UnreadableFile(Exception):
    """The file as a whole cannot be read; the argument says why, for people."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Rows(Protocol):
    """Reads row by row. `place` is where the next one begins, `empty` how many empty rows were passed over."""

    @property
    def place(self) -> Place:
        """Where to go on after the rows that were given."""
        ...

    @property
    def empty(self) -> int:
        """How many empty rows there were so far, of those this reader has passed."""
        ...

    def __iter__(self) -> Iterator[Row]: ...

    def __next__(self) -> Row: ...


def name_columns(cells: Sequence[str]) -> list[str]:
    """The names of the columns under a row of headers: every one has a name, and no two have the same.

    `["Phone", "", "Phone"]` → `["Phone", "Column 2", "Phone (2)"]`. Cells after the last header have no column.
    """
    used: set[str] = set()
    names: list[str] = []
    filled = [unicodedata.normalize("NFC", " ".join(cell.split())) for cell in cells]
    while filled and not filled[-1]:
        filled.pop()
    if not filled:
        raise UnreadableFile("The file has no row of column names.")
    if len(filled) > MAX_COLUMNS:
        raise UnreadableFile(f"The file has more than {MAX_COLUMNS} columns.")
    for number, cell in enumerate(filled, start=1):
        wanted = name = cell or f"Column {number}"
        again = 1
        while name in used:
            again += 1
            name = f"{wanted} ({again})"
        used.add(name)
        names.append(name)
    return names


def fitted(row: Row, columns: int) -> Row:
    """The row with exactly as many cells as there are columns; a row with cells beyond them has a reason.

    Missing cells are empty: many programs leave them out.
    """
    cells = row.cells
    if row.reason is not None:
        return row
    if len(cells) > columns:
        if any(cell.strip() for cell in cells[columns:]):
            words = f"it has {len(cells)} cells, and there are {columns} columns"
            return Row(row.line, cells, Reason("", "too_many_cells", words))
        return Row(row.line, cells[:columns])
    if len(cells) < columns:
        return Row(row.line, cells + [""] * (columns - len(cells)))
    return row


def checked(line: int, cells: list[str]) -> Row:
    """A row whose cells are not too long and have no NUL in them, or the row with the reason."""
    for number, cell in enumerate(cells, start=1):
        if len(cell) > MAX_CELL_LENGTH:
            words = f"cell {number} has more than {MAX_CELL_LENGTH} characters"
            return Row(line, [each[:100] for each in cells], Reason("", "cell_too_long", words))
        if "\0" in cell:
            shown = [each.replace("\0", "\ufffd") for each in cells]
            return Row(line, shown, Reason("", "nul", f"cell {number} has a NUL character"))
    return Row(line, cells)
