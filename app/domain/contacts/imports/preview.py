"""What an import would make of the beginning of a file, without writing anything."""

from collections.abc import Mapping
from itertools import islice
from typing import BinaryIO, cast

from app.domain.contacts.drafts import Draft
from app.domain.contacts.fields import ATTRIBUTE_PREFIX, AttributeType
from app.domain.contacts.imports.encoding import Delimiter, Form
from app.domain.contacts.imports.files import open_rows, read_headers
from app.domain.contacts.imports.guesses import guess_mapping, guess_type, suggest_attributes
from app.domain.contacts.imports.handler import given_types
from app.domain.contacts.imports.mapping import RowMapping, attribute_keys
from app.domain.contacts.imports.rows import Row, fitted
from app.domain.contacts.imports.schemas import (
    ImportAddressOut,
    ImportColumnOut,
    ImportContactOut,
    ImportPreviewOptions,
    ImportPreviewOut,
    ImportProblemOut,
    ImportRowOut,
)

SHOWN_ROWS = 20
SAMPLED_ROWS = 200
"""What guesses at types go by."""

_SAMPLES = 3
_SHOWN_LENGTH = 200


def preview(
    file: BinaryIO, form: Form, options: ImportPreviewOptions, definitions: Mapping[str, AttributeType]
) -> ImportPreviewOut:
    """Read the first rows by the mapping that was given, or by one that is guessed. For a thread.

    Raises `UnreadableFile`.
    """
    rows = open_rows(file, form)
    headers = read_headers(rows)
    seen = list(islice(rows, SAMPLED_ROWS))
    samples = _samples(headers, seen)
    guessed = guess_mapping(headers, definitions) if options.mapping is None else options.mapping
    mapping = {header: target for header, target in guessed.items() if target is not None}
    given = given_types(options.create_attributes)
    types = {
        key: definitions.get(key) or given.get(key) or guess_type(samples.get(header, ()))
        for header, key in attribute_keys(mapping).items()
    }
    unmapped = [header for header in headers if header not in guessed]
    suggested = suggest_attributes(unmapped, samples, mapping.values())
    reader = RowMapping(headers, mapping, types, country=options.country)
    return ImportPreviewOut(
        format=form.kind,
        encoding=form.encoding or None,
        delimiter=cast(Delimiter, form.delimiter) if form.delimiter else None,
        columns=[
            ImportColumnOut(
                name=header,
                samples=[_shown(cell) for cell in dict.fromkeys(filter(None, samples[header]))][:_SAMPLES],
                target=mapping.get(header),
                suggestion=suggested[header][0] if header in suggested else None,
                type=_type_of(header, mapping, types, suggested),
            )
            for header in headers
        ],
        mapping=mapping,
        create_attributes={f"{ATTRIBUTE_PREFIX}{key}": kind for key, kind in types.items() if key not in definitions},
        rows=[_row(fitted(row, len(headers)), reader) for row in seen[:SHOWN_ROWS]],
    )


def _samples(headers: list[str], rows: list[Row]) -> dict[str, list[str]]:
    good = [fitted(row, len(headers)) for row in rows if row.reason is None]
    return {
        header: [row.cells[index].strip() for row in good if index < len(row.cells)]
        for index, header in enumerate(headers)
    }


def _type_of(
    header: str,
    mapping: Mapping[str, str],
    types: Mapping[str, AttributeType],
    suggested: Mapping[str, tuple[str, AttributeType]],
) -> AttributeType | None:
    target = mapping.get(header)
    if target is not None:
        return types.get(target.removeprefix(ATTRIBUTE_PREFIX)) if target.startswith(ATTRIBUTE_PREFIX) else None
    return suggested[header][1] if header in suggested else None


def _row(row: Row, mapping: RowMapping) -> ImportRowOut:
    draft = mapping.draft(row)
    problems = [] if isinstance(draft, Draft) else draft
    return ImportRowOut(
        line=row.line,
        cells=[_shown(cell) for cell in row.cells],
        contact=_contact(draft) if isinstance(draft, Draft) else None,
        problems=[
            ImportProblemOut(column=each.column or None, code=each.code, detail=each.detail) for each in problems
        ],
    )


def _contact(draft: Draft) -> ImportContactOut:
    return ImportContactOut(
        first_name=draft.first_name,
        last_name=draft.last_name,
        language=draft.language,
        timezone=draft.timezone,
        status=draft.status,
        notes=draft.notes,
        addresses=[ImportAddressOut(type=each.type.value, value=each.value) for each in draft.addresses],
        tags=list(draft.tags),
        attributes=draft.attributes,
    )


def _shown(cell: str) -> str:
    return cell if len(cell) <= _SHOWN_LENGTH else f"{cell[:_SHOWN_LENGTH]}…"
