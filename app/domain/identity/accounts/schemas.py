"""What clients send and receive about accounts."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.domain.identity.accounts.settings import AccountSettings, SettingsPatch, stored_settings
from app.domain.identity.models import Account

AccountName = Annotated[str, Meta(min_length=1, max_length=200)]
AccountStatus = Literal["active", "suspended", "closing"]


class AccountCreate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A new account; with `parent_id` it is a sub-account of that one."""

    name: AccountName
    parent_id: UUID | None = None
    settings: AccountSettings = AccountSettings()


class AccountPatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What `accounts:update` allows to change. `settings` are merged; null takes all of them away.

    Null is read for the name, so that its refusal can say that it cannot be cleared.
    """

    name: AccountName | UnsetType | None = UNSET
    settings: SettingsPatch | UnsetType | None = UNSET


class AccountOut(msgspec.Struct):
    """An account as every route shows it.

    `status` is its own; `suspended` says whether it can only be read, because of its own status or that of an account
    above it. A `closing` account is deleted for good at `closes_at`, and can be restored until then.
    """

    id: UUID
    name: str
    parent_id: UUID | None
    status: AccountStatus
    suspended: bool
    closes_at: datetime | None
    settings: AccountSettings
    created_at: datetime
    updated_at: datetime


class OwnershipTransfer(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The member who is to own the account."""

    user_id: UUID


class Ownership(msgspec.Struct, frozen=True):
    """A user and their role, for the audit log."""

    user_id: UUID
    role: str


def account_out(account: Account) -> AccountOut:
    """The stored row as clients see it."""
    return AccountOut(
        account.id,
        account.name,
        account.parent_id,
        account.status,  # type: ignore[arg-type]  # a constraint of the table holds it to these words
        account.suspended,
        account.closes_at,
        stored_settings(account.settings),
        account.created_at,
        account.updated_at,
    )
