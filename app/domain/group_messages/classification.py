"""Who of the audience gets the message, and why the others do not."""

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec

from app.domain.contacts.stores.contract import AddressType, ContactStatus, Recipient
from app.domain.group_messages.quiet_hours import quiet_until, zone_of
from app.domain.identity.accounts.settings import QuietHours


class Reason(StrEnum):
    """Why a recipient gets nothing. The last three are found when the text is made for them."""

    NO_ADDRESS = "no_address"
    OPTED_OUT = "opted_out"
    BLOCKED = "blocked"
    ARCHIVED = "archived"
    EXCLUDED = "excluded"
    GONE = "gone"
    MISSING_VARIABLE = "missing_variable"
    UNUSABLE_VALUE = "unusable_value"
    TOO_LONG = "too_long"


class Skip(msgspec.Struct, frozen=True):
    """A recipient who gets nothing; `recipient_id` is the contact's, or made from an address that is nobody's."""

    recipient_id: UUID
    contact_id: UUID | None
    address: str | None
    reason: Reason
    detail: str | None = None


class Sleeper(msgspec.Struct, frozen=True):
    """A recipient not to be disturbed before `until`: a contact, or whoever has the `address` where that is set."""

    recipient_id: UUID
    address: str | None
    until: datetime


class Target(msgspec.Struct, frozen=True):
    """A recipient and the address to use; `recipient` is None for an address that is nobody's."""

    address: str
    recipient: Recipient | None


class Classes(msgspec.Struct):
    """The recipients of one step, each in one of the lists."""

    targets: list[Target]
    skips: list[Skip]
    sleepers: list[Sleeper]


def status_reason(recipient: Recipient) -> Reason | None:
    """Why nothing is sent to a contact like this; None for an active one."""
    if recipient.status is ContactStatus.ACTIVE:
        return None
    return Reason.BLOCKED if recipient.status is ContactStatus.BLOCKED else Reason.ARCHIVED


def first_address(recipient: Recipient, kind: AddressType, unwanted: Collection[str]) -> str | Reason:
    """The address to use: the first of its type at which they want the message."""
    addresses = [address.value for address in recipient.addresses if address.type is kind]
    if not addresses:
        return Reason.NO_ADDRESS
    return next((value for value in addresses if value not in unwanted), Reason.OPTED_OUT)


def classify(
    recipients: Collection[Recipient],
    kind: AddressType,
    unwanted: Collection[str],
    *,
    quiet: QuietHours | None,
    time_zone: str,
    now: datetime,
) -> Classes:
    """Sort contacts of the audience out. `unwanted` are addresses of `kind` whose owners do not want the message."""
    classes = Classes([], [], [])
    for recipient in recipients:
        reason = status_reason(recipient)
        if reason is not None:
            classes.skips.append(Skip(recipient.id, recipient.id, None, reason))
            continue
        address = first_address(recipient, kind, unwanted)
        if isinstance(address, Reason):
            classes.skips.append(Skip(recipient.id, recipient.id, None, address))
            continue
        if quiet is not None:
            until = quiet_until(now, quiet, zone_of(recipient.timezone, time_zone))
            if until is not None:
                classes.sleepers.append(Sleeper(recipient.id, None, until))
                continue
        classes.targets.append(Target(address, recipient))
    return classes
