"""Mapped tables of identity."""

from datetime import datetime
from typing import Any
from uuid import UUID

from advanced_alchemy.types import DateTimeUTC
from sqlalchemy import ForeignKey
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.lib.db import Record


class Account(Record):
    """A tenant. `status` is active or suspended."""

    __tablename__ = "accounts"

    name: Mapped[str]
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id"))
    status: Mapped[str] = mapped_column(default="active")
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)


class User(Record):
    """A person who logs in. `email` is normalised and lower-case; `password_hash` is in PHC form."""

    __tablename__ = "users"

    email: Mapped[str]
    full_name: Mapped[str]
    password_hash: Mapped[str]
    email_verified_at: Mapped[datetime | None] = mapped_column(DateTimeUTC(timezone=True))
    default_account_id: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id"))


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
