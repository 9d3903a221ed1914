"""Mapped tables of identity."""

from datetime import datetime
from typing import Any
from uuid import UUID

from advanced_alchemy.types import DateTimeUTC
from sqlalchemy import BigInteger, ForeignKey, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Uuid

from app.lib.db import AccountRecord, Record


class Account(Record):
    """A tenant. `status` is active, suspended or closing (deleted, and still to be restored until `closes_at`).

    `path` holds the ids of the accounts above it, from the root down, and its own as the last. `suspended` is what
    follows for it from its own status and theirs: nothing is sent or changed any more.
    """

    __tablename__ = "accounts"

    name: Mapped[str]
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id"))
    path: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid()))
    status: Mapped[str] = mapped_column(default="active")
    suspended: Mapped[bool] = mapped_column(default=False)
    closes_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)


class User(Record):
    """A person who logs in. `email` is normalised and lower-case; `password_hash` is in PHC form.

    Who logs in through Cognito has a `cognito_subject` and no password here. `totp_secret` is sealed, and in use once
    it is confirmed; `totp_last_step` is the time step of the code that was used last, which works only once.
    """

    __tablename__ = "users"

    email: Mapped[str]
    full_name: Mapped[str]
    password_hash: Mapped[str | None]
    email_verified_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))
    default_account_id: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id"))
    cognito_subject: Mapped[str | None]
    totp_secret: Mapped[bytes | None]
    totp_confirmed_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))
    totp_last_step: Mapped[int | None] = mapped_column(BigInteger)


class Role(Record):
    """A named set of permissions. Without an account it is a system role, which every account has."""

    __tablename__ = "roles"

    account_id: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id"))
    name: Mapped[str]
    permissions: Mapped[dict[str, list[str]]] = mapped_column(JSONB)


class Membership(Record):
    """A user in an account. Not an `AccountRecord`: it is what says which accounts a user has at all."""

    __tablename__ = "memberships"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    role_id: Mapped[UUID] = mapped_column(ForeignKey("roles.id"))


class LoginSession(Record):
    """One log-in of a user: the family of refresh tokens that began with it. `ip` and `user_agent` are its first."""

    __tablename__ = "sessions"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    ip: Mapped[str | None]
    user_agent: Mapped[str | None]
    last_used_at: Mapped[datetime] = mapped_column(DateTimeUTC(timezone=True))
    expires_at: Mapped[datetime] = mapped_column(DateTimeUTC(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))


class Invitation(AccountRecord):
    """The offer of a role in an account, to whoever receives mail at `email`; only a digest of its token is stored."""

    __tablename__ = "invitations"

    email: Mapped[str]
    role_id: Mapped[UUID] = mapped_column(ForeignKey("roles.id"))
    invited_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))
    token_hash: Mapped[bytes]
    expires_at: Mapped[datetime] = mapped_column(DateTimeUTC(timezone=True))
    accepted_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))


class ApiKey(AccountRecord):
    """A machine's way in. It has a role, or `permissions` of its own; `allowed_networks` are CIDRs, none is all."""

    __tablename__ = "api_keys"

    name: Mapped[str]
    prefix: Mapped[str]
    secret_hash: Mapped[bytes]
    role_id: Mapped[UUID | None] = mapped_column(ForeignKey("roles.id"))
    permissions: Mapped[dict[str, list[str]] | None] = mapped_column(JSONB(none_as_null=True))
    allowed_networks: Mapped[list[str]] = mapped_column(ARRAY(Text()))
    expires_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))
    last_used_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))
    last_used_ip: Mapped[str | None]
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))


class AuditEntry(AccountRecord):
    """Who did what to which resource; `before` and `after` are the resource as clients see it, so without secrets."""

    __tablename__ = "audit_log"

    actor_type: Mapped[str]
    actor_id: Mapped[UUID | None]
    actor_name: Mapped[str]
    action: Mapped[str]
    resource_type: Mapped[str]
    resource_id: Mapped[UUID | None]
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    after: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    ip: Mapped[str | None]
    user_agent: Mapped[str | None]
    request_id: Mapped[str | None]
