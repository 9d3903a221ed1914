"""What goes in and out about importing contacts."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from app.domain.contacts.fields import AttributeType
from app.domain.contacts.imports.encoding import Delimiter
from app.domain.contacts.imports.rows import MAX_COLUMNS
from app.domain.contacts.schemas import Tags
from app.domain.contacts.writing import OnMatch
from app.domain.identity.accounts.settings import Country

MOST_GROUPS = 100

Target = Annotated[str, Meta(max_length=80)]
Mapping = Annotated[
    dict[str, Target | None],
    Meta(
        min_length=1,
        max_length=MAX_COLUMNS,
        description=(
            "What each column of the file is: `first_name`, `last_name`, `language`, `timezone`, `status`, `notes`, "
            "`phone`, `email`, `telegram`, `whatsapp`, `messenger`, `tags` or `attributes.<key>`; null leaves it out. "
            "Several columns can be addresses of one type, or tags."
        ),
        examples=[{"Phone": "phone", "Name": "first_name", "City": "attributes.city"}],
    ),
]
EncodingName = Annotated[
    str,
    Meta(min_length=1, max_length=40, pattern=r"^[!-~]*$(?!\n)", description="Without it, it is found out."),
]


class ImportOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a file is read and what is done with it; the part `options` of the form.

    `on_match` says what becomes of a row whose address a contact has: it is added to the contact, or left out.
    `group_ids` and `tags` are for every contact of the file. `country` is that of phone numbers without a plus, by
    default the account's. `create_attributes` gives types to attributes that nobody has defined; those without one get
    the type that their first values have. With `announce` every contact is an event.
    """

    mapping: Mapping
    on_match: OnMatch = "update"
    group_ids: Annotated[list[UUID], Meta(max_length=MOST_GROUPS)] = []
    tags: Tags = []
    country: Country | None = None
    delimiter: Delimiter | None = None
    encoding: EncodingName | None = None
    create_attributes: Annotated[
        dict[str, AttributeType], Meta(max_length=200, examples=[{"attributes.city": "text"}])
    ] = {}
    announce: bool = False


class ImportPreviewOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As in `ImportOptions`, and all of it can be left out: what is not said is guessed."""

    mapping: Mapping | None = None
    country: Country | None = None
    delimiter: Delimiter | None = None
    encoding: EncodingName | None = None
    create_attributes: dict[str, AttributeType] = {}


class ImportColumnOut(msgspec.Struct, frozen=True, kw_only=True):
    """A column: its name, some of its values, and what it is taken for, or null.

    `suggestion` is an attribute that could be made for a column that is taken for nothing, of the type `type`.
    """

    name: str
    samples: list[str]
    target: str | None
    suggestion: str | None
    type: AttributeType | None


class ImportProblemOut(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a row; `column` is null for the row as a whole."""

    column: str | None
    code: str
    detail: str


class ImportAddressOut(msgspec.Struct, frozen=True, kw_only=True):
    """An address in its canonical form."""

    type: str
    value: str


class ImportContactOut(msgspec.Struct, frozen=True, kw_only=True):
    """What a row says of a contact; null where it says nothing."""

    first_name: str | None
    last_name: str | None
    language: str | None
    timezone: str | None
    status: str | None
    notes: str | None
    addresses: list[ImportAddressOut]
    tags: list[str]
    attributes: dict[str, str | float | bool | list[str]]


class ImportRowOut(msgspec.Struct, frozen=True, kw_only=True):
    """A row as it would be read: the line it begins on, its cells, and either the contact or its problems."""

    line: int
    cells: list[str]
    contact: ImportContactOut | None
    problems: list[ImportProblemOut]


class ImportPreviewOut(msgspec.Struct, frozen=True, kw_only=True):
    """What a file looks like. `mapping` and `create_attributes` can be sent back as they are, to import it.

    `encoding` and `delimiter` are null for a workbook. `rows` are the first ones.
    """

    format: Literal["csv", "xlsx"]
    encoding: str | None
    delimiter: Delimiter | None
    columns: list[ImportColumnOut]
    mapping: dict[str, str]
    create_attributes: dict[str, AttributeType]
    rows: list[ImportRowOut]
