"""Checking what a client sends about one contact: everything wrong with it is found before anything is written."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec import UNSET
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contacts.addresses import parse_address
from app.domain.contacts.attributes import KEY, AttributeService, infer_type, parse_value
from app.domain.contacts.consent import consent_of
from app.domain.contacts.fields import AttributeType
from app.domain.contacts.groups import hold_groups
from app.domain.contacts.schemas import MAX_ADDRESSES, MAX_ATTRIBUTES, ContactPatch, NewContactAddress
from app.domain.contacts.stores.contract import Address, AddressKey, AddressType, Contact, ContactStatus
from app.domain.contacts.tenants import default_country
from app.domain.contacts.texts import line_text, nfc, time_zone
from app.lib.clock import Clock
from app.lib.errors import FieldError, InvalidValue
from app.lib.ids import NewId

_SHORTHANDS = (AddressType.PHONE, AddressType.EMAIL)


class Placed(NamedTuple):
    """An address, and where in the body it stood."""

    key: AddressKey
    pointer: str


class Change(msgspec.Struct, frozen=True):
    """A checked change of a contact, to be applied to whatever it is like by then.

    `texts` are those fields that are replaced. `addresses` None leaves them as they are; `primary` holds for each
    shorthand that was sent the address, or None to remove all of the type. `attributes` None clears them; otherwise
    they are merged. `groups` None leaves them.
    """

    texts: dict[str, Any]
    addresses: tuple[Placed, ...] | None
    primary: dict[AddressType, Placed | None]
    tags: tuple[str, ...] | None
    attributes: dict[str, Any] | None
    groups: tuple[UUID, ...] | None
    consent: dict[AddressKey, tuple[str, ...]]

    @property
    def pointers(self) -> dict[AddressKey, str]:
        """Where each address stood."""
        placed = (*(self.addresses or ()), *(each for each in self.primary.values() if each is not None))
        return {each.key: each.pointer for each in reversed(placed)}

    def apply(self, contact: Contact) -> Contact:
        """The contact after the change, `updated_at` as before. Raises `InvalidValue` when it is too much for one."""
        known = {address.key: address for address in contact.addresses}
        keys = [address.key for address in contact.addresses]
        if self.addresses is not None:
            keys = [each.key for each in self.addresses]
        for kind, placed in self.primary.items():
            keys = _with_primary(keys, kind, None if placed is None else placed.key, instead=self.addresses is None)
        changes = dict(self.texts)
        if self.attributes is None:
            changes["attributes"] = {}
        else:
            both = contact.attributes | self.attributes
            changes["attributes"] = {key: value for key, value in both.items() if value is not None}
        if self.tags is not None:
            changes["tags"] = self.tags
        if self.groups is not None:
            changes["groups"] = self.groups
        addresses = tuple(known.get(key) or Address(key.type, key.value, self.consent.get(key, ())) for key in keys)
        after = msgspec.structs.replace(contact, addresses=addresses, **changes)
        if len(addresses) > MAX_ADDRESSES:
            raise InvalidValue.at("/addresses", "too_many", f"A contact has at most {MAX_ADDRESSES} addresses.")
        if len(after.attributes) > MAX_ATTRIBUTES:
            raise InvalidValue.at("/attributes", "too_many", f"A contact has at most {MAX_ATTRIBUTES} attributes.")
        return after


def _with_primary(
    keys: Sequence[AddressKey], kind: AddressType, primary: AddressKey | None, *, instead: bool
) -> list[AddressKey]:
    """With another first one of the type, `instead` of the one that was first; without any of the type for None."""
    if primary is None:
        return [key for key in keys if key.type is not kind]
    first = next((index for index, key in enumerate(keys) if key.type is kind), len(keys))
    if primary in keys:
        rest = [key for key in keys if key != primary]
        return [*rest[:first], primary, *rest[first:]]
    return [*keys[:first], primary, *keys[first + instead :]]


class ContactIntake:
    """Checks bodies for one account, inside one unit of work."""

    def __init__(self, session: AsyncSession, account_id: UUID, *, clock: Clock, new_id: NewId) -> None:
        self._session = session
        self._account_id = account_id
        self._attributes = AttributeService(session, account_id, clock=clock, new_id=new_id)

    async def read(self, data: ContactPatch) -> Change:
        """The change that a body asks for. Raises `InvalidValue` with a pointer to everything that is wrong.

        Attributes that nobody has defined are defined; they and the groups stay until the unit of work ends. Raises
        `Conflict` (`too_many_attributes`).
        """
        errors: list[FieldError] = []
        texts = _texts(data, errors)
        addresses, primary = await self._addresses(data, errors)
        tags = None if data.tags is UNSET else _tags(data.tags or (), errors)
        values = {} if data.attributes is UNSET else data.attributes
        types = await self._attributes.held([key for key in values or () if KEY.fullmatch(key)])
        attributes = None if values is None else _values(values, types, errors)
        groups = None if data.groups is UNSET else await self._groups(data.groups or (), errors)
        if errors:
            raise InvalidValue.of(errors)
        if attributes and values:
            new = {key: values[key] for key, value in attributes.items() if value is not None and key not in types}
            await self._define(new)
        placed = (*(addresses or ()), *(each for each in primary.values() if each is not None))
        consent = await consent_of(self._session, self._account_id, {each.key for each in placed})
        return Change(texts, addresses, primary, tags, attributes, groups, consent)

    async def _addresses(
        self, data: ContactPatch, errors: list[FieldError]
    ) -> tuple[tuple[Placed, ...] | None, dict[AddressType, Placed | None]]:
        country = await self._country(data)
        addresses = None
        if data.addresses is not UNSET:
            addresses = _in_order(data.addresses or (), country, errors)
        primary: dict[AddressType, Placed | None] = {}
        for kind in _SHORTHANDS:
            value = getattr(data, kind.value)
            if value is None:
                primary[kind] = None
            elif value is not UNSET:
                key = _key(kind, value, country, f"/{kind.value}", errors)
                if key is not None:
                    primary[kind] = Placed(key, f"/{kind.value}")
        return addresses, primary

    async def _country(self, data: ContactPatch) -> str | None:
        listed = () if data.addresses is UNSET or data.addresses is None else data.addresses
        numbers = [each.value for each in listed if each.type in (AddressType.PHONE, AddressType.WHATSAPP)]
        if isinstance(data.phone, str):
            numbers.append(data.phone)
        if all(number.startswith("+") for number in numbers):
            return None
        return await default_country(self._session, self._account_id)

    async def _define(self, values: Mapping[str, Any]) -> None:
        types = await self._attributes.define_missing({key: infer_type(value) for key, value in values.items()})
        errors: list[FieldError] = []
        # Somebody may just have defined one as something else.
        _values(values, types, errors)
        if errors:
            raise InvalidValue.of(errors)

    async def _groups(self, ids: Collection[UUID], errors: list[FieldError]) -> tuple[UUID, ...]:
        there = await hold_groups(self._session, self._account_id, set(ids))
        errors += (
            FieldError(f"/groups/{index}", "not_found", "There is no such group.")
            for index, group_id in enumerate(ids)
            if group_id not in there
        )
        return tuple(sorted(there))


def _values(values: Mapping[str, Any], types: Mapping[str, AttributeType], errors: list[FieldError]) -> dict[str, Any]:
    found = {}
    for key, value in values.items():
        if not KEY.fullmatch(key):
            place = key.replace("~", "~0").replace("/", "~1")
            detail = "A key has 1 to 64 lower-case letters, digits and underscores, a letter first."
            errors.append(FieldError(f"/attributes/{place}", "wrong_format", detail))
            continue
        try:
            kind = None if value is None else types.get(key) or infer_type(value)
            found[key] = None if kind is None else parse_value(kind, value)
        except ValueError as error:
            errors.append(FieldError(f"/attributes/{key}", "wrong_type", f"{key}: {error}."))
    return found


def _texts(data: ContactPatch, errors: list[FieldError]) -> dict[str, Any]:
    texts: dict[str, Any] = {}
    for name, longest in (("first_name", 200), ("last_name", 200)):
        value = getattr(data, name)
        if value is not UNSET:
            texts[name] = line_text(value or "", longest, f"/{name}", errors)
    if data.language is not UNSET:
        texts["language"] = data.language or ""
    if data.timezone is not UNSET:
        texts["timezone"] = time_zone(data.timezone, "/timezone", errors) if data.timezone else ""
    if data.notes is not UNSET:
        texts["notes"] = nfc(data.notes or "")
    if data.status is None:
        errors.append(FieldError("/status", "not_nullable", "This field cannot be cleared."))
    elif data.status is not UNSET:
        texts["status"] = ContactStatus(data.status)
    return texts


def _tags(tags: Collection[str], errors: list[FieldError]) -> tuple[str, ...]:
    found = {line_text(tag, 64, f"/tags/{index}", errors) for index, tag in enumerate(tags)}
    return tuple(sorted(found - {""}))


def _in_order(
    addresses: Collection[NewContactAddress], country: str | None, errors: list[FieldError]
) -> tuple[Placed, ...]:
    """Each address once, the primary ones before the others of their type."""
    keys: dict[AddressKey, str] = {}
    primary: dict[AddressType, AddressKey] = {}
    for index, address in enumerate(addresses):
        key = _key(address.type, address.value, country, f"/addresses/{index}/value", errors)
        if key is None:
            continue
        keys.setdefault(key, f"/addresses/{index}/value")
        if address.primary and primary.setdefault(key.type, key) != key:
            detail = "Only one address of a type can be the primary one."
            errors.append(FieldError(f"/addresses/{index}/primary", "duplicate", detail))
    order = list(keys)
    for kind, key in primary.items():
        order = _with_primary(order, kind, key, instead=False)
    return tuple(Placed(key, keys[key]) for key in order)


def _key(
    kind: AddressType, value: str, country: str | None, pointer: str, errors: list[FieldError]
) -> AddressKey | None:
    try:
        return parse_address(kind, value, country)
    except ValueError as error:
        words = str(error)
        code = "not_e164" if kind is AddressType.PHONE else "not_an_address"
        errors.append(FieldError(pointer, code, f"{words[0].upper()}{words[1:]}."))
        return None
