"""What clients send and receive about themselves and their accounts, and who a caller is."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from app.domain.identity.accounts.schemas import AccountOut
from app.domain.identity.models import Account, Role, User
from app.lib.errors import Forbidden

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Email = Annotated[str, Meta(max_length=320, examples=["a@example.com"])]
PasswordText = Annotated[str, Meta(max_length=1024, description="10 to 128 characters.")]
RefreshTokenText = Annotated[str, Meta(max_length=8192)]
SecondFactorText = Annotated[
    str, Meta(max_length=64, description="Six digits from the authenticator, or a recovery code.", examples=["123456"])
]


class Origin(msgspec.Struct, frozen=True):
    """Where a request came from: the client's address, what it calls itself, and the request's id."""

    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asking, in which account, and what that allows: `permissions` are `resource:action`.

    A user has a `user_id` and a `session_id`, whoever signed the token; a machine has an `api_key_id`. `name` is the
    user's e-mail address or the key's name. In a `suspended` account only reading is left.
    """

    account_id: UUID
    name: str
    role_name: str
    permissions: frozenset[str]
    user_id: UUID | None = None
    session_id: UUID | None = None
    api_key_id: UUID | None = None
    suspended: bool = False

    @property
    def credential(self) -> str:
        """What the caller came in with, in one word: what allowances per credential are counted by."""
        return f"key:{self.api_key_id}" if self.api_key_id else f"user:{self.session_id or self.user_id}"

    def may(self, permission: str) -> bool:
        """Whether the caller's role in the active account has the permission."""
        return permission in self.permissions

    def person(self) -> UUID:
        """The id of the user who is asking; raises `Forbidden` (`user_required`) for an API key."""
        if self.user_id is None:
            raise user_required()
        return self.user_id


def user_required() -> Forbidden:
    """The answer to an API key that does what only people do."""
    return Forbidden("An API key cannot do this; log in as a user.", code="user_required")


class Registration(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A new user with a new account of their own."""

    email: Email
    password: PasswordText
    full_name: Name
    account_name: Name

    def __repr__(self) -> str:
        return f"<Registration {self.email!r}>"


class Login(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An attempt to log in; with a `code` where the user has enabled a second factor."""

    email: Email
    password: PasswordText
    code: SecondFactorText | None = None

    def __repr__(self) -> str:
        return f"<Login {self.email!r}>"


class RefreshRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The refresh token to rotate, or to end."""

    refresh_token: RefreshTokenText

    def __repr__(self) -> str:
        return "<RefreshRequest>"


class TokenPair(msgspec.Struct):
    """`expires_in` is the life of the access token in seconds; the refresh token works once."""

    access_token: str
    refresh_token: str
    token_type: str
    expires_in: int

    def __repr__(self) -> str:
        return "<TokenPair>"


class UserOut(msgspec.Struct):
    """A user as every route shows them."""

    id: UUID
    email: str
    full_name: str
    email_verified: bool
    created_at: datetime
    updated_at: datetime


class Registered(msgspec.Struct):
    """The answer to a registration."""

    user: UserOut
    account: AccountOut


class AccountRef(msgspec.Struct):
    """An account by its name."""

    id: UUID
    name: str


class RoleRef(msgspec.Struct):
    """A role by its name."""

    id: UUID
    name: str


class BasicMembership(msgspec.Struct):
    """An account of the caller, and their role there; null for an API key with permissions of its own."""

    id: UUID
    name: str
    parent_id: UUID | None
    status: str
    role: RoleRef | None


class MembershipOut(BasicMembership, kw_only=True):
    """The same with what the role allows."""

    permissions: dict[str, list[str]]


class ApiKeyRef(msgspec.Struct):
    """An API key by its name."""

    id: UUID
    name: str


class BasicContext(msgspec.Struct):
    """Who is asking, with every account and the role there. `user` is null for an API key, `api_key` for a user."""

    user: UserOut | None
    api_key: ApiKeyRef | None
    active_account: AccountRef
    accounts: list[BasicMembership]


class Context(msgspec.Struct):
    """Everything a client needs to know about its user, in one call."""

    user: UserOut
    active_account: AccountRef
    accounts: list[MembershipOut]


def user_out(user: User) -> UserOut:
    """The stored row as clients see it."""
    return UserOut(
        user.id, user.email, user.full_name, user.email_verified_at is not None, user.created_at, user.updated_at
    )


def membership_out(account: Account, role: Role) -> MembershipOut:
    """An account of a user, with the role and what it allows."""
    return MembershipOut(
        id=account.id,
        name=account.name,
        parent_id=account.parent_id,
        status=account.status,
        role=RoleRef(role.id, role.name),
        permissions=role.permissions,
    )
