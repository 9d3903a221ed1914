"""What the cells of a row say of a contact: each column has a target, and each target its rules."""

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from app.domain.contacts.addresses import parse_address
from app.domain.contacts.attributes import KEY, parse_cell
from app.domain.contacts.drafts import Draft
from app.domain.contacts.fields import ATTRIBUTE_PREFIX, AttributeType
from app.domain.contacts.imports.rows import Reason, Row, UnreadableFile, fitted
from app.domain.contacts.schemas import MAX_ADDRESSES, MAX_ATTRIBUTES, MAX_NOTES, MAX_TAGS
from app.domain.contacts.stores.contract import AddressKey, AddressType, ContactStatus
from app.domain.identity.accounts.settings import AccountSettings, check_settings
from app.lib.errors import FieldError
from app.lib.spreadsheets import original

TEXTS = ("first_name", "last_name", "language", "timezone", "status", "notes")
ADDRESSES = tuple(kind.value for kind in AddressType)
TARGETS = (*TEXTS, *ADDRESSES, "tags")
"""Targets besides attributes."""

MAX_NAME = 200
MAX_TAG = 64

_SEPARATORS = re.compile(r"[;,|\n]")
_ROUNDED = re.compile(r"[0-9](?:[.,][0-9]+)?E\+?[0-9]{1,2}", re.IGNORECASE | re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?", re.ASCII)


class BadCellError(ValueError):
    """A cell that its target does not take: a stable code, and words."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def check_mapping(mapping: Mapping[str, str | None], pointer: str) -> list[FieldError]:
    """What is wrong with a column map by itself: unknown targets, two columns for one value, no address."""
    errors: list[FieldError] = []
    single: dict[str, str] = {}
    for header, target in mapping.items():
        at = f"{pointer}/{_escaped(header)}"
        if target is None:
            continue
        if not is_target(target):
            words = f"There is no target {target!r}: one of {', '.join(TARGETS)} or attributes.<key> is needed."
            errors.append(FieldError(at, "unknown_target", words))
        elif target not in ADDRESSES and target != "tags" and target in single:
            words = f"{target} is one value, and the column {single[target]!r} is it already."
            errors.append(FieldError(at, "duplicate", words))
        else:
            single[target] = header
    if not errors and not any(target in ADDRESSES for target in mapping.values()):
        words = f"Contacts are known by their addresses: map a column to one of {', '.join(ADDRESSES)}."
        errors.append(FieldError(pointer, "no_address", words))
    return errors


def is_target(target: str) -> bool:
    """Whether a column can be this."""
    return target in TARGETS or (
        KEY.fullmatch(target.removeprefix(ATTRIBUTE_PREFIX)) is not None and (target.startswith(ATTRIBUTE_PREFIX))
    )


def attribute_keys(mapping: Mapping[str, str | None]) -> dict[str, str]:
    """Header → key, for the columns that are attributes."""
    return {
        header: target.removeprefix(ATTRIBUTE_PREFIX)
        for header, target in mapping.items()
        if target is not None and target.startswith(ATTRIBUTE_PREFIX)
    }


class RowMapping:
    """Makes drafts of the rows of one file. Safe to use in a thread.

    `attributes` are the types of those that the mapping names. `country` is that of phone numbers without a plus.
    Raises `UnreadableFile` when the file lacks a column of the mapping.
    """

    def __init__(
        self,
        headers: Sequence[str],
        mapping: Mapping[str, str | None],
        attributes: Mapping[str, AttributeType],
        *,
        country: str | None = None,
        tags: Collection[str] = (),
        groups: Collection[UUID] = (),
    ) -> None:
        missing = [header for header, target in mapping.items() if target is not None and header not in headers]
        if missing:
            there = ", ".join(map(repr, headers[:20]))
            raise UnreadableFile(f"The file has no column {missing[0]!r}; its columns: {there}.")
        self._width = len(headers)
        self._columns: list[tuple[int, str, str, Callable[[str], Any]]] = []
        for index, header in enumerate(headers):
            target = mapping.get(header)
            if target is not None:
                self._columns.append((index, header, target, self._reader(target, attributes)))
        self._country = country
        self._tags = tuple(tags)
        self._groups = tuple(groups)

    def draft(self, row: Row) -> Draft | list[Reason]:
        """What the row says, or everything that is wrong with it."""
        row = fitted(row, self._width)
        if row.reason is not None:
            return [row.reason]
        texts: dict[str, Any] = {}
        addresses: list[AddressKey] = []
        tags = list(self._tags)
        attributes: dict[str, Any] = {}
        reasons: list[Reason] = []
        cells = row.cells
        for index, header, target, read in self._columns:
            cell = cells[index].strip()
            if not cell:
                continue
            try:
                value = read(original(cell))
            except BadCellError as error:
                reasons.append(Reason(header, error.code, error.detail))
                continue
            except ValueError as error:
                code = "bad_attribute" if target.startswith(ATTRIBUTE_PREFIX) else f"bad_{target}"
                reasons.append(Reason(header, code, str(error)))
                continue
            if value is None:
                continue
            if target in ADDRESSES:
                addresses += value
            elif target == "tags":
                tags += value
            elif target in TEXTS:
                texts[target] = value
            else:
                attributes[target.removeprefix(ATTRIBUTE_PREFIX)] = value
        if not addresses and not reasons:
            reasons.append(Reason("", "no_address", "it has no address, and a contact is known by its addresses"))
        unique = tuple(dict.fromkeys(addresses))
        if len(unique) > MAX_ADDRESSES:
            reasons.append(Reason("", "too_many_addresses", f"a contact has at most {MAX_ADDRESSES} addresses"))
        if len(set(tags)) > MAX_TAGS:
            reasons.append(Reason("", "too_many_tags", f"a contact has at most {MAX_TAGS} tags"))
        if len(attributes) > MAX_ATTRIBUTES:
            reasons.append(Reason("", "too_many_attributes", f"a contact has at most {MAX_ATTRIBUTES} attributes"))
        if reasons:
            return reasons
        return Draft(
            addresses=unique,
            tags=tuple(dict.fromkeys(tags)),
            attributes=attributes,
            groups=self._groups,
            **texts,
        )

    def _reader(self, target: str, attributes: Mapping[str, AttributeType]) -> Callable[[str], Any]:
        if target in ADDRESSES:
            kind = AddressType(target)
            return lambda cell: self._addresses(kind, cell)
        if target.startswith(ATTRIBUTE_PREFIX):
            type_ = attributes[target.removeprefix(ATTRIBUTE_PREFIX)]
            return lambda cell: parse_cell(type_, cell)
        return _READERS[target]

    def _addresses(self, kind: AddressType, cell: str) -> list[AddressKey]:
        if kind is not AddressType.EMAIL and _ROUNDED.fullmatch(cell):
            raise ValueError("a spreadsheet has rounded this number: format the column as text before saving the file")
        parts = _SEPARATORS.split(cell)
        return [parse_address(kind, part, self._country) for each in parts if (part := original(each.strip()))]


def _name(cell: str) -> str:
    name = " ".join(cell.split())
    if not name.isascii():
        name = unicodedata.normalize("NFC", name)
    if len(name) > MAX_NAME:
        raise BadCellError("too_long", f"a name has at most {MAX_NAME} characters")
    if _CONTROL.search(name):
        raise BadCellError("bad_characters", "a name holds no control characters")
    return name


def _notes(cell: str) -> str:
    notes = unicodedata.normalize("NFC", cell)
    if len(notes) > MAX_NOTES:
        raise BadCellError("too_long", f"notes have at most {MAX_NOTES} characters")
    return notes


def _language(cell: str) -> str:
    """`EN_us` is `en-US`."""
    first, *others = cell.replace("_", "-").split("-")
    rest = [part.title() if len(part) == 4 else part.upper() for part in others]
    language = "-".join([first.lower(), *rest])
    if not _LANGUAGE.fullmatch(language):
        raise BadCellError("bad_language", "a language such as am or en-GB is needed")
    return language


def _timezone(cell: str) -> str:
    errors: list[FieldError] = []
    check_settings(AccountSettings(time_zone=cell), "", errors)
    if errors:
        raise BadCellError("bad_timezone", "a time zone such as Africa/Addis_Ababa is needed")
    return cell


def _status(cell: str) -> ContactStatus:
    try:
        return ContactStatus(cell.lower())
    except ValueError:
        raise BadCellError("bad_status", f"one of {', '.join(ContactStatus)} is needed") from None


def _tags(cell: str) -> list[str]:
    tags = []
    for each in cell.split(";" if ";" in cell else ","):
        tag = unicodedata.normalize("NFC", " ".join(original(each.strip()).split()))
        if len(tag) > MAX_TAG:
            raise BadCellError("bad_tags", f"a tag has at most {MAX_TAG} characters")
        if _CONTROL.search(tag):
            raise BadCellError("bad_tags", "a tag holds no control characters")
        if tag:
            tags.append(tag)
    return tags


_READERS: dict[str, Callable[[str], Any]] = {
    "first_name": _name,
    "last_name": _name,
    "language": _language,
    "timezone": _timezone,
    "status": _status,
    "notes": _notes,
    "tags": _tags,
}


def _escaped(key: str) -> str:
    """A key as a step of a JSON pointer (RFC 6901 §3)."""
    return key.replace("~", "~0").replace("/", "~1")
