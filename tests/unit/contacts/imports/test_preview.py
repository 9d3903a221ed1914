"""Any file, read in any way: a preview, or words about why there is none."""

import asyncio
from collections.abc import AsyncIterator

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.contacts.drafts import Draft
from app.domain.contacts.fields import AttributeType
from app.domain.contacts.imports.batches import read_batch
from app.domain.contacts.imports.encoding import DELIMITERS, ENCODINGS
from app.domain.contacts.imports.files import open_rows, read_headers, spool
from app.domain.contacts.imports.mapping import RowMapping
from app.domain.contacts.imports.preview import preview
from app.domain.contacts.imports.rows import UnreadableFile
from app.domain.contacts.imports.schemas import ImportPreviewOptions, ImportPreviewOut

TABLES = st.lists(
    st.lists(
        st.text(max_size=10) | st.sampled_from(["Phone", "Name", "+251911000001", "=1+1", '"', "1.5"]), max_size=5
    ),
    max_size=8,
)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    if draw(st.booleans()):
        return draw(st.binary(max_size=200))
    delimiter, encoding = draw(st.sampled_from(DELIMITERS)), draw(st.sampled_from(ENCODINGS))
    text = draw(st.sampled_from(["\n", "\r\n", "\r"])).join(delimiter.join(row) for row in draw(TABLES))
    return text.encode(encoding, errors="replace")


async def read(content: bytes, encoding: str | None, delimiter: str | None) -> ImportPreviewOut | None:
    async def pieces() -> AsyncIterator[bytes]:
        for index in range(0, len(content), 7):
            yield content[index : index + 7]

    try:
        file, form = await spool(pieces(), None, encoding=encoding, delimiter=delimiter)
        with file:
            seen = preview(file, form, ImportPreviewOptions(country="ET"), {"city": AttributeType.TEXT})
            # And all of it as an import reads it.
            rows = open_rows(file, form)
            batch = read_batch(
                rows, RowMapping(read_headers(rows), seen.mapping, dict.fromkeys(("city",), AttributeType.TEXT))
            )
            assert batch.last
            assert len(batch.drafts) == sum(isinstance(draft, Draft) for _, draft in batch.rows)
            return seen
    except UnreadableFile as error:
        assert error.detail
        return None


@settings(deadline=None)
@given(files(), st.none() | st.sampled_from(ENCODINGS), st.none() | st.sampled_from(DELIMITERS))
def test_no_file_is_a_surprise(content: bytes, encoding: str | None, delimiter: str | None) -> None:
    seen = asyncio.run(read(content, encoding, delimiter))
    if seen is not None:
        assert len({column.name for column in seen.columns}) == len(seen.columns)
        assert all((row.contact is None) == bool(row.problems) for row in seen.rows)
