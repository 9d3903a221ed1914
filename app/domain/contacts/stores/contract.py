"""What a store of contacts can do, whichever database it is: the only door to contacts and to who is in which group.

A store belongs to one account and to one unit of work. On PostgreSQL what it writes commits with that unit of work; on
MongoDB each call is done when it returns, so that callers write there first what may stand without the rest.

Texts without a value are empty, never null. What a filter means is in `app.lib.filters`; `app.domain.contacts.fields`
has the fields, `app.domain.contacts.evaluation` the meaning written out in Python.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.lib.filters import Expression


class AddressType(StrEnum):
    """What an address is good for."""

    PHONE = "phone"
    EMAIL = "email"
    TELEGRAM = "telegram"
    WHATSAPP = "whatsapp"
    MESSENGER = "messenger"

    @property
    def channel_class(self) -> str:
        """The class of channels that reach it, as opt-outs name it: a phone number is for SMS."""
        return "sms" if self is AddressType.PHONE else self.value

    @classmethod
    def of_class(cls, channel_class: str) -> "AddressType":
        """What channels of a class reach. Raises `ValueError` for a class that there is not."""
        return cls.PHONE if channel_class == "sms" else cls(channel_class)


class ContactStatus(StrEnum):
    """`blocked`: nothing is sent to them, on purpose. `archived`: out of the way, and nothing is sent either."""

    ACTIVE = "active"
    BLOCKED = "blocked"
    ARCHIVED = "archived"


class AddressKey(NamedTuple):
    """An address in its canonical form: what is unique in an account."""

    type: AddressType
    value: str


class Address(msgspec.Struct, frozen=True, omit_defaults=True):
    """One way to reach a contact. `opted_out` holds the topics nothing may be sent about, `all` for any."""

    type: AddressType
    value: str
    opted_out: tuple[str, ...] = ()

    @property
    def key(self) -> AddressKey:
        """Its canonical form."""
        return AddressKey(self.type, self.value)


class Activity(msgspec.Struct, frozen=True):
    """When an address last wrote, and was last written to, on one channel; None for never."""

    contact_id: UUID
    channel_id: UUID
    address: AddressKey
    last_inbound_at: datetime | None = None
    last_outbound_at: datetime | None = None


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """A contact as stores keep it.

    `addresses` are in the order of preference, each once. `tags` and `groups` are sorted, each once. `attributes` hold
    texts, numbers (up to 2^53), booleans, dates (`app.lib.filters.parse_date`) and sorted lists of texts, never null.
    `updated_at` is the version; joining or leaving a group and activity do not change it. The last two fields and
    `groups` are for reading: `insert` and `replace` do not write them.
    """

    id: UUID
    account_id: UUID
    first_name: str = ""
    last_name: str = ""
    language: str = ""
    timezone: str = ""
    status: ContactStatus = ContactStatus.ACTIVE
    notes: str = ""
    addresses: tuple[Address, ...] = ()
    tags: tuple[str, ...] = ()
    attributes: dict[str, Any] = {}
    created_at: datetime
    updated_at: datetime
    groups: tuple[UUID, ...] = ()
    last_inbound_at: datetime | None = None
    last_outbound_at: datetime | None = None

    @property
    def opted_out(self) -> tuple[str, ...]:
        """What the filter field `opted_out` holds: see `opted_out_of`."""
        return opted_out_of(self.addresses)


def opted_out_of(addresses: Iterable[Address]) -> tuple[str, ...]:
    """`sms` where everything is refused, `sms:marketing` for a topic; sorted, each once."""
    return tuple(
        sorted(
            {
                address.type.channel_class if topic == "all" else f"{address.type.channel_class}:{topic}"
                for address in addresses
                for topic in address.opted_out
            }
        )
    )


class Recipient(msgspec.Struct, frozen=True, gc=False):
    """Of a contact what sending to many needs; see `Contact`."""

    id: UUID
    first_name: str
    last_name: str
    language: str
    timezone: str
    status: ContactStatus
    addresses: tuple[Address, ...]
    attributes: dict[str, Any]


class Window(msgspec.Struct, frozen=True):
    """One page of a list: contacts that match, in the order of `sort` and then of their ids, from `after` on.

    `sort` is one of `SORTS`. `after` is (value of the sort field, id) of the last one seen; for `created_at`, which is
    the order of ids, the value is not looked at.
    """

    filter: Expression | None
    limit: int
    sort: str = "created_at"
    descending: bool = True
    after: tuple[Any, UUID] | None = None


SORTS = ("created_at", "updated_at", "first_name", "last_name")
"""Names sort by code point, in both stores alike."""


class Replacement(NamedTuple):
    """A contact as it was read, and as it shall be. Both have the same id; `after.updated_at` is the new version."""

    before: Contact
    after: Contact


class Refusal(StrEnum):
    """Why a contact was not written: another one has an address of it; somebody else changed or deleted it."""

    TAKEN = "taken"
    CHANGED = "changed"


class Amendment(msgspec.Struct, frozen=True, kw_only=True):
    """A change of many contacts at once. None in `attributes` takes the value away; what is empty changes nothing."""

    add_tags: tuple[str, ...] = ()
    remove_tags: tuple[str, ...] = ()
    attributes: dict[str, Any] = {}
    status: ContactStatus | None = None
    join_groups: tuple[UUID, ...] = ()
    leave_groups: tuple[UUID, ...] = ()


class ContactStore(Protocol):
    """The contacts of one account.

    Expressions hold no relative moments (`app.lib.filters.resolve`). Raises `Unavailable` when the database is away.
    Collections that are handed in have at most 5,000 elements.
    """

    async def get(self, ids: Collection[UUID]) -> dict[UUID, Contact]:
        """Those of the contacts that there are."""

    async def activity(self, ids: Collection[UUID]) -> list[Activity]:
        """What is known of their addresses' activity on each channel."""

    async def owners(self, addresses: Collection[AddressKey]) -> dict[AddressKey, UUID]:
        """Whose addresses these are; without those that are nobody's."""

    async def page(self, window: Window) -> list[Contact]:
        """At most `window.limit` contacts."""

    async def count(self, where: Expression | None) -> int:
        """How many match, counted now."""

    async def recipients(self, where: Expression | None, after: UUID | None, limit: int) -> list[Recipient]:
        """The next ones that match in the order of ids after `after`: how an audience is walked.

        A walk that goes on with the last id it saw meets every contact that matched all the while exactly once.
        """

    async def ids(self, where: Expression | None, after: UUID | None, limit: int) -> list[UUID]:
        """As `recipients`, the ids only."""

    async def insert(self, contacts: Sequence[Contact]) -> frozenset[UUID]:
        """Add contacts; the ids of those that were refused because an address of theirs is another's (`TAKEN`).

        Two of `contacts` with one address: the first is stored, the second refused. Adding one that is there already
        with the same id changes nothing and is no refusal, so that a step which is repeated does no harm.
        """

    async def replace(self, changes: Sequence[Replacement]) -> dict[UUID, Refusal]:
        """Write contacts that were read before, each whole or not at all; the refused ones with the reason.

        A contact stands at most once in `changes`.
        """

    async def amend(self, ids: Collection[UUID], amendment: Amendment, now: datetime) -> int:
        """Change many at once; how many were changed. Those with nothing to change keep their version.

        The new version of the others is `now`, or a tick after the old one where that is later. Joining and leaving
        groups count as changes, and leave the version as it is.
        """

    async def delete(self, ids: Collection[UUID]) -> list[UUID]:
        """Remove contacts with their addresses, memberships and activity; which of them there were."""

    async def group_sizes(self, group_ids: Collection[UUID]) -> dict[UUID, int]:
        """How many contacts are in each group, 0 for none."""

    async def drop_group(self, group_id: UUID, limit: int) -> int:
        """Take up to `limit` contacts out of a group; how many were taken. 0: it is empty."""

    async def record_activity(self, activities: Sequence[Activity]) -> None:
        """Remember the latest of each moment; of contacts that are there, and in any order."""

    async def set_opted_out(self, states: dict[AddressKey, tuple[str, ...]]) -> list[UUID]:
        """Write the topics that addresses are opted out of; the contacts whose state changed (and so their version).

        Addresses that are nobody's are passed over.
        """

    async def purge(self, limit: int) -> int:
        """Remove about `limit` contacts of the account with everything of theirs; how many. 0: nothing is left."""


class ContactStores(Protocol):
    """Where this installation keeps contacts."""

    @property
    def transactional(self) -> bool:
        """Whether what stores write commits with the unit of work, instead of being done when a call returns."""
        ...

    def of(self, session: AsyncSession, account_id: UUID) -> ContactStore:
        """The store of an account, in a unit of work that names the account."""

    async def owners(
        self, session: AsyncSession, addresses: Collection[tuple[UUID, AddressKey]]
    ) -> dict[tuple[UUID, AddressKey], UUID]:
        """Whose the addresses of several accounts are; without those that are nobody's. The session names them all."""
        ...

    async def ping(self) -> None:
        """Raises `Unavailable` unless the database answers."""

    async def close(self) -> None:
        """Let go of what it holds."""
