"""What an account sets for all its work: its time zone, the country of its numbers, when it keeps quiet."""

from functools import cache
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

import msgspec
import phonenumbers
from msgspec import UNSET, Meta, UnsetType

from app.lib.errors import FieldError

TimeZone = Annotated[
    str, Meta(max_length=64, description="Name in the IANA time zone database.", examples=["Africa/Addis_Ababa"])
]
Country = Annotated[
    str,
    Meta(
        pattern=r"^[A-Z]{2}$(?!\n)",
        description="ISO 3166-1 code: recipients without a plus are numbers of this country.",
        examples=["ET"],
    ),
]
Sender = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=20,
        pattern=r"^[ -~]*$(?!\n)",
        description="Sender of messages for which neither the message nor its channel names one.",
    ),
]
ApprovalAbove = Annotated[
    int,
    Meta(
        ge=0,
        le=1_000_000_000,
        description="Group messages to more recipients than this wait until somebody else has approved them.",
        examples=[1000],
    ),
]
RetentionDays = Annotated[int, Meta(ge=1, le=3650, description="Days that messages are kept.")]
Language = Annotated[
    str,
    Meta(
        max_length=35,
        pattern=r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$(?!\n)",
        description="Language, with a script and a region where they matter (BCP 47).",
        examples=["am", "en-GB"],
    ),
]
TimeOfDay = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$(?!\n)", examples=["21:00"])]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Days = Annotated[tuple[Day, ...], Meta(min_length=1, max_length=7)]


class QuietHours(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The time of day in which nobody is to be disturbed, in the account's time zone, or in UTC without one.

    `end` before `start` is on the next day. `days` are those on which the quiet begins; without them every day is.
    """

    start: TimeOfDay
    end: TimeOfDay
    days: Days | None = None


class AccountSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of an account; null for what is not set."""

    time_zone: TimeZone | None = None
    default_country: Country | None = None
    default_from: Sender | None = None
    quiet_hours: QuietHours | None = None
    retention_days: RetentionDays | None = None
    language: Language | None = None
    group_message_approval_above: ApprovalAbove | None = None


class QuietHoursPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of the fields that are sent; what is new needs `start` and `end`."""

    start: TimeOfDay | UnsetType = UNSET
    end: TimeOfDay | UnsetType = UNSET
    days: Days | UnsetType | None = UNSET


class SettingsPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of the settings that are sent; null takes one away."""

    time_zone: TimeZone | UnsetType | None = UNSET
    default_country: Country | UnsetType | None = UNSET
    default_from: Sender | UnsetType | None = UNSET
    quiet_hours: QuietHoursPatch | UnsetType | None = UNSET
    retention_days: RetentionDays | UnsetType | None = UNSET
    language: Language | UnsetType | None = UNSET
    group_message_approval_above: ApprovalAbove | UnsetType | None = UNSET


class SendingDefaults(msgspec.Struct, frozen=True):
    """What of the settings sending a message needs."""

    country: str | None = None
    sender: str | None = None


def check_settings(settings: AccountSettings, pointer: str, errors: list[FieldError]) -> None:
    """Adds an error for each value that has the right form and does not exist."""
    if settings.time_zone is not None and settings.time_zone not in _time_zones():
        detail = f"{settings.time_zone!r} is not in the IANA time zone database."
        errors.append(FieldError(f"{pointer}/time_zone", "not_a_time_zone", detail))
    if settings.default_country is not None and settings.default_country not in phonenumbers.SUPPORTED_REGIONS:
        detail = f"{settings.default_country!r} has no telephone numbers we know."
        errors.append(FieldError(f"{pointer}/default_country", "not_a_country", detail))
    if settings.default_from is not None and not settings.default_from.strip():
        errors.append(FieldError(f"{pointer}/default_from", "wrong_format", "A sender is not only spaces."))
    quiet = settings.quiet_hours
    if quiet is not None and quiet.start == quiet.end:
        detail = "start and end must differ: a whole day of quiet sends nothing."
        errors.append(FieldError(f"{pointer}/quiet_hours/end", "not_allowed", detail))
    if quiet is not None and quiet.days is not None and len(set(quiet.days)) < len(quiet.days):
        errors.append(FieldError(f"{pointer}/quiet_hours/days", "duplicate", "A day stands twice."))


def settings_document(settings: AccountSettings) -> dict[str, Any]:
    """The settings as they are stored: what is set, and nothing else."""
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(settings))
    quiet = document.get("quiet_hours")
    if quiet is not None:
        document["quiet_hours"] = {name: value for name, value in quiet.items() if value is not None}
    return {name: value for name, value in document.items() if value is not None}


def stored_settings(document: dict[str, Any]) -> AccountSettings:
    """What is stored → settings. A value that this release does not know is left out: it must not hide the account."""
    try:
        return msgspec.convert(document, AccountSettings)
    except msgspec.ValidationError:
        known = {name: value for name, value in document.items() if _fits(name, value)}
        return msgspec.convert(known, AccountSettings)


def sending_defaults(document: dict[str, Any]) -> SendingDefaults:
    """What is stored → the part that senders use."""
    settings = stored_settings(document)
    return SendingDefaults(settings.default_country, settings.default_from)


def _fits(name: str, value: Any) -> bool:
    try:
        msgspec.convert({name: value}, AccountSettings)
    except msgspec.ValidationError:
        return False
    return True


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())
