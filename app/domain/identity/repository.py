"""Every statement on the tables of identity. Nothing here commits."""

from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Select, func, or_, select, text, true, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.identity.models import Account, ApiKey, Membership, Role, User
from app.lib.db import constraint_of
from app.lib.errors import Conflict


async def find_user_by_email(session: AsyncSession, email: str) -> User | None:
    """The user with this normalised address."""
    return (await session.execute(select(User).where(User.email == email))).scalar_one_or_none()


async def get_user(session: AsyncSession, user_id: UUID) -> User | None:
    """The user with this id."""
    return await session.get(User, user_id)


async def add_registration(session: AsyncSession, user: User, account: Account, membership: Membership) -> None:
    """Store a new user with their account; raises `Conflict` (`email_taken`)."""
    # Without relationships between the classes, the order of a single flush is not the order of the foreign keys.
    session.add(account)
    await session.flush()
    session.add(user)
    try:
        await session.flush()
    except IntegrityError as error:
        if constraint_of(error) == "uq_users_email":
            raise Conflict("There is already a user with this e-mail address.", code="email_taken") from error
        raise
    session.add(membership)
    await session.flush()


async def get_account(session: AsyncSession, account_id: UUID) -> Account | None:
    """The account with this id."""
    return await session.get(Account, account_id)


async def get_api_key(session: AsyncSession, key_id: UUID | None) -> ApiKey | None:
    """The API key with this id, of the caller who came in with it."""
    return None if key_id is None else await session.get(ApiKey, key_id)


async def replace_password_hash(session: AsyncSession, user_id: UUID, old: str, new: str) -> None:
    """Store the same password's hash under other parameters, unless the password was changed meanwhile."""
    await session.execute(update(User).where(User.id == user_id, User.password_hash == old).values(password_hash=new))


def _memberships(user_id: UUID) -> Select[tuple[Account, Role]]:
    return (
        select(Account, Role)
        .join(Membership, Membership.account_id == Account.id)
        .join(Role, Role.id == Membership.role_id)
        .where(Membership.user_id == user_id)
    )


_INHERITED: dict[str, Any] = {"sub_accounts": ["access"]}


async def get_membership(session: AsyncSession, user_id: UUID, account_id: UUID) -> tuple[Account, Role] | None:
    """The account and the user's role in it, or None when they have none.

    The role is that of their membership there, else that of the nearest account above it whose role has
    `sub_accounts:access`.
    """
    above = func.unnest(Account.path).table_valued("id", with_ordinality="depth").render_derived().lateral("above")
    statement = (
        select(Account, Role)
        .select_from(Account)
        .join(above, true())
        .join(Membership, Membership.account_id == above.c.id)
        .join(Role, Role.id == Membership.role_id)
        .where(Account.id == account_id, Membership.user_id == user_id)
        .where(or_(Membership.account_id == Account.id, Role.permissions.contains(_INHERITED)))
        .order_by(above.c.depth.desc())
        .limit(1)
    )
    row = (await session.execute(statement)).one_or_none()
    return None if row is None else (row[0], row[1])


async def default_membership(session: AsyncSession, user_id: UUID) -> tuple[Account, Role] | None:
    """The account used when none is asked for: the user's default while it is active, else the oldest active one."""
    user = await get_user(session, user_id)
    default_id = None if user is None else user.default_account_id
    # It may be one below those the user is a member of.
    default = None if default_id is None else await get_membership(session, user_id, default_id)
    if default is not None and not default[0].suspended:
        return default
    statement = (
        _memberships(user_id)
        .order_by(Account.suspended, Account.id.is_not_distinct_from(default_id).desc(), Membership.id)
        .limit(1)
    )
    row = (await session.execute(statement)).one_or_none()
    return default if row is None else (row[0], row[1])


async def list_memberships(session: AsyncSession, user_id: UUID) -> list[tuple[Account, Role]]:
    """Every account of the user with the role there, in the order of joining."""
    rows = await session.execute(_memberships(user_id).order_by(Membership.id))
    return [(account, role) for account, role in rows]


class StoredKey(msgspec.Struct, frozen=True):
    """A signing key as stored: `private_key` is sealed."""

    kid: str
    private_key: bytes
    public_jwk: dict[str, Any]
    retired: bool

    def __repr__(self) -> str:
        return f"<StoredKey {self.kid}>"


async def lock_signing_keys(session: AsyncSession) -> None:
    """Let one process at a time make or retire keys, until the transaction ends."""
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('signing_keys', 0))"))


async def has_signing_key(session: AsyncSession) -> bool:
    """Whether a key signs now."""
    return bool(await session.scalar(text("SELECT EXISTS (SELECT FROM signing_keys WHERE retired_at IS NULL)")))


async def retire_signing_keys(session: AsyncSession) -> None:
    """No stored key signs any more."""
    await session.execute(
        text("UPDATE signing_keys SET retired_at = now(), updated_at = now() WHERE retired_at IS NULL")
    )


async def insert_signing_key(session: AsyncSession, kid: str, sealed: bytes, jwk: dict[str, Any]) -> None:
    """Store a new key, which signs from now on."""
    await session.execute(
        text("INSERT INTO signing_keys (id, private_key, public_jwk) VALUES (:kid, :sealed, CAST(:jwk AS jsonb))"),
        {"kid": kid, "sealed": sealed, "jwk": msgspec.json.encode(jwk).decode()},
    )


async def list_signing_keys(session: AsyncSession, keep_retired_seconds: float) -> list[StoredKey]:
    """The signing key and those retired less than `keep_retired_seconds` ago, newest first."""
    rows = await session.execute(
        text(
            "SELECT id, private_key, CAST(public_jwk AS text), retired_at IS NOT NULL FROM signing_keys"
            " WHERE retired_at IS NULL OR retired_at > now() - make_interval(secs => :keep)"
            " ORDER BY created_at DESC, id"
        ),
        {"keep": keep_retired_seconds},
    )
    return [StoredKey(kid, sealed, msgspec.json.decode(jwk), retired) for kid, sealed, jwk, retired in rows]
