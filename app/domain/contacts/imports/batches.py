"""Rows of a file in batches: what becomes contacts, and what goes into the file of errors."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from app.domain.contacts.drafts import Draft, Fate, Written
from app.domain.contacts.imports.mapping import RowMapping
from app.domain.contacts.imports.rows import Place, Reason, Row, Rows
from app.lib.spreadsheets import csv_bytes, original

MOST_ROWS = 1_000
"""Of one batch: what is written in one transaction."""

MOST_CHARACTERS = 2 * 1024 * 1024
"""Of the cells of one batch."""

_REFUSED = {
    Fate.TAKEN: Reason("", "several_contacts", "its addresses are those of several contacts"),
    Fate.BUSY: Reason("", "busy", "others kept changing this contact: import the row again"),
}

ERROR_COLUMNS = ("line", "code", "reason")
"""What the file of errors has before the columns of the file itself."""


class Counts(msgspec.Struct):
    """What became of the rows: the result of the job. `reasons` has how many rows were refused with each code."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    skipped: int = 0
    failed: int = 0
    empty_rows: int = 0
    reasons: dict[str, int] = {}


class Batch(NamedTuple):
    """Some rows in their order, each with its draft or with what is wrong with it; where the next ones begin.

    `empty` is how many empty rows were passed over; `last` says that the file has ended.
    """

    rows: list[tuple[Row, Draft | list[Reason]]]
    place: Place
    empty: int
    last: bool

    @property
    def drafts(self) -> list[Draft]:
        """Those that can be written."""
        return [draft for _, draft in self.rows if isinstance(draft, Draft)]


def read_batch(rows: Rows, mapping: RowMapping) -> Batch:
    """The next rows; takes some tens of milliseconds. Raises `UnreadableFile`."""
    taken: list[tuple[Row, Draft | list[Reason]]] = []
    characters, before = 0, rows.empty
    last = False
    while len(taken) < MOST_ROWS and characters < MOST_CHARACTERS:
        row = next(rows, None)
        if row is None:
            last = True
            break
        taken.append((row, mapping.draft(row)))
        characters += sum(map(len, row.cells))
    return Batch(taken, rows.place, rows.empty - before, last)


def settle(batch: Batch, written: Sequence[Written], counts: Counts) -> list[tuple[Row, list[Reason]]]:
    """Adds what became of a batch to `counts`; the rows that were refused. `written` belongs to the batch's drafts."""
    fates = iter(written)
    refused: list[tuple[Row, list[Reason]]] = []
    done: Counter[Fate] = Counter()
    for row, draft in batch.rows:
        if not isinstance(draft, Draft):
            refused.append((row, draft))
            continue
        fate = next(fates).fate
        if fate in _REFUSED:
            refused.append((row, [_REFUSED[fate]]))
        else:
            done[fate] += 1
    counts.created += done[Fate.CREATED]
    counts.updated += done[Fate.UPDATED]
    counts.unchanged += done[Fate.UNCHANGED]
    counts.skipped += done[Fate.SKIPPED]
    counts.failed += len(refused)
    counts.empty_rows += batch.empty
    codes = Counter(code for _, reasons in refused for code in {reason.code for reason in reasons})
    counts.reasons = dict(sorted((Counter(counts.reasons) + codes).items()))
    return refused


def error_lines(refused: Iterable[tuple[Row, list[Reason]]]) -> bytes:
    """Refused rows as lines of the file of errors: line, codes, words, and the cells as they were."""
    return csv_bytes(
        (
            str(row.line),
            "; ".join(dict.fromkeys(reason.code for reason in reasons)),
            "; ".join(f"{reason.column}: {reason.detail}" if reason.column else reason.detail for reason in reasons),
            # As they were, and neutral once: what had an apostrophe already does not get another.
            *map(original, row.cells),
        )
        for row, reasons in refused
    )
